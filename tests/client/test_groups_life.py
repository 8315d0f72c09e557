"""Groups at a real server: who is in, who holds the keys, and what makes a group stale."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ledger.client.group import compose_groups
from ledger.client.group.group import Group
from ledger.client.user.compose import Boxes, sealed
from ledger.errors import (
    MalformedInput,
    Refused,
    RuleViolation,
    UsageError,
)
from ledger.format import wire
from ledger.format.bodies import MAX_TIME
from ledger.format.keys import EncryptionKey
from ledger.rules.membership import Kind
from ledger.rules.stale import Cause
from tests.client.conftest import Live
from tests.client.people import (
    ADMIN,
    GROUP,
    MEMBER,
    People,
    causes,
    change_key,
    replica_of,
    roles,
    twin,
)
from tests.client.test_user import meddled


async def test_a_life(people: People) -> None:
    ada, bob, eve = people.ada, people.bob, people.eve
    team = await Group.create(ada, {bob.label: MEMBER})
    bobs = Group(bob, team.label)
    assert roles(await bobs.members()) == {ada.label: ADMIN, bob.label: MEMBER}
    assert (await bobs.key()).public == team.state.encryption
    await team.add(eve.label, role=ADMIN)
    eves = Group(eve, team.label)
    assert (await eves.key()) == (await team.key())
    assert (await eves.keys.signer()) == (await team.keys.signer())
    assert await team.stale() == ()
    await eves.remove(bob.label)
    assert roles(await team.members()) == {ada.label: ADMIN, eve.label: ADMIN}
    await team.set_role(eve.label, MEMBER)
    assert roles(await eves.members()) == {ada.label: ADMIN, eve.label: MEMBER}
    assert team.state.generation == 2
    # Who made the keys holds them before anybody else does, without asking for a box.
    assert ada.account.group_key(team.state.encryption)
    assert ada.account.group_signer(team.state.signing)
    await team.close()
    assert team.state.closed
    await team.close()  # done already
    with pytest.raises(UsageError, match="closed"):
        await team.add(bob.label)
    assert roles(await eves.members()) == {ada.label: ADMIN, eve.label: MEMBER}
    last = await team.key()
    assert await Group(twin(eve), team.label).key() == last  # a closed group's last members
    replica_of(people.ada).check()


async def test_what_is_done_is_not_done_twice(people: People) -> None:
    team = await Group.create(people.ada, {people.bob.label: MEMBER})
    await team.add(people.eve.label)
    await team.set_role(people.eve.label, ADMIN)
    await team.add(people.eve.label, people.bob.label)  # she keeps her role
    await team.set_role(people.eve.label, ADMIN)
    await team.remove(people.bob.label)
    await team.remove(people.bob.label)
    assert [deed.step.block.seq for deed in team.deeds()] == [0, 1, 2, 3]
    assert roles(await team.members())[people.eve.label] == ADMIN


async def test_what_makes_no_sense(people: People) -> None:
    ada, bob, eve = people.ada, people.bob, people.eve
    team = await Group.create(ada, {bob.label: MEMBER})
    for act, words in (
        (team.add(bytes(32)), "no user or group"),
        (team.remove(eve.label), "is not in the group"),
        (team.remove(ada.label), "ask to leave"),
        (team.set_role(eve.label, ADMIN), "add them first"),
        (team.set_role(ada.label, MEMBER), "another admin takes it"),
        (Group(ada, ada.label).members(), "no group"),
        (Group(ada, b"\1" * 32).rotate(), "no group"),
        (Group(bob, team.label).rotate(), "no admin"),
        (team.why("bob@example.org"), "name the label"),
        (team.key(1), "no keys of generation 1"),
    ):
        with pytest.raises(UsageError, match=words):
            await act
    assert len(team.deeds()) == 1


# --- keys


async def test_old_keys_come_out_of_boxes(people: People) -> None:
    """Whoever holds the newest opens the ones before, admins and members alike (R-55.4)."""
    team = await Group.create(people.ada, {people.bob.label: MEMBER})
    secrets = [await team.key()]
    for _ in range(3):
        await team.rotate()
        secrets.append(await team.key())
    await team.add(people.eve.label)
    assert len({secret.public for secret in secrets}) == 4
    for user in (people.ada, people.bob, people.eve):
        group = Group(twin(user), team.label)
        assert await group.key(1) == secrets[1]
        assert [await group.key(number) for number in range(4)] == secrets
    assert await Group(twin(people.ada), team.label).keys.signer() == await team.keys.signer()
    with pytest.raises(UsageError, match="its admins have it"):
        await Group(people.bob, team.label).keys.signer()


async def test_a_member_whose_key_changed_since(people: People) -> None:
    """The box was sealed to a user key that the member has left behind."""
    team = await Group.create(people.ada, {people.bob.label: MEMBER})
    await change_key(people.bob)
    await change_key(people.bob)
    assert await Group(twin(people.bob), team.label).key() == await team.key()


BoxLie = Callable[[wire.BoxAnswer], wire.BoxAnswer]
BOX_LIES: list[BoxLie] = [
    lambda a: wire.BoxAnswer(a.count + 1, a.box, a.proof),
    lambda a: wire.BoxAnswer(a.count, bytes(80), a.proof),
    lambda a: wire.BoxAnswer(a.count, a.box, a.proof[:-1]),
    lambda a: wire.BoxAnswer(a.count, a.box, a.proof[::-1]),
]


@pytest.mark.parametrize("lie", BOX_LIES)
async def test_a_wrong_box_is_not_opened(live: Live, lie: BoxLie) -> None:
    async with meddled(live) as (log, transport):
        people = await People.register(live, log)
        members = {people.bob.label: MEMBER, people.eve.label: MEMBER}
        team = await Group.create(people.ada, members)
        bobs, honest = Group(people.bob, team.label), transport.box_from

        async def box(request: bytes) -> bytes:
            return lie(wire.BoxAnswer.decode(await honest(request))).encode()

        transport.box_from = box
        with pytest.raises(MalformedInput):
            await bobs.key()
        assert people.bob.account.group_keys == ()
        transport.box_from = honest
        assert await bobs.key() == await team.key()


async def test_an_admin_who_hands_over_other_keys(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The box is where it should be, but what is in it is not the key (R-55.4): rotate."""
    ada, bob = people.ada, people.bob
    other = EncryptionKey(b"\1" * 32)

    def spoilt(handovers: list[tuple[bytes, EncryptionKey]]) -> Boxes:
        key = bob.state.user_key
        return sealed([(r, other if r == key else secret) for r, secret in handovers])

    with monkeypatch.context() as patched:
        patched.setattr(compose_groups, "sealed", spoilt)
        team = await Group.create(ada, {bob.label: MEMBER})
    bobs = Group(bob, team.label)
    with pytest.raises(MalformedInput, match=r"R-55\.4.*another key"):
        await bobs.key()
    await team.rotate()
    assert await bobs.key() == await team.key()


