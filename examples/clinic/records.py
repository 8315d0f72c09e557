"""What the clinic keeps: who may log in, appointments, and sealed bytes that it can't read.

>>> with Records.open(":memory:") as records:
...     password = records.enter("ada@patients.example", Role.PATIENT)
...     session = records.login("ada@patients.example", password)
...     records.who(session)
Person(identifier='ada@patients.example', role=<Role.PATIENT: 'patient'>)

Passwords are random and handed out on paper, so a plain hash of them will do; so it does for
sessions. An application has its own logins: nothing of these is Keyroll's.
"""

from __future__ import annotations

import secrets
import sqlite3
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from pathlib import Path
from typing import Self

_SCHEMA = """
CREATE TABLE IF NOT EXISTS people (
    identifier TEXT PRIMARY KEY, role TEXT NOT NULL, guardian TEXT, password BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS sessions (
    hash BLOB PRIMARY KEY, identifier TEXT NOT NULL REFERENCES people ON DELETE CASCADE
);
CREATE TABLE IF NOT EXISTS appointments (
    number INTEGER PRIMARY KEY, patient TEXT NOT NULL REFERENCES people, day TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS sealed (
    number INTEGER PRIMARY KEY, folder TEXT NOT NULL REFERENCES people, data BLOB NOT NULL
);
"""


class Role(Enum):
    """What somebody is to the clinic."""

    PATIENT = "patient"
    STAFF = "staff"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who is logged in."""

    identifier: str
    role: Role


class Records:
    """The clinic's database. The server and the desk may have it open at once."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._db = database

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """The records in the file `path`, made if it is not there."""
        database = sqlite3.connect(path, isolation_level=None)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA foreign_keys = ON")
        database.executescript(_SCHEMA)
        return cls(database)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._db.close()

    # --- people

    def enter(self, identifier: str, role: Role, guardian: str | None = None) -> str:
        """Let somebody in from now on; their password, to be handed to them."""
        password = secrets.token_urlsafe(18)
        values = (identifier, role.value, guardian, _hash(password))
        self._db.execute("INSERT INTO people VALUES (?, ?, ?, ?)", values)
        return password

    def dismiss(self, identifier: str) -> None:
        """Let somebody in no more."""
        self._db.execute("DELETE FROM people WHERE identifier = ?", (identifier,))

    def login(self, identifier: str, password: str) -> str | None:
        """A new session of whoever knows the password."""
        query = "SELECT 1 FROM people WHERE identifier = ? AND password = ?"
        if not self._db.execute(query, (identifier, _hash(password))).fetchone():
            return None
        session = secrets.token_urlsafe(18)
        self._db.execute("INSERT INTO sessions VALUES (?, ?)", (_hash(session), identifier))
        return session

    def who(self, session: str) -> Person | None:
        """Whose session it is."""
        query = "SELECT identifier, role FROM people NATURAL JOIN sessions WHERE hash = ?"
        row = self._db.execute(query, (_hash(session),)).fetchone()
        return Person(row[0], Role(row[1])) if row else None

    def may_see(self, person: Person, patient: str) -> bool:
        """Whether a patient's folder and appointments are any of somebody's business."""
        query = "SELECT 1 FROM people WHERE identifier = ? AND guardian = ?"
        is_guardian = self._db.execute(query, (patient, person.identifier)).fetchone()
        return person.role == Role.STAFF or person.identifier == patient or bool(is_guardian)

    # --- what it is all for

    def book(self, patient: str, day: str) -> None:
        """Keep an appointment on `day` (an ISO date)."""
        self._db.execute("INSERT INTO appointments (patient, day) VALUES (?, ?)", (patient, day))

    def appointments(self, patient: str) -> list[str]:
        """The days of a patient's appointments, ascending."""
        query = "SELECT day FROM appointments WHERE patient = ? ORDER BY day"
        return [day for (day,) in self._db.execute(query, (patient,))]

    def keep(self, patient: str, data: bytes) -> int:
        """Put sealed bytes into a patient's folder; their number."""
        query = "INSERT INTO sealed (folder, data) VALUES (?, ?) RETURNING number"
        (number,) = self._db.execute(query, (patient, data)).fetchone()
        return int(number)

    def folder(self, patient: str) -> list[int]:
        """The numbers of what is in a patient's folder, ascending."""
        query = "SELECT number FROM sealed WHERE folder = ? ORDER BY number"
        return [number for (number,) in self._db.execute(query, (patient,))]

    def sealed(self, number: int) -> tuple[str, bytes] | None:
        """Whose folder it lies in, and the bytes."""
        query = "SELECT folder, data FROM sealed WHERE number = ?"
        row = self._db.execute(query, (number,)).fetchone()
        return (row[0], row[1]) if row else None


def _hash(secret: str) -> bytes:
    return sha256(secret.encode()).digest()
