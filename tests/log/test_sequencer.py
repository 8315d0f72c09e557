"""The writer: what it answers, in which order things become durable, and what it survives."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from ledger.errors import (
    BadSignature,
    Busy,
    ClockError,
    RuleViolation,
    StaleAnchor,
    StaleHead,
    StoreError,
    StoreFull,
    TransportError,
    UsageError,
)
from ledger.format import block as blocks
from ledger.format import entry
from ledger.format.identity import Opening
from ledger.format.wire import Submission
from ledger.log.commit import Commit
from ledger.log.cosigning import SignedTree
from ledger.log.founding import found
from ledger.log.planner import View
from ledger.log.pool import CheckPool
from ledger.log.sequencer import Sequencer, Settings
from ledger.log.waiting import Admitted, Verdict
from ledger.store.lmdb import LmdbStore
from ledger.store.port import Held, Lookup, Reader, Staged, Store
from ledger.store.private import PrivateStore
from tests.log.world import HEARTBEAT, SETTINGS, Hands, Running, running, submission, until
from tests.support.actors import NOW, LogActor, User, Written, signing_key


def rule_of(verdict: Verdict) -> str:
    assert isinstance(verdict, RuleViolation), verdict
    return verdict.rule


async def test_a_batch_is_answered_when_it_is_published(tmp_path: Path) -> None:
    async with running(tmp_path / "log") as log:
        people = [log.user(f"person {number}") for number in range(20)]
        admitted = await log.admit(*people)
        assert admitted[0].index == 2
        assert log.head.size == 2 + 20 + len(log.batches)
        assert sum(batch.blocks for batch in log.batches) == 20
        assert all(verdict.receipts for verdict in admitted)
        phones = [person.after.add(log.anchor) for person in people]
        await log.admit(*phones)
        assert log.head.size == 2 + 40 + len(log.batches)


async def test_boxes_and_openings_are_kept_behind_their_recipients(tmp_path: Path) -> None:
    async with running(tmp_path / "log") as log:
        ada = log.user("ada")
        index = log.head.size
        await log.admit(ada)
        device = ada.after.devices[0].encryption.public
        assert log.private.boxes(index, ada.block.hash) == (device + ada.boxes[0],)
        assert ada.opening
        assert log.private.opening(ada.after.label) == (ada.opening.nonce, "ada")


async def test_one_bad_block_does_not_fail_its_neighbours(tmp_path: Path) -> None:
    """R-71.1."""
    async with running(tmp_path / "log") as log:
        good, forged, other = log.user("good"), log.user("forged"), log.user("other")
        broken = replace(forged, raw=forged.raw[:-1] + bytes([forged.raw[-1] ^ 1]))
        first, bad, last = await log.submit(good, broken, other)
        assert isinstance(first, Admitted)
        assert isinstance(last, Admitted)
        assert isinstance(bad, BadSignature)
        assert bad.rule == "R-40.4"


async def test_the_same_block_again_has_its_first_place(tmp_path: Path) -> None:
    """R-71.3: in one request, in the next one, after a restart; and the log's own first block."""
    path = tmp_path / "log"
    async with running(path) as log:
        ada = log.user("ada")
        twice = await log.submit(ada, ada)
        assert twice == [Admitted(2, NOW), Admitted(2, NOW)]
        size = log.head.size
        log.hands.pass_by(5_000)
        assert await log.admit(ada) == [Admitted(2, NOW)]
        founding = LogActor.make(heartbeat=HEARTBEAT)
        assert await log.submit(founding) == [Admitted(0, NOW)]
        assert log.head.size == size
    async with running(path) as log:
        assert await log.admit(ada) == [Admitted(2, NOW)]
        assert log.head.size == size