# --- staleness, and what the next act does about it


async def test_a_member_resets(people: People) -> None:
    """A reset ends a membership; an admin's next act removes, nobody is re-added by itself."""
    ada, bob, eve = people.ada, people.bob, people.eve
    team = await Group.create(ada, {bob.label: ADMIN})
    bob = await people.reset(bob)
    assert await causes(team) == {(bob.label, Cause.NOT_LIVE)}
    assert roles(await team.members()) == {ada.label: ADMIN}
    with pytest.raises(UsageError, match="none of them"):
        await Group(bob, team.label).members()
    await team.add(eve.label)
    assert (await team.stale(), team.state.generation) == ((), 1)
    assert roles(await team.members()) == {ada.label: ADMIN, eve.label: MEMBER}
    await team.add(bob.label)
    assert roles(await team.members())[bob.label] == MEMBER
    assert (await Group(bob, team.label).key()) == await team.key()


async def test_who_was_reset_is_put_in_again_at_once(people: People) -> None:
    ada, bob = people.ada, people.bob
    team = await Group.create(ada, {bob.label: ADMIN})
    bob = await people.reset(bob)
    await team.add(bob.label)
    assert (await team.stale(), team.state.generation, len(team.deeds())) == ((), 1, 2)
    entry = (await team.view()).membership.entry(bob.label)
    assert entry
    assert (entry.epoch, entry.role) == (1, MEMBER)
    assert await Group(bob, team.label).key() == await team.key()


