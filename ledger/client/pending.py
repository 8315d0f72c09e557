"""Sealed to people who are not registered yet, and claimed by them once they are (98-pending).

>>> room = WaitingRoom(ada, server, service)                     # doctest: +SKIP
>>> await room.leave(session, {"fay@example.org": label})        # two halves, in two places

Fay, once she has registered:

>>> await claim(documents, WaitingRoom(fay, server, service), ask, place)   # doctest: +SKIP
[Session(…)]

After an error or a crash do the same again: what was left, or claimed, is not so twice. Errors:
`UsageError` for whom no mail reaches; `Refused` (kinds `too-many`, `wrong-code`, `not-found`);
and what `Documents.share` raises.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from ledger.client.documents import Documents
from ledger.client.transport import HttpTransport
from ledger.client.user.tickets import Ask, Ticket, answered, forget_ticket
from ledger.client.user.user import User
from ledger.errors import MalformedInput, Refused, UsageError
from ledger.format import entry
from ledger.format import pending as wire
from ledger.format.block import Block, parse
from ledger.format.bodies import DeviceAdd, UserCreate
from ledger.format.login import authenticate
from ledger.format.pending import (
    AskRequest,
    HalvesRequest,
    LeaveRequest,
    TakeAnswer,
    Waiting,
    WaitingAnswer,
    WaitingRequest,
)
from ledger.format.recovery import Method, SecretRequest, attempt_id, check_address
from ledger.seal.halves import halves_of, joined
from ledger.seal.stream import Session

_DAY = 86_400_000
_CODE_LIFE = 15 * 60_000

Halves = Mapping[bytes, list[bytes]]
"""By session."""


class WaitingRoom:
    """What one user leaves for others, and what others left for them: at a log, and a service."""

    def __init__(self, user: User, server: HttpTransport, service: HttpTransport) -> None:
        self.user = user
        self._server = server
        self._service = service

    # --- to leave

    def check(self, identifiers: Iterable[str]) -> None:
        """Raise `UsageError` if something can't be left for one of these: no mail reaches them."""
        for identifier in identifiers:
            try:
                check_address(identifier)
            except MalformedInput as error:
                raise UsageError(f"{identifier} is not in the log, and is no address") from error

    async def leave(self, session: Session, absent: Mapping[str, bytes]) -> None:
        """Leave halves for people (identifier to label) whose absence was proven a moment ago.

        Raises `Refused` (409) if one of them has registered meanwhile.
        """
        halves = {name: halves_of(session, label) for name, label in absent.items()}
        log_id, names = self.user.log.log_id, list(absent)
        enrolment = self.user.log.replica.log.enrolment
        for some in _parts(names, wire.MAX_HALVES):  # first, so that what is listed is there
            mailed = tuple((name, halves[name][1]) for name in some)
            request = HalvesRequest(log_id, enrolment, session.id, mailed).encode()
            await self._service.post(wire.HALVES_PATH, request, 0)
        for some in _parts(names, wire.MAX_LEFT):
            left = tuple((absent[name], halves[name][0]) for name in some)
            user = self.user.label
            asked = LeaveRequest(user, session.id, session.commitment, left).encode()
            await self._asked(wire.LEAVE_PATH, asked, 0)

    # --- to claim

    async def waiting(self) -> tuple[Waiting, ...]:
        """What waits at the log's server."""
        asked = WaitingRequest(self.user.label).encode()
        answer = await self._asked(wire.WAITING_PATH, asked, wire.MAX_ANSWER_BYTES)
        return WaitingAnswer.decode(answer).waiting

    async def mailed(
        self, sessions: Iterable[bytes], chain: Iterable[Block], place: Path, ask: Ask
    ) -> Halves:
        """The other halves of these, by a code; nobody is asked for one if there are none.

        The user's `chain` shows who let them in. What was begun is kept in the file `place`, until
        it is forgotten.
        """
        try:
            ticket = await self._begun(tuple(sessions), chain, place)
        except Refused as error:
            if error.kind == "not-found":
                return {}
            raise
        try:
            if ticket.due is None:
                ticket = replace(ticket, due=await answered(self._service, ticket, ask))
                ticket.save(place)
            return await self._taken(ticket.attempt)
        except Refused as error:
            if error.kind in ("wrong-code", "not-found"):
                forget_ticket(place)  # nothing comes of this one any more
            raise

    async def _begun(
        self, sessions: tuple[bytes, ...], chain: Iterable[Block], place: Path
    ) -> Ticket:
        identifier, now = self.user.identifier, self.user.log.clock()
        ticket = Ticket.load(place)
        if ticket and ticket.identifier == identifier:
            life = _CODE_LIFE if ticket.due is None else _DAY
            if ticket.made <= now < ticket.made + life:
                return ticket
        ticket = Ticket(os.urandom(32), identifier, Method.MAIL, now)
        log_id, opening = self.user.log.log_id, self.user.identity.opening
        blocks = lineage(chain, self.user.author().signing.public)
        asked = AskRequest(attempt_id(ticket.attempt), log_id, opening, sessions, blocks)
        await self._service.post(wire.ASK_PATH, self._signed(asked.encode(), wire.ASK_PATH), 0)
        ticket.save(place)
        return ticket

    async def _taken(self, attempt: bytes) -> Halves:
        request = SecretRequest(attempt).encode()
        answer = await self._service.post(wire.TAKE_PATH, request, wire.MAX_ANSWER_BYTES)
        found = defaultdict[bytes, list[bytes]](list)
        for session, half in TakeAnswer.decode(answer).halves:
            found[session].append(half)
        return found

    async def _asked(self, path: str, request: bytes, limit: int) -> bytes:
        """The answer of the log's server, which may say that this device is gone."""
        async with self.user.answered():
            return await self._server.post(path, self._signed(request, path), limit)

    def _signed(self, request: bytes, path: str) -> bytes:
        log, signer = self.user.log, self.user.author().signing
        return authenticate(request, path, signer, log.log_id, log.clock())


