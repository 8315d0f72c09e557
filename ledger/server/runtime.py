"""All that serves one log: stores, workers, sequencer, HTTP; started, and stopped in order.

Stopping goes from the outside in, so that whatever was taken is answered: no new connections, open
requests answered, the queue empty; then workers and stores are closed.

>>> async with serving(Home(Path("mylog"))) as served:        # doctest: +SKIP
...     print(served.url)
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import NamedTuple

import structlog
from aiohttp import web

from ledger.errors import UsageError
from ledger.format.keys import SigningKey
from ledger.log.clock import Clock
from ledger.log.cosigning import Cosign
from ledger.log.pool import CheckPool
from ledger.log.sequencer import Sequencer, Settings
from ledger.server.app import make_app
from ledger.server.config import Config
from ledger.server.contradiction import Cabinet
from ledger.server.coverage import Coverage
from ledger.server.home import Home
from ledger.server.metrics import Metrics
from ledger.server.policies import read_policies
from ledger.server.service import Service, log_state
from ledger.server.witnesses import Witnesses, witnessed
from ledger.store.backup import is_unconfirmed
from ledger.store.port import PrivateStore, Store
from ledger.tree import vrf

_BACKLOG = 1_024
_LINGER = 1.0
"""Seconds for the rest of a body that was refused: so that its sender hears why."""

_TIDIED_EVERY = 30.0

_MOMENT = 0.5
"""Seconds to end, for a sequencer that has nothing to answer."""

_logger = structlog.get_logger("keyroll.server")


@dataclass(frozen=True, slots=True)
class Served:
    """A log that answers at `url`."""

    url: str
    service: Service


@dataclass(frozen=True, slots=True)
class Keys:
    """A server's secrets."""

    log_key: SigningKey
    vrf_seed: bytes


@asynccontextmanager
async def serving(
    home: Home,
    config: Config | None = None,
    *,
    clock: Clock | None = None,
    cosign: Cosign | None = None,
    confirm_idle: bool = False,
) -> AsyncIterator[Served]:
    """Serve the log in a directory while the context lasts.

    Refuses to start (`UsageError`, `ClockError`, `StoreError`) where R-73.1 or R-73.2 say so.
    """
    home.check()
    config = config or home.config()
    clock = clock or Clock()
    keys = Keys(home.log_key(), home.vrf_seed())
    if is_unconfirmed(home.log):
        raise UsageError(
            f"{home.path} was restored from a backup. If anything newer was published, serving it "
            "would fork the log. If you know that nothing was: keyroll serve --confirm-restored"
        )
    with home.stores() as (store, private):
        check_ready(store, keys, clock, confirm_idle)
        async with (
            _cosigners(home, store, config, clock) as cosigners,
            _open(store, private, keys, config, clock, cosigners, cosign) as service,
            _listening(service) as url,
        ):
            yield Served(url, service)


def check_ready(store: Store, keys: Keys, clock: Clock, confirm_idle: bool) -> None:
    """Refuse a log that has not begun, foreign keys, and a clock that is wrong (R-73.1)."""
    with store.reader() as reader:
        log, head = log_state(reader), reader.head
    if log.vrf_key != vrf.public_key(keys.vrf_seed):
        raise UsageError("keys/vrf.key is not this log's VRF key: restore it from its copy")
    if log.log_key != keys.log_key.public:
        raise UsageError("keys/log.key is not this log's key: restore it from its copy")
    clock.check_start(head.time, idle_confirmed=confirm_idle)


class Cosigners(NamedTuple):
    """Whoever else signs what this log publishes, if anybody does."""

    witnesses: Witnesses | None
    coverage: Coverage | None


@asynccontextmanager
async def _cosigners(
    home: Home, store: Store, config: Config, clock: Clock
) -> AsyncIterator[Cosigners]:
    """By the policies that config.toml names."""
    with store.reader() as reader:
        log, (first,) = log_state(reader), reader.entries(0, 1)
    policies = read_policies(home, config, log)
    cabinet = Cabinet(home.evidence, first)
    cabinet.check_empty()
    async with AsyncExitStack() as stack:
        witnesses = coverage = None
        if policies.witnesses:
            opened = witnessed(policies.witnesses, config.witnesses, cabinet, clock.read)
            witnesses = await stack.enter_async_context(opened)
        if policies.auditors:
            place, patience = home.covered_file, config.auditors.patience
            coverage = Coverage.open(policies.auditors, store, place, patience, clock.read)
            await stack.enter_async_context(_tidied(coverage, patience))
        yield Cosigners(witnesses, coverage)


