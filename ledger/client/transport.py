"""How a client reaches a server: a narrow port, and its HTTP side (specs/70-http).

Nothing that comes through here is believed. The port says only what can be asked; `HttpTransport`
sees to limits, time-outs and repetition. Every request may be repeated: a block that is sent again
is admitted at its first index (R-71.3), all others change nothing.

>>> async with HttpTransport("https://log.example.com") as transport:   # doctest: +SKIP
...     note = await transport.checkpoint()

Errors: `Refused` carries a problem document; `Busy` a server that has had no room for as long as
was tried; `TransportError` stands for everything else between here and the server.
"""

from __future__ import annotations

import asyncio
import json
from types import TracebackType
from typing import Any, Protocol
from urllib.parse import urlsplit

import aiohttp

from ledger.client.text import printable
from ledger.errors import Busy, Refused, TransportError, UsageError
from ledger.format.group_boxes import GROUP_BOXES_PATH
from ledger.format.lookup import LOOKUP_PATH
from ledger.format.lookup import MAX_BUNDLE_BYTES as MAX_LOOKUP_BYTES
from ledger.format.note import MAX_NOTE_BYTES
from ledger.format.sessions import OPEN_PATH, SHARE_PATH
from ledger.format.wire import (
    BLOCKS_PATH,
    BOXES_PATH,
    GRANTS_PATH,
    LABELS_PATH,
    LEAVES_PATH,
    MAX_ANSWER_BYTES,
    STATEMENTS_PATH,
)
from ledger.tree.tiles import MAX_ENTRY, WIDTH, Bundle

MAX_BUNDLE_BYTES = WIDTH * (MAX_ENTRY + 2)
MAX_PROBLEM_BYTES = 65_536
CBOR = "application/cbor"

NOT_COVERED = "not-covered"
"""The kind of problem that auditors have yet to solve (R-63.4)."""

_PROBLEM = "urn:keyroll:problem:"
_ATTEMPTS = 4
_DONE = (200, 204)
_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 5.0


class Transport(Protocol):
    """What a client asks of a server. Answers are bytes of any origin, within a size limit."""

    async def checkpoint(self) -> bytes:
        """The newest checkpoint that the server shows: a signed note."""

    async def bundle(self, bundle: Bundle) -> bytes:
        """Entries, at exactly this width. `Refused` with status 404 where it is not served."""

    async def consistency(self, old: int, new: int) -> bytes:
        """A `proof` that the tree of `new` continues that of `old`."""

    async def inclusion(self, index: int, size: int) -> bytes:
        """A `proof` that the tree of `size` holds the leaf `index`."""

    async def covered(self) -> bytes:
        """The checkpoint that auditors cover: a signed note. `Refused` (404) if there is none."""

    async def chain(self, label: bytes, start: int) -> bytes:
        """A `chain-answer` from seq `start` on."""

    async def submit(self, request: bytes) -> bytes:
        """A `submit-answer` to a `submit-request`."""

    async def label(self, request: bytes) -> bytes:
        """A `label-answer` to an authenticated `label-request`."""

    async def box(self, request: bytes) -> bytes:
        """A `box-answer` to an authenticated `box-request`."""

    async def group_boxes(self, request: bytes) -> bytes:
        """A `group-boxes-answer` to an authenticated `group-boxes-request`."""

    async def statements(self, request: bytes) -> bytes:
        """A `statement-answer` to an authenticated `statement-request`."""

    async def leave(self, request: bytes) -> None:
        """Nothing, once a wish to leave a group is kept."""

    async def grant(self, request: bytes) -> None:
        """Nothing, once a grant is kept."""


class Lookups(Protocol):
    """What a light client asks of a server, likewise."""

    async def checkpoint(self) -> bytes:
        """The newest checkpoint that the server shows: a signed note."""

    async def consistency(self, old: int, new: int) -> bytes:
        """A `proof` that the tree of `new` continues that of `old`."""

    async def inclusion(self, index: int, size: int) -> bytes:
        """A `proof` that the tree of `size` holds the leaf `index`."""

    async def bundle(self, bundle: Bundle) -> bytes:
        """Entries, at exactly this width. `Refused` with status 404 where it is not served."""

    async def covered(self) -> bytes:
        """The checkpoint that auditors cover: a signed note. `Refused` (404) if there is none."""

    async def lookup(self, request: bytes) -> bytes:
        """A `bundle` to an authenticated `lookup-request`."""

    async def statements(self, request: bytes) -> bytes:
        """A `statement-answer` to an authenticated `statement-request`."""


