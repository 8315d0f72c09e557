"""Who may sign a statement: a live device of an admin (R-56.4, R-56.5)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ledger.format import cose
from ledger.format.bodies import DeviceKind
from ledger.format.statement import Role
from ledger.rules.membership import Kind
from tests.support.actors import User, Written, signing_key
from tests.support.groups import Group, Member
from tests.vectors.case import Case
from tests.vectors.cases.statement_shape import Town
from tests.vectors.crooked import L
from tests.vectors.draft import Draft, envelope
from tests.vectors.sayings import AUTHOR, restate
from tests.vectors.world import World


def cases() -> Iterator[Case]:
    yield from signatures(Town.make())
    yield from devices(Town.make())
    yield from batchmates(Town.make())
    yield from resets(Town.make())
    yield from others(Town.make())
    yield from roles(Town.make())
    yield from nested(Town.make())
    yield from both_sides(Town.make())
    yield from creators(Town.make())


def signatures(town: Town) -> Iterator[Case]:
    world, ada, add = town.world, town.ada, town.add()
    said = world.said(add)
    (kid, signature), payload = said.pairs[0], said.payload

    def bad(name: str, shows: str, raw: bytes | Draft, verdict: str = "signature") -> Case:
        written = restate(world, add, raw)
        return world.missays(f"signed-{name}", "R-56.4", "add", shows, written, verdict=verdict)

    flipped = bytes([signature[0] ^ 1]) + signature[1:]
    yield bad("flipped", "One bit of R is flipped.", envelope(payload, [(kid, flipped)]))
    zero = signature[:32] + bytes(32)
    yield bad("zero-s", "S is zero.", envelope(payload, [(kid, zero)]))
    s = (int.from_bytes(signature[32:], "little") + L).to_bytes(32, "little")
    shows = "S + L: the equation holds, and S is not below the order."
    yield bad("s-plus-l", shows, envelope(payload, [(kid, signature[:32] + s)]))
    other = said.by(ada.devices[1].signing).pairs[0]
    shows = "The kid of one device with the signature of another one of the author."
    yield bad("swapped", shows, envelope(payload, [(kid, other[1])]))
    salted = said.at(0, to=bytes(32)).pairs[0]
    shows = "The device's signature is from another statement."
    yield bad("recombined", shows, envelope(payload, [salted]))
    contexts = (cose.BLOCK, cose.DELEGATION, cose.LOGIN, cose.LEAVE, cose.GRANT, cose.HEADER)
    for context in contexts:
        name = f"as-{context.rpartition('/')[2]}"
        yield bad(name, f"Signed in the context {context}.", said.under(context))
    some, context = bytes([1] * 32), cose.STATEMENT
    yield bad("other-log", "Signed for another log.", said.under(context, some))
    yield bad("no-log", "Signed for no log: 32 zero bytes.", said.under(context, bytes(32)))
    shows = "A signature over the bare payload."
    bare = ada.devices[0].signing.sign(payload)
    yield bad("bare", shows, envelope(payload, [(kid, bare)]))
    shows = "The group's key signs: a group does not say which of its admins wrote."
    yield bad("by-group", shows, said.by(town.team.signing), "rule")
    yield bad("by-stranger", "Nobody's key signs.", said.by(signing_key("stranger")), "rule")
    shows = "A device of a member who is no admin signs for the admin."
    yield bad("by-member", shows, said.by(town.bob.devices[0].signing), "rule")


def no_device(
    world: World, name: str, nearest: str, shows: str, *written: Written[User] | Written[Group]
) -> Case:
    return world.missays(name, "R-56.4", nearest, shows, *written)


def devices(town: Town) -> Iterator[Case]:
    """Ada's second device, before and after its revocation."""
    world, ada, _bob, eve, team = town
    by_phone = team.update(world.anchor, ada, {eve: Role.MEMBER}, device=1)
    shows = "A device of an admin speaks, just before it is revoked."
    yield world.says("device-before-revocation", shows, by_phone)
    kit = ada.device(kind=DeviceKind.RECOVERY)
    with_kit = world.admit(ada.add(world.anchor, kit))
    shows = "A recovery device is a device."
    recovered = team.update(world.anchor, with_kit, {eve: Role.MEMBER}, device=2)
    yield world.says("device-recovery", shows, recovered)
    revoked = world.admit(with_kit.revoke(world.anchor, 1))
    late = team.update(world.anchor, ada, {eve: Role.MEMBER}, device=1)
    shows = "The device speaks, just after it was revoked."
    nearest = "device-before-revocation"
    yield no_device(world, "device-after-revocation", nearest, shows, late)
    stays = team.update(world.anchor, revoked, {eve: Role.MEMBER})
    yield world.says("device-other-stays", "The admin's other device speaks on.", stays)
    next_one = replace(revoked, devices=(revoked.device(),))
    early = team.update(world.anchor, next_one, {eve: Role.MEMBER})
    shows = "A device speaks that is not in the chain yet."
    yield no_device(world, "device-not-yet", "device-other-stays", shows, early)
    world.admit(revoked.close(world.anchor))
    closed = team.update(world.anchor, ada, {eve: Role.MEMBER})
    shows = "The admin has closed the account."
    yield no_device(world, "device-of-closed", "device-other-stays", shows, closed)


