"""What the server asks beside a group's block: statement, boxes, live entries (R-55.3, R-56.10)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from ledger.format.statement import Role
from ledger.rules.membership import Kind
from ledger.seal.boxes import box_root
from tests.support.actors import User, Written, encryption_key, sealed
from tests.support.groups import Group, Member
from tests.vectors.case import Case, Json, bad, ok
from tests.vectors.cases.statement_shape import Town
from tests.vectors.sayings import BOX_ROOT, PUT, recount, restate
from tests.vectors.world import World


def handed(world: World, written: Written[Any], statement: bytes | None = None) -> dict[str, Json]:
    """The input of a case: the log so far, and what is handed in to it."""
    said = statement or written.statement
    return {
        **world.given_groups(),
        "block": written.raw.hex(),
        "boxes": [box.hex() for box in written.boxes],
        "statement": said.hex() if said else None,
        "time": world.now,
    }


def cases() -> Iterator[Case]:
    yield from recipients(Town.make())
    yield from boxes(Town.make())
    yield from live(Town.make())
    yield from nested(Town.make())
    yield from beside(Town.make())


def good(world: World, name: str, shows: str, written: Written[Any]) -> Case:
    return ok("submission", name, shows, handed(world, written), covers=("R-56.10",))


def refused(
    world: World, name: str, rule: str, nearest: str, shows: str, written: Written[Any]
) -> Case:
    return bad("submission", name, rule, nearest, shows, handed(world, written))


def recipients(town: Town) -> Iterator[Case]:
    """Whom the boxes are for, by the output."""
    world, ada, bob, eve, team = town
    everybody = [ada, bob, eve]
    members: dict[Member, Role] = {ada: Role.ADMIN, bob: Role.ADMIN, eve: Role.MEMBER}
    create = Group.create("new", world.anchor, ada, members)
    shows = "Three entries, two of them admins: five boxes."
    yield good(world, "create", shows, create)
    raised = team.update(world.anchor, ada, {bob: Role.ADMIN})
    yield good(world, "raise", "Bob has the encryption key: one box, with the seed.", raised)
    add = town.add()
    yield good(world, "add", "A new member: one box.", add)
    as_admin = team.update(world.anchor, ada, {eve: Role.ADMIN})
    yield good(world, "add-admin", "A new admin: two boxes for one key.", as_admin)
    both = team.update(world.anchor, ada, {eve: Role.MEMBER, bob: Role.ADMIN})
    yield good(world, "add-and-raise", "One is new, the other raised: two boxes.", both)
    rotate = team.update(world.anchor, ada, rotate=everybody)
    shows = "A rotation: two entries, one admin, then the new key for the old one."
    yield good(world, "rotate", shows, rotate)
    swap = team.update(world.anchor, ada, {eve: Role.ADMIN}, removed=[bob], rotate=everybody)
    yield good(world, "swap", "Who is removed has no box.", swap)
    yield good(world, "close", "A close hands nothing over.", team.close(world.anchor, ada))
    bob = world.admit(bob.close(world.anchor))
    left = team.update(world.anchor, ada, rotate=[ada])
    yield good(world, "rotate-without", "An entry that is not live has no box.", left)


def boxes(town: Town) -> Iterator[Case]:
    world, ada, bob, _eve, team = town
    rotate = team.update(world.anchor, ada, rotate=[ada, bob])
    found = list(rotate.boxes)

    def wrong(name: str, rule: str, shows: str, boxes: Sequence[bytes]) -> Case:
        written = replace(rotate, boxes=tuple(boxes))
        return refused(world, f"boxes-{name}", rule, "rotate", shows, written)

    assert len(found) == 4
    yield wrong("none", "R-55.3", "No boxes.", [])
    yield wrong("first-missing", "R-55.3", "The first is missing.", found[1:])
    yield wrong("last-missing", "R-55.3", "The box for the new key is missing.", found[:-1])
    yield wrong("extra", "R-55.3", "One too many.", [*found, found[0]])
    yield wrong("twice", "R-55.3", "The first twice.", [found[0], *found[:1], *found[2:]])
    yield wrong("swapped", "R-55.3", "Two are swapped.", [found[1], found[0], *found[2:]])
    yield wrong("reversed", "R-55.3", "In another order.", found[::-1])
    other = sealed(bytes(32), encryption_key("nobody").public)
    yield wrong("foreign", "R-55.3", "A box for somebody else.", [other, *found[1:]])
    close = team.close(world.anchor, ada)
    shows = "A close brings a box."
    given = replace(close, boxes=(found[0],))
    yield refused(world, "boxes-of-close", "R-55.3", "close", shows, given)
    yield from rooted(town, rotate)


def rooted(town: Town, rotate: Written[Group]) -> Iterator[Case]:
    """Boxes that give the block's root, and are not those of its recipients."""
    world, _ada, _bob, eve, _team = town
    sealing = list(zip(_keys(world, rotate), rotate.boxes, strict=True))
    entries, admin, old = sealing[:2], sealing[2], sealing[3]
    stranger = eve.user_key.public, sealed(bytes(32), eve.user_key.public)
    short = entries[0][0], entries[0][1][:-1]
    for name, rule, shows, pairs in (
        ("unsorted", "R-55.3", "Entries in another order.", [*entries[::-1], admin, old]),
        ("admin-first", "R-55.3", "The seed before the secrets.", [admin, *entries, old]),
        ("old-first", "R-55.3", "The old key before all.", [old, *entries, admin]),
        ("no-old", "R-55.3", "Nobody could open the key before.", [*entries, admin]),
        ("no-admin", "R-55.3", "The admin gets no seed.", [*entries, old]),
        ("left-out", "R-55.3", "A member gets nothing.", [entries[0], admin, old]),
        ("one-more", "R-55.3", "Somebody else gets the key.", [*entries, stranger, admin, old]),
        ("replaced", "R-55.3", "Somebody else in a member's place.",
         [entries[0], stranger, admin, old]),
        ("short", "R-55.2", "A box of 79 bytes.", [short, entries[1], admin, old]),
    ):  # fmt: skip
        root = box_root([key for key, _ in pairs], [box for _, box in pairs])
        draft = world.draft(rotate).at(6, 3, to=root)
        written = restate(
            world, replace(rotate, raw=draft.raw), world.said(rotate).at(BOX_ROOT, to=root)
        )
        written = replace(written, boxes=tuple(box for _, box in pairs))
        yield refused(world, f"rooted-{name}", rule, "rotate", shows, written)


