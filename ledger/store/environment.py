"""One LMDB environment on disk: opened once, checked, locked, and its errors told apart.

Every record is kept with a CRC-32 of its key and value behind it, so that a flipped bit is an error
and not an answer. Opening with `check` (some seconds a gigabyte) walks all pages as they lie in the
file before LMDB maps them, because a truncated file would kill the process at its first touch. Then
it looks up every record, because one behind a key with a flipped bit would not be found.

Errors: `StoreError` with a sentence. `StoreFull` if the disk or the map is full: the transaction
was rolled back, and the environment goes on. After any other failed write it takes no more.

Not to be used across a fork: processes that are to outlive this one must be spawned.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

import lmdb

from ledger.durable import sync_directory
from ledger.errors import StoreError, StoreFull
from ledger.store import files

if TYPE_CHECKING:
    from lmdb import _Database

MAP_SIZE = 1 << 40
"""Address space reserved for the file to grow into. It costs nothing until used."""

META = "meta"
"""The table that every environment has, for what there is one of."""

_LEAST_MAP_SIZE = 1 << 30
_LIB_VERSION = 0
_MAX_READERS = 1_022
_FORMAT = b"format"


class Transaction:
    """One transaction: what it reads is of one moment, what it writes comes whole or not at all."""

    __slots__ = ("_databases", "_path", "_txn")

    def __init__(
        self, path: Path, txn: lmdb.Transaction[bytes], databases: dict[str, _Database]
    ) -> None:
        self._path = path
        self._txn = txn
        self._databases = databases

    def get(self, table: str, key: bytes) -> bytes | None:
        """The value of `key`, if there is one."""
        stored = self._txn.get(key, db=self._databases[table])
        return None if stored is None else self._checked(table, key, stored)

    def scan(self, table: str, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """All keys from `start` on with their values, in order."""
        cursor = self._txn.cursor(self._databases[table])
        if cursor.set_range(start):
            for key, stored in cursor:
                yield key, self._checked(table, key, stored)

    def count(self, table: str) -> int:
        """How many keys a table has."""
        return self._txn.stat(self._databases[table])["entries"]

    def live_bytes(self) -> int:
        """The size of all pages that hold something."""
        total = 0
        for database in self._databases.values():
            stat = self._txn.stat(database)
            pages = stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]
            total += pages * stat["psize"]
        return total

    def put(
        self, table: str, pairs: Iterable[tuple[bytes, bytes]], *, append: bool = False
    ) -> None:
        """Set keys to values. To `append` is to promise ascending keys after all that are there."""
        rows = [(key, value + _checksum(key, value)) for key, value in pairs]
        self._txn.cursor(self._databases[table]).putmulti(rows, append=append)

    def take(self, table: str, key: bytes) -> bytes | None:
        """The value of `key`, which is removed."""
        stored = self._txn.pop(key, db=self._databases[table])
        return None if stored is None else self._checked(table, key, stored)

    def cut(self, table: str, start: bytes) -> None:
        """Remove all keys from `start` on."""
        cursor = self._txn.cursor(self._databases[table])
        if cursor.set_range(start):
            while cursor.delete():
                pass

    def end(self) -> None:
        """Let a snapshot go that was held."""
        self._txn.abort()

    def _checked(self, table: str, key: bytes, stored: bytes) -> bytes:
        value = stored[:-4]
        if stored[-4:] != _checksum(key, value):
            raise damaged(self._path, table)
        return value


class Environment:
    """An open LMDB environment with its `tables`, of the format that `kind` names."""

    def __init__(
        self,
        path: Path,
        kind: str,
        tables: Sequence[str],
        *,
        create: bool = False,
        check: bool = True,
        map_size: int = MAP_SIZE,
    ) -> None:
        self.path = path
        self._broken = False
        files.require_directory(path, create)
        self._lock = files.lock(path)
        try:
            if check and not files.is_missing(path):
                files.check_pages(path)
            self._env = open_lmdb(path, map_size=map_size)
            try:
                if not check and files.is_short(path, self._env):
                    raise StoreError(f"{path} seems cut short: open it with a check")
                self._databases = self._open_tables(kind, tables, create)
                if check:
                    self._look_up_all()
            except BaseException:
                self._env.close()
                raise
        except BaseException as error:
            os.close(self._lock)
            if isinstance(error, lmdb.Error | OSError):
                raise StoreError(f"{path} cannot be opened: {error}") from error
            raise

    def close(self) -> None:
        """Let go of it. Transactions still open become errors."""
        if self._lock >= 0:
            self._env.close()
            os.close(self._lock)
            self._lock = -1

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """A snapshot. Short: as long as it is open, the file grows with every commit."""
        try:
            with self._env.begin() as txn:
                yield Transaction(self.path, txn, self._databases)
        except lmdb.Error as error:
            raise StoreError(f"{self.path} cannot be read: {error}") from error

    def hold(self) -> Transaction:
        """A snapshot that is kept until its `end`: as long, the file grows with every commit."""
        try:
            return Transaction(self.path, self._env.begin(), self._databases)
        except lmdb.Error as error:
            raise StoreError(f"{self.path} cannot be read: {error}") from error

    @contextmanager
    def write(self, syncing: Callable[[], None] | None = None) -> Iterator[Transaction]:
        """A transaction that is durable when the block is left, and undone by an exception.

        `syncing` is called when the block is left, just before the disk is waited for; what it
        raises undoes the transaction too.
        """
        if self._broken:
            raise StoreError(f"{self.path}: a write failed before; open it again")
        try:
            with self._env.begin(write=True) as txn:
                yield Transaction(self.path, txn, self._databases)
                if syncing:
                    syncing()
        except lmdb.Error as error:
            raise self._failure(error) from error

    def _failure(self, error: lmdb.Error) -> StoreError:
        if self._is_sound() and self._is_full(error):
            return StoreFull(f"{self.path} is full: {error}")
        self._broken = True
        return StoreError(f"{self.path} cannot be written: {error}; open it again")

    def _is_full(self, error: lmdb.Error) -> bool:
        if error.code == errno.EIO:
            # LMDB says so of a write that was cut short, as on a disk that is filling up.
            return not files.has_room(self.path)
        return isinstance(error, lmdb.MapFullError) or error.code in files.FULL

    def _is_sound(self) -> bool:
        """Whether LMDB still works: it gives up if it could not write its own head."""
        try:
            self._env.begin().abort()
        except lmdb.Error:
            return False
        return True

    def _open_tables(self, kind: str, tables: Sequence[str], create: bool) -> dict[str, _Database]:
        self._env.reader_check()
        names = (META, *tables)
        if create and not self._env.stat()["entries"]:
            self._make_tables(kind, names)
        self._check_kind(kind)
        return {name: self._env.open_db(name.encode(), create=False) for name in names}

    def _check_kind(self, kind: str) -> None:
        """Before its other tables are looked for: another format may have others."""
        databases = {META: self._env.open_db(META.encode(), create=False)}
        with self._env.begin() as txn:
            found = Transaction(self.path, txn, databases).get(META, _FORMAT)
        if found != kind.encode():
            raise StoreError(
                f"{self.path} is not a '{kind}', which is all this version reads: "
                "use the version that made it"
            )

    def _look_up_all(self) -> None:
        with self.read() as transaction:
            for table in self._databases:
                for key, value in transaction.scan(table):
                    if transaction.get(table, key) != value:
                        raise damaged(self.path, table)

    def _make_tables(self, kind: str, names: Sequence[str]) -> None:
        with self._env.begin(write=True) as txn:
            databases = {name: self._env.open_db(name.encode(), txn=txn) for name in names}
            Transaction(self.path, txn, databases).put(META, [(_FORMAT, kind.encode())])
        sync_directory(self.path)
        sync_directory(self.path.parent)


def open_lmdb(path: Path, *, map_size: int = MAP_SIZE, readonly: bool = False) -> lmdb.Environment:
    """LMDB's own handle, with as much of the map as the system gives."""
    while True:
        try:
            return lmdb.open(
                str(path),
                map_size=map_size,
                readonly=readonly,
                mode=0o600,
                create=False,
                max_readers=_MAX_READERS,
                max_dbs=16,
                lib_version=_LIB_VERSION,
            )
        except lmdb.MemoryError:
            map_size //= 2
            if map_size < _LEAST_MAP_SIZE:
                raise


def damaged(path: Path, table: str) -> StoreError:
    """The error for a table whose records are not what was written."""
    return StoreError(f"{path}: '{table}' is damaged; restore from a backup")


def _checksum(key: bytes, value: bytes) -> bytes:
    return crc32(value, crc32(key)).to_bytes(4)
