"""The door for applications: from a token to sealed documents, groups and recovery."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from ledger.client.documents import HEAD_BYTES, parse_preamble
from ledger.client.lookups.session import LightLog
from ledger.client.sdk import Keyroll, Status
from ledger.errors import DeviceGone, LogMisbehaved, NotAccepted, NotForYou, UsageError, WrongSecret
from ledger.format.statement import Role
from ledger.seal.lock import Lock
from ledger.seal.stream import Session
from tests.client.conftest import Live

ADA, BOB, EVE = (f"{name}@example.org" for name in ("ada", "bob", "eve"))


@asynccontextmanager
async def at(live: Live, path: Path, lock: Lock | None = None) -> AsyncIterator[Keyroll]:
    async with Keyroll.open(path, live.url, live.log_id, lock=lock, fresh=0) as place:
        yield place


@asynccontextmanager
async def person(live: Live, path: Path, name: str) -> AsyncIterator[Keyroll]:
    """Somebody new."""
    async with at(live, path / name) as place:
        assert place.status.name == "NEEDS_REGISTRATION"
        await place.register(live.token(name))
        assert place.status.name == "READY"
        yield place


async def test_documents_and_a_chat(live: Live, tmp_path: Path) -> None:
    async with person(live, tmp_path, ADA) as ada, person(live, tmp_path, BOB) as bob:
        sealed = await ada.encrypt(b"hello", users=[BOB])
        assert (await bob.decrypt(sealed, author=ADA)).data == b"hello"
        chat = await ada.begin([BOB])
        first = await ada.encrypt(b"one", session=chat)
        assert (await bob.decrypt(first)).author.identifier == ADA
        answer = await bob.encrypt(b"two", session=await bob.session(first))
        assert (await ada.decrypt(answer, author=BOB)).data == b"two"
        async with person(live, tmp_path, EVE) as eve:
            with pytest.raises(NotForYou):
                await eve.decrypt(first)
            with pytest.raises(NotForYou):
                await eve.session(first)
            await bob.share(first, [EVE])
            assert (await eve.decrypt(first)).data == b"one"


async def test_a_care_team(live: Live, tmp_path: Path) -> None:
    """Secretaries in a group of their own, which is in the care team."""
    async with (
        person(live, tmp_path, ADA) as doctor,
        person(live, tmp_path, BOB) as secretary,
        person(live, tmp_path, EVE) as patient,
    ):
        desk = await doctor.create_group({BOB: Role.MEMBER})
        team = await doctor.create_group({desk.label: Role.GROUP}, compound=True)
        sealed = await doctor.encrypt(b"findings", users=[EVE], groups=[team.label])
        assert (await secretary.decrypt(sealed)).data == b"findings"
        assert (await patient.decrypt(sealed)).data == b"findings"
        (way,) = await team.why((await doctor.lookup(BOB))[0].label)
        assert way.through == desk.label
        await desk.remove((await doctor.lookup(BOB))[0].label)
        later = await doctor.encrypt(b"later", groups=[desk.label])
        with pytest.raises(NotForYou):
            await secretary.decrypt(later)


async def test_taken_up_again(live: Live, tmp_path: Path) -> None:
    lock = Lock.by_secret(b"a secret of the application's..."[:32])
    async with at(live, tmp_path / "ada", lock) as ada, person(live, tmp_path, BOB) as bob:
        await ada.register(live.token(ADA))
        sealed = await bob.encrypt(b"for later", users=[ADA])
    async with at(live, tmp_path / "ada", lock) as again:
        assert again.status.name == "READY"
        assert (await again.decrypt(sealed)).data == b"for later"
    with pytest.raises(WrongSecret):
        async with at(live, tmp_path / "ada", Lock.by_secret(bytes(32))):
            pass


async def test_a_device_that_was_revoked_learns_it(live: Live, tmp_path: Path) -> None:
    async with person(live, tmp_path, ADA) as ada:
        code = await ada.recovery_code()
        async with at(live, tmp_path / "new") as new:
            await new.recover(live.token(ADA), code)
            assert new.status.name == "READY"
            (lost,) = [device.signing.public for device in ada.user.account.devices]
            await new.user.revoke_devices(lost)
        with pytest.raises(DeviceGone):
            await ada.refresh()
        assert ada.status.name == "GONE"
    async with at(live, tmp_path / ADA) as gone:
        assert gone.status.name == "GONE"


async def test_what_is_to_be_done(live: Live, tmp_path: Path) -> None:
    """A device that has a token learns whether to register or to join."""

    def opened(name: str) -> AbstractAsyncContextManager[Keyroll]:
        return Keyroll.open(tmp_path / name, live.url, live.log_id, token=live.token(ADA))

    async with opened("laptop") as laptop:
        assert laptop.status.name == "NEEDS_REGISTRATION"
        await laptop.register(live.token(ADA))
        assert laptop.status.name == "READY"
        async with opened("phone") as phone:
            assert phone.status.name == "NEEDS_VERIFICATION"
            await phone.join(await laptop.offer(phone.request()))
            assert phone.status.name == "READY"
    async with opened("laptop") as laptop:
        assert laptop.status.name == "READY"


async def test_own_devices_are_no_alarm(live: Live, tmp_path: Path) -> None:
    """One that was added here is known to what was made before it was."""
    async with person(live, tmp_path, ADA) as ada:
        assert ada.alarms == ()
        await ada.user.add_device()
        await ada.lookup(ADA)
        assert ada.alarms == ()


async def test_evidence_is_kept(
    live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a log that takes back a block which it had admitted."""
    async with person(live, tmp_path, ADA) as ada:
        light = ada.documents.light
        told = await light._post(light._held().ask(light.label, light.policy, [light.label]))
        await ada.user.add_device()

    async def earlier(self: LightLog, asked: object) -> bytes:
        return told

    monkeypatch.setattr(LightLog, "_post", earlier)
    with pytest.raises(LogMisbehaved) as caught:
        async with at(live, tmp_path / ADA):
            pass
    (kept,) = (tmp_path / ADA / "evidence").iterdir()
    assert caught.value.__notes__ == [f"what was shown is kept in {kept}"]