def batchmates(town: Town) -> Iterator[Case]:
    """Devices that come and go in the statement's own batch: the order of entries counts."""
    world, ada, _bob, eve, team = town
    revoke = ada.revoke(world.anchor, 1)
    by_phone = team.update(world.anchor, ada, {eve: Role.MEMBER}, device=1)
    shows = "A device speaks, and is revoked later in the same batch."
    yield world.says("batch-before-revocation", shows, by_phone, revoke)
    shows = "A device is revoked, and speaks later in the same batch."
    nearest = "batch-before-revocation"
    yield no_device(world, "batch-after-revocation", nearest, shows, revoke, by_phone)
    add = ada.add(world.anchor)
    by_new = team.update(world.anchor, add.after, {eve: Role.MEMBER}, device=2)
    shows = "A device comes in, and speaks later in the same batch."
    yield world.says("batch-after-add", shows, add, by_new)
    shows = "A device speaks, and comes in later in the same batch."
    yield no_device(world, "batch-before-add", "batch-after-add", shows, by_new, add)
    reset = ada.reset(world.actor, world.anchor)
    by_ada = team.update(world.anchor, ada, {eve: Role.MEMBER})
    shows = "An admin speaks, and is reset later in the same batch."
    yield world.says("batch-before-reset", shows, by_ada, reset)
    by_reset = team.update(world.anchor, reset.after, {eve: Role.MEMBER})
    shows = "An admin is reset, and speaks later in the same batch: another epoch."
    nearest = "batch-before-reset"
    yield world.missays("batch-after-reset", "R-56.5", nearest, shows, reset, by_reset)


def resets(town: Town) -> Iterator[Case]:
    """Bob is an admin too, so that the group can take Ada in again."""
    world, ada, bob, eve, team = town
    team = world.admit(team.update(world.anchor, ada, {bob: Role.ADMIN}))
    speaks = team.update(world.anchor, ada, {eve: Role.MEMBER})
    yield world.says("reset-before", "An admin speaks, just before a reset.", speaks)
    again = world.admit(ada.reset(world.actor, world.anchor))
    shows = "The admin was reset: the entry has the epoch of before."
    other_epoch = team.update(world.anchor, again, {eve: Role.MEMBER})
    yield world.missays("reset-after", "R-56.5", "reset-before", shows, other_epoch)
    shows = "A user who was reset puts the new epoch in by themselves, with a rotation."
    own = team.update(world.anchor, again, {again: Role.ADMIN}, rotate=[again, bob])
    yield world.missays("reset-own-epoch", "R-56.5", "reset-readmitted", shows, own)
    readmitted = team.update(world.anchor, bob, {again: Role.ADMIN}, rotate=[again, bob])
    shows = "Another admin puts the new epoch in, with a rotation."
    yield world.says("reset-readmitted", shows, readmitted)
    team = world.admit(readmitted)
    shows = "After that the admin speaks again."
    speaks = team.update(world.anchor, again, {eve: Role.MEMBER})
    yield world.says("reset-speaks", shows, speaks)
    shows = "A device of the epoch before speaks for the admin."
    lost = replace(again, devices=ada.devices)
    old = team.update(world.anchor, lost, {eve: Role.MEMBER})
    yield no_device(world, "reset-old-device", "reset-speaks", shows, old)


