"""Planning a batch: which blocks the rules admit, and what the log is after them. Pure.

`plan(view, blocks, now)` reads what is published through a narrow `View`, changes nothing, and
gives a `Plan`: the `Commit` to perform, and for each block its `Admission` or the `RuleViolation`
that keeps it out. A refused block never fails its neighbours. Signatures are not checked here:
callers do so beside it (`ledger.format.block.checks`).

>>> plan(view, blocks, now=1_700_000_000_000).commit.after.size    # doctest: +SKIP
17
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ledger.errors import RuleViolation, StaleAnchor, StoreError
from ledger.format import entry
from ledger.format.block import LOG_LABEL, Block
from ledger.format.bodies import DAY_MS, ZERO_HASH
from ledger.log.commit import NO_LINK, Commit, Head
from ledger.rules import table
from ledger.rules.context import Context, Outcome
from ledger.rules.state import Chain, LogState, accumulate
from ledger.tree.directory import Directory
from ledger.tree.merkle import EMPTY_ROOT, Frontier, leaf_hash
from ledger.value import value

MAX_BATCH = 4_096
"""R-42.2."""

MAX_ANCHOR_AGE = DAY_MS
"""R-44.3."""


class View(Protocol):
    """What planning reads: one consistent published state."""

    @property
    def log_id(self) -> bytes:
        """SHA-256 of the first block; 32 zero bytes while the log is empty."""

    @property
    def head(self) -> Head: ...

    @property
    def frontier(self) -> Frontier: ...

    @property
    def directory(self) -> Directory: ...

    def chain(self, label: bytes) -> Chain | None:
        """The chain of a label."""

    def batch_end(self, size: int) -> tuple[bytes, int] | None:
        """Root and time of the tree of `size`, if a batch ended there."""

    def leaf(self, number: int) -> bytes:
        """The record of a label in the directory."""


@value
class Admission:
    """An admitted block's leaf index, and what the rules made of it."""

    index: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Plan:
    """`results` answers the blocks in their order."""

    commit: Commit
    results: tuple[Admission | RuleViolation, ...]


Vet = Callable[[Context, Outcome], None]
"""Asks more of a block at its place."""


def _anything(at: Context, outcome: Outcome) -> None:
    """The rules that everyone checks are enough."""


class Ahead:
    """A view of the log as it will be when `commit`, planned on `view`, is published.

    Enough to admit blocks; to close their batch takes the published log (`Batch.follow`).
    """

    def __init__(self, view: View, commit: Commit) -> None:
        self._view = view
        self._commit = commit
        self.log_id = view.log_id
        self.head = commit.after
        self.frontier = commit.frontier

    @property
    def directory(self) -> Directory:
        raise StoreError("the directory moves on when the batch before is published")

    def chain(self, label: bytes) -> Chain | None:
        return self._commit.chains.get(label) or self._view.chain(label)

    def batch_end(self, size: int) -> tuple[bytes, int] | None:
        after = self.head
        return (after.root, after.time) if size == after.size else self._view.batch_end(size)

    def leaf(self, number: int) -> bytes:
        raise StoreError("leaves are written when the batch before is published")


def plan(view: View, blocks: Sequence[Block], now: int) -> Plan:
    """The batch of those of `blocks` (at most 4,096) that the rules admit, at time `now` (ms).

    No blocks give a heartbeat.
    """
    batch = Batch(view, now)
    results = tuple(batch.admit(block) for block in blocks[:MAX_BATCH])
    return Plan(batch.close(), results)


