"""A place whose files were lost, or put back from a copy (R-94.6); or one that seems so."""

from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path

import pytest

from ledger.client.doubts import Cause, Doubt, Mark, compared, missing, newer
from ledger.client.home import Home, Settings
from ledger.client.policy import Policy
from ledger.client.sdk import Keyroll, Status
from ledger.client.user.user import User
from ledger.errors import UsageError
from ledger.format import block as blocks
from ledger.format import entry
from tests.client.conftest import Live
from tests.client.test_sdk import ADA, BOB, at, person
from tests.client.test_sdk_devices import carried

A, B = b"a" * 16, b"b" * 16
ROOT, OTHER = bytes(32), b"\1" * 32


@pytest.mark.parametrize(
    ("mark", "seen", "causes"),
    [
        (None, Mark(A, 0, ROOT), []),
        (None, Mark(A, 9, ROOT), []),
        (Mark(A, 9, ROOT), Mark(A, 9, ROOT), []),
        (Mark(A, 9, ROOT), Mark(A, 10, OTHER), []),
        (Mark(A, 9, ROOT), Mark(A, 9, OTHER), [Cause.SEEN_OLDER]),
        (Mark(A, 9, ROOT), Mark(A, 8, OTHER), [Cause.SEEN_OLDER]),
        (Mark(A, 9, ROOT), Mark(A, 0, ROOT), [Cause.SEEN_OLDER]),
        (Mark(A, 9, ROOT), Mark(B, 0, ROOT), [Cause.SEEN_LOST]),
        (Mark(A, 9, ROOT), Mark(B, 10, ROOT), [Cause.SEEN_LOST]),
    ],
)
def test_what_was_seen(mark: Mark | None, seen: Mark, causes: list[Cause]) -> None:
    assert [doubt.cause for doubt in compared(mark, seen)] == causes


def test_what_is_remembered_next() -> None:
    old, new, other = Mark(A, 9, ROOT), Mark(A, 10, OTHER), Mark(B, 1, ROOT)
    assert newer(None, old) == old
    assert newer(old, new) == newer(new, old) == new
    assert newer(new, other) == other


def test_keys_that_are_missing() -> None:
    assert missing([A, B], [B, A]) == missing([], [A]) == missing([A], [A, B]) == []
    assert missing([B, A], [b"c"]) == [Doubt(Cause.KEYS_LOST, A), Doubt(Cause.KEYS_LOST, B)]
    assert all(Doubt(cause).advice for cause in Cause)


def put_back(copy: Path, place: Path, *names: str) -> None:
    """Files of a place, or all of it, as they were when they were copied."""
    for name in names or [file.name for file in place.iterdir()]:
        for file in place.glob(f"{name}*"):
            file.unlink()
    for name in names or [file.name for file in copy.iterdir()]:
        for file in copy.glob(f"{name}*"):
            shutil.copy(file, place / file.name)


async def registered(live: Live, place: Path) -> None:
    async with at(live, place) as ada:
        await ada.register(live.token(ADA))
        await ada.encrypt(b"x")


async def lived_on(live: Live, place: Path) -> Keyroll:
    """The place, used for a while: it sees a newer tree, and writes a block."""
    async with at(live, place) as ada:
        assert ada.doubts == ()
        await ada.user.add_device()
        await ada.refresh()
        return ada


async def doubted(live: Live, place: Path) -> list[Cause]:
    """What is in doubt, until it is dismissed."""
    async with at(live, place) as ada:
        found = ada.doubts
    async with at(live, place) as ada:
        assert ada.doubts == found
        for doubt in found:
            ada.dismiss(doubt)
    async with at(live, place) as ada:
        assert ada.doubts == ()
    return [doubt.cause for doubt in found]


async def test_nothing_is_in_doubt(live: Live, tmp_path: Path) -> None:
    """Whatever a place does itself, through any door, a block that another completes too."""
    place = tmp_path / ADA
    async with person(live, tmp_path, ADA) as ada, at(live, tmp_path / "phone") as phone:
        await phone.join(await carried(ada, phone))
        await ada.recovery_code()
        await ada.refresh()
        tablet = await ada.user.add_device()
        await ada.revoke_device(tablet.signing.public)
        await phone.refresh()
        assert ada.doubts == phone.doubts == ()
    async with Home(place).log(Settings(live.url, live.log_id), Policy()) as log:
        await log.sync()
        await User(log, Home(place).vault).add_device()
    async with at(live, place) as ada:
        await ada.user.close()
        await ada.reset(live.token(ADA, reset_of=0), live.authority)
        assert ada.doubts == ()
    assert await doubted(live, place) == []


async def test_what_was_seen_is_lost(live: Live, tmp_path: Path) -> None:
    await registered(live, tmp_path)
    put_back(tmp_path / "nothing", tmp_path, "trust.db")
    assert await doubted(live, tmp_path) == [Cause.SEEN_LOST]


async def test_what_was_seen_is_an_older_copy(live: Live, tmp_path: Path) -> None:
    place, copy = tmp_path / "place", tmp_path / "copy"
    await registered(live, place)
    shutil.copytree(place, copy)
    await lived_on(live, place)
    put_back(copy, place, "trust.db")
    assert await doubted(live, place) == [Cause.SEEN_OLDER, Cause.WRITTEN_ELSEWHERE]


