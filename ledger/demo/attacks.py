"""Three lies, and who catches them. Each is told over real HTTP or in the real database.

| lie | told by | caught by |
| --- | --- | --- |
| a device's key swapped for another | a server between client and log | a client, on first sight |
| a revocation left out under a checkpoint that covers it | the same | a client, on first sight |
| an entry altered in the database | the operator's hand on the disk | the verifier |
"""

from __future__ import annotations

from dataclasses import dataclass

from ledger.client.session import Log
from ledger.client.user import User
from ledger.demo.audit import Audited, audit
from ledger.demo.liar import Twist, lying
from ledger.demo.stage import Stage
from ledger.errors import KeyrollError, LogMisbehaved
from ledger.format import entry
from ledger.store.environment import Environment
from ledger.store.layout import ENTRIES, KIND, TABLES, u64

_GHOST = bytes.fromhex("c5" * 31 + "01")


@dataclass(frozen=True, slots=True)
class Attack:
    """A lie that was told. `rule` is empty if nobody caught it."""

    lie: str
    caught_by: str
    rule: str
    says: str


async def swap_key(stage: Stage, log: Log, victim: User) -> Attack:
    """A server shows a device key that nobody added, where the victim added theirs."""
    real = victim.devices[-1].signing.public

    def twist(index: int, data: bytes) -> bytes:
        return data.replace(real, _GHOST)

    return await _told("a device key swapped in what the server answers", stage, twist)


async def withhold_revocation(stage: Stage, log: Log, victim: User) -> Attack:
    """A server shows an idle log where the victim revoked a device: two quiet batches."""
    quiet = entry.directory_root(log.replica.head.time, log.replica.head.directory)
    await victim.revoke_devices(victim.devices[0].signing.public)
    hidden = victim.state.index

    def twist(index: int, data: bytes) -> bytes:
        return quiet if index in (hidden, hidden + 1) else data

    lie = "a revocation left out under a checkpoint that covers it"
    return await _told(lie, stage, twist)


def alter_database(stage: Stage, victim: User) -> tuple[Attack, Audited]:
    """The operator stops the server, alters an entry on disk, and serves again."""
    stage.stop()
    real = victim.devices[-1]
    index = next(d.index for d in victim.state.devices if d.signing == real.signing.public)
    _overwrite(stage, index, real.signing.public, _GHOST)
    stage.serve()
    audited = audit(stage, "after the attack")
    caught = audited.code == 1
    rule = audited.rule if caught else ""
    lie = "an entry altered in the database"
    return Attack(lie, "verifier", rule, audited.says), audited


def _overwrite(stage: Stage, index: int, old: bytes, new: bytes) -> None:
    """Replace bytes in an entry, as somebody does who knows how the store keeps it."""
    environment = Environment(stage.home.log, KIND, TABLES)
    try:
        with environment.write() as transaction:
            value = transaction.get(ENTRIES, u64(index))
            assert value is not None
            assert old in value
            transaction.put(ENTRIES, [(u64(index), value.replace(old, new))])
    finally:
        environment.close()


async def _told(lie: str, stage: Stage, twist: Twist) -> Attack:
    """Let a client that knows nothing but the log id meet the lie."""
    try:
        async with (
            lying(stage.url, twist) as url,
            Log.connect(url, stage.log_id) as fresh,
        ):
            await fresh.sync()
    except LogMisbehaved as caught:
        return Attack(lie, "client", caught.rule, caught.detail)
    except KeyrollError as error:
        return Attack(lie, "", "", str(error))
    return Attack(lie, "", "", "the client believed it")
