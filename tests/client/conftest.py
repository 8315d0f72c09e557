"""The real server, on LMDB and HTTP, in this process."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import ClientSession

from ledger.app import keys
from ledger.app.enrolment import Register, enrol
from ledger.app.keys import Role
from ledger.client.replay.session import Log
from ledger.format.bodies import MAX_TIME, Limits
from ledger.format.identity import IdentityToken
from ledger.format.keys import SigningKey
from ledger.log.clock import Clock, wall_ms
from ledger.server.config import AuditorsConfig, Config, RateConfig, SequencerConfig, ServerConfig
from ledger.server.founding import AppKeys, Terms, found_home
from ledger.server.home import Home
from ledger.server.runtime import Served, serving
from tests.client.light_world import AUDITORS
from tests.client.people import People
from tests.http.covering import cover
from tests.http.world import Http
from tests.support.policies import policy_text

CONFIG = Config(
    server=ServerConfig(port=0, workers=0, stop_timeout=5.0),
    sequencer=SequencerConfig(linger_ms=0.5),
    rates=RateConfig(*["100000/minute"] * 6),
    auditors=AuditorsConfig("auditors.policy"),
)


@dataclass
class Shift:
    """A clock that tests can put forward, by milliseconds."""

    by: int = 0

    def clock(self) -> Clock:
        return Clock(self.now, lambda: time.monotonic() + self.by / 1000)

    def now(self) -> int:
        return wall_ms() + self.by


@dataclass
class Live:
    """A log that is being served, and the application it belongs to."""

    served: Served
    log_id: bytes
    home: Home
    app: Path
    shift: Shift

    @property
    def url(self) -> str:
        return self.served.url

    async def cover(self) -> None:
        """Have two auditors cosign what is published."""
        async with ClientSession() as session:
            await cover(Http(self.url, session), *AUDITORS[:2])

    @property
    def authority(self) -> SigningKey:
        return keys.load(self.app, Role.AUTHORITY)

    def token(
        self, identifier: str, *, reset_of: int | None = None, expiry: int = MAX_TIME
    ) -> IdentityToken:
        with Register.open(self.app / "register.db") as register:
            enrolment = keys.load(self.app, Role.ENROLMENT)
            return enrol(
                identifier,
                self.log_id,
                enrolment,
                keys.master(self.app),
                register,
                expiry=expiry,
                reset_of=reset_of,
            )


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[Live]:
    app, home, shift = tmp_path / "app", Home(tmp_path / "log"), Shift()
    keys.make(app)
    terms = Terms("example.com/log", heartbeat=1_000, limits=Limits(max_devices=4))
    log_id = found_home(home, terms, AppKeys.read(app))
    (home.path / "auditors.policy").write_text(policy_text(2, *AUDITORS))
    async with serving(home, CONFIG, clock=shift.clock()) as served:
        yield Live(served, log_id, home, app, shift)


@pytest.fixture
async def log(live: Live) -> AsyncIterator[Log]:
    """The log, followed by one client."""
    async with Log.connect(live.url, live.log_id) as log:
        await log.sync()
        yield log


@pytest.fixture
async def people(live: Live, log: Log) -> People:
    """Ada, Bob and Eve, who share a replica."""
    return await People.register(live, log)
