"""Groups: for each rule a log that passes and its nearest one that must fail.

The corpus has hundreds more; these are built without the ledger.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import cbor2
import pytest

from tests.verifier.builder import DAY, ZERO, BuiltLog, Draft, User, envelope, mth, public
from tests.verifier.group_builder import ADMIN, COMPOUND, GROUP, MEMBER, Group, Keys, digest
from verifier.errors import BrokenRule, Invalid
from verifier.groups import (
    Grant,
    Leave,
    Membership,
    check_counts,
)
from verifier.judge import replay_log


@dataclass
class World:
    """Alice is the team's admin, bob and carl its members; dora and erik are in no group."""

    log: BuiltLog = field(default_factory=BuiltLog)

    def __post_init__(self) -> None:
        log = self.log
        people = [User(log) for _ in range(5)]
        self.alice, self.bob, self.carl, self.dora, self.erik = people
        log.batch(*(user.create() for user in people))
        self.team, self.house = Group(log), Group(log, COMPOUND)
        entry = [0, MEMBER]
        log.batch(
            self.team.create(self.alice, {self.bob.label: entry, self.carl.label: entry}),
            self.house.create(self.alice, {self.team.label: [0, GROUP]}),
        )
        self.first = self.team.keys
        self.raised({self.erik.label: entry}, rotates=True)

    def raised(self, put: dict[bytes, list[int]], **changes: Any) -> None:
        self.log.batch(self.team.update(self.alice, put, **changes))


Case = Callable[[World], Draft]


def fresh(world: World, **changes: Any) -> Keys:
    return replace(world.team.fresh(), **changes)


def rotation(world: World) -> Draft:
    return world.team.update(world.alice, rotates=True)


def addition(world: World) -> Draft:
    return world.team.update(world.alice, {world.dora.label: [0, MEMBER]})


def creation(world: World) -> Draft:
    return Group(world.log).create(world.alice)


def closing(world: World) -> Draft:
    return world.team.close(world.alice)


def rotated_with(**changes: Callable[[World], Any]) -> Case:
    def case(world: World) -> Draft:
        made = {name: change(world) for name, change in changes.items()}
        return world.team.update(world.alice, keys=fresh(world, **made))

    return case


def created_with(**changes: Any) -> Case:
    return lambda world: Group(world.log).create(world.alice, **changes)


def closed(world: World) -> Draft:
    world.log.batch(closing(world))
    return rotation(world)


def one_key(world: World) -> Draft:
    return world.team.update(world.alice, keys=fresh(world, signing=world.team.keys.signing))


def same_keys(world: World) -> Draft:
    """A group whose encryption key is its signing key; a seed is ground until R-15.2 takes it."""
    group = Group(world.log)
    while public(group.keys.signing)[31] & 0x80:
        group = Group(world.log)
    keys = Keys(group.keys.signing, public(group.keys.signing))
    return group.create(world.alice, keys=keys)


