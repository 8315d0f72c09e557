"""What a light client knows of a log, on disk: the view of it, pins, and answers yet to be settled.

    with Trust.open("trust.db", log_id) as trust:
        held = trust.held(own)
        ...                                      # ask, and verify the answer by what is held
        trust.keep(held, outcome, now)           # False: somebody was faster; ask again

An answer is kept only if what is held is still what it was judged by, all of it or nothing. So any
number of tasks and processes may use one file, pins and view only ever go on from what they were,
and a crash loses an answer at most.

A quiet answer is accepted as it is kept. What is loud, or an alarm, stays in the pin until
`accept`. Answers that auditors have yet to cover are kept whole until a covering checkpoint comes;
`unsettled` lists them, the oldest first: one that waits for too long is an alarm (`overdue`).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from ledger.client.doubts import STORE_ID_BYTES, Mark
from ledger.client.group import records as group_records
from ledger.client.group.groups import Resolved
from ledger.client.history import Step
from ledger.client.lookups import pin_records, remembered
from ledger.client.lookups.pins import Found, Held, LogView, Outcome, Own, Pin, Standing
from ledger.client.lookups.remembered import Remembered
from ledger.client.lookups.roots import Root, roots_of
from ledger.errors import UsageError
from ledger.format import checkpoint, entry
from ledger.format.block import LOG_LABEL
from ledger.format.bodies import DAY_MS
from ledger.format.identity import Opening
from ledger.format.lookup import Link
from ledger.format.note import parse_note
from ledger.localfile import open_file, told

T = TypeVar("T")

OVERDUE = DAY_MS
"""How long (ms) an answer may wait for auditors, unless its holder chose otherwise (R-63.5)."""

_VERSION = 5
_SCHEMA = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE pins (label BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
    """CREATE TABLE links (
        label BLOB NOT NULL, seq INTEGER NOT NULL, leaf INTEGER NOT NULL, entry BLOB NOT NULL,
        PRIMARY KEY (label, seq)
    ) WITHOUT ROWID""",
    *group_records.SCHEMA,
    """CREATE TABLE admitted (
        label BLOB NOT NULL, leaf INTEGER NOT NULL, entry BLOB NOT NULL, PRIMARY KEY (label, leaf)
    ) WITHOUT ROWID""",
    """CREATE TABLE names (
        identifier TEXT PRIMARY KEY, label BLOB NOT NULL, nonce BLOB NOT NULL
    ) WITHOUT ROWID""",
    "CREATE TABLE roots (label BLOB PRIMARY KEY, root BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE absent (label BLOB PRIMARY KEY, size INTEGER NOT NULL) WITHOUT ROWID",
    """CREATE TABLE unsettled (
        digest BLOB PRIMARY KEY, size INTEGER NOT NULL, time INTEGER NOT NULL,
        asked BLOB NOT NULL, bundle BLOB NOT NULL
    ) WITHOUT ROWID""",
    *remembered.SCHEMA,
)


@dataclass(frozen=True, slots=True)
class Unsettled:
    """An answer over the tree of `size`, received at `time` (ms), that no auditor covers yet."""

    size: int
    time: int
    asked: bytes
    bundle: bytes


class Trust(Remembered):
    """What is held of one log, for one person. Not safe between threads."""

    def __init__(self, database: sqlite3.Connection, log_id: bytes) -> None:
        super().__init__(database)
        self.log_id = log_id

    @classmethod
    def open(cls, path: str | Path, log_id: bytes) -> Trust:
        """What is held of log `log_id` in the file `path`, made if it is not there."""
        trust = cls(open_file(path, _SCHEMA, _VERSION, shared=True), log_id)
        try:
            with trust.transaction():
                found = trust._meta("log_id")
                if found is None:
                    trust._put("log_id", log_id)
                    trust._put("store", os.urandom(STORE_ID_BYTES))
            if found and found != log_id:
                raise UsageError(f"what is held here is of another log: {found.hex()}")
        except BaseException:
            trust.close()
            raise
        return trust

    # --- reading

    def view(self) -> LogView:
        """The log as it was last seen."""
        value = self._meta("view")
        return pin_records.parse_view(value, self.log_id) if value else LogView(self.log_id)

    def held(self, own: Own | None = None) -> Held:
        """What a question is asked with. Pins are read when they are needed."""
        pins, absent = _Rows(self.pin, self.labels), _Rows(self.absent, self.absences)
        return Held(self.view(), pins, own, self.admitted(), absent)

    def pin(self, label: bytes) -> Pin | None:
        """How a label was last seen."""
        with told():
            query = "SELECT value FROM pins WHERE label = ?"
            row = self._db.execute(query, (label,)).fetchone()
        return pin_records.parse_pin(row[0], label) if row else None

    def labels(self) -> list[bytes]:
        """The labels of all pins, ascending."""
        with told():
            rows = self._db.execute("SELECT label FROM pins ORDER BY label").fetchall()
        return [label for (label,) in rows]

    def absent(self, label: bytes) -> int | None:
        """The size of the newest tree that had nothing for a label, which was looked up."""
        with told():
            row = self._db.execute("SELECT size FROM absent WHERE label = ?", (label,)).fetchone()
        return row[0] if row else None

    def absences(self) -> list[bytes]:
        """The labels that were looked up and had nothing, ascending."""
        with told():
            rows = self._db.execute("SELECT label FROM absent ORDER BY label").fetchall()
        return [label for (label,) in rows]

    def names(self) -> dict[str, bytes]:
        """The labels of all identifiers that were looked up and found."""
        with told():
            rows = self._db.execute("SELECT identifier, label FROM names ORDER BY identifier")
            return dict(rows.fetchall())

    def opening(self, identifier: str) -> Opening | None:
        """The opening that proved an identifier to be its label's."""
        with told():
            query = "SELECT nonce FROM names WHERE identifier = ?"
            row = self._db.execute(query, (identifier,)).fetchone()
        return Opening(row[0], identifier) if row else None

    def admitted(self) -> dict[bytes, list[Link]]:
        """The blocks, by label, that the log admitted here and has yet to show in a chain."""
        found: dict[bytes, list[Link]] = {}
        with told():
            query = """SELECT label, leaf, entry FROM admitted AS a WHERE NOT EXISTS (
                SELECT * FROM links WHERE label = a.label AND leaf = a.leaf AND entry = a.entry
            ) ORDER BY leaf"""
            for label, leaf, data in self._db.execute(query):
                found.setdefault(label, []).append(Link(leaf, data))
        return found

    def links(self, label: bytes) -> list[tuple[int, bytes]]:
        """Leaf index and entry of each block of a chain that was replayed, the log's own too."""
        with told():
            query = "SELECT leaf, entry FROM links WHERE label = ? ORDER BY seq"
            return self._db.execute(query, (label,)).fetchall()

    def chain_links(self, label: bytes) -> list[Link]:
        """The same, as lookups have them."""
        return [Link(leaf, data) for leaf, data in self.links(label)]

    def root(self, label: bytes) -> Root | None:
        """The newest directory root that showed what there is of a label."""
        with told():
            row = self._db.execute("SELECT root FROM roots WHERE label = ?", (label,)).fetchone()
        return Root.decode(row[0]) if row else None

    def unsettled(self) -> list[Unsettled]:
        """The answers that auditors have yet to cover, the oldest first."""
        with told():
            query = "SELECT size, time, asked, bundle FROM unsettled ORDER BY time, size"
            return [Unsettled(*row) for row in self._db.execute(query)]

    def unsettled_since(self) -> int | None:
        """When (ms) the oldest of them was received."""
        with told():
            (since,) = self._db.execute("SELECT min(time) FROM unsettled").fetchone()
        return since if since is None else int(since)

    def overdue(self, now: int, within: int = OVERDUE) -> list[Unsettled]:
        """Those among them that wait for more than `within` ms at `now`: an alarm each (R-63.5)."""
        return [one for one in self.unsettled() if one.time + within < now]

    def is_gone(self) -> bool:
        """Whether the server answered no device of this place when it was asked last."""
        return self._meta("gone") is not None

    def covered(self) -> bytes:
        """The newest checkpoint that auditors cover, as it was received; empty if none was seen."""
        return self._meta("covered") or b""

    def seen(self) -> Mark:
        """How far the log was seen, in which file."""
        view = self.view()
        return Mark(self._meta("store") or b"", view.size, view.root)

    # --- groups

    def resolved(self, group: bytes) -> Resolved | None:
        """What was last verified of a group's statements; its chain may have gone on since."""
        return group_records.resolved(self._db, group)

    def statements(self, group: bytes) -> list[bytes]:
        """The statements that led there, one a block, in their order."""
        return group_records.statements(self._db, group)

    def keep_group(self, group: bytes, resolved: Resolved, statements: Sequence[bytes]) -> None:
        """Remember `statements`, now verified, the last of which led to `resolved`.

        Unless another process knows of more by now.
        """
        with self.transaction():
            known = self.resolved(group)
            if known is None or known.chain.length < resolved.chain.length:
                group_records.write(self._db, group, resolved, statements)
            if known:  # else this place may have written it before it remembered anything
                length = resolved.chain.length
                new = self.links(group)[length - len(statements) : length]
                self.keep_doubts_of([data for _, data in new], statements)

    def check_group(self, group: bytes, steps: Sequence[Step]) -> None:
        """Compare what is kept of a group with its chain. Raises `StoreError`."""
        group_records.check(self._db, group, steps)

    # --- writing

    def keep(self, held: Held, outcome: Outcome, now: int) -> bool:
        """Hold what an answer, judged by `held`, proved at `now` (ms).

        False, and nothing is done, if something else is held by now: ask again.
        """
        with self.transaction():
            if self.view() != held.view or any(
                self.pin(found.label) != found.before for found in outcome.found
            ):
                return False
            if outcome.view != held.view:
                self._put("view", pin_records.view(outcome.view))
            for found in outcome.found:
                self._keep(found, outcome.view.size)
                if held.own:
                    self.keep_doubts(found, held.own)
            self._keep_links(LOG_LABEL, outcome.log_steps)
            self._keep_roots(outcome.bundle)
            self._settle(outcome, now)
        return True

    def see(self, view: LogView, newer: LogView) -> bool:
        """Hold a newer tree, judged by `view`, that no answer came with. False: ask again."""
        with self.transaction():
            if self.view() != view:
                return False
            self._put("view", pin_records.view(newer))
        return True

    def admit(self, label: bytes, link: Link) -> None:
        """Remember a block that the log admitted: answers for its label are held to it."""
        with self.transaction():
            values = (label, link.index, link.entry)
            self._db.execute("INSERT OR REPLACE INTO admitted VALUES (?, ?, ?)", values)
            query = """DELETE FROM admitted WHERE EXISTS (
                SELECT * FROM links AS l
                WHERE l.label = admitted.label AND l.leaf = admitted.leaf
                AND l.entry = admitted.entry
            )"""
            self._db.execute(query)

    def accept(self, pin: Pin) -> None:
        """Accept what `pin` tells. Raises `UsageError` if there is more to tell by now."""
        with self.transaction():
            held = self.pin(pin.label)
            if held is None or held not in (pin, pin.accept()):
                raise UsageError("this contact changed meanwhile: look again")
            self._put_pin(replace(pin.accept(), shown=held.shown, time=held.time))

    def settle(self, view: LogView, covered: LogView) -> bool:
        """Settle what auditors cover by the checkpoint of `covered`, as it was judged by `view`.

        False, and nothing is done, if another view is held by now.
        """
        with self.transaction():
            if self.view() != view:
                return False
            if covered.size > view.size:
                self._put("view", pin_records.view(covered))
            self._settle_by(covered)
        return True

    def set_gone(self, gone: bool) -> None:
        """Remember whether the server answers a device of this place."""
        if gone != self.is_gone():
            with self.transaction():
                self._db.execute("DELETE FROM meta WHERE name = 'gone'")
                if gone:
                    self._put("gone", b"")

    def _settle_by(self, covered: LogView) -> None:
        self._db.execute("DELETE FROM unsettled WHERE size <= ?", (covered.size,))
        if covered.size >= size_of(self.covered()):
            self._put("covered", covered.note)

    def _settle(self, outcome: Outcome, now: int) -> None:
        if outcome.standing == Standing.SETTLED:
            self._settle_by(outcome.view)
        elif outcome.standing == Standing.PROVISIONAL:
            digest = sha256(outcome.asked + outcome.bundle).digest()
            values = (digest, outcome.view.size, now, outcome.asked, outcome.bundle)
            self._db.execute("INSERT OR IGNORE INTO unsettled VALUES (?, ?, ?, ?, ?)", values)

    def _keep(self, found: Found, size: int) -> None:
        pin, before = found.pin, found.before
        if pin is None:
            absent = (found.label, size)
            self._db.execute("INSERT OR REPLACE INTO absent VALUES (?, ?)", absent)
            return
        if before is None:
            self._db.execute("DELETE FROM absent WHERE label = ?", (found.label,))
        pin = pin.accept() if pin.quiet else pin
        if before is None or (pin, pin.shown) != (before, before.shown):
            self._put_pin(pin)
        if found.opening:
            values = (found.opening.identifier, found.label, found.opening.nonce)
            self._db.execute("INSERT OR REPLACE INTO names VALUES (?, ?, ?)", values)
        self._keep_links(found.label, found.steps)

    def _keep_links(self, label: bytes, steps: Sequence[Step]) -> None:
        self._db.executemany(
            "INSERT OR REPLACE INTO links VALUES (?, ?, ?, ?)",
            [
                (label, one.block.seq, one.index, entry.block(one.time, one.block.raw))
                for one in steps
            ],
        )

    def _keep_roots(self, bundle: bytes) -> None:
        values = [(root.chain.label, root.encode()) for root in roots_of(bundle)]
        self._db.executemany("INSERT OR REPLACE INTO roots VALUES (?, ?)", values)

    def _put_pin(self, pin: Pin) -> None:
        values = (pin.label, pin_records.pin(pin))
        self._db.execute("INSERT OR REPLACE INTO pins VALUES (?, ?)", values)

    def _meta(self, name: str) -> bytes | None:
        with told():
            row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def _put(self, name: str, value: bytes) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))


def size_of(note: bytes) -> int:
    """The size in a checkpoint that was accepted; 0 of none."""
    return checkpoint.parse(parse_note(note).text).size if note else 0


class _Rows(Mapping[bytes, T]):
    """What is kept by label, each read when it is first asked for: others may write meanwhile."""

    def __init__(
        self, read: Callable[[bytes], T | None], labels: Callable[[], list[bytes]]
    ) -> None:
        self._read = read
        self._labels = labels
        self._known: dict[bytes, T | None] = {}

    def __getitem__(self, label: bytes) -> T:
        if label not in self._known:
            self._known[label] = self._read(label)
        row = self._known[label]
        if row is None:
            raise KeyError(label)
        return row

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._labels())

    def __len__(self) -> int:
        return len(self._labels())
