"""When nobody may encrypt to a group (R-56.11): each reason, beside the nearest that is none."""

from __future__ import annotations

from ledger.format.statement import Role
from ledger.rules.membership import Kind
from ledger.rules.stale import Cause, Reason, reasons
from ledger.rules.state import GroupState
from tests.client.scene import ADMIN, GROUP, MEMBER, Scene
from tests.support.actors import User
from tests.support.groups import Group


def stale(
    scene: Scene,
    group: Group | None = None,
    leaving: frozenset[bytes] = frozenset(),
    nested: dict[bytes, tuple[Reason, ...]] | None = None,
) -> list[tuple[bytes, Cause]]:
    """Why the team, or another group, is stale."""
    return [(reason.label, reason.cause) for reason in told(scene, group, leaving, nested)]


def told(
    scene: Scene,
    group: Group | None = None,
    leaving: frozenset[bytes] = frozenset(),
    nested: dict[bytes, tuple[Reason, ...]] | None = None,
) -> tuple[Reason, ...]:
    group = group or scene.team
    chain = scene.log.chain(group.label)
    assert chain
    assert isinstance(chain.state, GroupState)
    return reasons(chain.state, group.membership, leaving, scene.log.chain, (nested or {}).get)


def test_a_new_group_is_not() -> None:
    assert stale(Scene.make()) == []


def test_a_key_that_changed() -> None:
    scene = Scene.make()
    phone = scene.admit(scene.bob.add(scene.log.anchor))
    assert stale(scene) == []  # another device reads with the same user key
    scene.bob = scene.admit(phone.revoke(scene.log.anchor, 1))
    index = scene.steps(scene.bob.label)[-1].index
    assert told(scene) == (Reason(scene.bob.label, Cause.KEY_CHANGED, index),)
    scene.update(scene.ada, rotate=[scene.ada, scene.bob])
    assert stale(scene) == []


def test_a_key_that_changed_after_the_anchor_but_before_the_block() -> None:
    """What the author had not seen counts as unseen, whoever the boxes are for."""
    scene = Scene.make()
    phone = scene.admit(scene.bob.add(scene.log.anchor))
    anchor = scene.log.anchor
    scene.bob = scene.admit(phone.revoke(scene.log.anchor, 1))
    scene.team = scene.admit(scene.team.update(anchor, scene.ada, rotate=[scene.ada, scene.bob]))
    (reason,) = told(scene)
    assert (reason.cause, reason.index) == (Cause.KEY_CHANGED, anchor.size)  # the very next leaf
    scene.update(scene.ada, rotate=[scene.ada, scene.bob])
    assert stale(scene) == []


def test_who_joins_later_counts_from_then() -> None:
    """Eve got her key after the group's last rotation, but before she came in."""
    scene = Scene.make()
    phone = scene.admit(scene.eve.add(scene.log.anchor))
    scene.eve = scene.admit(phone.revoke(scene.log.anchor, 1))
    scene.update(scene.ada, {scene.eve: MEMBER})
    assert stale(scene) == []
    phone = scene.admit(scene.eve.add(scene.log.anchor))
    scene.eve = scene.admit(phone.revoke(scene.log.anchor, 1))
    assert stale(scene) == [(scene.eve.label, Cause.KEY_CHANGED)]


def test_who_is_reset_or_closed() -> None:
    scene = Scene.make()
    scene.bob = scene.admit(scene.bob.reset(scene.actor, scene.log.anchor))
    assert stale(scene) == [(scene.bob.label, Cause.NOT_LIVE)]
    scene.update(scene.ada, {scene.bob: MEMBER}, rotate=[scene.ada, scene.bob])
    assert stale(scene) == []
    scene.admit(scene.bob.close(scene.log.anchor))
    assert stale(scene) == [(scene.bob.label, Cause.NOT_LIVE)]
    scene.update(scene.ada, removed=[scene.bob], rotate=[scene.ada])
    assert stale(scene) == []


def test_who_asked_to_leave() -> None:
    scene = Scene.make()
    assert stale(scene, leaving=frozenset({scene.eve.label})) == []
    asked = frozenset({scene.bob.label})
    assert stale(scene, leaving=asked) == [(scene.bob.label, Cause.LEAVES)]


def test_groups_in_a_group() -> None:
    scene = Scene.make()
    roles: dict[User | Group, Role] = {scene.eve: ADMIN, scene.team: GROUP}
    written = Group.create("house", scene.log.anchor, scene.eve, roles, kind=Kind.COMPOUND)
    house, team = scene.admit(written), scene.team.label
    assert stale(scene, house, nested={team: ()}) == []
    assert stale(scene, house) == [(team, Cause.NOT_LIVE)]  # it is no flat group
    phone = scene.admit(scene.bob.add(scene.log.anchor))
    scene.bob = scene.admit(phone.revoke(scene.log.anchor, 1))
    inner = told(scene)
    assert told(scene, house, nested={team: inner}) == (Reason(team, Cause.STALE, None, inner),)
    scene.update(scene.ada, rotate=[scene.ada, scene.bob])
    assert stale(scene, house, nested={team: ()}) == [(team, Cause.KEY_CHANGED)]
    members = [scene.eve, scene.team]
    house = scene.admit(house.update(scene.log.anchor, scene.eve, rotate=members))
    assert stale(scene, house, nested={team: ()}) == []
    scene.admit(scene.team.close(scene.log.anchor, scene.ada))
    assert stale(scene, house, nested={team: ()}) == [(team, Cause.NOT_LIVE)]
