"""Random groups, honest and not: ledger, server and verifier judge each block as the model says."""

from __future__ import annotations

import doctest
from collections import Counter
from typing import ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule, run_state_machine_as_test

from tests.rules import auditor, court, forgeries, group_model, keyholders
from tests.rules.forgeries import FORGERIES, Scene
from tests.rules.group_model import ADMIN, GROUP, MEMBER
from tests.rules.group_town import GroupTown, anybody, choices
from tests.rules.town import people
from tests.support.actors import User
from tests.support.groups import Group, epoch_of

any_roles = st.sampled_from((MEMBER, ADMIN, GROUP))
changes = st.tuples(
    st.dictionaries(anybody, any_roles, max_size=2),
    st.sets(anybody, max_size=2),
    st.booleans(),
)
Wanted = tuple[dict[int, str], set[int], bool]
names = st.sampled_from(sorted(FORGERIES))


class UnrulyTown(GroupTown):
    """Besides honest admins: anybody who holds a group's signing key, and does anything."""

    forged: ClassVar[Counter[str]] = Counter()

    @rule(group=choices, author=people, wanted=st.lists(changes, min_size=1, max_size=3))
    @precondition(lambda self: self.groups)
    def anybody_tries(self, group: int, author: int, wanted: list[Wanted]) -> None:
        """The model says whether it is allowed."""
        user, _ = self.some(author)
        self.try_anything(self.groups[group % len(self.groups)].label, user, wanted)

    @rule(group=choices, wanted=st.lists(changes, min_size=1, max_size=3))
    def an_admin_tries(self, group: int, wanted: list[Wanted]) -> None:
        """What some admin may not do either."""
        found = self.led(group)
        if found:
            self.try_anything(found[0].label, found[2], wanted)

    def try_anything(self, label: bytes, user: User, wanted: list[Wanted]) -> None:
        for put, removed, rotates in wanted:
            team = next(one for one in self.groups if one.label == label)
            puts = {self.member(number): role for number, role in put.items()}
            out = {self.member(number) for number in removed} - puts.keys()
            self.change("update", user, puts, team=team, removed=out, rotates=rotates)

    @rule(group=choices, author=people)
    @precondition(lambda self: self.groups)
    def try_to_close(self, group: int, author: int) -> None:
        """By anybody but an admin."""
        team, (user, _) = self.groups[group % len(self.groups)], self.some(author)
        if user not in self.admins(team):
            self.change("close", user, {}, team=team)

    @rule(group=choices, forged=st.lists(st.tuples(names, choices), min_size=2, max_size=6))
    def forge(self, group: int, forged: list[tuple[str, int]]) -> None:
        if self.too_old():
            self.heartbeat()
        found = self.led(group)
        if found is None or self.refusals(found[1], rotates=True):
            return
        team, _, admin = found
        live = [
            who
            for who in self.everybody
            if self.is_live(who.label, epoch_of(who), GROUP if isinstance(who, Group) else MEMBER)
        ]
        for name, choice in forged:
            forgery = FORGERIES[name]
            written = forgery.make(Scene(self.world, team, admin, live, choice))
            if written:
                self.forged[name] += 1
                self.refuse(written, forgery.notices, forgery.rules)


TestUnrulyTown = UnrulyTown.TestCase
TestUnrulyTown.settings = settings(max_examples=70, stateful_step_count=60, deadline=None)


class LongTown(UnrulyTown):
    """Counts for itself."""

    tally: ClassVar[Counter[str]] = Counter()
    forged: ClassVar[Counter[str]] = Counter()


@pytest.mark.soak
def test_a_long_lived_town_of_groups() -> None:
    """10^5 blocks, each judged by everybody."""
    long = settings(max_examples=2_200, stateful_step_count=80, deadline=None)
    run_state_machine_as_test(LongTown, settings=long)
    assert LongTown.tally.total() >= 100_000
    assert set(LongTown.forged) == set(FORGERIES)


@pytest.mark.parametrize("module", [auditor, court, forgeries, group_model, keyholders])
def test_examples(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]
