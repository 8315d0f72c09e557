"""Whose cosignatures a client asks for, whether it replays the log or looks up (62-witnesses)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from ledger.client.lookups.light import verify
from ledger.client.policy import NOBODY, Policy
from ledger.client.replay.session import Log
from ledger.errors import (
    LogMisbehaved,
    MalformedInput,
    NotCosigned,
    NotFresh,
    UnusablePolicy,
    UsageError,
)
from ledger.format.bodies import DAY_MS, Demands
from ledger.format.keys import SigningKey
from ledger.format.lookup import Mode
from ledger.format.note import ED25519, Verifier
from ledger.format.policy import TrustPolicy
from ledger.rules.state import LogState
from tests.client.light_world import ADA, LightWorld
from tests.client.world import Server, World, replica_of
from tests.support.actors import NOW
from tests.support.lookups import Auditor
from tests.support.policies import cosigned, policy_text, quorum

W1, W2, W3 = WITNESSES = tuple(map(Auditor.make, ("w1", "w2", "w3")))
TWO = Policy(witnesses=quorum(2, *WITNESSES))
MINUTE = 60_000


@pytest.fixture(scope="module")
def world() -> World:
    return World.make()


@pytest.fixture(scope="module")
def light() -> LightWorld:
    return LightWorld.make()


Cosigned = Sequence[tuple[Auditor, int]]
"""Who cosigned when (ms)."""


def under(note: bytes, signed: Cosigned) -> bytes:
    for who, time in signed:
        note = cosigned(note, time, who)
    return note


async def replayed(world: World, policy: Policy, signed: Cosigned, now: int) -> None:
    """What a client makes of it that replays the log."""
    server = Server(world)
    server.note = under(server.note, signed)
    with replica_of(world) as replica:
        try:
            await Log(replica, server, policy=policy, clock=lambda: now).sync()
        except NotFresh:
            raise
        except (LogMisbehaved, NotCosigned):
            assert replica.head.size == 0
            raise
        assert replica.note == server.note


async def looked_up(world: LightWorld, policy: Policy, signed: Cosigned, now: int) -> None:
    """What a client makes of it that looks somebody up."""
    held = world.held()
    asked = held.ask(world.ada.label, policy, [ADA])
    bundle = world.teller.lying(auditors=()).bundle(asked)
    bundle = replace(bundle, checkpoint=under(bundle.checkpoint, signed))
    outcome = verify(bundle.encode(), asked, held, policy, now)
    assert outcome.view.note == bundle.checkpoint


@pytest.fixture(params=["replayed", "looked up"])
def judge(request: pytest.FixtureRequest, world: World, light: LightWorld) -> object:
    async def judge(policy: Policy, *signed: tuple[Auditor, int], now: int = NOW) -> None:
        if request.param == "replayed":
            await replayed(world, policy, signed, now)
        else:
            await looked_up(light, policy, signed, now)

    return judge


async def test_a_quorum_is_asked_for(judge) -> None:  # type: ignore[no-untyped-def]
    """R-62.8, and R-62.4 for what a quorum is."""
    await judge(TWO, (W1, NOW), (W3, NOW))
    await judge(TWO, (W1, NOW), (W2, NOW), (W3, NOW))
    strangers = Auditor.make("stranger"), Auditor("w2", SigningKey(bytes(32)))
    for few in ([], [(W2, NOW)], [(W2, NOW), *((one, NOW) for one in strangers)]):
        with pytest.raises(NotCosigned, match=r"R-62\.8") as caught:
            await judge(TWO, *few)
        signed = {who.name for who, _ in few if who in WITNESSES}
        assert set(caught.value.missing) == {one.name for one in WITNESSES} - signed
    await judge(Policy(), (W2, NOW))


async def test_cosignatures_that_do_not_count(judge) -> None:  # type: ignore[no-untyped-def]
    """R-62.7: of no time, or of more than 5 minutes to come."""
    await judge(TWO, (W1, NOW + 300_000), (W2, NOW))
    for time in (0, NOW + 301_000):
        with pytest.raises(NotCosigned, match=r"R-62\.8.*w1, w3"):
            await judge(TWO, (W1, time), (W2, NOW))


async def test_the_quorum_tells_the_time(judge) -> None:  # type: ignore[no-untyped-def]
    """R-62.9: an old tree that was cosigned again is fresh, whatever its last entry says."""
    now, strict = NOW + 2 * DAY_MS, replace(TWO, max_age=MINUTE)
    await judge(strict, (W1, now), (W2, now - MINUTE), now=now)
    with pytest.raises(NotFresh, match=r"R-62\.9.*61 s old"):
        await judge(strict, (W1, now), (W2, now - MINUTE - 1_000), now=now)
    await judge(strict, (W1, now), (W2, NOW), (W3, now - MINUTE), now=now)
    with pytest.raises(NotFresh, match=r"R-62\.9"):
        await judge(TWO, (W1, NOW), (W2, NOW), now=now)
    with pytest.raises(NotFresh, match=r"R-61\.3"):
        await judge(Policy(), (W1, now), (W2, now), now=now)


async def test_time_ahead_of_the_quorum(judge) -> None:  # type: ignore[no-untyped-def]
    """R-62.9: witnesses can't cosign what is to come."""
    await judge(TWO, (W1, NOW - 300_000), (W2, NOW))
    with pytest.raises(LogMisbehaved, match=r"R-62\.9.*301 s ahead"):
        await judge(TWO, (W1, NOW - 301_000), (W2, NOW))
    await judge(TWO, (W1, NOW - 301_000), (W2, NOW), (W3, NOW))
    with pytest.raises(NotFresh, match=r"R-61\.3"):
        await judge(TWO, (W1, NOW - 1_000), (W2, NOW - 1_000), now=NOW - 300_500)