async def test_a_member_closes(people: People) -> None:
    team = await Group.create(people.ada, {people.bob.label: MEMBER, people.eve.label: MEMBER})
    await people.bob.close()
    assert await causes(team) == {(people.bob.label, Cause.NOT_LIVE)}
    with pytest.raises(UsageError, match="closed"):
        await team.add(people.bob.label)
    await team.rotate()
    assert set(roles(await team.members())) == {people.ada.label, people.eve.label}


async def test_a_members_key_changes(people: People) -> None:
    ada, bob, eve = people.ada, people.bob, people.eve
    team = await Group.create(ada, {bob.label: MEMBER})
    await bob.add_device()
    assert await team.stale() == ()
    await change_key(bob)
    (reason,) = await team.stale()
    assert (reason.label, reason.cause) == (bob.label, Cause.KEY_CHANGED)
    assert reason.index == bob.state.user_key_index
    await team.add(eve.label)
    assert (await team.stale(), team.state.generation) == ((), 1)
    assert set(roles(await team.members())) == {ada.label, bob.label, eve.label}
    assert await Group(bob, team.label).key() == await team.key()


async def test_leave_then_rotation(people: People) -> None:
    """A wish stands until an admin acts; it does not outlive the stay."""
    ada, bob, eve = people.ada, people.bob, people.eve
    team = await Group.create(ada, {bob.label: MEMBER, eve.label: MEMBER})
    bobs = Group(bob, team.label)
    await bobs.leave()
    assert await causes(team) == await causes(bobs) == {(bob.label, Cause.LEAVES)}
    assert bob.label in roles(await team.members())
    await team.set_role(eve.label, ADMIN)
    assert (await team.stale(), team.state.generation) == ((), 1)
    assert set(roles(await team.members())) == {ada.label, eve.label}
    await team.add(bob.label)
    assert await team.stale() == ()


async def test_an_admin_who_wants_to_leave(people: People) -> None:
    """Others see to it; until then the admin may act, without removing themselves."""
    ada, bob, eve = people.ada, people.bob, people.eve
    team = await Group.create(ada, {bob.label: ADMIN})
    await team.leave()
    await team.add(eve.label)
    assert await causes(team) == {(ada.label, Cause.LEAVES)}
    assert team.state.generation == 0
    await Group(bob, team.label).rotate()
    with pytest.raises(UsageError, match="none of them now"):
        await team.members()
    assert set(roles(await Group(eve, team.label).members())) == {bob.label, eve.label}


async def test_an_only_admin_does_not_leave(people: People) -> None:
    """Nobody could carry it out, and the group would be stale for ever."""
    ada, bob = people.ada, people.bob
    team = await Group.create(ada, {bob.label: MEMBER})
    with pytest.raises(UsageError, match="nobody else is an admin"):
        await team.leave()
    await team.set_role(bob.label, ADMIN)
    await bob.close()
    with pytest.raises(UsageError, match="nobody else is an admin"):
        await team.leave()
    bob = await people.reset(bob)
    await team.add(bob.label, role=ADMIN)
    await team.leave()
    assert await causes(team) == {(ada.label, Cause.LEAVES)}


# --- who may


async def test_a_removed_member(people: People) -> None:
    ada, bob = people.ada, people.bob
    team = await Group.create(ada, {bob.label: ADMIN})
    bobs = Group(bob, team.label)
    old = await bobs.key()
    await team.remove(bob.label)
    for asked in (bobs.members(), bobs.key(), bobs.add(people.eve.label), bobs.leave()):
        with pytest.raises(UsageError, match="none of them now"):
            await asked
    assert bob.account.group_key(old.public) == old  # what was read stays readable
    assert team.state.encryption != old.public


async def test_a_sender_who_was_let_read(people: People) -> None:
    ada, eve = people.ada, people.eve
    team = await Group.create(ada, {people.bob.label: MEMBER})
    eves = Group(eve, team.label)
    with pytest.raises(UsageError, match="none of them"):
        await eves.members()
    with pytest.raises(Refused, match="403"):
        await Group(people.bob, team.label).grant(eve.label, expiry=1)
    await Group(people.bob, team.label).grant(eve.label, MAX_TIME)
    assert set(roles(await eves.members())) == {ada.label, people.bob.label}
    with pytest.raises(UsageError, match="not handed to you"):
        await eves.key()
    await team.remove(people.bob.label)
    with pytest.raises(UsageError, match="none of them"):
        await eves.members()


