"""Sessions over HTTP: boxes in from who may read, out to whom they are for (R-92.1, R-92.2)."""

from __future__ import annotations

import os

import pytest

from ledger.errors import MalformedInput
from ledger.format.cbor import encode
from ledger.format.sessions import (
    MAX_SESSION_BOXES,
    MAX_SHARED,
    OPEN_PATH,
    SHARE_PATH,
    OpenRequest,
    SessionAnswer,
    SessionBox,
    ShareRequest,
)
from tests.http.practice import SESSION, Practice, box_for, key_of, unsealed


async def test_who_is_let_read_reads(practice: Practice) -> None:
    p = practice
    assert (await p.share(p.ada, box_for(p.ada), box_for(p.bob))).status == 204
    answer = SessionAnswer.decode((await p.open(p.bob)).body)
    (box,) = answer.boxes
    assert answer.commitment == SESSION.commitment
    assert (box.holder, unsealed(box, p.bob.user_key)) == (p.bob.label, SESSION.secret)
    assert await p.holders(p.ada) == {p.ada.label}
    assert await p.holders(p.eve) == set()


async def test_a_group_reads_and_a_group_within_it(practice: Practice) -> None:
    """R-92.2: Bob is in the house by the team; Eve is in neither."""
    p = practice
    assert (await p.share(p.eve, box_for(p.house), box_for(p.team))).status == 204
    assert await p.holders(p.bob) == {p.house.label, p.team.label}
    assert await p.holders(p.ada) == {p.house.label, p.team.label}
    assert await p.holders(p.eve) == set()


async def test_only_who_reads_lets_others_read(practice: Practice) -> None:
    """R-92.1."""
    p = practice
    await p.share(p.ada, box_for(p.ada), box_for(p.team))
    refused = await p.share(p.eve, box_for(p.eve))
    assert (refused.status, refused.rule) == (403, "R-92.1")
    assert (await p.share(p.bob, box_for(p.eve))).status == 204
    assert await p.holders(p.eve) == {p.eve.label}


async def test_the_creator_reads_or_not(practice: Practice) -> None:
    """Who writes to others need not read it later, and can still let others read."""
    p = practice
    await p.share(p.ada, box_for(p.bob))
    assert await p.holders(p.ada) == set()
    assert (await p.share(p.ada, box_for(p.eve))).status == 204


async def test_another_commitment(practice: Practice) -> None:
    p = practice
    await p.share(p.ada, box_for(p.ada))
    refused = await p.share(p.ada, box_for(p.bob), commitment=b"c" * 32)
    assert (refused.status, refused.rule) == (403, "R-92.1")
    assert await p.holders(p.bob) == set()


async def test_a_box_stays_but_for_the_creator(practice: Practice) -> None:
    p = practice
    await p.share(p.ada, box_for(p.ada), box_for(p.bob))
    await p.share(p.bob, box_for(p.ada, b"garbage" + bytes(25)))
    (box,) = SessionAnswer.decode((await p.open(p.ada)).body).boxes
    assert unsealed(box, p.ada.user_key) == SESSION.secret
    await p.share(p.ada, box_for(p.ada, b"another" + bytes(25)))
    (box,) = SessionAnswer.decode((await p.open(p.ada)).body).boxes
    assert unsealed(box, p.ada.user_key) == b"another" + bytes(25)


async def test_the_same_again_changes_nothing(practice: Practice) -> None:
    p, box = practice, box_for(practice.bob)
    for _ in range(2):
        assert (await p.share(p.ada, box)).status == 204
        assert SessionAnswer.decode((await p.open(p.bob)).body).boxes == (box,)


async def test_a_key_that_is_no_longer_current(practice: Practice) -> None:
    """R-92.1: Bob's key changed after Ada looked him up. What he had before he still gets."""
    p = practice
    await p.share(p.ada, box_for(p.bob))
    stale = box_for(p.bob)
    written = p.bob.add(await p.log.anchor(), p.bob.device())
    await p.log.admit(written)
    revoked = written.after.revoke(await p.log.anchor(), 1)
    await p.log.admit(revoked)
    refused = await p.share(p.ada, stale)
    assert (refused.status, refused.kind) == (409, "stale-recipient")
    assert (await p.share(p.ada, box_for(revoked.after))).status == 204
    boxes = SessionAnswer.decode((await p.open(revoked.after)).body).boxes
    assert {box.recipient for box in boxes} == {stale.recipient, key_of(revoked.after).public}


