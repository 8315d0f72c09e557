"""A real log on LMDB with its sequencer in this process, and a clock that tests may turn.

>>> async with Running.start(tmp_path) as log:                # doctest: +SKIP
...     (verdict,) = await log.submit(User.create(log.actor, "ada@example.org", log.anchor))
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ledger.format.block import Anchor
from ledger.format.wire import Submission
from ledger.log.clock import Clock
from ledger.log.commit import Head
from ledger.log.cosigning import Cosign
from ledger.log.founding import found
from ledger.log.pool import CheckPool
from ledger.log.sequencer import Sequencer, Settings, Written
from ledger.log.waiting import Admitted, Verdict
from ledger.store.lmdb import LmdbStore
from ledger.store.port import Store
from ledger.store.private import PrivateStore
from ledger.tree.merkle import inclusion_proof, leaf_hash, verify_inclusion
from ledger.tree.tiles import node_reader
from tests.support import actors
from tests.support.actors import NOW, LogActor, User

SETTINGS = Settings(max_queue=200, linger=0.0)
HEARTBEAT = 60_000


@dataclass
class Hands:
    """A clock's: both are turned by the test."""

    wall: int = NOW
    monotonic: float = 0.0

    def clock(self) -> Clock:
        return Clock(lambda: self.wall, lambda: self.monotonic)

    def pass_by(self, milliseconds: int) -> None:
        self.wall += milliseconds
        self.monotonic += milliseconds / 1000


@dataclass
class Running:
    """A sequencer at work."""

    actor: LogActor
    store: Store
    private: PrivateStore
    sequencer: Sequencer
    hands: Hands
    life: asyncio.Task[None]
    batches: list[Written] = field(default_factory=list)

    @property
    def head(self) -> Head:
        with self.store.reader() as reader:
            return reader.head

    @property
    def anchor(self) -> Anchor:
        return Anchor(self.head.size, self.head.root)

    def user(self, name: str) -> actors.Written[User]:
        """A user.create."""
        return User.create(self.actor, name, self.anchor)

    async def submit(self, *written: actors.Written[Any]) -> list[Verdict]:
        return await self.sequencer.submit([submission(item) for item in written])

    async def admit(self, *written: actors.Written[Any]) -> list[Admitted]:
        """Submit what must be admitted, and look whether it is there."""
        verdicts = await self.submit(*written)
        admitted = [verdict for verdict in verdicts if isinstance(verdict, Admitted)]
        assert len(admitted) == len(written), verdicts
        for item, verdict in zip(written, admitted, strict=True):
            check_published(self.store, item.raw, verdict)
        return admitted


@asynccontextmanager
async def running(
    path: Path,
    *,
    hands: Hands | None = None,
    cosign: Cosign | None = None,
    settings: Settings = SETTINGS,
    wrap: Callable[[Store], Store] = lambda store: store,
    workers: int = 0,
) -> AsyncIterator[Running]:
    """The log in `path`, begun if there is none. `wrap` may put something between."""
    hands = hands or Hands()
    founding = LogActor.make(heartbeat=HEARTBEAT)
    actor = founding.after
    fresh = not path.exists()  # noqa: ASYNC240 - a test's own directory
    store = LmdbStore(path / "log", create=fresh)
    private = PrivateStore(path / "private", create=fresh)
    if fresh:
        found(store, founding.raw, actor.log_key, hands.wall)
    try:
        async with CheckPool(workers, actor.vrf_secret) as pool:
            batches: list[Written] = []
            between = wrap(store)
            sequencer = Sequencer(
                between,
                private,
                actor.log_key,
                pool,
                clock=hands.clock(),
                cosign=cosign,
                settings=settings,
                observe=batches.append,
            )
            life = asyncio.create_task(sequencer.run())
            try:
                yield Running(actor, store, private, sequencer, hands, life, batches)
            finally:
                sequencer.stop()
                # A test that leaves the sequencer waiting for ever has meant to.
                await asyncio.wait([life], timeout=5)
                life.cancel()
                await asyncio.wait([life])
    finally:
        private.close()
        store.close()


async def until(condition: Callable[[], object]) -> None:
    """Wait until something that is looked at from outside has come about."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def submission(written: actors.Written[Any]) -> Submission:
    return Submission(written.raw, written.boxes, written.opening, written.statement)


def check_published(store: Store, raw: bytes, verdict: Admitted) -> None:
    """The block is where the verdict says, and its receipt leads to the tree of its batch."""
    with store.reader() as reader:
        (data,) = reader.entries(verdict.index, verdict.index + 1)
        assert raw in data
        leaf, size = leaf_hash(data), reader.head.size
        proof = inclusion_proof(verdict.index, size, node_reader(size, reader.tile))
        verify_inclusion(leaf, verdict.index, size, proof, reader.head.root)
    if verdict.receipts:
        after = verdict.receipts.extension.after
        proof = verdict.receipts.proof(verdict.index)
        verify_inclusion(leaf, verdict.index, after.size, proof, after.root())
