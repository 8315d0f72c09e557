"""The HTTP side of the client, against servers that answer badly."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from ledger.client import transport
from ledger.client.text import printable
from ledger.client.transport import HttpTransport
from ledger.errors import Busy, Refused, TransportError, UsageError
from ledger.format.note import MAX_NOTE_BYTES
from ledger.tree.tiles import Bundle

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "_FIRST_PAUSE", 0.001)
    monkeypatch.setattr(transport, "_LONGEST_PAUSE", 0.01)


@asynccontextmanager
async def serving(handler: Handler, patience: float = 5.0) -> AsyncIterator[HttpTransport]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    async with (
        TestServer(app) as server,
        HttpTransport(str(server.make_url("/")), timeout=patience) as http,
    ):
        yield http


def problem(status: int, kind: str, **headers: str) -> web.Response:
    document = {"type": f"urn:keyroll:problem:{kind}", "title": "No", "detail": "because"}
    return web.json_response(document, status=status, headers=headers)


async def test_what_is_asked() -> None:
    asked: list[tuple[str, str, str, bytes]] = []

    async def handler(request: web.Request) -> web.Response:
        kind = request.headers.get("Content-Type", "")
        asked.append((request.method, request.path_qs, kind, await request.read()))
        assert request.headers["Accept-Encoding"] == "identity"
        return web.Response(body=b"answer")

    async with serving(handler) as http:
        assert await http.checkpoint() == b"answer"
        await http.bundle(Bundle(1234, 7))
        await http.consistency(3, 9)
        await http.chain(b"\xab" * 32, 4)
        await http.submit(b"blocks")
        await http.label(b"label")
        await http.box(b"box")
    cbor = "application/cbor"
    assert asked == [
        ("GET", "/checkpoint", "", b""),
        ("GET", "/tile/entries/x001/234.p/7", "", b""),
        ("GET", "/v1/proofs/consistency?old=3&new=9", "", b""),
        ("GET", f"/v1/chains/{'ab' * 32}?from=4", "", b""),
        ("POST", "/v1/blocks", cbor, b"blocks"),
        ("POST", "/v1/labels", cbor, b"label"),
        ("POST", "/v1/boxes", cbor, b"box"),
    ]


async def test_an_answer_is_read_to_its_limit_and_no_further() -> None:
    size = MAX_NOTE_BYTES

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(bytes(size))
        return response

    async with serving(handler) as http:
        assert len(await http.checkpoint()) == MAX_NOTE_BYTES
        size += 1
        with pytest.raises(TransportError, match="more than"):
            await http.checkpoint()


async def test_an_endless_answer() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(bytes(65_536))

    async with serving(handler) as http:
        with pytest.raises(TransportError, match="more than"):
            await http.checkpoint()


async def test_a_bomb_is_not_unpacked() -> None:
    async def handler(request: web.Request) -> web.Response:
        body = gzip.compress(bytes(1_000_000))
        return web.Response(body=body, headers={"Content-Encoding": "gzip"})

    async with serving(handler) as http:
        assert gzip.decompress(await http.checkpoint()) == bytes(1_000_000)


async def test_a_cut_answer_is_no_answer() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(bytes(50))
        assert request.transport
        request.transport.close()
        return response

    async with serving(handler) as http:
        with pytest.raises(TransportError):
            await http.checkpoint()


async def test_a_silent_server() -> None:
    async def handler(request: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    async with serving(handler, patience=0.02) as http:
        with pytest.raises(TransportError):
            await http.checkpoint()


async def test_no_server() -> None:
    async with HttpTransport("http://127.0.0.1:1") as http:
        with pytest.raises(TransportError):
            await http.checkpoint()


async def test_a_redirect_is_not_followed() -> None:
    async def handler(request: web.Request) -> web.Response:
        if request.path == "/checkpoint":
            raise web.HTTPFound("/elsewhere")
        return web.Response(body=b"elsewhere")

    async with serving(handler) as http:
        with pytest.raises(Refused, match="302"):
            await http.checkpoint()


async def test_a_refusal_is_final() -> None:
    asked = 0

    async def handler(request: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        return problem(403, "forbidden")

    async with serving(handler) as http:
        with pytest.raises(Refused) as caught:
            await http.checkpoint()
    error = caught.value
    assert (asked, error.status, error.kind, error.detail) == (1, 403, "forbidden", "because")


@pytest.mark.parametrize(
    ("status", "kind", "headers"),
    [
        (503, "busy", {"Retry-After": "1"}),
        (429, "too-many", {"Retry-After": "1"}),
        (503, "unavailable", {}),
        (500, "internal", {}),
    ],
)
async def test_a_server_in_trouble_is_asked_again(
    status: int, kind: str, headers: dict[str, str]
) -> None:
    asked = 0

    async def handler(request: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        return problem(status, kind, **headers) if asked < 4 else web.Response(body=b"answer")

    async with serving(handler) as http:
        assert await http.submit(b"blocks") == b"answer"
        asked = -100
        with pytest.raises(Busy if headers else Refused):
            await http.submit(b"blocks")
    assert asked == -96


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"{", b"[" * 100_000, json.dumps({"type": 7}).encode()]
)
async def test_an_answer_that_is_no_problem_document(body: bytes) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=404, body=body)

    async with serving(handler) as http:
        with pytest.raises((Refused, TransportError)):
            await http.checkpoint()


async def test_a_problem_speaks_no_escape_sequences() -> None:
    async def handler(request: web.Request) -> web.Response:
        document = {"type": "urn:keyroll:problem:x\x1b[2J", "detail": "a\x1b[31mb" + "c" * 9999}
        return web.json_response(document, status=400)

    async with serving(handler) as http:
        with pytest.raises(Refused) as caught:
            await http.checkpoint()
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("words", "shown"),
    [("plain", "plain"), ("a\nb\x7f", "a?b?"), ("\u202eabc", "?abc"), (None, ""), (7, "")],
)
def test_printable(words: object, shown: str) -> None:
    assert printable(words) == shown


@pytest.mark.parametrize(
    "url",
    ["", "localhost", "ftp://a", "file:///etc/passwd", "http://", "http://a?b=c", "http://a#b"],
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(UsageError):
        HttpTransport(url)


async def test_it_is_used_within_its_context() -> None:
    with pytest.raises(UsageError):
        await HttpTransport("http://localhost").checkpoint()
