"""A server between a log and its reader that changes one answer.

>>> async with changing(url, "/tile/0/000.p/9", flip(40)) as bent:          # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import ClientSession, web
from yarl import URL

from tests.support.serving import serving


def flip(at: int) -> Callable[[bytes], bytes]:
    """Changes one bit of the byte at `at`."""
    return lambda data: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@asynccontextmanager
async def changing(url: str, path: str, change: Callable[[bytes], bytes]) -> AsyncIterator[str]:
    """The address at which everything is as at `url`, but for one path."""
    changed: list[str] = []

    async def pass_on(request: web.Request) -> web.Response:
        asked = URL(url + request.rel_url.raw_path, encoded=True)
        async with session.get(asked) as answer:
            body = await answer.read()
            if request.path == path:
                changed.append(path)
                body = change(body)
            return web.Response(status=answer.status, body=body)

    app = web.Application()
    app.router.add_get("/{path:.*}", pass_on)
    async with ClientSession() as session, serving(app) as bent:
        yield bent
    assert changed, f"nobody asked for {path}"
