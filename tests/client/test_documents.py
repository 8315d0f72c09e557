"""Documents at the real server: sealed to verified people and groups, to nobody else (R-92.3)."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from unittest.mock import AsyncMock

import pytest
from nacl.bindings import crypto_box_seal

from ledger.client.documents import Documents, parse_preamble
from ledger.client.group.group import Group
from ledger.client.lookups.pins import Found, Pin
from ledger.client.transport import HttpTransport
from ledger.client.user.account import Account, MemoryVault
from ledger.client.user.user import User
from ledger.errors import BadSignature, MalformedInput, NotAccepted, NotForYou, UsageError
from ledger.format import cose
from ledger.format.bodies import DeviceKind
from ledger.format.group_boxes import GroupBoxesAnswer
from ledger.format.keys import EncryptionKey
from ledger.format.login import authenticate
from ledger.format.sessions import SHARE_PATH, SessionBox, ShareRequest
from ledger.format.wire import StatementAnswer, StatementRequest
from ledger.log.clock import wall_ms
from ledger.rules.membership import Kind
from ledger.rules.users import LoudEvent
from ledger.seal.boxes import seal
from ledger.seal.stream import PIECE, Sealer, Session
from tests.client.conftest import Live
from tests.client.light_world import AUDITED
from tests.client.people import GROUP, MEMBER, People, change_key, twin
from tests.client.test_light_session import light

ADA, BOB, EVE = (f"{name}@example.org" for name in ("ada", "bob", "eve"))


@asynccontextmanager
async def documents(live: Live, user: User) -> AsyncIterator[Documents]:
    async with light(live, user.account) as log, HttpTransport(live.url) as server:
        yield Documents(user, log, server, fresh=0)


async def read_by(live: Live, user: User, sealed: bytes) -> bytes | None:
    """What a user reads of it, who has seen nothing before; nothing if it is not for them."""
    await user.log.sync()
    async with documents(live, user) as own:
        try:
            return (await own.decrypt(sealed)).data
        except NotForYou:
            return None


async def rotate_quietly(user: User) -> None:
    """Give a user a new user key in a way that is not loud."""
    phone, _ = await user.add_device(), await user.add_device()
    await user.revoke_devices(phone.signing.public)


async def test_a_message(live: Live, people: People) -> None:
    ada, bob, eve = people.ada, people.bob, people.eve
    async with documents(live, ada) as own:
        sealed = await own.encrypt(b"hello", [BOB])
    assert b"hello" not in sealed
    assert await read_by(live, bob, sealed) == b"hello"
    assert await read_by(live, ada, sealed) == b"hello"
    assert await read_by(live, eve, sealed) is None


async def test_who_wrote_it(live: Live, people: People) -> None:
    ada, bob = people.ada, people.bob
    async with documents(live, ada) as own, documents(live, bob) as his:
        sealed = await own.encrypt(b"hello", [BOB])
        author = (await his.decrypt(sealed)).author
        assert (author.label, author.identifier, author.live) == (ada.label, None, True)
        with pytest.raises(BadSignature, match=r"R-90\.6"):
            await his.decrypt(sealed, author=ADA)  # not looked up yet: nobody proved the name
        await his.light.lookup(ADA, EVE)
        assert (await his.decrypt(sealed, author=ADA)).author.identifier == ADA
        with pytest.raises(BadSignature, match=r"R-90\.6"):
            await his.decrypt(sealed, author=EVE)


async def test_a_chat(live: Live, people: People) -> None:
    """One session, many messages, by several authors; a reader who comes later reads all."""
    ada, bob, eve = people.ada, people.bob, people.eve
    async with documents(live, ada) as own, documents(live, bob) as his:
        chat = await own.begin([BOB])
        first = await own.encrypt(b"how are you?", session=chat)
        found = await his.session(parse_preamble(first))
        second = await his.encrypt(b"fine", session=found)
        assert (await own.decrypt(second)).author.label == bob.label
        assert await read_by(live, eve, first) is None
        await his.share(found, [EVE])
    assert [await read_by(live, eve, one) for one in (first, second)] == [b"how are you?", b"fine"]


async def test_a_group_and_a_group_within_it(live: Live, people: People) -> None:
    ada, bob, eve = people.ada, people.bob, people.eve
    desk = await Group.create(ada, {bob.label: MEMBER})
    team = await Group.create(ada, {desk.label: GROUP}, kind=Kind.COMPOUND)
    async with documents(live, ada) as own:
        sealed = await own.encrypt(b"findings", groups=[team.label])
    assert await read_by(live, bob, sealed) == b"findings"
    assert await read_by(live, eve, sealed) is None
    await desk.add(eve.label)
    assert await read_by(live, eve, sealed) == b"findings"


async def test_to_read_takes_no_look_at_the_group(
    live: Live, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R-72.8: a box that makes the recipient's key is enough; lies only cost the longer way."""
    ada, bob = people.ada, people.bob
    team = await Group.create(ada, {bob.label: MEMBER})
    async with documents(live, ada) as own:
        sealed = await own.encrypt(b"hello", groups=[team.label])
    log, asked = bob.log, list[bytes]()
    statements = log.statements

    async def counted(request: StatementRequest, signer: cose.Signer) -> StatementAnswer:
        asked.append(request.group)
        return await statements(request, signer)

    monkeypatch.setattr(log, "statements", counted)
    assert await read_by(live, bob, sealed) == b"hello"
    assert not asked
    (recipient, box), *_ = (await bob.group_boxes(team.label)).boxes
    other = EncryptionKey(b"\1" * 32)
    for boxes in (
        (),
        ((other.public, box),),
        ((recipient, box[:-1] + bytes([box[-1] ^ 1])),),
        ((recipient, seal(other, recipient)),),
    ):
        bob.writer._vault.save(replace(bob.account, group_keys=()))
        lie = AsyncMock(return_value=GroupBoxesAnswer(boxes))
        monkeypatch.setattr(log, "group_boxes", lie)
        assert await read_by(live, bob, sealed) == b"hello"
        assert asked.pop() == team.label


