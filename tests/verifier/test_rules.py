"""The state machine: for each rule a log that passes and its nearest one that must fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256

import pytest
from nacl.signing import SigningKey

from tests.verifier.builder import (
    DAY,
    DEMANDS,
    START,
    ZERO,
    BuiltLog,
    Device,
    Draft,
    User,
    mth,
    public,
)
from verifier.errors import Invalid, Misbehaviour
from verifier.judge import judge_log, replay_log


@dataclass
class World:
    """A log with alice, who has two devices, and bob, who has one; `gone` was alice's."""

    log: BuiltLog = field(default_factory=BuiltLog)
    kind: int = 1
    """Of alice's second device."""

    def __post_init__(self) -> None:
        log = self.log
        self.alice, self.bob = User(log), User(log)
        log.batch(self.alice.create(), self.bob.create())
        log.batch(self.alice.add(device_kind=self.kind))
        log.batch(self.alice.add())
        self.gone = self.alice.devices[2]
        self.old_user_key = self.alice.state[7]
        log.batch(self.alice.revoke(self.gone))
        self.key = log.keys.ed25519()


def judged(log: BuiltLog) -> tuple[bytes, bytes]:
    return judge_log(log.entries, log.log_id)


def refused(log: BuiltLog) -> Invalid:
    with pytest.raises(Invalid) as caught:
        judged(log)
    return caught.value


def device(world: World, **changes: bytes | SigningKey) -> Device:
    made = world.alice.device()
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def delegated(world: World, **said: object) -> Draft:
    return User(world.log).create(said=said)


def expiring(world: World, late: int) -> Draft:
    """Its block is admitted a second from now."""
    return delegated(world, expiry=world.log.time + 1_000 - late)


def taken_user_key(world: World) -> bytes:
    return bytes(world.bob.state[7])


def reuse_seed(world: World) -> Draft:
    """One ephemeral key for two users: nothing forbids it, for it enters no chain."""
    ephemeral = world.log.keys.ed25519()
    world.log.batch(User(world.log).create(ephemeral=ephemeral))
    return User(world.log).create(ephemeral=ephemeral)


def filled(world: World, count: int) -> Draft:
    """Bob has `count` devices after this draft."""
    while len(world.bob.devices) < count - 1:
        world.log.batch(world.bob.add())
    return world.bob.add()


def busy(world: World, count: int) -> Draft:
    """Bob's `count`th block of one day, at a limit of 4 blocks a day."""
    world.log.batch(world.log.policy(limits=[16_384, 64, 1, 4, 64]))
    for _ in range(count - 2):
        world.log.batch(world.bob.add())
    return world.bob.add()


def after_midnight(world: World) -> Draft:
    busy(world, 5)
    world.log.time += DAY - world.log.time % DAY
    world.log.batch()
    return world.bob.add()


def closed(world: World) -> User:
    author = world.bob.devices[0]
    world.log.batch(world.bob.close())
    world.bob.devices = [author]
    return world.bob


def policy_key_retired(world: World) -> SigningKey:
    old = world.log.enrolment
    world.log.batch(world.log.policy(enrolment=world.log.keys.ed25519()))
    return old


Case = Callable[[World], Draft]


def honest_create(world: World) -> Draft:
    return User(world.log).create()


def honest_add(world: World) -> Draft:
    return world.alice.add()


def honest_revoke(world: World) -> Draft:
    return world.alice.revoke(world.alice.devices[1])


def honest_reset(world: World) -> Draft:
    return world.alice.reset()


