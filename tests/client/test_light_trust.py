"""What a light client keeps: it only ever goes on, and survives others and crashes."""

from __future__ import annotations

import asyncio
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ledger.client.lookups.light import verify
from ledger.client.lookups.pins import Held, LogView, Outcome, Own
from ledger.client.lookups.trust import Trust
from ledger.client.policy import Policy
from ledger.errors import StoreError, UsageError
from ledger.format.bodies import DeviceKind
from tests.client.light_world import (
    ADA,
    AUDITED,
    AUDITORS,
    BOB,
    EVE,
    LATER,
    NOBODY,
    REPLAY,
    WATCHED,
    LightWorld,
)
from tests.support.actors import User
from tests.support.lookups import Teller


@pytest.fixture(scope="module")
def world() -> LightWorld:
    return LightWorld.make()


@pytest.fixture
def trust(world: LightWorld) -> Iterator[Trust]:
    with Trust.open(":memory:", world.log.log_id) as trust:
        yield trust


def look(
    world: LightWorld, held: Held, *of: str | bytes, policy: Policy = REPLAY, at: int = -1
) -> Outcome:
    """The outcome of a lookup in the world's batch `at`."""
    return world.ask(*of, held=held, policy=policy, teller=world.tellers[at])


def test_what_is_kept_is_read_again(world: LightWorld, tmp_path: Path) -> None:
    path = tmp_path / "trust.db"
    own = Own(world.ada.label, frozenset())
    with Trust.open(path, world.log.log_id) as trust:
        assert trust.view() == LogView(world.log.log_id)
        held = trust.held(own)
        outcome = look(world, held, ADA, BOB, NOBODY)
        assert trust.keep(held, outcome, LATER)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with Trust.open(path, world.log.log_id) as trust:
        held = trust.held(own)
        assert held.view == outcome.view
        assert dict(held.pins) == {one.label: one.pin for one in outcome.found if one.pin}
        assert {pin.shown for pin in held.pins.values()} == {outcome.view.size}
        assert dict(held.absent) == {world.actor.label(NOBODY): outcome.view.size}
        pin = held.pins[world.ada.label]
        assert len(pin.alarms) == 2
        assert trust.names() == {ADA: world.ada.label, BOB: world.bob.label}
        assert trust.opening(BOB) == world.bob.opening
        assert trust.opening(NOBODY) is None
        links = trust.links(world.ada.label)
        assert links == [(link.index, link.entry) for link in world.teller.told[pin.label].links]
        assert len(held.pins) == 2
    with pytest.raises(UsageError, match="another log"):
        Trust.open(path, bytes(32))


def test_events_and_modes_are_read_again(tmp_path: Path) -> None:
    world = LightWorld.make()
    added = world.ada.add(world.log.anchor, world.ada.device(kind=DeviceKind.RECOVERY))
    world.admit(added.raw)
    revoked = added.after.revoke(world.log.anchor, 1, 2)
    world.admit(revoked.raw)
    for policy in (REPLAY, AUDITED):
        with Trust.open(tmp_path / policy.mode.name, world.log.log_id) as trust:
            assert trust.keep(trust.held(), look(world, trust.held(), ADA, policy=policy, at=-2), 0)
            held = trust.held()
            outcome = look(world, held, world.ada.label, policy=policy)
            assert trust.keep(held, outcome, LATER)
            (found,) = outcome.found
            pin = trust.pin(world.ada.label)
            assert pin
            assert pin == found.pin
            assert len(pin.events) == 2
            assert trust.held().pins == {pin.label: pin}
            assert bool(trust.links(pin.label)) == (policy == REPLAY)
            trust.accept(pin)
            assert trust.pin(pin.label) == pin.accept()
            trust.accept(pin)  # once more, as after a crash


