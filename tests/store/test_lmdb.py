"""LMDB in particular: who may open it, what happens when it can't write, what is found damaged."""

from __future__ import annotations

import doctest
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

import lmdb
import pytest

from ledger.errors import StoreError, StoreFull
from ledger.store import layout
from ledger.store.environment import Environment
from ledger.store.lmdb import LmdbStore
from ledger.store.port import Store
from ledger.store.private import PrivateStore
from tests.store.world import Crowd, contents_of, grow, head_of, planned
from tests.support.memory import MemoryLog

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def crowd() -> Crowd:
    return Crowd()


@pytest.fixture
def store(path: Path) -> Iterator[LmdbStore]:
    opened = LmdbStore(path, create=True)
    yield opened
    opened.close()


def test_it_fills_the_port(store: LmdbStore) -> None:
    as_port: Store = store
    assert as_port is store


def test_what_is_not_there_is_not_made(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing", tmp_path):
        with pytest.raises(StoreError, match="no database at"):
            LmdbStore(path)
    assert list(tmp_path.iterdir()) == []


def test_an_emptied_file_is_no_new_log(path: Path, store: LmdbStore) -> None:
    store.close()
    os.truncate(path / "data.mdb", 0)
    with pytest.raises(StoreError, match="no database at"):
        LmdbStore(path)


def test_creating_again_changes_nothing(path: Path, store: LmdbStore, crowd: Crowd) -> None:
    grow(store, crowd, 1)
    before = contents_of(store, crowd)
    store.close()
    again = LmdbStore(path, create=True)
    assert contents_of(again, crowd) == before
    again.close()


def test_only_its_owner_may_read_it(path: Path, store: LmdbStore) -> None:
    assert path.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in path.iterdir()} == {0o600}


def test_twice_in_one_process(path: Path, store: LmdbStore, crowd: Crowd) -> None:
    with pytest.raises(StoreError, match=f"in use by process {os.getpid()}"):
        LmdbStore(path)
    grow(store, crowd, 1)
    store.close()
    store.close()
    LmdbStore(path).close()


OPEN = """
import sys
from pathlib import Path
from ledger.errors import StoreError
from ledger.store.lmdb import LmdbStore
try:
    LmdbStore(Path(sys.argv[1]))
except StoreError as error:
    print(error)
else:
    print("open", flush=True)
    sys.stdin.read()
"""


def test_by_two_processes(path: Path, store: LmdbStore) -> None:
    command = [sys.executable, "-c", OPEN, str(path)]
    other = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert f"in use by process {os.getpid()}" in other.stdout
    store.close()
    with subprocess.Popen(
        command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(StoreError, match=f"in use by process {holder.pid}"):
            LmdbStore(path)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    LmdbStore(path).close()


def test_another_kind_of_database(tmp_path: Path, store: LmdbStore, path: Path) -> None:
    store.close()
    with pytest.raises(StoreError, match="is not a 'keyroll private store"):
        PrivateStore(path)
    lmdb.open(str(tmp_path / "other"), lib_version=0).close()
    with pytest.raises(StoreError, match="cannot be opened"):
        LmdbStore(tmp_path / "other")
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "data.mdb").write_text("hello")
    with pytest.raises(StoreError, match="damaged"):
        LmdbStore(tmp_path / "text")


@pytest.mark.parametrize("number", [1, 3])
def test_another_format(path: Path, number: int) -> None:
    """An older one, whose tables were others, and a newer one."""
    tables = ("entries", "hashes", "chains", "buckets", "batches")
    Environment(path, f"keyroll log {number}", tables, create=True).close()
    for check in (True, False):
        with pytest.raises(StoreError, match="is not a 'keyroll log 2'"):
            LmdbStore(path, check=check)


def test_the_other_bundled_format(path: Path) -> None:
    path.mkdir()
    lmdb.open(str(path), lib_version=1).close()
    with pytest.raises(StoreError, match="cannot be opened"):
        LmdbStore(path)


def test_a_smaller_map_where_memory_is_limited(path: Path, crowd: Crowd) -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + (8 << 30), limits[1]))
    try:
        store = LmdbStore(path, create=True)
        grow(store, crowd, 1)
        store.close()
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


def test_a_closed_store(store: LmdbStore, crowd: Crowd) -> None:
    commit = planned(store, [crowd.founding])
    store.close()
    with pytest.raises(StoreError):
        head_of(store)
    with pytest.raises(StoreError):
        store.perform(commit, b"")


# What keeps a batch from being written. Each gives back a way out.


def data_files(path: Path) -> list[int]:
    """LMDB's descriptors of its file: the one for pages, then the one for its own head."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{name}") == str(path / "data.mdb"):
                found.append(int(name))
        except OSError:
            continue
    return sorted(found)


@contextmanager
def replaced(descriptor: int, device: str, flags: int = os.O_RDWR) -> Iterator[None]:
    """Let a descriptor of LMDB's lead to a device instead."""
    kept, instead = os.dup(descriptor), os.open(device, flags)
    os.dup2(instead, descriptor)
    try:
        yield
    finally:
        os.dup2(kept, descriptor)
        os.close(kept)
        os.close(instead)


