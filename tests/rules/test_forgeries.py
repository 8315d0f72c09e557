"""Each forgery by itself, beside the honest block that it was made from."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ledger.format.bodies import Limits
from ledger.format.statement import Role
from ledger.rules.membership import Kind
from tests.rules.court import Court
from tests.rules.forgeries import FORGERIES, Scene
from tests.support.actors import LogActor, User, Written, seed
from tests.support.groups import Group, Member
from tests.vectors.world import World

CHOICES = 12
"""As many as the widest forgery tells apart."""


class Village:
    """Ada (who lost a device), Bob (who was reset), and two groups that were rotated."""

    def __init__(self) -> None:
        self.world = World(LogActor.make(limits=Limits(max_members=4)))
        self.court = Court(self.world)
        ada, bob = (self.user(name) for name in ("ada", "bob"))
        ada = self.world.admit(ada.add(self.world.anchor))
        self.ada = self.world.admit(ada.revoke(self.world.anchor, 1))
        self.bob = self.world.admit(bob.reset(self.world.actor, self.world.anchor))
        admins: dict[Member, Role] = {self.ada: Role.ADMIN, self.bob: Role.ADMIN}
        self.team = self.rotated(Group.create("team", self.world.anchor, self.ada, admins))
        mixed = {**admins, self.bob: Role.MEMBER, self.team: Role.GROUP}
        anchor = self.world.anchor
        self.club = self.rotated(Group.create("all", anchor, self.ada, mixed, kind=Kind.COMPOUND))

    def user(self, name: str) -> User:
        world = self.world
        written = User.create(world.actor, name, world.anchor, label=seed("village", name))
        return world.admit(written)

    def rotated(self, written: Written[Group]) -> Group:
        group = self.admit(written)
        for _ in range(2):
            group = self.admit(self.scene(group, 0).rotation)
        return group

    def admit(self, written: Written[Group]) -> Group:
        _, reader, server = self.court.verdicts(written)
        self.court.admit(written, reader, server)
        return written.after

    def scene(self, group: Group, choice: int) -> Scene:
        live = [self.ada, self.bob]
        nested = [self.team] if group.membership.kind == Kind.COMPOUND else []
        return Scene(self.world, group, self.ada, [*live, *nested], choice)

    def scenes(self) -> Iterator[Scene]:
        for group in (self.team, self.club):
            for choice in range(CHOICES):
                yield self.scene(group, choice)


@pytest.fixture(scope="module")
def village() -> Village:
    return Village()


@pytest.mark.parametrize("name", sorted(FORGERIES))
def test_a_forgery_is_refused_by_whoever_can_notice(village: Village, name: str) -> None:
    forgery = FORGERIES[name]
    found = [forgery.make(scene) for scene in village.scenes()]
    made = {written.raw + b"".join(written.boxes): written for written in found if written}
    assert made
    for written in made.values():
        village.court.check_refusal(written, forgery.notices, forgery.rules)


def test_what_they_are_made_from_is_admitted(village: Village) -> None:
    for group in (village.team, village.club):
        scene = village.scene(group, 0)
        for written in (scene.rotation, group.close(village.world.anchor, village.ada)):
            verdicts = [one.verdict for one in village.court.verdicts(written)]
            assert verdicts == ["ok"] * 3
            assert village.court.auditor(written).verdict == "ok"
            assert village.court.public_auditor(written).verdict == "ok"