CASES: list[tuple[str, Case, Case]] = [
    ("R-43.1", lambda w: w.alice.add(seq=3), honest_add),
    ("R-43.1", lambda w: w.alice.add(seq=5), honest_add),
    ("R-43.1", lambda w: w.alice.add(prev=w.bob.state[1]), honest_add),
    ("R-43.2", lambda w: User(w.log, w.alice.label).create(seq=0, prev=ZERO), honest_create),
    ("R-43.2", lambda w: w.alice.add(label=b"n" * 32), honest_add),
    ("R-42.4", lambda w: w.log.create(seq=0, prev=ZERO, log_id=ZERO),
     lambda w: w.log.policy(limits=[1_024, 8, 1, 9, 64])),
    ("R-53.1", lambda w: w.alice.reset(ephemeral=w.alice.devices[1].signing), honest_reset),
    ("R-53.1", lambda w: w.alice.reset(ephemeral=w.gone.signing), honest_reset),
    ("R-44.1", lambda w: User(w.log).create(anchor=[0, mth([])]), honest_create),
    ("R-44.1", lambda w: User(w.log).create(anchor=[99, mth([])]), honest_create),
    ("R-44.2", lambda w: User(w.log).create(anchor=[4, mth(w.log.leaves[:4])]), honest_create),
    (
        "R-44.2",
        lambda w: User(w.log).create(anchor=[w.log.anchor()[0], ZERO]),
        lambda w: User(w.log).create(anchor=w.log.anchor(2)),
    ),
    ("R-44.4", lambda w: w.alice.add(anchor=w.log.anchor(1)), honest_add),
    (
        "R-50.2",
        lambda w: w.alice.add(signers=[w.alice.devices[0].signing]),
        honest_add,
    ),
    (
        "R-50.2",
        lambda w: w.alice.add(signers=[w.key, w.alice.devices[0].signing]),
        honest_add,
    ),
    ("R-50.2", lambda w: w.alice.revoke(w.alice.devices[1], signers=[w.key]), honest_revoke),
    (
        "R-50.2",
        lambda w: w.alice.close(signers=[w.alice.devices[0].signing, w.alice.devices[1].signing]),
        lambda w: w.alice.close(),
    ),
    ("R-50.2", lambda w: User(w.log).create(signers=[w.key]), honest_create),
    ("R-50.2", lambda w: w.alice.reset(signers=[w.key, w.log.authority]), honest_reset),
    ("R-51.2", lambda w: w.log.policy(),
     lambda w: w.log.policy(limits=[16_384, 8, 1_000, 999, 64])),
    ("R-50.2", lambda w: w.log.policy(enrolment=w.key, signers=[w.log.app_root, w.log.log_key]),
     lambda w: w.log.policy(enrolment=w.key)),
    ("R-51.3", lambda w: w.log.policy(enrolment=w.log.authority),
     lambda w: w.log.policy(enrolment=w.key)),
    ("R-51.3", lambda w: w.log.policy(app_root=w.log.vrf_key),
     lambda w: w.log.policy(app_root=w.key)),
    ("R-51.3", lambda w: w.log.policy(enrolment=policy_key_retired(w)),
     lambda w: w.log.policy(app_root=w.key, enrolment=w.log.keys.ed25519())),
    ("R-52.1", lambda w: delegated(w, signers=[w.log.app_root]), honest_create),
    ("R-52.1", lambda w: delegated(w, signers=[policy_key_retired(w)]), honest_create),
    ("R-52.2", lambda w: delegated(w, log_id=b"other".ljust(32)), honest_create),
    ("R-52.2", lambda w: delegated(w, purpose=1), honest_create),
    ("R-52.2", lambda w: w.alice.reset(said={"purpose": 0}), honest_reset),
    ("R-52.3", lambda w: expiring(w, 1), lambda w: expiring(w, 0)),
    ("R-52.4", lambda w: delegated(w, epoch=1), honest_create),
    ("R-52.4", lambda w: w.alice.reset(said={"epoch": 1}), honest_reset),
    ("R-52.4", lambda w: w.alice.reset(said={"commitment": b"c" * 32}), honest_reset),
    ("R-53.1", lambda w: w.alice.add(device=device(w, encryption=w.alice.state[7])), honest_add),
    (
        "R-53.1",
        lambda w: w.alice.add(device=device(w, encryption=w.gone.encryption)),
        lambda w: w.alice.add(device=device(w, encryption=taken_user_key(w))),
    ),
    ("R-53.1", lambda w: w.alice.add(device=device(w, signing=w.gone.signing)), honest_add),
    (
        "R-53.1",
        lambda w: w.alice.add(device=device(w, signing=w.alice.devices[1].signing)),
        honest_add,
    ),
    ("R-53.1", lambda w: User(w.log).create(device=device(w, encryption=b"k" * 31 + b"\x01"),
                                            user_key=b"k" * 31 + b"\x01"), honest_create),
    (
        "R-53.1",
        lambda w: w.alice.revoke(w.alice.devices[1], user_key=w.old_user_key),
        honest_revoke,
    ),
    (
        "R-53.1",
        lambda w: w.alice.revoke(w.alice.devices[1], user_key=w.alice.state[7]),
        honest_revoke,
    ),
    ("R-53.1", lambda w: w.alice.reset(user_key=w.alice.state[7]), honest_reset),
    ("R-53.1", lambda w: w.alice.reset(device=device(w, signing=w.gone.signing)), honest_reset),
    ("R-53.2", lambda w: User(w.log).create(device_kind=1), honest_create),
    ("R-53.2", lambda w: User(w.log).create(device_kind=2), honest_create),
    ("R-53.2", lambda w: w.alice.reset(device_kind=1), honest_reset),
    ("R-53.3", lambda w: w.alice.add(author=w.gone), honest_add),
    ("R-53.3", lambda w: w.alice.add(author=w.bob.devices[0]), honest_add),
    ("R-53.3", lambda w: closed(w).add(), lambda w: closed(w).reset()),
    ("R-53.4", lambda w: filled(w, 9), lambda w: filled(w, 8)),
    ("R-53.5", lambda w: w.alice.revoke(w.alice.devices[0]), honest_revoke),
    ("R-53.5", lambda w: w.alice.revoke(w.gone), honest_revoke),
    (
        "R-53.5",
        lambda w: w.alice.revoke(revoked=[public(w.alice.devices[1].signing)] * 2),
        honest_revoke,
    ),
    ("R-53.7", lambda w: busy(w, 5), lambda w: busy(w, 4)),
    ("R-53.7", lambda w: busy(w, 5), after_midnight),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "bad", "good"), CASES)