Doing = Callable[[Keyroll, bytes, bytes], Awaitable[object]]
DOINGS: list[tuple[str, Doing]] = [
    ("encrypt", lambda me, sealed, team: me.encrypt(b"x")),
    ("encrypt to somebody", lambda me, sealed, team: me.encrypt(b"x", users=[BOB])),
    ("encrypt to a group", lambda me, sealed, team: me.encrypt(b"x", groups=[team])),
    ("encrypt in a session", lambda me, sealed, team: in_session(me, sealed)),
    ("decrypt", lambda me, sealed, team: me.decrypt(sealed)),
    ("decrypt by somebody", lambda me, sealed, team: me.decrypt(sealed, author=BOB)),
    ("session", lambda me, sealed, team: me.session(sealed)),
    ("share", lambda me, sealed, team: me.share(sealed, [BOB])),
    ("lookup", lambda me, sealed, team: me.lookup(BOB)),
    ("create a group", lambda me, sealed, team: me.create_group({BOB: Role.MEMBER})),
    ("create an empty group", lambda me, sealed, team: me.create_group({})),
    ("view a group", lambda me, sealed, team: me.group(team).view()),
    ("rotate a group", lambda me, sealed, team: me.group(team).rotate()),
    ("a group's key", lambda me, sealed, team: me.group(team).key(0)),
    ("a user key", lambda me, sealed, team: me.user.user_key(0)),
    ("rotate all", lambda me, sealed, team: me.rotate_groups()),
    ("add a device", lambda me, sealed, team: me.user.add_device()),
    ("revoke a device", lambda me, sealed, team: me.revoke_device(bytes(32))),
    ("a code", lambda me, sealed, team: me.recovery_code()),
    ("refresh", lambda me, sealed, team: me.refresh()),
]
HELD = ("a user key",)
"""What is here already, and takes nobody's answer."""


async def in_session(me: Keyroll, sealed: bytes) -> None:
    preamble = parse_preamble(sealed[:HEAD_BYTES])
    await me.encrypt(b"x", session=Session(preamble.session, bytes(32)))


async def test_whatever_a_revoked_device_does_tells_it(live: Live, tmp_path: Path) -> None:
    """And none of it blames the log, or somebody else."""
    async with person(live, tmp_path, ADA) as ada, person(live, tmp_path, BOB) as bob:
        team = await ada.create_group({BOB: Role.ADMIN})
        sealed = await bob.encrypt(b"x", users=[ADA], groups=[team.label])
        await ada.rotate_groups()
        gone = [Keyroll.open(tmp_path / ADA, live.url, live.log_id) for _ in DOINGS]
        async with AsyncExitStack() as stack:
            places = [await stack.enter_async_context(one) for one in gone]
            for place in places:
                await place.lookup(BOB)
            async with at(live, tmp_path / "new") as new:
                await new.join(await ada.offer(new.request()))
                (lost,) = ada.user.devices
                await new.revoke_device(lost.signing.public)
            for (name, do), place in zip(DOINGS, places, strict=True):
                if name in HELD:
                    await do(place, sealed, team.label)
                    continue
                with pytest.raises(DeviceGone):
                    await do(place, sealed, team.label)
                assert place.status is Status.GONE, name