def others(town: Town) -> Iterator[Case]:
    """Authors who are no users. Statements may put labels in that nobody has: R-56.10 is apart."""
    world, ada, bob, eve, team = town
    twin = world.found("twin", ada, {ada: Role.ADMIN})
    nobody = replace(eve, label=bytes([1] * 32))
    group_as_user = replace(eve, label=twin.label)
    people: dict[Member, Role] = {nobody: Role.ADMIN, group_as_user: Role.ADMIN}
    team = world.admit(team.update(world.anchor, ada, people))
    raised = team.update(world.anchor, ada, {bob: Role.ADMIN})
    yield world.says("author-user", "An author is a user.", raised)
    said = world.said(raised)
    for name, label, key, shows in (
        ("unknown", nobody.label, eve.devices[0].signing, "A label without a chain."),
        ("group", twin.label, twin.signing, "A group, whose key signs."),
        ("group-by-admin", twin.label, ada.devices[0].signing, "A group, whose admin signs."),
    ):
        written = restate(world, raised, said.at(AUTHOR, to=label).by(key))
        yield no_device(world, f"author-{name}", "author-user", shows, written)
    written = restate(world, raised, said.at(AUTHOR, to=ada.label).by(eve.devices[0].signing))
    yield no_device(
        world, "author-foreign-device", "author-user", "Another user's device.", written
    )


def no_admin(town: Town, team: Group, name: str, nearest: str, author: User, shows: str) -> Case:
    """Somebody who is no admin adds a user, with all the keys that it takes."""
    world = town.world
    new = replace(town.eve, label=bytes([2] * 32))
    written = team.update(world.anchor, author, {new: Role.MEMBER})
    return world.missays(name, "R-56.5", nearest, shows, written)


def roles(town: Town) -> Iterator[Case]:
    """Bob's career: member, admin, member, out, member, admin."""
    world, ada, bob, eve, team = town

    def good(name: str, shows: str) -> Case:
        new = replace(eve, label=bytes([2] * 32))
        return world.says(name, shows, team.update(world.anchor, bob, {new: Role.MEMBER}))

    def bad(name: str, author: User, shows: str) -> Case:
        return no_admin(town, team, f"role-{name}", "role-admin", author, shows)

    yield bad("stranger", eve, "A user who is not in the group speaks.")
    yield bad("member", bob, "A plain member speaks.")
    raised = team.update(world.anchor, bob, {bob: Role.ADMIN})
    shows = "A plain member makes an admin of themselves."
    yield world.missays("role-raises-self", "R-56.5", "raise", shows, raised)
    shows = "A plain member closes the group."
    close = team.close(world.anchor, bob)
    yield world.missays("role-member-closes", "R-56.5", "close", shows, close)
    team = world.admit(team.update(world.anchor, ada, {bob: Role.ADMIN}))
    yield good("role-admin", "Who was made an admin speaks, just before being demoted.")
    demoted = team.update(world.anchor, ada, {bob: Role.MEMBER}, rotate=[ada, bob])
    yield world.says("role-demotes", "An admin demotes another, with a rotation.", demoted)
    team = world.admit(demoted)
    yield bad("demoted", bob, "A demoted admin speaks.")
    removed = team.update(world.anchor, ada, removed=[bob], rotate=[ada])
    team = world.admit(removed)
    yield bad("removed", bob, "A removed user speaks.")
    back = team.update(world.anchor, bob, {bob: Role.ADMIN})
    shows = "A removed user puts themselves in again."
    yield world.missays("role-comes-back", "R-56.5", "role-admin", shows, back)
    team = world.admit(team.update(world.anchor, ada, {bob: Role.MEMBER}))
    shows = "Who was removed, and is back as a plain member, speaks."
    yield bad("back-as-member", bob, shows)
    team = world.admit(team.update(world.anchor, ada, {bob: Role.ADMIN}))
    yield good("role-back-as-admin", "Who was removed, and is back as an admin, speaks.")