def test_who_is_faster(world: LightWorld, trust: Trust) -> None:
    """Answers that were judged by what is no more held are not kept."""
    held = trust.held()
    slow, fast = look(world, held, ADA, at=0), look(world, held, BOB, at=1)
    assert trust.keep(held, fast, LATER)
    before = trust.view(), dict(trust.held().pins)
    assert not trust.keep(held, slow, LATER)
    assert (trust.view(), dict(trust.held().pins)) == before
    again = trust.held()
    assert trust.keep(again, look(world, again, ADA), LATER)
    assert trust.view().size == world.log.head.size
    same = trust.held()
    outcome = look(world, same, BOB)
    assert trust.keep(same, outcome, LATER)
    assert trust.keep(same, outcome, LATER)  # twice the same is no harm


def test_an_acceptance_meanwhile(world: LightWorld, trust: Trust) -> None:
    own = Own(world.ada.label, frozenset())
    held = trust.held(own)
    assert trust.keep(held, look(world, held, ADA, at=0), LATER)
    held = trust.held(own)
    outcome = look(world, Held(held.view, dict(held.pins), own), world.ada.label)
    pin = trust.pin(world.ada.label)
    assert pin
    trust.accept(pin)
    assert not trust.keep(held, outcome, LATER)
    (newer,) = outcome.found
    assert newer.pin
    with pytest.raises(UsageError, match="look again"):
        trust.accept(newer.pin)


