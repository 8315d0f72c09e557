"""A doctor's practice at a real server: people, their groups, a session that some of them share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from nacl.bindings import crypto_box_seal, crypto_box_seal_open

from ledger.format.keys import EncryptionKey
from ledger.format.login import authenticate
from ledger.format.sessions import (
    OPEN_PATH,
    SHARE_PATH,
    OpenRequest,
    SessionAnswer,
    SessionBox,
    ShareRequest,
)
from ledger.format.statement import Role
from ledger.log.clock import wall_ms
from ledger.rules.membership import Kind
from ledger.seal.stream import Session
from ledger.store.port import PrivateStore
from tests.http.world import CONFIG, Answer, Http, served
from tests.support.actors import User
from tests.support.groups import Group, Member
from tests.support.shift import Shift

SESSION = Session(b"S" * 32, b"secret" + bytes(26))


def key_of(holder: Member) -> EncryptionKey:
    return holder.user_key if isinstance(holder, User) else holder.encryption


def box_for(holder: Member, secret: bytes = SESSION.secret) -> SessionBox:
    recipient = key_of(holder).public
    return SessionBox(holder.label, recipient, crypto_box_seal(secret, recipient))


def unsealed(box: SessionBox, key: EncryptionKey) -> bytes:
    return crypto_box_seal_open(box.box, key.public, key.secret)


@dataclass
class Practice:
    """Ada, Bob and Eve; a team of Ada and Bob; a house of Ada and the team."""

    log: Http
    ada: User
    bob: User
    eve: User
    team: Group
    house: Group
    private: PrivateStore
    now: Callable[[], int] = wall_ms

    async def ask(self, path: str, request: bytes, user: User) -> Answer:
        key = user.devices[0].signing
        body = authenticate(request, path, key, self.log.actor.log_id, self.now())
        return await self.log.post(path, body)

    async def share(
        self, user: User, *boxes: SessionBox, commitment: bytes = SESSION.commitment
    ) -> Answer:
        request = ShareRequest(user.label, SESSION.id, commitment, boxes)
        return await self.ask(SHARE_PATH, request.encode(), user)

    async def open(self, user: User, session: bytes = SESSION.id) -> Answer:
        return await self.ask(OPEN_PATH, OpenRequest(user.label, session).encode(), user)

    async def holders(self, user: User) -> set[bytes]:
        """Whose boxes a user gets; nobody's, if none."""
        answer = await self.open(user)
        if answer.status == 403:
            assert answer.rule == "R-92.2"
            return set()
        return {box.holder for box in SessionAnswer.decode(answer.body).boxes}


@asynccontextmanager
async def practice_at(path: Path, shift: Shift | None = None) -> AsyncIterator[Practice]:
    """The practice, at a log that begins in the directory `path`."""
    time = shift or Shift()
    async with served(path, CONFIG, clock=time.clock()) as live:
        log = live.http
        people = [await log.user(name) for name in ("ada", "bob", "eve")]
        await log.admit(*people)
        ada, bob, eve = (written.after for written in people)
        roles: dict[Member, Role] = {ada: Role.ADMIN, bob: Role.MEMBER}
        team = Group.create("team", await log.anchor(), ada, roles)
        await log.admit(team)
        nested: dict[Member, Role] = {ada: Role.ADMIN, team.after: Role.GROUP}
        house = Group.create("house", await log.anchor(), ada, nested, kind=Kind.COMPOUND)
        await log.admit(house)
        private = live.served.service.private
        yield Practice(log, ada, bob, eve, team.after, house.after, private, time.now)
