"""Fetching: bounded in every way, and every fault is `Undecided`."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.verifier.builder import path_of
from verifier import fetch
from verifier.errors import Malformed, Undecided
from verifier.fetch import HttpSource, Served, open_source
from verifier.tiles import tile_path

Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def serving(answer: Answer) -> Iterator[tuple[str, list[str]]]:
    """A server that answers each request by `answer`: its URL, and the paths that were asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:  # the name is the library's
            asked.append(self.path)
            answer(self)

        do_POST = do_GET  # noqa: N815  # the name is the library's

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def send(
    handler: BaseHTTPRequestHandler, body: bytes, status: int = 200, **headers: str | int
) -> None:
    handler.send_response(status)
    for name, value in ({"Content_Length": len(body)} | headers).items():
        handler.send_header(name.replace("_", "-"), str(value))
    handler.end_headers()
    handler.wfile.write(body)


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "PAUSE", 0.005)


def test_it_gets_what_is_there_with_one_connection() -> None:
    with (
        serving(lambda one: send(one, one.path.encode())) as (url, asked),
        open_source(url + "/log/") as source,
    ):
        assert source.get("checkpoint", 100) == b"/log/checkpoint"
        assert source.get("tile/0/000", 100) == b"/log/tile/0/000"
        assert asked == ["/log/checkpoint", "/log/tile/0/000"]


def test_what_is_not_there() -> None:
    with serving(lambda one: send(one, b"no", 404)) as (url, asked), open_source(url) as source:
        assert source.get("checkpoint", 100) is None
        with pytest.raises(Undecided, match="withheld"):
            Served(source).hashes(0, 0, 7)
        with pytest.raises(Undecided, match="no checkpoint"):
            Served(source).checkpoint()
        assert asked[1:3] == ["/tile/0/000.p/7", "/tile/0/000"]


def refused(answer: Answer, why: str, cap: int = 100) -> list[str]:
    with serving(answer) as (url, asked), open_source(url) as source:
        with pytest.raises(Undecided, match=why):
            source.get("checkpoint", cap)
        return asked


def test_answers_that_are_refused_at_once() -> None:
    assert len(refused(lambda one: send(one, b"x" * 101), "larger than 100")) == 1
    assert len(refused(lambda one: send(one, b"x", 403), "status 403")) == 1
    assert len(refused(lambda one: send(one, b"", 302, Location="/x"), "status 302")) == 1
    assert len(refused(lambda one: send(one, b"x", Content_Encoding="gzip"), "encoding")) == 1


def test_passing_faults_are_tried_again() -> None:
    for status in (500, 503, 429):
        assert len(refused(lambda one, s=status: send(one, b"", s), f"status {status}")) == 4  # type: ignore[misc]

    def cut_short(one: BaseHTTPRequestHandler) -> None:
        send(one, b"half", Content_Length=8)
        one.close_connection = True

    assert len(refused(cut_short, "4 of 8 bytes|IncompleteRead")) == 4
    faults = iter([503, 503])

    def recovering(one: BaseHTTPRequestHandler) -> None:
        send(one, b"fine", next(faults, 200))

    with serving(recovering) as (url, asked), open_source(url) as source:
        assert source.get("checkpoint", 100) == b"fine"
        assert len(asked) == 3


def test_retries_have_one_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "RETRIES", 4)
    with serving(lambda one: send(one, b"", 503)) as (url, asked), open_source(url) as source:
        for _ in range(4):
            with pytest.raises(Undecided):
                source.get("checkpoint", 100)
        assert len(asked) == 4 + 4
        Served(source).renew()
        with pytest.raises(Undecided):
            source.get("checkpoint", 100)
        assert len(asked) == 4 + 4 + 4


