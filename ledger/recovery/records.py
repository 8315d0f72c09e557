"""What the service keeps: records, attempts with their codes, releases, events (R-96.5 to R-96.9).

>>> records = Records.open(":memory:", bytes(32))
>>> slot = Slot(bytes(32), "ada@example.org", bytes(32), Method.MAIL)
>>> records.begin_release(attempt_id(b"a" * 32), slot, now=0) is None  # nobody to send a code to
True

Each call is one transaction. Codes, addresses and slots are kept as HMAC-SHA-256 under the
service's own key: without it, its file tells whose records lie there as little as what they hold.

Errors: `TooMany`, `WrongCode`, `NotYet`, `NothingHere`; of the file, those of `ledger.localfile`.
"""

from __future__ import annotations

import hmac
import secrets
from enum import IntEnum
from pathlib import Path

from ledger.errors import KeyrollError
from ledger.format.cbor import encode
from ledger.format.recovery import (
    MAX_EVENTS,
    MAX_RECORDS,
    Event,
    Held,
    Method,
    Slot,
    Watched,
    What,
    attempt_id,
    keeper_id,
)
from ledger.localfile import LocalFile, open_file, told

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000

CODE_LIFE = 15 * MINUTE
TRIES = 5
CODES_AN_HOUR, CODES_A_DAY = 3, 10
CLAIM_LIFE = DAY
"""How long after it is due a release can be claimed."""

_VERSION = 1
_SCHEMA = """
CREATE TABLE records (keeper BLOB PRIMARY KEY, slot BLOB NOT NULL, method INTEGER NOT NULL,
    delay INTEGER NOT NULL, record BLOB NOT NULL, made INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX records_slot ON records (slot);
CREATE TABLE attempts (id BLOB PRIMARY KEY, address BLOB NOT NULL, slot BLOB NOT NULL,
    method INTEGER NOT NULL, made INTEGER NOT NULL, code BLOB NOT NULL, tries INTEGER NOT NULL,
    due INTEGER, purpose INTEGER NOT NULL, keeper BLOB, delay INTEGER, record BLOB) WITHOUT ROWID;
CREATE INDEX attempts_address ON attempts (address, made);
CREATE TABLE releases (attempt BLOB NOT NULL, keeper BLOB NOT NULL, due INTEGER NOT NULL,
    given INTEGER NOT NULL, PRIMARY KEY (attempt, keeper)) WITHOUT ROWID;
CREATE TABLE events (keeper BLOB NOT NULL, time INTEGER NOT NULL, what INTEGER NOT NULL,
    attempt BLOB NOT NULL);
CREATE INDEX events_keeper ON events (keeper)
"""


class Purpose(IntEnum):
    """What a code is for."""

    KEEP = 0
    RELEASE = 1


class TooMany(KeyrollError):
    """More codes for one address than R-96.5 allows."""


class WrongCode(KeyrollError):
    """Not the code of this attempt; or it is too old, or was tried too often."""


class NothingHere(KeyrollError):
    """No such release, or no such record."""


class NotYet(KeyrollError):
    """A release that waits, until `due` (ms)."""

    def __init__(self, due: int) -> None:
        super().__init__("the release waits")
        self.due = due


