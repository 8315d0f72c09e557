"""One test vector: what goes in, and what must come out.

`ok` and `bad` make cases without an output; `generate` fills it in from the ledger, unless an
outside source (an RFC) already fixed it. The verdict follows from the rule that is broken.

>>> bad("log", "no-root", "R-42.2", "heartbeat", "The last batch has no directory root.").verdict
'rule'
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

Json: TypeAlias = "str | int | bool | Sequence[Json] | Mapping[str, Json] | None"

Given: TypeAlias = Mapping[str, Any]
Output: TypeAlias = dict[str, Any]

VERDICTS = ("ok", "malformed", "signature", "rule")

_MALFORMED = (
    "R-10.",
    "R-15.1",
    "R-15.2",
    "R-20.",
    "R-30.8",
    "R-30.9",
    "R-30.10",
    "R-30.11",
    "R-36.",
    "R-40.",
    "R-41.",
    "R-42.1",
    "R-80.",
    "R-65.",
)
_MALFORMED_EXACTLY = (
    "R-56.1",
    "R-60.1",
    "R-60.2",
    "R-60.5",
    "R-60.7",
    "R-60.8",
    "R-62.1",
    "R-62.2",
    "R-68.1",
    "R-68.2",
    "R-68.3",
)
_SIGNATURE = (
    "R-15.3",
    "R-40.4",
    "R-52.5",
    "R-60.3",
    "R-60.4",
    "R-60.6",
    "R-60.9",
    "R-68.4",
    "R-68.5",
)


@dataclass(frozen=True, slots=True)
class Case:
    """A vector. `covers` are rules that it tells apart and that its refusal does not name."""

    kind: str
    name: str
    shows: str
    input: Mapping[str, Json]
    verdict: str = "ok"
    rule: str = ""
    nearest: str = ""
    output: Mapping[str, Json] | None = None
    covers: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """Where it lies, below `specs/vectors`."""
        return f"{self.kind}/{self.name}.json"

    def encode(self) -> bytes:
        """The file's bytes. Keys that say nothing are left out."""
        fields = {
            "name": self.name,
            "shows": self.shows,
            "input": self.input,
            "verdict": self.verdict,
            "rule": self.rule,
            "nearest": self.nearest,
            "output": self.output,
            "covers": self.covers,
        }
        told = {key: value for key, value in fields.items() if value or key in ("input", "verdict")}
        return (json.dumps(told, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()

    @classmethod
    def decode(cls, kind: str, data: bytes) -> Case:
        """The case that `encode` wrote."""
        fields = json.loads(data)
        return cls(kind, **{**fields, "covers": tuple(fields.get("covers", ()))})


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict of the closed set, the rule that a refusal names, what an `ok` yields."""

    verdict: str
    rule: str = ""
    output: Output | None = None


def ok(
    kind: str,
    name: str,
    shows: str,
    given: Mapping[str, Json] | None = None,
    *,
    covers: tuple[str, ...] = (),
    output: Mapping[str, Json] | None = None,
    **fields: Json,
) -> Case:
    """A case that must pass. Its input is `given` and `fields`."""
    return Case(kind, name, shows, {**(given or {}), **fields}, output=output, covers=covers)


def bad(
    kind: str,
    name: str,
    rule: str,
    nearest: str,
    shows: str,
    given: Mapping[str, Json] | None = None,
    *,
    verdict: str = "",
    covers: tuple[str, ...] = (),
    **fields: Json,
) -> Case:
    """A case that must be refused, beside the `nearest` one of its kind that passes."""
    verdict = verdict or verdict_of(rule)
    whole = {**(given or {}), **fields}
    return Case(kind, name, shows, whole, verdict, rule, nearest, covers=covers)


def verdict_of(rule: str) -> str:
    """The verdict that breaking `rule` alone leads to, where it depends on nothing else."""
    if rule in _SIGNATURE:
        return "signature"
    if rule.startswith(_MALFORMED) or rule in _MALFORMED_EXACTLY:
        return "malformed"
    return "rule"