async def test_why(people: People) -> None:
    ada, bob, eve = people.ada, people.bob, people.eve
    team = await Group.create(ada, {bob.label: MEMBER})
    await team.add(eve.label)
    await team.set_role(bob.label, ADMIN)
    await Group(bob, team.label).set_role(eve.label, ADMIN)
    (because,) = await Group(eve, team.label).why("eve@example.org")
    assert because.through is None
    told = [(deed.step.block.seq, deed.terms.author) for deed in because.deeds]
    assert told == [(1, ada.label), (3, bob.label)]
    for deed in because.deeds:
        data = replica_of(eve).entry(deed.step.index)
        assert deed.step.block.raw in data
    await team.remove(eve.label)
    assert await team.why(eve.label) == ()


# --- groups in groups


async def test_nested_groups(people: People) -> None:
    """Members of a flat group hold the compound group's keys through its key."""
    ada, bob, eve = people.ada, people.bob, people.eve
    team = await Group.create(ada, {bob.label: MEMBER})
    house = await Group.create(eve, {team.label: GROUP}, kind=Kind.COMPOUND)
    bobs = Group(bob, house.label)
    ways = {(m.label, m.role, m.through) for m in await bobs.members()}
    assert ways == {
        (eve.label, ADMIN, None),
        (ada.label, MEMBER, team.label),
        (bob.label, MEMBER, team.label),
    }
    assert await bobs.key() == await house.key()
    (because,) = await house.why(bob.label)
    assert (because.through, len(because.deeds), len(because.within)) == (team.label, 1, 1)
    assert (because.deeds[0].terms.author, because.within[0].terms.author) == (eve.label, ada.label)
    with pytest.raises(UsageError, match="ask that one"):
        await bobs.leave()

    await Group(bob, team.label).leave()
    (reason,) = await house.stale()
    assert (reason.label, reason.cause) == (team.label, Cause.STALE)
    assert [(r.label, r.cause) for r in reason.within] == [(bob.label, Cause.LEAVES)]
    await team.rotate()
    assert await causes(house) == {(team.label, Cause.KEY_CHANGED)}
    old = await bobs.key(0)  # what he held, he holds
    await house.rotate()
    assert await house.stale() == ()
    assert await Group(twin(ada), house.label).key(0) == old
    assert await Group(ada, house.label).key() == await house.key()
    with pytest.raises(UsageError, match="none of them"):
        await bobs.members()


async def test_a_group_that_is_closed_is_void(people: People) -> None:
    ada, bob, eve = people.ada, people.bob, people.eve
    team = await Group.create(ada, {bob.label: MEMBER})
    house = await Group.create(eve, {team.label: GROUP}, kind=Kind.COMPOUND)
    await team.close()
    assert await causes(house) == {(team.label, Cause.NOT_LIVE)}
    assert set(roles(await house.members())) == {eve.label}
    with pytest.raises(UsageError, match="closed"):
        await house.add(team.label)
    await house.add(bob.label)
    assert (await house.stale(), house.state.generation) == ((), 1)
    assert set(roles(await house.members())) == {eve.label, bob.label}


async def test_groups_hold_one_level(people: People) -> None:
    """R-56.7, R-56.10: a flat group holds no group, a compound one no compound one."""
    ada, eve = people.ada, people.eve
    team = await Group.create(ada)
    house = await Group.create(eve, {team.label: GROUP}, kind=Kind.COMPOUND)
    with pytest.raises(RuleViolation, match=r"R-56\.7"):
        await team.add(house.label)
    town = await Group.create(ada, kind=Kind.COMPOUND)
    with pytest.raises(RuleViolation, match=r"R-56\.10"):
        await town.add(house.label)
    assert ada.account.pending is None
    await town.add(team.label, eve.label)
    assert {m.through for m in await town.members()} == {None, team.label}
