"""Two admins at once, members who change meanwhile, and crashes, at a real server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from ledger.client.group.group import Group
from ledger.client.user.account import FileVault
from ledger.client.user.user import User
from ledger.errors import (
    UsageError,
)
from tests.client.conftest import Live
from tests.client.people import ADMIN, MEMBER, People, change_key, roles, twin
from tests.client.test_user import Crash, _crash, elsewhere, meddled


async def test_two_admins_at_once(live: Live, people: People) -> None:
    """Both build on one head: one wins, the other builds again on the new one."""
    ada, bob, eve = people.ada, people.bob, people.eve
    dan = await people.another("dan")
    team = await Group.create(ada, {bob.label: ADMIN})
    async with elsewhere(live) as other:
        bobs = Group(twin(bob, other), team.label)
        await asyncio.gather(team.add(eve.label), bobs.add(dan.label))
        await asyncio.gather(ada.log.sync(), other.sync())
        everybody = {ada.label, bob.label, eve.label, dan.label}
        assert set(roles(await team.members())) == set(roles(await bobs.members())) == everybody
        await asyncio.gather(team.remove(eve.label), bobs.remove(eve.label))
        await asyncio.gather(ada.log.sync(), other.sync())
        assert team.state.generation == 1  # only one had to
        await asyncio.gather(team.rotate(), bobs.rotate())
        await asyncio.gather(ada.log.sync(), other.sync())
        assert team.state.generation == 2
        assert await team.key() == await bobs.key()
        both = (team.remove(bob.label), bobs.remove(ada.label))
        ends = await asyncio.gather(*both, return_exceptions=True)
        (lost,) = (end for end in ends if end)
        assert isinstance(lost, UsageError)
        await asyncio.gather(ada.log.sync(), other.sync())
        assert team.state.generation == 3


async def test_an_admin_who_was_demoted_meanwhile(live: Live, people: People) -> None:
    """The intention makes no sense any more, and the error says since when."""
    ada, bob = people.ada, people.bob
    team = await Group.create(ada, {bob.label: ADMIN})
    async with elsewhere(live) as other:
        bobs = Group(twin(bob, other), team.label)
        await bobs.members()
        await team.set_role(bob.label, MEMBER)
        with pytest.raises(UsageError, match="no admin of the group now: see block 1"):
            await bobs.add(people.eve.label)


async def test_a_role_that_was_changed_meanwhile(live: Live, people: People) -> None:
    ada, bob, eve = people.ada, people.bob, people.eve
    team = await Group.create(ada, {bob.label: ADMIN, eve.label: MEMBER})
    async with elsewhere(live) as other:
        bobs = Group(twin(bob, other), team.label)
        await team.remove(eve.label)
        with pytest.raises(UsageError, match="add them first"):
            await bobs.set_role(eve.label, ADMIN)
        await bobs.remove(eve.label)
        assert team.state.generation == 1


async def test_a_key_that_changes_under_a_rotation(live: Live, people: People) -> None:
    """The replica had not seen it: the server refuses by R-55.3, and it is built again."""
    ada, bob = people.ada, people.bob
    team = await Group.create(ada, {bob.label: MEMBER})
    async with elsewhere(live) as other:
        await change_key(bob)
        adas = Group(twin(ada, other), team.label)
        await adas.keys.key()
        await adas.rotate()
        assert await adas.stale() == ()
    await ada.log.sync()
    assert await Group(bob, team.label).key() == await team.key()
    assert (team.state.generation, await team.stale()) == (1, ())


async def test_who_is_gone_when_they_are_added(live: Live, people: People) -> None:
    ada, bob, eve = people.ada, people.bob, people.eve
    team = await Group.create(ada)
    async with elsewhere(live) as other:
        await eve.close()
        bob = await people.reset(bob)
        adas = Group(twin(ada, other), team.label)
        with pytest.raises(UsageError, match="closed"):
            await adas.add(eve.label)
    async with elsewhere(live) as other:
        bob = await people.reset(bob)
        adas = Group(twin(ada, other), team.label)
        await adas.add(bob.label)
        entry = (await adas.view()).membership.entry(bob.label)
        assert entry
        assert entry.epoch == 2


async def test_acts_of_one_user_wait_for_one_another(people: People) -> None:
    ada, bob, eve = people.ada, people.bob, people.eve
    team = await Group.create(ada)
    await asyncio.gather(team.add(bob.label), team.add(eve.label), ada.add_device())
    assert len(await team.members()) == 3
    assert ada.account.pending is None


# --- crashes


@pytest.mark.parametrize("sent", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("act", ["create", "add", "remove", "rotate", "close"])
async def test_a_crash_while_writing(live: Live, tmp_path: Path, act: str, sent: bool) -> None:
    """No key is lost, nothing is done twice."""
    path = tmp_path / "account"
    async with meddled(live) as (log, transport):
        people = await People.register(live, log)
        ada = await User.register(log, live.token("abe@example.org"), FileVault(path))
        team = await Group.create(ada, {people.bob.label: MEMBER})
        acts: dict[str, Callable[[Group], Awaitable[object]]] = {
            "create": lambda group: Group.create(group.user),
            "add": lambda group: group.add(people.eve.label),
            "remove": lambda group: group.remove(people.bob.label),
            "rotate": lambda group: group.rotate(),
            "close": lambda group: group.close(),
        }
        honest = transport.submit_to
        _crash(transport, sent=sent)
        with pytest.raises(Crash):
            await acts[act](team)
        transport.submit_to = honest
        again = User(log, FileVault(path))
        assert again.account.pending
        assert await again.resume() is True
        group = Group(again, team.label)
        if act == "create":
            first, second = Group.founded(again)
            assert {team.label} < {first.label, second.label}
            return
        await acts[act](group)  # done already: nothing happens
        assert len(log.replica.history(team.label)) == (2 if act != "rotate" else 3)
        if act != "close":
            assert (await group.key()).public == group.state.encryption
