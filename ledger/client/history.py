"""The story of one chain: what each of its blocks did. Pure.

A state says how things are; a history says how they came to be so: which device brought in which,
what was loud, to whom a block's boxes went. It is worked out again from the chain's own entries,
which somebody has verified before: signatures and anchors are not checked here, rules are.

>>> for step in history(log, log_id, entries):          # doctest: +SKIP
...     print(step.time, step.block.type, step.outcome.events)
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ledger.errors import RuleViolation
from ledger.format import block as blocks
from ledger.format import entry
from ledger.format.block import Block
from ledger.format.bodies import ZERO_HASH
from ledger.rules import table
from ledger.rules.context import Context, Outcome
from ledger.rules.state import Chain, LogState, accumulate
from ledger.rules.users import LoudEvent
from ledger.tree.merkle import leaf_hash


@dataclass(frozen=True, slots=True)
class Step:
    """One block of a chain, at leaf `index` since `time` (ms), and the chain after it."""

    block: Block
    index: int
    time: int
    outcome: Outcome
    chain: Chain


@dataclass(frozen=True, slots=True)
class Event:
    """Something loud that happened to `label`, in the block at leaf `index`, at `time` (ms)."""

    kind: LoudEvent
    label: bytes
    index: int
    time: int


def log_history(log_id: bytes, entries: Iterable[tuple[int, bytes]]) -> list[LogState]:
    """The log's own states, one a block of the zero label; `entries` are (leaf index, entry)."""
    states: list[LogState] = []
    chain: Chain | None = None
    for index, data in entries:
        chain = step(states, log_id, chain, index, data).chain
        if not isinstance(chain.state, LogState):
            raise RuleViolation("R-43.2", "a block of another chain")
        states.append(chain.state)
    return states


def log_before(log: Sequence[LogState], index: int) -> LogState:
    """The log's own state just before leaf `index`, which is not the first."""
    return log[_count_before(log, index) - 1]


def _count_before(log: Sequence[LogState], index: int) -> int:
    """How many of the log's own blocks stand before leaf `index`."""
    return bisect_left(log, index, key=lambda state: state.index)


def history(
    log: Sequence[LogState],
    log_id: bytes,
    entries: Iterable[tuple[int, bytes]],
    chain: Chain | None = None,
) -> Iterator[Step]:
    """The steps of a user's or a group's chain, whose `entries` are (leaf index, entry).

    They are those that follow `chain`, from the first on if it is None. Raises `MalformedInput` or
    `RuleViolation` where they are no chain of this log.
    """
    for index, data in entries:
        found = step(log, log_id, chain, index, data)
        chain = found.chain
        yield found


def events(steps: Iterable[Step]) -> list[Event]:
    """What was loud in `steps`."""
    return [
        Event(LoudEvent(code), step.block.label, step.index, step.time)
        for step in steps
        for code in step.outcome.events
    ]


def step(
    log: Sequence[LogState], log_id: bytes, chain: Chain | None, index: int, data: bytes
) -> Step:
    """What the entry `data` at leaf `index` does to `chain`, by the rules alone.

    `log` are the log's own states so far, none for its first block.
    """
    item = entry.parse(data)
    block = blocks.parse(item.body)
    before = _count_before(log, index)
    if before:
        outcome = table.apply(Context(block, index, item.time, log[before - 1], log_id), chain)
    else:
        outcome = Outcome(table.found(block, item.time))
    accumulator = accumulate(chain.accumulator if chain else ZERO_HASH, index, leaf_hash(data))
    after = Chain.of(block.seq + 1, accumulator, outcome.state)
    return Step(block, index, item.time, outcome, after)
