"""Sealed to people who are not registered yet, with the real log, service and mail server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ledger.app import keys
from ledger.client.pending import WaitingRoom
from ledger.client.sdk import Keyroll
from ledger.client.transport import HttpTransport
from ledger.errors import DeviceGone, NotForYou, Refused, TransportError, UsageError
from ledger.format import pending
from ledger.format import recovery as wire
from ledger.format.sessions import SHARE_PATH
from ledger.seal.halves import halves_of
from ledger.seal.stream import Session
from tests.client.conftest import Live
from tests.client.test_mail_recovery import Town, other, town_at

ADA, BOB, FAY = (f"{name}@example.org" for name in ("ada", "bob", "fay"))


@dataclass
class Ward:
    """A log, a recovery service, Ada and Bob; Fay comes later."""

    live: Live
    town: Town
    path: Path
    ada: Keyroll
    bob: Keyroll
    asked: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def comes(self, name: str = FAY) -> AsyncIterator[Keyroll]:
        """Somebody registers, who may have been here before."""
        async with place_of(self.live, self.path / name, self.town.url) as place:
            if place.status.name != "READY":
                await place.register(self.live.token(name))
            yield place

    async def code(self) -> str:
        """The newest code that Fay got, one mail for each time she is asked."""
        self.asked.append(await self.town.code(FAY, len(self.asked) + 1))
        return self.asked[-1]

    async def waits(self, place: Keyroll) -> int:
        """How much waits for somebody at the log's server."""
        async with HttpTransport(self.live.url) as server:
            return len(await WaitingRoom(place.user, server, server).waiting())


@asynccontextmanager
async def place_of(live: Live, path: Path, service: str | None) -> AsyncIterator[Keyroll]:
    async with Keyroll.open(path, live.url, live.log_id, service=service, fresh=0) as place:
        yield place


@pytest.fixture
async def ward(live: Live, tmp_path: Path) -> AsyncIterator[Ward]:
    async with (
        town_at(tmp_path / "service", live) as town,
        place_of(live, tmp_path / ADA, town.url) as ada,
        place_of(live, tmp_path / BOB, town.url) as bob,
    ):
        await ada.register(live.token(ADA))
        await bob.register(live.token(BOB))
        yield Ward(live, town, tmp_path, ada, bob)


async def nobody() -> str:
    raise AssertionError("nobody is to be asked")


async def test_sealed_before_and_read_after(ward: Ward) -> None:
    sealed = await ward.ada.encrypt(b"welcome", users=[BOB, FAY])
    assert (await ward.bob.decrypt(sealed, author=ADA)).data == b"welcome"
    async with ward.comes() as fay:
        with pytest.raises(NotForYou):
            await fay.decrypt(sealed)
        (session,) = await fay.claim(ward.code)
        assert session.id == (await ward.ada.session(sealed)).id
        assert (await fay.decrypt(sealed, author=ADA)).data == b"welcome"
        answer = await fay.encrypt(b"thank you", session=session)
        assert (await ward.ada.decrypt(answer, author=FAY)).data == b"thank you"
        assert await fay.claim(nobody) == []
        later = await ward.ada.encrypt(b"by the way", users=[FAY])
        assert (await fay.decrypt(later)).data == b"by the way"
        assert await fay.claim(nobody) == []
    async with ward.comes() as again:
        assert (await again.decrypt(sealed)).data == b"welcome"
    assert len(ward.town.box.of(FAY)) == 1


async def test_many_at_once(ward: Ward) -> None:
    """A chat, documents by two people, one that was shared further: one code for all."""
    chat = await ward.ada.begin([BOB, FAY])
    sealed = [await ward.ada.encrypt(text, session=chat) for text in (b"one", b"two")]
    own = await ward.bob.encrypt(b"three", users=[ADA])
    await ward.bob.share(own, [FAY])
    await ward.ada.share(own, [FAY])
    sealed += [own, await ward.bob.encrypt(b"four", users=[FAY])]
    async with ward.comes() as fay:
        assert len(await fay.claim(ward.code)) == 3
        assert [(await fay.decrypt(one)).data for one in sealed] == [
            *(b"one", b"two", b"three", b"four"),
        ]
        assert await ward.waits(fay) == 0
    assert len(ward.town.box.of(FAY)) == 1


async def test_who_reads_the_mail_is_asked_until_it_is_right(ward: Ward) -> None:
    sealed = await ward.ada.encrypt(b"x", users=[FAY])
    tries = iter(["nonsense", "", "right"])

    async def clumsily() -> str:
        code = await ward.town.code(FAY, 1)
        match next(tries):
            case "right":
                return code
            case "":
                return other(code)
            case words:
                return words

    async with ward.comes() as fay:
        assert len(await fay.claim(clumsily)) == 1
        assert (await fay.decrypt(sealed)).data == b"x"


