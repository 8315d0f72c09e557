"""People who write and read without a replay, beside people who replay, at the real server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from ledger.client.group.group import Group
from ledger.client.lookups.log import LookupLog
from ledger.client.replay.session import Log
from ledger.client.user.account import FileVault, MemoryVault, Vault
from ledger.client.user.user import User
from ledger.errors import DeviceGone, LogMisbehaved, RuleViolation, UsageError
from ledger.rules.membership import Kind
from tests.client.conftest import Live
from tests.client.light_world import AUDITED
from tests.client.people import ADMIN, GROUP, MEMBER, People, change_key, roles

ZOE = "zoe@example.org"


@asynccontextmanager
async def without_replay(
    live: Live, vault: Vault, path: Path | str = ":memory:"
) -> AsyncIterator[LookupLog]:
    async with LookupLog.connect(live.url, live.log_id, path, vault) as log:
        yield log


@pytest.fixture
async def zoe(live: Live, people: People) -> AsyncIterator[User]:
    """Somebody who never replays."""
    vault = MemoryVault()
    async with without_replay(live, vault) as log:
        yield await User.register(log, live.token(ZOE), vault)


async def as_replayed(live: Live, user: User) -> None:
    """Who replays the whole log sees the user as they see themselves."""
    async with Log.connect(live.url, live.log_id) as log:
        await log.sync()
        assert log.replica.user(user.label) == user.state


async def test_a_life(live: Live, zoe: User) -> None:
    await as_replayed(live, zoe)
    phone = await zoe.add_device()
    await as_replayed(live, zoe)
    assert len(zoe.state.devices) == 2
    old = await zoe.user_key()
    await zoe.revoke_devices(phone.signing.public)
    await as_replayed(live, zoe)
    assert (await zoe.user_key()).public == zoe.state.user_key
    assert await zoe.user_key(0) == old
    await zoe.close()
    await as_replayed(live, zoe)


async def test_registered_already(live: Live, zoe: User) -> None:
    vault = MemoryVault()
    async with without_replay(live, vault) as log:
        with pytest.raises(RuleViolation):
            await User.register(log, live.token(ZOE), vault)


async def test_another_process_goes_on(live: Live, people: People, tmp_path: Path) -> None:
    vault, path = FileVault(tmp_path / "account"), tmp_path / "trust.db"
    async with without_replay(live, vault, path) as log:
        ada = await User.register(log, live.token(ZOE), vault)
        await ada.add_device()
    async with without_replay(live, vault, path) as log:
        await log.sync()
        again = User(log, vault)
        assert len(again.devices) == 2
        await again.add_device()
        await as_replayed(live, again)


async def test_a_group_of_both_kinds_of_people(live: Live, people: People, zoe: User) -> None:
    ada, bob = people.ada, people.bob
    team = await Group.create(zoe, {ada.label: ADMIN, bob.label: MEMBER})
    await ada.log.sync()
    theirs, his = Group(ada, team.label), Group(bob, team.label)
    assert await theirs.view() == await team.view()
    assert await his.key() == await team.key() == await theirs.key()
    await theirs.add(people.eve.label)
    await change_key(people.eve)
    await zoe.log.sync()
    assert roles(await team.members()).keys() == {one.label for one in (ada, bob, zoe, people.eve)}
    assert await team.stale()
    await team.rotate()
    await ada.log.sync()
    assert await theirs.view() == await team.view()
    await team.remove(bob.label)
    await ada.log.sync()
    assert bob.label not in roles(await theirs.members())
    assert await theirs.key() == await team.key()
    assert [await team.key(number) for number in range(3)] == [
        await theirs.key(number) for number in range(3)
    ]
    assert len(await team.why(people.eve.label)) == 1


async def test_a_compound_group(live: Live, people: People, zoe: User) -> None:
    ada, bob = people.ada, people.bob
    await ada.log.sync()
    desk = await Group.create(ada, {bob.label: MEMBER, zoe.label: ADMIN})
    house = await Group.create(zoe, {desk.label: GROUP}, kind=Kind.COMPOUND)
    await bob.log.sync()
    assert await Group(bob, house.label).key() == await house.key()
    await Group(zoe, desk.label).add(people.eve.label)
    await people.eve.log.sync()
    assert await Group(people.eve, house.label).key() == await house.key()
    assert await house.view() == await Group(bob, house.label).view()


async def test_two_admins_at_once(live: Live, people: People, zoe: User) -> None:
    """One wins; the other, who does not replay, looks again and goes on."""
    team = await Group.create(zoe, {people.ada.label: ADMIN})
    await people.ada.log.sync()
    await Group(people.ada, team.label).add(people.bob.label)
    await team.add(people.eve.label)
    await people.ada.log.sync()
    assert await team.view() == await Group(people.ada, team.label).view()
    assert len(await team.members()) == 4


async def test_a_block_that_was_admitted_is_held_to(
    live: Live, people: People, zoe: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that shows the old chain after it admitted a block to it."""
    log = zoe.log
    assert isinstance(log, LookupLog)
    light = log.light
    assert light
    told = await light._post(light._held().ask(zoe.label, light.policy, [zoe.label]))
    await zoe.add_device()

    async def stale(asked: object) -> bytes:
        return told

    assert log.light
    monkeypatch.setattr(log.light, "_post", stale)
    with pytest.raises(LogMisbehaved):
        await log.sync()


async def test_only_in_replay_mode(live: Live, people: People) -> None:
    vault = MemoryVault()
    with pytest.raises(UsageError, match="replay"):
        async with LookupLog.connect(live.url, live.log_id, ":memory:", vault, policy=AUDITED):
            pass


async def test_a_group_goes_on_while_it_is_read(
    live: Live, people: People, zoe: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another task sees a block more while the authors are looked up: nobody withheld anything."""
    ada, log = people.ada, zoe.log
    team = await Group.create(zoe, {ada.label: ADMIN})
    await ada.log.sync()
    want, others = log.want, [people.bob.label, people.eve.label]

    async def meanwhile(labels: Iterable[bytes], *, after: bytes | None = None) -> None:
        if after and others:
            await Group(ada, team.label).add(others.pop())
            await log.sync()
        await want(labels, after=after)

    monkeypatch.setattr(log, "want", meanwhile)
    assert len(await team.members()) == 4
    assert not others


async def test_a_device_that_was_revoked(live: Live, people: People, zoe: User) -> None:
    """It learns so, and takes no chain that it is not shown any more for a lie."""
    team = await Group.create(zoe, {people.ada.label: MEMBER})
    phone = await zoe.add_device()
    vault = MemoryVault()
    vault.save(replace(zoe.account, devices=(phone,)))
    async with without_replay(live, vault) as log:
        await log.sync()
        there = Group(User(log, vault), team.label)
        assert len(await there.members()) == 2
        await zoe.revoke_devices(phone.signing.public)
        with pytest.raises(DeviceGone):
            await log.want([people.bob.label])
        with pytest.raises(DeviceGone):
            await there.add(people.bob.label)
