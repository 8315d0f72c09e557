"""Pins: what was seen of a person stays seen, and what is loud is told."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ledger.client.history import Event
from ledger.client.lookups.contacts import Contacts, Pin
from ledger.errors import LogMisbehaved, UsageError
from ledger.format import entry
from ledger.rules.users import LoudEvent
from tests.client.world import ADA, BOB, EARLY, World, fill, replica_of
from tests.support.actors import NOW, Device
from tests.support.memory import MemoryLog


@pytest.fixture
def world() -> World:
    return World.make()


@pytest.fixture
def contacts(world: World) -> Iterator[Contacts]:
    with Contacts.open(":memory:", world.actor.log_id) as contacts:
        yield contacts


def test_a_first_look_pins(world: World, contacts: Contacts) -> None:
    with replica_of(world, EARLY) as replica:
        contact = contacts.look(replica, ADA)
        assert (contact.known, contact.events, contact.state.epoch) == (False, (), 0)
        chain = replica.chain(ADA)
        assert chain
        assert contacts.pins() == [Pin(ADA, 1, chain.accumulator, 0, 2)]
        assert contacts.look(replica, ADA).known


def test_a_quiet_change_moves_the_pin(world: World, contacts: Contacts) -> None:
    with replica_of(world, EARLY) as replica:
        contacts.look(replica, ADA)
        fill(replica, world, 7)  # a phone
        contact = contacts.look(replica, ADA)
        assert (contact.known, contact.events) == (True, ())
        assert contacts.pins() == [contact.pin]
        assert contact.pin.length == 2


def test_a_loud_change_waits_for_acceptance(world: World, contacts: Contacts) -> None:
    reset = world.ada.reset(world.actor, world.log.anchor)
    world.log.admit([reset.raw], NOW + 5)
    with replica_of(world, EARLY) as replica:
        before = contacts.look(replica, ADA).pin
        fill(replica, world, 11)
        contact = contacts.look(replica, ADA)
        assert contact.events == (
            Event(LoudEvent.ALL_OTHERS_REVOKED, ADA, 7, NOW),
            Event(LoudEvent.RESET, ADA, 9, NOW + 5),
        )
        assert contacts.pins() == [before]
        assert contacts.look(replica, ADA) == contact  # it is told until it is accepted
        contacts.accept(contact)
        assert contacts.look(replica, ADA).events == ()
        assert contacts.pins() == [replace(contact.pin, epoch=1, length=4, index=9)]


def test_another_history_is_noticed(world: World, contacts: Contacts) -> None:
    """A replica that was fetched anew, from a fork that knows another ada."""
    with replica_of(world, 9) as replica:
        contacts.look(replica, ADA)
    with replica_of(forked(World.make()), 9) as replica:
        assert replica.log_id == world.actor.log_id
        with pytest.raises(LogMisbehaved, match=r"R-61\.2") as caught:
            contacts.look(replica, ADA)
        assert caught.value.evidence["checkpoint"] == replica.note
        assert contacts.look(replica, BOB).known is False


def forked(world: World) -> World:
    """The same log, but ada's phone is another."""
    bodies = [entry.parse(data).body for data in world.entries]
    log = MemoryLog(bodies[0])
    log.admit(bodies[2:4])
    added = world.early.add(log.anchor, Device.make("another phone"))
    log.admit([added.raw])
    revoked = added.after.revoke(log.anchor, 1)
    log.admit([revoked.raw])
    return World(world.actor, log, world.early, revoked.after, world.bob)


def test_a_replica_that_is_behind_is_no_evidence(world: World, contacts: Contacts) -> None:
    with replica_of(world, 9) as replica:
        contacts.look(replica, ADA)
    with replica_of(world, EARLY) as replica, pytest.raises(UsageError, match="sync"):
        contacts.look(replica, ADA)


def test_nobody(world: World, contacts: Contacts) -> None:
    with replica_of(world, 9) as replica:
        with pytest.raises(UsageError, match="no user"):
            contacts.look(replica, b"x" * 32)
        with pytest.raises(UsageError, match="no user"):
            contacts.look(replica, bytes(32))
    assert contacts.pins() == []


def test_on_disk(world: World, tmp_path: Path) -> None:
    path = tmp_path / "contacts.db"
    with replica_of(world, 9) as replica:
        with Contacts.open(path, world.actor.log_id) as contacts:
            pin = contacts.look(replica, ADA).pin
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with Contacts.open(path, world.actor.log_id) as contacts:
            assert contacts.pins() == [pin]
    with pytest.raises(UsageError, match="another log"):
        Contacts.open(path, bytes(32))