async def test_of_two_blocks_on_one_head_the_second_learns_the_new_head(tmp_path: Path) -> None:
    async with running(tmp_path / "log") as log:
        ada = log.user("ada")
        await log.admit(ada)
        phone = ada.after.add(log.anchor, author=0)
        other = ada.after.close(log.anchor)
        first, stale = await log.submit(phone, other)
        assert isinstance(first, Admitted)
        assert isinstance(stale, StaleHead)
        assert (stale.rule, stale.length, stale.head) == ("R-43.1", 2, phone.block.hash)
        assert stale.index == first.index
        await log.admit(phone.after.close(log.anchor))


async def test_two_blocks_of_one_chain_never_share_a_batch(tmp_path: Path) -> None:
    """R-44.4: the second can't be anchored beyond the first."""
    async with running(tmp_path / "log") as log:
        ada = log.user("ada")
        early = log.anchor
        phone = ada.after.add(early)
        first, second = await log.submit(ada, phone)
        assert isinstance(first, Admitted)
        assert isinstance(second, StaleAnchor)
        assert second.rule == "R-44.4"
        await log.admit(ada.after.add(log.anchor))


async def test_what_the_server_asks_beyond_the_rules(tmp_path: Path) -> None:
    """R-55.2, R-55.3, R-71.4; the nearest right one last."""
    async with running(tmp_path / "log") as log:
        ada = log.user("ada")
        (box,), opening = ada.boxes, ada.opening
        assert opening
        wrong: list[tuple[str, tuple[bytes, ...]]] = [
            ("R-55.3", ()),
            ("R-55.3", (box, box)),
            ("R-55.3", (bytes(80),)),
            ("R-55.2", (box[:-1],)),
        ]
        for rule, boxes in wrong:
            assert rule_of(*await judge(log, Submission(ada.raw, boxes, opening))) == rule
        for other in (None, Opening(bytes(32), "ada"), Opening(opening.nonce, "eve")):
            assert rule_of(*await judge(log, Submission(ada.raw, ada.boxes, other))) == "R-71.4"
        foreign = User.create(log.actor, "bob", log.anchor, label=b"x" * 32)
        assert rule_of(*await log.submit(foreign)) == "R-71.4"
        await log.admit(ada)
        phone = ada.after.add(log.anchor)
        opened = Submission(phone.raw, phone.boxes, opening)
        assert rule_of(*await judge(log, opened)) == "R-71.4"
        await log.admit(phone)


async def judge(log: Running, item: Submission) -> list[Verdict]:
    return await log.sequencer.submit([item])


async def test_bad_boxes_do_not_spoil_the_same_block_with_good_ones(tmp_path: Path) -> None:
    async with running(tmp_path / "log") as log:
        ada = log.user("ada")
        spoilt = Submission(ada.raw, (bytes(80),), ada.opening)
        refused, admitted = await log.sequencer.submit([spoilt, submission(ada)])
        assert rule_of(refused) == "R-55.3"
        assert isinstance(admitted, Admitted)
        device = ada.after.devices[0].encryption.public
        assert log.private.boxes(admitted.index, ada.block.hash) == (device + ada.boxes[0],)


async def test_a_full_queue_takes_nothing(tmp_path: Path) -> None:
    """R-70.4."""
    async with running(tmp_path / "log", settings=Settings(max_queue=3, linger=0.0)) as log:
        people = [log.user(f"person {number}") for number in range(4)]
        with pytest.raises(Busy) as busy:
            await log.submit(*people)
        assert busy.value.retry_after > 0
        assert log.sequencer.queued == 0
        await log.admit(*people[:3])
        await log.admit(people[3])


async def test_stopping_answers_what_was_taken(tmp_path: Path) -> None:
    async with running(tmp_path / "log") as log:
        people = [log.user(f"person {number}") for number in range(50)]
        answers = asyncio.create_task(log.submit(*people))
        await asyncio.sleep(0)
        assert log.sequencer.queued == 50
        log.sequencer.stop()
        with pytest.raises(Busy):
            await log.submit(log.user("late"))
        await log.life
        assert all(isinstance(verdict, Admitted) for verdict in await answers)
        assert not log.sequencer.dead