class HttpTransport:
    """A server at `url`. Fills `Transport` and `Lookups`; use it within `async with`."""

    def __init__(self, url: str, *, timeout: float = 30.0) -> None:
        """`timeout`: how many seconds may pass without a byte; an answer may take four times it."""
        self._base = _check_url(url)
        self._timeout = aiohttp.ClientTimeout(
            total=4 * timeout, sock_connect=timeout, sock_read=timeout
        )
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> HttpTransport:
        self._session = aiohttp.ClientSession(
            timeout=self._timeout,
            # Signed blocks don't compress, and what is not compressed can't be a bomb.
            headers={"Accept-Encoding": "identity"},
            auto_decompress=False,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session:
            await self._session.close()

    async def checkpoint(self) -> bytes:
        return await self._ask("/checkpoint", MAX_NOTE_BYTES)

    async def bundle(self, bundle: Bundle) -> bytes:
        return await self._ask(f"/{bundle.path()}", MAX_BUNDLE_BYTES)

    async def consistency(self, old: int, new: int) -> bytes:
        return await self._ask(f"/v1/proofs/consistency?old={old}&new={new}", MAX_ANSWER_BYTES)

    async def inclusion(self, index: int, size: int) -> bytes:
        path = f"/v1/proofs/inclusion?index={index}&size={size}"
        return await self._ask(path, MAX_ANSWER_BYTES)

    async def covered(self) -> bytes:
        return await self._ask("/v1/covered", MAX_NOTE_BYTES)

    async def chain(self, label: bytes, start: int) -> bytes:
        return await self._ask(f"/v1/chains/{label.hex()}?from={start}", MAX_ANSWER_BYTES)

    async def submit(self, request: bytes) -> bytes:
        return await self._ask(BLOCKS_PATH, MAX_ANSWER_BYTES, request)

    async def label(self, request: bytes) -> bytes:
        return await self._ask(LABELS_PATH, MAX_ANSWER_BYTES, request)

    async def box(self, request: bytes) -> bytes:
        return await self._ask(BOXES_PATH, MAX_ANSWER_BYTES, request)

    async def group_boxes(self, request: bytes) -> bytes:
        return await self._ask(GROUP_BOXES_PATH, MAX_ANSWER_BYTES, request)

    async def statements(self, request: bytes) -> bytes:
        return await self._ask(STATEMENTS_PATH, MAX_ANSWER_BYTES, request)

    async def lookup(self, request: bytes) -> bytes:
        return await self._ask(LOOKUP_PATH, MAX_LOOKUP_BYTES, request)

    async def share(self, request: bytes) -> None:
        await self._ask(SHARE_PATH, 0, request)

    async def open_session(self, request: bytes) -> bytes:
        return await self._ask(OPEN_PATH, MAX_ANSWER_BYTES, request)

    async def leave(self, request: bytes) -> None:
        await self._ask(LEAVES_PATH, 0, request)

    async def grant(self, request: bytes) -> None:
        await self._ask(GRANTS_PATH, 0, request)

    async def post(self, path: str, body: bytes, limit: int) -> bytes:
        """The answer, of at most `limit` bytes, of another service that answers as a log does."""
        return await self._ask(path, limit, body)

    async def _ask(self, path: str, limit: int, body: bytes | None = None) -> bytes:
        """One question, asked again after a pause while nothing came of it."""
        pause = _FIRST_PAUSE
        for _ in range(_ATTEMPTS - 1):
            try:
                return await self._ask_once(path, limit, body)
            except Busy as busy:
                await asyncio.sleep(min(busy.retry_after, _LONGEST_PAUSE))
            except TransportError as error:
                if isinstance(error, Refused) and _is_final(error):
                    raise
                await asyncio.sleep(pause)
                pause *= 3
        return await self._ask_once(path, limit, body)

    async def _ask_once(self, path: str, limit: int, body: bytes | None) -> bytes:
        if self._session is None:
            raise UsageError("a transport is used within `async with`")
        method = "GET" if body is None else "POST"
        headers = {"Content-Type": CBOR} if body is not None else None
        try:
            async with self._session.request(
                method, self._base + path, data=body, headers=headers, allow_redirects=False
            ) as response:
                if response.status in _DONE:
                    return await _read(response, limit)
                raise await _problem(response)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            reason = str(error) or type(error).__name__
            raise TransportError(f"{self._base}{path}: {reason}") from error


def _is_final(error: Refused) -> bool:
    """Whether it makes no sense to ask again at once: auditors take longer than that."""
    return error.status < 500 or error.kind == NOT_COVERED


def _check_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
        raise UsageError(f"{url} is not the address of a log, such as https://log.example.com")
    return url.rstrip("/")


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """The answer's body, whole. It is not read beyond `limit` bytes."""
    data = bytearray()
    async for chunk in response.content.iter_any():
        data += chunk
        if len(data) > limit:
            raise TransportError(f"{response.url}: an answer of more than {limit} bytes")
    return bytes(data)


async def _problem(response: aiohttp.ClientResponse) -> TransportError:
    """The error that an answer other than 200 stands for (R-70.1, R-70.4)."""
    status = response.status
    fields = _problem_fields(await _read(response, MAX_PROBLEM_BYTES))
    kind = fields.get("type")
    if not isinstance(kind, str) or not kind.startswith(_PROBLEM):
        if status >= 500:
            return TransportError(f"{response.url}: status {status}")
        return Refused(status, "unknown", printable(response.reason))
    kind = kind.removeprefix(_PROBLEM)
    if status in (429, 503) and kind != NOT_COVERED and "Retry-After" in response.headers:
        return Busy(_seconds(response.headers["Retry-After"]))
    return Refused(status, printable(kind), printable(fields.get("detail")))


def _problem_fields(data: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}


def _seconds(retry_after: str) -> float:
    return float(retry_after) if retry_after.isascii() and retry_after.isdigit() else 1.0
