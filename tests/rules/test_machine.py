"""Random users act on a log, honestly and not; after each step all that must hold is checked."""

from __future__ import annotations

import doctest
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis.stateful import precondition, rule, run_state_machine_as_test

from ledger.errors import RuleViolation
from ledger.log.planner import Admission
from tests.rules import model as module
from tests.rules.town import Town, people
from tests.support.actors import Device


class UserTown(Town):
    """Honest people, and those who act for others or against the rules: always refused."""

    @rule(number=people)
    @precondition(lambda self: self.users)
    def act_after_removal(self, number: int) -> None:
        user, model = self.some(number)
        known = [Device.make("stranger"), *(d for u in self.world.users[-6:] for d in u.devices)]
        for device in known:
            if device.signing.public not in model.live:
                written = replace(user, devices=(device,)).add(self.world.anchor)
                self.refused(written, {"R-53.3"})

    @rule(number=people)
    @precondition(lambda self: self.users)
    def bring_a_key_back(self, number: int) -> None:
        found = self.open(number)
        if not found:
            return
        user, model = found
        before = [other for other in self.world.users if other.label == user.label][-6:]
        for device in {device for other in before for device in other.devices}:
            if device.signing.public in model.gone:
                self.refused(user.add(self.world.anchor, device), {"R-53.1", "R-53.4"})

    @rule(number=people)
    @precondition(lambda self: self.users)
    def fork_the_chain(self, number: int) -> None:
        user, _ = self.some(number)
        before = [other for other in self.world.users if other.label == user.label][:-1]
        for other in before[-3:]:
            self.refused(other.reset(self.world.actor, self.world.anchor), {"R-43.1"})

    @rule(number=people)
    @precondition(lambda self: self.users)
    def hurry(self, number: int) -> None:
        """Two blocks of one chain in one batch: the second is refused, the first is not."""
        user, model = self.some(number)
        if self.predicted(model, adding=False):
            return
        first = user.reset(self.world.actor, self.world.anchor)
        second = first.after.reset(self.world.actor, self.world.anchor)
        results = self.world.log.plan([first.raw, second.raw], self.now).results
        assert isinstance(results[0], Admission)
        assert isinstance(results[1], RuleViolation)
        assert results[1].rule in {"R-44.4", "R-53.7"}


TestUserTown = UserTown.TestCase
TestUserTown.settings = settings(max_examples=20, stateful_step_count=30, deadline=None)


@pytest.mark.soak
def test_a_long_lived_town() -> None:
    long = settings(max_examples=1_000, stateful_step_count=60, deadline=None)
    run_state_machine_as_test(UserTown, settings=long)


def test_examples() -> None:
    assert doctest.testmod(module).failed == 0
