"""What a statement may change, and what the group is after it (R-56.6 to R-56.9)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

import cbor2

from ledger.format.bodies import Limits
from ledger.format.statement import Role
from ledger.rules.membership import Entry, Kind, Membership
from tests.support.actors import User, Written, signing_key
from tests.support.groups import Group, Member
from tests.vectors.case import Case
from tests.vectors.cases.statement_shape import Town
from tests.vectors.sayings import ACTION, MEMBERSHIP, PUT, REMOVED, recount, restate
from tests.vectors.world import World


def cases() -> Iterator[Case]:
    yield from absent(Town.make())
    yield from present(Town.make())
    yield from itself(Town.make())
    yield from flat(Town.make())
    yield from compound(Town.make())
    yield from unrotated(Town.make())
    yield from ends(Town.make())
    yield from hashes(Town.make())
    yield from joining(Town.make())
    yield from limits()


def changed(
    world: World, written: Written[Group], before: Membership, *changes: tuple[int, Any]
) -> Written[Group]:
    """The block around a statement with other changes, which a careless reader follows."""
    said = world.said(written)
    for place, to in changes:
        said = said.at(place, to=to)
    return restate(world, written, recount(said, before))


def puts(*entries: Sequence[Any]) -> tuple[int, list[list[Any]]]:
    """These entries, in the order of their labels."""
    return PUT, sorted([label, epoch, int(role)] for label, epoch, role in entries)


def absent(town: Town) -> Iterator[Case]:
    """R-56.6: who is not in the group is not removed."""
    world, ada, bob, eve, team = town
    out = team.update(world.anchor, ada, removed=[bob], rotate=[ada])
    yield world.says("delta-removed", "Bob is removed, with a rotation.", out)

    def bad(name: str, shows: str, removed: list[bytes]) -> Case:
        written = changed(world, out, team.membership, (REMOVED, sorted(removed)))
        return world.missays(f"delta-{name}", "R-56.6", "delta-removed", shows, written)

    yield bad("removed-stranger", "A user is removed who is not in the group.", [eve.label])
    yield bad("removed-also-stranger", "Bob, and one who is not there.", [bob.label, eve.label])
    yield bad("removed-nobody", "A label is removed that nobody has.", [bytes([1] * 32)])
    without = world.admit(out)
    again = without.update(world.anchor, ada, removed=[bob], rotate=[ada])
    shows = "Bob is removed again."
    yield world.missays("delta-removed-again", "R-56.6", "delta-removed", shows, again)
    create = Group.create("new", world.anchor, ada, {ada: Role.ADMIN})
    nobody = Membership(Kind.FLAT, ())
    written = changed(world, create, nobody, (REMOVED, [bob.label]))
    shows = "A create removes somebody."
    covers = ("R-56.8",)
    yield world.missays("delta-create-removes", "R-56.6", "create", shows, written, covers=covers)


def present(town: Town) -> Iterator[Case]:
    """R-56.6: an entry that stands there already is not put."""
    world, ada, bob, eve, team = town
    raised = team.update(world.anchor, ada, {bob: Role.ADMIN}, rotate=[ada, bob])
    later = replace(bob, epoch=1)
    shows = "Bob's entry gets another epoch, with a rotation."
    reset = team.update(world.anchor, ada, {later: Role.MEMBER}, rotate=[ada, bob])
    yield world.says("delta-epoch", shows, reset)
    same = [bob.label, 0, Role.MEMBER]
    written = changed(world, raised, team.membership, puts(same))
    shows = "Bob is put as he stands there."
    yield world.missays("delta-same", "R-56.6", "rotate-raise", shows, written)
    new = [eve.label, 0, Role.MEMBER]
    both = changed(world, raised, team.membership, puts(new, [bob.label, 0, Role.ADMIN]))
    yield world.says("delta-raised-and-new", "Bob is raised, Eve comes in.", both)
    written = changed(world, raised, team.membership, puts(new, same))
    shows = "Eve comes in, and Bob is put as he stands there."
    nearest = "delta-raised-and-new"
    yield world.missays("delta-new-and-same", "R-56.6", nearest, shows, written)
    own = changed(world, raised, team.membership, puts([ada.label, 0, Role.ADMIN]))
    shows = "The author is put as she stands there."
    yield world.missays("delta-same-author", "R-56.6", "rotate-raise", shows, own)
    lower = [bob.label, 0, Role.MEMBER]
    team = world.admit(raised)
    again = team.update(world.anchor, ada, {eve: Role.MEMBER}, rotate=[ada, bob, eve])
    written = changed(world, again, team.membership, puts(lower))
    yield world.says("delta-lowered", "Bob becomes a member again, with a rotation.", written)


def itself(town: Town) -> Iterator[Case]:
    world, ada, _bob, _eve, team = town
    for kind, name in ((Kind.FLAT, "flat"), (Kind.COMPOUND, "compound")):
        create = Group.create("new", world.anchor, ada, {ada: Role.ADMIN}, kind=kind)
        own, nobody = create.after.label, Membership(kind, ())
        yield world.says(f"self-{name}", f"A {name} group of Ada.", create)
        for role in (Role.MEMBER, Role.ADMIN, Role.GROUP):
            if (kind, role) == (Kind.FLAT, Role.GROUP):
                continue
            entries = puts([ada.label, 0, Role.ADMIN], [own, 0, role])
            written = changed(world, create, nobody, entries)
            shows = f"A {name} group holds itself, with role {int(role)}."
            title = f"self-{name}-role-{int(role)}"
            yield world.missays(title, "R-56.7", f"self-{name}", shows, written)
    written = changed(world, town.add(), team.membership, puts([team.label, 0, 0]))
    yield world.missays("self-update", "R-56.7", "add", "A group puts itself in.", written)


def flat(town: Town) -> Iterator[Case]:
    world, ada, bob, _eve, team = town
    twin = world.found("twin", bob, {bob: Role.ADMIN})
    create = Group.create("new", world.anchor, ada, {ada: Role.ADMIN, twin: Role.GROUP})
    shows = "A flat group begins with a group in it."
    yield world.missays("flat-create", "R-56.7", "create-two-admins", shows, create)
    add = team.update(world.anchor, ada, {twin: Role.GROUP})
    yield world.missays("flat-add", "R-56.7", "add", "A flat group takes a group in.", add)
    rotated = team.update(world.anchor, ada, {twin: Role.GROUP}, rotate=[ada, bob, twin])
    shows = "A flat group takes a group in, with a rotation."
    yield world.missays("flat-rotate", "R-56.7", "delta-raised-and-new", shows, rotated)


def compound(town: Town) -> Iterator[Case]:
    world, ada, bob, _eve, _ = town
    club = world.found("club", bob, {bob: Role.ADMIN})
    members: dict[Member, Role] = {ada: Role.ADMIN, bob: Role.MEMBER}
    create = Group.create("all", world.anchor, ada, members, kind=Kind.COMPOUND)
    yield world.says("compound", "A compound group begins with users alone.", create)
    held = Group.create("all", world.anchor, ada, {**members, club: Role.GROUP}, kind=Kind.COMPOUND)
    yield world.says("compound-create", "A compound group begins with a group in it.", held)
    nobody = Membership(Kind.COMPOUND, ())
    three = [ada.label, 0, Role.ADMIN], [bob.label, 0, Role.MEMBER], [club.label, 1, Role.GROUP]
    written = changed(world, held, nobody, puts(*three))
    shows = "A group has no epochs: 0 stands there."
    yield world.missays("compound-epoch", "R-56.7", "compound-create", shows, written)
    team = world.admit(create)
    add = team.update(world.anchor, ada, {club: Role.GROUP})
    yield world.says("compound-add", "A compound group takes a flat one in.", add)
    written = changed(world, add, team.membership, puts([club.label, 1, Role.GROUP]))
    yield world.missays("compound-add-epoch", "R-56.7", "compound-add", shows, written)
    written = changed(world, add, team.membership, puts([club.label, 2**32 - 1, Role.GROUP]))
    shows = "The greatest epoch that there is."
    yield world.missays("compound-last-epoch", "R-56.7", "compound-add", shows, written)
    team = world.admit(add)
    out = team.update(world.anchor, ada, removed=[club], rotate=[ada, bob])
    yield world.says("compound-remove", "The flat group is removed, with a rotation.", out)
    yield from conversions(town, team, club)


def conversions(town: Town, team: Group, club: Group) -> Iterator[Case]:
    """A compound group of Ada, Bob and a club: what was a user stays one, and the other way."""
    world, ada, bob, eve, _ = town
    rotated = team.update(world.anchor, ada, {eve: Role.MEMBER}, rotate=[ada, bob, eve, club])
    yield world.says("compound-rotate", "A compound group is rotated, and Eve comes in.", rotated)
    for name, entry, shows in (
        ("group-to-member", [club.label, 0, Role.MEMBER], "A group becomes a member."),
        ("group-to-admin", [club.label, 0, Role.ADMIN], "A group becomes an admin."),
        ("group-to-epoch", [club.label, 1, Role.MEMBER], "A group becomes a user of epoch 1."),
        ("member-to-group", [bob.label, 0, Role.GROUP], "A user becomes a group."),
    ):
        written = changed(world, rotated, team.membership, puts(entry))
        title = f"compound-{name}"
        yield world.missays(title, "R-56.7", "compound-rotate", shows, written)
    out = world.admit(team.update(world.anchor, ada, removed=[club], rotate=[ada, bob]))
    later = out.update(world.anchor, ada, {eve: Role.MEMBER})
    back = changed(world, later, out.membership, puts([club.label, 0, Role.MEMBER]))
    shows = "A label that was a group's was removed, and comes in as a user: nothing is changed."
    yield world.says("compound-anew", shows, back)


def unrotated(town: Town) -> Iterator[Case]:
    """R-56.8: without new keys nobody loses anything."""
    world, ada, bob, eve, team = town
    add = town.add()
    new = [eve.label, 0, Role.MEMBER]
    as_admin = changed(world, add, team.membership, puts([eve.label, 0, Role.ADMIN]))
    yield world.says("kept-new-admin", "A user comes in as an admin, without a rotation.", as_admin)
    both = changed(world, add, team.membership, puts(new, [bob.label, 0, Role.ADMIN]))
    yield world.says("kept-new-and-raised", "One comes in, one is raised.", both)

    def bad(name: str, nearest: str, shows: str, *changes: tuple[int, Any]) -> Case:
        written = changed(world, add, team.membership, *changes)
        return world.missays(f"kept-{name}", "R-56.8", nearest, shows, written)

    shows = "Nobody comes in, nobody is raised."
    yield bad("nothing", "add", shows, puts())
    shows = "Bob is removed without a rotation: he keeps the keys."
    yield bad("removed", "delta-removed", shows, (REMOVED, [bob.label]), puts())
    shows = "Bob is replaced by Eve without a rotation."
    yield bad("replaced", "order-both", shows, (REMOVED, [bob.label]))
    shows = (
        "Bob's entry gets another epoch without a rotation: the devices of before have the keys."
    )
    yield bad("epoch", "delta-epoch", shows, puts([bob.label, 1, Role.MEMBER]))
    shows = "Bob is raised, and gets another epoch."
    yield bad("epoch-and-raised", "raise", shows, puts([bob.label, 1, Role.ADMIN]))
    shows = "Eve comes in, and Bob gets another epoch."
    yield bad("new-and-epoch", "kept-new-and-raised", shows, puts(new, [bob.label, 1, 0]))
    team = world.admit(team.update(world.anchor, ada, {bob: Role.ADMIN}))
    written = changed(
        world,
        team.update(world.anchor, ada, {eve: Role.MEMBER}),
        team.membership,
        puts([bob.label, 0, Role.MEMBER]),
    )
    shows = "Bob is demoted without a rotation: he keeps the signing key."
    yield world.missays("kept-demoted", "R-56.8", "delta-lowered", shows, written)


def ends(town: Town) -> Iterator[Case]:
    world, ada, bob, eve, team = town
    close = team.close(world.anchor, ada)
    for name, change, shows in (
        ("removes", (REMOVED, [bob.label]), "A close removes a member."),
        ("puts", puts([eve.label, 0, 0]), "A close puts somebody in."),
        ("raises", puts([bob.label, 0, 1]), "A close raises a member."),
    ):
        written = changed(world, close, team.membership, change)
        yield world.missays(f"close-{name}", "R-56.8", "close", shows, written)


def hashes(town: Town) -> Iterator[Case]:
    """R-56.9: the statement names the membership that it leads to."""
    world, ada, bob, eve, team = town
    add = town.add()
    after = add.after.membership
    entries = after.entries
    value: list[Any] = [after.kind, [[e.label, e.epoch, e.role, e.joined] for e in entries]]
    index = world.log.head.size

    def entry(label: bytes, **changes: Any) -> Membership:
        found = [replace(e, **changes) if e.label == label else e for e in entries]
        return Membership(after.kind, tuple(found))

    for name, to, shows in (
        ("before", team.membership.hash, "The membership before."),
        ("untagged", sha256(after.encode()).digest(), "The hash without its tag."),
        ("other-tag", sha256(b"\x08" + after.encode()).digest(), "A statement's tag."),
        ("compound", Membership(1, entries).hash, "A compound group."),
        ("unsorted", Membership(0, entries[::-1]).hash, "The entries in another order."),
        ("no-kind", sha256(b"\x09" + cbor2.dumps(value[1])).digest(), "The entries alone."),
        ("joined-before", entry(eve.label, joined=1).hash, "Eve came in long ago."),
        ("joined-index", entry(eve.label, joined=index + 1).hash, "`joined` is counted otherwise."),
        ("epoch", entry(eve.label, epoch=1).hash, "Eve has another epoch."),
        ("role", entry(eve.label, role=1).hash, "Eve is an admin."),
        ("other-role", entry(bob.label, role=1).hash, "Bob becomes an admin beside it."),
        ("one-more", Membership(0, (*entries, Entry(b"\xff" * 32, 0, 0, 1))).hash, "One more."),
        ("zero", bytes(32), "Zero."),
    ):
        written = restate(world, add, world.said(add).at(MEMBERSHIP, to=to))
        yield world.missays(f"hash-{name}", "R-56.9", "add", shows, written)
    create = Group.create("new", world.anchor, ada, {ada: Role.ADMIN})
    said = world.said(create)
    other = said.at(MEMBERSHIP, to=Membership(1, create.after.membership.entries).hash)
    shows = "A flat create names a compound membership."
    written = restate(world, create, other)
    yield world.missays("hash-create-compound", "R-56.9", "create", shows, written)
    written = restate(world, create, said.at(ACTION, to=1))
    shows = "A compound create names a flat membership."
    yield world.missays("hash-create-flat", "R-56.9", "create", shows, written)
    close = team.close(world.anchor, ada)
    empty = world.said(close).at(MEMBERSHIP, to=Membership(0, ()).hash)
    shows = "A close names an empty group: the last members stay."
    yield world.missays("hash-close", "R-56.9", "close", shows, restate(world, close, empty))


def joining(town: Town) -> Iterator[Case]:
    """`joined` begins with a stay, and ends with it."""
    world, ada, bob, _eve, team = town
    first = team.membership.entry(bob.label)
    assert first

    def bad(name: str, nearest: str, shows: str, written: Written[Group], joined: int) -> Case:
        after = written.after.membership
        entries = [replace(e, joined=joined) if e.label == bob.label else e for e in after.entries]
        to = Membership(after.kind, tuple(entries)).hash
        assert to != after.hash
        said = restate(world, written, world.said(written).at(MEMBERSHIP, to=to))
        return world.missays(f"joined-{name}", "R-56.9", nearest, shows, said)

    raised = team.update(world.anchor, ada, {bob: Role.ADMIN})
    shows = "A change of role begins no stay."
    yield bad("anew-by-role", "raise", shows, raised, world.anchor.size)
    rotated = team.update(world.anchor, ada, rotate=[ada, bob])
    shows = "A rotation begins no stay."
    yield bad("anew-by-rotation", "rotate", shows, rotated, world.anchor.size)
    later = team.update(world.anchor, ada, {replace(bob, epoch=1): Role.MEMBER}, rotate=[ada, bob])
    shows = "Another epoch begins another stay."
    yield bad("kept-in-epoch", "delta-epoch", shows, later, first.joined)
    team = world.admit(team.update(world.anchor, ada, removed=[bob], rotate=[ada]))
    back = team.update(world.anchor, ada, {bob: Role.MEMBER})
    shows = "Who comes back begins another stay."
    yield bad("kept-from-before", "add-again", shows, back, first.joined)


def limits() -> Iterator[Case]:
    town = Town.make(Limits(max_members=3))
    world, ada, bob, eve, team = town
    fay = world.create("fay@example.org")
    add = team.update(world.anchor, ada, {eve: Role.MEMBER})
    yield world.says("members-at-limit", "The third of three members.", add)
    two = team.update(world.anchor, ada, {eve: Role.MEMBER, fay: Role.MEMBER})
    shows = "Two come in, where there is room for one."
    yield world.missays("members-beyond", "R-56.9", "members-at-limit", shows, two)
    everybody: dict[Member, Role] = {
        ada: Role.ADMIN,
        bob: Role.MEMBER,
        eve: Role.MEMBER,
        fay: Role.MEMBER,
    }
    create = Group.create("new", world.anchor, ada, everybody)
    shows = "A group begins with four."
    yield world.missays("members-create-beyond", "R-56.9", "members-at-limit", shows, create)
    swap = team.update(
        world.anchor,
        ada,
        {eve: Role.MEMBER, fay: Role.MEMBER},
        removed=[bob],
        rotate=[ada, eve, fay],
    )
    shows = "Two come in, one leaves: it counts what is there after it."
    yield world.says("members-swap", shows, swap)
    yield from policies(town, add)


def policies(town: Town, add: Written[Group]) -> Iterator[Case]:
    """The limit is that of the log state just before the block."""
    world, ada, _bob, eve, team = town
    lower = world.actor.policy(world.anchor, limits=Limits(max_members=2))
    shows = "The limit is lowered after the third came in, in one batch."
    yield world.says("members-before-policy", shows, add, lower)
    shows = "The limit is lowered before the third comes in, in one batch."
    nearest = "members-before-policy"
    yield world.missays("members-after-policy", "R-56.9", nearest, shows, lower, add)
    more = world.actor.policy(
        world.anchor, limits=Limits(max_members=4), enrolment=signing_key("new enrolment")
    )
    fay = next(user for user in world.users if user.opening.identifier == "fay@example.org")
    two = team.update(world.anchor, ada, {eve: Role.MEMBER, fay: Role.MEMBER})
    shows = "The limit is raised before the fourth comes in, in one batch."
    yield world.says("members-raised-limit", shows, more, two)
    world.admit(add)
    world.admit_policy(world.actor.policy(world.anchor, limits=Limits(max_members=2)))
    yield from beyond(town, world.groups[-1], fay)


def beyond(town: Town, team: Group, fay: User) -> Iterator[Case]:
    """A group of three, where the limit is two now. It is asked only where a label comes in."""
    world, ada, bob, eve, _ = town
    anchor, everybody = world.anchor, [ada, bob, eve]
    good = {
        "stay": team.update(anchor, ada, rotate=everybody),
        "raise": team.update(anchor, ada, {bob: Role.ADMIN}),
        "epoch": team.update(anchor, ada, {replace(bob, epoch=1): Role.MEMBER}, rotate=everybody),
        "close": team.close(anchor, ada),
        "shrink": team.update(anchor, ada, removed=[eve], rotate=[ada, bob]),
    }
    for name, written in good.items():
        shows = f"Above the lowered limit, and no label comes in: {name}."
        yield world.says(f"members-{name}-beyond", shows, written)
    new: dict[Member, Role] = {fay: Role.MEMBER}
    fits = team.update(anchor, ada, new, removed=[bob, eve], rotate=[ada, fay])
    yield world.says("members-swap-to-limit", "One comes in, two leave: two are left.", fits)
    swap = team.update(anchor, ada, new, removed=[eve], rotate=[ada, bob, fay])
    shows = "One comes in, one leaves: three are left."
    nearest = "members-swap-to-limit"
    yield world.missays("members-swap-beyond", "R-56.9", nearest, shows, swap)
    more = team.update(anchor, ada, new)
    shows = "One comes in above the lowered limit."
    yield world.missays("members-add-beyond", "R-56.9", "members-raise-beyond", shows, more)