async def test_who_goes_away_takes_nothing_back(tmp_path: Path) -> None:
    async with running(tmp_path / "log") as log:
        ada, bob = log.user("ada"), log.user("bob")
        asking = asyncio.create_task(log.submit(ada, bob))
        await asyncio.sleep(0)
        asking.cancel()
        await until(lambda: not log.sequencer.queued)
        assert await log.admit(ada, bob) == [Admitted(2, NOW), Admitted(3, NOW)]


async def test_who_hands_in_nothing_is_answered(tmp_path: Path) -> None:
    async with running(tmp_path / "log") as log:
        assert await log.sequencer.submit([]) == []


async def test_an_idle_log_beats(tmp_path: Path) -> None:
    async with running(tmp_path / "log") as log:
        ada = log.user("ada")
        await log.admit(ada)
        await log.submit(no_block_of(ada.after, log))
        assert log.head.size == 4
        log.hands.pass_by(HEARTBEAT)
        await log.submit(no_block_of(ada.after, log))
        assert (log.head.size, log.head.time) == (5, NOW + HEARTBEAT)
        assert [batch.blocks for batch in log.batches] == [1, 0]


async def test_an_idle_log_beats_by_itself(tmp_path: Path) -> None:
    """Nobody writes, and real time passes."""
    async with running(tmp_path / "log") as log:
        log.sequencer.stop()
    log.hands.pass_by(HEARTBEAT - 100)
    async with running(tmp_path / "log", hands=log.hands) as log:
        await asyncio.sleep(0)
        assert log.head.size == 2
        log.hands.pass_by(100)
        await until(lambda: log.head.size == 3)


def no_block_of(user: User, log: Running) -> Written[User]:
    """What is refused: it builds on a head that is not the chain's."""
    return replace(user, head=b"x" * 32).close(log.anchor)


async def test_refused_blocks_alone_make_no_batch(tmp_path: Path) -> None:
    async with running(tmp_path / "log") as log:
        ada = log.user("ada")
        await log.admit(ada)
        size = log.head.size
        assert isinstance((await log.submit(no_block_of(ada.after, log)))[0], StaleHead)
        assert log.head.size == size


async def test_time_never_goes_back(tmp_path: Path) -> None:
    """R-73.3, R-42.3: a clock that is a little behind is waited for."""
    async with running(tmp_path / "log") as log:
        log.hands.pass_by(-9_000)
        assert await log.admit(log.user("ada")) == [Admitted(2, NOW)]


@pytest.mark.parametrize("step", [-10_001, 60_001, -3_600_000, 31 * 86_400_000])
async def test_a_clock_that_jumps_signs_nothing(tmp_path: Path, step: int) -> None:
    """R-73.1; once it is set right, the log goes on."""
    async with running(tmp_path / "log") as log:
        ada, note = log.user("ada"), note_of(log)
        log.hands.wall += step
        (verdict,) = await log.submit(ada)
        assert isinstance(verdict, ClockError)
        assert note_of(log) == note
        log.hands.wall -= step
        await log.admit(ada)


def note_of(log: Running) -> bytes:
    with log.store.reader() as reader:
        return reader.note


