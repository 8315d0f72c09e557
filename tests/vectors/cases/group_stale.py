"""Which groups are stale (R-56.11): each change that makes one so, beside one that does not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ledger.format.statement import Leave, Role
from ledger.rules.membership import Kind
from tests.support.actors import Written
from tests.support.groups import Group, Member
from tests.vectors.case import Case, Json, ok
from tests.vectors.cases.statement_shape import Town
from tests.vectors.world import World


def told(world: World, name: str, shows: str, *leaves: Leave) -> Case:
    """A case: the log as it is, and who asked to leave."""
    given: dict[str, Json] = {
        **world.given_groups(),
        "leaves": [leave.raw.hex() for leave in leaves],
    }
    return ok("stale", name, shows, given, covers=("R-56.11",))


def cases() -> Iterator[Case]:
    yield from users(Town.make())
    yield from lives(Town.make())
    yield from boundaries(Town.make())
    yield from comers(Town.make())
    yield from leaves(Town.make())
    yield from nested(Town.make())
    yield from closed(Town.make())
    yield from unlike(Town.make())


def users(town: Town) -> Iterator[Case]:
    world, ada, bob, eve, team = town
    yield told(world, "fresh", "Nothing happened since the group began.")
    eve = world.admit(eve.add(world.anchor))
    world.admit(eve.revoke(world.anchor, 1))
    yield told(world, "stranger", "Somebody who is not in the group has a new key.")
    bob = world.admit(bob.add(world.anchor))
    yield told(world, "device-added", "A member has a new device: the user key stays.")
    bob = world.admit(bob.revoke(world.anchor, 1))
    yield told(world, "device-revoked", "A member revoked a device: stale.")
    world.admit(team.update(world.anchor, ada, {eve: Role.MEMBER}))
    yield told(world, "update", "An update without a rotation does not help: stale.")
    rotated = world.groups[-1].update(world.anchor, ada, rotate=[ada, bob, eve])
    world.admit(rotated)
    yield told(world, "rotated", "A rotation does.")


def lives(town: Town) -> Iterator[Case]:
    world, ada, bob, _eve, team = town
    reset = world.admit(bob.reset(world.actor, world.anchor))
    yield told(world, "reset", "A member was reset: stale.")
    team = world.admit(team.update(world.anchor, ada, rotate=[ada]))
    yield told(world, "reset-rotated", "A rotation does not help: the entry is not live: stale.")
    put = team.update(world.anchor, ada, {reset: Role.MEMBER}, rotate=[ada, reset])
    team = world.admit(put)
    yield told(world, "readmitted", "The new epoch is put in, with a rotation.")
    world.admit(reset.close(world.anchor))
    yield told(world, "closed-user", "A member closed the account: stale.")
    world.admit(team.update(world.anchor, ada, removed=[reset], rotate=[ada]))
    yield told(world, "removed", "Who is gone was removed.")


def boundaries(town: Town) -> Iterator[Case]:
    """Bob's new key and the group's share a batch, whose anchor holds neither."""
    world, ada, bob, _eve, _ = town
    bob = world.admit(bob.add(world.anchor))
    revoke = bob.revoke(world.anchor, 1)
    others: dict[Member, Role] = {ada: Role.ADMIN, bob: Role.MEMBER}
    begun = Group.create("begun", world.anchor, ada, others)
    pairs: list[tuple[str, list[Written[Any]]]] = [
        ("before", [revoke, begun]),
        ("after", [begun, revoke]),
    ]
    for name, written in pairs:
        given: dict[str, Json] = {**world.given_groups(*written), "leaves": []}
        shows = f"A member's new key comes {name} the group's, in one batch: stale."
        yield ok("stale", f"batch-{name}", shows, given, covers=("R-56.11",))
    bob = world.admit(revoke)
    anchor = world.anchor
    world.heartbeat()
    late = Group.create("late", anchor, ada, {ada: Role.ADMIN, bob: Role.MEMBER})
    world.admit(late)
    shows = "The anchor holds the member's new key, and nothing after it. (The other one is stale.)"
    yield told(world, "anchor-holds", shows)
    world.admit(ada.revoke(world.anchor, 1))
    yield told(world, "author", "The author has a new key in the next batch: stale.")


def comers(town: Town) -> Iterator[Case]:
    """An entry's base is no less than its own `joined`."""
    world, ada, _bob, _eve, team = town
    fay = world.create("fay@example.org")
    team = world.admit(team.update(world.anchor, ada, {fay: Role.MEMBER}))
    shows = "A user who registered after the last rotation comes in: the key was there then."
    yield told(world, "late-comer", shows)
    fay = world.admit(fay.add(world.anchor))
    fay = world.admit(fay.revoke(world.anchor, 1))
    yield told(world, "late-comer-rotates", "That user has a new key: stale.")
    other = world.found("other", ada, {ada: Role.ADMIN})
    world.admit(other.update(world.anchor, ada, {fay: Role.MEMBER}))
    shows = "Of two groups the one is fresh that a user joined with the newest key."
    yield told(world, "joined-after", shows)


