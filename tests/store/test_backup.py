"""Copies of a log that is being written, and what becomes of them."""

from __future__ import annotations

import shutil
from pathlib import Path
from time import monotonic

import pytest

from ledger.errors import StoreError
from ledger.format import block, entry
from ledger.log.commit import Head
from ledger.store import backup as backups
from ledger.store import layout
from ledger.store.backup import LOG, PRIVATE, backup, confirm, is_unconfirmed, restore
from ledger.store.environment import Environment
from ledger.store.lmdb import LmdbStore
from ledger.store.port import PrivateItem
from ledger.store.private import PrivateStore
from tests.store.world import (
    Contents,
    Crowd,
    contents_of,
    grow,
    head_of,
    planned,
    replanned,
)
from tests.store.writer import Running


@pytest.fixture
def crowd() -> Crowd:
    return Crowd()


@pytest.fixture
def home(tmp_path: Path, crowd: Crowd) -> Path:
    """A log with a little in it, and a batch staged."""
    home = tmp_path / "home"
    store = LmdbStore(home / LOG, create=True)
    for count in (1, 5, 30):
        grow(store, crowd, count)
    store.stage(planned(store, []))
    store.close()
    private = PrivateStore(home / PRIVATE, create=True)
    private.put([PrivateItem(7, b"h" * 32, b"l" * 32, (b"box",), (b"n" * 32, "ada"))])
    private.close()
    return home


def contents(path: Path, crowd: Crowd, *, unconfirmed: bool = False) -> Contents:
    store = LmdbStore(path, unconfirmed=unconfirmed)
    found = contents_of(store, crowd)
    store.close()
    return found


def test_there_and_back(home: Path, tmp_path: Path, crowd: Crowd) -> None:
    before = contents(home / LOG, crowd)
    assert backup(home, tmp_path / "copy") == before.head
    shutil.rmtree(home)
    home.mkdir()
    (home / "config.toml").write_text("kept")
    assert restore(tmp_path / "copy", home) == before.head
    assert contents(home / LOG, crowd, unconfirmed=True) == before
    private = PrivateStore(home / PRIVATE)
    assert private.boxes(7, b"h" * 32) == (b"box",)
    assert private.opening(b"l" * 32) == (b"n" * 32, "ada")
    private.close()
    assert sorted(path.name for path in home.iterdir()) == ["config.toml", LOG, PRIVATE]


def test_a_restored_log_waits_to_be_confirmed(home: Path, tmp_path: Path, crowd: Crowd) -> None:
    assert not is_unconfirmed(home / LOG)
    backup(home, tmp_path / "copy")
    restore(tmp_path / "copy", tmp_path / "again")
    path = tmp_path / "again" / LOG
    assert is_unconfirmed(path)
    with pytest.raises(StoreError, match="confirm"):
        LmdbStore(path)
    confirm(path)
    assert not is_unconfirmed(path)
    store = LmdbStore(path)
    staged = store.staged()
    assert staged is not None
    commit = replanned(store, staged)
    store.publish(commit, b"note")
    grow(store, crowd, 4)
    store.close()


def test_nothing_is_written_to_an_unconfirmed_log(home: Path, tmp_path: Path) -> None:
    backup(home, tmp_path / "copy")
    store = LmdbStore(tmp_path / "copy" / LOG, unconfirmed=True)
    staged = store.staged()
    assert staged is not None
    commit = replanned(store, staged)
    for write in (store.perform, store.publish):
        with pytest.raises(StoreError, match="unconfirmed"):
            write(commit, b"note")
    with pytest.raises(StoreError, match="unconfirmed"):
        store.stage(commit)
    store.close()


def test_a_backup_put_in_place_by_hand_is_no_log_either(home: Path, tmp_path: Path) -> None:
    backup(home, tmp_path / "copy")
    shutil.rmtree(home / LOG)
    shutil.copytree(tmp_path / "copy" / LOG, home / LOG)
    with pytest.raises(StoreError, match="confirm"):
        LmdbStore(home / LOG)