def nested(town: Town) -> Iterator[Case]:
    """A compound group of Ada and Bob's flat group."""
    world, ada, bob, eve, _ = town
    club = world.found("club", bob, {bob: Role.ADMIN, ada: Role.MEMBER})
    all_of_them: dict[Member, Role] = {ada: Role.ADMIN, club: Role.GROUP}
    team = world.found("all", ada, all_of_them, kind=Kind.COMPOUND)
    new = replace(eve, label=bytes([2] * 32))
    written = team.update(world.anchor, ada, {new: Role.MEMBER})
    yield world.says("nested-admin", "An admin of the compound group speaks.", written)
    shows = "The admin of a flat group that is in the compound group is no admin of this one."
    yield no_admin(town, team, "nested-member", "nested-admin", bob, shows)
    shows = "A member of the compound group, through it, closes it."
    close = team.close(world.anchor, bob)
    yield world.missays("nested-closes", "R-56.5", "nested-admin", shows, close)
    as_admin = club.update(world.anchor, ada, {eve: Role.MEMBER})
    shows = "An admin of the compound group is no admin of the flat groups in it."
    yield world.missays("nested-inner", "R-56.5", "nested-admin", shows, as_admin)


def both_sides(town: Town) -> Iterator[Case]:
    world, ada, bob, _eve, team = town
    team = world.admit(team.update(world.anchor, ada, {bob: Role.ADMIN}))
    other = team.update(world.anchor, ada, removed=[bob], rotate=[ada])
    yield world.says("self-not", "An admin removes another, with a rotation.", other)
    own = team.update(world.anchor, ada, removed=[ada], rotate=[bob])
    shows = "The author leaves: whoever writes a rotation knows the new keys."
    yield world.missays("self-removed", "R-56.5", "self-not", shows, own)
    down = team.update(world.anchor, ada, {ada: Role.MEMBER}, rotate=[ada, bob])
    shows = "The author steps down: the new signing key is known to them."
    yield world.missays("self-demoted", "R-56.5", "role-demotes", shows, down)
    later = team.update(world.anchor, ada, {replace(ada, epoch=1): Role.ADMIN}, rotate=[ada, bob])
    shows = "The author's entry gets an epoch that the user has not."
    yield world.missays("self-other-epoch", "R-56.5", "rotate", shows, later)


def creators(town: Town) -> Iterator[Case]:
    world, ada, bob, eve, _ = town

    def create(author: User, members: dict[User | Group, Role]) -> Written[Group]:
        return Group.create("new", world.anchor, author, members)

    two = create(ada, {ada: Role.ADMIN, bob: Role.ADMIN})
    yield world.says("create-two-admins", "A group begins with two admins.", two)
    for name, members, shows in (
        ("for-others", {bob: Role.ADMIN}, "The author makes a group for somebody else."),
        ("as-member", {ada: Role.MEMBER, bob: Role.ADMIN}, "The author is a plain member of it."),
        ("empty", {}, "A group of nobody."),
    ):
        written = create(ada, dict(members.items()))
        nearest = "create-two-admins"
        yield world.missays(f"create-{name}", "R-56.5", nearest, shows, written)
    early = create(ada, {replace(ada, epoch=1): Role.ADMIN})
    shows = "The author stands there with the epoch after the next reset."
    yield world.missays("create-next-epoch", "R-56.5", "create", shows, early)
    again = world.admit(eve.reset(world.actor, world.anchor))
    late = create(again, {eve: Role.ADMIN})
    shows = "The author stands there with the epoch before the last reset."
    yield world.missays("create-last-epoch", "R-56.5", "create-after-reset", shows, late)
    right = create(again, {again: Role.ADMIN})
    yield world.says("create-after-reset", "A user of epoch 1 makes a group.", right)
