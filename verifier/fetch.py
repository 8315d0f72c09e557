"""Reads a log's published files, over HTTP or from a directory (C2SP tlog-tiles; specs/20-tree).

Everything is bounded: sizes by what the layout allows, each request by a deadline, retries by one
budget for each audit. Redirects and content encodings are refused. Whatever goes wrong here is
`Undecided`: an answer that is missing, slow or cut short proves nothing.

    with open_source("https://log.example/") as source:
        Served(source).hashes(1, 0, 17)         # 17 hashes of tile/1/000.p/17
"""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol
from urllib.parse import SplitResult, unquote, urlsplit

from verifier.errors import Malformed, Undecided
from verifier.merkle import WIDTH
from verifier.tiles import Bundle, split_hashes, tile_path

MAX_CHECKPOINT = 1 << 17
MAX_BUNDLE = WIDTH * (2 + 65_535)
CONNECT_TIMEOUT = 10.0
DEADLINE = 60.0  # of one request, with its body
ATTEMPTS = 4
RETRIES = 40  # of all requests together
PAUSE = 0.25  # before the first retry; doubles
MAX_PAUSE = 60.0  # that a server can ask for
CBOR, TEXT = "application/cbor", "text/plain; charset=utf-8"


class Source(Protocol):
    """`get` returns the file's bytes, or None where there is none. `fresh` goes past caches."""

    def get(self, path: str, cap: int, *, fresh: bool = False) -> bytes | None: ...


@contextlib.contextmanager
def open_source(url: str) -> Iterator[Source]:
    """A source for an http(s) or file URL, or the path of a local directory."""
    parts = urlsplit(url)
    if parts.scheme in ("http", "https"):
        source = HttpSource(parts)
        try:
            yield source
        finally:
            source.close()
        return
    path = Path(unquote(parts.path) if parts.scheme == "file" else url)
    if not path.is_dir():
        raise Undecided(f"{url} is neither an http URL nor a directory")
    yield DirectorySource(path)


class DirectorySource:
    """A local copy of a log's files."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def get(self, path: str, cap: int, *, fresh: bool = False) -> bytes | None:
        try:
            with (self._root / path).open("rb") as file:
                data = file.read(cap + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise Undecided(f"{path}: {error}") from error
        if len(data) > cap:
            raise Undecided(f"{path} is larger than {cap} bytes")
        return data


class Refused(Undecided):
    """An answer of another status than 200 and 404."""

    def __init__(self, path: str, status: int) -> None:
        super().__init__(f"{path} was answered with status {status}")
        self.status = status


class _Passing(Exception):
    """A fault that may have passed at the next attempt, `after` seconds from now."""

    def __init__(self, why: str, after: float = 0.0) -> None:
        super().__init__(why)
        self.after = after


class HttpSource:
    """A log's files over HTTP/1.1, with one connection kept alive in each thread."""

    def __init__(self, url: SplitResult) -> None:
        if not url.hostname or url.query or url.fragment or url.username is not None:
            raise Undecided(f"{url.geturl()} is not a plain URL")
        self._host, self._tls = url.hostname, url.scheme == "https"
        try:
            self._port = url.port
        except ValueError as error:
            raise Undecided(f"{url.geturl()}: {error}") from error
        self._prefix = url.path.rstrip("/") + "/"
        self._local = threading.local()
        self._opened: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()
        self._retries = RETRIES

    def get(self, path: str, cap: int, *, fresh: bool = False) -> bytes | None:
        return self._ask("GET", path, cap, {"Cache-Control": "no-cache"} if fresh else {})

    def post(self, path: str, body: bytes, cap: int, kind: str = CBOR) -> bytes:
        """The answer to a body, sent again after a fault that may have passed; empty for 204."""
        answer = self._ask("POST", path, cap, {"Content-Type": kind}, body)
        if answer is None:
            raise Undecided(f"the server knows no {path}")
        return answer

    def _ask(
        self, method: str, path: str, cap: int, headers: dict[str, str], body: bytes | None = None
    ) -> bytes | None:
        headers = {"User-Agent": "keyroll-verifier", "Accept-Encoding": "identity"} | headers
        attempt = 0
        while True:
            try:
                return self._once(method, path, cap, headers, body)
            except (_Passing, OSError, http.client.HTTPException) as error:
                self._drop()
                attempt += 1
                if attempt == ATTEMPTS or not self._may_retry():
                    why = str(error) or type(error).__name__
                    raise Undecided(f"{path} could not be fetched: {why}") from error
                after = error.after if isinstance(error, _Passing) else 0.0
            time.sleep(max(PAUSE * 2**attempt, after))

    def _once(
        self, method: str, path: str, cap: int, headers: dict[str, str], body: bytes | None
    ) -> bytes | None:
        connection = self._connection()
        with _deadline(connection):
            connection.request(method, self._prefix + path, body, headers)
            answer = connection.getresponse()
            found = _body(answer, path, cap if answer.status == 200 else 1 << 16)
        if answer.status in (404, 410):
            return None
        if answer.status == 429 or answer.status >= 500:
            raise _Passing(f"status {answer.status}", _retry_after(answer))
        if answer.status != 200 and (method, answer.status) != ("POST", 204):
            raise Refused(path, answer.status)
        return found

    def _connection(self) -> http.client.HTTPConnection:
        kept: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if kept is None:
            if self._tls:
                context = ssl.create_default_context()
                kept = http.client.HTTPSConnection(
                    self._host, self._port, timeout=CONNECT_TIMEOUT, context=context
                )
            else:
                kept = http.client.HTTPConnection(self._host, self._port, timeout=CONNECT_TIMEOUT)
            self._local.connection = kept
            self._opened.append(kept)
        if kept.sock is None:
            kept.connect()
        return kept

    def renew(self) -> None:
        """Begins another audit: with all its retries."""
        self._retries = RETRIES

    def close(self) -> None:
        for connection in self._opened:
            connection.close()

    def _drop(self) -> None:
        kept: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if kept is not None:
            kept.close()

    def _may_retry(self) -> bool:
        with self._lock:
            self._retries -= 1
            return self._retries >= 0


