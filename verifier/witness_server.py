"""A witness over HTTP (C2SP tlog-witness; specs/62).

    POST /add-checkpoint             a cosignature, or why not
    GET  /<hash>/checkpoint          what was cosigned last; <hash> = hex SHA-256 of the origin

A request that has come in whole is judged, put on disk and answered in one go: one waits for
another, as for the disk, and a slow peer for nobody. Every request leaves one line of JSON on
standard error, in which nothing is secret.

    async with serving(Witness(logs, cosigner, store), "127.0.0.1", 0) as url: ...
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from aiohttp import web

from verifier.errors import Undecided
from verifier.keyfile import Cosigner
from verifier.note import NoteKey
from verifier.witness import MAX_REQUEST, SIZE, TEXT, Elsewhere, Refused, Request, receive
from verifier.witness_store import Clock, Store

PATIENCE = 10.0  # seconds: for a connection's first request, and for a body
IDLE = 75.0
STOP = 10.0
LINGER = 1.0  # for the rest of a body that was refused, so that its sender hears why
MAX_CONNECTIONS = 256
BACKLOG = 64  # which may come on top, where they come at once

Told = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back, and what is told of it in the log."""

    status: int
    body: str
    type: str = TEXT
    told: Told = field(default_factory=dict)


def wall_clock() -> int:
    """Seconds since 1970."""
    return int(time.time())


@dataclass(frozen=True, slots=True)
class Witness:
    """Whose checkpoints are cosigned, by which key, and what was."""

    logs: Sequence[NoteKey]
    cosigner: Cosigner
    store: Store
    clock: Clock = wall_clock

    def add_checkpoint(self, data: bytes) -> Answer:
        """R-62.11. What is signed is on disk before its signature exists."""
        told: Told = {}
        try:
            submission = receive(data, self.logs)
            told = _told(submission.request)
            record = self.store.cosign(submission, self.clock)
        except Elsewhere as error:
            return Answer(error.status, f"{error.size}\n", SIZE, told | {"why": error.why})
        except Refused as error:
            return _refusal(
                error.status, error.why, told | ({"fork": error.fork} if error.fork else {})
            )
        except Undecided as error:
            return _refusal(503, str(error), told)
        return Answer(200, record.cosigned(self.cosigner), TEXT, told)

    def checkpoint(self, origin_hash: str) -> Answer:
        """The note that was cosigned last, as others may read it."""
        names = {sha256(log.name.encode()).hexdigest(): log.name for log in self.logs}
        try:
            record = self.store.last(names[origin_hash]) if origin_hash in names else None
        except Undecided as error:
            return _refusal(503, str(error), {})
        if record is None:
            return _refusal(404, "nothing was cosigned for such an origin", {})
        return Answer(200, record.note(self.cosigner), TEXT, {"size": record.size})


def _told(request: Request) -> Told:
    origin, size, root = request.checkpoint
    return {"origin": origin, "old": request.old, "size": size, "root": root.hex()}


def _refusal(status: int, why: str, told: Told) -> Answer:
    return Answer(status, f"{why}\n", TEXT, told | {"why": why})


@contextlib.asynccontextmanager
async def serving(witness: Witness, host: str, port: int) -> AsyncIterator[str]:
    """Serves while the context lasts, and says where; at the end, open requests are answered."""
    desk = _Desk(witness)
    runner = web.AppRunner(
        desk.app(),
        access_log=None,
        keepalive_timeout=IDLE,
        shutdown_timeout=STOP,
        auto_decompress=False,
        lingering_time=LINGER,
    )
    await runner.setup()
    assert runner.server
    try:
        listener = await _listen(desk.connections(runner.server), host, port)
        try:
            yield _url(listener)
        finally:
            listener.close()
    finally:
        await runner.cleanup()


async def _listen(factory: Callable[[], asyncio.Protocol], host: str, port: int) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    try:
        return await loop.create_server(factory, host, port, backlog=BACKLOG)
    except OSError as error:
        raise Undecided(f"{host} port {port} cannot be listened on: {error}") from error


class _Desk:
    """Between connections and the witness."""

    def __init__(self, witness: Witness) -> None:
        self._witness = witness
        self._silent: set[asyncio.BaseProtocol] = set()  # connections that asked nothing yet

    def app(self) -> web.Application:
        app = web.Application(client_max_size=MAX_REQUEST)
        app.router.add_post("/add-checkpoint", self._add_checkpoint)
        app.router.add_get("/{origin:[0-9a-f]{64}}/checkpoint", self._checkpoint)
        return app

    def connections(self, server: web.Server) -> Callable[[], asyncio.Protocol]:
        """Makes a handler for each connection, while there are not too many."""
        loop = asyncio.get_running_loop()

        def connection() -> asyncio.Protocol:
            if len(server.connections) >= MAX_CONNECTIONS:
                return _TurnAway()
            handler = server()
            self._silent.add(handler)
            loop.call_later(PATIENCE, self._end_if_silent, handler)
            return handler

        return connection

    def _end_if_silent(self, handler: web.RequestHandler) -> None:
        """Whoever connects and asks nothing keeps a place that others need."""
        if handler in self._silent:
            self._silent.discard(handler)
            handler.force_close()

    async def _add_checkpoint(self, request: web.Request) -> web.Response:
        self._silent.discard(request.protocol)
        started = time.perf_counter()
        try:
            async with asyncio.timeout(PATIENCE):
                body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            answer = _refusal(400, f"a request of more than {MAX_REQUEST} bytes", {})
        except TimeoutError:
            answer = _refusal(408, "the request was too slow", {})
        else:
            return _response(request, self._witness.add_checkpoint(body), started)
        response = _response(request, answer, started)
        response.force_close()
        return response

    async def _checkpoint(self, request: web.Request) -> web.Response:
        self._silent.discard(request.protocol)
        started = time.perf_counter()
        answer = self._witness.checkpoint(request.match_info["origin"])
        return _response(request, answer, started)


def _response(request: web.Request, answer: Answer, started: float) -> web.Response:
    taken = round((time.perf_counter() - started) * 1000, 1)
    line = {"time": wall_clock(), "path": request.path, "status": answer.status, "ms": taken}
    _log(line | answer.told)
    headers = {"Content-Type": answer.type}
    return web.Response(status=answer.status, body=answer.body.encode(), headers=headers)


def _log(line: Told) -> None:
    with contextlib.suppress(OSError, ValueError):  # nobody may listen any more
        print(json.dumps(line), file=sys.stderr, flush=True)


class _TurnAway(asyncio.Protocol):
    """Closes a connection as it comes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


def _url(listener: asyncio.Server) -> str:
    host, port = listener.sockets[0].getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
