"""Delegations: who may enrol or reset whom, and until when (R-52)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ledger.format import block, cose
from ledger.format.bodies import UserCreate
from tests.support.actors import NOW, User, Written, signing_key
from tests.vectors.case import Case
from tests.vectors.crooked import CrookedKey
from tests.vectors.draft import Draft
from tests.vectors.world import BOB, World, label_of

LOG_ID, PURPOSE, COMMITMENT, EPHEMERAL, EPOCH, EXPIRY = range(6)


class Office:
    """Rewrites the delegation inside a block, signed by the enrolment key unless told otherwise."""

    def __init__(self, world: World, written: Written[User]) -> None:
        self.world = world
        body = block.parse(written.raw).body
        assert isinstance(body, UserCreate)
        self.block = world.draft(written)
        self.delegation = Draft.of_delegation(body.delegation, world.keys)

    def with_(self, place: int, to: Any) -> bytes:
        """The block with another field in its delegation."""
        return self.around(self.delegation.at(place, to=to))

    def around(self, delegation: Draft | bytes) -> bytes:
        """The block around another delegation."""
        raw = delegation if isinstance(delegation, bytes) else delegation.raw
        return self.block.at(6, 0, to=raw).raw


def cases() -> Iterator[Case]:
    world = World()
    created = User.create(world.actor, BOB, world.anchor, label=label_of(BOB))
    yield from payloads(Office(world, created))
    yield from signatures(Office(world, created))
    yield from ephemerals(Office(world, created))
    yield from resets()
    yield from replaced()


def payloads(office: Office) -> Iterator[Case]:
    def wrong(name: str, rule: str, nearest: str, shows: str, raw: bytes) -> Case:
        return office.world.bad(f"delegation-{name}", rule, nearest, shows, raw)

    expiring = office.with_(EXPIRY, NOW)
    shows = "The delegation ends at exactly the entry's time."
    yield office.world.ok("delegation-expiring", shows, expiring)
    shows = "The delegation ended 1 ms before the entry's time."
    yield wrong("expired", "R-52.3", "delegation-expiring", shows, office.with_(EXPIRY, NOW - 1))
    shows = "The delegation is for a reset."
    yield wrong("for-reset", "R-52.2", "create", shows, office.with_(PURPOSE, 1))
    shows = "The delegation names another log, and is signed for this one."
    yield wrong("names-other-log", "R-52.2", "create", shows, office.with_(LOG_ID, bytes(32)))
    shows = "A user begins in epoch 0."
    yield wrong("epoch-1", "R-52.4", "create", shows, office.with_(EPOCH, 1))


def signatures(office: Office) -> Iterator[Case]:
    delegation, actor = office.delegation, office.world.actor

    def wrong(name: str, rule: str, shows: str, changed: Draft) -> Case:
        raw = office.around(changed)
        return office.world.bad(f"delegation-{name}", rule, "create", shows, raw)

    shows = "The application root signs in the enrolment key's place."
    yield wrong("by-app-root", "R-52.1", shows, delegation.by(actor.app_root))
    shows = "The log key signs: the operator enrols by itself."
    yield wrong("by-log-key", "R-52.1", shows, delegation.by(actor.log_key))
    shows = "The ephemeral key delegates to itself."
    yield wrong("by-ephemeral", "R-52.1", shows, delegation.by(office.block.signers[0]))
    shows = "Two signatures, the first of which is right."
    two = office.around(delegation.by(actor.enrolment, actor.app_root))
    name = "delegation-two-signatures"
    yield office.world.bad(name, "R-52.1", "create", shows, two, verdict="malformed")
    shows = "The delegation's signature is made for another log."
    yield wrong("other-log", "R-52.5", shows, delegation.under(cose.DELEGATION, bytes([1] * 32)))
    shows = "The delegation's signature is made in the context of a block."
    yield wrong("other-context", "R-52.5", shows, delegation.under(cose.BLOCK))
    shows = "The delegation was changed after it was signed: its commitment is another's."
    right = delegation.raw
    commitment = delegation.value[COMMITMENT]
    changed = right.replace(commitment, bytes([1] * 32))
    raw = office.around(changed)
    yield office.world.bad("delegation-changed", "R-52.5", "create", shows, raw)


def ephemerals(office: Office) -> Iterator[Case]:
    shows = "The delegation is for another ephemeral key than the one that signs the block."
    raw = office.with_(EPHEMERAL, signing_key("somebody else").public)
    yield office.world.bad("delegation-other-key", "R-50.2", "create", shows, raw)
    crooked = CrookedKey.mixed()
    device = office.block.signers[1]
    delegation = office.delegation.at(EPHEMERAL, to=crooked.public)
    mixed = replace(office.block, signers=(crooked, device)).at(6, 0, to=delegation.raw)
    shows = "An ephemeral key of mixed order: it enters no chain, and R-15.1 is not asked of it."
    yield office.world.ok("delegation-mixed-order-key", shows, mixed.raw)


def resets() -> Iterator[Case]:
    world = World()
    ada = world.create()
    ada = world.admit(ada.reset(world.actor, world.anchor))
    office = Office(world, ada.reset(world.actor, world.anchor))

    def wrong(name: str, rule: str, shows: str, place: int, to: Any) -> Case:
        raw = office.with_(place, to)
        return world.bad(f"reset-{name}", rule, "reset-again", shows, raw)

    yield world.ok("reset-again", "A reset in epoch 1.", office.block.raw)
    shows = "The delegation was made in epoch 0, before the last reset: it serves once."
    yield wrong("epoch-before", "R-52.4", shows, EPOCH, 0)
    yield wrong("epoch-after", "R-52.4", "The delegation is for a later epoch.", EPOCH, 2)
    shows = "The delegation commits to another identifier."
    yield wrong("other-commitment", "R-52.4", shows, COMMITMENT, bytes([1] * 32))
    yield wrong("for-create", "R-52.2", "The delegation is for enrolment.", PURPOSE, 0)
    yield wrong("expired", "R-52.3", "The delegation has expired.", EXPIRY, NOW - 1)
    shows = "The delegation is not the enrolment key's."
    raw = office.around(office.delegation.by(world.actor.app_root))
    yield world.bad("reset-delegation-by-app-root", "R-52.1", "reset-again", shows, raw)


def replaced() -> Iterator[Case]:
    world = World()
    old = world.actor
    world.admit_policy(old.policy(world.anchor, enrolment=signing_key("new enrolment")))
    new = User.create(world.actor, BOB, world.anchor, label=label_of(BOB))
    yield world.ok("delegation-new-enrolment", "By the key that came in.", new.raw)
    stale = User.create(old, BOB, world.anchor, label=label_of(BOB))
    shows = "By the enrolment key that was replaced."
    nearest = "delegation-new-enrolment"
    yield world.bad("delegation-old-enrolment", "R-52.1", nearest, shows, stale.raw)