async def claim(documents: Documents, room: WaitingRoom, ask: Ask, place: Path) -> list[Session]:
    """The sessions that this person can read from now on, by what was left for them (R-98.7).

    If nothing waits nobody is asked for a code. What was begun is kept in the file `place`.
    """
    # Nothing more is left for who has registered: what was begun is for all that waits.
    waiting, found = await room.waiting(), list[Session]()
    if waiting:
        await documents.light.refresh()
        links = documents.light.trust.links(room.user.label)
        chain = [parse(entry.parse(data).body) for _, data in links]
        sessions = dict.fromkeys(one.session for one in waiting)
        mailed = await room.mailed(sessions, chain, place, ask)
        found = [session for session in _opened(waiting, mailed) if session]
    for session in found:
        await documents.share(session, [room.user.label])
    forget_ticket(place)
    return found


def _opened(waiting: Iterable[Waiting], mailed: Halves) -> Iterable[Session | None]:
    left = defaultdict[tuple[bytes, bytes], list[bytes]](list)
    for one in waiting:
        left[one.session, one.commitment].append(one.half)
    for (session, commitment), halves in left.items():
        yield joined(session, commitment, halves, mailed.get(session, ()))


def lineage(chain: Iterable[Block], device: bytes) -> tuple[bytes, ...]:
    """The blocks of a user's chain that brought in a device, back to who was let in (R-98.9)."""
    found: list[bytes] = []
    for block in reversed(list(chain)):
        body = block.body
        if isinstance(body, UserCreate | DeviceAdd) and body.device.signing == device:
            found.append(block.raw)
            if isinstance(body, UserCreate):
                break
            device = body.author
    if not 1 <= len(found) <= wire.MAX_LINEAGE:
        raise UsageError("too many devices brought one another in: claim with an older one")
    return tuple(reversed(found))


def _parts(names: list[str], size: int) -> Iterable[list[str]]:
    return (names[at : at + size] for at in range(0, len(names), size))
