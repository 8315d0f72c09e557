"""Two at once, through the door for applications: one wins, and nobody is locked out."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from ledger.client.sdk import Keyroll, Status
from ledger.client.user.account import FileVault
from ledger.errors import DeviceGone, NotAccepted, UsageError
from ledger.format.statement import Role
from tests.client.conftest import Live
from tests.client.test_sdk import ADA, BOB, EVE, at, person
from tests.client.test_sdk_devices import as_replayed, carried

PROCESS = """
import asyncio, sys
from ledger.client.sdk import Keyroll, Status
from ledger.format.identity import IdentityToken
from ledger.format.statement import Role

async def main(path, url, log_id, token, bob):
    async with Keyroll.open(path, url, bytes.fromhex(log_id), fresh=0) as me:
        if me.status is not Status.READY:
            await me.register(IdentityToken.parse(token))
        team = await me.create_group({bob: Role.MEMBER})
        device = await me.user.add_device()
        sealed = await me.encrypt(b"hello", users=[bob], groups=[team.label])
        assert (await me.decrypt(sealed)).data == b"hello"
        print(device.signing.public.hex(), team.label.hex())

asyncio.run(main(*sys.argv[1:]))
"""


async def test_two_processes_in_one_place(live: Live, tmp_path: Path) -> None:
    """From their registration on: one account, in which neither loses what the other wrote."""
    token, path = live.token(ADA).export(), tmp_path / "ada"
    async with person(live, tmp_path, BOB) as bob:
        args = [sys.executable, "-c", PROCESS, str(path), live.url, live.log_id.hex(), token, BOB]
        pipe = asyncio.subprocess.PIPE
        both = [await asyncio.create_subprocess_exec(*args, stdout=pipe) for _ in range(2)]
        told = [(await one.communicate())[0].decode().split() for one in both]
        assert [one.returncode for one in both] == [0, 0]
        async with at(live, path) as ada:
            state = await as_replayed(live, ada)
            keys = {device.signing for device in state.devices}
            assert keys == {device.signing.public for device in ada.user.devices}
            assert {bytes.fromhex(key) for key, _ in told} < keys
            assert len(keys) == 3
            for _, label in told:
                group = ada.group(bytes.fromhex(label))
                assert ada.user.account.group_signer((await group.view()).state.signing)
                await bob.encrypt(b"x", groups=[group.label])
            assert ada.user.account.pending is None
            assert (ada.alarms, ada.doubts) == ((), ())


async def test_two_of_one_place_write_in_turn(live: Live, tmp_path: Path) -> None:
    """What one begins sees the other's keys at once, and nothing of theirs is lost."""
    async with person(live, tmp_path, ADA) as ada, at(live, tmp_path / ADA) as other:
        phone, tablet = await asyncio.gather(ada.user.add_device(), other.user.add_device())
        assert set(ada.user.account.devices) == set(other.user.account.devices)
        await asyncio.gather(
            ada.revoke_device(phone.signing.public), other.revoke_device(tablet.signing.public)
        )
        state = await as_replayed(live, await synced(ada))
        assert (len(state.devices), state.generation) == (1, 2)
        current, kept = state.user_key, FileVault(tmp_path / ADA / "account").load()
        assert kept
        assert kept.user_key(current or b"")
        assert ada.doubts == other.doubts == ()


async def test_many_tasks_of_one_place(live: Live, tmp_path: Path) -> None:
    async with person(live, tmp_path, ADA) as ada, person(live, tmp_path, BOB):
        (bob,) = await ada.lookup(BOB)
        one, two = await ada.create_group({}), await ada.create_group({})
        await asyncio.gather(
            ada.user.add_device(),
            ada.recovery_code(),
            one.add(bob.label),
            two.add(bob.label),
            one.rotate(),
            ada.encrypt(b"x", users=[BOB], groups=[two.label]),
            ada.create_group({BOB: Role.MEMBER}),
            ada.refresh(),
        )
        state = await as_replayed(live, ada)
        assert len(state.devices) == 3
        for group in (one, two):
            assert len(await group.members()) == 2
        assert one.state.generation == 1
        assert ada.user.account.pending is None


async def synced(me: Keyroll) -> Keyroll:
    await me.refresh()
    return me


async def test_two_devices_at_once(live: Live, tmp_path: Path) -> None:
    async with person(live, tmp_path, ADA) as ada, at(live, tmp_path / "phone") as phone:
        await phone.join(await carried(ada, phone))
        old, new = await asyncio.gather(ada.user.add_device(), phone.user.add_device())
        await asyncio.gather(
            ada.revoke_device(old.signing.public), phone.revoke_device(new.signing.public)
        )
        await asyncio.gather(ada.refresh(), phone.refresh())
        (alarm,) = phone.alarms  # what another device adds is for a person to look at
        assert alarm.device.signing == old.signing.public
        for one in (ada, phone):
            pin = one.documents.light.trust.pin(one.user.label)
            one.accept(NotAccepted((pin,), (ADA,)))
        state = await as_replayed(live, phone)
        assert (len(state.devices), state.generation) == (2, 2)
        assert await ada.user.user_key() == await phone.user.user_key()
        sealed = await ada.encrypt(b"x")
        assert (await phone.decrypt(sealed)).data == b"x"


async def test_two_devices_that_revoke_each_other(live: Live, tmp_path: Path) -> None:
    """One wins, and the other learns that it is gone."""
    async with person(live, tmp_path, ADA) as ada, at(live, tmp_path / "phone") as phone:
        await phone.join(await carried(ada, phone))
        await ada.refresh()
        first, second = (one.user.devices[0].signing.public for one in (ada, phone))
        ends = await asyncio.gather(
            ada.revoke_device(second), phone.revoke_device(first), return_exceptions=True
        )
        assert sorted(map(type, ends), key=str) == sorted([DeviceGone, list], key=str)
        winner, loser = (ada, phone) if isinstance(ends[1], DeviceGone) else (phone, ada)
        assert (winner.status, loser.status) == (Status.READY, Status.GONE)
        assert len((await as_replayed(live, winner)).devices) == 1
        await winner.encrypt(b"x")


async def test_one_group_at_once(live: Live, tmp_path: Path) -> None:
    """By two devices of one admin, and by another admin."""
    async with (
        person(live, tmp_path, ADA) as ada,
        at(live, tmp_path / "phone") as phone,
        person(live, tmp_path, BOB) as bob,
        person(live, tmp_path, EVE),
    ):
        await phone.join(await carried(ada, phone))
        (eve,) = await ada.lookup(EVE)
        team = await ada.create_group({BOB: Role.ADMIN})
        groups = [team, phone.group(team.label), bob.group(team.label)]
        await asyncio.gather(*(group.add(eve.label) for group in groups))
        await asyncio.gather(*(group.remove(eve.label) for group in groups))
        await asyncio.gather(ada.refresh(), phone.refresh(), bob.refresh())
        assert team.state.generation == 1  # only one had to
        assert len(await team.members()) == 2
        keys = [await group.key() for group in groups]
        assert keys[0] == keys[1] == keys[2]
        ends = await asyncio.gather(
            bob.group(team.label).remove(ada.user.label),
            team.remove((await ada.lookup(BOB))[0].label),
            return_exceptions=True,
        )
        (lost,) = [end for end in ends if end]
        assert isinstance(lost, UsageError)
