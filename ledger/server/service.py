"""What the handlers of one server share."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from ledger.errors import UsageError
from ledger.format.block import LOG_LABEL
from ledger.format.keys import SigningKey
from ledger.format.note import ED25519, Verifier
from ledger.log.clock import Clock
from ledger.log.pool import CheckPool
from ledger.log.sequencer import Sequencer
from ledger.rules.state import LogState
from ledger.server.config import Config
from ledger.server.coverage import Coverage
from ledger.server.metrics import Metrics
from ledger.server.witnesses import Witnesses
from ledger.store.port import PrivateStore, Reader, Store

STALE_HEARTBEATS = 3
"""Heartbeats that a log may miss before it calls itself stale."""


@dataclass(frozen=True, slots=True)
class Service:
    """One log, open and ready to be served."""

    store: Store
    private: PrivateStore
    sequencer: Sequencer
    pool: CheckPool
    log_id: bytes
    log_key: SigningKey
    clock: Clock
    config: Config
    metrics: Metrics
    witnesses: Witnesses | None = None
    coverage: Coverage | None = None

    def now(self) -> int:
        """This server's time, in ms."""
        return self.clock.read()

    def health(self) -> tuple[str, int, int]:
        """`ok` or the worst of what is wrong; the tree's size; the age of its last entry in ms."""
        with self.store.reader() as reader:
            head, heartbeat = reader.head, log_state(reader).heartbeat
        age = max(0, self.now() - head.time)
        if self.sequencer.dead:
            return "dead", head.size, age
        if age > STALE_HEARTBEATS * heartbeat:
            return "stale", head.size, age
        missing = self.witnesses is not None and self.witnesses.unwitnessed
        return ("unwitnessed" if missing else "ok"), head.size, age


SERVICE = web.AppKey("service", Service)


def log_state(reader: Reader) -> LogState:
    """The log's own state now."""
    chain = reader.chain(LOG_LABEL)
    if chain is None or not isinstance(chain.state, LogState):
        raise UsageError("this log has no first block yet: keyroll init makes it")
    return chain.state


def facts(reader: Reader) -> dict[str, object]:
    """What `/v1/log` and `keyroll status` say of a log, ready for JSON."""
    log, head = log_state(reader), reader.head
    limits, demands = log.limits, log.demands
    return {
        "log_id": reader.log_id.hex(),
        "origin": log.origin,
        "vkey": Verifier(log.origin, ED25519, log.log_key).vkey,
        "vrf_key": log.vrf_key.hex(),
        "size": head.size,
        "root": head.root.hex(),
        "time": head.time,
        "heartbeat": log.heartbeat,
        "limits": {
            "max_block_bytes": limits.max_block_bytes,
            "max_devices": limits.max_devices,
            "max_members": limits.max_members,
            "max_blocks_per_day": limits.max_blocks_per_day,
            "max_retired": limits.max_retired,
        },
        "demands": {
            "witnesses": demands.witnesses,
            "auditors": demands.auditors,
            "max_age": demands.max_age,
        },
    }
