"""Serves a `Liar` by real HTTP, as 70-http says, to whoever asks: nobody has to log in.

>>> async with served(liar) as url:                              # doctest: +SKIP
...     await sync(url)
>>> async with served(liar, {"/v1/lookup": cut}) as url:         # doctest: +SKIP
...     await lookup(url)

A *twist* changes what is answered at paths that begin with its name, on the way: it takes the
request's body and the honest answer, and gives the bytes to send, or a whole response.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import takewhile
from typing import TypeAlias

from aiohttp import web

from ledger.format import lookup, wire
from ledger.format.login import Authenticated
from ledger.format.lookup import LOOKUP_PATH, LookupRequest
from ledger.format.note import parse_note
from ledger.seal.boxes import box_proof
from ledger.tree import tiles
from ledger.tree.merkle import consistency_proof, inclusion_proof, leaf_hash, root_of
from ledger.tree.tiles import WIDTH, Bundle
from tests.attacks.liar import Liar
from tests.support.serving import serving

Twist: TypeAlias = Callable[[bytes, bytes], "bytes | web.Response"]
Twists: TypeAlias = Mapping[str, Twist]

TYPES = {"/checkpoint": "text/plain", "/tile/": "application/octet-stream"}


@asynccontextmanager
async def served(liar: Liar, twists: Twists | None = None) -> AsyncIterator[str]:
    """The URL at which `liar` answers while the context lasts."""

    async def handle(request: web.Request) -> web.Response:
        body = await request.read()
        found = answer(liar, request.path, dict(request.query), body)
        for name, twist in (twists or {}).items():
            if request.path.startswith(name):
                changed = twist(body, found or b"")
                if isinstance(changed, web.Response):
                    return changed
                found = changed
        if found is None:
            return problem(404, "no-tile" if request.path.startswith("/tile/") else "not-found")
        kinds = (kind for name, kind in TYPES.items() if request.path.startswith(name))
        return web.Response(body=found, content_type=next(kinds, "application/cbor"))

    app = web.Application(client_max_size=2**21)
    app.router.add_route("*", "/{path:.*}", handle)
    async with serving(app) as url:
        yield url


def problem(status: int, kind: str) -> web.Response:
    """A problem document (R-70.1)."""
    document = {"type": f"urn:keyroll:problem:{kind}", "title": kind, "detail": kind}
    return web.json_response(
        {**document, "status": status}, status=status, content_type="application/problem+json"
    )


def answer(liar: Liar, path: str, query: Mapping[str, str], body: bytes) -> bytes | None:
    """What `liar` says to one question; None if it has nothing there."""
    if path in ("/checkpoint", "/v1/candidate"):
        return liar.note()
    if path == "/v1/cosignatures":
        return taken(liar, body)
    if path.startswith("/tile/"):
        return tile(liar, path[1:])
    if path.startswith("/v1/proofs/"):
        return proof(liar, {name: int(number) for name, number in query.items()})
    if path == LOOKUP_PATH:
        return looked_up(liar, LookupRequest.decode(Authenticated.decode(body).request))
    if path == wire.STATEMENTS_PATH:
        wanted = wire.StatementRequest.decode(Authenticated.decode(body).request)
        return statements(liar, wanted)
    if path == wire.BOXES_PATH:
        return box(liar, wire.BoxRequest.decode(Authenticated.decode(body).request))
    if path == wire.AUDIT_PATH:
        start = wire.AuditRequest.decode(Authenticated.decode(body).request).start
        return beside(liar, start)
    return None


def taken(liar: Liar, note: bytes) -> bytes:
    """Keep the cosignatures under a note that an auditor hands in."""
    lines = parse_note(note).signatures
    liar.cosignatures += [line for line in lines if line.name != liar.actor.origin]
    return b""


def looked_up(liar: Liar, asked: LookupRequest) -> bytes:
    """The bundle. There is no proof for who saw a larger tree than is shown now."""
    old = asked.old if asked.old <= len(liar.entries) else 0
    bundle = liar.teller.bundle(replace(asked, old=old))
    return replace(bundle, checkpoint=liar.note()).encode()


def tile(liar: Liar, path: str) -> bytes | None:
    """A bundle of entries, or a tile of the tree over them, at any width that there is."""
    asked = tiles.parse_path(path)
    entries = liar.entries
    if isinstance(asked, Bundle):
        start = asked.index * WIDTH
        there = entries[start : start + asked.width]
        return tiles.encode_bundle(there) if len(there) == asked.width else None
    leaves, span = [leaf_hash(data) for data in entries], WIDTH**asked.level
    start = asked.index * WIDTH * span
    groups = [leaves[at : at + span] for at in range(start, start + asked.width * span, span)]
    if any(len(group) < span for group in groups):
        return None
    return b"".join(map(root_of, groups))


def proof(liar: Liar, asked: Mapping[str, int]) -> bytes | None:
    """Consistency of `old` and `new`, or inclusion of `index` in `size`; None beyond its tree."""
    low, high = asked.values()
    if high > len(liar.entries):
        return None
    make = consistency_proof if "old" in asked else inclusion_proof
    return wire.encode_proof(make(low, high, liar.tree(high).read))


def statements(liar: Liar, asked: wire.StatementRequest) -> bytes:
    """Those of a group from some seq on, as far as there are any."""
    indices = [link.index for link in liar.links[asked.group]]
    given = (liar.beside.get(index) for index in indices[asked.start :])
    found = tuple(one for one in takewhile(bool, given) if one)
    return wire.StatementAnswer(len(indices), found, ()).encode()


def box(liar: Liar, asked: wire.BoxRequest) -> bytes:
    """The box at some position, or the last one."""
    handed = liar.handed[asked.index]
    at = min(asked.position, len(handed) - 1)
    recipients, boxes = zip(*handed, strict=True)
    proof = tuple(box_proof(recipients, boxes, at))
    return wire.BoxAnswer(len(handed), boxes[at], proof).encode()


def beside(liar: Liar, start: int) -> bytes:
    """Those of all groups from leaf `start` on."""
    found = tuple((index, one) for index, one in sorted(liar.beside.items()) if index >= start)
    return wire.AuditAnswer(start + WIDTH, found).encode()


def answering(change: Callable[[lookup.Bundle], lookup.Bundle]) -> Twists:
    """Lookups are answered with what `change` makes of the honest bundle."""
    return {LOOKUP_PATH: lambda _, data: change(lookup.Bundle.decode(data)).encode()}