async def test_a_code_that_stays_wrong(ward: Ward) -> None:
    """Five times; another code is then good again."""
    await ward.ada.encrypt(b"x", users=[FAY])

    async def wrong() -> str:
        return other(await ward.town.code(FAY, 1))

    async with ward.comes() as fay:
        with pytest.raises(Refused, match="wrong-code"):
            await fay.claim(wrong)
        assert await ward.waits(fay) == 1
        ward.asked.append("the first")
        assert len(await fay.claim(ward.code)) == 1


async def test_without_a_service(ward: Ward) -> None:
    """R-98.1: what to do is said, and no box was handed in."""
    async with place_of(ward.live, ward.path / ADA, None) as ada:
        for act in (ada.encrypt(b"x", users=[FAY]), ada.begin([BOB, FAY])):
            with pytest.raises(UsageError, match="with a recovery service it can be left"):
                await act
        with pytest.raises(UsageError, match="service="):
            await ada.claim(nobody)
    with pytest.raises(UsageError, match="no address"):
        await ward.ada.encrypt(b"x", users=["staff 7"])
    with pytest.raises(UsageError, match="not in the log"):
        await ward.ada.documents.encrypt(b"x", [b"n" * 32])


async def test_who_registers_meanwhile(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the lookup and the halves: the server says so, and a box is handed in."""
    leave, raced = WaitingRoom.leave, 0

    async def late(self: WaitingRoom, session: Session, absent: dict[str, bytes]) -> None:
        nonlocal raced
        raced += 1
        async with ward.comes():
            pass
        await leave(self, session, absent)

    monkeypatch.setattr(WaitingRoom, "leave", late)
    sealed = await ward.ada.encrypt(b"x", users=[BOB, FAY])
    assert raced == 1
    async with ward.comes() as fay:
        assert (await fay.decrypt(sealed)).data == b"x"
        assert await fay.claim(nobody) == []


async def test_a_key_that_changed_before_it_was_claimed(ward: Ward) -> None:
    sealed = await ward.ada.encrypt(b"x", users=[FAY])
    async with ward.comes() as fay:
        phone = await fay.user.add_device()
        await fay.revoke_device(phone.signing.public)
        await fay.claim(ward.code)
        assert (await fay.decrypt(sealed)).data == b"x"


async def test_by_a_device_that_joined(ward: Ward) -> None:
    """R-98.9: it shows both blocks. One that was revoked meanwhile learns it."""
    sealed = await ward.ada.encrypt(b"x", users=[FAY])
    async with (
        ward.comes() as fay,
        place_of(ward.live, ward.path / "phone", ward.town.url) as phone,
    ):
        await phone.join(await fay.offer(phone.request()))
        await phone.revoke_device(fay.user.devices[0].signing.public)
        with pytest.raises(DeviceGone):
            await fay.claim(nobody)
        assert len(await phone.claim(ward.code)) == 1
        assert (await phone.decrypt(sealed)).data == b"x"


# --- what is not right


async def mail(ward: Ward, session: Session, half: bytes) -> None:
    """Leave a half at the service."""
    enrolment = keys.load(ward.live.app, keys.Role.ENROLMENT).public
    request = pending.HalvesRequest(ward.live.log_id, enrolment, session.id, ((FAY, half),))
    await ward.town.service.post(pending.HALVES_PATH, request.encode(), 0)


async def leave_badly(ward: Ward, session: Session, left: bytes, mailed: bytes) -> None:
    """Bob, a reader, leaves halves that are not the secret's."""
    room = WaitingRoom(ward.bob.user, HttpTransport(ward.live.url), ward.town.service)
    (found,) = await ward.bob.lookup(FAY)
    asked = pending.LeaveRequest(
        ward.bob.user.label, session.id, session.commitment, ((found.label, left),)
    ).encode()
    async with HttpTransport(ward.live.url) as server:
        await server.post(pending.LEAVE_PATH, room._signed(asked, pending.LEAVE_PATH), 0)
    await mail(ward, session, mailed)


async def test_wrong_halves_beside_the_right_ones(ward: Ward) -> None:
    """R-98.7: each is tried with each."""
    sealed = await ward.ada.encrypt(b"x", users=[BOB, FAY])
    await leave_badly(ward, await ward.bob.session(sealed), b"w" * 32, b"v" * 32)
    async with ward.comes() as fay:
        assert await ward.waits(fay) == 2
        assert len(await fay.claim(ward.code)) == 1
        assert (await fay.decrypt(sealed)).data == b"x"
        assert await ward.waits(fay) == 0


async def test_wrong_halves_alone(ward: Ward) -> None:
    """R-98.7: nothing is opened, and nothing is taken out: the right ones may come."""
    sealed = await ward.ada.encrypt(b"x", users=[BOB])
    session = await ward.bob.session(sealed)
    await leave_badly(ward, session, b"w" * 32, b"v" * 32)
    async with ward.comes() as fay:
        assert await fay.claim(ward.code) == []
        assert await ward.waits(fay) == 1
        with pytest.raises(NotForYou):
            await fay.decrypt(sealed)


async def test_a_half_that_never_came(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the log's server alone: nobody is asked for a code that is not sent."""
    sealed = await ward.ada.encrypt(b"x", users=[BOB])
    session = await ward.bob.session(sealed)
    post = HttpTransport.post

    async def lost(self: HttpTransport, path: str, body: bytes, limit: int) -> bytes:
        return b"" if path == pending.HALVES_PATH else await post(self, path, body, limit)

    with monkeypatch.context() as patch:
        patch.setattr(HttpTransport, "post", lost)
        await ward.bob.share(sealed, [FAY])
    async with ward.comes() as fay:
        assert await ward.waits(fay) == 1
        assert await fay.claim(nobody) == []
        _, mailed = halves_of(session, fay.user.label)
        await mail(ward, session, mailed)
        assert len(await fay.claim(ward.code)) == 1
        assert (await fay.decrypt(sealed)).data == b"x"


# --- interrupted, and taken up again


def crash_at(patch: pytest.MonkeyPatch, path: str, after: bool) -> None:
    """A request that gets lost, or whose answer does."""
    ask = HttpTransport._ask

    async def crashing(
        self: HttpTransport, asked: str, limit: int, body: bytes | None = None
    ) -> bytes:
        if asked != path:
            return await ask(self, asked, limit, body)
        if after:
            await ask(self, asked, limit, body)
        raise TransportError("crash")

    patch.setattr(HttpTransport, "_ask", crashing)


Act = Callable[[], Awaitable[object]]


async def interrupted(path: str, after: bool, act: Act) -> None:
    with pytest.MonkeyPatch.context() as patch:
        crash_at(patch, path, after)
        with pytest.raises(TransportError, match="crash"):
            await act()


@pytest.mark.parametrize("path", [pending.HALVES_PATH, pending.LEAVE_PATH, SHARE_PATH])
@pytest.mark.parametrize("after", [False, True])
async def test_leaving_is_interrupted(ward: Ward, path: str, after: bool) -> None:
    """Done again, one half waits in either place: the same as before."""
    documents, session = ward.ada.documents, Session(b"s" * 32, b"t" * 32)
    readers: list[str | bytes] = [ward.ada.user.label, FAY]
    await interrupted(path, after, lambda: documents.share(session, readers))
    await documents.share(session, readers)
    sealed = await ward.ada.encrypt(b"x", session=session)
    async with ward.comes() as fay:
        assert await ward.waits(fay) == 1
        assert await fay.claim(ward.code) == [session]
        assert (await fay.decrypt(sealed)).data == b"x"


CLAIMING = (
    *(pending.WAITING_PATH, pending.ASK_PATH, wire.CODES_PATH, pending.TAKE_PATH, SHARE_PATH),
)


@pytest.mark.parametrize("path", CLAIMING)
@pytest.mark.parametrize("after", [False, True])
async def test_claiming_is_interrupted(ward: Ward, path: str, after: bool) -> None:
    """By a new process: who gave the right code is not asked for another one."""
    sealed = await ward.ada.encrypt(b"x", users=[FAY])

    async def newest() -> str:
        mails = 2 if (path, after) == (pending.ASK_PATH, True) and is_again else 1
        ward.asked.append(await ward.town.code(FAY, mails))
        return ward.asked[-1]

    is_again = False
    async with ward.comes() as fay:
        await interrupted(path, after, lambda: fay.claim(newest))
    is_again = True
    async with ward.comes() as fay:
        done = await fay.claim(newest)
        assert len(done) == (0 if (path, after) == (SHARE_PATH, True) else 1)
        assert (await fay.decrypt(sealed)).data == b"x"
        assert await ward.waits(fay) == 0
    assert not (ward.path / FAY / "claim").exists()
    asked = 2 if path == wire.CODES_PATH else 1
    assert len(ward.asked) == asked
    mails = 2 if (path, after) == (pending.ASK_PATH, True) else 1
    assert len(ward.town.box.of(FAY)) == mails
