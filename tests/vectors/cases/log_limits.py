"""Limits over time and size (R-53.6, R-53.7, R-41.1), and loud events."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy

from ledger.format.bodies import DAY_MS, DeviceKind, Limits
from ledger.rules.state import UserState
from tests.support.actors import NOW, LogActor, User, signing_key
from tests.vectors.case import Case
from tests.vectors.world import World


def cases() -> Iterator[Case]:
    yield from rates()
    yield from policies_are_not_counted()
    yield from block_sizes()
    yield from retired()
    yield from events()


def rates() -> Iterator[Case]:
    world = World(LogActor.make(limits=Limits(max_blocks_per_day=3)), NOW)
    midnight = (NOW // DAY_MS + 1) * DAY_MS
    ada = world.with_devices(2)
    yield world.ok("rate-at-limit", "The third of three blocks a day.", ada.add(world.anchor).raw)
    three = world.admit(ada.add(world.anchor))
    fourth = three.add(world.anchor).raw
    nearest = "rate-at-limit"
    yield world.bad("rate-beyond", "R-53.7", nearest, "A fourth block on one day.", fourth)
    shows = "A fourth block, in the last millisecond of the day."
    late = midnight - 1
    yield world.bad("rate-end-of-day", "R-53.7", "rate-next-day", shows, fourth, now=late)
    shows = "The first millisecond of the next day: the count begins anew."
    yield world.ok("rate-next-day", shows, fourth, now=midnight)
    reset = three.reset(world.actor, world.anchor).raw
    shows = "A reset counts like any other block."
    yield world.bad("rate-reset", "R-53.7", nearest, shows, reset)
    world.heartbeat(midnight)
    for number in range(3):
        three = world.admit(three.add(world.anchor), midnight + number)
    shows = "A fourth block on the second day: the first block of a day counts as 1."
    raw = three.add(world.anchor).raw
    yield world.bad("rate-second-day", "R-53.7", "rate-next-day", shows, raw)


def policies_are_not_counted() -> Iterator[Case]:
    world = World(LogActor.make(limits=Limits(max_blocks_per_day=1)))
    world.admit_policy(world.actor.policy(world.anchor, enrolment=signing_key("one")))
    second = world.actor.policy(world.anchor, enrolment=signing_key("two"))
    shows = "The log's own chain is not counted: two policies on a day of one block a chain."
    yield world.ok("rate-of-policies", shows, second.raw)


def block_sizes() -> Iterator[Case]:
    def revoking(limit: int) -> tuple[World, bytes]:
        limits = Limits(max_block_bytes=limit, max_devices=24)
        world = World(LogActor.make(limits=limits))
        ada = world.with_devices(24)
        return world, ada.revoke(world.anchor, *range(1, 24)).raw

    size = len(revoking(1_100)[1])
    world, raw = revoking(size)
    shows = "A block of exactly the log's max_block_bytes."
    yield world.ok("size-at-limit", shows, raw)
    world, raw = revoking(size - 1)
    shows = "A block of one byte more than the log's max_block_bytes."
    # Well-formed and signed, for this log too long.
    yield world.bad("size-beyond", "R-41.1", "size-at-limit", shows, raw, verdict="rule")


def retired() -> Iterator[Case]:
    """A round of n devices that come and go retires 2n + 1 keys."""
    limits = Limits(max_devices=64, max_blocks_per_day=65_535, max_retired=64)
    world = World(LogActor.make(limits=limits))
    ada = _round(world, world.create(), 28)
    full, over = deepcopy(world), deepcopy(world)
    at_limit = _round(full, ada, 3)
    beyond = _round(over, _round(over, ada, 2), 1)
    assert (_retired_keys(full, at_limit), _retired_keys(over, beyond)) == (64, 65)
    at_limit, beyond = full.admit(at_limit.add(full.anchor)), over.admit(beyond.add(over.anchor))
    shows = "max_retired keys were retired before: the last revocation that the chain takes."
    yield full.ok("retired-at-limit", shows, at_limit.revoke(full.anchor, 1).raw)
    shows = "One key more than max_retired was retired before: only a reset or a close helps."
    raw = beyond.revoke(over.anchor, 1).raw
    yield over.bad("retired-beyond", "R-53.6", "retired-at-limit", shows, raw)


def _round(world: World, user: User, count: int) -> User:
    for _ in range(count):
        user = world.admit(user.add(world.anchor))
    return world.admit(user.revoke(world.anchor, *range(1, count + 1)))


def _retired_keys(world: World, user: User) -> int:
    chain = world.log.chain(user.label)
    assert chain is not None
    assert isinstance(chain.state, UserState)
    return len(chain.state.retired) // 32


def events() -> Iterator[Case]:
    world = World()
    ada = world.with_devices(3)
    kit = ada.device(kind=DeviceKind.RECOVERY)
    ada = world.admit(ada.add(world.anchor, kit))
    for name, written, shows in (
        ("none", ada.add(world.anchor), "A device adds another: no event."),
        ("revoke", ada.revoke(world.anchor, 1), "One of four is revoked: no event."),
        ("reset", ada.reset(world.actor, world.anchor), "Event 0: a reset."),
        ("closed", ada.close(world.anchor), "Event 1: the user is closed."),
        ("by-recovery", ada.add(world.anchor, author=3), "Event 2: a recovery device adds one."),
        ("kit-revoked", ada.revoke(world.anchor, 3), "Event 3: a recovery device is revoked."),
        (
            "others-revoked",
            ada.revoke(world.anchor, 0, 1, 2, author=3),
            "Event 4: only the author remains.",
        ),
        (
            "kit-and-others",
            ada.revoke(world.anchor, 1, 2, 3),
            "Events 3 and 4: the recovery device is among all the others.",
        ),
    ):
        yield world.ok(f"event-{name}", shows, written.raw)
    alone = World()
    two = alone.with_devices(2)
    shows = "Event 4, where the only other device is revoked."
    yield alone.ok("event-other-revoked", shows, two.revoke(alone.anchor, 1).raw)
