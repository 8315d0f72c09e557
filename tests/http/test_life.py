"""A server's life: how it starts, or refuses to; how it is; how it stops, and goes on."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import ClientError

from ledger import keyfile
from ledger.errors import ClockError, KeyrollError, StoreError, StoreFull, UsageError
from ledger.format import wire
from ledger.log.clock import Clock, wall_ms
from ledger.log.commit import Commit
from ledger.log.cosigning import SignedTree
from ledger.server.config import Config, LoggingConfig
from ledger.server.home import Home
from ledger.server.runtime import serving
from ledger.store.backup import backup, confirm, restore
from ledger.store.lmdb import LmdbStore
from tests.http.world import CONFIG, Http, make_home, served
from tests.log.world import until
from tests.support.actors import User, Written, seed

DAY = 86_400_000


@dataclass
class Shift:
    """A clock that is `by` ms ahead of this machine's, as if time had passed."""

    by: int = 0

    def clock(self) -> Clock:
        return Clock(lambda: wall_ms() + self.by, lambda: time.monotonic() + self.by / 1000)


async def people(log: Http, count: int, name: str = "person") -> list[Written[User]]:
    anchor = await log.anchor()
    return [User.create(log.actor, f"{name} {n}", anchor) for n in range(count)]


async def test_a_restart_keeps_everything(tmp_path: Path) -> None:
    async with served(tmp_path / "log") as live:
        everyone = await people(live.http, 10)
        admitted = await live.http.admit(*everyone)
        before = await live.http.checkpoint()
    async with served(tmp_path / "log") as live:
        assert await live.http.checkpoint() == before
        places = [(v.index, v.time) for v in admitted]
        assert [(v.index, v.time) for v in await live.http.admit(*everyone)] == places
        await live.http.admit(*(await people(live.http, 3, "newcomer")))


async def test_a_stop_answers_whatever_was_taken(tmp_path: Path) -> None:
    """While requests are open, the server is told to stop: each hears its verdict first."""
    held = asyncio.Event()

    async def hold(tree: SignedTree) -> bytes:
        await held.wait()
        return tree.note

    path = tmp_path / "log"
    async with served(path, cosign=hold) as live:
        everyone = await people(live.http, 20)
        asked = [asyncio.create_task(live.http.submit(person)) for person in everyone]
        await until(lambda: live.served.service.sequencer.queued == 20)
        letting_go = asyncio.create_task(let_go(live.http.url, held))
    for one in await asyncio.gather(*asked):
        assert isinstance(one.verdicts[0], wire.Admitted)
    await letting_go
    store = LmdbStore(Home(path).log)
    with store.reader() as reader:
        assert reader.head.size >= 22
    store.close()


async def let_go(url: str, held: asyncio.Event) -> None:
    """Give way only once no new connection is taken."""
    place = urlsplit(url)

    def closed() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((place.hostname, place.port)) != 0

    await until(closed)
    held.set()


async def test_a_stop_does_not_wait_for_ever(tmp_path: Path) -> None:
    """Without cosigners, what was taken is `unavailable`; it is staged, and published later."""

    async def never(tree: SignedTree) -> bytes:
        await asyncio.Event().wait()
        return tree.note

    config = replace(CONFIG, server=replace(CONFIG.server, stop_timeout=0.2))
    async with served(tmp_path / "log", config, cosign=never) as live:
        (ada,) = await people(live.http, 1)
        asked = asyncio.create_task(live.http.submit(ada))
        await until(live.served.service.store.staged)
    # Hung up on: whether it will be published, nobody can say now.
    with pytest.raises(ClientError):
        await asked
    async with served(tmp_path / "log") as live:
        (again,) = await live.http.admit(ada)
        assert again.index == 2


async def health(log: Http) -> tuple[int, str]:
    answer = await log.get("/health")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json["size"] == (await log.checkpoint()).size
    return answer.status, answer.json["status"]


