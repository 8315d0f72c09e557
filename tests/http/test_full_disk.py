"""A disk that fills up under a real server, and is given space again.

The kernel's limit on file sizes stands for the disk: a write beyond it fails as on a full one, and
it can be moved from outside while the server runs.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import ClientSession

from ledger.format import wire
from ledger.server.home import Home
from ledger.store.lmdb import LmdbStore
from tests.http.world import PLAIN, Http, make_home
from tests.server.process import MAIN, serving
from tests.support.actors import User, Written

PEOPLE = 40


@dataclass
class Disk:
    """How large files may become, for one process."""

    pid: int

    @contextmanager
    def full(self, path: Path) -> Iterator[None]:
        """No file may grow beyond what this one has now."""
        size = path.stat().st_size
        before = resource.prlimit(self.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.prlimit(self.pid, resource.RLIMIT_FSIZE, before)


async def newcomers(log: Http, number: int) -> list[Written[User]]:
    anchor = await log.anchor()
    return [User.create(log.actor, f"person {number} {n}", anchor) for n in range(PEOPLE)]


async def test_a_full_disk_says_so_loses_nothing_and_goes_on(tmp_path: Path) -> None:
    home = make_home(tmp_path / "log")
    told: dict[bytes, wire.Admitted] = {}
    async with serving(home.path) as server, ClientSession(headers=PLAIN) as session:
        log, disk = Http(server.url, session), Disk(server.process.pid)
        refused = 0
        for number in range(2):
            with disk.full(home.log / "data.mdb"):
                while True:
                    people = await newcomers(log, number * 1_000 + refused)
                    before = await log.checkpoint()
                    verdicts = (await log.submit(*people)).verdicts
                    told |= admitted(people, verdicts)
                    bad = [v for v in verdicts if isinstance(v, wire.Refused)]
                    refused += 1
                    if bad:
                        break
                assert {(verdict.kind, verdict.rule) for verdict in bad} == {("unavailable", "")}
                assert all("full" in verdict.detail for verdict in bad)
                if len(bad) == PEOPLE:
                    assert await log.checkpoint() == before
            # Space again: the same blocks, and nothing was lost or came twice.
            told |= admitted(people, await log.admit(*people))
        assert await server.stop() == 0
    check(home, told)


async def test_what_it_reports_to_may_be_gone(tmp_path: Path) -> None:
    """A log whose standard error is closed, or on the full disk, goes on."""
    home = make_home(tmp_path / "log")
    command = [sys.executable, "-c", MAIN, "serve", str(home.path), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # noqa: ASYNC220
    assert process.stdout
    assert process.stderr
    url = process.stdout.readline().strip()
    process.stderr.close()
    async with ClientSession(headers=PLAIN) as session:
        log = Http(url, session)
        for _ in range(20):
            assert (await log.get("/nowhere")).status == 404
        await log.admit(*(await newcomers(log, 1)))
    process.terminate()
    process.stdout.close()
    assert process.wait(20) == 0


def admitted(
    people: list[Written[User]], verdicts: tuple[wire.Verdict, ...] | list[wire.Admitted]
) -> dict[bytes, wire.Admitted]:
    pairs = zip(people, verdicts, strict=True)
    return {who.raw: verdict for who, verdict in pairs if isinstance(verdict, wire.Admitted)}


def check(home: Home, told: dict[bytes, wire.Admitted]) -> None:
    store = LmdbStore(home.log)
    with store.reader() as reader:
        entries = reader.entries(0, reader.head.size)
    store.close()
    assert len(told) >= 2 * PEOPLE
    for raw, verdict in told.items():
        assert raw in entries[verdict.index]
    assert len(set(entries)) == len(entries)