def test_slow_peers_time_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "DEADLINE", 0.2)
    monkeypatch.setattr(fetch, "ATTEMPTS", 1)

    def dripping(one: BaseHTTPRequestHandler) -> None:
        send(one, b"", Content_Length=1_000)
        for _ in range(100):
            try:
                one.wfile.write(b"x")
                one.wfile.flush()
            except OSError:
                return
            time.sleep(0.05)

    began = time.monotonic()
    refused(dripping, "could not be fetched", cap=2_000)
    assert time.monotonic() - began < 2


def test_nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "ATTEMPTS", 2)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with open_source(url) as source, pytest.raises(Undecided, match="could not be fetched"):
            source.get("checkpoint", 100)


def test_fresh_requests_go_past_caches() -> None:
    def answer(one: BaseHTTPRequestHandler) -> None:
        send(one, one.headers.get("Cache-Control", "none").encode())

    with serving(answer) as (url, _), open_source(url) as source:
        assert source.get("checkpoint", 100) == b"none"
        assert source.get("checkpoint", 100, fresh=True) == b"no-cache"


@pytest.mark.parametrize(
    "url",
    [
        "http://",
        "http://a:b@log.example/",
        "http://log.example/?q",
        "http://log.example:x/",
        "none",
    ],
)
def test_urls_that_are_refused(url: str) -> None:
    with pytest.raises(Undecided), open_source(url):
        pass


def test_https_urls_are_taken() -> None:
    with open_source("https://log.example:8443/a/") as source:
        assert isinstance(source, HttpSource)


def test_a_directory(tmp_path: Path) -> None:
    (tmp_path / "checkpoint").write_bytes(b"x" * 10)
    for url in (str(tmp_path), tmp_path.as_uri()):
        with open_source(url) as source:
            assert source.get("checkpoint", 10) == b"x" * 10
            assert source.get("tile/0/000", 10) is None
            assert source.get("checkpoint/x", 10) is None
            with pytest.raises(Undecided, match="larger"):
                source.get("checkpoint", 9)
            with pytest.raises(Undecided):
                source.get(".", 9)


class Fixed:
    """Files from a dictionary."""

    def __init__(self, **files: bytes) -> None:
        self.files = {name.replace("__", "."): data for name, data in files.items()}

    def get(self, path: str, cap: int, *, fresh: bool = False) -> bytes | None:
        return self.files.get(path.rpartition("/000")[0] + path.rpartition("/000")[2])


def test_tiles_have_their_exact_size() -> None:
    served = Served(Fixed(**{"tile/0.p/2": bytes(64), "tile/1.p/2": bytes(65)}))
    assert served.hashes(0, 0, 2) == [bytes(32)] * 2
    with pytest.raises(Undecided, match="65 bytes, not 64"):
        served.hashes(1, 0, 2)


def test_a_full_tile_stands_in_for_a_partial_one() -> None:
    rows = [bytes([number]) * 32 for number in range(256)]
    bundle = b"".join(b"\x00\x01" + bytes([number]) for number in range(256))
    served = Served(Fixed(**{"tile/0": b"".join(rows), "tile/entries": bundle}))
    assert served.hashes(0, 0, 3) == rows[:3]
    assert served.bundle(0, 3).entries() == [b"\x00", b"\x01", b"\x02"]
    assert len(served.bundle(0, 256).entries()) == 256


@pytest.mark.parametrize(
    "data", [b"\x00\x01", b"\x00", b"\x00\x01a\x00\x02b", b"\x00\x01a", b"\x00\x01a" * 3, b""]
)
def test_bundles_that_are_cut_or_miscounted(data: bytes) -> None:
    bundle = Served(Fixed(**{"tile/entries.p/2": data})).bundle(0, 2)
    with pytest.raises(Malformed, match=r"R-20\.6"):
        bundle.entries()


def test_paths_have_their_one_spelling() -> None:
    for number in (0, 7, 999, 1_000, 1_234_067, 999_999, 1_000_000):
        for width in (1, 255, 256):
            assert tile_path("entries", number, width) == path_of("entries", number, width)
    assert tile_path(0, 1_234_067, 256) == "tile/0/x001/x234/067"