async def test_health_is_ok_stale_or_dead(tmp_path: Path) -> None:
    shift = Shift()
    async with served(tmp_path / "log", clock=shift.clock(), heartbeat=60_000) as live:
        log, service = live.http, live.served.service
        assert await health(log) == (200, "ok")
        shift.by = 120_000
        assert await health(log) == (200, "ok")
        shift.by = 181_000
        assert await health(log) == (503, "stale")
        assert (await log.get("/health")).json["age_ms"] >= 181_000
        await log.admit(await log.user("ada"))
        assert await health(log) == (200, "ok")
        service.sequencer.dead = StoreError("the disk is gone")
        assert await health(log) == (503, "dead")
        # It says so to writers, and readers are served.
        request = wire.SubmitRequest((wire.Submission(b"block"),)).encode()
        answer = await log.post(wire.BLOCKS_PATH, request)
        assert (answer.status, answer.kind) == (503, "unavailable")
        assert (await log.get("/tile/0/000.p/2")).status == 200
        service.sequencer.dead = None


async def test_an_idle_log_proves_that_it_lives(tmp_path: Path) -> None:
    async with served(tmp_path / "log", heartbeat=1_000) as live:
        first = await live.http.checkpoint()
        await asyncio.sleep(1.5)
        assert (await live.http.checkpoint()).size == first.size + 1


async def test_metrics(log: Http) -> None:
    await log.admit(*(await people(log, 3)))
    await log.submit(Written(b"no block", None))
    await log.get("/tile/0/000.p/77")
    await log.get("/no/such/page")
    text = (await log.get("/metrics")).body.decode()
    size = (await log.checkpoint()).size
    for line in (
        'keyroll_verdicts_total{kind="admitted"} 3.0',
        'keyroll_verdicts_total{kind="malformed"} 1.0',
        'keyroll_requests_total{route="/v1/blocks",status="200"} 2.0',
        'keyroll_requests_total{route="/tile/{path}",status="404"} 1.0',
        'keyroll_requests_total{route="other",status="404"} 1.0',
        f"keyroll_tree_size {float(size)}",
        "keyroll_queue_blocks 0.0",
        "keyroll_batch_blocks_sum 3.0",
    ):
        assert line in text.splitlines()


async def test_too_many_connections_are_turned_away(tmp_path: Path) -> None:
    config = replace(CONFIG, server=replace(CONFIG.server, max_connections=3))
    async with served(tmp_path / "log", config) as live:
        place = urlsplit(live.http.url)
        links = [await asyncio.open_connection(place.hostname, place.port) for _ in range(3)]
        await asyncio.sleep(0.05)
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        assert await reader.read() == b""
        writer.close()
        for _, open_one in links:
            open_one.close()
        await asyncio.sleep(0.05)
        assert (await live.http.get("/checkpoint")).status == 200


@pytest.mark.parametrize(
    ("age", "confirmed", "sentence"),
    [
        (-20_000, False, "behind"),
        (31 * DAY, False, "30 days"),
        (31 * DAY, True, None),
        (29 * DAY, False, None),
        (-5_000, False, None),
    ],
)
async def test_a_clock_that_is_wrong_at_the_start(
    tmp_path: Path, age: int, confirmed: bool, sentence: str | None
) -> None:
    """R-73.1."""
    home = make_home(tmp_path / "log", now=wall_ms() - age)
    starting = serving(home, CONFIG, confirm_idle=confirmed)
    if sentence is None:
        async with starting:
            return
    with pytest.raises(ClockError, match=sentence):
        await starting.__aenter__()


async def test_a_clock_that_jumps_while_it_runs(tmp_path: Path) -> None:
    """R-73.1: no verdict on the blocks, no signature, and on when it is right again."""
    shift = Shift()
    clock = Clock(lambda: wall_ms() + shift.by)
    async with served(tmp_path / "log", clock=clock) as live:
        ada, before = await live.http.user("ada"), await live.http.checkpoint()
        for shift.by in (3_600_000, -3_600_000):
            (verdict,) = (await live.http.submit(ada)).verdicts
            assert isinstance(verdict, wire.Refused)
            assert (verdict.kind, verdict.rule) == ("unavailable", "")
            assert "clock" in verdict.detail
            assert await live.http.checkpoint() == before
        shift.by = 0
        await live.http.admit(ada)


