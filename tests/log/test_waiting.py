"""How what is ready is cut into portions, and these into batches."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from ledger.format.block import Anchor
from ledger.log.waiting import PORTION, Request, Waiting, take_portion
from tests.support.actors import LogActor, User


def of_requests(*sizes: int) -> list[Waiting]:
    """What waits, of requests of these sizes."""
    loop = asyncio.new_event_loop()
    try:
        founding = LogActor.make()
        submission = User.create(founding.after, "ada", Anchor(2, bytes(32))).submission
        requests = [Request(size, loop.create_future()) for size in sizes]
    finally:
        loop.close()
    return [Waiting(submission, one, place) for one in requests for place in range(one.count)]


def portions(ready: list[Waiting], most: int) -> list[int]:
    """The sizes of the portions of one batch."""
    taken: list[int] = []
    while portion := take_portion(ready, sum(taken), most):
        taken.append(len(portion))
    return taken


@pytest.mark.parametrize(
    ("sizes", "most", "expected"),
    [
        ((), 100, []),
        ((1, 1, 1), 100, [3]),
        ((1, 1, 1), 2, [2]),
        ((40, 40, 40), 1_000, [40, 40, 40]),
        ((40, 40, 40), 100, [40, 40]),
        ((3,), 2, [2]),
        ((PORTION, 1), PORTION, [PORTION]),
        ((PORTION + 1, 5), 1_000, [PORTION, 6]),
        ((1_000, 5), 1_000, [PORTION] * 15 + [40]),
    ],
)
def test_whole_requests_stay_together(sizes: Sequence[int], most: int, expected: list[int]) -> None:
    ready = of_requests(*sizes)
    left = ready[sum(expected) :]
    assert portions(ready, most) == expected
    assert ready == left
