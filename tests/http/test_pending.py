"""Halves over HTTP: in from readers for who is not there, out to whoever registered (R-98)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from aiohttp import ClientSession

from ledger.format import pending
from ledger.format.cbor import encode
from ledger.format.pending import (
    LEAVE_PATH,
    WAITING_PATH,
    LeaveRequest,
    Waiting,
    WaitingAnswer,
    WaitingRequest,
)
from ledger.format.sessions import SHARE_PATH, SessionAnswer, ShareRequest
from ledger.seal.halves import halves_of
from ledger.seal.stream import Session
from ledger.store.port import SessionRecord
from tests.http.practice import SESSION, Practice, box_for, practice_at, unsealed
from tests.http.world import PLAIN, Answer, Http, make_home
from tests.server.process import serving
from tests.support.actors import User
from tests.support.shift import Shift

FAY = "fay"


@dataclass
class Desk:
    """Where Fay's halves lie before she comes."""

    practice: Practice

    @property
    def label(self) -> bytes:
        return self.practice.log.actor.label(FAY)

    async def leave(
        self, user: User, session: Session = SESSION, label: bytes = b"", half: bytes = b""
    ) -> Answer:
        label = label or self.label
        halves = ((label, half or halves_of(session, label)[0]),)
        request = LeaveRequest(user.label, session.id, session.commitment, halves)
        return await self.practice.ask(LEAVE_PATH, request.encode(), user)

    async def comes(self) -> User:
        """Fay registers."""
        written = await self.practice.log.user(FAY)
        await self.practice.log.admit(written)
        return written.after

    async def waiting(self, user: User) -> tuple[Waiting, ...]:
        request = WaitingRequest(user.label).encode()
        answer = await self.practice.ask(WAITING_PATH, request, user)
        assert answer.status == 200
        return WaitingAnswer.decode(answer.body).waiting

    async def claim(self, user: User, *holders: User, secret: bytes = SESSION.secret) -> Answer:
        """Add boxes, for oneself if nobody else is named."""
        boxes = tuple(box_for(holder, secret) for holder in holders or (user,))
        request = ShareRequest(user.label, SESSION.id, SESSION.commitment, boxes)
        return await self.practice.ask(SHARE_PATH, request.encode(), user)


@pytest.fixture
async def desk(practice: Practice) -> Desk:
    await practice.share(practice.ada, box_for(practice.ada), box_for(practice.bob))
    return Desk(practice)


HALF = halves_of(SESSION, b"l" * 32)[0]


async def test_left_and_claimed(desk: Desk) -> None:
    """R-98.2, R-98.5, R-98.8."""
    p = desk.practice
    assert (await desk.leave(p.ada)).status == 204
    fay = await desk.comes()
    half, _ = halves_of(SESSION, fay.label)
    assert await desk.waiting(fay) == (Waiting(SESSION.id, SESSION.commitment, p.ada.label, half),)
    assert await desk.waiting(p.eve) == ()
    assert (await desk.claim(fay)).status == 204
    assert await desk.waiting(fay) == ()
    (box,) = SessionAnswer.decode((await p.open(fay)).body).boxes
    assert unsealed(box, fay.user_key) == SESSION.secret
    assert (await desk.claim(fay)).status == 204  # a lost answer: she is a reader now
    assert (await desk.claim(fay, p.eve)).status == 204


async def test_who_claims_adds_a_box_for_themself_only(desk: Desk) -> None:
    """R-92.1, R-98.8."""
    p = desk.practice
    await desk.leave(p.ada)
    refused = await desk.claim(p.eve)
    assert (refused.status, refused.rule) == (403, "R-92.1")  # nothing waits for Eve
    fay = await desk.comes()
    for holders in ((p.eve,), (fay, p.eve)):
        refused = await desk.claim(fay, *holders)
        assert (refused.status, refused.rule) == (403, "R-92.1")
    request = ShareRequest(fay.label, SESSION.id, b"c" * 32, (box_for(fay),))
    refused = await p.ask(SHARE_PATH, request.encode(), fay)
    assert (refused.status, refused.rule) == (403, "R-92.1")
    stale = replace(fay, user_key=p.eve.user_key)
    refused = await desk.claim(fay, stale)
    assert (refused.status, refused.kind) == (409, "stale-recipient")
    assert len(await desk.waiting(fay)) == 1
    another = Session(b"another".ljust(32), SESSION.secret)
    share = ShareRequest(p.ada.label, another.id, another.commitment, (box_for(p.ada),))
    assert (await p.ask(SHARE_PATH, share.encode(), p.ada)).status == 204
    request = ShareRequest(fay.label, another.id, another.commitment, (box_for(fay),))
    assert (await p.ask(SHARE_PATH, request.encode(), fay)).status == 403