async def test_a_restored_log_is_not_served_unconfirmed(tmp_path: Path) -> None:
    """R-73.2."""
    home = make_home(tmp_path / "log")
    backup(home.path, tmp_path / "copy")
    restored = Home(tmp_path / "restored")
    restored.path.mkdir()
    for part in (home.config_file.name, "keys"):
        (home.path / part).rename(restored.path / part)
    restore(tmp_path / "copy", restored.path)
    with pytest.raises(UsageError, match="--confirm-restored"):
        await serving(restored, CONFIG).__aenter__()
    confirm(restored.log)
    async with served(restored.path) as live:
        await live.http.admit(await live.http.user("ada"))


def no_log(home: Home) -> None:
    home.config_file.unlink()


def foreign_log_key(home: Home) -> None:
    home.log_key_file.unlink()
    keyfile.create(home.log_key_file, seed("another"))


def foreign_vrf_key(home: Home) -> None:
    home.vrf_key_file.unlink()
    keyfile.create(home.vrf_key_file, seed("another"))


def open_key(home: Home) -> None:
    home.log_key_file.chmod(0o644)


def no_key(home: Home) -> None:
    home.vrf_key_file.unlink()


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (no_log, "holds no log"),
        (foreign_log_key, "not this log's key"),
        (foreign_vrf_key, "VRF key"),
        (open_key, "chmod 600"),
        (no_key, "there is no key file"),
    ],
)
async def test_what_it_does_not_start_with(tmp_path: Path, spoil: Any, sentence: str) -> None:
    home = make_home(tmp_path / "log")
    spoil(home)
    with pytest.raises(UsageError, match=sentence):
        await serving(home, CONFIG).__aenter__()


async def test_a_log_is_served_once(tmp_path: Path) -> None:
    async with served(tmp_path / "log") as live:
        with pytest.raises(StoreError, match="already open"):
            await serving(live.home, CONFIG).__aenter__()
        port = urlsplit(live.http.url).port
        assert port
        config = replace(CONFIG, server=replace(CONFIG.server, port=port))
        other = make_home(tmp_path / "other")
        with pytest.raises(KeyrollError, match="can't be listened on"):
            await serving(other, config).__aenter__()
        assert (await live.http.get("/checkpoint")).status == 200
    async with served(tmp_path / "other"):
        pass


async def test_a_full_store_is_unavailable_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing that was acknowledged is lost; what was not says so; then it goes on."""
    monkeypatch.setattr("ledger.log.sequencer._PAUSE", 0.01)
    full = False
    perform = LmdbStore.perform

    def fill(
        self: LmdbStore, commit: Commit, note: bytes, syncing: Callable[[], None] | None = None
    ) -> None:
        if full:
            raise StoreFull("no space left on device")
        perform(self, commit, note, syncing)

    monkeypatch.setattr(LmdbStore, "perform", fill)
    async with served(tmp_path / "log") as live:
        first, second = await people(live.http, 2)
        await live.http.admit(first)
        full = True
        before = await live.http.checkpoint()
        (verdict,) = (await live.http.submit(second)).verdicts
        assert isinstance(verdict, wire.Refused)
        assert (verdict.kind, verdict.detail) == ("unavailable", "no space left on device")
        assert await live.http.checkpoint() == before
        full = False
        await live.http.admit(first, second)


async def test_workers_in_processes(tmp_path: Path) -> None:
    config: Config = replace(CONFIG, server=replace(CONFIG.server, workers=2))
    async with served(tmp_path / "log", config) as live:
        everyone = await people(live.http, 100)
        broken = replace(everyone[0], raw=everyone[0].raw[:-1] + bytes([everyone[0].raw[-1] ^ 1]))
        (verdict,) = (await live.http.submit(broken)).verdicts
        assert isinstance(verdict, wire.Refused)
        assert verdict.kind == "signature"
        await asyncio.gather(*(live.http.admit(person) for person in everyone))


async def test_requests_are_logged_only_as_far_as_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for level, lines in (("info", 1), ("debug", 3)):
        config = replace(CONFIG, logging=LoggingConfig(level=level))
        async with served(tmp_path / level, config) as live:
            await live.http.get("/checkpoint")
            await live.http.get("/v1/log?secret=1")
            await live.http.get("/nowhere?secret=1")
        out = capsys.readouterr().out
        assert out.count("path=/") == lines
        assert "secret" not in out
