"""SQLite files for their owner's eyes only, and unless they are shared, for one process at a time.

>>> database = open_file("pins.db", ["CREATE TABLE pins (...)"], version=1)   # doctest: +SKIP
>>> with told():
...     database.execute("SELECT 1")

Errors: `StoreError`, of it `StoreFull` where the disk is full, and `UsageError` where another
process holds the file. Within `told`, what SQLite raises becomes one of these.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from ledger.errors import StoreError, StoreFull, UsageError

MEMORY = ":memory:"

_WAIT = 10.0
"""Seconds to wait for another process that uses the file."""


def open_file(
    path: str | Path,
    schema: Sequence[str],
    version: int,
    *,
    durable: bool = True,
    shared: bool = False,
) -> sqlite3.Connection:
    """The database in the file `path` (or `MEMORY`, or "" for a temporary one), made by `schema`.

    A transaction is all or nothing. Unless `durable`, a power cut may take back the newest ones. If
    it is `shared`, other processes may use the file between two transactions.
    """
    if str(path) not in (MEMORY, ""):
        _make(Path(path))
    with told():
        database = sqlite3.connect(str(path), timeout=_WAIT, isolation_level=None)
    try:
        with told():
            _prepare(database, schema, version, durable, shared)
    except BaseException:
        database.close()
        raise
    return database


class LocalFile:
    """What is kept in one such file: closed when its context ends."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._db = database

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Keep all that happens inside, or, after an error, nothing. Nothing may await inside."""
        with told():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


@contextmanager
def told() -> Iterator[None]:
    """Raise SQLite's errors as ours."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", None)
        if code == sqlite3.SQLITE_FULL:
            raise StoreFull("the disk is full: free space and try again") from error
        if code == sqlite3.SQLITE_BUSY:
            raise UsageError("another process uses these files: let it end first") from error
        raise StoreError(f"a local database: {error}") from error


def _make(path: Path) -> None:
    """SQLite would make it readable by others; its side files follow its mode."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise StoreError(f"{path} cannot be opened: {error.strerror}") from error


def _prepare(
    database: sqlite3.Connection, schema: Sequence[str], version: int, durable: bool, shared: bool
) -> None:
    """Take the file, for this process unless it is shared, and make the tables if need be."""
    database.execute(f"PRAGMA locking_mode = {'NORMAL' if shared else 'EXCLUSIVE'}")
    database.execute("PRAGMA journal_mode = WAL")
    database.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
    database.execute("BEGIN IMMEDIATE")
    (found,) = database.execute("PRAGMA user_version").fetchone()
    if found == 0:
        for statement in schema:
            database.execute(statement)
        database.execute(f"PRAGMA user_version = {version}")
    database.execute("COMMIT")
    if found not in (0, version):
        raise StoreError(f"a local database is of version {found}, which this program can't read")