async def test_only_readers_leave_halves(desk: Desk) -> None:
    """R-98.2: the creator, who reads, or who begins the session; and who claims it not yet."""
    p = desk.practice
    refused = await desk.leave(p.eve)
    assert (refused.status, refused.rule) == (403, "R-92.1")
    assert (await desk.leave(p.bob)).status == 204
    assert (await desk.leave(p.bob, Session(SESSION.id, b"x" * 32))).status == 403
    new = Session(b"new".ljust(32), b"x" * 32)
    assert (await desk.leave(p.eve, new)).status == 204
    record = p.private.session(new.id)
    assert record
    assert (record.creator, record.commitment) == (p.eve.label, new.commitment)
    fay = await desk.comes()
    refused = await desk.leave(fay, label=b"n" * 32)
    assert (refused.status, refused.rule) == (403, "R-92.1")


async def test_who_registered_meanwhile(desk: Desk) -> None:
    """R-98.2: between lookup and request; what was left before stays theirs to claim."""
    p = desk.practice
    await desk.leave(p.ada)
    fay = await desk.comes()
    refused = await desk.leave(p.bob)
    assert (refused.status, refused.kind, refused.rule) == (409, "stale-recipient", "R-98.2")
    assert [one.sender for one in await desk.waiting(fay)] == [p.ada.label]
    for label in (p.team.label, bytes(32)):
        assert (await desk.leave(p.ada, label=label)).status == 409


async def test_anothers_box_does_not_claim(desk: Desk) -> None:
    """R-98.8: nor can a bad one keep the right one out (R-92.1)."""
    p = desk.practice
    await desk.leave(p.ada)
    fay = await desk.comes()
    assert (await desk.claim(p.bob, fay, secret=b"garbage" + bytes(25))).status == 204
    assert len(await desk.waiting(fay)) == 1
    assert (await desk.claim(fay)).status == 204
    (box,) = SessionAnswer.decode((await p.open(fay)).body).boxes
    assert unsealed(box, fay.user_key) == SESSION.secret
    assert await desk.waiting(fay) == ()


async def test_several_leave_the_same(desk: Desk) -> None:
    """One half a sender; the newest; a claim takes them all."""
    p = desk.practice
    await desk.leave(p.bob, half=b"wrong".ljust(32))
    for _ in range(2):
        await desk.leave(p.ada)
    await desk.leave(p.bob)
    fay = await desk.comes()
    waiting = await desk.waiting(fay)
    assert {one.sender for one in waiting} == {p.ada.label, p.bob.label}
    assert {one.half for one in waiting} == {halves_of(SESSION, fay.label)[0]}
    await desk.claim(fay)
    assert await desk.waiting(fay) == ()


async def test_whoever_else_asks(desk: Desk) -> None:
    """R-98.5, R-72.1: in Fay's name, by Eve's device; in Ada's name, too."""
    p = desk.practice
    await desk.leave(p.ada)
    fay = await desk.comes()
    for label in (fay.label, b"n" * 32):
        answer = await p.ask(WAITING_PATH, WaitingRequest(label).encode(), p.eve)
        assert (answer.status, answer.rule) == (403, "R-98.5")
    request = LeaveRequest(p.ada.label, SESSION.id, SESSION.commitment, ((b"l" * 32, HALF),))
    answer = await p.ask(LEAVE_PATH, request.encode(), p.eve)
    assert (answer.status, answer.rule) == (403, "R-98.2")
    answer = await p.log.post(WAITING_PATH, WaitingRequest(fay.label).encode())
    assert answer.status == 400


async def test_bodies_of_another_shape(desk: Desk) -> None:
    p, pair = desk.practice, [b"l" * 32, HALF]
    good: list[object] = [p.ada.label, SESSION.id, SESSION.commitment, [pair]]
    for bad in ([*good[:3], []], [*good[:3], [pair, pair]], [*good[:3], [pair] * 65], good[:3]):
        answer = await p.ask(LEAVE_PATH, encode(bad), p.ada)  # type: ignore[arg-type]
        assert answer.status == 400
    assert (await p.ask(LEAVE_PATH, encode(good), p.ada)).status == 204  # type: ignore[arg-type]
    assert (await p.ask(WAITING_PATH, encode([]), p.ada)).status == 400


async def test_for_thirty_days(tmp_path: Path) -> None:
    """R-98.3: left again, they wait from then on."""
    shift = Shift()
    async with practice_at(tmp_path / "log", shift) as practice:
        desk, ada = Desk(practice), practice.ada
        other = Session(b"other".ljust(32), b"x" * 32)
        await desk.leave(ada)
        await desk.leave(ada, other)
        fay = await desk.comes()
        shift.by += pending.LIFE // 2
        await desk.practice.ask(WAITING_PATH, WaitingRequest(fay.label).encode(), fay)
        shift.by += pending.LIFE // 2 - 60_000
        assert len(await desk.waiting(fay)) == 2
        shift.by += 120_000
        assert await desk.waiting(fay) == ()
        refused = await desk.claim(fay)
        assert (refused.status, refused.rule) == (403, "R-92.1")


