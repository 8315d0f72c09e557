"""Who is to get at what waits for somebody who is not registered yet, or to slip in something else.

Bob seals a message to a stranger, at the honest log and at a recovery service that really runs,
beside a real mail server. None of the four who keep something of it can open it alone (98-pending).
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from aiohttp import web
from structlog.testing import capture_logs

from ledger.client.documents import Documents, parse_preamble
from ledger.client.lookups.session import LightLog
from ledger.client.pending import WaitingRoom, claim
from ledger.client.replay.session import Log
from ledger.client.transport import HttpTransport
from ledger.client.user.account import MemoryVault
from ledger.client.user.user import User as UserClient
from ledger.errors import NotForYou, Refused
from ledger.format import pending
from ledger.format import recovery as codes
from ledger.format.identity import Opening
from ledger.format.login import Authenticated, authenticate
from ledger.format.pending import Waiting, WaitingAnswer
from ledger.format.recovery import attempt_id
from ledger.format.sessions import (
    OPEN_PATH,
    SHARE_PATH,
    SessionAnswer,
    SessionBox,
    ShareRequest,
)
from ledger.recovery.config import Config, MailConfig, ServerConfig
from ledger.recovery.runtime import make, serving
from ledger.seal.halves import halves_of, joined
from ledger.seal.stream import Session
from tests.attacks.stage import EVE, Stage
from tests.attacks.suite import BELIEVED, RULE, Catch, attack
from tests.support.actors import LogActor, User, Written, signing_key
from tests.support.mailbox import Mailbox, mail_server
from tests.support.serving import serving as serving_app


@dataclass
class Waits:
    """What Bob sealed to a stranger: the session, the sealed bytes, and where its halves are."""

    stage: Stage
    name: str
    session: Session
    sealed: bytes
    service: HttpTransport
    box: Mailbox

    @property
    def label(self) -> bytes:
        return self.stage.world.actor.label(self.name)

    @property
    def halves(self) -> tuple[bytes, bytes]:
        """That at the log's server, that at the service."""
        return halves_of(self.session, self.label)

    def let_in(self, by: LogActor | None = None) -> Written[User]:
        """The block by which an application lets the stranger in, or somebody with another key."""
        world = self.stage.world
        return User.create(by or world.actor, self.name, world.anchor)

    async def comes(self) -> Written[User]:
        """Somebody registers as the stranger, with a token of the application."""
        written = self.let_in()
        await self.stage.comes(written)
        return written

    async def asks_server(self, by: User) -> Sequence[Waiting] | Catch:
        """What waits for the stranger's label, asked for by somebody's device."""
        request = pending.WaitingRequest(self.label).encode()
        key, log_id, now = by.devices[0].signing, self.stage.log_id, self.stage.now
        body = authenticate(request, pending.WAITING_PATH, key, log_id, now)
        answer = await self.stage.http.post(pending.WAITING_PATH, body)
        if answer.status == 200:
            return WaitingAnswer.decode(answer.body).waiting
        return Catch("server", answer.rule or "no answer", answer.kind)

    async def asks_service(self, by: Written[User], code: str = "") -> list[bytes] | Catch:
        """The halves of the session: by a block that let somebody in, and the code or a guess."""
        attempt, log_id, user = os.urandom(32), self.stage.log_id, by.after
        asked = pending.AskRequest(
            *(attempt_id(attempt), log_id, Opening(user.opening.nonce, self.name)),
            *((self.session.id,), (by.raw,)),
        )
        key, path = user.devices[0].signing, pending.ASK_PATH
        body = authenticate(asked.encode(), path, key, log_id, self.stage.now)
        secret = codes.SecretRequest(attempt).encode()
        try:
            await self.service.post(path, body, 0)
            code = code or await self.box.code(self.name)
            answer = codes.CodeRequest(attempt, code).encode()
            await self.service.post(codes.CODES_PATH, answer, codes.MAX_ANSWER_BYTES)
            taken = await self.service.post(pending.TAKE_PATH, secret, pending.MAX_ANSWER_BYTES)
        except Refused as error:
            # Nothing is there for whom another application let in.
            rules = {"wrong-code": "R-96.5", "not-found": "R-98.9"}
            named = RULE.search(error.detail)
            return Catch("service", named[0] if named else rules[error.kind], error.detail)
        return [half for _, half in pending.TakeAnswer.decode(taken).halves]

    def opens(self, left: Sequence[bytes], mailed: Sequence[bytes]) -> Catch:
        """What comes of trying all that somebody has."""
        found = joined(self.session.id, self.session.commitment, left, mailed)
        return Catch("client", BELIEVED if found else "R-98.7", "it does not fit the commitment")

    async def claims(self, user: User, url: str) -> Catch:
        """The stranger claims at the server `url`, and reads."""
        async with _documents(self.stage, user, self.service, url) as (documents, room):

            async def code() -> str:
                return await self.box.code(self.name)

            assert await claim(documents, room, code, self.stage.place() / "claim")
            try:
                await documents.decrypt(self.sealed)
            except NotForYou as error:
                return Catch("client", "R-92.3", str(error))
        return Catch("client", BELIEVED)


