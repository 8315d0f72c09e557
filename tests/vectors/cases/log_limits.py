"""Limits over time and size (R-53.6, R-53.7, R-41.1), and loud events."""

from __future__ import annotations

from collections.abc import Iterator

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
    world, ada = _after_rounds(16, 3, 4)
    shows = "As many keys were retired as max_retired allows: the last revocation."
    yield world.ok("retired-at-limit", shows, ada.revoke(world.anchor, 1).raw)
    world, ada = _after_rounds(17, 8)
    shows = "One more key was retired than max_retired allows: only a reset or a close helps."
    raw = ada.revoke(world.anchor, 1).raw
    yield world.bad("retired-beyond", "R-53.6", "retired-at-limit", shows, raw)
    reset = ada.reset(world.actor, world.anchor)
    yield world.ok("retired-reset", "A reset is not asked how many were retired.", reset.raw)


def _after_rounds(expected: int, *rounds: int) -> tuple[World, User]:
    """Where 16 keys may retire. A round of n devices that come and go retires 2n + 1."""
    world = World(LogActor.make(limits=Limits(max_retired=16)))
    user = world.create()
    for count in rounds:
        for _ in range(count):
            user = world.admit(user.add(world.anchor))
        user = world.admit(user.revoke(world.anchor, *range(1, count + 1)))
    user = world.admit(user.add(world.anchor))
    assert _retired_keys(world, user) == expected
    return world, user


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
    shows = "Event 4: the second device revokes the only other one, the first."
    yield alone.ok("event-other-revoked", shows, two.revoke(alone.anchor, 0, author=1).raw)
