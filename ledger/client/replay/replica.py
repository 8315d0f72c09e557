"""A client's own copy of a log: every entry, and what the rules made of them, in one SQLite file.

A replica fills the planner's `View`, so the log's own code replays into it, and everything that a
client asks about users is answered from it, without asking a server.

>>> with Replica.open(":memory:", log_id) as replica:            # doctest: +SKIP
...     with replica.transaction():
...         for commit in verify.follow(replica, claim, entries):
...             replica.apply(commit)
...         replica.accept(claim.note)
...     replica.user(label).devices

A transaction is all or nothing, on disk and in memory: batches are kept only once they are proven
to lie under a checkpoint. What is on disk was verified before it was written and is not judged
again, but `check` can compare it with itself. One process uses a file at a time. A power cut may
lose the newest transactions, never a part of one: they are fetched again. That goes for verified
statements of groups, too: they are kept after the blocks that commit to them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Any

from ledger.client import history as histories
from ledger.client.group import records as group_records
from ledger.client.group.groups import Resolved
from ledger.client.history import Step
from ledger.errors import LogMisbehaved, MalformedInput, RuleViolation, StoreError, UsageError
from ledger.format import block as blocks
from ledger.format import entry
from ledger.format.block import LOG_LABEL, Anchor, Block
from ledger.localfile import LocalFile, open_file, told
from ledger.log.commit import NO_LINK, Commit, Head
from ledger.log.replay import batches, replay
from ledger.rules.state import Chain, LogState, UserState
from ledger.tree.directory import EMPTY, RECORD_BYTES, Directory
from ledger.tree.merkle import EMPTY_ROOT, Frontier

_VERSION = 3
_SCHEMA = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE entries (leaf INTEGER PRIMARY KEY, data BLOB NOT NULL, link INTEGER)",
    "CREATE TABLE chains (label BLOB PRIMARY KEY, record BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE ends (size INTEGER PRIMARY KEY, root BLOB NOT NULL, time INTEGER NOT NULL)",
    "CREATE TABLE leaves (number INTEGER PRIMARY KEY, record BLOB NOT NULL)",
    *group_records.SCHEMA,
)

_CONTENTS = (
    "SELECT * FROM entries ORDER BY leaf",
    "SELECT * FROM chains ORDER BY label",
    "SELECT * FROM ends ORDER BY size",
    "SELECT * FROM leaves ORDER BY number",
    "SELECT * FROM meta WHERE name != 'note' ORDER BY name",
)
_TEMPORARY = ""
"""SQLite's name for a file that goes when it is closed."""


