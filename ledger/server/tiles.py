"""The tree as files: C2SP tlog-tiles (R-20.5 to R-20.7, R-70.3).

A path that is misspelled is malformed; one that the published tree has not (yet) is 404, and is not
to be cached. What is served never changes: a narrower tile is a prefix of the wider one.
"""

from __future__ import annotations

import asyncio
import gzip

from aiohttp import web

from ledger.server.problems import Problem
from ledger.server.service import SERVICE
from ledger.store.port import Reader
from ledger.tree.tiles import WIDTH, Bundle, Tile, encode_bundle, parse_path, tile_width

_IMMUTABLE = {"Cache-Control": "public, max-age=31536000, immutable"}
_GZIP_LEVEL = 1
"""Keys and signatures don't shrink; what does, does so at the first level."""


async def checkpoint(request: web.Request) -> web.Response:
    """GET /checkpoint: the newest published checkpoint."""
    with request.app[SERVICE].store.reader() as reader:
        return note(reader.note)


def note(body: bytes) -> web.Response:
    """A signed note, as an answer."""
    headers = {"Cache-Control": "no-cache"}
    return web.Response(body=body, content_type="text/plain", charset="utf-8", headers=headers)


async def tile(request: web.Request) -> web.Response:
    """GET /tile/…: a hash tile or an entry bundle."""
    # The raw path: percent-encoding would be a second spelling.
    asked = parse_path(request.rel_url.raw_path.removeprefix("/"))
    with request.app[SERVICE].store.reader() as reader:
        _require(asked, reader)
        body = _read(asked, reader)
    headers = dict(_IMMUTABLE)
    if isinstance(asked, Bundle):
        headers["Vary"] = "Accept-Encoding"
        if accepts_gzip(request.headers.get("Accept-Encoding", "")):
            headers["Content-Encoding"] = "gzip"
            body = await asyncio.to_thread(gzip.compress, body, _GZIP_LEVEL, mtime=0)
    return web.Response(body=body, content_type="application/octet-stream", headers=headers)


def accepts_gzip(header: str) -> bool:
    """Whether an Accept-Encoding header allows gzip (RFC 9110 §12.5.3)."""
    weights = {}
    for part in header.lower().split(","):
        coding, _, parameters = part.partition(";")
        weights[coding.strip()] = parameters.replace(" ", "")
    weight = weights.get("gzip", weights.get("*", "q=0"))
    return weight.removeprefix("q=").rstrip("0.") != "" or not weight


def _require(asked: Tile | Bundle, reader: Reader) -> None:
    level = asked.level if isinstance(asked, Tile) else 0
    if asked.width > tile_width(level, asked.index, reader.head.size):
        raise Problem("no-tile", f"the tree of size {reader.head.size} has no {asked.path()}")


def _read(asked: Tile | Bundle, reader: Reader) -> bytes:
    if isinstance(asked, Tile):
        return reader.tile(asked)
    start = asked.index * WIDTH
    return encode_bundle(reader.entries(start, start + asked.width))
