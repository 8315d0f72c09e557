"""Groups at the real server, as a member sees them who replays no log."""

from __future__ import annotations

import pytest

from ledger.client.group.group import Group
from ledger.client.lookups.groups import LightGroups
from ledger.client.lookups.session import LightLog
from ledger.errors import LogMisbehaved, StoreError, UsageError
from ledger.format import cose
from ledger.format.wire import StatementAnswer, StatementRequest
from ledger.rules.membership import Kind
from tests.client.conftest import Live
from tests.client.light_world import AUDITED
from tests.client.people import ADMIN, GROUP, MEMBER, People, change_key, roles
from tests.client.test_light_session import light


async def same(team: Group, log: LightLog) -> None:
    """Who replays the log and who does not see the same."""
    await team.user.log.sync()
    teams = LightGroups(log)
    assert await teams.view(team.label) == await team.view()
    assert teams.deeds(team.label) == team.deeds()


async def test_a_group_lives(live: Live, people: People) -> None:
    ada, bob, eve = people.ada, people.bob, people.eve
    team = await Group.create(ada, {bob.label: MEMBER})
    async with light(live, bob.account) as log:
        await same(team, log)
        assert roles((await LightGroups(log).view(team.label)).members) == {
            ada.label: ADMIN,
            bob.label: MEMBER,
        }
        await team.add(eve.label, role=ADMIN)
        await change_key(eve)
        await same(team, log)
        assert (await LightGroups(log).view(team.label)).reasons
        await Group(eve, team.label).rotate()
        await same(team, log)
        await Group(eve, team.label).remove(ada.label)
        await Group(bob, team.label).leave()
        await same(Group(bob, team.label), log)


async def test_groups_in_a_group(live: Live, people: People) -> None:
    ada, bob, eve = people.ada, people.bob, people.eve
    ward = await Group.create(ada, {eve.label: MEMBER})
    house = await Group.create(ada, {bob.label: MEMBER, ward.label: GROUP}, kind=Kind.COMPOUND)
    async with light(live, bob.account) as log:
        await same(Group(bob, house.label), log)
        await change_key(eve)
        await same(Group(bob, house.label), log)
        assert (await LightGroups(log).view(house.label)).reasons
        with pytest.raises(UsageError, match="only its members"):
            await LightGroups(log).view(ward.label)


async def test_a_statement_is_withheld(
    live: Live, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    team = await Group.create(people.ada, {people.bob.label: MEMBER})
    async with light(live, people.bob.account) as log:

        async def withheld(request: StatementRequest, signer: object) -> StatementAnswer:
            return StatementAnswer(1, (), ())

        monkeypatch.setattr(log, "statements", withheld)
        with pytest.raises(LogMisbehaved, match=r"R-56\.2") as caught:
            await LightGroups(log).view(team.label)
        assert caught.value.evidence["checkpoint"] == log.trust.view().note


async def test_while_others_look(live: Live, people: People) -> None:
    """What another task sees of a group meanwhile is not mixed with what is judged here."""
    ada, bob = people.ada, people.bob
    team = await Group.create(ada, {bob.label: MEMBER})
    async with light(live, bob.account) as log:
        await LightGroups(log).view(team.label)
        fetch = log.statements

        async def meanwhile(request: StatementRequest, signer: cose.Signer) -> StatementAnswer:
            phone = await ada.add_device()
            for device in ada.account.devices[:-1]:
                if ada.state.device(device.signing.public):
                    await ada.revoke_devices(device.signing.public)
            assert ada.state.device(phone.signing.public)
            await team.rotate()
            await log.lookup(team.label)
            return await fetch(request, signer)

        log.statements = meanwhile  # type: ignore[method-assign]
        view = await LightGroups(log).view(team.label)
        assert view.state.generation < team.state.generation
        log.statements = fetch  # type: ignore[method-assign]
        await same(Group(bob, team.label), log)


async def test_what_is_no_group(live: Live, people: People) -> None:
    async with light(live, people.bob.account) as log:
        for label in (people.ada.label, b"x" * 32):
            with pytest.raises(UsageError, match="no group"):
                await LightGroups(log).view(label)
    async with light(live, people.bob.account, policy=AUDITED) as log:
        with pytest.raises(UsageError, match="replay"):
            LightGroups(log)


async def test_damage_is_not_the_logs_fault(live: Live, people: People) -> None:
    team = await Group.create(people.ada, {people.bob.label: MEMBER})
    async with light(live, people.bob.account) as log:
        teams = LightGroups(log)
        assert teams.deeds(team.label) == []
        await teams.view(team.label)
        assert len(teams.deeds(team.label)) == 1
        query = "UPDATE links SET entry = zeroblob(3) WHERE label = ?"
        log.trust._db.execute(query, (team.label,))
        with pytest.raises(StoreError):
            teams.deeds(team.label)
