"""Bytes that no honest party writes, errors that should pass for success, answers cut short."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from aiohttp import web

from ledger.format import entry
from ledger.format.cbor import encode
from ledger.format.lookup import Link
from tests.attacks.front import Twists, problem
from tests.attacks.stage import Stage
from tests.attacks.suite import Catch, attack
from tests.vectors.draft import Draft

BODY = 6


async def written(stage: Stage, change: Callable[[Draft], Draft]) -> list[Catch]:
    """A block of Ada's, changed before it was signed, is in the log, and is handed in."""
    draft = change(stage.world.draft(stage.ada.add(stage.world.anchor)))
    found = await appended(stage, entry.block(stage.liar().time + 1_000, draft.raw))
    return [*found, *await stage.hands_in_bytes(draft.raw)]


async def appended(stage: Stage, data: bytes) -> list[Catch]:
    """An entry is in the log, and in Ada's chain, as the directory has it."""
    liar, label = stage.liar(), stage.ada.label
    liar.time += 1_000
    liar.claim(label, links=(*liar.links[label], Link(len(liar.entries), data)))
    liar.append(data)
    liar.close()
    return await stage.all_meet(liar)


def nested(depth: int) -> list[Any]:
    return [nested(depth - 1)] if depth else []


@attack("non-canonical input")
async def non_canonical(stage: Stage) -> list[Catch]:
    """The version, 1, in two bytes."""
    return await written(
        stage,
        lambda d: replace(d, payload_bytes=d.payload.replace(b"\x87\x01", b"\x87\x18\x01", 1)),
    )


@attack("oversized input")
async def oversized(stage: Stage) -> list[Catch]:
    return await written(stage, lambda d: d.at(BODY, to=[bytes(20_000)]))


@attack("deep input")
async def deep(stage: Stage) -> list[Catch]:
    return await written(stage, lambda d: d.at(BODY, to=nested(100)))


@attack("unknown input: a type of block")
async def unknown_type(stage: Stage) -> list[Catch]:
    return await written(stage, lambda d: d.field("type", 10))


@attack("unknown input: a kind of entry")
async def unknown_kind(stage: Stage) -> list[Catch]:
    return await appended(stage, encode([2, stage.liar().time + 1_000, b"what is this"]))


# --- errors and cuts


def always(response: Callable[[], web.Response]) -> Callable[[bytes, bytes], web.Response]:
    return lambda body, data: response()


ERRORS: list[Twists] = [
    {"/": always(lambda: problem(500, "internal"))},
    {"/": always(lambda: problem(404, "not-found"))},
    {"/": always(lambda: web.Response(status=302, headers={"Location": "/elsewhere"}))},
    {"/": always(lambda: web.Response(body=b"<html>Please sign in</html>"))},
    {"/tile/": always(lambda: problem(404, "no-tile")), "/v1/": lambda body, data: b""},
    {"/": lambda body, data: b""},
]
"""A broken server, an empty one, one that moved, a captive portal, holes, silence."""


@attack("audit-blocking errors taken for success")
async def errors(stage: Stage) -> list[Catch]:
    return await each(stage, ERRORS)


def cut(body: bytes, data: bytes) -> bytes:
    """The first half."""
    return data[: len(data) // 2]


@attack("truncated answer")
async def truncated(stage: Stage) -> list[Catch]:
    return await each(stage, [{"/checkpoint": cut, "/v1/": cut}, {"/tile/": cut, "/v1/": cut}])


async def each(stage: Stage, servers: list[Twists]) -> list[Catch]:
    """All kinds of parties at several servers, each of which answers wrongly in its way."""
    met = [stage.all_meet(stage.liar(), twists=twists) for twists in servers]
    return [catch for some in await asyncio.gather(*met) for catch in some]
