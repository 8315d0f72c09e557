"""Four lies, and who catches them. Each is told over real HTTP or in the real database.

| lie | told by | caught by |
| --- | --- | --- |
| a device's key swapped for another | a server between client and log | a client, on first sight |
| a revocation left out under a checkpoint that covers it | the same | a client, on first sight |
| somebody put into a group by an ordinary member | the operator, and the member with the \
group's signing key in hand | the other members' clients, by the statement |
| an entry altered in the database | the operator's hand on the disk | the verifier |
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from ledger.client.group import compose_groups
from ledger.client.group.archive import View
from ledger.client.group.compose_groups import Author, GroupSecret
from ledger.client.group.group import Group
from ledger.client.group.groups import Change
from ledger.client.replay.session import Log
from ledger.client.user.compose import Place
from ledger.client.user.user import User
from ledger.demo.audit import MISBEHAVIOUR, audit
from ledger.demo.liar import Twist, lying
from ledger.demo.stage import ORIGIN, Stage
from ledger.errors import KeyrollError, LogMisbehaved, UsageError
from ledger.format import block as blocks
from ledger.format import entry
from ledger.format.keys import SigningKey
from ledger.format.statement import Put, Role, Statement
from ledger.format.wire import Submission
from ledger.log.clock import wall_ms
from ledger.log.commit import sign_head
from ledger.log.planner import plan
from ledger.rules import membership as memberships
from ledger.rules.membership import Before, Membership
from ledger.rules.state import UserState
from ledger.store.environment import Environment
from ledger.store.layout import ENTRIES, KIND, TABLES, u64
from ledger.store.port import PrivateItem

_GHOST = SigningKey(b"the key of a device nobody added").public


@dataclass(frozen=True, slots=True)
class Attack:
    """A lie that was told. `rule` is empty if nobody caught it."""

    lie: str
    caught_by: str
    rule: str
    says: str


async def swap_key(stage: Stage, victim: User) -> Attack:
    """A server shows a device key that nobody added, where the victim added theirs."""
    real = victim.devices[-1].signing.public

    def twist(index: int, data: bytes) -> bytes:
        return data.replace(real, _GHOST)

    return await _told("a device key swapped in what the server answers", stage, twist)


async def withhold_revocation(stage: Stage, victim: User) -> Attack:
    """A server shows an idle log where the victim revoked a device: two quiet batches."""
    head = victim.log.replica.head
    quiet = entry.directory_root(head.time, head.directory)
    await victim.revoke_devices(victim.devices[0].signing.public)
    hidden = victim.state.index

    def twist(index: int, data: bytes) -> bytes:
        return quiet if index in (hidden, hidden + 1) else data

    lie = "a revocation left out under a checkpoint that covers it"
    return await _told(lie, stage, twist)


async def slip_in(stage: Stage, group: Group, member: User, other: User) -> Attack:
    """An ordinary member writes as an admin, and the operator, who should refuse, admits it.

    The member is even given the group's signing key, so that every public rule holds.
    """
    view, replica = await group.view(), group.user.log.replica
    held = GroupSecret(await group.keys.signer(), await group.key())
    before, author = Before(view.state, view.membership), Author(member.label, member.author())
    change = Change((Put(_outsider(group, view), 0, Role.MEMBER),))
    place = Place.after(replica, group.label)
    forged = compose_groups.update(place, author, before, held, None, change, replica.chain)
    stage.stop()
    _admit(stage, forged)
    stage.serve()
    lie = "somebody put into a group by an ordinary member, with the server's help"
    await other.log.sync()
    try:
        await Group(other, group.label).view()
    except LogMisbehaved as caught:
        return Attack(lie, "client", caught.rule, caught.detail)
    return Attack(lie, "", "", "the other member's client believed it")


def _outsider(group: Group, view: View) -> bytes:
    """A user in their first epoch who is not in the group."""
    replica = group.user.log.replica
    for label in replica.labels():
        chain = replica.chain(label)
        state = chain.state if chain else None
        fits = isinstance(state, UserState) and not state.closed and not state.epoch
        if fits and view.membership.entry(label) is None:
            return label
    raise UsageError("everybody is in the group")


def _admit(stage: Stage, forged: Submission) -> None:
    """Append a group's block as a server does that asks for no more than the public rules."""
    assert forged.statement
    terms = Statement.parse(forged.statement).terms
    block = blocks.parse(forged.block)
    with stage.home.stores() as (store, private):
        with store.view() as view:
            commit = plan(view, [block], wall_ms()).commit
            state = view.chain(block.label)
        assert state
        known = private.membership(state.state.index, state.state.head)
        assert known
        after = memberships.changed(terms, Membership.decode(known)).encode()
        told = forged.statement, after
        private.put([PrivateItem(commit.before.size, block.hash, block.label, (), None, told)])
        store.perform(commit, sign_head(ORIGIN, commit.after, stage.home.log_key()))


async def alter_database(stage: Stage, victim: User) -> Attack:
    """The operator stops the server, alters an entry on disk, and serves again."""
    device = victim.state.devices[-1]
    stage.stop()
    _overwrite(stage, device.index, device.signing, _GHOST)
    stage.serve()
    audited = await asyncio.to_thread(audit, stage, "after the attack")
    lie = "an entry altered in the database"
    caught_by = "verifier" if audited.code == MISBEHAVIOUR else ""
    return Attack(lie, caught_by, audited.rule, audited.says)


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
