"""Copies of a log's directory: made while it is served, checked, and never served by accident.

    <dir>/log        the log's environment
    <dir>/private    boxes and openings

`backup` copies the log first: boxes are durable before the block that they came with, so a private
copy made later lacks none. A copy, backup or restored, is *unconfirmed*: whoever serves one after
something newer was published forks the log. So `LmdbStore` refuses it until an operator has
confirmed that nothing was (R-73.2).

>>> backup(Path("mylog"), Path("/mnt/backup/today"))       # doctest: +SKIP
>>> restore(Path("/mnt/backup/today"), Path("mylog"))      # doctest: +SKIP
>>> confirm(Path("mylog/log"))                             # doctest: +SKIP

Errors: `StoreError`; nothing is then left at the target.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp

import lmdb

from ledger.durable import sync_directory
from ledger.errors import StoreError
from ledger.log.commit import Head
from ledger.store import files, layout
from ledger.store.environment import META, Environment, open_lmdb
from ledger.store.files import DATA_FILE
from ledger.store.lmdb import LmdbStore
from ledger.store.port import Reader
from ledger.store.private import PrivateStore
from ledger.tree.merkle import Frontier, leaf_hash

LOG, PRIVATE = "log", "private"

_CHUNK = 4_096


def backup(source: Path, target: Path) -> Head:
    """Copy the log in the directory `source`, which another process may be serving, to `target`.

    Returns the head that was copied.
    """
    return _copy(source, target, _copy_live)


def restore(source: Path, target: Path) -> Head:
    """Copy a backup to `target`, where no log may be; other files there stay. Returns its head."""
    return _copy(source, target, _copy_file)


def is_unconfirmed(path: Path) -> bool:
    """Whether the log's environment at `path` is a copy that nobody has confirmed."""
    files.require_directory(path, create=False)
    try:
        with open_lmdb(path, readonly=True) as env, env.begin() as transaction:
            if files.is_short(path, env):
                files.check_pages(path)  # LMDB would crash where a page is missing
            meta = env.open_db(META.encode(), txn=transaction, create=False)
            return transaction.get(layout.UNCONFIRMED, db=meta) is not None
    except lmdb.Error as error:
        raise StoreError(f"{path} cannot be read: {error}") from error


def confirm(path: Path) -> None:
    """Vouch that nothing newer than the log at `path` was ever published."""
    _mark(path, unconfirmed=False)


def _copy(source: Path, target: Path, copy_environment: Callable[[Path, Path], None]) -> Head:
    """Copy both environments, check them, and only then give them their names."""
    for name in (LOG, PRIVATE):
        if (target / name).exists():
            raise StoreError(f"{target / name} is there already, and is not overwritten")
    try:
        target.mkdir(0o700, parents=True, exist_ok=True)
        staging = Path(mkdtemp(prefix=".partial-", dir=target))
        try:
            for name in (LOG, PRIVATE):
                (staging / name).mkdir(0o700)
                copy_environment(source / name, staging / name)
            _mark(staging / LOG, unconfirmed=True)
            head = _check(staging)
            for name in (PRIVATE, LOG):
                _sync(staging / name)
                (staging / name).rename(target / name)
            sync_directory(target)
            sync_directory(target.parent)
        finally:
            shutil.rmtree(staging)
    except (OSError, lmdb.Error) as error:
        raise StoreError(f"{source} cannot be copied to {target}: {error}") from error
    return head


def _copy_live(source: Path, target: Path) -> None:
    """A snapshot of an environment that others may be writing, without its free pages."""
    with open_lmdb(source, readonly=True) as env:
        env.copy(str(target), compact=True)


def _copy_file(source: Path, target: Path) -> None:
    shutil.copyfile(source / DATA_FILE, target / DATA_FILE)


def _mark(path: Path, *, unconfirmed: bool) -> None:
    environment = Environment(path, layout.KIND, layout.TABLES)
    try:
        with environment.write() as transaction:
            transaction.take(META, layout.UNCONFIRMED)
            if unconfirmed:
                transaction.put(META, [(layout.UNCONFIRMED, b"")])
    finally:
        environment.close()


def _check(directory: Path) -> Head:
    """Open both, which checks that their parts fit, and hash all entries again."""
    PrivateStore(directory / PRIVATE).close()
    store = LmdbStore(directory / LOG, unconfirmed=True)
    try:
        with store.reader() as reader:
            _rehash(reader)
            return reader.head
    finally:
        store.close()


def _rehash(reader: Reader) -> None:
    frontier = Frontier()
    for start in range(0, reader.head.size, _CHUNK):
        entries = reader.entries(start, min(start + _CHUNK, reader.head.size))
        frontier = frontier.append([leaf_hash(data) for data in entries])
    if frontier.root() != reader.head.root:
        raise StoreError("the entries do not lead to the head's root: this copy is damaged")


def _sync(directory: Path) -> None:
    """Make a copied environment durable, and its owner's alone."""
    for file in directory.iterdir():
        file.chmod(0o600)
        descriptor = os.open(file, os.O_RDWR)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    sync_directory(directory)