class Between:
    """A store whose calls a test may spoil."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.before: dict[str, list[Exception]] = {}
        self.after: dict[str, list[Exception]] = {}

    def reader(self) -> AbstractContextManager[Reader]:
        return self._store.reader()

    def lookup(self, labels: Collection[bytes]) -> AbstractContextManager[Lookup]:
        return self._store.lookup(labels)

    def hold(self) -> Held:
        return self._store.hold()

    def view(self) -> AbstractContextManager[View]:
        return self._store.view()

    def staged(self) -> Staged | None:
        return self._store.staged()

    def close(self) -> None:
        self._store.close()

    def perform(
        self, commit: Commit, note: bytes, syncing: Callable[[], None] | None = None
    ) -> None:
        self._around("perform", lambda: self._store.perform(commit, note, syncing))

    def stage(self, commit: Commit) -> None:
        self._around("stage", lambda: self._store.stage(commit))

    def publish(self, commit: Commit, note: bytes) -> None:
        self._around("publish", lambda: self._store.publish(commit, note))

    def _around(self, name: str, call: Callable[[], None]) -> None:
        if self.before.get(name):
            raise self.before[name].pop()
        call()
        if self.after.get(name):
            raise self.after[name].pop()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledger.log.sequencer._PAUSE", 0.01)


async def same(tree: SignedTree) -> bytes:
    return tree.note


@pytest.mark.parametrize("step", ["perform", "stage"])
async def test_a_full_disk_is_no_verdict_on_a_block(tmp_path: Path, step: str) -> None:
    """Each commit fails once and is tried again: memory never runs ahead of the disk."""
    spoilt: list[Between] = []

    def wrap(store: Store) -> Store:
        spoilt.append(Between(store))
        return spoilt[0]

    cosign = same if step == "stage" else None
    async with running(tmp_path / "log", wrap=wrap, cosign=cosign) as log:
        person = log.user("ada")
        for number in range(5):
            spoilt[0].before[step] = [StoreFull("the disk is full")]
            (verdict,) = await log.submit(person)
            assert isinstance(verdict, StoreFull)
            assert log.head.size == 2 + 2 * number
            await log.admit(person)
            person = person.after.add(log.anchor) if number < 4 else person
        assert not log.sequencer.dead


@pytest.mark.parametrize("durable", [False, True])
async def test_an_unknown_outcome_is_the_end_until_a_restart(tmp_path: Path, durable: bool) -> None:
    """What is durable then only the disk can tell."""
    path = tmp_path / "log"
    spoilt: list[Between] = []

    def wrap(store: Store) -> Store:
        spoilt.append(Between(store))
        return spoilt[0]

    async with running(path, wrap=wrap) as log:
        ada = log.user("ada")
        times = spoilt[0].after if durable else spoilt[0].before
        times["perform"] = [StoreError("input/output error")]
        (verdict,) = await log.submit(ada)
        assert isinstance(verdict, StoreError)
        assert log.sequencer.dead
        with pytest.raises(StoreError, match="input/output"):
            await log.submit(log.user("bob"))
        await log.life
    async with running(path) as log:
        assert log.head.size == (4 if durable else 2)
        assert await log.admit(ada) == [Admitted(2, NOW)]
        assert log.head.size == 4


async def test_a_staged_batch_waits_for_cosigners_and_for_space(tmp_path: Path) -> None:
    """It is published as it is, however often that fails."""
    spoilt: list[Between] = []
    asked: list[bytes] = []

    def wrap(store: Store) -> Store:
        spoilt.append(Between(store))
        return spoilt[0]

    async def reluctant(tree: SignedTree) -> bytes:
        asked.append(tree.note)
        if len(asked) < 3:
            raise TransportError("no quorum")
        return tree.note

    async with running(tmp_path / "log", wrap=wrap, cosign=reluctant) as log:
        spoilt[0].before["publish"] = [StoreFull("the disk is full")]
        await log.admit(log.user("ada"))
        assert len(asked) == 4
        assert set(asked) == {note_of(log)}


async def test_nothing_unsigned_or_uncosigned_is_shown(tmp_path: Path) -> None:
    """Between stage and publish, readers see the tree before."""
    asked, let_go = asyncio.Event(), asyncio.Event()

    async def slow(tree: SignedTree) -> bytes:
        asked.set()
        await let_go.wait()
        return tree.note

    async with running(tmp_path / "log", cosign=slow) as log:
        before = note_of(log)
        answer = asyncio.create_task(log.submit(log.user("ada")))
        await asked.wait()
        assert log.store.staged()
        assert (log.head.size, note_of(log)) == (2, before)
        assert not answer.done()
        let_go.set()
        await answer
        assert log.head.size == 4


async def test_a_staged_batch_survives_a_crash_to_the_same_root(tmp_path: Path) -> None:
    path, seen, other = tmp_path / "log", list[bytes](), list[bytes]()

    async def never(tree: SignedTree) -> bytes:
        seen.append(tree.note)
        await asyncio.Event().wait()
        return tree.note

    async def witness(tree: SignedTree) -> bytes:
        other.append(tree.note)
        return tree.note

    hands = Hands()
    async with running(path, cosign=never, hands=hands) as log:
        ada, bob = log.user("ada"), log.user("bob")
        waiting = asyncio.create_task(log.submit(ada, bob))
        await until(lambda: seen)
        log.life.cancel()  # as a crash: staged, signed, seen by a witness, not published
        verdicts = await waiting
        assert all(isinstance(verdict, StoreError) for verdict in verdicts)
        assert log.head.size == 2
    hands.pass_by(3_000)
    async with running(path, cosign=witness, hands=hands) as log:
        await until(lambda: log.head.size == 5)
        assert other[0] == seen[0] == note_of(log)
        assert log.head.time == NOW
        assert await log.admit(ada, bob) == [Admitted(2, NOW), Admitted(3, NOW)]
    async with running(path, hands=hands) as log:
        await log.admit(log.user("carol"))


async def test_a_staged_batch_that_was_tampered_with_is_not_published(tmp_path: Path) -> None:
    path = tmp_path / "log"

    class Tampering(Between):
        def staged(self) -> Staged | None:
            found = super().staged()
            return found and replace(found, time=found.time + 1)

    async def never(tree: SignedTree) -> bytes:
        await asyncio.Event().wait()
        return tree.note

    async with running(path, cosign=never) as log:
        waiting = asyncio.create_task(log.submit(log.user("ada")))
        await until(log.store.staged)
        log.life.cancel()
        await waiting
    async with running(path, wrap=Tampering, cosign=same) as log:
        await log.life
        assert isinstance(log.sequencer.dead, StoreError)
        assert log.head.size == 2


async def test_who_may_not_sequence(tmp_path: Path) -> None:
    founding = LogActor.make()
    store = LmdbStore(tmp_path / "log", create=True)
    private = PrivateStore(tmp_path / "private", create=True)
    pool = CheckPool(0, bytes(32))
    with pytest.raises(UsageError, match="no first block"):
        Sequencer(store, private, founding.after.log_key, pool)
    found(store, founding.raw, founding.after.log_key, NOW)
    with pytest.raises(UsageError, match="not the log's key"):
        Sequencer(store, private, signing_key("another"), pool)
    with pytest.raises(UsageError, match="begun"):
        found(store, founding.raw, founding.after.log_key, NOW)
    Sequencer(store, private, founding.after.log_key, pool)
    private.close()
    store.close()


async def test_a_log_begins_with_a_sound_first_block_or_not_at_all(tmp_path: Path) -> None:
    founding = LogActor.make()
    store = LmdbStore(tmp_path / "log", create=True)
    forged = founding.raw[:-1] + bytes([founding.raw[-1] ^ 1])
    with pytest.raises(BadSignature):
        found(store, forged, founding.after.log_key, NOW)
    with store.reader() as reader:
        assert reader.head.size == 0
    head = found(store, founding.raw, founding.after.log_key, NOW)
    with store.reader() as reader:
        assert reader.head == head
        assert entry.parse(reader.entries(0, 1)[0]).body == founding.raw
    assert blocks.parse(founding.raw).hash == founding.after.log_id
    store.close()


async def test_many_callers_share_batches(tmp_path: Path) -> None:
    settings = replace(SETTINGS, linger=0.02)
    async with running(tmp_path / "log", settings=settings) as log:
        people = [log.user(f"person {number}") for number in range(40)]
        answers = await asyncio.gather(*(log.submit(person) for person in people))
        assert all(isinstance(verdict, Admitted) for (verdict,) in answers)
        assert sum(batch.blocks for batch in log.batches) == 40
        assert len(log.batches) < 20
