"""Disks and processes that fail, and a client that was set back: nothing that was said is lost.

The log is honest here, and the machine is not. `server` is who has to notice: by going on as if
nothing had been, by refusing to go on, or by saying 'not now'.
"""

from __future__ import annotations

import asyncio
import os
import shutil

from aiohttp import ClientSession

from ledger.client.lookups.session import LightLog
from ledger.format import entry, wire
from ledger.server.home import Home
from ledger.store.environment import Environment
from ledger.store.layout import ENTRIES, KIND, TABLES, u64
from tests.attacks.false_histories import long_ago
from tests.attacks.front import served
from tests.attacks.liar import Liar
from tests.attacks.processes import run
from tests.attacks.stage import ADA, Stage
from tests.attacks.suite import BELIEVED, Catch, attack
from tests.http.test_full_disk import Disk
from tests.http.world import PLAIN, Http, make_home
from tests.server.process import Load, command, serving
from tests.support.actors import User, Written

CRASHES = 2
PEOPLE = 40


@attack("crash at any point")
async def crash(stage: Stage) -> list[Catch]:
    """The server is killed while people write. What it acknowledged is there when it comes back."""
    home, load, state = make_home(stage.place() / "log").path, Load(), stage.place() / "state"
    for _ in range(CRASHES):
        async with serving(home) as server:
            await load.again(server.url)
            audited = await stage.audits(server.url, state=state)
            assert audited.rule == BELIEVED, audited
            pressing = asyncio.create_task(load.press(server.url))
            await load.hear(20, pressing)
            await server.kill()
            await pressing
    async with serving(home) as server:
        return [await still_there(server.url, load.told)]


async def still_there(url: str, told: dict[bytes, wire.Admitted]) -> Catch:
    """R-71.2: each acknowledged block stands where the verdict said."""
    async with ClientSession(headers=PLAIN) as session:
        log = Http(url, session)
        size = (await log.checkpoint()).size
        for raw, verdict in told.items():
            if await log.entry(verdict.index, size) != entry.block(verdict.time, raw):
                return Catch("server", BELIEVED, f"leaf {verdict.index} is gone")
    return Catch("server", "R-71.2", f"{len(told)} acknowledged blocks, all of them there")


@attack("disk full")
async def full_disk(stage: Stage) -> list[Catch]:
    """Blocks that find no room are refused as 'not now', and none is acknowledged in vain."""
    home, told = make_home(stage.place() / "log"), dict[bytes, wire.Admitted]()
    async with serving(home.path) as server, ClientSession(headers=PLAIN) as session:
        log, kinds = Http(server.url, session), set[str]()
        with Disk(server.process.pid).full(home.log / "data.mdb"):
            for number in range(20):
                if kinds:
                    break
                people = await newcomers(log, number)
                for one, verdict in zip(people, (await log.submit(*people)).verdicts, strict=True):
                    if isinstance(verdict, wire.Admitted):
                        told[one.raw] = verdict
                    else:
                        kinds.add(verdict.kind)
            assert kinds == {"unavailable"}, kinds
        later = await newcomers(log, 20)
        told |= {one.raw: at for one, at in zip(later, await log.admit(*later), strict=True)}
        return [await still_there(server.url, told)]


async def newcomers(log: Http, number: int) -> list[Written[User]]:
    anchor = await log.anchor()
    names = (f"person {number} {n}" for n in range(PEOPLE))
    return [User.create(log.actor, name, anchor) for name in names]


async def a_home(stage: Stage) -> Home:
    """A log with some people in it, that nobody serves now."""
    if stage.spare is None:
        stage.spare = stage.place() / "log"
        home = make_home(stage.spare)
        async with serving(home.path) as server, ClientSession(headers=PLAIN) as session:
            log = Http(server.url, session)
            await log.admit(*await newcomers(log, 0))
            assert await server.stop() == 0
    return Home(shutil.copytree(stage.spare, stage.place() / "log"))


async def starts(home: Home) -> Catch:
    """Whether `keyroll serve` takes up what is on the disk."""
    done = await run(*command("serve", home.path, "--port", "0"))
    says = done.err.decode().strip()
    refuses = done.code == 1 and says.startswith("keyroll: ")
    return Catch("server", "refuses" if refuses else f"ends with {done.code}", says)


@attack("truncated database")
async def truncated(stage: Stage) -> list[Catch]:
    home = await a_home(stage)
    database = home.log / "data.mdb"
    os.truncate(database, database.stat().st_size - 8_192)
    return [await starts(home)]


@attack("bit-flipped database")
async def flipped(stage: Stage) -> list[Catch]:
    """One bit of an entry, where it lies in the file."""
    home = await a_home(stage)
    database = home.log / "data.mdb"
    data, needle = bytearray(database.read_bytes()), b"\x83\x01"
    data[data.rindex(needle) + 20] ^= 1
    database.write_bytes(data)
    return [await starts(home)]


@attack("an entry altered in the database")
async def altered(stage: Stage) -> list[Catch]:
    """By its operator, who knows how the store keeps it. Auditors and clients need no store."""
    home = await a_home(stage)
    environment = Environment(home.log, KIND, TABLES)
    try:
        with environment.write() as transaction:
            data = transaction.get(ENTRIES, u64(5))
            assert data
            transaction.put(ENTRIES, [(u64(5), data[:-1] + bytes([data[-1] ^ 1]))])
    finally:
        environment.close()
    async with serving(home.path) as server:
        return list(await asyncio.gather(stage.syncs(server.url), stage.audits(server.url)))


@attack("a client's own state rolled back")
async def set_back(stage: Stage) -> list[Catch]:
    """Bob's file is one of two days ago; the server shows the log of that time, as it was.

    An honest server's log he takes up from there as if nothing had been.
    """
    liar, path = Liar.of(long_ago(stage)), stage.place() / "trust.db"
    account = stage.account(stage.bob)
    async with served(liar) as url:
        async with LightLog.connect(url, stage.log_id, path, account) as log:
            log.clock = lambda: liar.time
            await log.lookup(ADA)
        return [await stage.asks(url, ADA, path=path)]
