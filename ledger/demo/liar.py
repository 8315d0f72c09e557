"""A server between a client and the log, which changes what it passes on.

>>> async with lying(url, twist) as lying_url:        # doctest: +SKIP
...     ...                                           # a client that connects to `lying_url`
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import ClientSession, web

from ledger.tree import tiles
from ledger.tree.tiles import Bundle

Twist = Callable[[int, bytes], bytes]
"""Takes a leaf index and the entry there, gives what to show instead."""


@asynccontextmanager
async def lying(url: str, twist: Twist) -> AsyncIterator[str]:
    """Serve what the log at `url` serves, each entry through `twist`, while the context lasts."""

    async def relay(request: web.Request) -> web.Response:
        headers = {"Accept-Encoding": "identity"}
        async with session.get(url + request.path_qs, headers=headers) as answer:
            body = twisted(request.path, await answer.read(), twist)
            return web.Response(body=body, status=answer.status, content_type=answer.content_type)

    app = web.Application()
    app.router.add_get("/{path:.*}", relay)
    async with ClientSession() as session:
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            host, port = runner.addresses[0][:2]
            yield f"http://{host}:{port}"
        finally:
            await runner.cleanup()


def twisted(path: str, body: bytes, twist: Twist) -> bytes:
    """`body`, or if it is a bundle, a bundle of what `twist` makes of its entries."""
    if not path.startswith("/tile/entries/"):
        return body
    bundle = tiles.parse_path(path.removeprefix("/"))
    assert isinstance(bundle, Bundle)
    start = bundle.index * tiles.WIDTH
    entries = tiles.decode_bundle(body, bundle.width)
    return tiles.encode_bundle([twist(start + at, data) for at, data in enumerate(entries)])
