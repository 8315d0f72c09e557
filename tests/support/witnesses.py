"""Real witnesses, `keyroll-verifier witness` as processes, each behind a door of the test's.

>>> async with witnesses(tmp_path, log_vkey, 3) as (a, b, c):            # doctest: +SKIP
...     policy = policy_of([a, b, c], "2")
...     await b.stop()                                                   # and later: b.start()

All that a log and its witnesses say to each other passes the doors. A test may listen there, hold
something back, or answer itself.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from aiohttp import ClientSession, web

from ledger.format import checkpoint
from ledger.format.note import Verifier, parse_note, parse_vkey
from tests.support.serving import serving

MAIN = "from verifier.cli import main; main()"


def verifier_command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-c", MAIN, *map(str, arguments)]


def keygen(path: Path, name: str) -> Verifier:
    """A cosigner's new key, by `keyroll-verifier keygen`. Its public half."""
    done = subprocess.run(
        verifier_command("keygen", name, "-o", path),
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return parse_vkey(done.stdout.strip())


@dataclass(frozen=True)
class Said:
    """What came back from behind a door."""

    status: int
    body: bytes
    media_type: str = "text/plain"


Answerer = Callable[[str, bytes], Awaitable[Said | None]]
"""Answers a request, by path and body, in the witness's place; None: let it pass."""

Listener = Callable[[str, Said], Awaitable[Said]]
"""Is told the path and the witness's answer before it goes back, and may hold or change it."""


@dataclass
class Door:
    """Where a log finds a witness. `behind` is its real place; None: the line is cut."""

    url: str = ""
    behind: str | None = None
    answer: Answerer | None = None
    listen: Listener | None = None
    said: list[tuple[str, int]] = field(default_factory=list)
    roots: dict[int, set[bytes]] = field(default_factory=lambda: defaultdict(set))
    """Of all checkpoints that were submitted: the roots of each size."""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if request.method == "POST":
            self._note(body)
        said = await self.answer(request.path, body) if self.answer else None
        if said is None:
            if self.behind is None:
                assert request.transport
                request.transport.abort()
                return web.Response()  # which nobody hears
            said = await self._pass(self.behind, request, body)
        if self.listen:
            said = await self.listen(request.path, said)
        self.said.append((request.method, said.status))
        headers = {"Content-Type": said.media_type}
        return web.Response(status=said.status, body=said.body, headers=headers)

    def _note(self, body: bytes) -> None:
        found = checkpoint.parse(parse_note(body.partition(b"\n\n")[2]).text)
        self.roots[found.size].add(found.root)

    async def _pass(self, behind: str, request: web.Request, body: bytes) -> Said:
        url = behind + request.path
        async with (
            ClientSession() as session,
            session.request(request.method, url, data=body or None) as answer,
        ):
            return Said(answer.status, await answer.read(), answer.content_type)


@asynccontextmanager
async def door() -> AsyncIterator[Door]:
    """A door that is cut off until `behind` is set."""
    found = Door()
    app = web.Application(client_max_size=1 << 20)
    app.router.add_route("*", "/{path:.*}", found.handle)
    async with serving(app) as found.url:
        yield found


@dataclass
class Witness:
    """A witness that may be started and stopped."""

    path: Path
    verifier: Verifier
    door: Door
    process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """A process; with its state, if it has been there before."""
        state = self.path / "state"
        new = [] if state.exists() else ["--new"]
        self.process = await asyncio.create_subprocess_exec(
            *verifier_command("witness", "--policy", self.path / "logs", *new),
            *("--key", str(self.path / "key"), "--state", str(state), "--listen", "127.0.0.1:0"),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self.process.stdout
        async with asyncio.timeout(60):
            line = (await self.process.stdout.readline()).decode()
        assert line.startswith(f"{self.verifier.vkey} at http://"), line
        self.door.behind = line.split()[-1]

    async def stop(self) -> None:
        """As a power cut would."""
        self.door.behind = None
        if self.process and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

    async def cosigned(self, origin: str) -> bytes:
        """The note that it cosigned last; empty if it never did."""
        assert self.door.behind
        path = f"/{sha256(origin.encode()).hexdigest()}/checkpoint"
        async with ClientSession() as session, session.get(self.door.behind + path) as answer:
            return await answer.read() if answer.status == 200 else b""


@asynccontextmanager
async def witnesses(path: Path, log_vkey: str, count: int) -> AsyncIterator[list[Witness]]:
    """So many witnesses of a log, at work."""
    async with AsyncExitStack() as stack:
        found = []
        for number in range(count):
            home = path / f"witness{number}"
            home.mkdir(parents=True)
            (home / "logs").write_text(f"log {log_vkey}\nquorum none\n")
            verifier = await asyncio.to_thread(keygen, home / "key", f"witness.example/{number}")
            one = Witness(home, verifier, await stack.enter_async_context(door()))
            stack.push_async_callback(one.stop)
            found.append(one)
        await asyncio.gather(*(one.start() for one in found))
        yield found


def policy_of(everyone: Sequence[Witness], k: str = "all") -> str:
    """A policy of which `k` must cosign."""
    lines = [f"witness w{n} {one.verifier.vkey} {one.door.url}" for n, one in enumerate(everyone)]
    names = " ".join(f"w{number}" for number in range(len(everyone)))
    return "\n".join([*lines, f"group enough {k} {names}", "quorum enough", ""])