def test_all_of_an_answer_or_nothing(
    world: LightWorld, trust: Trust, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Crash(Exception):
        pass

    def crash(*_: object) -> None:
        raise Crash

    held = trust.held()
    outcome = look(world, held, ADA, BOB, policy=WATCHED)
    with monkeypatch.context() as patch:
        patch.setattr(trust, "_settle", crash)
        with pytest.raises(Crash):
            trust.keep(held, outcome, LATER)
    assert trust.view() == LogView(world.log.log_id)
    assert (trust.labels(), trust.names(), trust.links(world.ada.label)) == ([], {}, [])
    assert trust.keep(held, outcome, LATER)


def test_provisional_answers_are_settled(world: LightWorld, trust: Trust) -> None:
    def ask(at: int, cosigners: int, now: int) -> None:
        held = trust.held()
        teller = world.tellers[at].lying(auditors=AUDITORS[:cosigners])
        outcome = world.ask(BOB, held=held, policy=WATCHED, teller=teller)
        assert trust.keep(held, outcome, now)

    ask(0, 1, LATER)
    ask(1, 0, LATER + 1)
    first, second = trust.unsettled()
    assert (first.size, first.time, second.time) == (world.tellers[0].size, LATER, LATER + 1)
    again = Held(LogView(world.log.log_id))
    asked = again.ask(world.ada.label, WATCHED, [BOB])
    assert first.asked == asked.encode()
    assert verify(first.bundle, asked, again, WATCHED, LATER).view.size == first.size
    view = trust.view()
    covered = replace(view, size=first.size, note=world.tellers[0].note())
    assert not trust.settle(covered, covered)  # it was judged by another view
    assert len(trust.unsettled()) == 2
    assert trust.settle(view, covered)
    assert (trust.view(), trust.covered()) == (view, covered.note)
    assert trust.unsettled() == [second]
    ask(2, 2, LATER + 2)
    assert trust.unsettled() == []


def test_answers_that_nobody_audits_are_not_kept(world: LightWorld, trust: Trust) -> None:
    held = trust.held()
    assert trust.keep(held, look(world, held, ADA), LATER)
    assert trust.unsettled() == []


@pytest.mark.parametrize(
    "query",
    [
        "UPDATE pins SET value = CAST(substr(value, 1, length(value) - 1) || X'FF' AS BLOB)",
        "UPDATE pins SET value = X''",
        "UPDATE meta SET value = substr(value, 1, 9) WHERE name = 'view'",
    ],
)
def test_damage_is_not_the_logs_fault(world: LightWorld, trust: Trust, query: str) -> None:
    held = trust.held()
    assert trust.keep(held, look(world, held, ADA), LATER)
    trust._db.execute(query)
    with pytest.raises(StoreError, match="damaged"):
        look(world, trust.held(), world.ada.label)


WRITER = """
import sys
from itertools import count
from ledger.client.lookups.trust import Trust
from tests.client.light_world import ADA, BOB, LATER, WATCHED, LightWorld

world, path = LightWorld.make(), sys.argv[1]
print("ready", flush=True)
for number in count():
    with Trust.open(f"{path}.{number}", world.log.log_id) as trust:
        for teller in world.tellers:
            held = trust.held()
            outcome = world.ask(ADA, BOB, held=held, policy=WATCHED, teller=teller)
            assert trust.keep(held, outcome, LATER)
            print(number, flush=True)
"""


def test_a_process_that_is_killed(world: LightWorld, tmp_path: Path) -> None:
    """Another process is killed while it writes: what is there fits together, and is not locked."""
    root = str(Path(__file__).resolve().parents[2])
    for lines in range(2, 7):
        path = tmp_path / str(lines)
        command = [sys.executable, "-c", WRITER, str(path)]
        with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            told = [process.stdout.readline() for _ in range(lines)]
            process.kill()
        assert told[0] == "ready\n"
        newest = f"{path}.{int(told[-1])}"
        with Trust.open(newest, world.log.log_id) as trust:
            held = trust.held()
            assert held.view.size in [teller.size for teller in world.tellers]
            (teller,) = [one for one in world.tellers if one.size == held.view.size]
            for label, pin in held.pins.items():
                assert pin.chain.accumulator == teller.told[label].accumulator
            outcome = look(world, Held(held.view, dict(held.pins)), ADA)
            assert trust.keep(held, outcome, LATER)


async def test_many_tasks(world: LightWorld, tmp_path: Path) -> None:
    """Two stores on one file, many tasks each, answered over different trees."""
    path, log_id = tmp_path / "trust.db", world.log.log_id
    with Trust.open(path, log_id) as one, Trust.open(path, log_id) as two:
        sizes: list[int] = []

        async def task(trust: Trust, number: int) -> None:
            for _ in range(20):
                held = trust.held()
                await asyncio.sleep(0)
                later = [t for t in world.tellers if t.size >= held.view.size]
                teller: Teller = later[number % len(later)]
                outcome = world.ask(ADA, BOB, held=held, teller=teller)
                await asyncio.sleep(0)
                if trust.keep(held, outcome, number):
                    sizes.append(trust.view().size)
                    return

        await asyncio.gather(*(task(trust, n) for n in range(6) for trust in (one, two)))
        assert sizes == sorted(sizes)
        assert one.view() == two.view()


@pytest.mark.parametrize("policy", [REPLAY, AUDITED])
def test_what_showed_a_chain_last(policy: Policy) -> None:
    """A pin moves on with each tree, though nothing is new; accepting it takes nothing back."""
    world = LightWorld.make()
    with Trust.open(":memory:", world.log.log_id) as trust:
        assert trust.keep(trust.held(), look(world, trust.held(), ADA, EVE, policy=policy), LATER)
        pin, size = trust.pin(world.ada.label), trust.view().size
        world.admit()
        again = look(world, trust.held(), world.ada.label, policy=policy)
        assert trust.keep(trust.held(), again, LATER)
        assert pin
        assert (pin.shown, trust.held().shown(pin.label)) == (size, world.teller.size)
        trust.accept(pin)
        assert trust.held().shown(pin.label) == world.teller.size
        eve = User.create(world.actor, EVE, world.log.anchor)
        assert trust.held().shown(eve.after.label) == size
        world.admit(eve.raw)
        world.tellers[-1].openings = {eve.after.label: eve.after.opening}
        assert trust.keep(trust.held(), look(world, trust.held(), EVE, policy=policy), LATER)
        assert trust.held().absent == {}
        assert trust.held().shown(eve.after.label) == world.teller.size