async def test_who_revokes_a_device_rotates_their_groups(live: Live, tmp_path: Path) -> None:
    """At once, so that others may go on sealing to them; the device reads nothing of it."""
    async with person(live, tmp_path, ADA) as ada, person(live, tmp_path, BOB) as bob:
        family = await ada.create_group({BOB: Role.MEMBER})
        phone = await ada.user.add_device()
        before = await bob.encrypt(b"before", groups=[family.label])
        assert await ada.revoke_device(phone.signing.public) == [family.label]
        assert await ada.revoke_device(phone.signing.public) == []
        assert (await family.stale(), family.state.generation) == ((), 1)
        after = await bob.encrypt(b"after", groups=[family.label])
        for sealed in (before, after):
            assert (await ada.decrypt(sealed)).data == (await bob.decrypt(sealed)).data


async def test_groups_that_were_only_read_from_are_rotated_too(live: Live, tmp_path: Path) -> None:
    """Bob was made an admin, and has read something; then he loses a device."""
    async with person(live, tmp_path, ADA) as ada, person(live, tmp_path, BOB) as bob:
        family = await ada.create_group({BOB: Role.ADMIN})
        sealed = await ada.encrypt(b"hello", groups=[family.label])
        assert (await bob.decrypt(sealed)).data == b"hello"
        phone = await bob.user.add_device()
        assert await bob.revoke_device(phone.signing.public) == [family.label]


async def test_a_revocation_that_was_interrupted(live: Live, tmp_path: Path) -> None:
    """After the user key was rotated, before the groups were: done again, it takes up there."""
    async with person(live, tmp_path, ADA) as ada, person(live, tmp_path, BOB) as bob:
        family = await ada.create_group({BOB: Role.MEMBER})
        phone = await ada.user.add_device()
        await ada.user.revoke_devices(phone.signing.public)
        with pytest.raises(UsageError, match=r"stale \(R-56\.11\): have an admin"):
            await bob.encrypt(b"x", groups=[family.label])
        assert await ada.revoke_device(phone.signing.public) == [family.label]
        await bob.encrypt(b"x", groups=[family.label])


async def test_a_member_rotates_nothing(live: Live, tmp_path: Path) -> None:
    """Who revokes a device and is no admin leaves the group to its admin's next act."""
    async with person(live, tmp_path, ADA) as ada, person(live, tmp_path, BOB) as bob:
        family = await ada.create_group({BOB: Role.MEMBER})
        await bob.encrypt(b"x", groups=[family.label])
        phone = await bob.user.add_device()
        assert await bob.revoke_device(phone.signing.public) == []
        sealed = await ada.encrypt(b"y", groups=[family.label])
        assert (await bob.decrypt(sealed)).data == b"y"


async def test_what_is_loud_stops_and_is_accepted(live: Live, tmp_path: Path) -> None:
    async with person(live, tmp_path, ADA) as ada, person(live, tmp_path, BOB) as bob:
        code = await bob.recovery_code()
        await ada.encrypt(b"x", users=[BOB])
        async with at(live, tmp_path / "new") as new:
            await new.recover(live.token(BOB), code)
            with pytest.raises(NotAccepted, match=BOB) as caught:
                await ada.encrypt(b"y", users=[BOB])
            ada.accept(caught.value)
            sealed = await ada.encrypt(b"y", users=[BOB])
            assert (await new.decrypt(sealed)).data == b"y"


async def test_many_tasks_at_once(live: Live, tmp_path: Path) -> None:
    async with person(live, tmp_path, ADA) as ada, person(live, tmp_path, BOB) as bob:
        texts = [str(number).encode() for number in range(8)]
        sealed = await asyncio.gather(*(ada.encrypt(text, users=[BOB]) for text in texts))
        found = await asyncio.gather(*(bob.decrypt(one) for one in sealed))
        assert [one.data for one in found] == texts


async def test_before_there_is_anybody(live: Live, tmp_path: Path) -> None:
    async with at(live, tmp_path / "nobody") as nobody:
        with pytest.raises(UsageError, match="registered"):
            await nobody.encrypt(b"x")
    async with person(live, tmp_path, ADA) as ada:
        with pytest.raises(UsageError, match="not in the log"):
            await ada.create_group({"no@example.org": Role.MEMBER})
