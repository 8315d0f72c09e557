"""The verdict on an evidence file: one judge a kind.

>>> judge(b"nothing of the kind").outcome
'nothing'
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from verifier.errors import Invalid
from verifier.evidence import chains, kinds
from verifier.evidence.ground import NOTHING, PROVEN, UNDECIDED, Finding, Log, found
from verifier.evidence.parse import (
    ANCHOR,
    CHAIN,
    DIRECTORY,
    ENTRY,
    FORK,
    NAMES,
    REPLAYABLE,
    RULE,
    STATEMENT,
    TIME,
    parse,
)
from verifier.policy import Policy

__all__ = ["MEANINGS", "NOTHING", "PROVEN", "UNDECIDED", "Verdict", "judge"]

JUDGES: Mapping[int, Callable[[Any, Log], Finding]] = {
    FORK: kinds.fork,
    ENTRY: kinds.entry,
    RULE: chains.rule,
    CHAIN: chains.chain,
    DIRECTORY: kinds.directory,
    ANCHOR: kinds.anchor,
    TIME: kinds.time,
    STATEMENT: chains.statement,
    REPLAYABLE: kinds.replayable,
}

MEANINGS: Mapping[str, str] = {
    "fork": "It showed some people another history than others.",
    "entry": "It admitted what no honest log admits.",
    "rule": "It admitted a block that the rules forbid.",
    "chain": "It vouched for keys that do not follow from what people signed.",
    "directory": "It misled everybody who looked this label up.",
    "anchor": "Somebody was shown another history than the one that it stands by.",
    "time": "Its times can't be believed.",
    "statement": "It let somebody decide who is in a group who may not.",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a file comes to. `rule` is the one that the log broke, if that is proven; else the one
    of specs/80-evidence by which nothing is. `kind` and `log` are None as far as nobody can tell.
    """

    outcome: str
    kind: str | None
    rule: str
    sentence: str
    log: Log | None


def judge(data: bytes, log_id: bytes | None = None, policy: Policy | None = None) -> Verdict:
    """Judges a file by itself. The log id is the judge's own, if they have one in mind, and so is
    the policy of witnesses, which only times need.
    """
    kind, log = None, None
    try:
        evidence = parse(data)
        kind = NAMES[evidence.kind]
        log = found(evidence.first, log_id, policy)
        finding = JUDGES[evidence.kind](evidence.body, log)
    except Invalid as error:
        return Verdict(NOTHING, kind, error.rule, error.why, log)
    return Verdict(finding.outcome, kind, finding.rule, finding.sentence, log)