@contextmanager
def full_disk(path: Path) -> Iterator[None]:
    with replaced(data_files(path)[0], "/dev/full"):
        yield


@contextmanager
def file_size_limit(path: Path) -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_096 * 3, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


Obstacle = Callable[[Path], AbstractContextManager[None]]


@pytest.mark.parametrize("obstacle", [full_disk, file_size_limit])
@pytest.mark.parametrize("staging", [False, True])
def test_every_write_fails_once(
    store: LmdbStore, path: Path, crowd: Crowd, obstacle: Obstacle, staging: bool
) -> None:
    """After each failure memory and disk are as before, and the same batch goes through."""
    model = MemoryLog()
    blocks = [crowd.founding]
    for count in (5, 1, 30, 3, 0):
        commit = planned(store, blocks)
        if staging:
            fail_once(store, obstacle(path), partial(store.stage, commit))
            fail_once(store, obstacle(path), partial(store.publish, commit, b"note"))
        else:
            fail_once(store, obstacle(path), partial(store.perform, commit, b"note"))
        model.admit(blocks)
        assert head_of(store) == model.head
        blocks = [item.raw for item in crowd.write(model.head, count)]
    found = contents_of(store, crowd)
    assert found.entries == model.entries
    store.close()
    again = LmdbStore(path)
    assert contents_of(again, crowd) == found
    grow(again, crowd, 3)
    again.close()


def fail_once(
    store: LmdbStore, obstacle: AbstractContextManager[None], write: Callable[[], None]
) -> None:
    """Fail, then succeed."""
    before = state(store)
    with obstacle, pytest.raises(StoreFull, match="is full"):
        write()
    assert state(store) == before
    write()
    assert state(store) != before


def state(store: LmdbStore) -> tuple[object, ...]:
    """What disk and memory say of the head and of what is staged."""
    with store.view() as view:
        memory = (view.head, view.frontier, view.directory.root)
    with store.reader() as reader:
        return (*memory, reader.head, reader.note, store.staged())


def test_a_full_map(path: Path, crowd: Crowd) -> None:
    small = LmdbStore(path, create=True, map_size=1 << 18)
    grow(small, crowd, 1)
    blocks = [item.raw for item in crowd.write(head_of(small), 1_000)]
    before = state(small)
    for _ in range(2):
        commit = planned(small, blocks)
        with pytest.raises(StoreFull, match="is full"):
            small.perform(commit, b"note")
        with pytest.raises(StoreFull, match="is full"):
            small.stage(commit)
        assert state(small) == before
    small.perform(planned(small, blocks[:1]), b"note")
    small.close()
    larger = LmdbStore(path)
    larger.perform(planned(larger, []), b"note")
    larger.perform(planned(larger, blocks[1:]), b"note")
    assert head_of(larger).size == 2 + 2 + 1 + 1_000
    larger.close()


@pytest.mark.parametrize(
    ("device", "flags"), [("/dev/full", os.O_RDWR), ("/dev/null", os.O_RDONLY)]
)
def test_a_head_that_could_not_be_written(
    store: LmdbStore, path: Path, crowd: Crowd, device: str, flags: int
) -> None:
    """LMDB gives up then, even where the disk was only full. So does the store."""
    grow(store, crowd, 1)
    commit = planned(store, [])
    before = head_of(store)
    with (
        replaced(data_files(path)[1], device, flags),
        pytest.raises(StoreError, match="cannot be written") as raised,
    ):
        store.perform(commit, b"note")
    assert not isinstance(raised.value, StoreFull)
    with pytest.raises(StoreError, match="open it again"):
        store.perform(commit, b"note")
    store.close()
    again = LmdbStore(path)
    assert head_of(again) in (before, commit.after)
    grow(again, crowd, 3)
    again.close()


def test_a_disk_that_fails(store: LmdbStore, path: Path, crowd: Crowd) -> None:
    grow(store, crowd, 1)
    before = state(store)
    commit = planned(store, [])
    with replaced(data_files(path)[0], "/dev/null", os.O_RDONLY), pytest.raises(StoreError):
        store.perform(commit, b"note")
    with pytest.raises(StoreError, match="open it again"):
        store.perform(commit, b"note")
    store.close()
    again = LmdbStore(path)
    assert state(again) == before
    grow(again, crowd, 3)
    again.close()


def test_what_a_log_takes_on_disk(store: LmdbStore, crowd: Crowd) -> None:
    """No more than its entries take, beside them."""
    grow(store, crowd, 1)
    for _ in range(20):
        grow(store, crowd, 60)
    with store.reader() as reader:
        entries = sum(map(len, reader.entries(0, reader.head.size)))
    assert entries < store.live_bytes() < 2 * entries


def test_examples() -> None:
    assert doctest.testmod(layout).failed == 0
