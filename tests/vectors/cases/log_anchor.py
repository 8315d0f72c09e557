"""Anchors at each of their boundaries (R-44)."""

from __future__ import annotations

from collections.abc import Iterator

from ledger.format.block import Anchor
from ledger.format.bodies import DAY_MS
from ledger.tree.merkle import EMPTY_ROOT, leaf_hash, root_of
from tests.support.actors import NOW, User
from tests.vectors.case import Case
from tests.vectors.world import BOB, World, label_of


def at(world: World, size: int) -> Anchor:
    """An anchor in the true tree of `size`, whether a batch ended there or not."""
    return Anchor(size, root_of([leaf_hash(data) for data in world.log.entries[:size]]))


def cases() -> Iterator[Case]:
    yield from sizes()
    yield from firsts()
    yield from batchmates()
    yield from ages()


def sizes() -> Iterator[Case]:
    """Leaves: 0 log.create · 2 Ada · 4 Bob, 5 Ada's second device · 7 nothing. Next: leaf 8."""
    world = World()
    ada = world.create()
    created = User.create(world.actor, BOB, world.anchor, label=label_of(BOB))
    added = ada.add(world.anchor)
    world.log.admit([created.raw, added.raw], world.now)
    world.users += [created.after, added.after]
    ada = added.after
    world.heartbeat()
    index = world.log.head.size

    def ok(name: str, size: int, shows: str) -> Case:
        return world.ok(f"anchor-{name}", shows, ada.add(at(world, size)).raw)

    def bad(name: str, rule: str, nearest: str, shows: str, anchor: Anchor) -> Case:
        raw = ada.add(anchor).raw
        return world.bad(f"anchor-{name}", rule, f"anchor-{nearest}", shows, raw)

    yield ok("newest", index, "The anchor holds all that was published: its size is the own index.")
    yield ok("least", 7, "The anchor ends with the batch of the chain's previous block.")
    shows = "The anchor ends with the batch before that of the chain's previous block."
    yield bad("before-prev", "R-44.4", "least", shows, at(world, 4))
    shows = (
        "The anchor's size is the previous block's leaf index: one too small, and no batch's end."
    )
    yield bad("prev-index", "R-44.2", "least", shows, at(world, 5))
    shows = "The anchor's last entry is the previous block itself: no batch ends there."
    yield bad("prev-index-plus-1", "R-44.2", "least", shows, at(world, 6))
    newest = at(world, index)
    shows = "The anchor's size is one more than the own index: it would hold the block itself."
    yield bad("beyond-own", "R-44.1", "newest", shows, Anchor(index + 1, newest.root))
    shows = "The anchor's size is far beyond the log's."
    yield bad("far-beyond", "R-44.1", "newest", shows, Anchor(2**63 - 1, newest.root))
    shows = "The size is right, the root is not: the author saw another history."
    yield bad("other-root", "R-44.2", "newest", shows, Anchor(index, bytes([1] * 32)))
    shows = "The root is that of an older tree of the same log."
    yield bad("older-root", "R-44.2", "newest", shows, Anchor(index, at(world, 7).root))


def firsts() -> Iterator[Case]:
    world = World()
    world.create()

    def create(anchor: Anchor) -> bytes:
        return User.create(world.actor, BOB, anchor, label=label_of(BOB)).raw

    shows = "A first block may anchor in any batch's end, such as the log's first."
    yield world.ok("anchor-first-batch", shows, create(at(world, 2)))
    shows = "Nothing but log.create anchors in the empty tree."
    raw = create(Anchor(0, EMPTY_ROOT))
    yield world.bad("anchor-empty", "R-44.1", "anchor-first-batch", shows, raw)
    shows = "A tree of size 1 ends with log.create, not with a directory root."
    raw = create(at(world, 1))
    yield world.bad("anchor-size-1", "R-44.2", "anchor-first-batch", shows, raw)


def batchmates() -> Iterator[Case]:
    world = World()
    ada = world.create()
    create = User.create(world.actor, BOB, world.anchor, label=label_of(BOB)).raw
    add = ada.add(world.anchor)
    shows = "Blocks of different chains share a batch, and each anchors before it."
    yield world.ok("batch-two-chains", shows, create, add.raw)
    second = add.after.add(world.anchor)
    shows = "Two blocks of one chain never share a batch: the second's anchor lacks the first."
    nearest = "batch-two-chains"
    yield world.bad("batch-one-chain", "R-44.4", nearest, shows, add.raw, second.raw)
    inside = world.batch(create)[0]
    leaves = [leaf_hash(data) for data in (*world.log.entries, inside)]
    raw = ada.add(Anchor(len(leaves), root_of(leaves))).raw
    shows = "The anchor's size is the own index, and its last entry a block of the same batch."
    yield world.bad("batch-anchor-inside", "R-44.2", nearest, shows, create, raw)


def ages() -> Iterator[Case]:
    world = World()
    ada = world.create()
    old = ada.add(world.anchor)
    shows = "The anchor is exactly 24 hours old."
    yield world.ok("anchor-24-h", shows, old.raw, now=NOW + DAY_MS)
    shows = "The anchor is 24 hours and 1 ms old."
    nearest = "anchor-24-h"
    yield world.bad("anchor-over-24-h", "R-44.3", nearest, shows, old.raw, now=NOW + DAY_MS + 1)
    world.heartbeat(NOW + 1)
    fresh = ada.add(world.anchor)
    shows = "A heartbeat makes the anchor younger: its age counts from its own last entry."
    now = NOW + DAY_MS + 1
    yield world.ok("anchor-heartbeat", shows, fresh.raw, now=now)
