"""An auditor who stops after each batch, and goes on from their rows: the verifier's own replay.

>>> world = World()
>>> auditor = Auditor.of(world)
>>> auditor.output == {"tree": world.log.head.root.hex(), "memberships": {},
...                    "directory": world.log.head.directory.hex()}
True
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.vectors.case import Judgement, Output
from tests.vectors.world import World
from verifier.blocks import GROUP_TYPES, open_block, open_entry
from verifier.directory import Directory
from verifier.errors import Invalid
from verifier.groups import Membership, open_statement
from verifier.keys import run_check
from verifier.merkle import leaf_hash, prefix_root, tile_levels
from verifier.replay import Replay


@dataclass(frozen=True, slots=True)
class Auditor:
    """`chains`, `bounds`, `slots` and `held` (memberships) are the rows, as they lie on disk."""

    log_id: bytes
    leaves: tuple[bytes, ...] = ()
    time: int = 0
    chains: Mapping[bytes, bytes] = field(default_factory=dict)
    bounds: Mapping[int, bytes] = field(default_factory=dict)
    slots: Mapping[str, bytes] = field(default_factory=dict)
    held: Mapping[bytes, bytes] = field(default_factory=dict)

    @classmethod
    def of(cls, world: World) -> Auditor:
        """Who has seen the whole of a log and its statements."""
        return cls(world.log.log_id).follow(world.log.entries, dict(world.statements))

    @property
    def directory(self) -> Directory:
        rows = [(key, row) for key, row in self.slots.items() if len(key) == 4]
        return Directory(dict(self.slots), rows)

    @property
    def output(self) -> Output:
        """As of kind `group`."""
        levels = tile_levels(self.leaves)
        found = {k.hex(): Membership.restore(row).digest().hex() for k, row in self.held.items()}
        return {
            "directory": self.directory.root().hex(),
            "memberships": found,
            "tree": prefix_root(levels, len(self.leaves)).hex(),
        }

    def follow(self, entries: Sequence[bytes], statements: Mapping[int, bytes] | None) -> Auditor:
        """The auditor after these entries, whole batches, or `Invalid`. Statements by leaf index;
        none for who may not read them.
        """
        chains, bounds = dict(self.chains), dict(self.bounds)
        slots, held = dict(self.slots), dict(self.held)
        rows = [(key, row) for key, row in slots.items() if len(key) == 4]
        directory = Directory(slots, rows)
        size = len(self.leaves)
        replay = Replay(self.log_id, chains, bounds, directory, held, size=size, time=self.time)
        leaves = (*self.leaves, *map(leaf_hash, entries))
        levels = tile_levels(leaves)
        for index, data in enumerate(entries, size):
            entry = open_entry(data)
            if entry.kind == 1:
                replay.close(entry.time, entry.content, prefix_root(levels, index + 1))
                continue
            block = open_block(entry.content, self.log_id)
            before, _ = replay.block(entry.time, leaves[index], block)
            if statements is not None and block.kind in GROUP_TYPES:
                said, checks = open_statement(statements[index], block.body[0], self.log_id)
                for check in checks:
                    run_check(check)
                replay.statement(block, before, said)
        replay.finish()
        return Auditor(self.log_id, leaves, replay.time, chains, bounds, slots, held)

    def judge(self, entries: Sequence[bytes], statements: Mapping[int, bytes] | None) -> Judgement:
        """The verdict on these entries."""
        try:
            self.follow(entries, statements)
        except Invalid as error:
            return Judgement(error.verdict, error.rule)
        return Judgement("ok")