class Replica(LocalFile):
    """One log, as far as it was verified. Not safe between threads; see `transaction`."""

    def __init__(self, database: sqlite3.Connection, log_id: bytes) -> None:
        super().__init__(database)
        self.log_id = log_id
        self.head = Head()
        self.frontier = Frontier()
        self.directory = Directory()
        self.note = b""
        """The last accepted checkpoint: of `head`, unless a long sync was interrupted."""
        self._load()

    @classmethod
    def open(cls, path: str | Path, log_id: bytes) -> Replica:
        """The replica of log `log_id` in the file `path`, made if it is not there."""
        database = open_file(path, _SCHEMA, _VERSION, durable=False)
        try:
            replica = cls(database, log_id)
            replica._check_log()
        except BaseException:
            database.close()
            raise
        return replica

    # --- the planner's View

    def chain(self, label: bytes) -> Chain | None:
        """The chain of a label."""
        row = self._row("SELECT record FROM chains WHERE label = ?", label)
        return _chain(row[0]) if row else None

    def batch_end(self, size: int) -> tuple[bytes, int] | None:
        """Root and time of the tree of `size`, if a batch ended there."""
        row = self._row("SELECT root, time FROM ends WHERE size = ?", size)
        return (row[0], row[1]) if row else None

    def leaf(self, number: int) -> bytes:
        """The record of a label in the directory."""
        row = self._row("SELECT record FROM leaves WHERE number = ?", number)
        if row is None or len(row[0]) != RECORD_BYTES:
            raise _damaged()
        record: bytes = row[0]
        return record

    # --- what a client asks

    @property
    def log(self) -> LogState:
        """The log's own state: origin, keys, limits. Raises `UsageError` before the first sync."""
        chain = self.chain(LOG_LABEL)
        if chain is None or not isinstance(chain.state, LogState):
            raise UsageError("nothing of this log was fetched yet: sync first")
        return chain.state

    @property
    def anchor(self) -> Anchor:
        """What a block that is written now commits to."""
        return Anchor(self.head.size, self.head.root)

    def user(self, label: bytes) -> UserState | None:
        """Who stands behind a label: devices, user key, epoch. None if there is no such user."""
        chain = self.chain(label)
        return chain.state if chain and isinstance(chain.state, UserState) else None

    def labels(self) -> list[bytes]:
        """The labels of all chains, the log's own among them, ascending."""
        with told():
            rows = self._db.execute("SELECT label FROM chains ORDER BY label")
            return [label for (label,) in rows]

    def entry(self, index: int) -> bytes:
        """The entry of leaf `index`, which must be within the head's size."""
        return self._entry(index)[0]

    def entries(self, start: int, end: int) -> list[bytes]:
        """The entries of the leaves from `start` to `end` (exclusive), as far as they are here."""
        with told():
            query = "SELECT data FROM entries WHERE leaf >= ? AND leaf < ? ORDER BY leaf"
            return [data for (data,) in self._db.execute(query, (start, end))]

    def holds(self, raw: bytes) -> bool:
        """Whether the block `raw` is in its chain."""
        block = blocks.parse(raw)
        chain = self.chain(block.label)
        if chain is None or block.seq >= chain.length:
            return False
        _, data = self.entries_of(block.label)[block.seq]
        return entry.parse(data).body == raw

    def history(self, label: bytes, after: Chain | None = None) -> list[Step]:
        """What each block of a user's or a group's chain did, from the first on, or `after`.

        Empty if there is none.
        """
        try:
            entries = self.entries_of(label, after)
            return list(histories.history(self.log_history(), self.log_id, entries, after))
        except (MalformedInput, RuleViolation) as error:
            raise _damaged() from error

    def log_history(self) -> list[LogState]:
        """The log's own states, one a block of its chain."""
        return histories.log_history(self.log_id, self.entries_of(LOG_LABEL))

    def entries_of(self, label: bytes, after: Chain | None = None) -> list[tuple[int, bytes]]:
        """Leaf index and entry of each block of a chain, or of those `after`, in their order."""
        chain = self.chain(label)
        index = chain.state.index if chain else None
        end = after.state.index if after else None
        found = []
        while index is not None and index != end:
            data, link = self._entry(index)
            found.append((index, data))
            index = link
        return found[::-1]

    def _entry(self, index: int) -> tuple[bytes, int | None]:
        row = self._row("SELECT data, link FROM entries WHERE leaf = ?", index)
        if row is None:
            raise _damaged()
        return row[0], row[1]

    # --- groups

    def resolved(self, group: bytes) -> Resolved | None:
        """What was last verified of a group's statements; its chain may have gone on since."""
        return group_records.resolved(self._db, group)

    def statements(self, group: bytes) -> list[bytes]:
        """The statements that led there, one a block, in their order."""
        return group_records.statements(self._db, group)

    def keep(self, group: bytes, resolved: Resolved, statements: Sequence[bytes]) -> None:
        """Remember `statements`, now verified, the last of which led to `resolved`."""
        with self.transaction():
            group_records.write(self._db, group, resolved, statements)

    # --- writing

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """See `LocalFile.transaction`: what is held in memory goes back, too."""
        try:
            with super().transaction():
                yield
        except BaseException:
            self._load()
            raise

    def apply(self, commit: Commit) -> None:
        """Take over a batch that was planned from this head. Only within `transaction`."""
        if commit.before != self.head or not self._db.in_transaction:
            raise UsageError("a batch is applied in a transaction, to the head it was planned from")
        with told():
            self._write(commit)
        self.head, self.frontier = commit.after, commit.frontier
        self.directory.apply(commit.directory)

    def accept(self, note: bytes) -> None:
        """Remember the checkpoint of the head. Only within `transaction`."""
        with told():
            self._put("note", note)
        self.note = note

    def _write(self, commit: Commit) -> None:
        many, after = self._db.executemany, commit.after
        pairs = zip(commit.entries, commit.links, strict=True)
        many(
            "INSERT INTO entries VALUES (?, ?, ?)",
            [
                (index, data, None if link == NO_LINK else link)
                for index, (data, link) in enumerate(pairs, commit.before.size)
            ],
        )
        many(
            "INSERT OR REPLACE INTO chains VALUES (?, ?)",
            [(label, chain.record()) for label, chain in commit.chains.items()],
        )
        many("INSERT OR REPLACE INTO leaves VALUES (?, ?)", commit.directory.writes.items())
        end = (after.size, after.root, after.time)
        self._db.execute("INSERT INTO ends VALUES (?, ?, ?)", end)
        self._put("directory", after.directory)
        self._put("frontier", b"".join(commit.frontier.roots))

    # --- reading what is on disk

    def check(self) -> None:
        """Replay what is on disk once more, without signatures, and compare all that is kept.

        Raises `StoreError` if it was damaged. Takes nearly as long as fetching it did.
        """
        with Replica.open(_TEMPORARY, self.log_id) as again:
            try:
                with again.transaction(), told():
                    rows = self._db.execute("SELECT data FROM entries ORDER BY leaf")
                    for batch in batches(data for (data,) in rows):
                        again.apply(replay(again, batch, _trust))
            except LogMisbehaved as error:
                raise _damaged() from error
            for query in _CONTENTS:
                with told():
                    pairs = zip_longest(self._db.execute(query), again._db.execute(query))
                    if any(ours != theirs for ours, theirs in pairs):
                        raise _damaged()

            with told():
                labels = self._db.execute("SELECT label FROM memberships").fetchall()
            for (label,) in labels:
                self.check_group(label)

    def check_group(self, group: bytes) -> None:
        """Compare what is kept of a group's statements with its chain, likewise."""
        group_records.check(self._db, group, self.history(group))

    def _load(self) -> None:
        """Fill what is kept in memory from disk."""
        with told():
            meta = dict(self._db.execute("SELECT name, value FROM meta"))
            end = self._row("SELECT size, root, time FROM ends ORDER BY size DESC LIMIT 1")
            rows = self._db.execute("SELECT record FROM leaves ORDER BY number")
            directory = Directory.load(record for (record,) in rows)
        size, root, time = end or (0, EMPTY_ROOT, 0)
        self.note = meta.get("note", b"")
        self.head = Head(size, root, time, meta.get("directory", EMPTY))
        self.frontier = _frontier(size, meta.get("frontier", b""))
        self.directory = directory
        if self.frontier.root() != root or directory.root != self.head.directory:
            raise _damaged()

    def _check_log(self) -> None:
        """Whether the file is of this log; a new one is from now on."""
        row = self._row("SELECT value FROM meta WHERE name = 'log_id'")
        if row is None:
            with told():
                self._put("log_id", self.log_id)
        elif row[0] != self.log_id:
            raise UsageError(f"the replica is of another log: {row[0].hex()}")

    def _put(self, name: str, value: bytes) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def _row(self, query: str, *values: object) -> tuple[Any, ...] | None:
        with told():
            row: tuple[Any, ...] | None = self._db.execute(query, values).fetchone()
        return row


def _trust(block: Block, log_id: bytes) -> None:
    """Its signatures were checked before it was written."""


def _frontier(size: int, roots: bytes) -> Frontier:
    try:
        return Frontier(size, tuple(roots[at : at + 32] for at in range(0, len(roots), 32)))
    except MalformedInput as error:
        raise _damaged() from error


def _chain(record: bytes) -> Chain:
    try:
        return Chain.from_record(record)
    except Exception as error:  # damaged bytes may raise anything
        raise _damaged() from error


def _damaged() -> StoreError:
    return StoreError("the replica is damaged: delete its file and sync again")
