"""Secrets of sessions that were begun or opened in a place, for when no server answers (R-94.5).

    with KeptSessions.open("sessions.db", lock) as kept:
        kept.keep(session)
        kept.find(preamble)

The newest `MOST` are kept, under the same lock as the account, and any number of processes may use
the file. It may be deleted: the server has the boxes. What does not open, or is not what it is kept
as, is as good as not there. Errors: those of `ledger.localfile`.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from ledger.errors import MalformedInput, WrongSecret
from ledger.format.sealed import Preamble
from ledger.localfile import LocalFile, open_file, told
from ledger.seal.lock import Lock, is_locked
from ledger.seal.stream import Session

MOST = 4_096
"""R-94.5."""

_VERSION = 1
_SCHEMA = (
    """CREATE TABLE sessions (
        turn INTEGER PRIMARY KEY, commitment BLOB NOT NULL UNIQUE, secret BLOB NOT NULL
    )""",
)


class KeptSessions(LocalFile):
    """The secrets in one file, each under `lock` if there is one."""

    def __init__(self, database: sqlite3.Connection, lock: Lock | None) -> None:
        super().__init__(database)
        self._lock = lock

    @classmethod
    def open(cls, path: str | Path, lock: Lock | None = None) -> KeptSessions:
        """Those in the file `path`, made if it is not there."""
        return cls(open_file(path, _SCHEMA, _VERSION, durable=False, shared=True), lock)

    def keep(self, session: Session) -> None:
        """Keep a session as the newest."""
        secret = self._lock.seal(session.secret) if self._lock else session.secret
        with self.transaction():
            self._db.execute(
                "INSERT OR REPLACE INTO sessions (commitment, secret) VALUES (?, ?)",
                (session.commitment, secret),
            )
            newest = "SELECT max(turn) FROM sessions"
            self._db.execute(f"DELETE FROM sessions WHERE turn <= ({newest}) - ?", (MOST,))

    def find(self, preamble: Preamble) -> Session | None:
        """The session of something sealed, if it is kept (R-94.5)."""
        with told():
            query = "SELECT secret FROM sessions WHERE commitment = ?"
            row = self._db.execute(query, (preamble.commitment,)).fetchone()
        try:
            found = Session(preamble.session, self._opened(row[0])) if row else None
        except (MalformedInput, WrongSecret):
            return None
        return found if found and found.commitment == preamble.commitment else None

    def _opened(self, kept: bytes) -> bytes:
        """R-94.4."""
        if is_locked(kept) != bool(self._lock):
            raise WrongSecret
        return self._lock.open(kept) if self._lock else kept


def delete(path: Path) -> None:
    """Let go of all that is kept in the file `path`. Raises `OSError`."""
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
        path.with_name(name).unlink(missing_ok=True)
