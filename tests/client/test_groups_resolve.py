"""What statements resolve to, by rules alone: who is in, why, and which rule catches which lie.

The log's operator is on the liars' side here: every block is in the log, whatever its statement.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from ledger.client.group.groups import (
    Deed,
    generations,
    naming,
    retell,
    why,
)
from ledger.errors import LogMisbehaved
from ledger.format.bodies import BlockType, GroupCreate
from ledger.format.statement import Statement, Terms, sign_statement
from tests.client.scene import ADMIN, GROUP, MEMBER, Scene
from tests.support.actors import User, Written
from tests.support.groups import Group


@pytest.fixture
def scene() -> Scene:
    return Scene.make()


def busy(scene: Scene) -> None:
    """A member comes in, rises, falls, goes, comes back; another is reset and put in again."""
    ada, bob, eve = scene.ada, scene.bob, scene.eve
    scene.update(ada, {eve: MEMBER})
    scene.update(ada, {eve: ADMIN})
    scene.update(eve, {bob: ADMIN})
    scene.update(ada, {eve: MEMBER}, rotate=[ada, bob, eve])
    scene.update(ada, removed=[eve], rotate=[ada, bob])
    scene.update(bob, {eve: MEMBER})
    scene.eve = scene.admit(eve.reset(scene.actor, scene.log.anchor))
    scene.update(ada, {scene.eve: MEMBER}, rotate=[ada, bob, scene.eve])


def test_who_is_in(scene: Scene) -> None:
    busy(scene)
    deeds = scene.deeds()
    assert [deed.step.block.seq for deed in deeds] == list(range(8))
    assert deeds[-1].after == scene.team.membership
    assert [(e.label, e.epoch, e.role) for e in deeds[-1].after.entries] == [
        (scene.ada.label, 0, ADMIN),
        (scene.bob.label, 0, ADMIN),
        (scene.eve.label, 1, MEMBER),
    ]
    keys = generations(deeds)
    assert [key.deed.step.block.seq for key in keys] == [0, 4, 5, 7]
    assert keys[-1].encryption == scene.team.encryption.public
    assert list(retell(scene.steps(scene.team.label), scene.statements[scene.team.label])) == deeds


def test_from_anywhere_on_it_is_the_same(scene: Scene) -> None:
    busy(scene)
    deeds = scene.deeds()
    for cut in range(1, len(deeds) + 1):
        assert scene.deeds(deeds[cut - 1].resolved) == deeds[cut:]


def test_why(scene: Scene) -> None:
    busy(scene)
    deeds, eve = scene.deeds(), scene.eve.label

    def seqs(found: Sequence[Deed]) -> list[int]:
        return [deed.step.block.seq for deed in found]

    assert seqs(why(deeds[:3], eve)) == [1, 2]
    assert seqs(why(deeds[:5], eve)) == [1, 2, 4]
    assert seqs(why(deeds[:6], eve)) == []
    assert seqs(why(deeds[:7], eve)) == [6]
    assert seqs(why(deeds, eve)) == [7]  # with a new epoch
    assert seqs(why(deeds, scene.bob.label)) == [0, 3]
    assert why(deeds, bytes(32)) == ()
    assert seqs(naming(deeds, eve)) == [1, 2, 4, 5, 6, 7]
    assert deeds[3].terms.author == eve


# --- statements that are missing, or others


def test_a_withheld_statement(scene: Scene) -> None:
    busy(scene)
    given = scene.statements[scene.team.label]
    for count in range(len(given)):
        with pytest.raises(LogMisbehaved, match=f"block {count} of the group .* is withheld") as e:
            scene.deeds(statements=given[:count])
        assert e.value.evidence == {"block": scene.steps(scene.team.label)[count].block.raw}


def test_another_statement(scene: Scene) -> None:
    busy(scene)
    given = scene.statements[scene.team.label]
    for wrong in ([given[1], given[0]], [given[0] + b"\0"], [given[0][:-1]], [b""]):
        with pytest.raises(LogMisbehaved, match=r"R-56\.2.*block 0.*another") as caught:
            scene.deeds(statements=wrong)
        assert caught.value.evidence["statement"] == wrong[0]
    assert len(scene.deeds(statements=[*given, b"more"])) == len(given)


# --- lies, each beside the nearest truth


def restated(scene: Scene, change: Callable[[Terms], Terms], signer: User) -> Written[Group]:
    """Ada makes Bob an admin, but with other terms, or signed by another's device."""
    honest = scene.team.update(scene.log.anchor, scene.ada, {scene.bob: ADMIN})
    assert honest.statement
    terms = change(Statement.parse(honest.statement).terms)
    statement = sign_statement(signer.devices[0].signing, scene.log.log_id, terms)
    raw = scene.team.block(BlockType.GROUP_UPDATE, terms, statement, scene.team)
    return replace(honest, raw=raw, statement=statement)


