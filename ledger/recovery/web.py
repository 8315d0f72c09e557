"""Routes and handlers of 96-recovery and 98-pending: bodies in CBOR, problems in JSON.

    POST /v1/recovery/records, /v1/recovery/releases      begin: a code is sent
    POST /v1/recovery/codes, /v1/recovery/claims          go on, by who began
    POST /v1/recovery/events, …/cancel, …/remove          for the user's devices
    POST /v1/recovery/halves, …/halves/ask, …/halves/take  for people who are not registered yet

>>> app = make_app(Service(records, halves, mails, config))              # doctest: +SKIP
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog
from aiohttp import web

from ledger.format import pending
from ledger.format import recovery as wire
from ledger.format.login import Authenticated
from ledger.rates import Windows, peer
from ledger.recovery.attempts import Purpose
from ledger.recovery.config import ServerConfig
from ledger.recovery.halves import Halves
from ledger.recovery.mail import Mails
from ledger.recovery.problems import Problem, guard
from ledger.recovery.records import Records
from ledger.recovery.vouching import vouched

CBOR = "application/cbor"

_logger = structlog.get_logger("keyroll.recovery")


def wall_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Service:
    """What the handlers work with. `now` is in ms."""

    records: Records
    halves: Halves
    mails: Mails
    config: ServerConfig
    now: Callable[[], int] = wall_ms


SERVICE = web.AppKey("service", Service)

Answer = Callable[[Service, bytes], bytes | None]
"""From a body to one; None: 204."""

OfPeer = Callable[[Service, bytes, str], bytes | None]
"""The same, where it matters from which peer the body came."""


def make_app(service: Service) -> web.Application:
    """The application that serves one service's records."""
    app = web.Application(middlewares=[guard], client_max_size=pending.MAX_SERVICE_BYTES)
    app[SERVICE] = service
    rate = Windows(service.config.rate)
    routes: dict[str, Answer] = {
        wire.RECORDS_PATH: begin_keeping,
        wire.RELEASES_PATH: begin_release,
        wire.CODES_PATH: take_code,
        wire.CLAIMS_PATH: claim,
        wire.EVENTS_PATH: events,
        wire.CANCEL_PATH: cancel,
        wire.REMOVE_PATH: remove,
        pending.ASK_PATH: ask,
        pending.TAKE_PATH: take,
    }
    app.add_routes(
        web.post(path, _handler(_of_any(answer), rate)) for path, answer in routes.items()
    )
    app.add_routes([web.post(pending.HALVES_PATH, _handler(leave, rate))])
    app.add_routes([web.get("/health", health)])
    return app


def begin_keeping(service: Service, body: bytes) -> None:
    """POST RECORDS_PATH (R-96.6)."""
    asked = wire.RecordRequest.decode(body)
    code = service.records.begin_keeping(asked.attempt, asked.slot, asked.held, service.now())
    _send(service, asked.slot.identifier, Purpose.KEEP, code)


def begin_release(service: Service, body: bytes) -> None:
    """POST RELEASES_PATH (R-96.7)."""
    asked = wire.ReleaseRequest.decode(body)
    code = service.records.begin_release(asked.attempt, asked.slot, service.now())
    _send(service, asked.slot.identifier, Purpose.RELEASE, code)


def _send(service: Service, address: str, purpose: Purpose, code: str | None) -> None:
    if code is not None:
        service.mails.post(address, purpose, code)


def take_code(service: Service, body: bytes) -> bytes:
    """POST CODES_PATH (R-96.5)."""
    asked = wire.CodeRequest.decode(body)
    due = service.records.answer(asked.attempt, asked.code, service.now())
    _logger.info("a code came back")
    return wire.CodeAnswer(due).encode()


def claim(service: Service, body: bytes) -> bytes:
    """POST CLAIMS_PATH (R-96.8)."""
    found = service.records.claim(wire.SecretRequest.decode(body).secret, service.now())
    _logger.info("a record was given out")
    return wire.ClaimAnswer(found).encode()


def events(service: Service, body: bytes) -> bytes:
    """POST EVENTS_PATH (R-96.9)."""
    keepers = wire.EventsRequest.decode(body).keepers
    return wire.EventsAnswer(tuple(map(service.records.watch, keepers))).encode()


def cancel(service: Service, body: bytes) -> None:
    """POST CANCEL_PATH (R-96.9)."""
    service.records.cancel(wire.SecretRequest.decode(body).secret, service.now())


def remove(service: Service, body: bytes) -> None:
    """POST REMOVE_PATH (R-96.9)."""
    service.records.remove(wire.SecretRequest.decode(body).secret)


def leave(service: Service, body: bytes, peer: str) -> None:
    """POST HALVES_PATH (R-98.4)."""
    service.halves.leave(pending.HalvesRequest.decode(body), peer, service.now())


def ask(service: Service, body: bytes) -> None:
    """POST ASK_PATH (R-98.6, R-98.9)."""
    signed, now = Authenticated.decode(body), service.now()
    asked = pending.AskRequest.decode(signed.request)
    signer = signed.login.check(signed.request, pending.ASK_PATH, asked.log_id, now)
    code = service.halves.begin(asked, vouched(asked, signer), now)
    _send(service, asked.opening.identifier, Purpose.TAKE, code)


def take(service: Service, body: bytes) -> bytes:
    """POST TAKE_PATH (R-98.6)."""
    found = service.halves.take(wire.SecretRequest.decode(body).secret, service.now())
    _logger.info("halves were taken")
    return pending.TakeAnswer(tuple(found)).encode()


async def health(request: web.Request) -> web.Response:
    """GET /health, for operators."""
    return web.json_response({"status": "ok"})


def _of_any(answer: Answer) -> OfPeer:
    """Only of halves there may be many."""

    def small(service: Service, body: bytes, peer: str) -> bytes | None:
        return answer(service, body)

    return small


def _handler(
    answer: OfPeer, rate: Windows
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.Response:
        service = request.app[SERVICE]
        asking = peer(request, service.config.forwarded)
        if rate.take(asking):
            raise Problem("too-many", f"at most {rate.limit} for one peer")
        if request.content_type != CBOR:
            raise Problem("media-type", f"send {CBOR}")
        body = answer(service, await request.read(), asking)
        if body is None:
            return web.Response(status=204)
        headers = {"Cache-Control": "no-store"}
        return web.Response(body=body, content_type=CBOR, headers=headers)

    return handle
