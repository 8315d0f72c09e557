"""Blocks on their way through the sequencer: who waits for them, and what becomes of them.

>>> request = Request(2, asyncio.get_running_loop().create_future())    # doctest: +SKIP
>>> request.settle(0, Admitted(17, 1_700_000_000_000))                  # doctest: +SKIP
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from ledger.errors import KeyrollError, RuleViolation
from ledger.log.admission import Submission, VettedBatch
from ledger.log.planner import Admission, Plan
from ledger.log.receipts import Receipts
from ledger.value import value

PORTION = 64
"""Blocks that are planned between two looks at what else there is to do: some 3 ms."""


@value
class Admitted:
    """A block is durable and published, as leaf `index`, at `time` (ms).

    `receipts` are those of its batch; none if it had been published before.
    """

    index: int
    time: int
    receipts: Receipts | None = field(default=None, compare=False, repr=False)


Verdict: TypeAlias = Admitted | KeyrollError


@dataclass(slots=True)
class Request:
    """What was submitted together, and is answered together: the verdicts by place so far."""

    count: int
    done: asyncio.Future[None]
    verdicts: dict[int, Verdict] = field(default_factory=dict)

    def settle(self, place: int, verdict: Verdict) -> None:
        self.verdicts[place] = verdict
        # Whoever submitted may have gone away, which cancels only `done`.
        if len(self.verdicts) == self.count and not self.done.done():
            self.done.set_result(None)


@dataclass(eq=False, slots=True)
class Waiting:
    """A block without a verdict, and where the verdict belongs."""

    submission: Submission
    request: Request
    place: int


@dataclass(slots=True)
class Draft:
    """A batch in the making: what was admitted or refused so far, in this order."""

    planning: VettedBatch
    items: list[Waiting] = field(default_factory=list)
    results: list[Admission | RuleViolation] = field(default_factory=list)

    def admit(self, items: Sequence[Waiting]) -> None:
        self.items += items
        self.results += [self.planning.admit(item.submission) for item in items]

    def close(self) -> Plan:
        return Plan(self.planning.close(), tuple(self.results))


def take_portion(ready: list[Waiting], taken: int, most: int) -> list[Waiting]:
    """The first of what is `ready`, which is taken out of it: at most `PORTION`, for a batch that
    has `taken` some already and takes `most`. None if it is full.

    The blocks of a small request stay together: one checkpoint then proves them all.
    """
    room = most - taken
    longest = min(room, PORTION, len(ready))
    least = 0 if taken and longest == room else 1
    whole = (at for at in range(longest, least - 1, -1) if not _parts(ready, at))
    count = next(whole, longest)
    portion = ready[:count]
    del ready[:count]
    return portion


def _parts(ready: Sequence[Waiting], at: int) -> bool:
    """Whether the request of the block at place `at` began before it."""
    return 0 < at < len(ready) and ready[at - 1].request is ready[at].request