def test_a_copy_that_nobody_marked_is_marked_when_restored(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home, tmp_path / "copy")
    assert not is_unconfirmed(tmp_path / "copy" / LOG)
    restore(tmp_path / "copy", tmp_path / "again")
    assert is_unconfirmed(tmp_path / "again" / LOG)


@pytest.mark.parametrize("name", [LOG, PRIVATE])
def test_nothing_is_overwritten(home: Path, tmp_path: Path, name: str) -> None:
    backup(home, tmp_path / "copy")
    (tmp_path / "taken" / name).mkdir(parents=True)
    for copy in (backup, restore):
        with pytest.raises(StoreError, match="not overwritten"):
            copy(tmp_path / "copy", tmp_path / "taken")
        assert [path.name for path in (tmp_path / "taken").iterdir()] == [name]


@pytest.mark.parametrize("name", [LOG, PRIVATE])
def test_a_damaged_backup_is_not_restored(home: Path, tmp_path: Path, name: str) -> None:
    copy, target = tmp_path / "copy", tmp_path / "target"
    backup(home, copy)
    file = copy / name / "data.mdb"
    sound = file.read_bytes()
    for damaged in (sound[:-4_096], sound[:5_000], sound[: len(sound) // 2] + b"!" * 50_000, b""):
        file.write_bytes(damaged)
        with pytest.raises(StoreError):
            restore(copy, target)
        assert list(target.iterdir()) == []
    file.unlink()
    with pytest.raises(StoreError, match="cannot be copied"):
        restore(copy, target)


def test_an_entry_that_is_not_the_trees(home: Path, tmp_path: Path) -> None:
    """Whole by every checksum, and yet not what was signed."""
    environment = Environment(home / LOG, layout.KIND, layout.TABLES)
    with environment.write() as transaction:
        value = transaction.get(layout.ENTRIES, layout.u64(3))
        assert value is not None
        transaction.put(layout.ENTRIES, [(layout.u64(3), value[:-1] + bytes([value[-1] ^ 1]))])
    environment.close()
    with pytest.raises(StoreError, match="do not lead to the head"):
        backup(home, tmp_path / "copy")
    assert list((tmp_path / "copy").iterdir()) == []


def test_nothing_to_copy(tmp_path: Path) -> None:
    for copy in (backup, restore):
        with pytest.raises(StoreError, match="cannot be copied"):
            copy(tmp_path / "nothing", tmp_path / "target")


def test_only_its_owner_may_read_a_copy(home: Path, tmp_path: Path) -> None:
    backup(home, tmp_path / "copy")
    for path in (tmp_path / "copy").rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600)


def test_while_the_log_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every block in the copy has its boxes, and its user's opening, in the private copy.

    Much is written between the copying of the one and of the other.
    """
    home = tmp_path / "home"
    copy_live = backups._copy_live

    with Running(home) as running:

        def copy_slowly(source: Path, target: Path) -> None:
            copy_live(source, target)
            until = monotonic() + 0.1
            while monotonic() < until:
                running.line()

        for _ in range(20):
            running.line()
        monkeypatch.setattr(backups, "_copy_live", copy_slowly)
        heads = [backup(home, tmp_path / f"copy{number}") for number in range(3)]
        running.kill()
    assert len({head.size for head in heads}) == 3
    for number, head in enumerate(heads):
        check_complete(tmp_path / f"copy{number}", head)


def check_complete(copy: Path, head: Head) -> None:
    store = LmdbStore(copy / LOG, unconfirmed=True)
    private = PrivateStore(copy / PRIVATE)
    assert head_of(store) == head
    with store.reader() as reader:
        parsed = [entry.parse(data) for data in reader.entries(0, head.size)]
    blocks = {
        index: block.parse(item.body)
        for index, item in enumerate(parsed)
        if item.kind == entry.BLOCK and index
    }
    assert len(blocks) > 10
    for index, found in blocks.items():
        assert private.boxes(index, found.hash)
        assert private.opening(found.label)
    store.close()
    private.close()
