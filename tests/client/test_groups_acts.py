"""Wishes to leave, members by every way, and what an admin's act brings with it: all pure."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ledger.client.group.groups import (
    Change,
    leaving,
    roster,
    settled,
)
from ledger.format.statement import Put, sign_leave
from ledger.rules.membership import Entry, Kind, Membership
from ledger.rules.stale import Cause, Reason
from ledger.rules.state import UserState
from tests.client.scene import ADMIN, GROUP, MEMBER, Scene
from tests.support.groups import Group


@pytest.fixture
def scene() -> Scene:
    return Scene.make()


# --- wishes to leave


def wishes(scene: Scene, *leaves: bytes) -> frozenset[bytes]:
    known, log = scene.team.membership, scene.log
    return leaving(scene.team.label, known, leaves, log.chain, log.log_id)


def test_a_wish_counts_while_the_stay_lasts(scene: Scene) -> None:
    wish = scene.team.leave(scene.bob).raw
    assert wishes(scene, wish) == {scene.bob.label}
    scene.update(scene.ada, {scene.bob: ADMIN})
    assert wishes(scene, wish) == {scene.bob.label}
    scene.update(scene.ada, removed=[scene.bob], rotate=[scene.ada])
    assert wishes(scene, wish) == frozenset()
    scene.update(scene.ada, {scene.bob: MEMBER})
    assert wishes(scene, wish) == frozenset()  # this is another stay
    assert wishes(scene, wish, scene.team.leave(scene.bob).raw) == {scene.bob.label}


def test_a_wish_of_a_device_that_is_gone(scene: Scene) -> None:
    phone = scene.admit(scene.bob.add(scene.log.anchor))
    wish = scene.team.leave(phone, device=1).raw
    assert wishes(scene, wish) == {scene.bob.label}
    scene.admit(phone.revoke(scene.log.anchor, 1))
    assert wishes(scene, wish) == frozenset()


def test_a_wish_of_an_epoch_that_passed(scene: Scene) -> None:
    """Who was reset is no member; the entry that is left of them says nothing."""
    bob = scene.admit(scene.bob.reset(scene.actor, scene.log.anchor))
    stay = scene.team.stay(scene.bob)
    assert wishes(scene, sign_leave(bob.devices[0].signing, scene.log.log_id, stay)) == frozenset()
    later = replace(stay, epoch=1)
    assert wishes(scene, sign_leave(bob.devices[0].signing, scene.log.log_id, later)) == frozenset()
    scene.update(scene.ada, {bob: MEMBER}, rotate=[scene.ada, bob])
    assert wishes(scene, scene.team.leave(bob).raw) == {bob.label}


def test_nobody_wishes_for_others(scene: Scene) -> None:
    stay = scene.team.stay(scene.bob)
    eves = scene.eve.devices[0].signing
    forged = sign_leave(eves, scene.log.log_id, stay)
    own = scene.team.leave(scene.bob).raw
    elsewhere = sign_leave(scene.bob.devices[0].signing, bytes(32), stay)
    other = sign_leave(
        scene.bob.devices[0].signing, scene.log.log_id, replace(stay, group=b"\1" * 32)
    )
    assert wishes(scene, forged, elsewhere, other, own[:-1] + b"\0", b"", own[:-1]) == frozenset()
    assert wishes(scene, forged, own) == {scene.bob.label}


# --- members, and what an admin's act brings with it


def test_members_of_a_compound_group(scene: Scene) -> None:
    house = Group.create(
        "house",
        scene.log.anchor,
        scene.eve,
        {scene.eve: ADMIN, scene.team: GROUP},
        kind=Kind.COMPOUND,
    )
    scene.admit(house)
    known, nested = house.after.membership, {scene.team.label: scene.team.membership}

    def ways() -> set[tuple[bytes, int, bytes | None]]:
        return {(m.label, m.role, m.through) for m in roster(known, scene.log.chain, nested)}

    through = scene.team.label
    everybody = {
        (scene.eve.label, ADMIN, None),
        (scene.ada.label, MEMBER, through),
        (scene.bob.label, MEMBER, through),
    }
    assert ways() == everybody
    scene.admit(scene.bob.close(scene.log.anchor))
    assert ways() == everybody - {(scene.bob.label, MEMBER, through)}
    assert {m.label for m in roster(known, scene.log.chain, {})} == {scene.eve.label}
    scene.admit(scene.team.close(scene.log.anchor, scene.ada))
    assert ways() == {(scene.eve.label, ADMIN, None)}


A, B, C, D = (letter * 32 for letter in (b"a", b"b", b"c", b"d"))
KNOWN = Membership(0, (Entry(A, 0, 1, 5), Entry(B, 0, 0, 5), Entry(C, 0, 1, 5)))
NEW, RAISED = Put(D, 0, 0), Put(B, 0, 1)
GONE, WISH, KEY = (
    Reason(B, Cause.NOT_LIVE),
    Reason(B, Cause.LEAVES),
    Reason(B, Cause.KEY_CHANGED, 9),
)
NOBODY = frozenset[bytes]()

SETTLED: list[tuple[str, Change, tuple[Reason, ...], Change]] = [
    ("nothing", Change(), (), Change()),
    ("somebody new", Change((NEW,)), (), Change((NEW,))),
    ("a member rises", Change((RAISED,)), (), Change((RAISED,))),
    ("what is so already", Change((Put(B, 0, 0), Put(C, 0, 1))), (), Change()),
    ("an admin falls", Change((Put(C, 0, 0),)), (), Change((Put(C, 0, 0),), NOBODY, True)),
    ("a new epoch", Change((Put(B, 1, 0),)), (GONE,), Change((Put(B, 1, 0),), NOBODY, True)),
    ("somebody goes", Change(removed=frozenset({B})), (), Change((), frozenset({B}), True)),
    ("who is gone already", Change(removed=frozenset({D})), (), Change()),
    ("new keys", Change(rotate=True), (), Change(rotate=True)),
    ("somebody new, another gone", Change((NEW,)), (GONE,), Change((NEW,), frozenset({B}), True)),
    ("another wants to leave", Change((NEW,)), (WISH,), Change((NEW,), frozenset({B}), True)),
    ("another has a new key", Change((NEW,)), (KEY,), Change((NEW,), NOBODY, True)),
    ("the author wants to leave", Change((NEW,)), (Reason(A, Cause.LEAVES),), Change((NEW,))),
    ("a group in it is stale", Change((NEW,)), (Reason(B, Cause.STALE),), Change((NEW,))),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "reasons", "expected"), [x[1:] for x in SETTLED], ids=[x[0] for x in SETTLED]
)
def test_what_has_to_go_with_a_change(
    change: Change, reasons: tuple[Reason, ...], expected: Change
) -> None:
    assert settled(KNOWN, reasons, change, A) == expected


def test_the_scene_is_what_it_says(scene: Scene) -> None:
    chain = scene.log.chain(scene.ada.label)
    assert chain
    assert isinstance(chain.state, UserState)
    assert scene.before(scene.ada.label, chain.state.index) is None
