"""Groups in public: place, signers, labels, ends, limits (R-43, R-44, R-50.2, R-53.7, R-54)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256

from ledger.format import cose
from ledger.format.bodies import DAY_MS, Limits
from ledger.format.statement import Role
from ledger.rules.groups import label_of
from ledger.rules.membership import Kind
from tests.support.actors import NOW, LogActor, User, signing_key
from tests.support.groups import Group
from tests.vectors.case import Case
from tests.vectors.cases.log_anchor import at
from tests.vectors.draft import Draft, envelope
from tests.vectors.world import BOB, World
from tests.vectors.world import label_of as user_label


def town() -> tuple[World, User, User, Group]:
    """Ada and Bob, and a group of theirs whose admin is Ada."""
    world = World()
    ada, bob = world.create(), world.create(BOB)
    return world, ada, bob, world.found("team", ada, {ada: Role.ADMIN, bob: Role.MEMBER})


def cases() -> Iterator[Case]:
    yield from lives()
    yield from places()
    yield from anchors()
    yield from signers()
    yield from creators()
    yield from labels()
    yield from ends()
    yield from rates()
    yield from retired()


def lives() -> Iterator[Case]:
    world, ada, bob, team = town()
    create = Group.create("other", world.anchor, ada, {ada: Role.ADMIN})
    yield world.ok("group-create", "A group begins.", create.raw)
    compound = Group.create("all", world.anchor, ada, {ada: Role.ADMIN}, kind=Kind.COMPOUND)
    shows = "A compound group looks like any other."
    yield world.ok("group-create-compound", shows, compound.raw)
    raised = team.update(world.anchor, ada, {bob: Role.ADMIN})
    yield world.ok("group-update", "An update keeps both keys.", raised.raw)
    rotated = team.update(world.anchor, ada, rotate=[ada, bob])
    yield world.ok("group-rotate", "A rotation brings both keys anew.", rotated.raw)
    close = team.close(world.anchor, ada)
    yield world.ok("group-close", "A group ends.", close.raw)
    team = world.admit(rotated)
    again = team.update(world.anchor, ada, rotate=[ada, bob])
    yield world.ok("group-rotate-again", "A second rotation.", again.raw)
    shows = "A group ends after a rotation, by its newest key."
    yield world.ok("group-rotate-close", shows, team.close(world.anchor, ada).raw)
    shows = "Blocks of a user, of a group and of another group share a batch."
    alone = ada.add(world.anchor).raw
    yield world.ok("group-batch", shows, alone, again.raw, create.raw)


def places() -> Iterator[Case]:
    world, ada, bob, team = town()
    update = team.update(world.anchor, ada, {bob: Role.ADMIN})
    draft = world.draft(update)
    close = world.draft(team.close(world.anchor, ada))

    def bad(name: str, rule: str, nearest: str, shows: str, draft: Draft | bytes) -> Case:
        raw = draft.raw if isinstance(draft, Draft) else draft
        return world.bad(f"group-{name}", rule, f"group-{nearest}", shows, raw)

    shows = "seq is the chain's length."
    yield bad("seq-ahead", "R-43.1", "update", shows, draft.field("seq", 2))
    some = bytes([1] * 32)
    yield bad("prev-other", "R-43.1", "update", "prev is no block's.", draft.field("prev", some))
    shows = "prev is the newest block of a user."
    yield bad("prev-of-user", "R-43.1", "update", shows, draft.field("prev", ada.head))
    shows = "An update of a label without a chain."
    yield bad("no-chain", "R-43.2", "update", shows, draft.field("label", some))
    shows = "A close of a label without a chain."
    yield bad("close-no-chain", "R-43.2", "close", shows, close.field("label", some))
    theirs = draft.field("label", ada.label).field("prev", ada.head)
    yield bad("update-of-user", "R-43.2", "update", "An update of a user's chain.", theirs)
    theirs = close.field("label", ada.label).field("prev", ada.head)
    yield bad("close-of-user", "R-43.2", "close", "A group.close of a user's chain.", theirs)
    again = Group.create("team", world.anchor, ada, {ada: Role.ADMIN})
    shows = "A label that has a chain takes no second create."
    yield bad("create-again", "R-43.2", "create", shows, again.raw)
    add = world.draft(ada.add(world.anchor)).field("label", team.label).field("prev", team.head)
    yield world.bad("group-add-device", "R-43.2", "add", "A device.add to a group.", add.raw)
    created = User.create(world.actor, "eve", world.anchor, label=team.label)
    shows = "A user.create with a group's label."
    yield world.bad("group-create-user", "R-43.2", "create", shows, created.raw)
    world.admit(team.close(world.anchor, ada))
    again = Group.create("team", world.anchor, ada, {ada: Role.ADMIN})
    shows = "Nor does a closed one."
    yield bad("create-after-close", "R-43.2", "create", shows, again.raw)


def anchors() -> Iterator[Case]:
    """Leaves: 0 log.create · 2 Ada · 4 the group. Then 6: a heartbeat. Next: leaf 7."""
    world = World()
    ada = world.create()
    team = world.found("team", ada, {ada: Role.ADMIN})
    world.heartbeat(NOW + 1)

    def rotated(size: int) -> bytes:
        return team.update(at(world, size), ada, rotate=[ada]).raw

    shows = "The anchor ends with the batch of the group's newest block."
    yield world.ok("group-anchor-least", shows, rotated(6))
    yield world.ok("group-anchor-newest", "The anchor holds all.", rotated(7))
    for name, rule, size, shows in (
        ("before-prev", "R-44.4", 4, "The anchor lacks the group's newest block."),
        ("prev-index-plus-1", "R-44.2", 5, "The anchor ends with the group's newest block."),
    ):
        nearest = "group-anchor-least"
        yield world.bad(f"group-anchor-{name}", rule, nearest, shows, rotated(size))
    shows = "The anchor would hold the block itself."
    newest = world.anchor
    raw = team.update(replace(newest, size=8), ada, rotate=[ada]).raw
    yield world.bad("group-anchor-beyond", "R-44.1", "group-anchor-newest", shows, raw)
    raw = team.update(replace(newest, root=bytes(32)), ada, rotate=[ada]).raw
    shows = "The root is another history's."
    yield world.bad("group-anchor-root", "R-44.2", "group-anchor-newest", shows, raw)
    now = NOW + 1 + DAY_MS
    shows = "The anchor is exactly 24 hours old."
    yield world.ok("group-anchor-24-h", shows, rotated(7), now=now)
    shows = "The anchor is 24 hours and 1 ms old."
    raw, nearest = rotated(7), "group-anchor-24-h"
    yield world.bad("group-anchor-over-24-h", "R-44.3", nearest, shows, raw, now=now + 1)
    first = team.update(newest, ada, rotate=[ada])
    second = first.after.update(newest, ada, rotate=[ada])
    shows = "Two blocks of one group never share a batch."
    yield world.bad("group-batch-twice", "R-44.4", "group-batch", shows, first.raw, second.raw)
    begun = Group.create("other", newest, ada, {ada: Role.ADMIN})
    ended = begun.after.close(newest, ada)
    shows = "A group begins and ends in one batch."
    yield world.bad("group-batch-at-once", "R-44.4", "group-batch", shows, begun.raw, ended.raw)


def signers() -> Iterator[Case]:
    world, ada, bob, team = town()
    blocks = {
        "update": world.draft(team.update(world.anchor, ada, {bob: Role.ADMIN})),
        "rotate": world.draft(team.update(world.anchor, ada, rotate=[ada, bob])),
        "close": world.draft(team.close(world.anchor, ada)),
    }
    device, stranger = ada.devices[0].signing, signing_key("stranger")
    new = blocks["rotate"].signers[1]

    def bad(block: str, name: str, shows: str, *keys: cose.Signer) -> Case:
        raw = blocks[block].by(*keys).raw
        return world.bad(f"group-{block}-{name}", "R-50.2", f"group-{block}", shows, raw)

    for block in ("update", "close"):
        shows = "An admin's device signs, and not the group's key."
        yield bad(block, "by-device", shows, device)
        yield bad(block, "by-stranger", "Another key signs.", stranger)
        yield bad(block, "two-signers", "A device signs too.", team.signing, device)
    shows = "A key that does not come in signs too."
    yield bad("update", "new-key", shows, team.signing, new)
    shows = "The old key did not sign: whoever invents two keys could take the group."
    yield bad("rotate", "no-old", shows, new)
    shows = "The new key did not sign: nothing shows that anybody holds it."
    yield bad("rotate", "no-new", shows, team.signing)
    yield bad("rotate", "swapped", "The old key signs first.", new, team.signing)
    yield bad("rotate", "three", "A device signs too.", team.signing, new, device)
    yield bad("rotate", "by-device", "A device for the old key.", device, new)
    rotate = blocks["rotate"]
    flipped = bytearray(rotate.pairs[1][1])
    flipped[0] ^= 1
    raw = envelope(rotate.payload, [rotate.pairs[0], (new.public, bytes(flipped))])
    shows = "One bit of the new key's signature is flipped."
    yield world.bad("group-rotate-flipped", "R-40.4", "group-rotate", shows, raw)
    other = world.draft(team.update(world.anchor, ada, {ada: Role.ADMIN}, rotate=[ada, bob]))
    raw = envelope(rotate.payload, [rotate.pairs[0], other.pairs[1]])
    shows = "The new key's signature is from another rotation to the same keys."
    yield world.bad("group-rotate-recombined", "R-40.4", "group-rotate", shows, raw)
    team = world.admit(team.update(world.anchor, ada, rotate=[ada, bob]))
    old = blocks["update"].signers[0]
    for name, draft in {
        "update": world.draft(team.update(world.anchor, ada, {bob: Role.ADMIN})),
        "close": world.draft(team.close(world.anchor, ada)),
    }.items():
        shows = "The group's key from before the rotation."
        raw = draft.by(old).raw
        yield world.bad(f"group-{name}-old-key", "R-50.2", f"group-{name}", shows, raw)


def creators() -> Iterator[Case]:
    world, ada, _bob, team = town()
    draft = world.draft(Group.create("other", world.anchor, ada, {ada: Role.ADMIN}))
    key, device = draft.signers[0], ada.devices[0].signing
    for name, keys, shows in (
        ("by-device", (device,), "A device signs: nothing shows that anybody holds the key."),
        ("two-signers", (key, device), "A device signs too."),
        ("device-first", (device, key), "A device signs first."),
        ("by-other-group", (team.signing,), "Another group's key signs."),
    ):
        raw = draft.by(*keys).raw
        yield world.bad(f"group-create-{name}", "R-50.2", "group-create", shows, raw)


def labels() -> Iterator[Case]:
    world, ada, _bob, _ = town()
    draft = world.draft(Group.create("other", world.anchor, ada, {ada: Role.ADMIN}))
    key, encryption = draft.value[6][1:3]
    for name, label, shows in (
        ("any", bytes([1] * 32), "A label of one's own choice."),
        ("untagged", sha256(key).digest(), "The hash of the key without a tag."),
        ("other-tag", sha256(b"\x06" + key).digest(), "Another kind's tag."),
        ("key", key, "The key itself."),
        ("of-encryption", label_of(encryption), "The encryption key's."),
        ("of-nobody", user_label("nobody@example.org"), "The label that a user will have."),
    ):
        raw = draft.field("label", label).raw
        yield world.bad(f"group-label-{name}", "R-54.1", "group-create", shows, raw)


def ends() -> Iterator[Case]:
    world, ada, bob, team = town()
    team = world.admit(team.close(world.anchor, ada))
    for name, written in {
        "update": team.update(world.anchor, ada, {bob: Role.ADMIN}),
        "rotate": team.update(world.anchor, ada, rotate=[ada, bob]),
        "close": team.close(world.anchor, ada),
    }.items():
        shows = f"A closed group takes no {name}."
        yield world.bad(f"group-closed-{name}", "R-54.4", f"group-{name}", shows, written.raw)


def rates() -> Iterator[Case]:
    world = World(LogActor.make(limits=Limits(max_blocks_per_day=3)), NOW)
    midnight = (NOW // DAY_MS + 1) * DAY_MS
    ada = world.create()
    team = world.found("team", ada, {ada: Role.ADMIN})
    team = world.admit(team.update(world.anchor, ada, rotate=[ada]))
    third = team.update(world.anchor, ada, rotate=[ada])
    yield world.ok("group-rate-at-limit", "The third block of a group on one day.", third.raw)
    team = world.admit(third)
    fourth = team.update(world.anchor, ada, rotate=[ada]).raw
    nearest = "group-rate-at-limit"
    yield world.bad("group-rate-beyond", "R-53.7", nearest, "A fourth block.", fourth)
    close = team.close(world.anchor, ada).raw
    yield world.bad("group-rate-close", "R-53.7", nearest, "A close counts too.", close)
    shows = "The first millisecond of the next day."
    yield world.ok("group-rate-next-day", shows, fourth, now=midnight)
    late, nearest = midnight - 1, "group-rate-next-day"
    shows = "The last millisecond of the day."
    yield world.bad("group-rate-end-of-day", "R-53.7", nearest, shows, fourth, now=late)


def retired() -> Iterator[Case]:
    world = World(LogActor.make(limits=Limits(max_retired=16)))
    ada = world.create()
    team = world.found("team", ada, {ada: Role.ADMIN})
    for _ in range(8):
        team = world.admit(team.update(world.anchor, ada, rotate=[ada]))
    ninth = team.update(world.anchor, ada, rotate=[ada])
    shows = "16 keys were retired, as many as max_retired: one more rotation."
    yield world.ok("group-retired-at-limit", shows, ninth.raw)
    team = world.admit(ninth)
    raw = team.update(world.anchor, ada, rotate=[ada]).raw
    shows = "18 keys were retired: no rotation any more."
    yield world.bad("group-retired-beyond", "R-54.5", "group-retired-at-limit", shows, raw)
    bob = world.create(BOB)
    raw = team.update(world.anchor, ada, {bob: Role.MEMBER}).raw
    yield world.ok("group-retired-update", "An update that is no rotation.", raw)
    yield world.ok(
        "group-retired-close", "Nor is a close asked.", team.close(world.anchor, ada).raw
    )
