"""A map that is really full: a clear verdict, nothing lost, and the log goes on with more room."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from ledger.errors import StoreFull
from ledger.log.cosigning import Cosign, SignedTree
from ledger.log.founding import found
from ledger.log.pool import CheckPool
from ledger.log.replay import batches, replay
from ledger.log.sequencer import Sequencer
from ledger.log.waiting import Admitted, Verdict
from ledger.store.environment import MAP_SIZE
from ledger.store.lmdb import LmdbStore
from ledger.store.private import PrivateStore
from tests.log.world import HEARTBEAT, SETTINGS, Hands, Running, running, until
from tests.support.actors import NOW, LogActor, User, Written
from tests.support.memory import MemoryLog

SMALL = 1 << 18


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledger.log.sequencer._PAUSE", 0.01)


@asynccontextmanager
async def cramped(
    path: Path, *, log_map: int = SMALL, private_map: int = MAP_SIZE, cosign: Cosign | None = None
) -> AsyncIterator[Running]:
    """A new log whose map ends soon."""
    founding, hands = LogActor.make(heartbeat=HEARTBEAT), Hands()
    actor = founding.after
    path.mkdir()  # noqa: ASYNC240
    store = LmdbStore(path / "log", create=True, map_size=log_map)
    private = PrivateStore(path / "private", create=True, map_size=private_map)
    found(store, founding.raw, actor.log_key, NOW)
    async with CheckPool(0, actor.vrf_secret) as pool:
        sequencer = Sequencer(
            store,
            private,
            actor.log_key,
            pool,
            clock=hands.clock(),
            cosign=cosign,
            settings=SETTINGS,
        )
        life = asyncio.create_task(sequencer.run())
        try:
            yield Running(actor, store, private, sequencer, hands, life)
        finally:
            life.cancel()
            await asyncio.wait([life])
            private.close()
            store.close()


async def fill(log: Running) -> tuple[dict[bytes, Admitted], list[Written[User]]]:
    """What was admitted until there was no room, and what then was not."""
    told: dict[bytes, Admitted] = {}
    for number in range(1_000):
        people = [log.user(f"person {number}.{place}") for place in range(4)]
        verdicts = await log.submit(*people)
        left = [p for p, v in zip(people, verdicts, strict=True) if isinstance(v, StoreFull)]
        told |= {
            person.raw: verdict
            for person, verdict in zip(people, verdicts, strict=True)
            if isinstance(verdict, Admitted)
        }
        if left:
            return told, left
    raise AssertionError("never full")


def check(log: Running, told: dict[bytes, Admitted]) -> None:
    """All that was acknowledged is there, and all that is there replays."""
    with log.store.reader() as reader:
        entries = reader.entries(0, reader.head.size)
        replica = MemoryLog()
        replica.log_id = reader.log_id
        for batch in batches(entries):
            replica.apply(replay(replica, batch))
        assert replica.head == reader.head
    for raw, verdict in told.items():
        assert raw in entries[verdict.index]
    assert sum(raw in data for raw in told for data in entries) == len(told)


@pytest.mark.parametrize("which", ["log", "private"])
async def test_a_full_map(tmp_path: Path, which: str) -> None:
    """Neither the log's nor that of the boxes takes anything with it."""
    path = tmp_path / "log"
    log_map, private_map = (SMALL, MAP_SIZE) if which == "log" else (MAP_SIZE, SMALL >> 1)
    async with cramped(path, log_map=log_map, private_map=private_map) as log:
        told, left = await fill(log)
        head = log.head
        again: list[Verdict] = await log.submit(*left)
        assert all(isinstance(verdict, StoreFull) for verdict in again)
        assert not log.sequencer.dead
        assert not log.life.done()
        assert log.head == head
        assert len(told) > 4
        check(log, told)
        # Old blocks are still answered.
        raw, verdict = next(iter(told.items()))
        assert (verdict.index, verdict.time) == (2, NOW), raw
    async with running(path) as log:
        check(log, told)
        for item, admitted in zip(left, await log.admit(*left), strict=True):
            told[item.raw] = admitted
        check(log, told)


@pytest.mark.parametrize("pages", [65, 66])  # refused; staged
async def test_a_map_that_fills_up_between_stage_and_publish(tmp_path: Path, pages: int) -> None:
    """A staged batch waits, under the one root that was signed, until there is room."""
    path, seen = tmp_path / "log", list[bytes]()

    async def witness(tree: SignedTree) -> bytes:
        seen.append(tree.note)
        return tree.note

    async with cramped(path, log_map=pages << 12, cosign=witness) as log:
        told, person = await press_until_full(log, seen)
        assert not log.sequencer.dead
        check(log, told)
    async with running(path, cosign=witness) as log:
        await until(lambda: not log.store.staged())
        (told[person.raw],) = await log.admit(person)
        check(log, told)
    heads = {tuple(note.split(b"\n")[1:3]) for note in seen}
    assert len(heads) == len({size for size, _ in heads}) > 1


async def press_until_full(
    log: Running, seen: list[bytes]
) -> tuple[dict[bytes, Admitted], Written[User]]:
    """What was admitted, and who was not: refused, or staged and asked for again and again."""
    told: dict[bytes, Admitted] = {}
    for number in range(1_000):
        person = log.user(f"person {number}")
        asking = asyncio.create_task(log.submit(person))
        await until(partial(_answered_or_stuck, asking, seen))
        if not asking.done():
            assert log.store.staged()
            return told, person
        (verdict,) = asking.result()
        if isinstance(verdict, StoreFull):
            return told, person
        assert isinstance(verdict, Admitted)
        told[person.raw] = verdict
    raise AssertionError("never full")


def _answered_or_stuck(asking: asyncio.Task[list[Verdict]], seen: list[bytes]) -> bool:
    return asking.done() or (len(seen) > 2 and len(set(seen[-3:])) == 1)
