"""A log replayed in order: the rules, the chains, the anchors, the directory, batch by batch.

It takes entries that were opened (in any process) and the roots of the tree they stand in, and
keeps its rows where it is told to: dictionaries here, tables on disk in `state`. After `close` has
returned, everything up to there has been checked and the rows are those of a whole batch.

    replay = Replay(log_id, chains={}, bounds={}, directory=Directory({}))
    replay.block(time, leaf, block)
    replay.close(time, body, tree_root)

An auditor who has the groups' statements adds `replay.statement(block, before, statement)`.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Protocol

from verifier import cbor, groups
from verifier.blocks import GROUP_CREATE, ZERO, Block
from verifier.directory import Directory, accumulate, value
from verifier.directory import leaf as directory_leaf
from verifier.errors import BrokenRule, Undecided
from verifier.groups import Membership, Scene, Statement
from verifier.merkle import EMPTY_ROOT
from verifier.rules import apply, check_link, create_log
from verifier.states import Chain, LogState, Place, State, restore

MAX_BATCH = 4_096
MAX_ANCHOR_AGE = 86_400_000


class Chains(Protocol):
    """Rows by label."""

    def get(self, label: bytes, /) -> bytes | None: ...
    def __setitem__(self, label: bytes, row: bytes, /) -> None: ...


class Bounds(Protocol):
    """Rows by the size of the tree that ends with a batch."""

    def get(self, size: int, /) -> bytes | None: ...
    def __setitem__(self, size: int, row: bytes, /) -> None: ...


class Replay:
    """A log up to `size` entries. `time` is that of its last batch."""

    def __init__(
        self,
        log_id: bytes,
        chains: Chains,
        bounds: Bounds,
        directory: Directory,
        memberships: Chains | None = None,
        *,
        size: int = 0,
        time: int = 0,
    ) -> None:
        self.log_id = log_id
        self.size = size
        self.time = time
        self.log: LogState | None = None
        self._chains = chains
        self._bounds = bounds
        self._directory = directory
        self._memberships: Chains = {} if memberships is None else memberships
        self._batch: dict[bytes, bytes] = {}  # the new leaves of the batch that is open
        self._blocks = 0
        self._batch_time = time
        if size:
            chain = self._chain(ZERO)
            assert chain is not None
            assert isinstance(chain.state, LogState)
            self.log = chain.state

    def state(self, label: bytes) -> State | None:
        """What a chain resolves to now."""
        chain = self._chain(label)
        return chain and chain.state

    def membership(self, label: bytes) -> Membership | None:
        """Who is in a group now, if its statements were told."""
        row = self._memberships.get(label)
        return None if row is None else Membership.restore(row)

    def directory_root(self) -> bytes:
        return self._directory.root()

    @property
    def batch_start(self) -> int:
        """The leaf with which the batch begins that is open."""
        return self.size - self._blocks

    def block(self, time: int, leaf: bytes, block: Block) -> tuple[State | None, State]:
        """The next entry, of kind 0, and its leaf hash: its chain's state before and after."""
        index = self.size
        if self._blocks >= MAX_BATCH:
            raise BrokenRule("R-42.2", f"a batch of more than {MAX_BATCH} blocks", index)
        self._check_time(time)
        try:
            states = self._admit(block, index, time, leaf)
        except BrokenRule as error:
            error.index = index
            raise
        self._blocks += 1
        self.size += 1
        return states

    def statement(self, block: Block, before: State | None, statement: Statement) -> None:
        """What the last block, one of a group, says by its statement; `before` is that chain's."""
        assert self.log is not None
        membership = self.membership(block.label)
        if (membership is None) != (block.kind == GROUP_CREATE):
            raise Undecided("the local state is damaged: memberships and chains do not match")
        scene = Scene(before, self.state(statement.author), self.log.limits.members)
        try:
            after = groups.apply(membership, block, statement, scene)
        except BrokenRule as error:
            error.index = self.size - 1
            raise
        self._memberships[block.label] = after.content()

    def close(self, time: int, body: bytes, tree_root: bytes) -> None:
        """The next entry, of kind 1. `tree_root` is the root of the tree that ends with it."""
        if self.log is None:
            raise BrokenRule("R-42.4", "entry 0 is not log.create", self.size)
        self._check_time(time)
        if self._directory.update(self._batch) != body:
            raise BrokenRule("R-42.5", "the directory root does not follow from the log", self.size)
        self._batch = {}
        self._blocks = 0
        self.size += 1
        self.time = time
        self._bounds[self.size] = time.to_bytes(8, "big") + tree_root

    def finish(self) -> None:
        """R-42.2, R-61.4: a published tree ends at the end of a batch."""
        if self._blocks or not self.size:
            raise BrokenRule("R-42.2", "the tree does not end with a directory root", self.size - 1)

    def _check_time(self, time: int) -> None:
        """R-42.3."""
        if self._blocks and time != self._batch_time:
            raise BrokenRule("R-42.3", "two times in one batch", self.size)
        if time < self.time:
            raise BrokenRule("R-42.3", "time runs backwards", self.size)
        self._batch_time = time

    def _admit(
        self, block: Block, index: int, time: int, leaf: bytes
    ) -> tuple[State | None, State]:
        chain: Chain | None = None
        state: State
        if self.log is None:
            state = create_log(block, index, time)
            if (block.anchor_size, block.anchor_root) != (0, EMPTY_ROOT):
                raise BrokenRule("R-42.4", "the anchor of log.create is that of the empty tree")
            if block.hash != self.log_id:
                raise BrokenRule("R-61.1", "the first block does not hash to the log id")
        else:
            chain = self._chain(block.label)
            check_link(chain, block, self.log)
            self._check_anchor(block, index, time, chain)
            state = apply(chain, block, Place(index, time, self.log_id, self.log))
        self._keep(block.label, chain, state, index, leaf)
        return chain and chain.state, state

    def _check_anchor(self, block: Block, index: int, time: int, chain: Chain | None) -> None:
        size = block.anchor_size
        if not 1 <= size <= index:
            raise BrokenRule("R-44.1", f"an anchor of size {size}")
        bound = self._bounds.get(size)
        if bound is None or bound[8:] != block.anchor_root:
            raise BrokenRule("R-44.2", f"the anchor is no tree of size {size} of this log")
        if time - int.from_bytes(bound[:8], "big") > MAX_ANCHOR_AGE:
            raise BrokenRule("R-44.3", "the anchor is more than a day old")
        if chain is not None and size <= chain.state.leaf_index:
            raise BrokenRule("R-44.4", "the anchor does not hold the chain's previous block")

    def _chain(self, label: bytes) -> Chain | None:
        row = self._chains.get(label)
        if row is None:
            return None
        state = restore(cbor.restore(row[40:]))
        return Chain(int.from_bytes(row[:8], "big"), row[8:40], state)

    def _keep(
        self, label: bytes, chain: Chain | None, state: State, index: int, leaf: bytes
    ) -> None:
        length, before, _ = chain or (0, ZERO, None)
        accumulator = accumulate(before, index, leaf)
        content = cbor.encode(tuple(state))
        held = value(length + 1, accumulator, sha256(content).digest())
        self._batch[label] = directory_leaf(label, held)
        self._chains[label] = (length + 1).to_bytes(8, "big") + accumulator + content
        if isinstance(state, LogState):
            self.log = state
