"""A whole batch of submissions, vetted at once."""

from __future__ import annotations

from collections.abc import Sequence

from ledger.log.admission import ReadStored, Submission, VettedBatch
from ledger.log.planner import Plan, View
from ledger.store.port import PrivateItem


def plan_vetted(
    view: View, submissions: Sequence[Submission], now: int, stored: ReadStored
) -> tuple[Plan, list[PrivateItem]]:
    """The batch of those that are admitted, and what of them is to be kept beside the log."""
    batch = VettedBatch(view, now, stored)
    results = tuple(batch.admit(submission) for submission in submissions)
    return Plan(batch.close(), results), batch.items