def _keys(world: World, rotate: Written[Group]) -> list[bytes]:
    """The recipients of a rotation of Ada's and Bob's group."""
    people = {user.label: user.user_key.public for user in world.users}
    entries = rotate.after.membership.entries
    admins = [people[entry.label] for entry in entries if entry.role == Role.ADMIN]
    return [*(people[e.label] for e in entries), *admins, rotate.after.encryption.public]


def live(town: Town) -> Iterator[Case]:
    """R-56.10: whom a statement puts is live, as everybody is just before the block."""
    world, ada, _bob, eve, team = town
    eve_1 = world.admit(eve.reset(world.actor, world.anchor))

    def put(member: Member) -> Written[Group]:
        """An update that puts `member`, who gets no box."""
        return _boxless(world, team.update(world.anchor, ada, {member: Role.MEMBER}), team)

    right = team.update(world.anchor, ada, {eve_1: Role.MEMBER})
    yield good(world, "live-epoch", "Eve with the epoch that she has.", right)

    def wrong(name: str, shows: str, written: Written[Group], nearest: str = "live-epoch") -> Case:
        return refused(world, f"live-{name}", "R-56.10", nearest, shows, written)

    yield wrong("epoch-before", "Eve with the epoch before her reset.", put(eve))
    yield wrong("epoch-after", "Eve with the epoch after.", put(replace(eve_1, epoch=2)))
    yield wrong("nobody", "A label without a chain.", put(replace(eve, label=bytes([1] * 32))))
    twin = world.found("twin", ada, {ada: Role.ADMIN})
    as_user = replace(eve, label=twin.label)
    yield wrong("group-as-user", "A group's label as a user's.", put(as_user))
    world.admit(eve_1.close(world.anchor))
    yield wrong("closed", "Eve has closed her account.", put(eve_1))
    yield from untouched(town)