def leaves(town: Town) -> Iterator[Case]:
    world, ada, bob, eve, team = town
    bob = world.admit(bob.add(world.anchor))
    wish, phone = team.leave(bob), team.leave(bob, device=1)
    yield told(world, "leave", "A member asked to leave: stale.", wish)
    twin = world.found("twin", ada, {ada: Role.ADMIN, bob: Role.MEMBER})
    shows = "A member asked to leave one group: the other one is not stale."
    yield told(world, "leave-one", shows, twin.leave(bob))
    shows = "A leave of somebody who is in no group."
    stranger = replace(twin, membership=team.update(world.anchor, ada, {eve: Role.MEMBER})
                       .after.membership).leave(eve)  # fmt: skip
    yield told(world, "leave-stranger", shows, stranger)
    team = world.admit(team.update(world.anchor, ada, removed=[bob], rotate=[ada]))
    yield told(world, "leave-granted", "The wish was granted, with a rotation.", wish)
    team = world.admit(team.update(world.anchor, ada, {bob: Role.MEMBER}))
    yield told(world, "leave-before", "The wish was about an earlier stay.", wish)
    again = team.leave(bob, device=1)
    yield told(world, "leave-again", "A wish about this stay: stale.", wish, phone, again)
    bob = world.admit(bob.revoke(world.anchor, 1))
    world.admit(team.update(world.anchor, ada, rotate=[ada, bob]))
    world.admit(twin.update(world.anchor, ada, rotate=[ada, bob]))
    shows = "The device that signed was revoked since; the groups are rotated."
    yield told(world, "leave-revoked", shows, again)


def nested(town: Town) -> Iterator[Case]:
    """A compound group of Ada, and of Bob's flat one."""
    world, ada, bob, eve, _ = town
    inner = world.found("inner", bob, {bob: Role.ADMIN, eve: Role.MEMBER})
    members: dict[Member, Role] = {ada: Role.ADMIN, inner: Role.GROUP}
    outer = world.found("outer", ada, members, kind=Kind.COMPOUND)
    yield told(world, "nested", "Nothing happened since.")
    wish = inner.leave(eve)
    shows = "A member of the flat group asked it to let go: both are stale."
    yield told(world, "nested-leave", shows, wish)
    eve = world.admit(eve.add(world.anchor))
    eve = world.admit(eve.revoke(world.anchor, 1))
    yield told(world, "nested-stale", "A member of the flat group has a new key: both are stale.")
    inner = world.admit(inner.update(world.anchor, bob, rotate=[bob, eve]))
    shows = "The flat group was rotated: it has a new key, and the compound one is stale."
    yield told(world, "nested-rotated", shows)
    outer = world.admit(outer.update(world.anchor, ada, rotate=[ada, inner]))
    yield told(world, "nested-both", "Both were rotated.")
    fay = world.create("fay@example.org")
    inner = world.admit(inner.update(world.anchor, bob, {fay: Role.MEMBER}))
    yield told(world, "nested-update", "Somebody joined the flat group: its key stays.")
    world.admit(inner.update(world.anchor, bob, removed=[fay], rotate=[bob, eve]))
    world.admit(outer.update(world.anchor, ada, removed=[inner], rotate=[ada]))
    yield told(world, "nested-removed", "The flat group was removed.")


def closed(town: Town) -> Iterator[Case]:
    world, ada, bob, _eve, team = town
    inner = world.found("inner", bob, {bob: Role.ADMIN})
    members: dict[Member, Role] = {ada: Role.ADMIN, inner: Role.GROUP}
    world.found("outer", ada, members, kind=Kind.COMPOUND)
    world.admit(inner.close(world.anchor, bob))
    yield told(world, "nested-closed", "The flat group is closed: the compound one is stale.")
    world.admit(bob.close(world.anchor))
    world.admit(team.close(world.anchor, ada))
    shows = "A closed group with a member who is gone: nobody encrypts to it anyway."
    yield told(world, "closed-group", shows)


def unlike(town: Town) -> Iterator[Case]:
    """What a server should not have admitted (R-56.10) is not live."""
    world, ada, bob, eve, team = town
    other = world.found("other", bob, {bob: Role.ADMIN}, kind=Kind.COMPOUND)
    outer = world.found("outer", ada, {ada: Role.ADMIN}, kind=Kind.COMPOUND)
    world.admit(outer.update(world.anchor, ada, {other: Role.GROUP}))
    shows = "A compound group holds a compound group: it is stale."
    yield told(world, "unlike-compound", shows)
    ghost = replace(eve, label=bytes([1] * 32))
    world.admit(team.update(world.anchor, ada, {ghost: Role.MEMBER}))
    yield told(world, "unlike-nobody", "A group holds a label that nobody has: stale.")
