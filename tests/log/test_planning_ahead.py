"""The next batch is admitted while the one before is being written, as if it were after it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ledger.errors import RuleViolation, StoreError, StoreFull
from ledger.format.statement import Role
from ledger.log.admission import Submission, VettedBatch
from ledger.log.commit import Commit
from ledger.log.planner import Admission
from ledger.log.pool import Failure, Job
from ledger.log.sequencer import Settings
from ledger.log.waiting import Admitted
from ledger.rules.membership import Kind
from ledger.store.port import Store
from tests.log.test_sequencer import Between
from tests.log.world import Running, running, until
from tests.support.actors import NOW, LogActor, User, Written, seed
from tests.support.groups import Group, Member
from tests.support.memory import MemoryLog

FOUNDING = LogActor.make()


@dataclass
class Town:
    """A log, and the memberships that its server has on disk."""

    log: MemoryLog = field(default_factory=lambda: MemoryLog(FOUNDING.raw))
    memberships: dict[tuple[int, bytes], bytes] = field(default_factory=dict)

    def begin(self) -> VettedBatch:
        return VettedBatch(self.log, NOW, lambda *at: self.memberships.get(at))

    def write(self, batch: VettedBatch, commit: Commit) -> None:
        for item in batch.items:
            if item.statement:
                self.memberships[item.index, item.block_hash] = item.statement[1]
        self.log.apply(commit)

    def user(self, name: str) -> Written[User]:
        return User.create(FOUNDING.after, name, self.log.anchor, label=seed("label", name))


def offer(batch: VettedBatch, written: list[Written[Any]]) -> list[str]:
    """The rules that refuse, '' for what is admitted."""
    results = [batch.admit(one.submission) for one in written]
    return [result.rule if isinstance(result, RuleViolation) else "" for result in results]


def a_busy_day(town: Town) -> tuple[list[Written[Any]], list[Written[Any]]]:
    """Two batches, the second of which leans on the first, or goes against it."""
    ada = town.user("ada")
    town.write(batch := town.begin(), close(batch, [ada]))
    anchor = town.log.anchor
    bob, flat = town.user("bob"), Group.create("flat", anchor, ada.after, {ada.after: Role.ADMIN})
    phone = ada.after.add(anchor)
    members: dict[Member, Role] = {ada.after: Role.ADMIN, flat.after: Role.GROUP}
    house = Group.create("house", anchor, ada.after, members, kind=Kind.COMPOUND)
    return [bob, flat, phone], [
        house,  # holds a group of the batch before
        bob,  # the same once more
        phone.after.add(anchor),  # not anchored beyond the block before
        ada.after.close(anchor),  # on a head that has moved on
        town.user("carol"),
    ]


def close(batch: VettedBatch, written: list[Written[Any]]) -> Commit:
    assert set(offer(batch, written)) == {""}
    return batch.close()


def test_a_batch_begun_ahead_is_the_one_begun_afterwards() -> None:
    town = Town()
    first, second = a_busy_day(town)
    batch = town.begin()
    commit = close(batch, first)
    ahead = batch.next(commit, NOW)
    early = offer(ahead, second[:3])
    town.write(batch, commit)
    ahead.follow(town.log)
    early += offer(ahead, second[3:])
    later = town.begin()
    assert early == offer(later, second) == ["", "R-43.2", "R-44.4", "R-43.1", ""]
    one, two = ahead.close(), later.close()
    assert (one.before, one.after, one.entries, one.links) == (
        two.before,
        two.after,
        two.entries,
        two.links,
    )
    assert (one.chains, one.directory.writes) == (two.chains, two.directory.writes)
    assert ahead.items == later.items


def test_a_batch_begun_ahead_is_closed_only_on_what_it_was_begun_for() -> None:
    town = Town()
    first, second = a_busy_day(town)
    batch = town.begin()
    ahead = batch.next(close(batch, first), NOW)
    offer(ahead, second)
    with pytest.raises(StoreError, match="published"):
        ahead.close()
    with pytest.raises(StoreError, match="did not lead"):
        ahead.follow(town.log)


@dataclass
class Gate:
    """Holds up what is written, until it is opened; `early` is what was planned meanwhile.

    It stands for the disk, or if it is `filling`, for the transaction that is made ready for it.
    """

    entered: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)
    failure: Exception | None = None
    filling: bool = False
    early: list[bytes] = field(default_factory=list)

    def wrap(self, store: Store) -> Store:
        gate = self

        class Held(Between):
            def perform(
                self, commit: Commit, note: bytes, syncing: Callable[[], None] | None = None
            ) -> None:
                assert syncing
                gate.entered.set()
                if not gate.filling:
                    syncing()
                gate.opened.wait(10)
                failure, gate.failure = gate.failure, None
                if failure:
                    raise failure
                super().perform(commit, note, syncing)

        return Held(store)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    found, admit = Gate(), VettedBatch.admit
    monkeypatch.setattr("ledger.log.sequencer._PAUSE", 0.01)

    def watched(batch: VettedBatch, submission: Submission) -> Admission | RuleViolation:
        if found.entered.is_set() and not found.opened.is_set():
            found.early.append(submission.block.label)
        return admit(batch, submission)

    monkeypatch.setattr(VettedBatch, "admit", watched)
    return found


async def while_writing(log: Running, gate: Gate) -> tuple[list[Any], list[Written[User]]]:
    """Ada is being written; Bob and Carol come meanwhile, and the gate is opened."""
    people = [log.user(name) for name in ("ada", "bob", "carol")]
    asked = [asyncio.create_task(log.submit(people[0]))]
    await until(gate.entered.is_set)
    asked += [asyncio.create_task(log.submit(one)) for one in people[1:]]
    await until(lambda: len(gate.early) == 2)
    gate.opened.set()
    return [verdict for (verdict,) in await asyncio.gather(*asked)], people


async def test_the_next_batch_is_admitted_while_one_is_written(tmp_path: Path, gate: Gate) -> None:
    async with running(tmp_path / "log", wrap=gate.wrap) as log:
        verdicts, people = await while_writing(log, gate)
        assert set(gate.early) == {one.after.label for one in people[1:]}
        assert {verdict.index for verdict in verdicts} == {2, 4, 5}
        assert [batch.blocks for batch in log.batches] == [1, 2]
        assert await log.admit(*people) == verdicts


async def test_planning_begins_while_others_are_checked(
    tmp_path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledger.log.sequencer._PATIENCE", 30.0)
    gate.entered.set()
    async with running(tmp_path / "log", wrap=gate.wrap) as log:
        people = [log.user(name) for name in ("ada", "bob", "carol", "dan")]
        checked, checks = asyncio.Event(), log.sequencer._pool.check

        async def late(jobs: Sequence[Job]) -> list[Failure | None]:
            await checked.wait()
            return await checks(jobs)

        asked = [asyncio.create_task(log.submit(people[0]))]
        await asyncio.sleep(0)
        log.sequencer._pool.check = lambda jobs: asyncio.ensure_future(late(jobs))  # type: ignore[method-assign]
        asked += [asyncio.create_task(log.submit(one)) for one in people[1:]]
        await until(lambda: len(gate.early) == 1)
        assert [batch.blocks for batch in log.batches] == []
        checked.set()
        gate.opened.set()
        verdicts = [verdict for (verdict,) in await asyncio.gather(*asked)]
        assert [batch.blocks for batch in log.batches] == [4]
        assert {verdict.index for verdict in verdicts if isinstance(verdict, Admitted)} == {
            *range(2, 6)
        }


async def test_nothing_is_planned_beside_a_transaction_that_is_filled(
    tmp_path: Path, gate: Gate
) -> None:
    """Its thread would wait for the interpreter at every record."""
    gate.filling = True
    async with running(tmp_path / "log", wrap=gate.wrap) as log:
        people = [log.user(name) for name in ("ada", "bob", "carol")]
        asked = [asyncio.create_task(log.submit(people[0]))]
        await until(gate.entered.is_set)
        asked += [asyncio.create_task(log.submit(one)) for one in people[1:]]
        await until(lambda: len(log.sequencer._ready) == 2)
        await asyncio.sleep(0.01)
        assert gate.early == []
        gate.opened.set()
        verdicts = [verdict for (verdict,) in await asyncio.gather(*asked)]
        assert {verdict.index for verdict in verdicts if isinstance(verdict, Admitted)} == {2, 4, 5}


async def test_what_was_admitted_ahead_survives_a_full_disk(tmp_path: Path, gate: Gate) -> None:
    """The batch before is refused; it is planned again on what is published."""
    gate.failure = StoreFull("the disk is full")
    async with running(tmp_path / "log", wrap=gate.wrap) as log:
        verdicts, people = await while_writing(log, gate)
        assert isinstance(verdicts[0], StoreFull)
        assert {verdict.index for verdict in verdicts[1:]} == {2, 3}
        assert isinstance((await log.submit(people[0]))[0], Admitted)


async def test_an_unknown_outcome_is_the_end_of_what_was_admitted_ahead(
    tmp_path: Path, gate: Gate
) -> None:
    gate.failure = StoreError("the disk is gone")
    async with running(tmp_path / "log", wrap=gate.wrap) as log:
        verdicts, _ = await while_writing(log, gate)
        assert all(verdict is log.sequencer.dead for verdict in verdicts)


async def test_the_blocks_of_a_request_share_a_batch(tmp_path: Path, gate: Gate) -> None:
    """Though another of three would have had room beside them."""
    settings = Settings(max_queue=200, max_batch=4, linger=0.0)
    async with running(tmp_path / "log", wrap=gate.wrap, settings=settings) as log:
        people = [log.user(str(number)) for number in range(7)]
        asked = [asyncio.create_task(log.submit(people[0]))]
        await until(gate.entered.is_set)
        asked += [asyncio.create_task(log.submit(*people[at : at + 3])) for at in (1, 4)]
        await until(lambda: len(gate.early) == 3 and len(log.sequencer._ready) == 3)
        gate.opened.set()
        await asyncio.gather(*asked)
        assert [batch.blocks for batch in log.batches] == [1, 3, 3]