# --- limits, and what survives: at the store where there is much of it


def sessions(count: int, prefix: bytes = b"") -> list[Session]:
    return [Session((prefix + b"%d" % number).ljust(32), b"s" * 32) for number in range(count)]


def fill(p: Practice, sender: bytes, pairs: list[tuple[Session, bytes]]) -> bool:
    """Leave halves as `sender`; whether all found room."""
    done = [
        p.private.leave(
            one.id, SessionRecord(sender, one.commitment), [(label, HALF)], sender, p.now()
        )
        for one, label in pairs
    ]
    return all(done)


async def test_one_sender_leaves_so_much_for_one(desk: Desk) -> None:
    """R-98.2: 64; what is there may be left again; others still find room."""
    p = desk.practice
    mine = sessions(pending.MAX_OF_ONE)
    assert fill(p, p.ada.label, [(one, desk.label) for one in mine])
    refused = await desk.leave(p.ada)
    assert (refused.status, refused.kind, refused.rule) == (429, "too-many", "R-98.2")
    assert (await desk.leave(p.ada, mine[0])).status == 204
    assert (await desk.leave(p.ada, label=b"l" * 32)).status == 204
    assert (await desk.leave(p.bob)).status == 204


async def test_all_leave_so_much_for_one(desk: Desk) -> None:
    """R-98.2: 256; a claim makes room."""
    p = desk.practice
    for number in range(pending.MAX_WAITING // pending.MAX_OF_ONE):
        sender = bytes([number]) * 32
        assert fill(
            p, sender, [(one, desk.label) for one in sessions(pending.MAX_OF_ONE, sender[:1])]
        )
    assert (await desk.leave(p.ada)).status == 429
    assert len(p.private.waiting(desk.label, p.now())) == pending.MAX_WAITING
    first = sessions(1, bytes(1))[0]
    record = p.private.session(first.id)
    assert record
    assert p.private.share(first.id, record, [box_for(p.ada)], p.ada.label)
    assert (await desk.leave(p.ada)).status == 429  # that was for Ada
    claimed = replace(box_for(p.ada), holder=desk.label)
    assert p.private.share(first.id, record, [claimed], desk.label)
    assert (await desk.leave(p.ada)).status == 204


async def test_one_sender_leaves_so_much_at_all(desk: Desk) -> None:
    """R-98.2: 1,024, and nothing of the request that has one more; old ones make room."""
    p = desk.practice
    (one,) = sessions(1)
    many = [((b"%d" % number).ljust(32), HALF) for number in range(pending.MAX_SENT - 1)]
    begun = SessionRecord(p.ada.label, one.commitment)
    assert p.private.leave(one.id, begun, many, p.ada.label, p.now())
    two = ((b"y" * 32, HALF), (b"z" * 32, HALF))
    request = LeaveRequest(p.ada.label, SESSION.id, SESSION.commitment, two)
    assert (await p.ask(LEAVE_PATH, request.encode(), p.ada)).status == 429
    assert p.private.waiting(b"y" * 32, p.now()) == []
    assert (await desk.leave(p.ada)).status == 204
    record = p.private.session(one.id)
    assert record
    later = p.now() + pending.LIFE
    assert p.private.leave(one.id, record, [(b"y" * 32, HALF)], p.ada.label, later)
    assert p.private.waiting(desk.label, later - 60_000) != []  # 256 are forgotten at a time
    for _ in range(4):
        assert p.private.leave(one.id, record, [(b"y" * 32, HALF)], p.ada.label, later)
    assert p.private.waiting(desk.label, later - 60_000) == []
    assert len(p.private.waiting(b"y" * 32, later)) == 1


async def test_a_power_cut(tmp_path: Path) -> None:
    """What was acknowledged is there after it: what was left, and that something was claimed."""
    home, other = make_home(tmp_path / "log"), Session(b"other".ljust(32), b"x" * 32)
    async with ClientSession(headers=PLAIN) as http:
        async with serving(home.path) as server:
            log = Http(server.url, http)
            written = await log.user("ada")
            await log.admit(written)
            ada = written.after
            desk = Desk(Practice(log, ada, ada, ada, None, None, None))  # type: ignore[arg-type]
            assert (await desk.leave(ada)).status == 204
            assert (await desk.leave(ada, other)).status == 204
            fay = await desk.comes()
            assert (await desk.claim(fay)).status == 204
            await server.kill()
        async with serving(home.path) as server:
            log.url = server.url
            assert [one.session for one in await desk.waiting(fay)] == [other.id]
            answer = await desk.practice.open(fay)
            assert len(SessionAnswer.decode(answer.body).boxes) == 1