def test_what_is_true_passes(scene: Scene) -> None:
    scene.admit(restated(scene, lambda terms: terms, scene.ada))
    assert scene.deeds()[-1].after.admits(scene.bob.label, 0)


OTHER_TERMS: list[tuple[str, str, Callable[[Terms], Terms]]] = [
    ("another group", "R-56.3", lambda t: replace(t, group=bytes(32))),
    ("another seq", "R-56.3", lambda t: replace(t, seq=t.seq + 1)),
    ("another prev", "R-56.3", lambda t: replace(t, prev=b"\1" * 32)),
    ("another key", "R-56.3", lambda t: replace(t, encryption=b"\1" * 32)),
    ("another action", "R-56.3", lambda t: replace(t, action=0)),
    ("nobody as author", "R-56.4", lambda t: replace(t, author=bytes(32))),
    ("nobody removed", "R-56.6", lambda t: replace(t, removed=(b"\1" * 32,))),
    ("another membership", "R-56.9", lambda t: replace(t, membership=bytes(32))),
    ("nothing put", "R-56.8", lambda t: replace(t, put=())),
]


@pytest.mark.parametrize(
    ("rule", "change"), [x[1:] for x in OTHER_TERMS], ids=[x[0] for x in OTHER_TERMS]
)
def test_other_terms(scene: Scene, rule: str, change: Callable[[Terms], Terms]) -> None:
    written = restated(scene, change, scene.ada)
    scene.admit(written)
    refused(scene, rule, written)


def refused(scene: Scene, rule: str, written: Written[Any] | None = None) -> None:
    """The newest block is refused for `rule`, and its statement is the evidence."""
    statement = scene.statements[scene.team.label][-1]
    with pytest.raises(LogMisbehaved, match=rule.replace(".", r"\.")) as caught:
        scene.deeds()
    assert caught.value.evidence["statement"] == statement
    assert caught.value.evidence["block"] == scene.steps(scene.team.label)[-1].block.raw
    seq = scene.team.seq - 1 if written is None else written.block.seq
    assert f"block {seq} " in caught.value.detail


def test_an_ordinary_member_writes_as_admin(scene: Scene) -> None:
    """Bob has the group's signing key in hand, and adds Eve in his own name."""
    scene.update(scene.bob, {scene.eve: MEMBER})
    refused(scene, "R-56.5")


def test_an_ordinary_member_writes_in_an_admins_name(scene: Scene) -> None:
    scene.admit(restated(scene, lambda terms: terms, scene.bob))
    with pytest.raises(LogMisbehaved, match=r"R-56\.4"):
        scene.deeds()


def test_an_admins_signature_from_elsewhere(scene: Scene) -> None:
    """Ada's key stands as kid, but she signed other bytes."""
    written = restated(scene, lambda terms: terms, scene.ada)
    assert written.statement
    forged = written.statement[:-64] + bytes(64)
    terms = Statement.parse(forged).terms
    raw = scene.team.block(BlockType.GROUP_UPDATE, terms, forged, scene.team)
    scene.admit(replace(written, raw=raw, statement=forged))
    with pytest.raises(LogMisbehaved, match=r"R-56\.4"):
        scene.deeds()


def test_promoted_oneself(scene: Scene) -> None:
    scene.update(scene.bob, {scene.bob: ADMIN})
    refused(scene, "R-56.5")


def test_a_stranger_enters(scene: Scene) -> None:
    scene.update(scene.eve, {scene.eve: ADMIN}, rotate=[scene.ada, scene.bob, scene.eve])
    refused(scene, "R-56.5")


def test_a_removed_admin_writes_on(scene: Scene) -> None:
    scene.update(scene.ada, {scene.bob: ADMIN})
    scene.update(scene.ada, removed=[scene.bob], rotate=[scene.ada])
    assert len(scene.deeds()) == 3
    scene.update(scene.bob, {scene.eve: MEMBER})
    refused(scene, "R-56.5")