def test_rules(rule: str, bad: Case, good: Case) -> None:
    world = World()
    draft = good(world)
    world.log.batch(draft)
    assert judged(world.log)[0] == mth(world.log.leaves)
    world = World()
    draft = bad(world)
    index = len(world.log.entries)
    world.log.batch(draft)
    error = refused(world.log)
    assert (error.verdict, error.rule, error.index) == ("rule", rule, index)


def test_revoked_keys_must_stand_in_order() -> None:
    world = World()
    world.log.batch(world.alice.add())
    keys = [public(one.signing) for one in world.alice.devices[1:]]
    world.log.batch(world.alice.revoke(revoked=keys))
    judged(world.log)
    world = World()
    world.log.batch(world.alice.add())
    keys = [public(one.signing) for one in world.alice.devices[1:]]
    world.log.batch(world.alice.revoke(revoked=keys[::-1]))
    assert refused(world.log).rule == "R-53.5"


def test_a_policy_cannot_take_one_key_twice() -> None:
    world = World()
    draft = world.log.policy(app_root=world.key, enrolment=world.key, signers=[world.key])
    world.log.batch(draft)
    assert refused(world.log).rule == "R-50.2"  # both keys cannot sign apart


def test_a_delegation_of_the_new_enrolment_key_counts_at_once_and_of_the_old_no_more() -> None:
    for is_new in (True, False):
        world = World()
        old = world.log.enrolment
        policy = world.log.policy(enrolment=world.key)
        user = delegated(world, signers=[world.key if is_new else old])
        world.log.batch(policy, user)
        if is_new:
            judged(world.log)
        else:
            assert refused(world.log).rule == "R-52.1"