@asynccontextmanager
async def _documents(
    stage: Stage, user: User, service: HttpTransport, url: str = ""
) -> AsyncIterator[tuple[Documents, WaitingRoom]]:
    """What a user seals and opens; boxes and halves are asked of the server `url`."""
    account, vault, honest = stage.account(user), MemoryVault(), stage.http.url
    vault.save(account)
    async with (
        Log.connect(honest, stage.log_id) as log,
        LightLog.connect(honest, stage.log_id, ":memory:", account) as light,
        HttpTransport(url or honest) as server,
    ):
        await log.sync()
        client = UserClient(log, vault)
        room = WaitingRoom(client, server, service)
        yield Documents(client, light, server, fresh=0, room=room), room


@asynccontextmanager
async def waits(stage: Stage, name: str) -> AsyncIterator[Waits]:
    """A message of Bob's, for somebody whom nobody else in the suite knows."""
    identifier = f"{name}@example.org"
    async with mail_server() as box, _service(stage, box) as service:
        async with _documents(stage, stage.bob, service) as (documents, _):
            sealed = await documents.encrypt(b"for your eyes only", [identifier])
            session = await documents.session(parse_preamble(sealed))
        yield Waits(stage, identifier, session, sealed, service, box)


@asynccontextmanager
async def _service(stage: Stage, box: Mailbox) -> AsyncIterator[HttpTransport]:
    place = stage.place() / "service"
    make(place)
    config = Config(ServerConfig(port=0), MailConfig(port=box.port))
    with capture_logs():  # standard output is the suite's
        async with serving(place, config) as url, HttpTransport(url) as service:
            yield service


@attack("what waits for somebody, opened by the application")
async def by_the_application(stage: Stage) -> list[Catch]:
    """It registers in their place, so it gets one half; it does not read their mail."""
    async with waits(stage, "gil") as waiting:
        written = await waiting.comes()
        found = await waiting.asks_server(written.after)
        assert not isinstance(found, Catch)
        left = [one.half for one in found]
        mailed = await waiting.asks_service(written, code="12345678")
        assert isinstance(mailed, Catch)
        return [mailed, waiting.opens(left, left)]


@attack("what waits for somebody, opened by the recovery service")
async def by_the_service(stage: Stage) -> list[Catch]:
    """Whoever runs it may be a user of the log as well."""
    async with waits(stage, "hal") as waiting:
        _, mailed = waiting.halves
        found = await waiting.asks_server(stage.eve)
        assert isinstance(found, Catch)
        return [found, waiting.opens([mailed, bytes(32)], [mailed])]