async def test_a_removed_member_reads_nothing_new(live: Live, people: People) -> None:
    ada, bob = people.ada, people.bob
    desk = await Group.create(ada, {bob.label: MEMBER})
    async with documents(live, ada) as own:
        before = await own.encrypt(b"before", groups=[desk.label])
        await desk.remove(bob.label)
        after = await own.encrypt(b"after", groups=[desk.label])
    assert await read_by(live, bob, before) is None  # the server no longer gives him its box
    assert await read_by(live, bob, after) is None
    assert await read_by(live, ada, after) == b"after"


async def test_a_stale_group_is_not_sealed_to(live: Live, people: People) -> None:
    """Nor is it rotated by a member who is no admin."""
    ada, bob = people.ada, people.bob
    desk = await Group.create(ada, {bob.label: MEMBER})
    await change_key(bob)
    async with documents(live, bob) as his:
        with pytest.raises(UsageError, match=r"stale \(R-56\.11\): have an admin"):
            await his.encrypt(b"x", groups=[desk.label])
        await ada.log.sync()
        await desk.rotate()
        sealed = await his.encrypt(b"x", groups=[desk.label])
    assert await read_by(live, ada, sealed) == b"x"


async def test_an_admin_rotates_a_stale_group_first(live: Live, people: People) -> None:
    """The group in the group too: one's key changed, so both are stale."""
    ada, bob = people.ada, people.bob
    desk = await Group.create(ada, {bob.label: MEMBER})
    team = await Group.create(ada, {desk.label: GROUP}, kind=Kind.COMPOUND)
    await change_key(bob)
    async with documents(live, ada) as own:
        sealed = await own.encrypt(b"x", groups=[team.label])
        await own.encrypt(b"y", groups=[team.label])
    assert (desk.state.generation, team.state.generation) == (1, 1)
    assert await read_by(live, bob, sealed) == b"x"


