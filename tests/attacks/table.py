"""The table of 85-attacks: its rows, read from the spec, and what the suite found for each.

>>> row = rows()[0]
>>> row.attack
'forged first device'
>>> sorted(row.caught)
['admission', 'auditor', 'client']
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.attacks.suite import BELIEVED, Catch

SPEC = Path(__file__).resolve().parents[2] / "specs" / "85-attacks.md"
NOBODY = "nobody"
NONE = "none: "

_ROW = re.compile(r"\| (?P<attack>[^|]+) \| (?P<caught>[^|]+) \| (?P<evidence>[^|]+) \|")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `keyroll-verifier check-evidence` says of a file."""

    kind: str
    verdict: str
    rule: str | None
    says: str = ""

    @property
    def stands(self) -> bool:
        """Whether the file is worth what its kind can be."""
        return self.verdict == ("undecided" if self.kind == "replayable" else "proven")


@dataclass(frozen=True, slots=True)
class Row:
    """An attack of 85-attacks: who must catch it by which rules; what evidence, or why none.

    What nobody can prevent has nobody in `caught`, and its reason in `why`.
    """

    part: str
    attack: str
    caught: dict[str, frozenset[str]]
    kinds: frozenset[str]
    why: str

    @property
    def preventable(self) -> bool:
        return bool(self.caught)

    @classmethod
    def parse(cls, part: str, attack: str, caught: str, evidence: str) -> Row:
        """The row whose cells these are."""
        met: dict[str, frozenset[str]] = {}
        if caught != NOBODY:
            for one in caught.split(" · "):
                who, _, rules = one.partition(": ")
                met[who] = frozenset(rules.split(", "))
        if caught == NOBODY or evidence.startswith(NONE):
            return cls(part, attack, met, frozenset(), evidence.removeprefix(NONE))
        return cls(part, attack, met, frozenset(evidence.split(", ")), "")


def rows() -> list[Row]:
    """All rows, in their order."""
    part, found = "", list[Row]()
    for line in SPEC.read_text("utf-8").splitlines():
        if line.startswith("## "):
            part = line[3:]
        match = _ROW.fullmatch(line)
        if match and match["attack"] not in ("attack", "---"):
            found.append(Row.parse(part, *match.groups()))
    return found


@dataclass(frozen=True, slots=True)
class Finding:
    """What an attack came to. `broken` says why, where it could not be carried out."""

    row: Row
    catches: Sequence[Catch]
    verdicts: Sequence[Verdict]
    broken: str = ""

    @property
    def caught(self) -> dict[str, frozenset[str]]:
        """Who caught it, by which rules."""
        met: dict[str, frozenset[str]] = {}
        for one in self.catches:
            met[one.who] = met.get(one.who, frozenset()) | {one.rule}
        return met

    @property
    def problems(self) -> list[str]:
        """Where it differs from what the table says; none is how it should be."""
        if self.broken:
            return [f"it could not be carried out: {self.broken}"]
        found = [f"the {one.who} believed it" for one in self.catches if one.rule == BELIEVED]
        if self.caught != self.row.caught:
            found.append(f"caught by {spelled(self.caught)}, not by {spelled(self.row.caught)}")
        kinds = frozenset(one.kind for one in self.verdicts)
        if kinds != self.row.kinds:
            found.append(f"evidence {sorted(kinds)}, not {sorted(self.row.kinds)}")
        if self.row.kinds and any(one.who == "auditor" and one.is_mute for one in self.catches):
            found.append("the auditor wrote no file")
        wrong = (one for one in self.verdicts if not one.stands)
        return [*found, *(f"{one.kind} is judged {one.verdict}: {one.says}" for one in wrong)]

    @property
    def evidence(self) -> str:
        """The evidence and its judgement, or why there is none."""
        if not self.row.preventable:
            return self.row.why
        judged = {f"{one.kind}: {one.verdict}" for one in self.verdicts}
        return ", ".join(sorted(judged)) or f"no: {self.row.why}"


def spelled(caught: dict[str, frozenset[str]]) -> str:
    """As in the table."""
    order = ("admission", "client", "owner", "auditor", "witness", "server")
    names = sorted(caught, key=lambda who: order.index(who) if who in order else len(order))
    return " · ".join(f"{who}: {', '.join(sorted(caught[who]))}" for who in names)