@attack("what waits for somebody, opened by the log's operator and the mail provider")
async def by_operator_and_mail_provider(stage: Stage) -> list[Catch]:
    """They have a half and would get the code; but no application let them in as that person."""
    async with waits(stage, "ida") as waiting:
        left, _ = waiting.halves
        actor = replace(stage.world.actor, enrolment=signing_key("the operator's own"))
        eve = User.create(stage.world.actor, EVE, stage.world.anchor)
        asked = [await waiting.asks_service(one) for one in (waiting.let_in(actor), eve)]
        met = [one for one in asked if isinstance(one, Catch)]
        assert len(met) == 2
        assert waiting.box.mails == []
        return [*met, waiting.opens([left], [left, bytes(32)])]


@attack("what waits for somebody, opened by the recovery service and the mail provider")
async def by_service_and_mail_provider(stage: Stage) -> list[Catch]:
    """They have a half, and the code; for the other they would have to be that person."""
    async with waits(stage, "jon") as waiting:
        _, mailed = waiting.halves
        found = await waiting.asks_server(stage.eve)
        assert isinstance(found, Catch)
        return [found, waiting.opens([mailed], [mailed])]


async def mail(waiting: Waits, half: bytes) -> None:
    """Somebody leaves a half at the service."""
    log_id = waiting.stage.log_id
    enrolment = waiting.stage.world.actor.enrolment.public
    session, halves = waiting.session.id, ((waiting.name, half),)
    request = pending.HalvesRequest(log_id, enrolment, session, halves)
    await waiting.service.post(pending.HALVES_PATH, request.encode(), 0)


@attack("wrong halves for somebody, in place of the right ones")
async def wrong_halves(stage: Stage) -> list[Catch]:
    """The service gives out another half; the log's server, in another case, another commitment."""
    async with waits(stage, "kim") as waiting:
        left, mailed = waiting.halves
        other = waiting.opens([left], [bytes([mailed[0] ^ 1]) + mailed[1:]])
        swapped = joined(waiting.session.id, b"c" * 32, [left], [mailed])
        return [other, Catch("client", BELIEVED if swapped else "R-98.7")]


@attack("an old half, given out again for another session")
async def an_old_half(stage: Stage) -> list[Catch]:
    """What was once taken, for the same person, is of no use for what was sealed later."""
    async with waits(stage, "leo") as first, waits(stage, "leo") as second:
        left, _ = second.halves
        _, mailed = first.halves
        return [second.opens([left], [mailed])]


@attack("another secret under a session's name")
async def another_secret(stage: Stage) -> list[Catch]:
    """The operator leaves two halves of its own, with a commitment that they fit."""
    async with waits(stage, "mia") as waiting:
        own = Session(waiting.session.id, b"the operator's own secret".ljust(32))
        user = (await waiting.comes()).after
        left, mailed = halves_of(own, waiting.label)
        await mail(waiting, mailed)
        said = Waiting(own.id, own.commitment, stage.bob.label, left)
        async with serving_app(_operator(said)) as url:
            return [await waiting.claims(user, url)]


def _operator(said: Waiting) -> web.Application:
    """A server that says this of what waits, and takes every box."""
    boxes: list[SessionBox] = []

    async def waiting(request: web.Request) -> web.Response:
        return web.Response(body=WaitingAnswer((said,)).encode())

    async def share(request: web.Request) -> web.Response:
        asked = Authenticated.decode(await request.read()).request
        boxes.extend(ShareRequest.decode(asked).boxes)
        return web.Response(status=204)

    async def opened(request: web.Request) -> web.Response:
        return web.Response(body=SessionAnswer(said.commitment, tuple(boxes)).encode())

    app = web.Application()
    routes = {pending.WAITING_PATH: waiting, SHARE_PATH: share, OPEN_PATH: opened}
    app.add_routes([web.post(path, handler) for path, handler in routes.items()])
    return app
