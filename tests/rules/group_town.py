"""Random users and admins act on groups, honestly; everybody judges each block.

What becomes of a block is said beforehand by `group_model`; ledger, server and verifier must agree.
Who can open which keys is found out with the real boxes, and compared with the model.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from ledger.format.bodies import DAY_MS
from ledger.format.statement import Role
from ledger.rules.membership import Kind
from ledger.rules.state import GroupState
from tests.rules.court import Court
from tests.rules.group_model import ADMIN, GROUP, MEMBER, Change, Circle, Seat, knows
from tests.rules.keyholders import Keyholders
from tests.rules.town import Town, people
from tests.support.actors import User, Written
from tests.support.groups import Group, Member, epoch_of
from tests.vectors import by_ledger, by_verifier

ROLES = {MEMBER: Role.MEMBER, ADMIN: Role.ADMIN, GROUP: Role.GROUP}
MOST_GROUPS = 6

anybody = st.integers(0, 7)
roles = st.sampled_from((MEMBER, ADMIN))
choices = st.integers(0, 63)

Puts = Mapping[Member, str]


class GroupTown(Town):
    """Three users and at most six groups."""

    labels: ClassVar[Sequence[bytes]] = [bytes([90, byte]) * 16 for byte in (1, 2, 200)]

    @initialize()
    def found(self) -> None:
        super().found()
        self.court = Court(self.world)
        self.keyholders = Keyholders()
        self.groups: list[Group] = []
        self.circles: dict[bytes, Circle[bytes]] = {}
        self.create(1)
        self.create(2)
        ada, bob, eve = (self.users[number] for number in range(3))
        self.change("create", ada, {ada: ADMIN, bob: ADMIN, eve: MEMBER})
        all_of_them: Puts = {bob: ADMIN, self.groups[0]: GROUP}
        self.change("create", bob, all_of_them, compound=True)

    # Who is there.

    @property
    def everybody(self) -> list[Member]:
        return [*(self.users[number] for number in sorted(self.users)), *self.groups]

    def member(self, number: int) -> Member:
        return self.everybody[number % len(self.everybody)]

    def is_live(self, label: bytes, epoch: int, role: str) -> bool:
        if role == GROUP:
            circle = self.circles.get(label)
            return circle is not None and not circle.closed and not circle.compound
        known = self.models.get(self.labels.index(label)) if label in self.labels else None
        return known is not None and known.epoch == epoch and not known.closed

    def live_seats(self, seats: Mapping[bytes, Seat]) -> dict[bytes, Seat]:
        return {k: seat for k, seat in seats.items() if self.is_live(k, seat.epoch, seat.role)}

    def admins(self, group: Group) -> list[User]:
        """The users who may act for a group now."""
        seats = self.live_seats(self.circles[group.label].seats)
        return [u for u in self.users.values() if u.label in seats and seats[u.label].role == ADMIN]

    def led(self, number: int) -> tuple[Group, Circle[bytes], User] | None:
        """An open group and an admin who may act for it: whatever the number, if there is any."""
        circles = self.circles
        found = [group for group in self.groups if not circles[group.label].closed]
        pairs = [(group, admin) for group in found for admin in self.admins(group)]
        if not pairs:
            return None
        group, admin = pairs[number % len(pairs)]
        return group, circles[group.label], admin

    # Honest operations.

    @rule(author=people, others=st.dictionaries(anybody, roles, max_size=3), compound=st.booleans())
    @precondition(lambda self: len(self.groups) < MOST_GROUPS)
    def found_group(self, author: int, others: dict[int, str], compound: bool) -> None:
        user, _ = self.some(author)
        members = {self.member(number): role for number, role in others.items()}
        put = {who: fitting(who, role) for who, role in members.items()}
        if not compound:
            put = {who: role for who, role in put.items() if role != GROUP}
        self.change("create", user, {**put, user: ADMIN}, compound=compound)

    @rule(group=choices, number=anybody, role=roles, rotates=st.booleans())
    def bring_in(self, group: int, number: int, role: str, rotates: bool) -> None:
        """Puts in whoever is not in, or is in with an epoch of before (which takes new keys)."""
        found = self.led(group)
        if found is None:
            return
        team, circle, admin = found
        fit = [one for one in self.everybody if isinstance(one, User) or circle.compound]
        outside = [one for one in fit if one not in found and not self.is_in(circle, one)]
        if outside:
            who = outside[number % len(outside)]
            rotates = rotates or who.label in circle.seats
            self.change("update", admin, {who: fitting(who, role)}, team=team, rotates=rotates)

    @rule(group=choices, number=people)
    def raise_or_demote(self, group: int, number: int) -> None:
        found = self.led(group)
        if found is None:
            return
        team, circle, admin = found
        inside = [who for who in self.everybody if self.is_in(circle, who) and who is not admin]
        users = [who for who in inside if isinstance(who, User)]
        if users:
            who = users[number % len(users)]
            role = ADMIN if circle.seats[who.label].role == MEMBER else MEMBER
            self.change("update", admin, {who: role}, team=team, rotates=role == MEMBER)

    def is_in(self, circle: Circle[bytes], who: Member) -> bool:
        seat = circle.seats.get(who.label)
        return seat is not None and seat.epoch == epoch_of(who)

    @rule(group=choices, times=st.integers(1, 3), out=st.sets(anybody, max_size=2))
    def rotate(self, group: int, times: int, out: set[int]) -> None:
        """New keys, and some are let go, who may have asked for it."""
        found = self.led(group)
        if found is None:
            return
        team, circle, admin = found
        inside = [w for w in self.everybody if w.label in circle.seats and w is not admin]
        removed = {inside[number % len(inside)] for number in out} if inside else set()
        self.ask_to_leave(team, removed)
        for _ in range(times):
            newest = next(one for one in self.groups if one.label == team.label)
            here = {who for who in removed if who.label in circle.seats}
            self.change("update", admin, {}, team=newest, removed=here, rotates=True)

    @rule(group=choices, often=st.integers(0, 3))
    def close_group(self, group: int, often: int) -> None:
        found = self.led(group)
        if found and often == 3:
            self.change("close", found[2], {}, team=found[0])

    def ask_to_leave(self, team: Group, going: Collection[Member]) -> None:
        """Server and verifier take a wish for one exactly while the member is in (R-56.12)."""
        for user in (who for who in going if isinstance(who, User)):
            label, seat = user.label, self.circles[team.label].seats[user.label]
            for known in (one for one in self.world.users[-9:] if one.label == label):
                if known.devices:
                    wish = team.leave(known)
                    counts = known.devices[0] in user.devices and seat.epoch == user.epoch
                    served = self.court.found.served.stands(wish.stay, wish.envelope)
                    assert served == counts
                    given = {**self.world.given_groups(), "leave": wish.raw.hex()}
                    verdict = by_verifier.judge("leave", given).verdict
                    assert verdict == ("ok" if counts else "rule")

    # How they are offered.

    def refusals(self, circle: Circle[bytes], *, rotates: bool) -> set[str]:
        """The rules by which everybody refuses what is right but for its time."""
        found = circle.refusals(self.limits, self.now // DAY_MS, rotates=rotates)
        return found | {"R-44.3"} if self.too_old() else found

    def change(
        self,
        what: str,
        author: User,
        put: Puts,
        *,
        team: Group | None = None,
        removed: Collection[Member] = (),
        rotates: bool = False,
        compound: bool = False,
    ) -> None:
        """Offers a change, honest or not, and expects what the model says."""
        labels = {who.label: (epoch_of(who), role) for who, role in put.items()}
        out = {who.label for who in removed}
        change = Change(what, author.label, author.epoch, labels, out, rotates)
        circle = self.circles[team.label] if team else Circle(b"", compound)
        refusals = self.refusals(circle, rotates=rotates)
        rules = circle.faults(change, self.limits.max_members)
        if not author.devices:
            author, rules = self.before_it_closed(author), {*rules, "R-56.4"}
        written = self.write(change, author, put, removed, team, circle)
        if refusals:
            self.refuse(written, "anyone", refusals)
        elif rules:
            self.refuse(written, "reader", rules)
        elif not all(self.is_live(label, *new) for label, new in labels.items()):
            self.refuse(written, "server", {"R-56.10"})
        else:
            self.admit(written, change, circle)

    def before_it_closed(self, author: User) -> User:
        former = [user for user in self.world.users if user.label == author.label and user.devices]
        return replace(author, devices=former[-1].devices)

    def write(
        self,
        change: Change[bytes],
        author: User,
        put: Puts,
        removed: Collection[Member],
        team: Group | None,
        circle: Circle[bytes],
    ) -> Written[Group]:
        """The change as a block. A rotation is for those who are in after it, and live."""
        anchor, entries = self.world.anchor, {who: ROLES[role] for who, role in put.items()}
        if team is None:
            name, kind = f"group {len(self.groups)}", Kind(int(circle.compound))
            return Group.create(name, anchor, author, entries, kind=kind)
        if change.what == "close":
            return team.close(anchor, author)
        seats = self.live_seats(circle.after(change, 0))
        live = [who for who in self.everybody if who.label in seats]
        rotate = live if change.rotates else None
        return team.update(anchor, author, entries, removed=removed, rotate=rotate)

    def admit(self, written: Written[Group], change: Change[bytes], circle: Circle[bytes]) -> None:
        """Everybody admits it, and it is taken over."""
        self.tally[f"admitted: {change.what}"] += 1
        self.world.now, joined = self.now, self.world.anchor.size
        public, reader, server = self.court.verdicts(written)
        assert [public.verdict, reader.verdict, server.verdict] == ["ok"] * 3, (reader, server)
        kept = self.court.admit(written, reader, server)
        circle.name = written.after.label
        self.circles[circle.name] = circle
        self.groups = [*(one for one in self.groups if one.label != circle.name), written.after]
        live = self.live_seats(circle.after(change, joined))
        holders = {label: (label, self.handed_as(label, seat)) for label, seat in live.items()}
        circle.advance(change, joined, self.now // DAY_MS, holders)
        self.keyholders.receive(self.world, written.after, kept)
        if change.new_keys:
            self.check_new_keys(written.after, live)

    def check_new_keys(self, team: Group, live: Mapping[bytes, Seat]) -> None:
        """Those who are in can open them, themselves or through a group that is in. Nobody else."""
        people = {(label, seat.epoch) for label, seat in live.items() if seat.role != GROUP}
        for nested in self.groups:
            if nested.label in live:
                people |= self.keyholders.who_can_open(nested.encryption.public)
        assert self.keyholders.who_can_open(team.encryption.public) == people

    def handed_as(self, label: bytes, seat: Seat) -> int:
        """With the label: who is handed a key that is meant for this seat."""
        return self.circles[label].generation if seat.role == GROUP else seat.epoch

    def refuse(self, written: Written[Group], notices: str, rules: Collection[str]) -> None:
        """Those who know enough refuse it by one of `rules`; the others would take it."""
        self.tally[f"refused by {notices}"] += 1
        self.world.now, before = self.now, self.world.log.head
        self.court.check_refusal(written, notices, rules)
        assert self.world.log.head == before

    def refused(self, written: Written[User], rules: Collection[str]) -> None:
        """A user's block is refused by the verifier too."""
        super().refused(written, rules)
        batch = self.world.batch(written.raw, now=self.now)
        auditor = self.court.followed().judge(batch, {})
        assert auditor.verdict == "rule"

    # What must always hold.

    @invariant()
    def auditors_see_the_same(self) -> None:
        if not hasattr(self, "court"):
            return
        log, groups = self.world.log, self.court.found.groups
        known = {label.hex(): one.membership for label, one in groups.items()}
        assert self.court.followed().output == {
            "directory": log.head.directory.hex(),
            "memberships": {label: one.hash.hex() for label, one in known.items() if one},
            "tree": log.head.root.hex(),
        }

    @invariant()
    def groups_are_as_remembered(self) -> None:
        for group in getattr(self, "groups", ()):
            circle, found = self.circles[group.label], self.court.found.groups[group.label]
            assert found.state
            assert found.membership
            assert found.membership == group.membership
            assert found.membership.kind == circle.compound
            seats = sorted((k, s.epoch, ROLES[s.role], s.joined) for k, s in circle.seats.items())
            entries = found.membership.entries
            assert [(e.label, e.epoch, e.role, e.joined) for e in entries] == seats
            check_state(found.state, circle, group)
            assert len(self.world.log.blocks_of(group.label)) == circle.length

    @invariant()
    def keys_are_with_whom_they_should(self) -> None:
        """With the boxes that were handed out, and no others, one gets at what the model says."""
        for group in getattr(self, "groups", ()):
            circle, holders = self.circles[group.label], self.keyholders
            now = (group.label, circle.generation)
            readers = {who for who in holders.people if knows(self.circles, who, now)}
            assert holders.who_can_open(group.encryption.public) == readers
            assert holders.who_can_open(group.signing.public) == circle.signers

    def teardown(self) -> None:
        super().teardown()
        if hasattr(self, "court"):
            given = self.world.given_groups()
            found = by_ledger.judge("group", given)
            assert found.output == self.court.followed().output
            assert found == by_verifier.judge("group", given)


def fitting(who: Member, role: str) -> str:
    return GROUP if isinstance(who, Group) else role


def check_state(state: GroupState, circle: Circle[bytes], group: Group) -> None:
    """The public state of a group against what is remembered of it."""
    keys = (None, None) if circle.closed else (group.signing.public, group.encryption.public)
    assert (state.signing, state.encryption) == keys
    assert state.closed == circle.closed
    assert (state.generation, state.rotated) == (circle.generation, circle.rotated)
    assert (len(state.retired), state.count) == (32 * circle.gone, circle.count)
