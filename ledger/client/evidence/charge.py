"""What is wrong with a batch that a replay refused, as evidence says it (80-evidence).

>>> charge = Charge.of(replica, rest)                            # doctest: +SKIP
>>> body = await charge.body(tree)

`of` is asked while the replica stands at the batch before; `body` asks the server for proofs in its
own tree, which the claim under which the batch was shown has signed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ledger.client.evidence.inquiry import Tree
from ledger.client.replay.replica import Replica
from ledger.client.replay.tree import ReplicaTree
from ledger.client.verify import whole
from ledger.errors import MalformedInput, RuleViolation
from ledger.format import block as blocks
from ledger.format import entry
from ledger.format.block import LOG_LABEL, Block
from ledger.format.evidence import (
    Body,
    BrokenRule,
    Leaf,
    Proof,
    Replayable,
    ShownChain,
    WrongAnchor,
    WrongEntry,
    WrongTime,
)
from ledger.log.planner import MAX_ANCHOR_AGE, MAX_BATCH, plan
from ledger.tree.merkle import Frontier, leaf_hash, verify_consistency


@dataclass(frozen=True, slots=True)
class Charge:
    """The entry at `place` of the batch `entries` is wrong, by itself or by `rule`.

    The batch follows `before`, the last leaf of the tree of `frontier`. `chains` are those that a
    rule of the accused block is judged by.
    """

    before: Leaf | None
    frontier: Frontier
    entries: tuple[bytes, ...]
    place: int
    rule: str
    block: Block | None
    chains: tuple[ShownChain, ...] = ()

    @classmethod
    def of(cls, replica: Replica, rest: Sequence[bytes]) -> Charge | None:
        """What is wrong with the first batch of `rest`, which follows the replica's head."""
        batch = _first_batch(rest)
        if not batch:
            return None
        place, rule, block = _fault(replica, batch)
        tree, size = ReplicaTree(replica), replica.head.size
        before = tree.leaf(size - 1) if size else None
        chains: tuple[ShownChain, ...] = ()
        if block and before:
            labels = dict.fromkeys((LOG_LABEL, block.label))
            chains = tuple(tree.shown(label) for label in labels)
        return cls(before, replica.frontier, batch, place, rule, block, chains)

    @property
    def index(self) -> int:
        """The leaf of the accused entry."""
        return self.frontier.size + self.place

    @property
    def accused(self) -> bytes:
        return self.entries[self.place]

    async def body(self, tree: Tree) -> Body | None:
        """The evidence under the checkpoint of `tree`. Leaf 0 is not accused (R-80.4)."""
        note = tree.claim.note
        if not self.index:
            return None
        if self.rule == _BY_ITSELF:
            return WrongEntry(note, await tree.leaf(self.index, self.accused))
        if self.rule == "R-42.5":
            return Replayable(note, await tree.leaf(self.index, self.accused))
        if self.rule == "R-42.3" and self.before:
            before = await tree.leaf(self.before.index, self.before.entry)
            accused = await tree.leaf(self.index, self.accused)
            if entry.parse(before.entry).time > entry.parse(accused.entry).time:
                return WrongTime(note, before, accused)
        if self.rule in ("R-44.1", "R-44.2", "R-44.3"):
            return await self._anchor(tree)
        return await self._rule(tree)

    async def _rule(self, tree: Tree) -> BrokenRule:
        """Kind 2."""
        entries = self.entries[: self.place + 1]
        consistency = await self._consistency(tree, entries)
        chains = () if self.rule in ("R-42.2", "R-42.3") else self.chains
        return BrokenRule(tree.claim.note, self.before, chains, entries, consistency)

    async def _consistency(self, tree: Tree, entries: Sequence[bytes]) -> Proof:
        size, claim = self.index + 1, tree.claim
        root = self.frontier.append(list(map(leaf_hash, entries))).root()
        found, proof = await tree.beginning(size)
        if found != root:
            raise MalformedInput("R-20.4", "the entries are not those of the checkpoint's tree")
        verify_consistency(size, claim.size, proof, root, claim.root)
        return proof

    async def _anchor(self, tree: Tree) -> WrongAnchor:
        """Kind 5: by the anchor's size alone, by the leaf it ends with, or by the tree's root."""
        assert self.block
        anchor, note = self.block.anchor, tree.claim.note
        leaf = await tree.leaf(self.index, self.accused)
        if not 1 <= anchor.size <= self.index:
            return WrongAnchor(note, leaf)
        end = await tree.leaf(anchor.size - 1)
        item, accused = entry.parse(end.entry), entry.parse(self.accused)
        if item.kind == entry.BLOCK or accused.time - item.time > MAX_ANCHOR_AGE:
            return WrongAnchor(note, leaf, end=end)
        root, proof = await tree.beginning(anchor.size)
        if root == anchor.root:
            raise MalformedInput("R-44.2", "the anchor is that of the tree")
        return WrongAnchor(note, leaf, root, proof)


_BY_ITSELF = "R-80.4"
"""Wrong wherever it stands."""

_Fault = tuple[int, str, Block | None]
"""Which entry of a batch, what rule it breaks, and its block, if that is fine by itself."""


def _first_batch(rest: Sequence[bytes]) -> tuple[bytes, ...]:
    """The first batch, or as much of it as there is, to the block that is one too many."""
    for count in range(1, min(len(rest), MAX_BATCH + 1) + 1):
        if whole(rest[count - 1 : count]):
            return tuple(rest[:count])
    return tuple(rest[: MAX_BATCH + 1])


def _fault(replica: Replica, batch: Sequence[bytes]) -> _Fault:
    """What replay would refuse first, as far as evidence tells it apart."""
    found: list[Block] = []
    times: list[int] = []
    for place, data in enumerate(batch):
        try:
            item = entry.parse(data)
            if item.kind == entry.BLOCK:
                found.append(blocks.parse(item.body))
                blocks.verify(found[-1], replica.log_id)
        except (MalformedInput, RuleViolation):
            return place, _BY_ITSELF, None
        times.append(item.time)
    for place, time in enumerate(times):
        if time != times[0] or time < replica.head.time:
            return place, "R-42.3", None
    if len(found) == len(batch):
        # A batch without an end: too many blocks, or the last one ends the tree.
        return len(batch) - 1, "R-42.2" if len(batch) > MAX_BATCH else _BY_ITSELF, None
    for place, result in enumerate(plan(replica, found, times[-1]).results):
        if isinstance(result, RuleViolation):
            return place, result.rule, found[place]
    return len(batch) - 1, "R-42.5", None
