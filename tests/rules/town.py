"""Random people act on a log, honestly; after each step all that must hold is checked.

`Town` is what the machines of users and of groups share. It keeps the people in mind as `model`
does, and says beforehand what becomes of each block.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ledger.errors import RuleViolation
from ledger.format.block import LOG_LABEL
from ledger.format.bodies import DAY_MS, DeviceKind, Limits
from ledger.format.keys import SigningKey
from ledger.log.replay import batches, replay
from ledger.rules.state import Chain, UserState
from tests.rules.model import Model
from tests.support.actors import NOW, Device, LogActor, User, Written, signing_key
from tests.support.memory import MemoryLog
from tests.support.naive import directory_root
from tests.vectors.world import World
from verifier.judge import judge_log

LIMITS = Limits(max_devices=3, max_blocks_per_day=6, max_members=4, max_retired=16)
LABELS = [bytes([byte]) * 31 + bytes([last]) for byte, last in ((90, 1), (90, 2), (200, 1))]
"""Two that share 254 bits, and one that shares none."""

people = st.integers(0, len(LABELS) - 1)
places = st.integers(0, LIMITS.max_devices - 1)
steps = st.sampled_from((0, 1, 3_600_000, 30_000_000, DAY_MS, DAY_MS + 1))


class Town(RuleBasedStateMachine):
    """At most three users, by their label's number. `tally` counts blocks, admitted and refused."""

    labels: ClassVar[Sequence[bytes]] = LABELS
    tally: ClassVar[Counter[str]] = Counter()

    @initialize()
    def found(self) -> None:
        self.world = World(LogActor.make(limits=LIMITS), NOW)
        self.now = NOW
        self.users: dict[int, User] = {}
        self.models: dict[int, Model[bytes]] = {}
        self.policies = 0
        self.create(0)
        self.add(0, 0, kind=DeviceKind.ORDINARY)

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
            self.world.actor, f"user {number}", self.world.anchor, label=self.labels[number]
        )
        if number in self.users:
            self.refused(written, {"R-43.2"})
            return
        model: Model[bytes] = Model()
        if self.offered(written, model, "create", adding=False):
            self.models[number] = model

    @rule(number=people, author=places, kind=st.sampled_from(DeviceKind))
    @precondition(lambda self: self.users)
    def add(self, number: int, author: int, kind: DeviceKind) -> None:
        found = self.open(number)
        if found:
            user, model = found
            device = user.device(kind=kind)
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
        self.policies += 1
        self.set_policy(enrolment=signing_key("enrolment", self.policies))

    @rule(members=st.integers(2, 5))
    def set_limits(self, members: int) -> None:
        """Groups may be larger than a limit that is lowered."""
        if members != self.limits.max_members:
            self.set_policy(limits=replace(self.limits, max_members=members))

    def set_policy(
        self, *, enrolment: SigningKey | None = None, limits: Limits | None = None
    ) -> None:
        if self.too_old():
            return
        self.world.now, actor = self.now, self.world.actor
        written = actor.policy(self.world.anchor, enrolment=enrolment, limits=limits)
        self.world.admit_policy(written)

    @property
    def limits(self) -> Limits:
        return self.world.actor.limits

    # How they are offered.

    def too_old(self) -> bool:
        """Whether the newest anchor is older than a day (R-44.3)."""
        return self.now - self.world.log.head.time > DAY_MS

    def predicted(self, model: Model[bytes], *, adding: bool, revoking: bool = False) -> str:
        today = self.now // DAY_MS
        refusal = model.refusal(self.limits, today, adding=adding, revoking=revoking)
        return refusal or ("R-44.3" if self.too_old() else "")

    def refused(self, written: Written[User], rules: Collection[str]) -> None:
        self.tally["refused: user"] += 1
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
        predicted = self.predicted(model, adding=adding, revoking=what == "revoke")
        if predicted:
            self.refused(written, {predicted})
            return False
        self.tally[f"admitted: user {what}"] += 1
        user = self.world.admit(written, self.now)
        self.users[self.labels.index(user.label)] = user
        keys = [key for device in user.devices for key in _keys(device)]
        entering = {*keys, user.user_key.public} - model.live if keys else ()
        model.advance(what, entering, self.now // DAY_MS, leaving)
        return True

    # What must always hold.

    @invariant()
    def chains_are_as_remembered(self) -> None:
        for number, model in getattr(self, "models", {}).items():
            chain = self.world.log.chain(self.labels[number])
            assert chain is not None
            check_chain(chain, model)
            assert len(self.world.log.blocks_of(self.labels[number])) == model.length

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
        (one.head, one.chains, one.ends, one.links, one.leaves) for one in (log, replica)
    ]
    assert seen[0] == seen[1]
    assert judge_log(log.entries, log.log_id) == (log.head.root, log.head.directory)
