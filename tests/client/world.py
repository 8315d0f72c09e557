"""A small log with two people in it, and a server that can be made to lie about it.

>>> world = World.make()
>>> server = Server(world)
>>> server.note == world.note(len(world.entries))
True
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from ledger.client import verify
from ledger.client.replay.replica import Replica
from ledger.errors import Refused
from ledger.format.wire import encode_proof
from ledger.log.commit import Head
from ledger.tree.merkle import Frontier, consistency_proof, inclusion_proof, leaf_hash, root_of
from ledger.tree.tiles import Bundle, encode_bundle
from tests.support.actors import NOW, LogActor, User
from tests.support.memory import MemoryLog

ADA = b"a" * 32
BOB = b"b" * 32
EARLY = 5


@dataclass
class World:
    """A log of four batches: its first block; ada and bob; ada's phone; the phone revoked.

    `early` is ada as she was before she had a phone, at size `EARLY`.
    """

    actor: LogActor
    log: MemoryLog
    early: User
    ada: User
    bob: User

    @classmethod
    def make(cls, origin: str = "example.com/log") -> World:
        founding = LogActor.make(origin)
        actor, log = founding.after, MemoryLog(founding.raw)
        ada = User.create(actor, "ada@example.org", log.anchor, label=ADA)
        bob = User.create(actor, "bob@example.org", log.anchor, label=BOB)
        log.admit([ada.raw, bob.raw])
        phone = ada.after.add(log.anchor)
        log.admit([phone.raw])
        revoked = phone.after.revoke(log.anchor, 1)
        log.admit([revoked.raw])
        return cls(actor, log, ada.after, revoked.after, bob.after)

    @property
    def entries(self) -> list[bytes]:
        return self.log.entries

    def note(self, size: int) -> bytes:
        """The checkpoint over the first `size` entries."""
        return self.sign(self.entries[:size])

    def sign(self, entries: list[bytes]) -> bytes:
        """What the log's operator can sign: a checkpoint over any entries."""
        return self.actor.note(Head(len(entries), root_of(list(map(leaf_hash, entries)))))


class Server:
    """Fills the `Transport` port from a list of entries and a note. Change them to lie."""

    def __init__(self, world: World, entries: list[bytes] | None = None) -> None:
        self.world = world
        self.entries = list(world.entries if entries is None else entries)
        self.note = world.sign(self.entries)
        self.asked: list[str] = []

    async def checkpoint(self) -> bytes:
        self.asked.append("checkpoint")
        await asyncio.sleep(0)
        return self.note

    async def bundle(self, bundle: Bundle) -> bytes:
        self.asked.append(bundle.path())
        start = bundle.index * 256
        return encode_bundle(self.entries[start : start + bundle.width])

    async def consistency(self, old: int, new: int) -> bytes:
        self.asked.append(f"consistency {old} {new}")
        extension = Frontier().extend([leaf_hash(data) for data in self.entries])
        return encode_proof(consistency_proof(old, new, extension.read))

    async def inclusion(self, index: int, size: int) -> bytes:
        self.asked.append(f"inclusion {index} {size}")
        extension = Frontier().extend([leaf_hash(data) for data in self.entries])
        return encode_proof(inclusion_proof(index, size, extension.read))

    async def covered(self) -> bytes:
        raise Refused(404, "not-found", "this log has no auditors")

    async def chain(self, label: bytes, start: int) -> bytes:
        raise Refused(404, "no-chain", "this server has none")

    async def submit(self, request: bytes) -> bytes:
        raise Refused(404, "not-found", "this server takes none")

    async def label(self, request: bytes) -> bytes:
        raise Refused(403, "forbidden", "this server tells none")

    async def box(self, request: bytes) -> bytes:
        raise Refused(404, "no-box", "this server has none")

    async def group_boxes(self, request: bytes) -> bytes:
        raise Refused(403, "forbidden", "this server has none")

    async def statements(self, request: bytes) -> bytes:
        raise Refused(403, "forbidden", "this server shows none")

    async def leave(self, request: bytes) -> None:
        raise Refused(403, "forbidden", "this server keeps none")

    async def grant(self, request: bytes) -> None:
        raise Refused(403, "forbidden", "this server keeps none")


def replica_of(world: World, size: int = 0) -> Replica:
    """A replica in memory that has followed the log to `size`."""
    replica = Replica.open(":memory:", world.actor.log_id)
    if size:
        fill(replica, world, size)
    return replica


def fill(replica: Replica, world: World, size: int) -> None:
    """Follow the log to `size`."""
    note, start = world.note(size), replica.head.size
    log = verify.first_block(world.entries[0], replica.log_id)
    claim = verify.open_claim(note, log, replica.head)
    with replica.transaction():
        for commit in verify.follow(replica, claim, world.entries[start:size]):
            replica.apply(commit)
        replica.accept(note)


LATER = NOW + 1_000
"""A moment at which the log of a `World` is fresh."""
