"""Records, their releases, and what happened to them (R-96.6 to R-96.9).

>>> records = Records(Attempts.open(":memory:", bytes(32)))
>>> slot = Slot(bytes(32), "ada@example.org", bytes(32), Method.MAIL)
>>> records.begin_release(attempt_id(b"a" * 32), slot, now=0) is None  # nobody to send a code to
True

Each call is one transaction. Errors: those of `ledger.recovery.attempts`.
"""

from __future__ import annotations

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
from ledger.localfile import told
from ledger.recovery.attempts import (
    DAY,
    Attempt,
    Attempts,
    NothingHere,
    NotYet,
    Purpose,
    WrongCode,
)

CLAIM_LIFE = DAY
"""How long after it is due a release can be claimed."""


class Records:
    """The records in the service's file. `delay`: seconds that every release waits at least."""

    def __init__(self, attempts: Attempts, delay: int = 0) -> None:
        self._file = attempts
        self._delay = delay

    # --- attempts and their codes

    def begin_keeping(self, attempt: bytes, slot: Slot, held: Held, now: int) -> str | None:
        """The code to send to the slot's address. None: this attempt was begun before."""
        with self._file.transaction():
            return self._begin(attempt, slot, Purpose.KEEP, held, now)

    def begin_release(self, attempt: bytes, slot: Slot, now: int) -> str | None:
        """The code to send; None too where there is no record (R-96.10)."""
        with self._file.transaction():
            code = self._begin(attempt, slot, Purpose.RELEASE, None, now)
            keepers = self._keepers(self._hidden(slot))
            if code is None or not keepers:
                return None
            for keeper in keepers:
                self._tell(keeper, What.ASKED, attempt, now)
            return code

    def answer(self, attempt: bytes, code: str, now: int) -> int:
        """Take a code back; when what it is for is due (ms). Again, it says the same.

        Raises `WrongCode`.
        """
        with self._file.transaction():
            found = self._file.tried(attempt_id(attempt), code, now)
            due = self._due(found, now) if found and found.right else None
            if found and not found.right and found.purpose == Purpose.RELEASE:
                for keeper in self._keepers(found.slot):
                    self._tell(keeper, What.FAILED, found.id, now)
        if due is None:
            raise WrongCode
        return due

    def _due(self, attempt: Attempt, now: int) -> int:
        if attempt.due is not None:
            return attempt.due
        due = now
        if attempt.purpose == Purpose.KEEP:
            self._keep(attempt.id, now)
        elif attempt.purpose == Purpose.RELEASE:
            due = self._release(attempt.id, attempt.slot, now)
        self._file.done(attempt.id, due)
        return due

    def _begin(
        self, attempt: bytes, slot: Slot, purpose: Purpose, held: Held | None, now: int
    ) -> str | None:
        self._file.execute("DELETE FROM releases WHERE due <= ?", (now - CLAIM_LIFE,))
        hidden, method = self._hidden(slot), slot.method
        return self._file.begin(
            attempt, slot.identifier, purpose, hidden, now=now, method=method, held=held
        )

    def _hidden(self, slot: Slot) -> bytes:
        return self._file.hide("slot", encode(slot.to_value()))

    # --- records and releases

    def _keep(self, attempt: bytes, now: int) -> None:
        """R-96.6: a record of the same keeper is replaced; else the newest of too many."""
        query = "SELECT keeper, slot, method, delay, content FROM attempts WHERE id = ?"
        keeper, slot, method, delay, record = self._file.execute(query, (attempt,)).fetchone()
        others = [one for one in self._keepers(slot) if one != keeper]
        for newest in others[MAX_RECORDS - 1 :]:
            self._drop(newest)
        self._file.execute(
            "INSERT INTO records VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (keeper) DO UPDATE SET"
            " slot = excluded.slot, delay = excluded.delay, record = excluded.record",
            (keeper, slot, method, delay, record, now),
        )
        # From here on it stands in one place.
        self._file.execute("UPDATE attempts SET content = NULL WHERE id = ?", (attempt,))

    def _release(self, attempt: bytes, slot: bytes, now: int) -> int:
        """Let the releases of a slot's records wait; when the first is due."""
        found = self._file.execute("SELECT keeper, delay FROM records WHERE slot = ?", (slot,))
        dues = [now]
        waiting = [(keeper, now + 1_000 * max(delay, self._delay)) for keeper, delay in found]
        if waiting:
            dues = [due for _, due in waiting]
        for keeper, due in waiting:
            row = (attempt, keeper, due)
            self._file.execute("INSERT INTO releases VALUES (?, ?, ?, 0)", row)
            self._tell(keeper, What.BEGUN, attempt, now)
        return min(dues)

    def claim(self, attempt: bytes, now: int) -> tuple[bytes, ...]:
        """The records that are released to who holds `attempt`, until a day after they are due.

        Raises `NotYet` and `NothingHere`.
        """
        number = attempt_id(attempt)
        with self._file.transaction():
            query = (
                "SELECT keeper, due, given, record FROM releases JOIN records USING (keeper)"
                " WHERE attempt = ? AND due > ?"
            )
            found = self._file.execute(query, (number, now - CLAIM_LIFE)).fetchall()
            if not found:
                raise NothingHere
            due = [row for row in found if row[1] <= now]
            if not due:
                raise NotYet(min(row[1] for row in found))
            for keeper, _, given, _ in due:
                if not given:
                    self._tell(keeper, What.GIVEN, number, now)
            update = "UPDATE releases SET given = 1 WHERE attempt = ? AND due <= ?"
            self._file.execute(update, (number, now))
        return tuple(record for *_, record in due)

    # --- for the user's devices

    def watch(self, keeper: bytes) -> Watched | None:
        """The record of a keeper, and what happened to it."""
        number = keeper_id(keeper)
        with told():
            query = "SELECT method, delay FROM records WHERE keeper = ?"
            row = self._file.execute(query, (number,)).fetchone()
            if row is None:
                return None
            query = "SELECT what, time, attempt FROM events WHERE keeper = ? ORDER BY rowid"
            found = self._file.execute(query, (number,)).fetchall()
        events = (Event(What(what), time, attempt) for what, time, attempt in found)
        return Watched(Method(row[0]), row[1], tuple(events))

    def cancel(self, keeper: bytes, now: int) -> None:
        """Stop every release of a record that was begun. Raises `NothingHere`."""
        number = keeper_id(keeper)
        with self._file.transaction():
            self._check_there(number)
            stopped = self._file.execute("DELETE FROM releases WHERE keeper = ?", (number,))
            if stopped.rowcount:
                self._tell(number, What.CANCELLED, bytes(32), now)

    def remove(self, keeper: bytes) -> None:
        """Forget a record, and all about it. Raises `NothingHere`."""
        number = keeper_id(keeper)
        with self._file.transaction():
            self._check_there(number)
            self._drop(number)

    def _check_there(self, keeper: bytes) -> None:
        if not self._file.execute("SELECT 1 FROM records WHERE keeper = ?", (keeper,)).fetchone():
            raise NothingHere

    def _drop(self, keeper: bytes) -> None:
        for table in ("records", "releases", "events"):
            self._file.execute(f"DELETE FROM {table} WHERE keeper = ?", (keeper,))

    def _keepers(self, slot: bytes) -> list[bytes]:
        """Of a slot's records, the oldest first."""
        query = "SELECT keeper FROM records WHERE slot = ? ORDER BY made, keeper"
        return [keeper for (keeper,) in self._file.execute(query, (slot,))]

    def _tell(self, keeper: bytes, what: What, attempt: bytes, now: int) -> None:
        row = (keeper, now, what, attempt)
        self._file.execute("INSERT INTO events VALUES (?, ?, ?, ?)", row)
        self._file.execute(
            "DELETE FROM events WHERE keeper = ?1 AND rowid NOT IN"
            " (SELECT rowid FROM events WHERE keeper = ?1 ORDER BY rowid DESC LIMIT ?2)",
            (keeper, MAX_EVENTS),
        )
