"""Groups at admission, without a server: large ones, and what depends on the rest of a batch."""

from __future__ import annotations

from dataclasses import dataclass, field

from ledger.errors import RuleViolation
from ledger.format import wire
from ledger.format.bodies import Limits
from ledger.format.statement import Role
from ledger.rules.membership import Kind, Membership
from tests.support.actors import NOW, LogActor, User, Written, seed
from tests.support.groups import Group, Member
from tests.support.memory import MemoryLog
from tests.support.vetting import plan_vetted

FOUNDING = LogActor.make(limits=Limits(max_members=1_000))


@dataclass
class Town:
    """A log, and what its server keeps of groups."""

    log: MemoryLog = field(default_factory=lambda: MemoryLog(FOUNDING.raw))
    memberships: dict[tuple[int, bytes], bytes] = field(default_factory=dict)

    def stored(self, index: int, block_hash: bytes) -> bytes | None:
        return self.memberships.get((index, block_hash))

    def offer(self, *written: Written[Group] | Written[User]) -> list[str]:
        """The rules that refuse, '' for what is admitted."""
        submissions = [item.submission for item in written]
        planned, kept = plan_vetted(self.log, submissions, NOW, self.stored)
        self.log.apply(planned.commit)
        for item in kept:
            if item.statement:
                self.memberships[item.index, item.block_hash] = item.statement[1]
        return [r.rule if isinstance(r, RuleViolation) else "" for r in planned.results]

    def user(self, name: str) -> User:
        written = User.create(FOUNDING.after, name, self.log.anchor, label=seed("label", name))
        assert self.offer(written) == [""]
        return written.after


def test_a_thousand_members_and_not_one_more() -> None:
    town = Town()
    names = [f"user {n}" for n in range(1_001)]
    anchor = town.log.anchor
    created = [User.create(FOUNDING.after, n, anchor, label=seed("label", n)) for n in names]
    assert set(town.offer(*created)) == {""}
    people: list[User] = [written.after for written in created]
    roles: dict[Member, Role] = dict.fromkeys(people[:1_000], Role.MEMBER)
    roles[people[0]] = Role.ADMIN
    made = Group.create("large", town.log.anchor, people[0], roles)
    request = wire.SubmitRequest(
        (wire.Submission(made.raw, made.boxes, None, made.statement),)
    ).encode()
    assert len(made.boxes) == 1_001
    assert 80_000 < len(request) < 150_000
    assert wire.SubmitRequest.decode(request).encode() == request
    assert town.offer(made) == [""]
    more = made.after.update(town.log.anchor, people[0], {people[1_000]: Role.MEMBER})
    assert town.offer(more) == ["R-56.9"]
    swap = made.after.update(
        town.log.anchor,
        people[0],
        {people[1_000]: Role.MEMBER},
        removed=[people[999]],
        rotate=[*people[:999], people[1_000]],
    )
    assert town.offer(swap) == [""]
    state = town.log.chains[made.after.label].state
    after = Membership.decode(town.memberships[state.index, state.head])
    assert len(after.entries) == 1_000


def test_groups_made_in_one_batch_may_hold_one_another() -> None:
    """R-56.10 is judged at the block's place, behind its neighbours in the batch."""
    town = Town()
    ada = town.user("ada")
    anchor = town.log.anchor
    flat = Group.create("flat", anchor, ada, {ada: Role.ADMIN})
    house = Group.create(
        "house", anchor, ada, {ada: Role.ADMIN, flat.after: Role.GROUP}, kind=Kind.COMPOUND
    )
    assert town.offer(house, flat) == ["R-56.10", ""]
    again = Group.create(
        "again", anchor, ada, {ada: Role.ADMIN, flat.after: Role.GROUP}, kind=Kind.COMPOUND
    )
    other = Group.create("other", anchor, ada, {ada: Role.ADMIN})
    both = Group.create(
        "both",
        anchor,
        ada,
        {ada: Role.ADMIN, flat.after: Role.GROUP, other.after: Role.GROUP},
        kind=Kind.COMPOUND,
    )
    assert town.offer(again, other, both) == ["", "", ""]


def test_a_member_who_rotates_in_the_same_batch() -> None:
    """R-55.3: the boxes are for the keys just before the block."""
    town = Town()
    ada, bob = town.user("ada"), town.user("bob")
    phone = bob.add(town.log.anchor)
    assert town.offer(phone) == [""]
    anchor = town.log.anchor
    rotated = phone.after.revoke(anchor, 1)
    old: dict[Member, Role] = {ada: Role.ADMIN, phone.after: Role.MEMBER}
    new: dict[Member, Role] = {ada: Role.ADMIN, rotated.after: Role.MEMBER}
    before = Group.create("before", anchor, ada, old)
    late = Group.create("late", anchor, ada, old)
    after = Group.create("after", anchor, ada, new)
    early = Group.create("early", anchor, ada, new)
    offered = town.offer(early, before, rotated, late, after)
    assert offered == ["R-55.3", "", "", "R-55.3", ""]


def test_a_server_that_lost_its_statements_says_so() -> None:
    town = Town()
    ada, bob = town.user("ada"), town.user("bob")
    made = Group.create("team", town.log.anchor, ada, {ada: Role.ADMIN})
    assert town.offer(made) == [""]
    kept, town.memberships = town.memberships, {}
    more = made.after.update(town.log.anchor, ada, {bob: Role.MEMBER})
    assert town.offer(more) == ["R-71.6"]
    town.memberships = kept
    assert town.offer(more) == [""]
