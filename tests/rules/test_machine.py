"""Random people act on a log, honestly and not; after each step all that must hold is checked."""

from __future__ import annotations

import doctest
from collections.abc import Collection
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from ledger.errors import RuleViolation
from ledger.format.block import LOG_LABEL
from ledger.format.bodies import DAY_MS, DeviceKind, Limits
from ledger.log.planner import Admission
from ledger.log.replay import batches, replay
from ledger.rules.state import Chain, UserState
from tests.rules import model as module
from tests.rules.model import Model
from tests.support.actors import NOW, Device, LogActor, User, Written, signing_key
from tests.support.memory import MemoryLog
from tests.support.naive import directory_root
from tests.vectors.world import World
from verifier.judge import judge_log

LIMITS = Limits(max_devices=3, max_blocks_per_day=6)
LABELS = [bytes([byte]) * 31 + bytes([last]) for byte, last in ((90, 1), (90, 2), (200, 1))]
"""Two that share 254 bits, and one that shares none."""

people = st.integers(0, len(LABELS) - 1)
places = st.integers(0, LIMITS.max_devices - 1)
steps = st.sampled_from((0, 1, 3_600_000, 30_000_000, DAY_MS, DAY_MS + 1))


class Town(RuleBasedStateMachine):
    """At most three users, by their label's number."""

    @initialize()
    def found(self) -> None:
        self.world = World(LogActor.make(limits=LIMITS), NOW)
        self.now = NOW
        self.users: dict[int, User] = {}
        self.models: dict[int, Model[bytes]] = {}
        self.policies = 0
        self.create(0)
        self.add(0, 0, recovery=False)

    def some(self, number: int) -> tuple[User, Model[bytes]]:
        """A user that exists, whatever the number."""
        return self.some_of(list(self.users), number)

    def some_of(self, numbers: list[int], choice: int) -> tuple[User, Model[bytes]]:
        number = sorted(numbers)[choice % len(numbers)]
        return self.users[number], self.models[number]

    def open(self, number: int) -> tuple[User, Model[bytes]] | None:
        """The same, if it is not closed."""
        user, model = self.some(number)
        return None if model.closed else (user, model)

    # Honest operations: admitted, or refused by the limit that the model names.

    @rule(number=people)
    def create(self, number: int) -> None:
        written = User.create(
            self.world.actor, f"user {number}", self.world.anchor, label=LABELS[number]
        )
        if number in self.users:
            self.refused(written, {"R-43.2"})
            return
        model: Model[bytes] = Model()
        if self.offered(written, model, "create", adding=False):
            self.models[number] = model

    @rule(number=people, author=places, recovery=st.booleans())
    @precondition(lambda self: self.users)
    def add(self, number: int, author: int, recovery: bool) -> None:
        found = self.open(number)
        if found:
            user, model = found
            device = user.device(kind=DeviceKind(int(recovery)))
            written = user.add(self.world.anchor, device, author=author % model.devices)
            self.offered(written, model, "add", adding=True)

    @rule(number=people, author=places, chosen=st.sets(places, min_size=1))
    @precondition(lambda self: any(model.devices > 1 for model in self.models.values()))
    def revoke(self, number: int, author: int, chosen: set[int]) -> None:
        several = [name for name, model in self.models.items() if model.devices > 1]
        user, model = self.some_of(several, number)
        author %= model.devices
        leaving = sorted({place % model.devices for place in chosen} - {author})
        if leaving:
            written = user.revoke(self.world.anchor, *leaving, author=author)
            out = {key for place in leaving for key in _keys(user.devices[place])}
            self.offered(written, model, "revoke", leaving=out | {user.user_key.public})

    @rule(number=people)
    @precondition(lambda self: self.users)
    def reset(self, number: int) -> None:
        user, model = self.some(number)
        self.offered(user.reset(self.world.actor, self.world.anchor), model, "reset")

    @rule(number=people, author=places)
    @precondition(lambda self: self.users)
    def close(self, number: int, author: int) -> None:
        found = self.open(number)
        if found:
            user, model = found
            written = user.close(self.world.anchor, author=author % model.devices)
            self.offered(written, model, "close")

    @rule(step=steps, alive=st.booleans())
    def wait(self, step: int, alive: bool) -> None:
        """Time goes by; without a heartbeat, with nothing new that anybody could anchor in."""
        self.now += step
        if alive:
            self.heartbeat()

    @rule()
    def heartbeat(self) -> None:
        self.world.heartbeat(self.now)

    @rule()
    def rotate_enrolment(self) -> None:
        if self.too_old():
            return
        self.policies += 1
        key = signing_key("enrolment", self.policies)
        self.world.now = self.now
        self.world.admit_policy(self.world.actor.policy(self.world.anchor, enrolment=key))

    # Dishonest ones: always refused, and nothing is changed.

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

    # How they are offered.

    def too_old(self) -> bool:
        """Whether the newest anchor is older than a day (R-44.3)."""
        return self.now - self.world.log.head.time > DAY_MS

    def predicted(self, model: Model[bytes], *, adding: bool) -> str:
        limits = {"max_devices": LIMITS.max_devices, "max_blocks": LIMITS.max_blocks_per_day}
        refusal = model.refusal(**limits, day=self.now // DAY_MS, adding=adding)
        return refusal or ("R-44.3" if self.too_old() else "")

    def refused(self, written: Written[User], rules: set[str]) -> None:
        before = self.world.log.head
        result = self.world.log.plan([written.raw], self.now).results[0]
        assert isinstance(result, RuleViolation)
        assert result.rule in rules
        assert self.world.log.head == before

    def offered(
        self,
        written: Written[User],
        model: Model[bytes],
        what: str,
        *,
        adding: bool = False,
        leaving: Collection[bytes] = (),
    ) -> bool:
        """Admits an honest block, unless the model predicts otherwise."""
        predicted = self.predicted(model, adding=adding)
        if predicted:
            self.refused(written, {predicted})
            return False
        user = self.world.admit(written, self.now)
        self.users[LABELS.index(user.label)] = user
        keys = [key for device in user.devices for key in _keys(device)]
        entering = {*keys, user.user_key.public} - model.live if keys else ()
        model.advance(what, entering, self.now // DAY_MS, leaving)
        return True

    # What must always hold.

    @invariant()
    def chains_are_as_remembered(self) -> None:
        for number, model in getattr(self, "models", {}).items():
            chain = self.world.log.chain(LABELS[number])
            assert chain is not None
            check_chain(chain, model)
            assert len(self.world.log.blocks_of(LABELS[number])) == model.length

    @invariant()
    def the_directory_is_that_of_all_chains(self) -> None:
        if hasattr(self, "world"):
            log = self.world.log
            values = {label: chain.value for label, chain in log.chains.items()}
            assert log.head.directory == log.directory.root == directory_root(values)
            assert LOG_LABEL in values

    def teardown(self) -> None:
        if hasattr(self, "world"):
            check_replay(self.world.log)


def _keys(device: Device) -> tuple[bytes, bytes]:
    return device.signing.public, device.encryption.public


def check_chain(chain: Chain, model: Model[bytes]) -> None:
    """A chain's resolved state against what a person remembers of it."""
    state = chain.state
    assert isinstance(state, UserState)
    live = [key for d in state.devices for key in (d.signing, d.encryption)]
    live += [state.user_key] if state.user_key else []
    retired = {state.retired[at : at + 32] for at in range(0, len(state.retired), 32)}
    assert len(live) == len(set(live))
    assert not retired & set(live)
    assert (set(live), retired) == (model.live, model.gone)
    assert len(state.retired) == 32 * len(retired)
    assert (state.epoch, state.generation) == (model.epoch, model.generation)
    assert (chain.length, len(state.devices)) == (model.length, model.devices)
    assert state.closed == (not state.devices) == model.closed
    assert Chain.from_record(chain.record()) == chain


def check_replay(log: MemoryLog) -> None:
    """Whoever replays the entries reaches the same log; so does the verifier."""
    replica = MemoryLog()
    replica.log_id = log.log_id
    for batch in batches(log.entries):
        replica.apply(replay(replica, batch))
    seen: list[Any] = [
        (one.head, one.chains, one.ends, one.links, one.buckets) for one in (log, replica)
    ]
    assert seen[0] == seen[1]
    assert judge_log(log.entries, log.log_id) == (log.head.root, log.head.directory)


TestTown = Town.TestCase
TestTown.settings = settings(max_examples=20, stateful_step_count=30, deadline=None)


@pytest.mark.soak
def test_a_long_lived_town() -> None:
    long = settings(max_examples=1_000, stateful_step_count=60, deadline=None)
    run_state_machine_as_test(Town, settings=long)


def test_examples() -> None:
    assert doctest.testmod(module).failed == 0