def test_an_ephemeral_key_is_no_key_of_the_chain() -> None:
    world = World()
    world.log.batch(reuse_seed(world))
    judged(world.log)


def test_a_block_beyond_the_logs_own_limit() -> None:
    world = World()
    world.log.batch(world.log.policy(limits=[1_024, 64, 1, 1_000, 64]))
    while len(world.alice.devices) < 22:
        world.log.batch(world.alice.add())
    draft = world.alice.revoke(*world.alice.devices[1:20])
    assert len(draft.data) <= 1_024
    world.log.batch(draft)
    judged(world.log)
    while len(world.alice.devices) < 28:
        world.log.batch(world.alice.add())
    draft = world.alice.revoke(*world.alice.devices[1:28])
    assert len(draft.data) > 1_024
    world.log.batch(draft)
    assert refused(world.log).rule == "R-41.1"


def retiring(world: World, count: int) -> None:
    """Gives bob `count` retired keys, on paper: his state is what the log says it is."""
    author, old = world.bob.devices[0], world.bob.state[:]
    for _ in range((count - len(old[10]) // 32) // 3):
        world.log.batch(world.bob.add())
        world.log.batch(world.bob.revoke(world.bob.devices[1], author=author))


def test_revoking_ends_with_max_retired_keys() -> None:
    world = World(BuiltLog(limits=[16_384, 8, 1, 65_535, 64]))
    retiring(world, 64)
    assert len(world.bob.state[10]) // 32 == 63
    for keys in (63, 66):
        assert len(world.bob.state[10]) // 32 == keys
        world.log.batch(world.bob.add())
        world.log.batch(world.bob.revoke(world.bob.devices[1]))
    assert refused(world.log).rule == "R-53.6"
    del world.log.entries[-2:]
    judged(world.log)


def test_an_anchor_may_be_a_day_old() -> None:
    for late, is_good in ((0, True), (1, False)):
        world = World()
        anchor, time = world.log.anchor(), world.log.time
        draft = User(world.log).create(anchor=anchor, said={"expiry": 2**50})
        world.log.batch(draft, after=time + DAY + late - world.log.time)
        if is_good:
            judged(world.log)
        else:
            assert refused(world.log).rule == "R-44.3"


def test_two_blocks_of_one_chain_share_no_batch() -> None:
    world = World()
    first = world.alice.add()
    world.log.admit(first)
    second = world.alice.add()
    world.log.admit(second)
    world.log.close()
    assert refused(world.log).rule == "R-44.4"


@pytest.mark.parametrize("origin", ["log.example/" + "x" * 116, "!", "~"])
def test_origins(origin: str) -> None:
    judged(BuiltLog(origin=origin))


@pytest.mark.parametrize("origin", ["", "log.example/" + "x" * 117, "a b", "a+b", "é", "a\x7f"])
def test_origins_that_are_refused(origin: str) -> None:
    assert refused(BuiltLog(origin=origin)).rule == "R-51.1"


def test_the_first_block() -> None:
    judged(BuiltLog(heartbeat=1_000, demands=[0, 0, 1_000]))
    assert refused(BuiltLog(heartbeat=1_001, demands=[0, 0, 1_000])).rule == "R-51.1"
    same = public(SigningKey(b"s" * 32))
    assert refused(BuiltLog(vrf_key=same, authority=same)).rule == "R-51.1"
    assert refused(BuiltLog(anchor=[0, ZERO])).rule == "R-42.4"
    assert refused(BuiltLog(limits=[1_023, 1, 1, 1, 64])).rule == "R-10.4"
    assert refused(BuiltLog(demands=[33, *DEMANDS[1:]])).rule == "R-10.4"
    log = BuiltLog()
    with pytest.raises(Invalid, match=r"R-61\.1"):
        judge_log(log.entries, b"another log id".ljust(32))


def test_the_first_block_is_signed_by_app_root_and_log_key() -> None:
    class Swapped(BuiltLog):
        def create(self, signers: object = None, **body: object) -> Draft:
            return super().create([self.log_key, self.app_root], **body)

    assert refused(Swapped()).rule == "R-50.2"


def test_a_log_begins_with_its_first_block() -> None:
    log = BuiltLog()
    with pytest.raises(Invalid, match=r"R-42\.4"):
        judge_log(log.entries[1:], log.log_id)
    with pytest.raises(Invalid, match=r"R-42\.4"):
        judge_log([], log.log_id)
    other = BuiltLog("other")
    user = User(other)
    other.batch(user.create())
    with pytest.raises(Invalid, match=r"R-42\.4"):
        judge_log(other.entries[2:], other.log_id)


def test_batches() -> None:
    log = BuiltLog()
    log.batch()  # a heartbeat
    log.batch(after=0)  # two batches may carry one time
    judged(log)
    log.admit(User(log).create())
    assert refused(log).rule == "R-42.2"  # no directory root behind it


def test_a_batch_carries_one_time_that_never_decreases() -> None:
    for change, is_good in ((0, True), (1, False), (-1, False)):
        world = World()
        world.log.admit(User(world.log).create())
        world.log.close(time=world.log.time + change)
        if is_good:
            judged(world.log)
        else:
            assert refused(world.log).rule == "R-42.3"
    log = BuiltLog()
    log.batch(after=-1)
    assert refused(log).rule == "R-42.3"


def test_a_batch_holds_at_most_4096_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("verifier.replay.MAX_BATCH", 3)
    for count, is_good in ((3, True), (4, False)):
        log = BuiltLog()
        log.batch(*(User(log).create() for _ in range(count)))
        if is_good:
            judged(log)
        else:
            assert refused(log).rule == "R-42.2"


def test_a_directory_root_follows_from_the_log() -> None:
    log = BuiltLog()
    log.batch(User(log).create(), root=sha256(b"a lie").digest())
    assert refused(log).rule == "R-42.5"
    log = BuiltLog()
    log.batch()
    stale = log.held.copy()
    log.batch(User(log).create())
    del log.entries[-1], log.leaves[-1]
    log.held = stale  # the root of before
    log.close()
    assert refused(log).rule == "R-42.5"


@pytest.mark.parametrize("kind", [1, 2])
def test_loud_events(kind: int) -> None:
    world = World(kind=kind)
    log, alice, bob = world.log, world.alice, world.bob

    def events(*drafts: Draft) -> list[list[int]]:
        log.batch(*drafts)
        return replay_log(log.entries, log.log_id).events

    assert events() == []
    assert events(alice.add(author=alice.devices[1]), bob.add()) == [[2], []]
    assert events(alice.revoke(alice.devices[2]), bob.revoke(bob.devices[1])) == [[], [4]]
    assert events(alice.revoke(alice.devices[1])) == [[3, 4]]
    assert events(alice.close(), bob.reset()) == [[1], [0]]
    assert events(alice.reset(), log.policy(enrolment=world.key)) == [[0], []]


def test_a_long_life_resolves_to_the_state_of_the_specs() -> None:
    """Every type, several times, against the states and roots built by hand."""
    world = World()
    log, alice, bob = world.log, world.alice, world.bob
    for _ in range(3):
        log.batch(alice.add(), bob.add(device_kind=1))
        log.batch(alice.revoke(*alice.devices[1:]), bob.close())
        log.batch(log.policy(app_root=log.keys.ed25519(), enrolment=log.keys.ed25519()))
        log.batch(bob.reset(), alice.reset())
        log.time += DAY
        log.batch()
    assert judged(log) == (mth(log.leaves), log.directory())
    assert log.time > START + 3 * DAY


def test_misbehaviour_says_what_it_is() -> None:
    error = Misbehaviour("fork", "R-61.2", "two roots", {"a": b"b"}, transferable=True)
    assert str(error) == "fork: two roots (R-61.2)"