@asynccontextmanager
async def _tidied(coverage: Coverage, patience: float) -> AsyncIterator[None]:
    """Snapshots are let go in time, and at the end."""

    async def tidy() -> None:
        while True:
            await asyncio.sleep(min(patience / 4, _TIDIED_EVERY))
            await asyncio.to_thread(coverage.tidy)

    tidying = asyncio.create_task(tidy(), name="coverage")
    try:
        yield
    finally:
        tidying.cancel()
        await asyncio.wait([tidying])
        coverage.close()


@asynccontextmanager
async def _open(
    store: Store,
    private: PrivateStore,
    keys: Keys,
    config: Config,
    clock: Clock,
    cosigners: Cosigners,
    cosign: Cosign | None,
) -> AsyncIterator[Service]:
    """Workers and sequencer, at work."""
    metrics = Metrics()
    chosen = config.sequencer
    settings = Settings(chosen.max_queue, chosen.max_batch, chosen.linger_ms / 1000)
    with store.reader() as reader:
        log_id = reader.log_id
        overdue = cosigners.witnesses is not None and not cosigners.witnesses.vouch_for(reader.note)
    if cosigners.witnesses and not cosign:
        cosign = cosigners.witnesses.cosign
    async with CheckPool(config.server.workers, keys.vrf_seed) as pool:
        sequencer = Sequencer(
            store,
            private,
            keys.log_key,
            pool,
            clock=clock,
            cosign=cosign,
            settings=settings,
            observe=metrics.written,
            overdue=overdue,
        )
        service = Service(
            store,
            private,
            sequencer,
            pool,
            log_id,
            keys.log_key,
            clock,
            config,
            metrics,
            *cosigners,
        )
        _watch(service)
        running = asyncio.create_task(sequencer.run(), name="sequencer")
        try:
            yield service
        finally:
            await _stop(sequencer, running, config.server.stop_timeout)


async def _stop(sequencer: Sequencer, running: asyncio.Task[None], patience: float) -> None:
    """Let the sequencer answer what it took; after `patience` seconds, as `unavailable`.

    A staged batch for which nobody waits may wait for its witnesses until the next start.
    """
    sequencer.stop()
    done, _ = await asyncio.wait([running], timeout=_MOMENT)
    if not done and sequencer.queued:
        done, _ = await asyncio.wait([running], timeout=patience)
    if not done:
        _logger.warning("stopped before all was answered", blocks=sequencer.queued)
        running.cancel()
    with suppress(asyncio.CancelledError):
        await running


def _watch(service: Service) -> None:
    metrics = service.metrics
    metrics.watch("keyroll_queue_blocks", "Blocks without a verdict", _queued(service))
    metrics.watch("keyroll_tree_size", "Leaves published", lambda: service.health()[1])
    metrics.watch("keyroll_age_seconds", "Age of the last entry", lambda: service.health()[2] / 1e3)
    if service.witnesses:
        metrics.watch_witnesses(service.witnesses, service.now)
    if service.coverage:
        size = service.coverage.size
        metrics.watch("keyroll_covered_size", "Leaves under the covered checkpoint", size)


def _queued(service: Service) -> Callable[[], float]:
    return lambda: service.sequencer.queued


@asynccontextmanager
async def _listening(service: Service) -> AsyncIterator[str]:
    """HTTP on a socket of its own; at the end, open requests are answered first."""
    chosen = service.config.server
    runner = web.AppRunner(
        make_app(service),
        access_log=None,
        keepalive_timeout=chosen.idle_timeout,
        shutdown_timeout=chosen.stop_timeout,
        auto_decompress=False,
        lingering_time=_LINGER,
    )
    await runner.setup()
    assert runner.server
    factory = _at_most(chosen.max_connections, runner.server)
    loop = asyncio.get_running_loop()
    try:
        listener = await loop.create_server(factory, chosen.host, chosen.port, backlog=_BACKLOG)
    except OSError as error:
        await runner.cleanup()
        raise UsageError(
            f"{chosen.host} port {chosen.port} can't be listened on: {error.strerror}"
        ) from error
    try:
        yield _url(listener)
    finally:
        listener.close()
        await runner.cleanup()


def _at_most(limit: int, server: web.Server) -> Callable[[], asyncio.Protocol]:
    """Makes a handler for each connection, until there are `limit` of them."""

    def protocol() -> asyncio.Protocol:
        if len(server.connections) < limit:
            return server()
        _logger.warning("too many connections", limit=limit)
        return _TurnAway()

    return protocol


class _TurnAway(asyncio.Protocol):
    """Closes a connection as it comes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


def _url(listener: asyncio.Server) -> str:
    host, port = listener.sockets[0].getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
