"""What an audit keeps on disk, in one SQLite file per log (WAL).

Rows wait in memory until `commit`, which the audit calls at the end of a batch only: one
transaction moves chains, directory, bounds, tiles and position together, so a killed audit finds
the state of a whole batch. Every row carries a checksum over table, key and content: a disk that
flips bits must end in `Undecided`, never in an accusation.

    with State.open(path, log_id) as state:
        state.chains[label] = row
        state.commit(size, time)
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Generic, Self, TypeVar
from zlib import crc32

from verifier.errors import Undecided

FORMAT = b"keyroll-verifier state 1"
# Rows kept in memory beyond a commit, by table; a miss is one read.
KEPT = {
    "chain": 40_000,
    "membership": 500,
    "region": 60_000,
    "bound": 10_000,
    "tile": 0,
    "meta": 16,
}
PRAGMAS = (
    "journal_mode = WAL",
    "synchronous = FULL",
    "locking_mode = EXCLUSIVE",
    "cache_size = -8000",
    "wal_autocheckpoint = 4000",
)

Key = TypeVar("Key", bytes, str, int)


class Table(Generic[Key]):
    """Rows by key: written at `flush`, read when they are not in memory."""

    def __init__(self, db: sqlite3.Connection, name: str, keys: str) -> None:
        self._db = db
        self._name = name
        self._rows: dict[Key, bytes] = {}
        self._changed: set[Key] = set()
        self._select = f"SELECT row FROM {name} WHERE key = ?"
        self._insert = f"INSERT OR REPLACE INTO {name} VALUES (?, ?)"
        db.execute(
            f"CREATE TABLE IF NOT EXISTS {name} (key {keys} PRIMARY KEY, row BLOB NOT NULL)"
            + (" WITHOUT ROWID" if keys != "INTEGER" else "")
        )
        # Whether all rows are in memory: then one that is not there is nowhere.
        self._whole = db.execute(f"SELECT 1 FROM {name} LIMIT 1").fetchone() is None

    def get(self, key: Key) -> bytes | None:
        row = self._rows.get(key)
        if row is None and not self._whole:
            found = self._db.execute(self._select, (key,)).fetchone()
            if found is None:
                return None
            row = self._rows[key] = self._open(key, found[0])
        return row

    def __setitem__(self, key: Key, row: bytes) -> None:
        self._rows[key] = row
        self._changed.add(key)

    def items(self, where: str = "TRUE") -> Iterator[tuple[Key, bytes]]:
        """What was committed, by key."""
        for key, row in self._db.execute(
            f"SELECT key, row FROM {self._name} WHERE {where} ORDER BY key"
        ):
            yield key, self._open(key, row)

    def flush(self) -> None:
        rows = self._rows
        self._db.executemany(
            self._insert,
            [(key, rows[key] + self._sum(key, rows[key])) for key in sorted(self._changed)],
        )

    def settle(self) -> None:
        """After the commit: nothing is pending, and old rows leave the memory."""
        self._changed.clear()
        excess = len(self._rows) - KEPT[self._name]
        for key in list(islice(self._rows, max(0, excess))):
            del self._rows[key]
            self._whole = False

    def _sum(self, key: Key, row: bytes) -> bytes:
        return crc32(row, crc32(f"{self._name} {key!r}".encode())).to_bytes(4, "big")

    def _open(self, key: Key, stored: bytes) -> bytes:
        row = stored[:-4]
        if stored[-4:] != self._sum(key, row):
            raise Undecided(
                f"the local state is damaged (table {self._name}); remove it and start anew"
            )
        return row


class State:
    """The state of one log's audit. Use it as a context manager."""

    def __init__(self, db: sqlite3.Connection, log_id: bytes, *, statements: bool = False) -> None:
        self._db = db
        self._log_id = log_id
        self._mode = b"with statements" if statements else b"without statements"
        self.chains: Table[bytes] = Table(db, "chain", "BLOB")
        self.regions: Table[str] = Table(db, "region", "TEXT")
        self.memberships: Table[bytes] = Table(db, "membership", "BLOB")
        self.bounds: Table[int] = Table(db, "bound", "INTEGER")
        self.tiles: Table[int] = Table(db, "tile", "INTEGER")
        self._meta: Table[str] = Table(db, "meta", "TEXT")
        self._tables = (
            *(self.chains, self.memberships, self.regions, self.bounds, self.tiles),
            self._meta,
        )
        if self._meta.get("log") not in (None, FORMAT + log_id):
            raise Undecided("the state directory is that of another log, or of another version")
        position = self._meta.get("position") or bytes(16)
        self.size = int.from_bytes(position[:8], "big")
        self.time = int.from_bytes(position[8:], "big")
        begun = self._meta.get("mode") or b"without statements"
        if self.size and begun != self._mode:
            raise Undecided(
                f"this state was begun {begun.decode()} and cannot go on {self._mode.decode()}: "
                "audit as it was begun, or give another directory with --state"
            )

    @classmethod
    @contextlib.contextmanager
    def open(cls, directory: Path, log_id: bytes, *, statements: bool = False) -> Iterator[Self]:
        """Opens or makes the state of this log, for one process at a time.

        It is for its owner only: with `statements` it holds who is in which group.
        """
        file = directory / "audit.sqlite"
        with _local_faults():
            directory.mkdir(parents=True, exist_ok=True)
            file.touch(0o600)
            file.chmod(0o600)  # SQLite's files beside it take its mode over
            db = sqlite3.connect(file, timeout=1, isolation_level=None)
        try:
            with _local_faults():
                for pragma in PRAGMAS:
                    db.execute(f"PRAGMA {pragma}")
                state = cls(db, log_id, statements=statements)
            yield state
        finally:
            db.close()

    @property
    def accepted(self) -> bytes | None:
        """The newest checkpoint that was found consistent with all before it."""
        return self._meta.get("accepted")

    @property
    def verdict(self) -> bytes | None:
        """Where the evidence lies of misbehaviour that anybody can check, once there is any."""
        return self._meta.get("verdict")

    @property
    def cosigned(self) -> bytes | None:
        """What was cosigned last, as `cosign` was given it."""
        return self._meta.get("cosigned")

    def cosign(self, record: bytes) -> None:
        """Keeps what is to be cosigned, before it is (R-63.1)."""
        self._write(cosigned=record)

    def accept(self, checkpoint: bytes) -> None:
        """Keeps a checkpoint of the log; with the first one the state becomes that log's."""
        self._write(log=FORMAT + self._log_id, accepted=checkpoint)

    def convict(self, evidence: bytes) -> None:
        self._write(verdict=evidence)

    @property
    def leaves(self) -> bytes:
        """The leaf hashes of the partial tile at the end of what was committed."""
        return self._meta.get("leaves") or b""

    def commit(self, size: int, time: int, leaves: bytes = b"") -> None:
        """Everything set so far, as the state at the end of the batch that ends at `size`.

        `leaves` are the hashes of those behind the last full tile: without them a fork there could
        be seen and not be proven.
        """
        self._meta["mode"] = self._mode
        self._meta["leaves"] = leaves
        self._meta["position"] = size.to_bytes(8, "big") + time.to_bytes(8, "big")
        self._transact(*self._tables)
        self.size, self.time = size, time

    def slots(self) -> Iterator[tuple[str, bytes]]:
        """The directory's slots, to restore it from."""
        return self.regions.items("length(key) = 4")

    def _write(self, **rows: bytes) -> None:
        for key, row in rows.items():
            self._meta[key] = row
        self._transact(self._meta)

    def _transact(self, *tables: Table[bytes] | Table[str] | Table[int]) -> None:
        with _local_faults():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                for table in tables:
                    table.flush()
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
        for table in tables:
            table.settle()


@contextlib.contextmanager
def _local_faults() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise Undecided(f"the local state cannot be used: {error}") from error
