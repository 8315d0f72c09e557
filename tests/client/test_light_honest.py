"""Honest answers to lookups, in every mode: what they prove, and what they tell (65-lookups)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ledger.client.lookups.light import covered, joined, verify
from ledger.client.lookups.pins import Found, LogView, Outcome, Own, Pin, Standing
from ledger.client.policy import Policy
from ledger.errors import (
    LogMisbehaved,
    MalformedInput,
    NotCosigned,
    NotFresh,
    UnusablePolicy,
    UsageError,
)
from ledger.format import entry
from ledger.format.bodies import DAY_MS, Demands, DeviceKind
from ledger.format.lookup import Mode
from ledger.rules.state import Chain, GroupState, UserState, decode_state
from ledger.rules.users import LoudEvent
from tests.client.lies import other_world
from tests.client.light_world import (
    ADA,
    AUDITED,
    AUDITORS,
    BOB,
    LATER,
    NOBODY,
    REPLAY,
    WATCHED,
    LightWorld,
    keep,
)
from tests.support.actors import NOW
from tests.support.policies import quorum


@pytest.fixture(scope="module")
def world() -> LightWorld:
    return LightWorld.make()


@pytest.mark.parametrize("policy", [REPLAY, WATCHED, AUDITED])
def test_a_first_contact(world: LightWorld, policy: Policy) -> None:
    outcome = world.ask(ADA, policy=policy)
    (found,) = outcome.found
    chain = world.log.chains[world.ada.label]
    assert (found.label, found.known, found.opening) == (world.ada.label, False, world.ada.opening)
    assert found.pin
    assert found.pin.chain == chain
    assert found.state == chain.state
    assert (found.pin.events, found.pin.alarms, found.pin.arrived) == ((), (), ())
    assert not found.pin.user_key_changed
    assert found.pin.replayed == (policy.mode == Mode.REPLAY)
    assert (outcome.view.size, outcome.view.root) == (world.log.head.size, world.log.head.root)
    assert len(outcome.view.chain) == (2 if policy.mode == Mode.REPLAY else 0)
    expected = Standing.SIGNED if policy == REPLAY else Standing.SETTLED
    assert (outcome.standing, outcome.rest) == (expected, ())


def chain_of(world: LightWorld, label: bytes) -> Chain:
    return world.log.chains[label]


def found_in(outcome: Outcome) -> tuple[Found, Pin]:
    (found,) = outcome.found
    assert found.pin
    return found, found.pin


@pytest.mark.parametrize("policy", [REPLAY, AUDITED])
def test_nobody_is_there(world: LightWorld, policy: Policy) -> None:
    outcome = world.ask(NOBODY, policy=policy)
    (found,) = outcome.found
    assert (found.pin, found.state, found.known) == (None, None, False)
    assert found.label == world.actor.label(NOBODY)
    assert found.standing == outcome.standing


@pytest.mark.parametrize("policy", [REPLAY, AUDITED])
def test_labels_of_groups_and_people(world: LightWorld, policy: Policy) -> None:
    outcome = world.ask(world.team.label, world.bob.label, b"x" * 32, policy=policy)
    team, bob, nobody = outcome.found
    assert team.state == chain_of(world, world.team.label).state
    assert isinstance(team.state, GroupState)
    assert bob.state == chain_of(world, world.bob.label).state
    assert (nobody.pin, bob.opening) == (None, None)


@pytest.mark.parametrize("policy", [REPLAY, AUDITED])
def test_what_was_seen_goes_on(world: LightWorld, policy: Policy) -> None:
    first = world.ask(ADA, policy=policy, teller=world.tellers[0])
    held = world.held(first)
    second = world.ask(world.ada.label, policy=policy, held=held)
    found, pin = found_in(second)
    assert found.known
    assert pin.chain == chain_of(world, world.ada.label)
    assert len(found.steps) == (1 if policy == REPLAY else 0)
    assert [one.signing for one in pin.arrived] == [world.ada.devices[1].signing.public]
    assert (pin.events, pin.user_key_changed) == ((), False)
    again = world.ask(ADA, policy=policy, held=keep(held, second, [world.ada.label]))
    found, pin = found_in(again)  # by identifier, all of the chain comes once more
    assert found.fresh == ()
    assert (pin.chain, pin.arrived) == (chain_of(world, world.ada.label), ())


def grown() -> LightWorld:
    """Then the phone goes, which is loud, and all is reset."""
    world = LightWorld.make()
    revoked = world.ada.revoke(world.log.anchor, 1)
    world.ada = revoked.after
    world.admit(revoked.raw)
    reset = world.ada.reset(world.actor, world.log.anchor)
    world.ada = reset.after
    world.admit(reset.raw, now=NOW + 5)
    return world


@pytest.mark.parametrize("policy", [REPLAY, AUDITED])
def test_what_is_loud_stays_until_it_is_accepted(policy: Policy) -> None:
    world = grown()
    held = world.held(world.ask(ADA, policy=policy, teller=world.tellers[2]))
    label = world.ada.label
    outcome = world.ask(label, policy=policy, held=held, teller=world.tellers[3])
    _, pin = found_in(outcome)
    assert [event.kind for event in pin.events] == [LoudEvent.ALL_OTHERS_REVOKED]
    held = keep(held, outcome)
    outcome = world.ask(label, policy=policy, held=held)
    _, pin = found_in(outcome)
    kinds = [LoudEvent.ALL_OTHERS_REVOKED, LoudEvent.RESET]
    assert [event.kind for event in pin.events] == kinds
    assert (pin.user_key_changed, len(pin.arrived), pin.quiet) == (True, 1, False)
    if policy == REPLAY:
        assert [event.time for event in pin.events] == [NOW, NOW + 5]
    held = keep(held, outcome, [label])
    _, pin = found_in(world.ask(label, policy=policy, held=held))
    assert (pin.events, pin.user_key_changed, pin.arrived, pin.quiet) == ((), False, (), True)


@pytest.mark.parametrize("kind", [DeviceKind.RECOVERY, DeviceKind.MAIL_RECOVERY])
def test_what_is_loud_between_two_audited_states(kind: DeviceKind) -> None:
    world = LightWorld.make()
    ada, label = world.ada, world.ada.label
    recovery = ada.add(world.log.anchor, ada.device(kind=kind))
    world.admit(recovery.raw)
    seen = len(world.tellers) - 1
    by_recovery = recovery.after.add(world.log.anchor, author=2)
    world.admit(by_recovery.raw)
    revoked = by_recovery.after.revoke(world.log.anchor, 2)
    world.admit(revoked.raw)
    closed = revoked.after.close(world.log.anchor)
    world.admit(closed.raw)
    first = world.ask(label, policy=AUDITED, teller=world.tellers[seen])
    assert found_in(first)[1].recoverable_by_mail == (kind == DeviceKind.MAIL_RECOVERY)
    held = world.held(first)
    kinds = []
    for teller in world.tellers[seen + 1 :]:
        _, pin = found_in(world.ask(label, policy=AUDITED, held=held, teller=teller))
        kinds.append({event.kind for event in pin.events})
        assert all(event.index == pin.chain.state.index for event in pin.events)
    added, gone, end = kinds
    assert added == {LoudEvent.ADDED_BY_RECOVERY}
    assert LoudEvent.RECOVERY_REVOKED in gone
    assert LoudEvent.CLOSED in end


def test_a_strange_device_of_ones_own() -> None:
    world = LightWorld.make()
    ada, label = world.ada, world.ada.label
    here, phone = (device.signing.public for device in ada.devices)
    for keys, strange in (
        ({here, phone}, []),
        ({here}, []),
        ({phone}, [here]),
        (set(), [here, phone]),
    ):
        own = Own(label, frozenset(keys))
        _, pin = found_in(world.ask(label, held=world.held(own=own)))
        assert [alarm.device.signing for alarm in pin.alarms] == strange
        other = world.ask(BOB, held=world.held(own=own))
        assert found_in(other)[1].alarms == ()


@pytest.mark.parametrize("policy", [REPLAY, AUDITED])
def test_a_ghost_is_told_even_when_it_is_gone_again(policy: Policy) -> None:
    world = LightWorld.make()
    ada, label = world.ada, world.ada.label
    own = Own(label, frozenset([ada.devices[0].signing.public]))
    outcome = world.ask(label, held=world.held(own=own), policy=policy)
    held = keep(world.held(own=own), outcome, [label])
    ghost = ada.add(world.log.anchor, author=1)
    world.admit(ghost.raw)
    with_ghost = world.teller
    revoked = ghost.after.revoke(world.log.anchor, 2)
    world.admit(revoked.raw)
    outcome = world.ask(label, held=held, policy=policy, teller=with_ghost)
    _, pin = found_in(outcome)
    (alarm,) = pin.alarms
    assert alarm.device.signing == ghost.after.devices[2].signing.public
    assert alarm.bundle == outcome.bundle
    shown = entry.block(NOW, ghost.raw) if policy == REPLAY else b""
    assert alarm.entry == shown
    assert found_in(world.ask(label, held=keep(held, outcome), policy=policy))[1].alarms == (alarm,)
    _, pin = found_in(world.ask(label, held=held, policy=policy))
    assert len(pin.alarms) == (1 if policy == REPLAY else 0)


def test_from_audited_to_replayed(world: LightWorld) -> None:
    """A state that was believed is not built upon, but it is held to."""
    audited = world.ask(ADA, policy=AUDITED, teller=world.tellers[0])
    held = world.held(audited)
    asked = held.ask(world.ada.label, REPLAY, [world.ada.label])
    assert (asked.log_held, asked.queries[0].held, asked.old) == (0, 0, audited.view.size)
    found, pin = found_in(world.ask(world.ada.label, held=held))
    assert (pin.replayed, len(found.steps), len(found.fresh)) == (True, 2, 1)
    back = world.ask(world.ada.label, held=keep(held, world.ask(ADA, held=held)), policy=AUDITED)
    assert found_in(back)[1].replayed  # nothing is new in it
    assert len(back.view.chain) == 2


def test_an_audited_state_that_was_a_lie(world: LightWorld) -> None:
    teller = world.tellers[0].telling(world.ada.label, state=ghost_of(world))
    held = world.held(world.ask(world.ada.label, policy=AUDITED, teller=teller))
    held = replace(held, view=world.ask(BOB, teller=world.tellers[0]).view)
    with pytest.raises(LogMisbehaved, match=r"R-65\.7") as caught:
        world.ask(world.ada.label, held=held)
    assert caught.value.evidence["pin"] == held.pins[world.ada.label].chain.record()


def ghost_of(world: LightWorld) -> bytes:
    state = decode_state(world.tellers[0].told[world.ada.label].state)
    assert isinstance(state, UserState)
    (device,) = state.devices
    return replace(state, devices=(device, replace(device, signing=b"g" * 32))).encode()


def test_standings(world: LightWorld) -> None:
    def standing(cosigners: int, policy: Policy, world: LightWorld = world) -> Standing:
        teller = world.teller.lying(auditors=AUDITORS[:cosigners])
        return world.ask(ADA, policy=policy, teller=teller).standing

    assert standing(2, REPLAY) == Standing.SIGNED
    assert standing(1, WATCHED) == Standing.PROVISIONAL
    assert standing(2, WATCHED) == Standing.SETTLED
    assert standing(3, WATCHED) == Standing.SETTLED
    strict = LightWorld.make(demands=Demands(auditors=3))
    assert standing(2, WATCHED, strict) == Standing.PROVISIONAL
    assert standing(3, WATCHED, strict) == Standing.SETTLED
    with pytest.raises(NotCosigned, match=r"R-65\.9") as caught:
        standing(2, AUDITED, strict)
    assert caught.value.missing == ("third",)
    for policy in (REPLAY, Policy(auditors=quorum(2, *AUDITORS[:2]))):
        with pytest.raises(UnusablePolicy, match=r"R-62\.6.*demands 3"):
            standing(3, policy, strict)


def test_freshness(world: LightWorld) -> None:
    def at(now: int, **policy: int) -> None:
        world.ask(ADA, now=now, policy=Policy(**policy))  # type: ignore[arg-type]

    at(NOW - 300_000)
    at(NOW + DAY_MS)
    at(NOW + 10, max_age=10)
    for now, policy in (
        (NOW - 300_001, {}),
        (NOW + DAY_MS + 1, {"max_age": 2 * DAY_MS}),
        (NOW + 11, {"max_age": 10}),
    ):
        with pytest.raises(NotFresh, match=r"R-61\.3"):
            at(now, **policy)


def test_questions_that_do_not_fit(world: LightWorld) -> None:
    held = world.held(world.ask(ADA))
    asked = held.ask(world.ada.label, REPLAY, [ADA])
    bundle = world.teller.answer(asked)
    for other in (
        replace(asked, old=0),
        replace(asked, log_held=0),
        replace(asked, mode=Mode.AUDITED),
        replace(asked, queries=(replace(asked.queries[0], held=1),)),
        replace(asked, queries=(replace(asked.queries[0], of=world.ada.label),)),
    ):
        with pytest.raises(UsageError, match="question"):
            verify(bundle, other, held, REPLAY, LATER)
    with pytest.raises(UsageError, match="zero label"):
        held.ask(world.ada.label, REPLAY, [bytes(32)])


def test_a_bundle_that_was_cut(world: LightWorld) -> None:
    held = world.held()
    asked = held.ask(world.ada.label, REPLAY, [ADA, BOB, NOBODY])
    bundle = world.teller.bundle(asked)
    bundle = replace(bundle, answers=bundle.answers[:1])
    outcome = verify(bundle.encode(), asked, held, REPLAY, LATER)
    assert [one.of for one in outcome.rest] == [BOB, NOBODY]
    rest = world.ask(*[one.of for one in outcome.rest], held=keep(held, outcome))
    assert [one.state is None for one in rest.found] == [False, True]


def test_an_outcome_is_joined_to_what_was_seen(world: LightWorld) -> None:
    fresh, seen = world.ask(ADA), world.ask(ADA, teller=world.tellers[0])
    proof = world.teller.consistency(seen.view.size)
    assert joined(fresh, seen.view, proof) == fresh
    audited = world.ask(ADA, policy=AUDITED)
    whole = replace(audited.view, chain=fresh.view.chain, shown=fresh.view.shown)
    assert joined(audited, fresh.view, ()).view == whole
    with pytest.raises(LogMisbehaved, match=r"R-61\.2"):
        joined(fresh, seen.view, proof[:-1])
    with pytest.raises(LogMisbehaved, match=r"R-61\.2"):
        joined(seen, fresh.view, ())
    with pytest.raises(LogMisbehaved, match=r"R-65\.3"):
        joined(fresh, replace(seen.view, time=NOW + 1), proof)
    other = replace(seen.view, chain=other_world().ask(ADA).view.chain)
    with pytest.raises(LogMisbehaved, match=r"R-65\.7"):
        joined(fresh, other, proof)


def test_checkpoints_that_settle(world: LightWorld) -> None:
    """R-63.5: older ones and newer ones than the one that was seen, each by its proof."""
    view, old = world.ask(ADA).view, world.tellers[1]
    proof, seen = world.teller.consistency(old.size), world.ask(ADA, teller=old).view
    half = old.lying(auditors=AUDITORS[:1]).note()

    def size(note: bytes, view: LogView, proof: tuple[bytes, ...], now: int = LATER) -> int:
        shown = covered(note, view, WATCHED, proof, now)
        assert shown is None or (shown.note, shown.time) == (note, view.time)
        return shown.size if shown else 0

    assert size(old.note(), view, proof) == old.size
    assert size(world.teller.note(), view, ()) == view.size
    assert size(world.teller.note(), seen, proof) == view.size
    assert size(half, view, proof) == 0
    assert size(old.note(), view, proof, NOW - 300_001) == 0  # they are of the future
    assert covered(old.note(), view, REPLAY, proof, LATER) is None
    for note, one in ((old.note(), view), (world.teller.note(), seen)):
        with pytest.raises(LogMisbehaved, match=r"R-61\.2"):
            covered(note, one, WATCHED, proof[1:], LATER)
    with pytest.raises(MalformedInput, match=r"R-65\.2"):
        covered(other_world().teller.note(), view, WATCHED, (), LATER)