def test_a_demoted_admin_writes_on(scene: Scene) -> None:
    scene.update(scene.ada, {scene.bob: ADMIN})
    scene.update(scene.bob, {scene.ada: MEMBER}, rotate=[scene.ada, scene.bob])
    assert len(scene.deeds()) == 3
    scene.update(scene.ada, {scene.eve: MEMBER})
    refused(scene, "R-56.5")


def test_nobody_removes_themselves(scene: Scene) -> None:
    scene.update(scene.ada, {scene.bob: ADMIN})
    scene.update(scene.ada, removed=[scene.ada], rotate=[scene.bob])
    refused(scene, "R-56.5")


def test_a_removal_without_rotation(scene: Scene) -> None:
    scene.update(scene.ada, removed=[scene.bob])
    refused(scene, "R-56.8")


def test_a_removal_with_rotation(scene: Scene) -> None:
    scene.update(scene.ada, removed=[scene.bob], rotate=[scene.ada])
    assert scene.deeds()[-1].after.labels == {scene.ada.label}


def test_a_device_just_before_and_just_after_its_revocation(scene: Scene) -> None:
    """The author counts as they were just before the block, not as they are now."""
    scene.ada = scene.admit(scene.ada.add(scene.log.anchor))
    scene.update(scene.ada, {scene.eve: MEMBER}, device=1)
    both = scene.ada
    scene.ada = scene.admit(scene.ada.revoke(scene.log.anchor, 1))
    assert scene.deeds()[-1].after.entry(scene.eve.label)
    scene.update(both, {scene.bob: ADMIN}, device=1)
    refused(scene, "R-56.4")


def test_an_admin_after_their_reset(scene: Scene) -> None:
    """A new epoch is no admin until another admin says so."""
    scene.update(scene.ada, {scene.bob: ADMIN})
    scene.ada = scene.admit(scene.ada.reset(scene.actor, scene.log.anchor))
    assert len(scene.deeds()) == 2
    scene.update(scene.ada, {scene.eve: MEMBER})
    refused(scene, "R-56.5")


def test_a_flat_group_holds_no_group(scene: Scene) -> None:
    inner = Group.create("inner", scene.log.anchor, scene.ada, {scene.ada: ADMIN})
    scene.admit(inner)
    scene.update(scene.ada, {inner.after: GROUP})
    refused(scene, "R-56.7")


def test_the_log_as_it_was(scene: Scene) -> None:
    """Limits that came later bind only who comes in later (R-56.9)."""
    scene.update(scene.ada, {scene.eve: MEMBER})
    limits = replace(scene.actor.limits, max_members=2)
    scene.actor = scene.admit(scene.actor.policy(scene.log.anchor, limits=limits))
    assert len(scene.deeds()[-1].after.entries) == 3
    scene.update(scene.ada, {scene.bob: ADMIN})
    assert scene.deeds()[-1].after.admits(scene.bob.label, 0)
    dan = User.create(scene.actor, "dan", scene.log.anchor, label=b"d" * 32)
    scene.admit(dan)
    scene.update(scene.ada, {dan.after: MEMBER})
    refused(scene, "R-56.9")


def test_what_is_no_statement(scene: Scene) -> None:
    """Bytes that a block commits to, but that nobody can read."""
    honest = scene.team.update(scene.log.anchor, scene.ada, {scene.bob: ADMIN})
    assert honest.statement
    terms = Statement.parse(honest.statement).terms
    raw = scene.team.block(BlockType.GROUP_UPDATE, terms, b"nothing", scene.team)
    scene.admit(replace(honest, raw=raw, statement=b"nothing"))
    with pytest.raises(LogMisbehaved, match=r"R-40\.1") as caught:
        scene.deeds()
    assert caught.value.evidence["statement"] == b"nothing"


def test_boxes_are_those_of_the_statement(scene: Scene) -> None:
    """The box root is signed twice: with the group's key alone nobody hands over other keys."""
    honest = scene.team.update(scene.log.anchor, scene.ada, {scene.bob: ADMIN})
    assert honest.statement
    terms = Statement.parse(honest.statement).terms
    other = replace(terms, box_root=b"\1" * 32)
    raw = scene.team.block(BlockType.GROUP_UPDATE, other, honest.statement, scene.team)
    scene.admit(replace(honest, raw=raw))
    body = scene.steps(scene.team.label)[-1].block.body
    assert isinstance(body, GroupCreate)
    assert body.box_root == other.box_root
    with pytest.raises(LogMisbehaved, match=r"R-56\.3"):
        scene.deeds()
