"""Halves that wait for people who are not registered yet (R-98.4, R-98.6).

>>> halves = Halves(Attempts.open(":memory:", bytes(32)))
>>> halves.leave(left, "192.0.2.1", now=0)                       # doctest: +SKIP
>>> code = halves.begin(asked, vouched(asked, signer), now=1)    # doctest: +SKIP

Each call is one transaction. Errors: those of `ledger.recovery.attempts`, and `NoRoom`.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address

from ledger.errors import KeyrollError
from ledger.format.bodies import HASH_BYTES
from ledger.format.cbor import bstr, decode, encode, items
from ledger.format.pending import (
    LIFE,
    MAX_HALVES,
    MAX_OF_ONE,
    MAX_OF_PEER,
    MAX_SERVICE_BYTES,
    MAX_WAITING,
    AskRequest,
    HalvesRequest,
)
from ledger.format.recovery import attempt_id
from ledger.recovery.attempts import DAY, Attempts, NothingHere, Purpose

_IPV6_PREFIX = 8


class NoRoom(KeyrollError):
    """More halves for one address, or by one peer, than R-98.4 allows."""


class Halves:
    """The halves in the service's file."""

    def __init__(self, attempts: Attempts) -> None:
        self._file = attempts

    def leave(self, asked: HalvesRequest, peer: str, now: int) -> None:
        """Keep halves of a session, each for its address; what is there, longer.

        Raises `NoRoom`, and keeps none then.
        """
        by = self._file.hide("peer", _network(peer))
        with self._file.transaction():
            self._file.execute("DELETE FROM halves WHERE made <= ?", (now - LIFE,))
            for identifier, half in asked.halves:
                row = (self._place(asked.log_id, identifier), asked.session, half)
                self._keep(row, asked.enrolment, by, now)

    def begin(self, asked: AskRequest, enrolment: bytes, now: int) -> str | None:
        """The code to send to who was let in by `enrolment`. None: this attempt was begun before.

        Raises `NothingHere` if nothing of the sessions waits for them (R-98.6).
        """
        identifier = asked.opening.identifier
        place = self._place(asked.log_id, identifier)
        with self._file.transaction():
            if not self._of(place, asked.sessions, enrolment, now):
                raise NothingHere
            content = encode([enrolment, *asked.sessions])
            return self._file.begin(
                asked.attempt, identifier, Purpose.TAKE, place, now=now, content=content
            )

    def take(self, attempt: bytes, now: int) -> list[tuple[bytes, bytes]]:
        """Session and half of all that this attempt asked for, once its code came back.

        Raises `NothingHere`.
        """
        query = (
            "SELECT slot, content FROM attempts"
            " WHERE id = ? AND purpose = ? AND due IS NOT NULL AND made > ?"
        )
        with self._file.transaction():
            values = (attempt_id(attempt), Purpose.TAKE, now - DAY)
            row = self._file.execute(query, values).fetchone()
            if row is None:
                raise NothingHere
            named = items(decode(row[1], MAX_SERVICE_BYTES), 2, 1 + MAX_WAITING, "sessions")
            enrolment, *sessions = (bstr(one, HASH_BYTES, "session") for one in named)
            return self._of(row[0], sessions, enrolment, now)

    def _keep(
        self, row: tuple[bytes, bytes, bytes], enrolment: bytes, peer: bytes, now: int
    ) -> None:
        again = self._file.execute(
            "UPDATE halves SET enrolment = ?, made = ?"
            " WHERE place = ? AND session = ? AND half = ?",
            (enrolment, now, *row),
        )
        if again.rowcount:
            return
        place, session, _ = row
        self._check_room(MAX_WAITING, "place = ?", place)
        self._check_room(MAX_OF_ONE, "place = ? AND peer = ?", place, peer)
        self._check_room(MAX_HALVES, "place = ? AND session = ?", place, session)
        self._check_room(MAX_OF_PEER, "peer = ?", peer)
        values = (*row, enrolment, peer, now)
        self._file.execute("INSERT INTO halves VALUES (?, ?, ?, ?, ?, ?)", values)

    def _check_room(self, limit: int, which: str, *values: bytes) -> None:
        query = f"SELECT count(*) FROM halves WHERE {which}"
        (count,) = self._file.execute(query, values).fetchone()
        if count >= limit:
            raise NoRoom

    def _of(
        self, place: bytes, sessions: Sequence[bytes], enrolment: bytes, now: int
    ) -> list[tuple[bytes, bytes]]:
        query = (
            "SELECT session, half FROM halves"
            " WHERE place = ? AND session = ? AND enrolment = ? AND made > ?"
        )
        return [
            (found, half)
            for session in dict.fromkeys(sessions)
            for found, half in self._file.execute(query, (place, session, enrolment, now - LIFE))
        ]

    def _place(self, log_id: bytes, identifier: str) -> bytes:
        return self._file.hide("place", log_id + identifier.encode())


def _network(peer: str) -> bytes:
    """Who has one IPv6 address has 2^64 of them."""
    try:
        address = ip_address(peer)
    except ValueError:
        return peer.encode()
    return address.packed[:_IPV6_PREFIX] if isinstance(address, IPv6Address) else address.packed