async def test_the_account_is_an_older_copy(live: Live, tmp_path: Path) -> None:
    place, copy = tmp_path / "place", tmp_path / "copy"
    await registered(live, place)
    shutil.copytree(place, copy)
    ada = await lived_on(live, place)
    added = ada.user.account.devices[-1]
    put_back(copy, place, "account")
    async with at(live, place) as again:
        assert again.doubts == (Doubt(Cause.KEYS_LOST, added.signing.public),)
        await again.encrypt(b"x")  # it stops nothing
        await again.revoke_device(added.signing.public)
    assert await doubted(live, place) == [Cause.KEYS_LOST]


async def test_the_account_is_lost(live: Live, tmp_path: Path) -> None:
    await registered(live, tmp_path)
    (tmp_path / "account").unlink()
    async with at(live, tmp_path) as ada:
        assert [doubt.cause for doubt in ada.doubts] == [Cause.KEYS_LOST]
        assert ada.status is Status.NEEDS_REGISTRATION


async def test_the_whole_place_is_an_older_copy(live: Live, tmp_path: Path) -> None:
    """The log shows a block that this device signed and this place never wrote: no lie."""
    place, copy = tmp_path / "place", tmp_path / "copy"
    await registered(live, place)
    shutil.copytree(place, copy)
    ada = await lived_on(live, place)
    put_back(copy, place)
    async with at(live, place) as again:
        (doubt,) = again.doubts
        assert doubt.cause is Cause.WRITTEN_ELSEWHERE
        block = blocks.parse(entry.parse(doubt.about).body)
        assert again.user.devices[0].signing.public in block.envelope.signers
        assert block.hash == ada.user.state.head
        assert "somebody else has its keys" in doubt.advice
    assert await doubted(live, place) == [Cause.WRITTEN_ELSEWHERE]


async def test_a_thief_writes_with_the_keys(live: Live, tmp_path: Path) -> None:
    """Likewise for who holds the place itself, which goes on all the time."""
    place, stolen = tmp_path / ADA, tmp_path / "stolen"
    async with person(live, tmp_path, ADA) as ada:
        shutil.copytree(place, stolen)
        await ada.user.add_device()
        async with at(live, stolen) as thief:
            await thief.user.add_device()
        await ada.refresh()
        (doubt,) = ada.doubts
        assert doubt.cause is Cause.WRITTEN_ELSEWHERE


async def test_a_thief_lets_somebody_into_a_group(live: Live, tmp_path: Path) -> None:
    """The group's block does not tell who wrote it, its statement does."""
    place, stolen = tmp_path / ADA, tmp_path / "stolen"
    async with person(live, tmp_path, ADA) as ada, person(live, tmp_path, BOB):
        (bob,) = await ada.lookup(BOB)
        team = await ada.create_group({})
        await team.rotate()
        await team.view()
        await ada.refresh()
        shutil.copytree(place, stolen)
        async with at(live, stolen) as thief:
            await thief.group(team.label).add(bob.label)
        assert not ada.doubts
        await ada.refresh()
        assert len(await team.members()) == 2
        (doubt,) = ada.doubts
        assert doubt.cause is Cause.WRITTEN_ELSEWHERE
        assert blocks.parse(entry.parse(doubt.about).body).hash == team.state.head


async def test_a_copy_that_only_read(live: Live, tmp_path: Path) -> None:
    """Nothing tells it from a device that slept."""
    place, copy = tmp_path / ADA, tmp_path / "copy"
    async with person(live, tmp_path, BOB) as bob:
        await registered(live, place)
        shutil.copytree(place, copy)
        async with at(live, place) as ada:
            await ada.lookup(BOB)
            await bob.user.add_device()
            await ada.lookup(BOB)
        put_back(copy, place)
        assert await doubted(live, place) == []


# --- crashes

CHILD = """
import asyncio, os, signal, sys
from ledger import durable
from ledger.client.lookups.trust import Trust
from ledger.client.sdk import Keyroll

async def main(path, url, log_id, at):
    left = int(at)

    def step():
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def after(real):
        def write(*args, **kwargs):
            step()
            done = real(*args, **kwargs)
            step()
            return done
        return write

    durable.sync_directory = after(durable.sync_directory)
    for name in ("keep", "wrote", "remember", "admit"):
        setattr(Trust, name, after(getattr(Trust, name)))
    async with Keyroll.open(path, url, bytes.fromhex(log_id), fresh=0) as me:
        device = await me.user.add_device()
        await me.refresh()
        await me.revoke_device(device.signing.public)
        await me.refresh()

asyncio.run(main(*sys.argv[1:]))
"""


async def test_killed_between_one_file_and_the_other(live: Live, tmp_path: Path) -> None:
    """Wherever a process is killed, nothing is in doubt, and the work can be gone on with."""
    place = tmp_path / "place"
    await registered(live, place)
    killed = 0
    for at_step in (1, 4, 8, 13, 19, 27):
        args = [sys.executable, "-c", CHILD, str(place), live.url, live.log_id.hex(), str(at_step)]
        child = await asyncio.create_subprocess_exec(*args, stderr=asyncio.subprocess.DEVNULL)
        killed += await child.wait() == -9
        async with at(live, place) as ada:
            assert ada.doubts == ()
            await ada.user.resume()
            extra = [one.signing for one in ada.user.state.devices[1:]]
            if extra:
                await ada.revoke_device(*extra)
    assert killed == 6
    assert await doubted(live, place) == []


async def test_before_there_is_anybody(live: Live, tmp_path: Path) -> None:
    async with at(live, tmp_path) as nobody:
        assert nobody.doubts == ()
        with pytest.raises(UsageError):
            await nobody.encrypt(b"x")