@contextlib.contextmanager
def _deadline(connection: http.client.HTTPConnection) -> Iterator[None]:
    """Cuts the connection at the deadline, wherever a slow peer holds it up."""

    connected: socket.socket = connection.sock

    def cut() -> None:
        with contextlib.suppress(OSError):
            connected.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(DEADLINE, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _retry_after(answer: http.client.HTTPResponse) -> float:
    """The seconds that a busy server asks for, within bounds."""
    stated = answer.getheader("Retry-After", "")
    return min(float(stated), MAX_PAUSE) if stated.isdecimal() else 0.0


def _body(answer: http.client.HTTPResponse, path: str, cap: int) -> bytes:
    if answer.getheader("Content-Encoding", "identity") != "identity":
        raise Undecided(f"{path} came in a content encoding that was not asked for")
    stated = answer.length
    body = answer.read(cap + 1)
    if len(body) > cap:
        raise Undecided(f"{path} is larger than {cap} bytes")
    if stated is not None and len(body) != stated:
        raise _Passing(f"{len(body)} of {stated} bytes")
    return body


class Served:
    """What a source serves, in the shapes of the layout."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def renew(self) -> None:
        """Begins another audit of the same source."""
        if isinstance(self._source, HttpSource):
            self._source.renew()

    def checkpoint(self, *, fresh: bool = False) -> bytes:
        data = self._source.get("checkpoint", MAX_CHECKPOINT, fresh=fresh)
        if data is None:
            raise Undecided("there is no checkpoint")
        return data

    def hashes(self, level: int, number: int, width: int, *, fresh: bool = False) -> list[bytes]:
        """The first `width` hashes of a tile."""
        path, data, found = self._tile(level, number, width, 32 * WIDTH, fresh)
        try:
            return split_hashes(data, found)[:width]
        except Malformed as error:
            raise Undecided(f"{path}: {error.why}") from error

    def bundle(self, number: int, width: int, *, fresh: bool = False) -> Bundle:
        """A bundle of entries, of which the first `width` count; not looked into yet."""
        return Bundle(*self._tile("entries", number, width, MAX_BUNDLE, fresh), width)

    def _tile(
        self, level: int | str, number: int, width: int, cap: int, fresh: bool
    ) -> tuple[str, bytes, int]:
        """A tile's path, bytes and width: the full one where the partial one has gone (R-20.7)."""
        for found in dict.fromkeys((width, WIDTH)):
            path = tile_path(level, number, found)
            data = self._source.get(path, cap, fresh=fresh)
            if data is not None:
                return path, data, found
        raise Undecided(f"{tile_path(level, number, width)} is withheld")


def default_state(log_id: bytes) -> Path:
    """Where the state of a log's audit is kept unless told otherwise."""
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "keyroll-verifier" / log_id.hex()