async def test_an_admin_of_the_outer_group_alone(live: Live, people: People) -> None:
    """Who may not rotate the group within is told that an admin has to."""
    ada, bob, eve = people.ada, people.bob, people.eve
    desk = await Group.create(ada, {bob.label: MEMBER})
    team = await Group.create(eve, {desk.label: GROUP}, kind=Kind.COMPOUND)
    await change_key(bob)
    async with documents(live, eve) as own:
        with pytest.raises(UsageError, match=r"stale \(R-56\.11\): have an admin"):
            await own.encrypt(b"x", groups=[team.label])
    assert (desk.state.generation, team.state.generation) == (0, 0)


async def test_something_loud_stops_it_until_it_is_accepted(live: Live, people: People) -> None:
    ada, bob = people.ada, people.bob
    async with documents(live, ada) as own:
        await own.encrypt(b"x", [BOB])
        bob = await people.reset(bob)
        with pytest.raises(NotAccepted, match=BOB) as caught:
            await own.encrypt(b"y", [BOB])
        assert caught.value.names == (BOB,)
        (pin,) = caught.value.people
        assert isinstance(pin, Pin)
        assert [event.kind for event in pin.events] == [LoudEvent.RESET]
        own.light.accept(pin)
        sealed = await own.encrypt(b"y", [BOB])
    assert await read_by(live, bob, sealed) == b"y"


async def test_a_strange_device_of_ones_own_stops_it(live: Live, people: People) -> None:
    """An alarm over one's own chain is as loud as can be."""
    ada = people.ada
    async with documents(live, ada) as own:
        await own.encrypt(b"x", [BOB])
        phone = await ada.add_device()
        vault = MemoryVault()
        vault.save(Account(live.log_id, ada.identity, (phone,), ada.account.user_keys))
        await User(ada.log, vault).add_device(kind=DeviceKind.ORDINARY)
        with pytest.raises(NotAccepted) as caught:
            await own.encrypt(b"y", [BOB])
        assert caught.value.names == (ADA,)


@pytest.mark.parametrize("who", ["nobody@example.org", "closed", "group"])
async def test_nobody_there(live: Live, people: People, who: str) -> None:
    ada = people.ada
    of: str | bytes = who
    if who == "closed":
        await people.eve.close()
        of = EVE
    if who == "group":
        of = (await Group.create(ada, {})).label
    async with documents(live, ada) as own:
        with pytest.raises(UsageError, match=r"not in the log|closed|is a group"):
            await own.encrypt(b"x", [of])
        with pytest.raises(UsageError, match="nobody may read"):
            await own.share(Session(bytes(32), bytes(32)))


async def test_what_came_before_a_rotation_stays_readable(live: Live, people: People) -> None:
    bob = people.bob
    async with documents(live, people.ada) as own:
        sealed = await own.encrypt(b"old", [BOB])
    await change_key(bob)
    await change_key(bob)
    assert await read_by(live, twin(bob), sealed) == b"old"


async def test_who_signed_with_a_device_that_is_gone(live: Live, people: People) -> None:
    ada = people.ada
    async with documents(live, ada) as own:
        sealed = await own.encrypt(b"x", [BOB])
    gone = ada.devices[0].signing.public
    await ada.add_device()
    await ada.revoke_devices(gone)
    await people.bob.log.sync()
    async with documents(live, people.bob) as his:
        author = (await his.decrypt(sealed)).author
    assert (author.device, author.live) == (gone, False)


