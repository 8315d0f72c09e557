"""What a witness has cosigned last, by origin, in one SQLite file.

Looking and putting are one transaction that other processes on the same file wait for, and it is on
disk before `cosign` returns. A file is begun once and belongs to one key: a witness that lost its
memory must not begin again by itself, for it would sign what contradicts what it signed before.

    with Store.open(path, vkey) as store:
        record = store.cosign(submission, clock)      # or Refused; now it may be signed
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self
from zlib import crc32

from verifier.errors import Undecided
from verifier.note import parse_head
from verifier.witness import Record, Submission, decide

FORMAT = "keyroll-verifier witness 1"
PATIENCE = 2.0  # seconds to wait for another process
SCHEMA = """
CREATE TABLE witness (format TEXT NOT NULL, vkey TEXT NOT NULL);
CREATE TABLE cosigned (
    origin TEXT PRIMARY KEY,
    time INTEGER NOT NULL,
    text TEXT NOT NULL,
    signatures TEXT NOT NULL,
    sum INTEGER NOT NULL
) WITHOUT ROWID;
"""

Clock = Callable[[], int]


class Store:
    """The file, open."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    @classmethod
    @contextlib.contextmanager
    def open(cls, file: Path, vkey: str, *, new: bool = False) -> Iterator[Self]:
        """Opens the witness's file, or begins it if it is `new`. Undecided: it cannot be used."""
        if new:
            _touch(file)
        elif not file.is_file():
            raise Undecided(
                f"there is no state {file}: begin one with --new, but only for a key that has not "
                "cosigned yet, for without its state a witness contradicts itself"
            )
        with _local_faults():
            db = sqlite3.connect(file, timeout=PATIENCE, isolation_level=None)
        try:
            with _local_faults():
                db.execute("PRAGMA journal_mode = WAL")
                db.execute("PRAGMA synchronous = FULL")
                if new:
                    db.executescript(f"BEGIN; {SCHEMA}")
                    db.execute("INSERT INTO witness VALUES (?, ?)", (FORMAT, vkey))
                    db.execute("COMMIT")
                _check_owner(db, vkey)
            yield cls(db)
        finally:
            db.close()

    def cosign(self, submission: Submission, clock: Clock) -> Record:
        """R-62.12: decides upon a submission and puts down what is to be signed, in one step."""
        with self._transaction():
            last = self.last(submission.request.checkpoint.origin)
            record = decide(submission, last, self._latest(), clock())
            self._put(record)
        return record

    def last(self, origin: str) -> Record | None:
        """What was cosigned last for an origin."""
        query = "SELECT time, text, signatures, sum FROM cosigned WHERE origin = ?"
        with _local_faults():
            found = self._db.execute(query, (origin,)).fetchone()
        if found is None:
            return None
        time, text, signatures, checksum = found
        if _sum(origin, time, text, signatures) != checksum:
            raise Undecided("the witness's state is damaged")
        return Record(*parse_head(text), time, text, signatures)

    def _latest(self) -> int:
        (found,) = self._db.execute("SELECT max(time) FROM cosigned").fetchone()
        return found or 0

    def _put(self, record: Record) -> None:
        row = record.origin, record.time, record.text, record.signatures
        self._db.execute(
            "INSERT OR REPLACE INTO cosigned VALUES (?, ?, ?, ?, ?)", (*row, _sum(*row))
        )

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with _local_faults():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise


def _touch(file: Path) -> None:
    """Makes the file, durably, for its owner only; SQLite's beside it take its mode over."""
    try:
        file.touch(0o600, exist_ok=False)
        directory = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except FileExistsError as error:
        raise Undecided(f"{file} exists: leave --new away") from error
    except OSError as error:
        raise Undecided(f"{file} cannot be made: {error.strerror}") from error


def _check_owner(db: sqlite3.Connection, vkey: str) -> None:
    """The state is this witness's; anything else in the file fails here too."""
    if db.execute("SELECT format, vkey FROM witness").fetchall() != [(FORMAT, vkey)]:
        raise Undecided("the state is that of another witness, or of another version")


def _sum(origin: str, time: int, text: str, signatures: str) -> int:
    return crc32(f"{origin}\0{time}\0{text}\0{signatures}".encode())


@contextlib.contextmanager
def _local_faults() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise Undecided(f"the witness's state cannot be used: {error}") from error