def full(world: World, extra: int) -> Draft:
    """A rotation when 16 + `extra` keys have retired, of 16."""
    world.log.batch(world.log.policy(limits=[*world.log.limits[:4], 16]))
    for _ in range(7 + extra // 2):
        world.log.batch(world.team.update(world.alice, rotates=True))
    return rotation(world)


def busy(world: World, count: int) -> Draft:
    """The team's `count`th block of a day of four."""
    world.log.batch(world.log.policy(limits=[*world.log.limits[:3], 4, 64]))
    world.log.time += DAY - world.log.time % DAY
    world.log.batch()
    for _ in range(count - 1):
        world.log.batch(rotation(world))
    return rotation(world)


PUBLIC: list[tuple[str, Case, Case]] = [
    ("R-15.2", rotated_with(encryption=lambda w: ZERO), rotation),
    ("R-43.1", lambda w: w.team.update(w.alice, rotates=True, seq=1), rotation),
    ("R-43.2", lambda w: w.team.create(w.alice, seq=0, prev=ZERO), creation),
    ("R-43.2", lambda w: User(w.log, w.team.label).create(seq=0, prev=ZERO), creation),
    (
        "R-43.2",
        lambda w: Group(w.log).update(w.alice, rotates=True, seq=1, prev=b"p" * 32),
        rotation,
    ),
    ("R-43.2", lambda w: w.team.update(w.alice, label=w.bob.label, seq=1), rotation),
    ("R-43.2", lambda w: w.bob.add(label=w.team.label, seq=2), lambda w: w.bob.add()),
    ("R-44.4", lambda w: w.team.update(w.alice, rotates=True, anchor=w.log.anchor(1)), rotation),
    ("R-50.2", lambda w: w.team.update(w.alice, rotates=True, signers=[w.first.signing]), rotation),
    (
        "R-50.2",
        lambda w: w.team.update(w.alice, rotates=True, signers=[w.team.keys.signing]),
        rotation,
    ),
    ("R-50.2", lambda w: w.team.close(w.alice, signers=[w.first.signing]), closing),
    ("R-53.7", lambda w: busy(w, 5), lambda w: busy(w, 4)),
    ("R-54.1", created_with(label=b"l" * 32), creation),
    ("R-54.2", one_key, rotation),
    ("R-54.2", rotated_with(encryption=lambda w: w.team.keys.encryption), rotation),
    ("R-54.3", same_keys, creation),
    ("R-54.3", rotated_with(encryption=lambda w: w.first.encryption), rotation),
    ("R-54.3", rotated_with(signing=lambda w: w.first.signing), rotation),
    ("R-54.4", closed, rotation),
    ("R-54.5", lambda w: full(w, 2), lambda w: full(w, 0)),
]


def judged(log: BuiltLog, *, privately: bool = True) -> None:
    found = replay_log(log.entries, log.log_id, log.statements if privately else None)
    assert found[:2] == (mth(log.leaves), log.directory())


def refused(log: BuiltLog, rule: str, *, privately: bool = True) -> Invalid:
    with pytest.raises(Invalid) as caught:
        judged(log, privately=privately)
    assert caught.value.rule == rule, caught.value
    return caught.value


@pytest.mark.parametrize(("rule", "wrong", "right"), PUBLIC)
def test_what_everybody_can_check(rule: str, wrong: Case, right: Case) -> None:
    for privately in (False, True):
        good = World()
        good.log.batch(right(good))
        judged(good.log, privately=privately)
    bad = World()
    draft = wrong(bad)
    judged(bad.log)
    bad.log.batch(draft)
    refused(bad.log, rule, privately=False)


def said(make: Callable[..., Draft] = Group.update, **terms: Any) -> Case:
    """A rotation (or what `make` drafts) whose statement says something else."""

    def case(world: World) -> Draft:
        told = {name: term(world) if callable(term) else term for name, term in terms.items()}
        return make(
            world.team,
            world.alice,
            said=told,
            **({"rotates": True} if make is Group.update else {}),
        )

    return case


def updated(put: Callable[[World], dict[bytes, list[int]]], **changes: Any) -> Case:
    return lambda w: w.team.update(w.alice, put(w), **changes)


def removing(who: Callable[[World], bytes], **changes: Any) -> Case:
    return lambda w: w.team.update(w.alice, removed=[who(w)], **({"rotates": True} | changes))


def by(author: Callable[[World], User]) -> Case:
    return lambda w: w.team.update(author(w), {w.dora.label: [0, MEMBER]})


def by_device(at: int, revoked: bool) -> Case:
    """By alice's first or second device, when the second was revoked or not."""

    def case(world: World) -> Draft:
        world.log.batch(world.alice.add())
        device = world.alice.devices[at]
        if revoked:
            world.log.batch(world.alice.revoke(world.alice.devices[1]))
        return world.team.update(world.alice, rotates=True, device=device)

    return case


def in_one_batch(*, first: bool) -> Case:
    """Alice's second device speaks beside its revocation, before it or after it."""

    def case(world: World) -> Draft:
        world.log.batch(world.alice.add())
        device = world.alice.devices[1]
        update = world.team.update(world.alice, rotates=True, device=device)
        revocation = world.alice.revoke(device)
        world.log.admit(update if first else revocation, world.log.time + 1_000)
        return revocation if first else update

    return case


def after_reset(epoch: int, who: str) -> Case:
    """Bob, an admin, was reset, and re-added with this epoch; then he adds dora."""

    def case(world: World) -> Draft:
        world.raised({world.bob.label: [0, ADMIN]})
        world.log.batch(world.bob.reset())
        if epoch:
            world.raised({world.bob.label: [epoch, ADMIN]}, rotates=True)
        return world.team.update(getattr(world, who), {world.dora.label: [0, MEMBER]})

    return case


def limited(count: int, more: int) -> Case:
    """The team has four members; `more` come in at a limit of `count`."""

    def case(world: World) -> Draft:
        limits = world.log.limits
        world.log.batch(world.log.policy(limits=[*limits[:2], count, *limits[3:]]))
        return world.team.update(
            world.alice, {bytes([at]) * 32: [0, MEMBER] for at in range(more)}, rotates=True
        )

    return case


def housed(put: Callable[[World], dict[bytes, list[int]]], **changes: Any) -> Case:
    return lambda w: w.house.update(w.alice, put(w), **({"rotates": True} | changes))


def signed_twice(world: World) -> Draft:
    other = copy.deepcopy(world)
    other.log.batch(rotation(other))
    payload = cbor2.loads(list(other.log.statements.values())[-1]).value[2]
    keys = [world.alice.devices[0].signing, world.bob.devices[0].signing]
    again = envelope(payload, keys, b"keyroll/v1/statement", world.log.log_id)
    return world.team.update(world.alice, rotates=True, statement=again)


PRIVATE: list[tuple[str, Case, Case]] = [
    ("R-56.1", signed_twice, rotation),
    ("R-56.1", said(removed=lambda w: [w.erik.label, w.erik.label]), rotation),
    ("R-56.1", said(put=lambda w: [[w.dora.label, 0, 0], [w.dora.label, 0, 1]]), rotation),
    (
        "R-56.1",
        said(removed=lambda w: [w.bob.label], put=lambda w: [[w.bob.label, 0, 1]]),
        rotation,
    ),
    ("R-56.2", lambda w: w.team.update(w.alice, rotates=True, body={"commitment": ZERO}), rotation),
    ("R-56.3", said(group=b"g" * 32), rotation),
    ("R-56.3", said(seq=1), rotation),
    ("R-56.3", said(prev=b"p" * 32), rotation),
    ("R-56.3", said(anchor=lambda w: w.log.anchor(1)), rotation),
    ("R-56.3", said(signing=b"s" * 32), rotation),
    ("R-56.3", said(encryption=b"e" * 32), rotation),
    ("R-56.3", said(box_root=b"r" * 32), rotation),
    ("R-56.3", said(action=3), rotation),
    ("R-56.3", said(Group.close, action=2), closing),
    ("R-56.3", said(Group.close, box_root=b"r" * 32), closing),
    ("R-56.3", said(Group.close, signing=ZERO), closing),
    ("R-56.4", lambda w: w.team.update(w.alice, rotates=True, device=w.bob.devices[0]), rotation),
    ("R-56.4", said(author=lambda w: w.bob.label), rotation),
    ("R-56.4", said(author=lambda w: w.team.label), rotation),
    ("R-56.4", by_device(1, revoked=True), by_device(1, revoked=False)),
    ("R-56.4", by_device(1, revoked=True), by_device(0, revoked=True)),
    ("R-56.4", in_one_batch(first=False), in_one_batch(first=True)),
    (
        "R-56.4",
        lambda w: w.team.update(w.alice, rotates=True, context=b"keyroll/v1/grant"),
        rotation,
    ),
    ("R-56.5", by(lambda w: w.bob), by(lambda w: w.alice)),
    ("R-56.5", by(lambda w: w.dora), by(lambda w: w.alice)),
    ("R-56.5", after_reset(0, "bob"), after_reset(1, "bob")),
    ("R-56.5", removing(lambda w: w.alice.label), removing(lambda w: w.erik.label)),
    ("R-56.5", updated(lambda w: {w.alice.label: [0, MEMBER]}, rotates=True), addition),
    ("R-56.5", lambda w: Group(w.log).create(w.alice, {w.alice.label: [0, MEMBER]}), creation),
    ("R-56.5", lambda w: Group(w.log).create(w.alice, {w.alice.label: [1, ADMIN]}), creation),
    ("R-56.6", removing(lambda w: w.dora.label), removing(lambda w: w.bob.label)),
    ("R-56.6", updated(lambda w: {w.bob.label: [0, MEMBER]}, rotates=True), rotation),
    ("R-56.7", updated(lambda w: {w.team.label: [0, MEMBER]}), addition),
    (
        "R-56.7",
        updated(lambda w: {w.house.label: [0, GROUP]}),
        housed(lambda w: {b"g" * 32: [0, 2]}),
    ),
    (
        "R-56.7",
        housed(lambda w: {b"g" * 32: [1, GROUP]}),
        housed(lambda w: {b"g" * 32: [0, GROUP]}),
    ),
    (
        "R-56.7",
        housed(lambda w: {w.team.label: [0, ADMIN]}),
        housed(lambda w: {w.bob.label: [0, 1]}),
    ),
    ("R-56.8", removing(lambda w: w.bob.label, rotates=False), removing(lambda w: w.bob.label)),
    ("R-56.8", lambda w: w.team.update(w.alice), addition),
    (
        "R-56.8",
        lambda w: w.team.update(w.alice, {w.dora.label: [0, MEMBER]}, removed=[w.bob.label]),
        addition,
    ),
    (
        "R-56.8",
        updated(lambda w: {w.bob.label: [1, MEMBER]}),
        updated(lambda w: {w.bob.label: [0, 1]}),
    ),
    ("R-56.8", lambda w: w.team.close(w.alice, put={w.dora.label: [0, 0]}), closing),
    ("R-56.8", lambda w: w.team.close(w.alice, removed=[w.bob.label]), closing),
    ("R-56.9", limited(5, 2), limited(6, 2)),
    ("R-56.9", limited(3, 1), limited(3, 0)),
    ("R-56.9", said(membership=b"m" * 32), rotation),
    ("R-10.4", said(salt=b"s" * 31), rotation),
    ("R-10.4", said(action=4), rotation),
    ("R-10.4", said(put=lambda w: [[w.dora.label, 0, 3]]), rotation),
    (
        "R-10.4",
        said(removed=lambda w: [bytes([at // 256, at % 256]) * 16 for at in range(4_097)]),
        rotation,
    ),
    ("R-40.1", lambda w: w.team.update(w.alice, rotates=True, statement=b"?"), rotation),
]


@pytest.mark.parametrize(("rule", "wrong", "right"), PRIVATE)
def test_what_statements_may_do(rule: str, wrong: Case, right: Case) -> None:
    good = World()
    good.log.batch(right(good))
    judged(good.log)
    bad = World()
    bad.log.batch(wrong(bad))
    judged(bad.log, privately=False)  # for everybody else all is in order
    assert refused(bad.log, rule).verdict in ("rule", "signature", "malformed")


def test_a_signature_that_fails_is_one() -> None:
    world = World()
    world.log.batch(world.team.update(world.alice, rotates=True, context=b"keyroll/v1/leave"))
    assert refused(world.log, "R-56.4").verdict == "signature"


def test_memberships_are_those_of_the_spec() -> None:
    world = World()
    world.raised({world.bob.label: [0, ADMIN]})
    world.raised({world.dora.label: [0, MEMBER]}, removed=[world.carl.label], rotates=True)
    found = replay_log(world.log.entries, world.log.log_id, world.log.statements)
    for group in (world.team, world.house):
        held = found.replay.membership(group.label)
        assert held is not None
        assert held.digest() == digest(group.kind, group.members)
        assert {label: list(entry) for label, entry in held.entries.items()} == group.members
    assert len(world.team.members) == 4


def test_the_state_of_a_closed_group_and_what_it_keeps() -> None:
    world = World()
    world.log.batch(closing(world))
    found = replay_log(world.log.entries, world.log.log_id, world.log.statements)
    assert (
        list(found.replay.state(world.team.label) or ()) == world.log.chains[world.team.label].state
    )
    assert found.replay.membership(world.team.label) is not None


def test_wishes_count_during_one_stay() -> None:
    """R-56.12."""
    world = World()
    found = replay_log(world.log.entries, world.log.log_id, world.log.statements).replay
    held, bob = found.membership(world.team.label), found.state(world.bob.label)
    kid = public(world.bob.devices[0].signing)
    joined = world.team.members[world.bob.label][2]
    leave = Leave(world.team.label, world.bob.label, 0, joined, kid)
    check_counts(leave, held, bob, 0)
    others = (found.state(world.alice.label), found.state(world.team.label), None)
    late = Grant(*leave[:4], b"s" * 32, 77, kid)
    check_counts(late, held, bob, 77)
    wrong: list[tuple[Leave | Grant, Membership | None, Any, int]] = [
        (late, held, bob, 78),
        (leave, None, bob, 0),
        (leave._replace(joined=joined + 1), held, bob, 0),
        (leave._replace(epoch=1), held, bob, 0),
        (leave._replace(user=world.dora.label), held, bob, 0),
        (leave._replace(kid=b"k" * 32), held, bob, 0),
        *((leave, held, other, 0) for other in others),
    ]
    for case in wrong:
        with pytest.raises(BrokenRule, match=r"R-56\.12"):
            check_counts(*case)
    world.log.batch(world.bob.reset())
    passed = replay_log(world.log.entries, world.log.log_id).replay.state(world.bob.label)
    signed_anew = leave._replace(kid=public(world.bob.devices[0].signing))
    with pytest.raises(BrokenRule, match=r"R-56\.12"):
        check_counts(signed_anew, held, passed, 0)