def untouched(town: Town) -> Iterator[Case]:
    """Only what is put is asked: others may have gone."""
    world, ada, _bob, _eve, team = town
    fay = world.create("fay@example.org")
    team = world.admit(team.update(world.anchor, ada, {fay: Role.MEMBER}))
    world.admit(fay.close(world.anchor))
    gus = world.create("gus@example.org")
    add = team.update(world.anchor, ada, {gus: Role.MEMBER})
    yield good(world, "live-others-gone", "A member is gone, another comes in.", add)
    raised = team.update(world.anchor, ada, {fay: Role.ADMIN})
    shows = "Who is gone is made an admin."
    written = _boxless(world, raised, team)
    yield refused(world, "live-raised", "R-56.10", "live-others-gone", shows, written)


def _boxless(world: World, written: Written[Group], team: Group) -> Written[Group]:
    """The same without boxes: who is not live is no recipient, to a server that does not ask."""
    root = box_root([], [])
    raw = world.draft(written).at(6, 3, to=root).raw
    said = recount(world.said(written).at(BOX_ROOT, to=root), team.membership)
    return replace(restate(world, replace(written, raw=raw), said), boxes=())


def nested(town: Town) -> Iterator[Case]:
    world, ada, bob, _eve, _ = town
    members: dict[Member, Role] = {ada: Role.ADMIN}
    every = world.found("every", ada, members, kind=Kind.COMPOUND)
    inner = world.found("inner", bob, {bob: Role.ADMIN})
    other = world.found("other", bob, {bob: Role.ADMIN}, kind=Kind.COMPOUND)

    def put(group: Group) -> Written[Group]:
        return every.update(world.anchor, ada, {group: Role.GROUP})

    shows = "A flat group comes in: one box, for its encryption key."
    yield good(world, "nested-flat", shows, put(inner))
    held = Group.create("all", world.anchor, ada, {ada: Role.ADMIN, inner: Role.GROUP},
                        kind=Kind.COMPOUND)  # fmt: skip
    yield good(world, "nested-create", "A compound group begins with a flat one.", held)
    shows = "A compound group in a compound group: groups nest once."
    yield refused(world, "nested-compound", "R-56.10", "nested-flat", shows, put(other))
    user = put(inner)
    said = world.said(user).at(PUT, to=[[bob.label, 0, 2]])
    root = box_root([], [])
    raw = world.draft(user).at(6, 3, to=root).raw
    said = recount(said.at(BOX_ROOT, to=root), every.membership)
    written = replace(restate(world, replace(user, raw=raw), said), boxes=())
    shows = "A user as a group."
    yield refused(world, "nested-user", "R-56.10", "nested-flat", shows, written)
    nobody = _boxless(world, put(replace(inner, label=bytes([1] * 32))), every)
    yield refused(world, "nested-nobody", "R-56.10", "nested-flat", "No group at all.", nobody)
    world.admit(inner.close(world.anchor, bob))
    shows = "The flat group is closed."
    closed = _boxless(world, put(inner), every)
    yield refused(world, "nested-closed", "R-56.10", "nested-flat", shows, closed)


def beside(town: Town) -> Iterator[Case]:
    """R-71.6: a statement comes with a group's block, and only with it."""
    world, ada, bob, eve, team = town
    add = town.add()
    for name, written in {
        "create": Group.create("new", world.anchor, ada, {ada: Role.ADMIN, bob: Role.ADMIN,
                                                          eve: Role.MEMBER}),
        "add": add,
        "close": team.close(world.anchor, ada),
    }.items():  # fmt: skip
        without = replace(written, statement=None)
        shows = f"No statement with a group's {name}."
        yield refused(world, f"{name}-unsaid", "R-71.6", name, shows, without)
    device: Written[User] = ada.add(world.anchor)
    yield ok("submission", "device", "A device.add needs none.", handed(world, device))
    shows = "A statement with a device.add."
    given = handed(world, device, add.statement)
    yield bad("submission", "device-said", "R-71.6", "device", shows, given)
    other = team.update(world.anchor, ada, {eve: Role.ADMIN})
    mixed = replace(add, statement=other.statement)
    shows = "Another statement than the block commits to."
    yield refused(world, "other-statement", "R-56.2", "add", shows, mixed)