async def test_a_cosignature_that_fails(judge) -> None:  # type: ignore[no-untyped-def]
    """R-60.3: by a known name and key, over another text."""
    forged = Auditor.make("w1")
    broken = Policy(witnesses=quorum(1, forged))
    other = World.make("example.net/log").note(9)
    line = cosigned(other, NOW, forged).splitlines(keepends=True)[-1]
    with pytest.raises(Exception, match=r"R-60\.3"):
        await _with_line(judge, broken, line)


async def _with_line(judge, policy: Policy, line: bytes) -> None:  # type: ignore[no-untyped-def]
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patch:
        patch.setattr(f"{__name__}.under", lambda note, signed: note + line)
        await judge(policy)


# --- policies that are of no use


def state_of(world: World) -> LogState:
    with replica_of(world, 2) as replica:
        return replica.log


def test_policies_that_make_no_sense(world: World) -> None:
    with pytest.raises(UsageError, match=r"R-65\.9"):
        Policy(Mode.AUDITED)
    with pytest.raises(UsageError, match=r"R-65\.9"):
        Policy(Mode.AUDITED, auditors=quorum(0, W1))
    with pytest.raises(UnusablePolicy, match=r"R-62\.5"):
        Policy(witnesses=quorum(1, W1, W2), auditors=quorum(1, W2))
    renamed = Auditor("other", W1.key)
    with pytest.raises(UnusablePolicy, match=r"R-62\.5"):
        Policy(witnesses=quorum(1, W1), auditors=quorum(1, renamed))
    Policy(witnesses=quorum(1, W1), auditors=quorum(1, W2)).check(state_of(world))


def test_a_policy_of_files() -> None:
    one, other = policy_text(1, W1, W2), policy_text(1, W3)
    found = Policy.parse(one.encode(), other.encode(), max_age=MINUTE)
    assert found == Policy(Mode.REPLAY, MINUTE, quorum(1, W1, W2), quorum(1, W3))
    assert Policy.parse() == Policy()
    with pytest.raises(MalformedInput, match=r"R-62\.1"):
        Policy.parse(b"")


def policies(one: TrustPolicy) -> list[Policy]:
    return [Policy(witnesses=one), Policy(auditors=one)]


def test_policies_of_no_use_for_a_log(world: World) -> None:
    log, actor = state_of(world), world.actor
    its = Verifier(actor.origin, ED25519, actor.log_key.public)
    other = Verifier("example.net/log", ED25519, actor.log_key.public)
    for policy in policies(quorum(1, W1, log=its)):
        policy.check(log)
    for policy in policies(quorum(1, W1, log=other)):
        with pytest.raises(UnusablePolicy, match=r"R-62\.3"):
            policy.check(log)
    for policy in policies(quorum(1, W1, Auditor("log", actor.log_key))):
        with pytest.raises(UnusablePolicy, match=r"R-62\.5"):
            policy.check(log)


def test_what_the_log_demands_comes_on_top(world: World) -> None:
    """R-62.6: of the witnesses from everybody, of the auditors from who does not replay."""
    log = replace(state_of(world), demands=Demands(witnesses=2, auditors=1))
    useful = Policy(witnesses=quorum(1, W1, W2), auditors=quorum(1, W3))
    useful.check(log)
    replace(useful, auditors=NOBODY).check(log, replays=True)
    with pytest.raises(UnusablePolicy, match=r"R-62\.6.*auditors.*name more"):
        replace(useful, auditors=NOBODY).check(log)
    for few in (NOBODY, quorum(1, W1)):
        with pytest.raises(UnusablePolicy, match=r"R-62\.6.*witnesses"):
            replace(useful, witnesses=few).check(log, replays=True)
    times = {one.key.public: time for one, time in ((W1, 30), (W2, 20), (W3, 40))}
    assert useful.quorum_time(times, log) == 20_000
    assert useful.quorum_time(times, state_of(world)) == 30_000
    assert Policy().quorum_time(times, state_of(world)) is None
    with pytest.raises(NotCosigned):
        useful.quorum_time({W1.key.public: 30}, log)
    assert useful.covers(times, log)
    assert not useful.covers({W1.key.public}, log)


async def test_a_policy_of_no_use_asks_for_nothing(world: World) -> None:
    other = Verifier("example.net/log", ED25519, world.actor.log_key.public)
    server = Server(world)
    with replica_of(world) as replica, pytest.raises(UnusablePolicy):
        await Log(replica, server, policy=Policy(witnesses=quorum(1, W1, log=other))).sync()
    assert server.asked == ["checkpoint", "tile/entries/000.p/9"]  # to learn the log's key