class Records(LocalFile):
    """The service's file, under its key. `delay`: seconds that every release waits at least."""

    def __init__(self, path: str | Path, key: bytes, delay: int = 0) -> None:
        super().__init__(open_file(path, _SCHEMA.split(";"), _VERSION))
        self._key = key
        self._delay = delay

    @classmethod
    def open(cls, path: str | Path, key: bytes, delay: int = 0) -> Records:
        """The file at `path`, made if it is not there."""
        return cls(path, key, delay)

    # --- attempts and their codes

    def begin_keeping(self, attempt: bytes, slot: Slot, held: Held, now: int) -> str | None:
        """The code to send to the slot's address. None: this attempt was begun before."""
        with self.transaction():
            return self._begin(attempt, slot, Purpose.KEEP, held, now)

    def begin_release(self, attempt: bytes, slot: Slot, now: int) -> str | None:
        """The code to send; None too where there is no record (R-96.10)."""
        with self.transaction():
            code = self._begin(attempt, slot, Purpose.RELEASE, None, now)
            keepers = self._keepers(self._hide("slot", encode(slot.to_value())))
            if code is None or not keepers:
                return None
            for keeper in keepers:
                self._tell(keeper, What.ASKED, attempt, now)
            return code

    def answer(self, attempt: bytes, code: str, now: int) -> int:
        """Take the code back; when what it is for is due (ms). Again, it says the same."""
        number = attempt_id(attempt)
        with self.transaction():
            done = self._try(number, code, now)
        if done is None:
            raise WrongCode
        return done

    def _begin(
        self, attempt: bytes, slot: Slot, purpose: Purpose, held: Held | None, now: int
    ) -> str | None:
        self._purge(now)
        if self._db.execute("SELECT 1 FROM attempts WHERE id = ?", (attempt,)).fetchone():
            return None
        address = self._hide("address", slot.identifier.encode())
        self._check_limits(address, now)
        code = f"{secrets.randbelow(10**8):08}"
        fields = (keeper_id(held.keeper), held.delay, held.record) if held else (None, None, None)
        hidden = self._hide("slot", encode(slot.to_value()))
        proof = self._hide("code", attempt + code.encode())
        self._db.execute(
            "INSERT INTO attempts VALUES (?, ?, ?, ?, ?, ?, 0, NULL, ?, ?, ?, ?)",
            (attempt, address, hidden, slot.method, now, proof, purpose, *fields),
        )
        return code

    def _check_limits(self, address: bytes, now: int) -> None:
        """R-96.5. Counted on disk: a restart forgives nothing."""
        for span, limit in ((HOUR, CODES_AN_HOUR), (DAY, CODES_A_DAY)):
            query = "SELECT count(*) FROM attempts WHERE address = ? AND made > ?"
            (made,) = self._db.execute(query, (address, now - span)).fetchone()
            if made >= limit:
                raise TooMany

    def _try(self, attempt: bytes, code: str, now: int) -> int | None:
        """When it is due; None for a wrong code, which counts (R-96.5)."""
        query = "SELECT slot, made, code, tries, due, purpose FROM attempts WHERE id = ?"
        row = self._db.execute(query, (attempt,)).fetchone()
        if row is None:
            return None
        slot, made, proof, tries, due, purpose = row
        if tries >= TRIES or not made <= now < made + CODE_LIFE:
            return None
        if not hmac.compare_digest(proof, self._hide("code", attempt + code.encode())):
            self._db.execute("UPDATE attempts SET tries = tries + 1 WHERE id = ?", (attempt,))
            if tries + 1 == TRIES and purpose == Purpose.RELEASE:
                for keeper in self._keepers(slot):
                    self._tell(keeper, What.FAILED, attempt, now)
            return None
        if due is None:
            due = now if purpose == Purpose.KEEP else self._release(attempt, slot, now)
            if purpose == Purpose.KEEP:
                self._keep(attempt, now)
            self._db.execute("UPDATE attempts SET due = ? WHERE id = ?", (due, attempt))
        return int(due)

    # --- records and releases

    def _keep(self, attempt: bytes, now: int) -> None:
        """R-96.6: a record of the same keeper is replaced; else the newest of too many."""
        query = "SELECT keeper, slot, method, delay, record FROM attempts WHERE id = ?"
        keeper, slot, method, delay, record = self._db.execute(query, (attempt,)).fetchone()
        others = [one for one in self._keepers(slot) if one != keeper]
        for newest in others[MAX_RECORDS - 1 :]:
            self._drop(newest)
        self._db.execute(
            "INSERT INTO records VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (keeper) DO UPDATE SET"
            " slot = excluded.slot, delay = excluded.delay, record = excluded.record",
            (keeper, slot, method, delay, record, now),
        )
        # From here on it stands in one place.
        self._db.execute("UPDATE attempts SET record = NULL WHERE id = ?", (attempt,))

    def _release(self, attempt: bytes, slot: bytes, now: int) -> int:
        """Let the releases of a slot's records wait; when the first is due."""
        found = self._db.execute("SELECT keeper, delay FROM records WHERE slot = ?", (slot,))
        dues = [now]
        waiting = [(keeper, now + 1_000 * max(delay, self._delay)) for keeper, delay in found]
        if waiting:
            dues = [due for _, due in waiting]
        for keeper, due in waiting:
            row = (attempt, keeper, due)
            self._db.execute("INSERT INTO releases VALUES (?, ?, ?, 0)", row)
            self._tell(keeper, What.BEGUN, attempt, now)
        return min(dues)

    def claim(self, attempt: bytes, now: int) -> tuple[bytes, ...]:
        """The records that are released to who holds `attempt`, until a day after they are due.

        Raises `NotYet` and `NothingHere`.
        """
        number = attempt_id(attempt)
        with self.transaction():
            query = (
                "SELECT keeper, due, given, record FROM releases JOIN records USING (keeper)"
                " WHERE attempt = ? AND due > ?"
            )
            found = self._db.execute(query, (number, now - CLAIM_LIFE)).fetchall()
            if not found:
                raise NothingHere
            due = [row for row in found if row[1] <= now]
            if not due:
                raise NotYet(min(row[1] for row in found))
            for keeper, _, given, _ in due:
                if not given:
                    self._tell(keeper, What.GIVEN, number, now)
            update = "UPDATE releases SET given = 1 WHERE attempt = ? AND due <= ?"
            self._db.execute(update, (number, now))
        return tuple(record for *_, record in due)

    # --- for the user's devices

    def watch(self, keeper: bytes) -> Watched | None:
        """The record of a keeper, and what happened to it."""
        number = keeper_id(keeper)
        with told():
            query = "SELECT method, delay FROM records WHERE keeper = ?"
            row = self._db.execute(query, (number,)).fetchone()
            if row is None:
                return None
            query = "SELECT what, time, attempt FROM events WHERE keeper = ? ORDER BY rowid"
            found = self._db.execute(query, (number,)).fetchall()
        events = (Event(What(what), time, attempt) for what, time, attempt in found)
        return Watched(Method(row[0]), row[1], tuple(events))

    def cancel(self, keeper: bytes, now: int) -> None:
        """Stop every release of a record that was begun. Raises `NothingHere`."""
        number = keeper_id(keeper)
        with self.transaction():
            self._check_there(number)
            stopped = self._db.execute("DELETE FROM releases WHERE keeper = ?", (number,))
            if stopped.rowcount:
                self._tell(number, What.CANCELLED, bytes(32), now)

    def remove(self, keeper: bytes) -> None:
        """Forget a record, and all about it. Raises `NothingHere`."""
        number = keeper_id(keeper)
        with self.transaction():
            self._check_there(number)
            self._drop(number)

    def _check_there(self, keeper: bytes) -> None:
        if not self._db.execute("SELECT 1 FROM records WHERE keeper = ?", (keeper,)).fetchone():
            raise NothingHere

    def _drop(self, keeper: bytes) -> None:
        for table in ("records", "releases", "events"):
            self._db.execute(f"DELETE FROM {table} WHERE keeper = ?", (keeper,))

    def _keepers(self, slot: bytes) -> list[bytes]:
        """Of a slot's records, the oldest first."""
        query = "SELECT keeper FROM records WHERE slot = ? ORDER BY made, keeper"
        return [keeper for (keeper,) in self._db.execute(query, (slot,))]

    def _tell(self, keeper: bytes, what: What, attempt: bytes, now: int) -> None:
        row = (keeper, now, what, attempt)
        self._db.execute("INSERT INTO events VALUES (?, ?, ?, ?)", row)
        self._db.execute(
            "DELETE FROM events WHERE keeper = ?1 AND rowid NOT IN"
            " (SELECT rowid FROM events WHERE keeper = ?1 ORDER BY rowid DESC LIMIT ?2)",
            (keeper, MAX_EVENTS),
        )

    def _purge(self, now: int) -> None:
        self._db.execute("DELETE FROM attempts WHERE made <= ?", (now - DAY,))
        self._db.execute("DELETE FROM releases WHERE due <= ?", (now - CLAIM_LIFE,))

    def _hide(self, kind: str, data: bytes) -> bytes:
        return hmac.digest(self._key, kind.encode() + b"\0" + data, "sha256")