async def test_a_key_that_changes_between(
    live: Live, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R-92.1: the server refuses a box for a key that is no longer current; it is made anew."""
    bob, raced = people.bob, False
    async with documents(live, people.ada) as own:
        hand_in = own._readers._hand_in

        async def late(session: Session, boxes: list[SessionBox]) -> None:
            nonlocal raced
            if not raced:
                raced = True
                await rotate_quietly(bob)
            await hand_in(session, boxes)

        monkeypatch.setattr(own._readers, "_hand_in", late)
        sealed = await own.encrypt(b"x", [BOB])
    assert raced
    assert await read_by(live, bob, sealed) == b"x"


async def test_who_was_looked_up_is_not_looked_up_again_at_once(
    live: Live, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    async with light(live, people.ada.account) as log, HttpTransport(live.url) as server:
        own = Documents(people.ada, log, server, fresh=60_000)
        lookup = log.lookup

        async def counted(*of: str | bytes) -> list[Found]:
            asked.append(len(of))
            return await lookup(*of)

        monkeypatch.setattr(log, "lookup", counted)
        await own.encrypt(b"x", [BOB])
        await own.encrypt(b"y", [BOB, EVE])
        assert asked == [2, 1]  # Ada and Bob, then Eve
        log.clock = lambda: wall_ms() + 61_000
        await own.encrypt(b"z", [BOB, EVE])
        assert asked == [2, 1, 3]


# --- a server, and readers, that do not keep to it


async def test_a_box_that_holds_something_else(live: Live, people: People) -> None:
    """R-92.3: what does not fit the author's commitment is as good as no box."""
    ada, bob = people.ada, people.bob
    async with documents(live, ada) as own:
        sealed = await own.encrypt(b"x", [BOB])
        preamble = parse_preamble(sealed)
        assert bob.state.user_key
        garbage = crypto_box_seal(b"another secret".ljust(32), bob.state.user_key)
        share = ShareRequest(
            ada.label,
            preamble.session,
            preamble.commitment,
            (SessionBox(bob.label, bob.state.user_key, garbage),),
        )
        body = authenticate(
            share.encode(), SHARE_PATH, ada.author().signing, live.log_id, wall_ms()
        )
        await own._readers._server.share(body)
    assert await read_by(live, bob, sealed) is None


async def test_a_text_passed_on_as_the_authors(live: Live, people: People) -> None:
    """Bob can read, so he can seal under the same secret; he can't sign as Ada."""
    ada, bob = people.ada, people.bob
    async with documents(live, ada) as own, documents(live, bob) as his:
        sealed = await own.encrypt(b"yes", [BOB])
        session = await his.session(parse_preamble(sealed))
        preamble = session.preamble(live.log_id, resource=os.urandom(32), author=ada.label)
        sealer = Sealer(session, preamble, bob.author().signing)
        forged = b"".join([sealer.start(), *sealer.update(b"no"), *sealer.finish()])
        with pytest.raises(BadSignature, match=r"R-90\.6"):
            await own.decrypt(forged)


Alter = Callable[[bytes], bytes]
ALTERED: dict[str, Alter] = {
    "cut": lambda sealed: sealed[:-1],
    "longer": lambda sealed: sealed + b"\0",
    "text": lambda sealed: sealed[:210] + bytes([sealed[210] ^ 1]) + sealed[211:],
    "magic": lambda sealed: b"K" + sealed[1:],
    "empty": lambda sealed: b"",
}


@pytest.mark.parametrize("how", ALTERED)
async def test_altered_on_its_way(live: Live, people: People, how: str, tmp_path: Path) -> None:
    async with documents(live, people.ada) as own:
        sealed = ALTERED[how](await own.encrypt(b"hello", [BOB]))
        with pytest.raises(MalformedInput, match=r"R-90"):
            await own.decrypt(sealed)
        folder = tmp_path / "letters"
        folder.mkdir()
        target = folder / "opened"
        target.write_bytes(b"what was there")
        with pytest.raises(MalformedInput, match=r"R-90"):
            await own.decrypt_file(BytesIO(sealed), target)
        assert target.read_bytes() == b"what was there"
        assert os.listdir(folder) == ["opened"]  # nor anything beside it


async def test_a_file(live: Live, people: People, tmp_path: Path) -> None:
    data = os.urandom(5 * PIECE + 7)
    source, done = BytesIO(data), list[int]()
    target = BytesIO()
    async with documents(live, people.ada) as own:
        await own.encrypt_file(source, target, [BOB], padded=True, progress=done.append)
        assert done[-1] == len(data)
        found = await own.decrypt_file(BytesIO(target.getvalue()), tmp_path / "opened")
    assert (found.length, found.data) == (len(data), b"")
    assert (tmp_path / "opened").read_bytes() == data


async def test_audited_lookups_do_for_people(live: Live, people: People) -> None:
    """Groups need replayed chains, and say so."""
    async with (
        light(live, people.ada.account, policy=AUDITED) as log,
        HttpTransport(live.url) as server,
    ):
        with pytest.raises(UsageError, match="replay"):
            Documents(people.ada, log, server)
