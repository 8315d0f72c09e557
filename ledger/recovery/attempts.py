"""What the service keeps, in one file, and the attempts to get at it, with their codes (R-96.5).

>>> attempts = Attempts.open(":memory:", bytes(32))
>>> code = attempts.begin(b"a" * 32, "ada@example.org", Purpose.TAKE, b"whose", now=0)
>>> len(code or "")
8

Codes, addresses and slots are kept as HMAC-SHA-256 under the service's own key: without it, its
file tells whose things lie there as little as what they hold. `Records` and `Halves` keep theirs in
the same file, in transactions of its own.

Errors: `TooMany`, `WrongCode`, `NotYet`, `NothingHere`; of the file, those of `ledger.localfile`.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from sqlite3 import Cursor

from ledger.errors import KeyrollError
from ledger.format.recovery import Held, Method, keeper_id
from ledger.localfile import LocalFile, open_file

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000

CODE_LIFE = 15 * MINUTE
TRIES = 5
CODES_AN_HOUR, CODES_A_DAY = 3, 10

_VERSION = 2
_SCHEMA = """
CREATE TABLE attempts (id BLOB PRIMARY KEY, address BLOB NOT NULL, slot BLOB NOT NULL,
    method INTEGER NOT NULL, made INTEGER NOT NULL, code BLOB NOT NULL, tries INTEGER NOT NULL,
    due INTEGER, purpose INTEGER NOT NULL, keeper BLOB, delay INTEGER, content BLOB) WITHOUT ROWID;
CREATE INDEX attempts_address ON attempts (address, made);
CREATE INDEX attempts_made ON attempts (made);
CREATE TABLE records (keeper BLOB PRIMARY KEY, slot BLOB NOT NULL, method INTEGER NOT NULL,
    delay INTEGER NOT NULL, record BLOB NOT NULL, made INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX records_slot ON records (slot);
CREATE TABLE releases (attempt BLOB NOT NULL, keeper BLOB NOT NULL, due INTEGER NOT NULL,
    given INTEGER NOT NULL, PRIMARY KEY (attempt, keeper)) WITHOUT ROWID;
CREATE TABLE events (keeper BLOB NOT NULL, time INTEGER NOT NULL, what INTEGER NOT NULL,
    attempt BLOB NOT NULL);
CREATE INDEX events_keeper ON events (keeper);
CREATE TABLE halves (place BLOB NOT NULL, session BLOB NOT NULL, half BLOB NOT NULL,
    enrolment BLOB NOT NULL, peer BLOB NOT NULL, made INTEGER NOT NULL,
    PRIMARY KEY (place, session, half)) WITHOUT ROWID;
CREATE INDEX halves_peer ON halves (peer);
CREATE INDEX halves_made ON halves (made)
"""


class Purpose(IntEnum):
    """What a code is for."""

    KEEP = 0
    RELEASE = 1
    TAKE = 2


class TooMany(KeyrollError):
    """More codes for one address than R-96.5 allows."""


class WrongCode(KeyrollError):
    """Not the code of this attempt; or it is too old, or was tried too often."""


class NothingHere(KeyrollError):
    """No such release, no such record, nothing that may be taken."""


class NotYet(KeyrollError):
    """A release that waits, until `due` (ms)."""

    def __init__(self, due: int) -> None:
        super().__init__("the release waits")
        self.due = due


@dataclass(frozen=True, slots=True)
class Attempt:
    """One for which a code came back: `right`, or wrong as often as it may be.

    `due` says when what it is for is due (ms), if the code came back before.
    """

    id: bytes
    slot: bytes
    purpose: Purpose
    due: int | None
    right: bool


class Attempts(LocalFile):
    """The service's file, under its key."""

    def __init__(self, path: str | Path, key: bytes) -> None:
        super().__init__(open_file(path, _SCHEMA.split(";"), _VERSION))
        self._key = key

    @classmethod
    def open(cls, path: str | Path, key: bytes) -> Attempts:
        """The file at `path`, made if it is not there."""
        return cls(path, key)

    def execute(self, query: str, values: Sequence[object] = ()) -> Cursor:
        """One statement, within a transaction or `told`."""
        return self._db.execute(query, values)

    def hide(self, kind: str, data: bytes) -> bytes:
        """What stands for `data` in the file."""
        return hmac.digest(self._key, kind.encode() + b"\0" + data, "sha256")

    def begin(
        self,
        attempt: bytes,
        identifier: str,
        purpose: Purpose,
        slot: bytes,
        *,
        now: int,
        method: Method = Method.MAIL,
        held: Held | None = None,
        content: bytes | None = None,
    ) -> str | None:
        """The code to send to an address. None: this attempt was begun before."""
        self.execute("DELETE FROM attempts WHERE made <= ?", (now - DAY,))
        if self.execute("SELECT 1 FROM attempts WHERE id = ?", (attempt,)).fetchone():
            return None
        address = self.hide("address", identifier.encode())
        self._check_limits(address, now)
        code = f"{secrets.randbelow(10**8):08}"
        proof = self.hide("code", attempt + code.encode())
        keeper, delay = (keeper_id(held.keeper), held.delay) if held else (None, None)
        kept = held.record if held else content
        self.execute(
            "INSERT INTO attempts VALUES (?, ?, ?, ?, ?, ?, 0, NULL, ?, ?, ?, ?)",
            (attempt, address, slot, method, now, proof, purpose, keeper, delay, kept),
        )
        return code

    def _check_limits(self, address: bytes, now: int) -> None:
        """R-96.5. Counted on disk: a restart forgives nothing."""
        for span, limit in ((HOUR, CODES_AN_HOUR), (DAY, CODES_A_DAY)):
            query = "SELECT count(*) FROM attempts WHERE address = ? AND made > ?"
            (made,) = self.execute(query, (address, now - span)).fetchone()
            if made >= limit:
                raise TooMany

    def tried(self, attempt: bytes, code: str, now: int) -> Attempt | None:
        """What came of a code. None: nothing, but that a wrong one was counted (R-96.5)."""
        query = "SELECT slot, made, code, tries, due, purpose FROM attempts WHERE id = ?"
        row = self.execute(query, (attempt,)).fetchone()
        if row is None:
            return None
        slot, made, proof, tries, due, purpose = row
        if tries >= TRIES or not made <= now < made + CODE_LIFE:
            return None
        right = hmac.compare_digest(proof, self.hide("code", attempt + code.encode()))
        if not right:
            self.execute("UPDATE attempts SET tries = tries + 1 WHERE id = ?", (attempt,))
            if tries + 1 < TRIES:
                return None
        return Attempt(attempt, slot, Purpose(purpose), due, right)

    def done(self, attempt: bytes, due: int) -> None:
        """Its code came back: what it is for is due then (ms)."""
        self.execute("UPDATE attempts SET due = ? WHERE id = ?", (due, attempt))
