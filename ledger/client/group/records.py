"""Statements of groups and what they resolve to, as rows beside other things in SQLite.

What is here was verified before it was written. `check` compares it with the group's chain.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from ledger.client.group import groups
from ledger.client.group.groups import Resolved
from ledger.client.history import Step
from ledger.errors import MalformedInput, StoreError
from ledger.localfile import told
from ledger.rules.membership import Membership
from ledger.rules.state import Chain

SCHEMA = (
    """CREATE TABLE statements (
        label BLOB NOT NULL, seq INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (label, seq)
    ) WITHOUT ROWID""",
    """CREATE TABLE memberships (
        label BLOB PRIMARY KEY, chain BLOB NOT NULL, data BLOB NOT NULL
    ) WITHOUT ROWID""",
)


def resolved(database: sqlite3.Connection, group: bytes) -> Resolved | None:
    """What was last verified of a group's statements; its chain may have gone on since."""
    with told():
        query = "SELECT chain, data FROM memberships WHERE label = ?"
        row = database.execute(query, (group,)).fetchone()
    try:
        return Resolved(Chain.from_record(row[0]), Membership.decode(row[1])) if row else None
    except Exception as error:  # damaged bytes may raise anything
        raise _damaged() from error


def statements(database: sqlite3.Connection, group: bytes) -> list[bytes]:
    """The statements that led there, one a block, in their order."""
    with told():
        query = "SELECT data FROM statements WHERE label = ? ORDER BY seq"
        return [data for (data,) in database.execute(query, (group,))]


def write(database: sqlite3.Connection, group: bytes, now: Resolved, new: Sequence[bytes]) -> None:
    """Add the statements `new`, the last of which led to `now`. Only within a transaction."""
    numbered = enumerate(new, now.chain.length - len(new))
    with told():
        database.executemany(
            "INSERT OR REPLACE INTO statements VALUES (?, ?, ?)",
            [(group, seq, data) for seq, data in numbered],
        )
        values = (group, now.chain.record(), now.membership.encode())
        database.execute("INSERT OR REPLACE INTO memberships VALUES (?, ?, ?)", values)


def check(database: sqlite3.Connection, group: bytes, steps: Sequence[Step]) -> None:
    """Compare what is kept of a group with its chain. Raises `StoreError` if it was damaged."""
    known, kept = resolved(database, group), statements(database, group)
    try:
        if known and not groups.fits(known, steps, kept):
            raise _damaged()
    except MalformedInput as error:
        raise _damaged() from error


def _damaged() -> StoreError:
    return StoreError("what is kept of a group is damaged: delete this log's file and begin anew")
