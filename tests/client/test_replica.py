"""A replica keeps what was replayed: whole, for its owner only, and notices when it was damaged."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ledger import localfile
from ledger.client import verify
from ledger.client.history import Event, events
from ledger.client.replay.replica import Replica
from ledger.errors import StoreError, StoreFull, UsageError
from ledger.log.commit import Commit
from ledger.log.planner import plan
from ledger.rules.users import LoudEvent
from tests.client.world import ADA, BOB, EARLY, World, fill, replica_of
from tests.support.actors import NOW


@pytest.fixture(scope="module")
def world() -> World:
    return World.make()


@pytest.fixture
def path(world: World, tmp_path: Path) -> Path:
    """The file of a replica that has followed all of the log."""
    path = tmp_path / "replica.db"
    with Replica.open(path, world.actor.log_id) as replica:
        fill(replica, world, len(world.entries))
    return path


def test_it_is_what_the_log_is(world: World) -> None:
    with replica_of(world, len(world.entries)) as replica:
        log = world.log
        assert (replica.head, replica.frontier) == (log.head, log.frontier)
        assert replica.directory.root == log.directory.root
        assert replica.labels() == sorted(log.chains)
        for label in log.chains:
            assert replica.chain(label) == log.chain(label)
        for number in log.leaves:
            assert replica.leaf(number) == log.leaf(number)
        for size in range(12):
            assert replica.batch_end(size) == log.batch_end(size)
        assert [replica.entry(index) for index in range(9)] == log.entries
        replica.check()


def test_it_is_there_again(world: World, path: Path) -> None:
    with Replica.open(path, world.actor.log_id) as replica:
        assert (replica.head, replica.frontier) == (world.log.head, world.log.frontier)
        assert replica.note == world.note(9)
        assert replica.user(ADA) == world.log.chains[ADA].state
        replica.check()


def test_it_goes_on_where_it_was(world: World, tmp_path: Path) -> None:
    path = tmp_path / "replica.db"
    for size in (2, EARLY, 7, 9):
        with Replica.open(path, world.actor.log_id) as replica:
            fill(replica, world, size)
            replica.check()
    with Replica.open(path, world.actor.log_id) as replica:
        assert replica.head == world.log.head


def test_only_its_owner_reads_it(world: World, tmp_path: Path) -> None:
    with Replica.open(tmp_path / "replica.db", world.actor.log_id) as replica:
        fill(replica, world, 9)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert "replica.db-wal" in modes
    assert set(modes.values()) == {0o600}


def test_it_is_of_one_log(world: World, path: Path) -> None:
    with pytest.raises(UsageError, match="another log"):
        Replica.open(path, bytes(32))


def test_it_is_of_one_process(world: World, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import sys; from ledger.client.replay.replica import Replica\n"
        "Replica.open(sys.argv[1], bytes.fromhex(sys.argv[2])); print('open', flush=True)\n"
        "sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(path), world.actor.log_id.hex()]
    monkeypatch.setattr(localfile, "_WAIT", 0.1)
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    ) as other:
        assert other.stdout
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(UsageError, match="another process"):
            Replica.open(path, world.actor.log_id)
        other.communicate()
    Replica.open(path, world.actor.log_id).close()


def interrupted(replica: Replica, world: World) -> None:
    """Follow the log to its end, and fail before the transaction does."""
    claim = verify.open_claim(world.note(9), replica.log, replica.head)
    with replica.transaction():
        for commit in verify.follow(replica, claim, world.entries[replica.head.size :]):
            replica.apply(commit)
        replica.accept(claim.note)
        assert replica.head.size == 9
        raise ZeroDivisionError


def test_a_transaction_is_undone_whole(world: World) -> None:
    with replica_of(world, EARLY) as replica:
        before = (replica.head, replica.frontier, replica.directory.root, replica.note)
        with pytest.raises(ZeroDivisionError):
            interrupted(replica, world)
        assert before == (replica.head, replica.frontier, replica.directory.root, replica.note)
        assert replica.batch_end(9) is None
        replica.check()
        fill(replica, world, 9)
        assert replica.head == world.log.head


def keep(replica: Replica, commit: Commit, note: bytes = b"") -> None:
    with replica.transaction():
        replica.apply(commit)
        replica.accept(note)


def test_a_batch_is_applied_where_it_was_planned(world: World) -> None:
    with replica_of(world, EARLY) as replica:
        own, later = world.log.plan([]).commit, plan(replica, [], NOW).commit
        with pytest.raises(UsageError):
            keep(replica, own)
        with pytest.raises(UsageError):
            replica.apply(later)
        keep(replica, plan(replica, [], NOW).commit)


def test_a_full_disk(world: World, path: Path) -> None:
    with Replica.open(path, world.actor.log_id) as replica:
        before, commit = replica.head, plan(replica, [], NOW).commit
        replica._db.execute("PRAGMA max_page_count = 1")
        with pytest.raises(StoreFull):
            keep(replica, commit, bytes(1_000_000))
        assert replica.head == before
        replica._db.execute("PRAGMA max_page_count = 1000000")
        keep(replica, plan(replica, [], NOW).commit)
        assert replica.head.size == before.size + 1


DAMAGES = [
    "UPDATE entries SET data = zeroblob(90) WHERE leaf = 3",
    "DELETE FROM entries WHERE leaf = 3",
    "UPDATE entries SET link = 2 WHERE leaf = 3",
    "UPDATE chains SET record = zeroblob(200) WHERE label = (SELECT max(label) FROM chains)",
    "DELETE FROM chains WHERE label = (SELECT max(label) FROM chains)",
    "UPDATE leaves SET record = record || zeroblob(64)",
    "UPDATE leaves SET record = zeroblob(32)",
    "DELETE FROM leaves",
    "UPDATE ends SET root = zeroblob(32) WHERE size = 9",
    "UPDATE ends SET time = time + 1",
    "DELETE FROM ends WHERE size = 9",
    "UPDATE meta SET value = zeroblob(32) WHERE name = 'directory'",
    "UPDATE meta SET value = zeroblob(31) WHERE name = 'frontier'",
    "DELETE FROM meta WHERE name = 'frontier'",
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_noticed(world: World, path: Path, damage: str) -> None:
    raw = sqlite3.connect(path, isolation_level=None)
    assert raw.execute(damage).rowcount
    raw.close()
    with pytest.raises(StoreError), Replica.open(path, world.actor.log_id) as replica:
        replica.check()


def test_a_file_that_is_no_database(world: World, tmp_path: Path) -> None:
    path = tmp_path / "replica.db"
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError):
        Replica.open(path, world.actor.log_id)
    with pytest.raises(StoreError):
        Replica.open(tmp_path / "nowhere" / "replica.db", world.actor.log_id)


def test_a_newer_version(world: World, path: Path) -> None:
    raw = sqlite3.connect(path, isolation_level=None)
    raw.execute("PRAGMA user_version = 4")
    raw.close()
    with pytest.raises(StoreError, match="version 4"):
        Replica.open(path, world.actor.log_id)


def test_nothing_is_known_before_the_first_sync(world: World) -> None:
    with replica_of(world) as replica:
        assert replica.user(ADA) is None
        assert replica.labels() == []
        assert replica.history(ADA) == []
        with pytest.raises(UsageError, match="sync"):
            _ = replica.log
        replica.check()


def test_history(world: World) -> None:
    with replica_of(world, len(world.entries)) as replica:
        steps = replica.history(ADA)
        assert [step.index for step in steps] == world.log.blocks_of(ADA) == [2, 5, 7]
        assert steps[-1].chain == replica.chain(ADA)
        assert [len(step.outcome.recipients) for step in steps] == [1, 1, 2]
        loud = Event(LoudEvent.ALL_OTHERS_REVOKED, ADA, 7, NOW)
        assert events(steps) == [loud]
        assert events(replica.history(BOB)) == []


def test_holds(world: World) -> None:
    with replica_of(world, EARLY) as replica:
        phone = world.early.add(replica.anchor)
        assert not replica.holds(phone.raw)
        fill(replica, world, 9)
        assert replica.holds(phone.raw)
        other = world.early.add(replica.anchor)
        assert not replica.holds(other.raw)
        assert not replica.holds(world.ada.add(replica.anchor).raw)
