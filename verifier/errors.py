"""What the verifier raises: the log is wrong, or nothing could be decided.

`Invalid` is a judgement on bytes, in the closed set of verdicts that `specs/README.md` names.
`Misbehaviour` is a judgement on the log: an `Invalid` that the log has signed for, or a
contradiction between what it signed and what it serves. `Undecided` says nothing about the log.

    try:
        judge_block(data, log_id)
    except Invalid as error:
        print(error.verdict, error.rule)        # rule R-53.3
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar


class AuditError(Exception):
    """All that the verifier raises on purpose."""


class Invalid(AuditError):
    """The bytes break a rule. `index` is the leaf index of the entry that holds them, if known."""

    verdict: ClassVar[str]

    def __init__(self, rule: str, why: str, index: int | None = None) -> None:
        super().__init__(f"{rule}: {why}")
        self.rule = rule
        self.why = why
        self.index = index


class Malformed(Invalid):
    """No honest party writes such bytes."""

    verdict = "malformed"


class BadSignature(Invalid):
    """Well-formed, and a signature does not verify."""

    verdict = "signature"


class BrokenRule(Invalid):
    """Well-formed and signed, and refused at this place in the log."""

    verdict = "rule"


VERDICTS: Mapping[str, type[Invalid]] = {
    kind.verdict: kind for kind in (Malformed, BadSignature, BrokenRule)
}


class Undecided(AuditError):
    """Nothing can be said: the network, the local disk, a missing or stale checkpoint."""


class Misbehaviour(AuditError):
    """The log contradicts itself.

    `transferable` says whether the log's own signature stands over the contradiction, so that
    whoever has the log can check it; if not, the exhibits show what this auditor was served.
    `exhibits` maps file names to the bytes. `evidence` is the file (specs/80-evidence) that shows
    it to anybody, if one could be made.
    """

    evidence: bytes | None = None

    def __init__(
        self,
        kind: str,
        rule: str,
        sentence: str,
        exhibits: Mapping[str, bytes],
        *,
        transferable: bool,
    ) -> None:
        super().__init__(f"{kind}: {sentence} ({rule})")
        self.kind = kind
        self.rule = rule
        self.sentence = sentence
        self.exhibits = dict(exhibits)
        self.transferable = transferable
