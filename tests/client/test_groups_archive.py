"""Statements from a real server: withheld, in pieces, kept, damaged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ledger.client.group.archive import Archive
from ledger.client.group.group import Group
from ledger.client.replay.session import Log
from ledger.errors import (
    LogMisbehaved,
    StoreError,
)
from ledger.format import wire
from ledger.format.login import Authenticated
from tests.client.conftest import Live
from tests.client.people import MEMBER, People, replica_of, roles, twin
from tests.client.test_user import Crash, Meddling, elsewhere, meddled


async def test_a_withheld_statement(live: Live) -> None:
    async with meddled(live) as (log, transport):
        people = await People.register(live, log)
        team = await Group.create(people.ada, {people.bob.label: MEMBER})
        await team.add(people.eve.label)
        honest = transport.statements_from

        async def fewer(request: bytes) -> bytes:
            answer = wire.StatementAnswer.decode(await honest(request))
            return wire.StatementAnswer(answer.total, answer.statements[:0], ()).encode()

        async def swapped(request: bytes) -> bytes:
            answer = wire.StatementAnswer.decode(await honest(request))
            return wire.StatementAnswer(answer.total, answer.statements[::-1], ()).encode()

        async with elsewhere(live) as fresh:
            other = Meddling(transport.inner)
            fresh._transport = other
            bobs = Group(twin(people.bob, fresh), team.label)
            other.statements_from = fewer
            with pytest.raises(LogMisbehaved, match=r"R-56\.2.*block 0 .*is withheld") as caught:
                await bobs.members()
            assert caught.value.evidence["checkpoint"] == fresh.replica.note
            other.statements_from = swapped
            with pytest.raises(LogMisbehaved, match=r"R-56\.2.*block 0 .*is another"):
                await bobs.members()
            other.statements_from = honest
            assert len(await bobs.members()) == 3
        await team.remove(people.eve.label)
        transport.statements_from = fewer
        with pytest.raises(LogMisbehaved, match=r"R-56\.2.*block 2 .*is withheld"):
            await Group(people.bob, team.label).members()


async def test_only_what_is_new_is_asked_for(live: Live, tmp_path: Path) -> None:
    """Statements may come in several answers; verified ones are kept with the replica."""
    async with meddled(live) as (log, transport):
        people = await People.register(live, log)
        team = await Group.create(people.ada, {people.bob.label: MEMBER})
        await team.add(people.eve.label)
        await team.remove(people.eve.label)
        honest, asked = transport.statements_from, list[int]()

        async def one(request: bytes) -> bytes:
            inner = Authenticated.decode(request).request
            asked.append(wire.StatementRequest.decode(inner).start)
            answer = wire.StatementAnswer.decode(await honest(request))
            return wire.StatementAnswer(answer.total, answer.statements[:1], ()).encode()

        path = tmp_path / "replica.db"
        for expected in ([0, 1, 2], [3]):
            asked.clear()
            async with Log.connect(live.url, live.log_id, path) as again:
                await again.sync()
                again._transport = other = Meddling(transport.inner)
                other.statements_from = one
                ada = twin(people.ada, again)
                assert len(await Group(ada, team.label).members()) == 2
                assert asked == expected
                assert await Group(ada, team.label).key() == await team.key()


async def test_a_replica_that_is_behind(live: Live, log: Log, people: People) -> None:
    """The server knows more than the replica: what fits the replica's chain is taken."""
    team = await Group.create(people.ada, {people.bob.label: MEMBER})
    async with elsewhere(live) as other:
        await team.add(people.eve.label)
        await team.members()
        bobs = Group(twin(people.bob, other), team.label)
        assert people.eve.label not in roles(await bobs.members())
        await other.sync()
        assert people.eve.label in roles(await bobs.members())
        assert len(await bobs.why(people.eve.label)) == 1
        kept = [replica.statements(team.label) for replica in (log.replica, other.replica)]
        assert len(kept[1]) == 2
        assert kept[0] == kept[1]


async def test_a_crash_before_it_was_kept(live: Live, tmp_path: Path, people: People) -> None:
    """The replica has the blocks, but nothing of the statements: they are asked for again."""
    team = await Group.create(people.ada, {people.bob.label: MEMBER})
    path = tmp_path / "replica.db"
    async with Log.connect(live.url, live.log_id, path) as other:
        await other.sync()
        archive = Archive(twin(people.bob, other))
        keep = other.replica.keep

        def crash(*arguments: object) -> None:
            raise Crash

        other.replica.keep = crash  # type: ignore[assignment, method-assign]
        with pytest.raises(Crash):
            await archive.read(team.label)
        other.replica.keep = keep  # type: ignore[method-assign]
        assert other.replica.resolved(team.label) is None
    async with Log.connect(live.url, live.log_id, path) as other:
        bobs = Group(twin(people.bob, other), team.label)
        assert len(await bobs.members()) == 2
        assert other.replica.resolved(team.label)


DAMAGE = [
    "UPDATE memberships SET data = substr(data, 1, length(data) - 1)",
    "UPDATE memberships SET data = zeroblob(9)",
    "UPDATE statements SET data = zeroblob(9) WHERE seq = 0",
    "DELETE FROM statements WHERE seq = 0",
]


@pytest.mark.parametrize("damage", DAMAGE)
async def test_a_damaged_replica_is_not_blamed_on_the_log(people: People, damage: str) -> None:
    team = await Group.create(people.ada, {people.bob.label: MEMBER})
    await team.members()
    replica = replica_of(people.ada)
    replica.check()
    replica._db.execute(damage)
    with pytest.raises(StoreError, match="damaged"):
        replica.check_group(team.label)
    with pytest.raises(StoreError, match="damaged"):
        replica.check()


async def test_a_damaged_membership(people: People) -> None:
    """Another membership than was verified: the next statement does not fit it."""
    team = await Group.create(people.ada, {people.bob.label: MEMBER})
    await team.members()
    replica = replica_of(people.ada)
    known = replica.resolved(team.label)
    assert known
    await team.add(people.eve.label)
    other = replace(known.membership, entries=known.membership.entries[:1])
    replica._db.execute("UPDATE memberships SET data = ?", (other.encode(),))
    with pytest.raises(StoreError, match="damaged"):
        await team.members()