class Batch:
    """A batch in the making: published state below, what this batch changed above.

    Its time is `now` (ms), and never below the batch before (R-73.3).
    """

    def __init__(self, view: View, now: int) -> None:
        self._view = view
        self._time = max(view.head.time, now)
        self._known: dict[bytes, Chain | None] = {}
        self._chains: dict[bytes, Chain] = {}
        self._ends: dict[int, tuple[bytes, int] | None] = {}
        self._entries: list[bytes] = []
        self._leaves: list[bytes] = []
        self._links: list[int] = []
        log = self.chain(LOG_LABEL)
        self._log = log.state if log and isinstance(log.state, LogState) else None

    def admit(self, block: Block, vet: Vet = _anything) -> Admission | RuleViolation:
        """Take in `block`, if the rules admit it, and `vet`, which may raise `RuleViolation`."""
        index = self._view.head.size + len(self._entries)
        try:
            chain = self.chain(block.label)
            at, outcome = self._judge(block, chain, index)
            vet(at, outcome)
        except RuleViolation as violation:
            return violation
        self._append(block, chain, outcome, index)
        return Admission(index, outcome)

    def chain(self, label: bytes) -> Chain | None:
        """The chain of a label, as the batch leaves it so far."""
        # Reading is dear: LMDB lets go of the interpreter, and has to wait to get it back.
        if label not in self._known:
            self._known[label] = self._view.chain(label)
        return self._known[label]

    def follow(self, view: View) -> None:
        """Go on with `view`: what this batch was planned ahead of (`Ahead`) is published there."""
        if view.head != self._view.head:
            raise StoreError("the batch before did not lead to where this one begins")
        self._view = view

    def close(self) -> Commit:
        """Add the directory root (R-42.2), and say what all of it does."""
        before = self._view.head
        values = ((label, chain.value) for label, chain in self._chains.items())
        update = self._view.directory.plan(values, self._view.leaf)
        self._entries.append(entry.directory_root(self._time, update.root))
        self._leaves.append(leaf_hash(self._entries[-1]))
        self._links.append(NO_LINK)
        extension = self._view.frontier.extend(self._leaves)
        after = Head(extension.after.size, extension.after.root(), self._time, update.root)
        entries, links = tuple(self._entries), tuple(self._links)
        return Commit(before, after, entries, links, extension, self._chains, update)

    def _judge(self, block: Block, chain: Chain | None, index: int) -> tuple[Context, Outcome]:
        if self._log is None:
            _check_first_anchor(block)
            log = table.found(block, self._time)
            return Context(block, index, self._time, log, block.hash), Outcome(log)
        at = Context(block, index, self._time, self._log, self._view.log_id)
        outcome = table.apply(at, chain)
        self._check_anchor(block, chain, index)
        return at, outcome

    def _check_anchor(self, block: Block, chain: Chain | None, index: int) -> None:
        size = block.anchor.size
        if not 1 <= size <= index:
            raise RuleViolation("R-44.1", f"an anchor of size {size} at leaf {index}")
        end = self._batch_end(size)
        if end is None or end[0] != block.anchor.root:
            raise RuleViolation(
                "R-44.2", f"no batch of this log ends at size {size} with that root"
            )
        if self._time - end[1] > MAX_ANCHOR_AGE:
            raise StaleAnchor("R-44.3", "the anchor is older than 24 h: sync and rebuild")
        if chain is not None and size <= chain.state.index:
            raise StaleAnchor(
                "R-44.4", "the anchor does not hold the block before: sync and rebuild"
            )

    def _batch_end(self, size: int) -> tuple[bytes, int] | None:
        # Most blocks of a batch share a few anchors.
        if size not in self._ends:
            self._ends[size] = self._view.batch_end(size)
        return self._ends[size]

    def _append(self, block: Block, chain: Chain | None, outcome: Outcome, index: int) -> None:
        data = entry.block(self._time, block.raw)
        leaf = leaf_hash(data)
        length = chain.length + 1 if chain else 1
        accumulator = accumulate(chain.accumulator if chain else ZERO_HASH, index, leaf)
        self._entries.append(data)
        self._leaves.append(leaf)
        self._links.append(chain.state.index if chain else NO_LINK)
        after = Chain.of(length, accumulator, outcome.state)
        self._chains[block.label] = self._known[block.label] = after
        if isinstance(outcome.state, LogState):
            self._log = outcome.state


def _check_first_anchor(block: Block) -> None:
    if block.anchor.size or block.anchor.root != EMPTY_ROOT:
        raise RuleViolation("R-42.4", "the first block is anchored in the empty tree")