@pytest.mark.parametrize("what", ["nobody", "another's key", "the log", "a closed group"])
async def test_a_recipient_that_is_none(practice: Practice, what: str) -> None:
    p = practice
    bob, key = box_for(p.bob), key_of(p.ada).public
    if what == "a closed group":
        await p.log.admit(p.house.close(await p.log.anchor(), p.ada))
    box = {
        "nobody": SessionBox(b"n" * 32, bob.recipient, bob.box),
        "another's key": SessionBox(p.bob.label, key, bob.box),
        "the log": SessionBox(bytes(32), key, bob.box),
        "a closed group": box_for(p.house),
    }[what]
    refused = await p.share(p.ada, box)
    assert (refused.status, refused.kind, refused.rule) == (409, "stale-recipient", "R-92.1")


async def test_there_is_no_such_session(practice: Practice) -> None:
    answer = await practice.open(practice.ada, b"?" * 32)
    assert (answer.status, answer.kind) == (404, "not-found")


async def test_whoever_else_asks(practice: Practice) -> None:
    """R-72.1: in Ada's name, by Eve's device."""
    p = practice
    await p.share(p.ada, box_for(p.ada))
    request = OpenRequest(p.ada.label, SESSION.id)
    answer = await p.ask(OPEN_PATH, request.encode(), p.eve)
    assert (answer.status, answer.rule) == (403, "R-92.2")
    sharing = ShareRequest(p.ada.label, SESSION.id, SESSION.commitment, (box_for(p.eve),))
    answer = await p.ask(SHARE_PATH, sharing.encode(), p.eve)
    assert (answer.status, answer.rule) == (403, "R-92.1")


async def test_who_left_a_group_reads_no_more(practice: Practice) -> None:
    p = practice
    await p.share(p.ada, box_for(p.team))
    assert await p.holders(p.bob) == {p.team.label}
    removed = p.team.update(await p.log.anchor(), p.ada, removed=[p.bob], rotate=(p.ada,))
    await p.log.admit(removed)
    assert await p.holders(p.bob) == set()
    assert await p.holders(p.ada) == {p.team.label}


async def test_bodies_of_another_shape(practice: Practice) -> None:
    p, box = practice, box_for(practice.bob)
    good = ShareRequest(p.ada.label, SESSION.id, SESSION.commitment, (box,))
    for bad in (
        encode([p.ada.label, SESSION.id, SESSION.commitment, []]),
        encode([p.ada.label, SESSION.id, SESSION.commitment, [box.to_value()] * 2]),
        encode([p.ada.label, SESSION.id, SESSION.commitment, [[*box.place, box.box[:-1]]]]),
        good.encode() + b"\0",
    ):
        assert (await p.ask(SHARE_PATH, bad, p.ada)).status == 400
    assert (await p.ask(OPEN_PATH, encode([p.ada.label]), p.ada)).status == 400


def test_how_much_a_request_takes() -> None:
    def request(count: int) -> bytes:
        boxes = [SessionBox(bytes(32), os.urandom(32), bytes(80)) for _ in range(count)]
        return ShareRequest(bytes(32), bytes(32), bytes(32), tuple(boxes)).encode()

    assert len(ShareRequest.decode(request(MAX_SHARED)).boxes) == MAX_SHARED
    with pytest.raises(MalformedInput):
        ShareRequest.decode(request(MAX_SHARED + 1))


async def test_a_session_has_an_end(practice: Practice) -> None:
    p, private = practice, practice.private
    await p.share(p.ada, box_for(p.ada))
    record = private.session(SESSION.id)
    assert record
    many = [SessionBox(os.urandom(32), bytes(32), bytes(80)) for _ in range(MAX_SESSION_BOXES - 1)]
    assert private.share(SESSION.id, record, many, p.bob.label)
    refused = await p.share(p.ada, box_for(p.bob))
    assert (refused.status, refused.kind) == (413, "too-large")
    assert (await p.share(p.ada, box_for(p.ada))).status == 204
