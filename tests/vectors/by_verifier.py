"""The verifier's judgement of a case; `NEVER` and `NOT_YET` are the kinds that it judges not."""

from __future__ import annotations

from tests.vectors.case import Given, Judgement
from verifier.vectors import JUDGES, verdict

__all__ = ["JUDGES", "NEVER", "NOT_YET", "judge"]

NEVER = frozenset({"box", "boxes", "stale", "submission", "token"})
"""Kinds that an auditor has no use for: what passes between members, devices and the server."""

NOT_YET: frozenset[str] = frozenset()
"""Kinds that the verifier is still to learn."""


def judge(kind: str, given: Given) -> Judgement:
    """What the verifier makes of a case's input."""
    found, rule, output = verdict(kind, given)
    return Judgement(found, rule, output or None)
