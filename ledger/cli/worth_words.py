"""What answers are worth, in the words of specs/60-checkpoints, and what auditors left undone."""

from __future__ import annotations

from collections.abc import Sequence

from ledger.cli.words import time_of
from ledger.client.lookups.trust import Unsettled
from ledger.client.policy import Policy
from ledger.format.policy import TrustPolicy
from ledger.rules.state import LogState

_SIGNED = (
    "a log signature alone: signatures and rules of the chain you replayed hold; the operator may "
    "show others another history, or alternate directory roots inside one tree; both leave "
    "evidence that someone must find"
)
_WITNESSED = (
    "a quorum of witnesses: there is one tree; roots inside it may still lie to you unless you "
    "replay the whole log"
)
_AUDITED = (
    "auditors' cosignatures: every entry and every directory root up to the covered size was "
    "replayed: what you were shown is what everyone can be shown"
)


def worth(policy: Policy, log: LogState) -> list[str]:
    """What stands behind answers, by what this policy and this log ask for."""
    found = [_SIGNED]
    if policy.asks_witnesses(log):
        found = [_WITNESSED]
    if policy.asks_auditors(log):
        found.append(_AUDITED)
    return found


def asked(policy: TrustPolicy, demanded: int) -> str:
    """Whose cosignatures are asked for."""
    if not policy.demands(demanded):
        return "nobody is asked"
    names = ", ".join(one.name for one in policy.verifiers)
    more = f", {demanded} at least" if demanded else ""
    return f"quorum {policy.quorum.decode(errors='replace')} of {names}{more}"


def overdue_facts(overdue: Sequence[Unsettled]) -> list[dict[str, int]]:
    """Answers that wait for auditors, for JSON."""
    return [{"size": one.size, "time": one.time} for one in overdue]


def overdue_words(overdue: Sequence[Unsettled]) -> str:
    """The alarm that they are (R-63.5)."""
    since = time_of(overdue[0].time)
    return (
        f"alarm: {len(overdue)} answers wait for auditors for too long, since {since}: the log may "
        "have shown you what it shows nobody else; ask your auditors, and compare with others: "
        "keyroll checkpoint export"
    )
