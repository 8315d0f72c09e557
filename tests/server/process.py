"""`keyroll` as real processes: commands, a server, and people who keep it busy.

>>> async with serving(home) as server:                          # doctest: +SKIP
...     await load.press(server.url)
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import ClientError, ClientSession

from ledger.app import keys
from ledger.app.keys import Role
from ledger.format import entry, wire
from ledger.format.bodies import Limits
from ledger.log.replay import batches, replay
from ledger.server.home import Home
from ledger.store.port import Reader
from tests.http.world import PLAIN, Http
from tests.support.actors import LogActor, User, Written
from tests.support.memory import MemoryLog

MAIN = "from ledger.cli import main; main()"


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-c", MAIN, *map(str, arguments)]


def keyroll(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command to its end. What it says on failing is a sentence."""
    done = subprocess.run(
        command(*arguments), check=False, capture_output=True, text=True, timeout=60
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


@dataclass
class Server:
    """A running `keyroll serve`."""

    url: str
    process: asyncio.subprocess.Process = field(repr=False)

    async def stop(self) -> int:
        """SIGTERM, and the exit code that it ends with."""
        self.process.send_signal(signal.SIGTERM)
        return await self.process.wait()

    async def kill(self) -> None:
        """As a power cut would end it."""
        assert self.process.returncode is None, "the server ended by itself"
        self.process.kill()
        await self.process.wait()


@asynccontextmanager
async def serving(home: Path, *options: str, workers: int = 1) -> AsyncIterator[Server]:
    """A server process. Leaving the context ends it in any case."""
    asked = command("serve", home, "--port", "0", "--workers", str(workers), *options)
    process = await asyncio.create_subprocess_exec(
        *asked, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        assert process.stdout
        async with asyncio.timeout(60):
            url = (await process.stdout.readline()).decode().strip()
        assert url.startswith("http://127.0.0.1:"), url
        yield Server(url, process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def actor_of(home: Path, app: Path, log_id: str) -> LogActor:
    """Whoever runs a log that `keyroll init` made."""
    roles = (Role.ROOT, Role.ENROLMENT, Role.AUTHORITY)
    root, enrolment, authority = (keys.load(app, role) for role in roles)
    found, first = Home(home), bytes.fromhex(log_id)
    return LogActor(
        "example.com/log",
        root,
        enrolment,
        found.log_key(),
        found.vrf_seed(),
        authority,
        Limits(),
        first,
        1,
        first,
    )


@dataclass
class Load:
    """People who register and add a phone as fast as they are answered.

    `told` are the blocks that the log acknowledged; `open` those whose answer never came.
    """

    told: dict[bytes, wire.Admitted] = field(default_factory=dict)
    open: list[Written[User]] = field(default_factory=list)
    private: dict[tuple[int, bytes], tuple[bytes, ...]] = field(default_factory=dict)
    busy: int = 0
    people: int = 0

    async def press(self, url: str, actor: LogActor | None = None, *, at_once: int = 8) -> None:
        """Until the server goes away."""
        async with ClientSession(headers=PLAIN) as session:
            log = Http(url, session)
            log.actor = actor or log.actor
            await asyncio.gather(*(self._person(log) for _ in range(at_once)))

    async def hear(self, more: int, pressing: asyncio.Task[None]) -> None:
        """Wait until so many more blocks were acknowledged."""
        wanted = len(self.told) + more
        async with asyncio.timeout(60):
            while len(self.told) < wanted:
                assert not pressing.done(), pressing
                await asyncio.sleep(0.002)

    async def again(self, url: str, actor: LogActor | None = None) -> None:
        """Send what got no answer again: all of it is admitted, wherever it stands."""
        async with ClientSession(headers=PLAIN) as session:
            log = Http(url, session)
            log.actor = actor or log.actor
            while self.open:
                some = self.open[: wire.MAX_SUBMISSIONS]
                self._note(some, (await log.submit(*some)).verdicts)
                del self.open[: len(some)]

    async def _person(self, log: Http) -> None:
        while True:
            self.people += 1
            name = f"person {self.people}"
            try:
                created = await log.user(name)
                await self._hand_in(log, [created])
                await self._hand_in(log, [created.after.add(await log.anchor())])
            except (ClientError, OSError):
                return

    async def _hand_in(self, log: Http, written: list[Written[User]]) -> None:
        items = tuple(wire.Submission(w.raw, w.boxes, w.opening) for w in written)
        body = wire.SubmitRequest(items).encode()
        self.open += written
        answer = await log.post(wire.BLOCKS_PATH, body)
        if answer.status == 503:
            self.busy += 1
            raise ClientError("busy, as a server that stops says")
        assert answer.status == 200, answer
        self._note(written, wire.SubmitAnswer.decode(answer.body).verdicts)
        self.open = [item for item in self.open if item not in written]

    def _note(self, written: Sequence[Written[User]], verdicts: Sequence[wire.Verdict]) -> None:
        for item, verdict in zip(written, verdicts, strict=True):
            assert isinstance(verdict, wire.Admitted), verdict
            before = self.told.setdefault(item.raw, verdict)
            assert (before.index, before.time) == (verdict.index, verdict.time)
            self.private[verdict.index, item.block.hash] = item.boxes


class Auditor:
    """Follows a log from one crash to the next, and believes nothing."""

    def __init__(self, log_id: bytes) -> None:
        self.log = MemoryLog()
        self.log.log_id = log_id

    def check(self, home: Path, load: Load) -> None:
        """All that was acknowledged is there, once; what is there replays from its first byte."""
        with Home(home).stores() as (store, private), store.reader() as reader:
            assert store.staged() is None
            self._follow(reader)
            for (index, block_hash), boxes in load.private.items():
                kept = private.boxes(index, block_hash)
                assert kept is not None
                assert tuple(item[32:] for item in kept) == boxes
        for raw, verdict in load.told.items():
            assert self.log.entries[verdict.index] == entry.block(verdict.time, raw)
        bodies = Counter(map(_block, self.log.entries))
        del bodies[b""]
        assert set(bodies.values()) == {1}

    def _follow(self, reader: Reader) -> None:
        """What was there stays, byte for byte, and what is new obeys the rules."""
        known, size = self.log.head.size, reader.head.size
        entries = reader.entries(0, size)
        assert entries[:known] == self.log.entries
        for batch in batches(entries[known:]):
            self.log.apply(replay(self.log, batch))
        assert self.log.head == reader.head


def _block(data: bytes) -> bytes:
    found: Any = entry.parse(data)
    return bytes(found.body) if found.kind == entry.BLOCK else b""
