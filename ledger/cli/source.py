"""Where `status`, `show` and `proof` read from: a log's directory, or a server, which is believed.

>>> with open_source("http://127.0.0.1:8480") as source:      # doctest: +SKIP
...     source.entry(0)
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from ledger.errors import MalformedInput, TransportError, UsageError
from ledger.format import wire
from ledger.server import proofs
from ledger.server.home import Home
from ledger.server.service import facts
from ledger.store.lmdb import LmdbStore
from ledger.store.port import Reader
from ledger.tree.tiles import WIDTH, Bundle, decode_bundle, tile_width

_SECONDS = 15
_MAX_BYTES = 64 * 1_048_576
_AT_ONCE = 256

Blocks = list[tuple[int, bytes]]
"""Leaf indices and entries."""


class Source(Protocol):
    """What can be shown of a log."""

    def facts(self) -> dict[str, object]:
        """What `/v1/log` says."""

    def chain(self, label: bytes) -> Blocks:
        """All blocks of a label. Raises `UsageError` if it has none."""

    def entry(self, index: int) -> bytes:
        """The entry of a leaf. Raises `UsageError` if there is none."""

    def tlog_proof(self, index: int) -> bytes:
        """The tlog-proof of an entry, likewise."""

    def receipt(self, index: int) -> bytes:
        """The COSE Receipt of an entry, likewise."""


@contextmanager
def open_source(place: str) -> Iterator[Source]:
    """A server if `place` is its URL, else a log's directory that nobody serves."""
    if place.startswith(("http://", "https://")):
        yield _Server(place.rstrip("/"))
        return
    home = Home(Path(place)).check()
    store = LmdbStore(home.log, unconfirmed=True)
    try:
        with store.reader() as reader:
            yield _Directory(reader, home)
    finally:
        store.close()


class _Directory:
    def __init__(self, reader: Reader, home: Home) -> None:
        self._reader = reader
        self._home = home

    def facts(self) -> dict[str, object]:
        return facts(self._reader)

    def chain(self, label: bytes) -> Blocks:
        found = self._reader.chain(label)
        if found is None:
            raise UsageError(f"the label {label.hex()} has no chain")
        indices = self._reader.blocks_of(label, 0, found.length)
        return [(index, self.entry(index)) for index in indices]

    def entry(self, index: int) -> bytes:
        _require(index, self._reader.head.size)
        return self._reader.entries(index, index + 1)[0]

    def tlog_proof(self, index: int) -> bytes:
        _require(index, self._reader.head.size)
        return proofs.tlog_proof(self._reader, index)

    def receipt(self, index: int) -> bytes:
        _require(index, self._reader.head.size)
        return proofs.receipt(self._reader, index, self._home.log_key())


class _Server:
    def __init__(self, url: str) -> None:
        self._url = url

    def facts(self) -> dict[str, object]:
        document: dict[str, object] = json.loads(self._get("/v1/log"))
        return document

    def chain(self, label: bytes) -> Blocks:
        found: Blocks = []
        while True:
            path = f"/v1/chains/{label.hex()}?from={len(found)}"
            answer = wire.ChainAnswer.decode(self._get(path))
            found += [(block.index, block.entry) for block in answer.blocks]
            if not answer.blocks or len(found) >= answer.length:
                return found

    def entry(self, index: int) -> bytes:
        size = _require(index, self.facts()["size"])
        number, place = divmod(index, WIDTH)
        bundle = Bundle(number, tile_width(0, number, size))
        return decode_bundle(self._get(f"/{bundle.path()}"), bundle.width)[place]

    def tlog_proof(self, index: int) -> bytes:
        return self._get(f"/v1/proofs/tlog?index={index}")

    def receipt(self, index: int) -> bytes:
        return self._get(f"/v1/receipts/{index}")

    def _get(self, path: str) -> bytes:
        try:
            with urlopen(self._url + path, timeout=_SECONDS) as answer:
                data: bytes = answer.read(_MAX_BYTES + 1)
        except HTTPError as error:
            raise UsageError(f"{self._url}{path}: {_detail(error)}") from error
        except (URLError, OSError) as error:
            raise TransportError(f"{self._url} can't be reached: {error}") from error
        if len(data) > _MAX_BYTES:
            raise MalformedInput("R-10.1", f"{self._url}{path} is longer than any answer may be")
        return data


def _require(index: int, size: object) -> int:
    """The tree's size, if it is one and beyond `index`."""
    if not isinstance(size, int) or index >= size:
        raise UsageError(f"there is no entry {index}: the tree has {size}")
    return size


def _detail(error: HTTPError) -> str:
    """What a problem document says (RFC 9457), or the status alone."""
    try:
        document = json.loads(error.read(_AT_ONCE * 64))
        return str(document["detail"])
    except (ValueError, KeyError, TypeError):
        return f"status {error.code}"
