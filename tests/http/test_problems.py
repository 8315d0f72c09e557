"""Bad input: each has its status and its kind, and a document that says so (R-70.1, R-70.2)."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.errors import KeyrollError, LogMisbehaved, MalformedInput, StoreError
from ledger.format import wire
from ledger.format.cbor import encode
from ledger.format.login import Authenticated
from ledger.server.config import RateConfig
from ledger.server.problems import problem_of
from tests.http.world import CONFIG, Http, served

ZERO = bytes(32)
HEX = "0" * 64
GOOD = wire.Submission(b"block", (b"box",), None).to_value()

GETS = [
    ("/", 404, "not-found", None),
    ("/v1", 404, "not-found", None),
    ("/v1/blocks/", 404, "not-found", None),
    ("/../etc/passwd", 404, "not-found", None),
    ("/v1/blocks", 405, "method", None),
    ("/v1/labels", 405, "method", None),
    ("/tile/", 400, "malformed", "R-20.5"),
    ("/tile/0/0", 400, "malformed", "R-20.5"),
    ("/tile/0/000.p/256", 400, "malformed", "R-20.5"),
    ("/tile/0/000.p/0", 400, "malformed", "R-20.5"),
    ("/tile/0/000.p/02", 400, "malformed", "R-20.5"),
    ("/tile/00/000.p/2", 400, "malformed", "R-20.5"),
    ("/tile/64/000", 400, "malformed", "R-20.5"),
    ("/tile/0/x000/000", 400, "malformed", "R-20.5"),
    ("/tile/0/%30%30%30.p/2", 400, "malformed", "R-20.5"),
    ("/tile/0/000.p/2/", 400, "malformed", "R-20.5"),
    ("/tile//0/000.p/2", 400, "malformed", "R-20.5"),
    ("/tile/0/../0/000.p/2", 400, "malformed", "R-20.5"),
    ("/tile/Entries/000.p/2", 400, "malformed", "R-20.5"),
    ("/tile/entries/000", 404, "no-tile", None),
    ("/tile/entries/000.p/3", 404, "no-tile", None),
    ("/tile/0/000.p/3", 404, "no-tile", None),
    ("/tile/0/001.p/1", 404, "no-tile", None),
    ("/tile/1/000.p/1", 404, "no-tile", None),
    ("/tile/63/000.p/1", 404, "no-tile", None),
    ("/v1/chains/" + HEX[:-1], 400, "malformed", "R-10.4"),
    ("/v1/chains/" + "A" * 64, 400, "malformed", "R-10.4"),
    ("/v1/chains/" + "1" * 64, 404, "no-chain", None),
    (f"/v1/chains/{HEX}?from=-1", 400, "malformed", "R-10.4"),
    (f"/v1/chains/{HEX}?from=01", 400, "malformed", "R-10.4"),
    (f"/v1/chains/{HEX}?from=1_0", 400, "malformed", "R-10.4"),
    (f"/v1/chains/{HEX}?from=", 400, "malformed", "R-10.4"),
    (f"/v1/chains/{HEX}?from=0&from=0", 400, "malformed", "R-10.4"),
    (f"/v1/chains/{HEX}?from=4294967296", 400, "malformed", "R-10.4"),
    ("/v1/proofs/inclusion", 400, "malformed", "R-10.4"),
    ("/v1/proofs/inclusion?index=0", 400, "malformed", "R-10.4"),
    ("/v1/proofs/inclusion?index=0&size=3", 400, "malformed", "R-20.3"),
    ("/v1/proofs/inclusion?index=2&size=2", 400, "malformed", "R-20.3"),
    ("/v1/proofs/inclusion?index=0&size=%D9%A2", 400, "malformed", "R-10.4"),
    ("/v1/proofs/inclusion?index=0&size=9223372036854775808", 400, "malformed", "R-10.4"),
    ("/v1/proofs/consistency?old=2&new=1", 400, "malformed", "R-20.4"),
    ("/v1/proofs/consistency?old=1&new=3", 400, "malformed", "R-20.4"),
    ("/v1/proofs/consistency?old=1&new=0x2", 400, "malformed", "R-10.4"),
]

POSTS = {
    "nothing": b"",
    "no CBOR": b"\xff",
    "a map": b"\xa0",
    "a number": encode(5),
    "none": encode([]),
    "65": encode([GOOD] * 65),
    "trailing bytes": encode([GOOD]) + b"\0",
    "cut short": encode([GOOD])[:-1],
    "indefinite": b"\x9f" + encode(GOOD) + b"\xff",
    "two fields": encode([[b"block", []]]),
    "four fields": encode([[b"block", [], None, None]]),
    "a block that is text": encode([["block", [], None]]),
    "boxes that are one": encode([[b"block", b"box", None]]),
    "a box that is text": encode([[b"block", ["box"], None]]),
    "a box too large": encode([[b"block", [bytes(4_097)], None]]),
    "an opening that is false": encode([[b"block", [], False]]),
    "a short nonce": encode([[b"block", [], [bytes(31), "ada"]]]),
    "an identifier that is bytes": encode([[b"block", [], [ZERO, b"ada"]]]),
}


@pytest.mark.parametrize(("path", "status", "kind", "rule"), GETS)
async def test_bad_paths(log: Http, path: str, status: int, kind: str, rule: str | None) -> None:
    answer = await log.get(path)
    assert (answer.status, answer.kind, answer.rule) == (status, kind, rule)
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("body", POSTS.values(), ids=POSTS)
async def test_bad_bodies(log: Http, body: bytes) -> None:
    """R-70.2: exactly of its shape."""
    answer = await log.post(wire.BLOCKS_PATH, body)
    assert (answer.status, answer.kind) == (400, "malformed")
    assert answer.rule
    assert answer.rule.startswith("R-10.")


@pytest.mark.parametrize("path", [wire.LABELS_PATH, wire.BOXES_PATH])
@pytest.mark.parametrize("body", [b"", b"\x80", encode([b"", b""]), encode([b"", b"", b""])])
async def test_bad_authenticated_bodies(log: Http, path: str, body: bytes) -> None:
    answer = await log.post(path, body)
    assert (answer.status, answer.kind) == (400, "malformed")


async def test_the_nearest_right_requests(log: Http) -> None:
    """What the tables above come close to is answered."""
    for path in (
        "/tile/0/000.p/2",
        "/tile/entries/000.p/1",
        f"/v1/chains/{HEX}?from=0",
        f"/v1/chains/{HEX}?from=4294967295",
        "/v1/proofs/inclusion?index=1&size=2",
        "/v1/proofs/consistency?old=1&new=2",
        "/v1/proofs/consistency?old=0&new=0",
    ):
        assert (await log.get(path)).status == 200, path
    for submissions in ([GOOD], [GOOD] * 64):
        answer = await log.post(wire.BLOCKS_PATH, encode(submissions))
        assert answer.status == 200
        for verdict in wire.SubmitAnswer.decode(answer.body).verdicts:
            assert isinstance(verdict, wire.Refused)
            assert verdict.kind == "malformed"


async def test_methods_are_named(log: Http) -> None:
    answer = await log.post("/checkpoint", b"")
    assert (answer.status, answer.kind) == (405, "method")
    assert set(answer.headers["Allow"].split(",")) >= {"GET"}


@pytest.mark.parametrize("kind", ["text/plain", "application/octet-stream", "application/json", ""])
async def test_another_media_type(log: Http, kind: str) -> None:
    """R-70.2."""
    answer = await log.post(wire.BLOCKS_PATH, encode([GOOD]), **{"Content-Type": kind})
    assert (answer.status, answer.kind, answer.rule) == (415, "media-type", "R-70.2")


async def test_parameters_of_the_media_type_do_no_harm(log: Http) -> None:
    kind = {"Content-Type": "Application/CBOR; charset=utf-8"}
    assert (await log.post(wire.BLOCKS_PATH, encode([GOOD]), **kind)).status == 200


async def test_compressed_bodies_are_not_unpacked(log: Http) -> None:
    """A small body could unpack to a large one."""
    answer = await log.post(wire.BLOCKS_PATH, b"\x1f\x8b", **{"Content-Encoding": "gzip"})
    assert (answer.status, answer.kind) == (415, "media-type")


async def test_a_body_of_1_mib_and_one_byte_more(log: Http) -> None:
    """R-70.2. The largest body is read, and is no CBOR."""
    limit = wire.MAX_REQUEST_BYTES
    answer = await log.post(wire.BLOCKS_PATH, bytes(limit))
    assert (answer.status, answer.kind) == (400, "malformed")
    answer = await log.post(wire.BLOCKS_PATH, bytes(limit + 1))
    assert (answer.status, answer.kind) == (413, "too-large")


async def talk(log: Http, data: bytes, seconds: float = 5) -> bytes:
    """What a peer hears that says `data` and then listens, until the server hangs up."""
    place = urlsplit(log.url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    writer.write(data)
    try:
        async with asyncio.timeout(seconds):
            return await reader.read()
    finally:
        writer.close()


async def test_a_body_that_never_comes(tmp_path: Path) -> None:
    config = replace(CONFIG, server=replace(CONFIG.server, body_timeout=0.2))
    async with served(tmp_path / "log", config) as live:
        head = b"POST /v1/blocks HTTP/1.1\r\nHost: x\r\nContent-Type: application/cbor\r\n"
        heard = await talk(
            live.http, head + b"Content-Length: 9\r\nConnection: close\r\n\r\n123", 20
        )
        assert heard.startswith(b"HTTP/1.1 408 ")
        assert b"urn:keyroll:problem:timeout" in heard


async def test_a_header_that_never_ends(tmp_path: Path) -> None:
    config = replace(CONFIG, server=replace(CONFIG.server, idle_timeout=0.2))
    async with served(tmp_path / "log", config) as live:
        assert await talk(live.http, b"GET /checkpoint HTTP/1.1\r\nHost:") == b""
        assert await talk(live.http, b"") == b""


@pytest.mark.parametrize(
    "noise",
    [b"\0" * 100 + b"\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\r\n\r\n"],
)
async def test_noise_instead_of_http(log: Http, noise: bytes) -> None:
    heard = await talk(log, noise)
    assert b" 400 " in heard.split(b"\r\n")[0]
    assert b"Traceback" not in heard
    assert (await log.get("/checkpoint")).status == 200


async def test_headers_without_end(log: Http) -> None:
    heard = await talk(log, b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000 + b"\r\n\r\n")
    assert b" 400 " in heard.split(b"\r\n")[0]


async def test_too_many_requests_of_one_peer(tmp_path: Path) -> None:
    config = replace(CONFIG, rates=RateConfig(labels="2/minute", boxes="1/minute"))
    async with served(tmp_path / "log", config) as live:
        statuses = [(await live.http.post(wire.LABELS_PATH, b"")).status for _ in range(3)]
        assert statuses == [400, 400, 429]
        assert (await live.http.post(wire.BOXES_PATH, b"")).status == 400
        answer = await live.http.post(wire.BOXES_PATH, b"")
        assert (answer.status, answer.kind) == (429, "too-many")
        assert int(answer.headers["Retry-After"]) > 0
        assert (await live.http.get("/checkpoint")).status == 200


async def test_peers_behind_a_proxy_are_told_apart(tmp_path: Path) -> None:
    """By what the proxy itself appended; what a peer claims before that counts nothing."""
    rates = RateConfig(labels="1/minute")
    forwarded = replace(CONFIG, rates=rates, server=replace(CONFIG.server, forwarded=True))
    for config, statuses in ((forwarded, [400, 429, 400]), (replace(CONFIG, rates=rates), None)):
        async with served(tmp_path / f"log{bool(statuses)}", config) as live:
            found = [
                (await live.http.post(wire.LABELS_PATH, b"", **{"X-Forwarded-For": chain})).status
                for chain in ("10.0.0.1", "9.9.9.9, 10.0.0.1", "10.0.0.2")
            ]
            assert found == (statuses or [400, 429, 429])


def test_no_error_escapes_as_a_trace() -> None:
    """R-70.1: whatever a handler raises is a problem; a bug tells nothing."""
    for error in (RuntimeError("secret"), KeyError("secret")):
        problem = problem_of(error)
        assert (problem.status, problem.kind) == (500, "internal")
        assert "secret" not in str(problem.response().text)
    assert problem_of(StoreError("the disk is gone")).status == 503
    dead = problem_of(LogMisbehaved("R-1.1", "secret"))
    assert (dead.status, "secret" in str(dead.response().text)) == (503, False)
    assert problem_of(KeyrollError("?")).status == 500


@given(st.binary(max_size=200))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_body_is_a_value_or_malformed(body: bytes) -> None:
    """The invariant of every decoder, for what a body is first taken for."""
    for decode in (wire.SubmitRequest.decode, Authenticated.decode):
        with suppress(MalformedInput):
            decode(body)
