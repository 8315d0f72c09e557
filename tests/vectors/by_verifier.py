"""The verifier's judgement of a case.

It sees no boxes and no tokens: `JUDGES` are the kinds that it judges.
"""

from __future__ import annotations

from tests.vectors.by_ledger import Given, Judgement
from verifier.judge import JUDGES, verdict

__all__ = ["JUDGES", "judge"]


def judge(kind: str, given: Given) -> Judgement:
    """What the verifier makes of a case's input."""
    found, rule, output = verdict(kind, given)
    return Judgement(found, rule, output or None)
