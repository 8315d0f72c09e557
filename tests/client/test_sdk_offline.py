"""Without a server: what was opened here opens again, and nothing is sealed to anybody new."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ledger.client import kept, transport
from ledger.client.home import Home
from ledger.client.kept import KeptSessions
from ledger.client.sdk import Keyroll, Status
from ledger.errors import BadSignature, DeviceGone, TransportError, UsageError
from ledger.format.sealed import Preamble
from ledger.seal.lock import Lock
from ledger.seal.stream import Sealer, Session
from tests.client.conftest import Live
from tests.client.test_sdk import ADA, BOB, EVE, at, person
from tests.client.test_sdk_devices import carried

NOBODY = "http://127.0.0.1:9"


@asynccontextmanager
async def offline(
    live: Live, path: Path, patch: pytest.MonkeyPatch, lock: Lock | None = None
) -> AsyncIterator[Keyroll]:
    """A place whose server can't be reached."""
    with patch.context() as patched:
        patched.setattr(transport, "_FIRST_PAUSE", 0.001)
        async with Keyroll.open(path, NOBODY, live.log_id, lock=lock) as place:
            yield place


async def test_a_chat_goes_on(live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with person(live, tmp_path, BOB) as bob:
        async with person(live, tmp_path, ADA) as ada:
            chat = await ada.begin([BOB])
            first = await ada.encrypt(b"one", session=chat)
            second = await bob.encrypt(b"two", session=await bob.session(first))
            online = await ada.decrypt(second)
        third = await bob.encrypt(b"three", session=await bob.session(first))
        async with offline(live, tmp_path / ADA, monkeypatch) as ada:
            assert ada.status is Status.READY
            for sealed, data in ((second, b"two"), (third, b"three")):
                found = await ada.decrypt(sealed, author=BOB)
                assert (found.data, found.author.identifier) == (data, BOB)
                assert found.author.as_of == online.author.as_of
            answer = await ada.encrypt(b"four", session=await ada.session(third))
        assert (await bob.decrypt(answer)).author.label == ada.user.label


async def test_as_of_when(live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that was revoked since is not known to be, and the answer tells how old it is."""
    async with person(live, tmp_path, BOB) as bob, person(live, tmp_path, ADA) as ada:
        sealed = await bob.encrypt(b"x", users=[ADA])
        before = (await ada.decrypt(sealed)).author
        async with at(live, tmp_path / "phone") as phone:
            await phone.join(await carried(bob, phone))
            await phone.revoke_device(before.device)
        async with offline(live, tmp_path / ADA, monkeypatch) as away:
            found = (await away.decrypt(sealed)).author
            assert (found.live, found.as_of) == (True, before.as_of)
        after = (await ada.decrypt(sealed)).author
        assert not after.live
        assert after.as_of > before.as_of


async def test_a_device_that_was_not_seen_yet(
    live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may well be the author's: nobody is said to have forged anything."""
    async with person(live, tmp_path, BOB) as bob, person(live, tmp_path, ADA) as ada:
        sealed = await bob.encrypt(b"x", users=[ADA])
        await ada.decrypt(sealed)
        async with at(live, tmp_path / "phone") as phone:
            await phone.join(await carried(bob, phone))
            later = await phone.encrypt(b"y", session=await phone.session(sealed))
        async with offline(live, tmp_path / ADA, monkeypatch) as away:
            with pytest.raises(TransportError, match="not seen yet"):
                await away.decrypt(later)
            assert (await away.decrypt(sealed)).data == b"x"
        assert (await ada.decrypt(later, author=BOB)).data == b"y"


async def test_what_takes_the_server(
    live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        person(live, tmp_path, ADA) as ada,
        person(live, tmp_path, BOB) as bob,
        person(live, tmp_path, EVE) as eve,
    ):
        mine = await ada.encrypt(b"x", users=[BOB])
        await bob.share(mine, [EVE])
        hers = await eve.encrypt(b"by somebody new", session=await eve.session(mine))
        unread = await bob.encrypt(b"y", users=[ADA])
        group = await ada.create_group({})
        async with offline(live, tmp_path / ADA, monkeypatch) as away:
            assert (await away.decrypt(mine)).data == b"x"
            for doing in (
                away.encrypt(b"y", users=[BOB]),
                away.encrypt(b"y", groups=[group.label]),
                away.encrypt(b"y"),
                away.begin([BOB]),
                away.share(mine, [EVE]),
                away.decrypt(unread),
                away.decrypt(hers),
                away.decrypt(mine, author=EVE),
                away.refresh(),
            ):
                with pytest.raises(TransportError):
                    await doing


async def test_somebody_elses_signature(
    live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader who passes a text on as another's is believed neither with a server nor without."""
    async with person(live, tmp_path, ADA) as ada, person(live, tmp_path, BOB) as bob:
        sealed = await bob.encrypt(b"x", users=[ADA])
        session = await ada.session(sealed)
        await ada.decrypt(sealed)
        preamble = session.preamble(live.log_id, resource=bytes(32), author=bob.user.label)
        sealer = Sealer(session, preamble, ada.user.author().signing)
        forged = b"".join([sealer.start(), *sealer.update(b"y"), *sealer.finish()])
        async with offline(live, tmp_path / ADA, monkeypatch) as away:
            with pytest.raises(TransportError):
                await away.decrypt(forged)
        with pytest.raises(BadSignature, match=r"R-90\.6"):
            await ada.decrypt(forged)


async def test_who_is_gone_stays_gone(
    live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with person(live, tmp_path, ADA) as ada:
        sealed = await ada.encrypt(b"x")
        async with at(live, tmp_path / "phone") as phone:
            await phone.join(await carried(ada, phone))
            await phone.revoke_device(ada.user.devices[0].signing.public)
        with pytest.raises(DeviceGone):
            await ada.decrypt(sealed)
    async with offline(live, tmp_path / ADA, monkeypatch) as away:
        assert away.status is Status.GONE
        for doing in (away.decrypt(sealed), away.encrypt(b"x", session=await away.session(sealed))):
            with pytest.raises(DeviceGone):
                await doing


async def test_before_anything_was_seen(
    live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(TransportError):
        async with offline(live, tmp_path / "new", monkeypatch):
            pass


async def test_under_the_lock(live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock, path = Lock.by_secret(bytes(range(32))), tmp_path / "ada"
    async with at(live, path, lock) as ada:
        await ada.register(live.token(ADA))
        sealed = await ada.encrypt(b"x")
        secret = (await ada.session(sealed)).secret
    for file in path.rglob("*"):
        assert not file.is_file() or secret not in file.read_bytes(), file
    async with offline(live, path, monkeypatch, lock) as away:
        assert (await away.decrypt(sealed)).data == b"x"
    Home(path, lock).relock(None)
    async with offline(live, path, monkeypatch) as away:
        with pytest.raises(TransportError):
            await away.decrypt(sealed)
    async with at(live, path) as ada:
        assert (await ada.decrypt(sealed)).data == b"x"
    with pytest.raises(UsageError, match="not locked"):
        async with at(live, path, lock):
            pass


# --- the file


def a_session(number: int = 0) -> tuple[Session, Preamble]:
    session = Session(number.to_bytes(32), bytes(32))
    return session, session.preamble(bytes(32), resource=bytes(32), author=bytes(32))


LOCKS = (None, Lock.by_secret(b"a" * 32), Lock.by_secret(b"b" * 32))


@pytest.mark.parametrize("lock", LOCKS)
def test_what_is_kept(tmp_path: Path, lock: Lock | None) -> None:
    """For whoever has the same lock, or none as before; nobody else finds it (R-94.4)."""
    session, preamble = a_session()
    with KeptSessions.open(tmp_path / "s", lock) as ours, KeptSessions.open(tmp_path / "s") as bare:
        assert ours.find(preamble) is None
        ours.keep(session)
        ours.keep(session)
        assert ours.find(preamble) == session
        assert bare.find(preamble) == (None if lock else session)
        for other in LOCKS:
            with KeptSessions.open(tmp_path / "s", other) as another:
                assert (another.find(preamble) == session) == (other is lock)
        _, elsewhere = a_session(1)
        assert ours.find(elsewhere) is None
    kept.delete(tmp_path / "s")
    assert list(tmp_path.iterdir()) == []


def test_the_newest_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MOST", 3)
    with KeptSessions.open(tmp_path / "s") as ours:
        for number in (0, 1, 2, 0, 3):
            ours.keep(a_session(number)[0])
        found = [ours.find(a_session(number)[1]) is not None for number in range(4)]
        assert found == [True, False, True, True]


@pytest.mark.parametrize("lock", LOCKS[:2])
@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE sessions SET secret = zeroblob(length(secret))",
        "UPDATE sessions SET secret = substr(secret, 2)",
        "UPDATE sessions SET secret = x''",
        "UPDATE sessions SET secret = (SELECT max(secret) FROM sessions)",
    ],
)
def test_what_is_not_what_it_is_kept_as(tmp_path: Path, lock: Lock | None, damage: str) -> None:
    """R-94.5: a secret counts only if it fits the commitment."""
    one, preamble = Session(bytes(32), b"1" * 32), None
    with KeptSessions.open(tmp_path / "s", lock) as ours:
        ours.keep(one)
        ours.keep(Session(bytes(32), b"2" * 32))
        preamble = one.preamble(bytes(32), resource=bytes(32), author=bytes(32))
        assert ours.find(preamble) == one
        ours._db.execute(damage)
        second = Session(bytes(32), b"2" * 32)
        other = second.preamble(bytes(32), resource=bytes(32), author=bytes(32))
        assert not (ours.find(preamble) == one and ours.find(other) == second)
        for found in (ours.find(preamble), ours.find(other)):
            assert found in (None, one, second)


async def test_two_at_one_file(tmp_path: Path) -> None:
    with KeptSessions.open(tmp_path / "s") as ours, KeptSessions.open(tmp_path / "s") as theirs:

        async def write(to: KeptSessions, numbers: range) -> None:
            for number in numbers:
                to.keep(a_session(number)[0])
                await asyncio.sleep(0)

        await asyncio.gather(write(ours, range(30)), write(theirs, range(30, 60)))
        assert all(ours.find(a_session(number)[1]) for number in range(60))
