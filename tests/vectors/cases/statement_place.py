"""A statement fits one block and no other: commitment, place, keys, action (R-56.2, R-56.3)."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Any

from ledger.format.statement import Role, commitment
from tests.support.actors import Written, encryption_key, signing_key
from tests.support.groups import Group
from tests.vectors.case import Case
from tests.vectors.cases.statement_shape import Town
from tests.vectors.sayings import (
    ACTION,
    ANCHOR,
    BOX_ROOT,
    ENCRYPTION,
    GROUP,
    PREV,
    SALT,
    SEQ,
    SIGNING,
    committed,
    restate,
)


def cases() -> Iterator[Case]:
    town = Town.make()
    yield from commitments(town)
    yield from places(town)
    yield from keys(town)
    yield from actions(town)
    yield from replays(town)


def commitments(town: Town) -> Iterator[Case]:
    world, add = town.world, town.add()
    assert add.statement
    said = world.said(add)
    for name, to, shows in (
        ("other", commitment(said.at(SALT, to=bytes(32)).raw), "Another salt: another statement."),
        ("untagged", sha256(add.statement).digest(), "The statement's hash without a tag."),
        ("other-tag", sha256(b"\x09" + add.statement).digest(), "Another kind's tag."),
        ("payload", commitment(said.payload), "The hash of the payload: it binds no signature."),
        ("zero", bytes(32), "Zero."),
    ):
        written = committed(world, add, to)
        yield world.missays(f"commitment-{name}", "R-56.2", "add", shows, written)


def places(town: Town) -> Iterator[Case]:
    """Bob is raised: nothing in the membership hangs on the statement's place."""
    world, ada, bob, _, team = town
    older = world.anchor
    world.heartbeat()
    other = world.found("other", ada, {ada: Role.ADMIN})
    raised = team.update(world.anchor, ada, {bob: Role.ADMIN})
    yield world.says("raise", "A member becomes an admin, and keeps `joined`.", raised)
    said = world.said(raised)
    some = bytes([1] * 32)
    size, root = said.value[ANCHOR]
    changes: list[tuple[str, int, Any, str]] = [
        ("group", GROUP, other.label, "The statement is about another group."),
        ("seq-behind", SEQ, 0, "The seq of the block before."),
        ("seq-ahead", SEQ, 2, "The seq of the next block."),
        ("prev", PREV, some, "Another block before it."),
        ("prev-zero", PREV, bytes(32), "No block before it."),
        ("anchor", ANCHOR, [older.size, older.root], "An older anchor: what the author saw."),
        ("anchor-root", ANCHOR, [size, some], "The anchor of another history."),
        ("anchor-size", ANCHOR, [size + 1, root], "Another size with the same root."),
        ("signing", SIGNING, signing_key("other").public, "Another signing key."),
        ("encryption", ENCRYPTION, encryption_key("other").public, "Another encryption key."),
        ("box-root", BOX_ROOT, some, "Other boxes than the author made."),
        ("box-root-zero", BOX_ROOT, bytes(32), "No boxes, where the block has some."),
    ]
    for name, place, to, shows in changes:
        written = restate(world, raised, said.at(place, to=to))
        yield world.missays(f"place-{name}", "R-56.3", "raise", shows, written)
    draft = world.draft(raised).at(6, 3, to=some).raw
    boxes = Written(draft, raised.after, statement=raised.statement)
    shows = "The group's key signed for other boxes than the author's device."
    yield world.missays("place-boxes-of-the-block", "R-56.3", "raise", shows, boxes)


def keys(town: Town) -> Iterator[Case]:
    world, ada, bob, _, team = town
    rotated = team.update(world.anchor, ada, rotate=[ada, bob])
    yield world.says("rotate", "A rotation that changes nobody.", rotated)
    shows = "A rotation that raises Bob, for which it would take none."
    rotated = team.update(world.anchor, ada, {bob: Role.ADMIN}, rotate=[ada, bob])
    yield world.says("rotate-raise", shows, rotated)
    said = world.said(rotated)
    old = said.at(SIGNING, to=team.signing.public).at(ENCRYPTION, to=team.encryption.public)
    shows = "The block rotates to keys that the statement does not know."
    yield world.missays("keys-old", "R-56.3", "rotate-raise", shows, restate(world, rotated, old))
    swapped = said.at(SIGNING, to=said.value[ENCRYPTION]).at(ENCRYPTION, to=said.value[SIGNING])
    shows = "The two keys stand in each other's place."
    written = restate(world, rotated, swapped)
    yield world.missays("keys-swapped", "R-56.3", "rotate-raise", shows, written)
    close = team.close(world.anchor, ada)
    yield world.says("close", "An admin closes the group; its last members stay known.", close)
    said = world.said(close)
    zero, some = bytes(32), bytes([1] * 32)
    for name, place, to, shows in (
        ("box-root", BOX_ROOT, some, "A box root, though a close hands nothing over."),
        ("signing-zero", SIGNING, zero, "Zero for the signing key: the state's stands here."),
        ("encryption-zero", ENCRYPTION, zero, "Zero for the encryption key."),
        ("signing", SIGNING, rotated.after.signing.public, "A signing key of another day."),
    ):
        written = restate(world, close, said.at(place, to=to))
        yield world.missays(f"close-{name}", "R-56.3", "close", shows, written)


def actions(town: Town) -> Iterator[Case]:
    world, ada, bob, _, team = town
    create = Group.create("new", world.anchor, ada, {ada: Role.ADMIN})
    yield world.says("create", "A flat group begins.", create)
    blocks = {
        "create": create,
        "raise": team.update(world.anchor, ada, {bob: Role.ADMIN}),
        "rotate": team.update(world.anchor, ada, rotate=[ada, bob]),
        "close": team.close(world.anchor, ada),
    }
    names = ("a flat create", "a compound create", "an update", "a close")
    right = {"create": (0, 1), "raise": (2,), "rotate": (2,), "close": (3,)}
    for block, written in blocks.items():
        for action, name in enumerate(names):
            if action in right[block]:
                continue
            said = world.said(written).at(ACTION, to=action)
            title = f"action-{block}-{action}"
            shows = f"The statement says {name}, the block does not."
            yield world.missays(title, "R-56.3", block, shows, restate(world, written, said))


def replays(town: Town) -> Iterator[Case]:
    """What was said once, said again."""
    world, ada, bob, eve, team = town
    added = team.update(world.anchor, ada, {eve: Role.MEMBER})
    later = world.admit(added)
    out = later.update(world.anchor, ada, removed=[eve], rotate=[ada, bob])
    yield world.says("remove", "Eve is removed, with a rotation.", out)
    without = world.admit(out)
    back = without.update(world.anchor, ada, {eve: Role.MEMBER})
    shows = "Eve comes back: a new statement, and a new `joined`."
    yield world.says("add-again", shows, back)
    assert added.statement
    again = restate(world, back, added.statement)
    shows = "The statement that added Eve, once more."
    covers = ("R-56.9",)
    yield world.missays("replayed", "R-56.3", "add-again", shows, again, covers=covers)
    twin = world.found("twin", ada, {ada: Role.ADMIN, bob: Role.MEMBER})
    one = twin.update(world.anchor, ada, {bob: Role.ADMIN})
    two = without.update(world.anchor, ada, {bob: Role.ADMIN})
    assert one.statement
    shows = "A right statement about another group with the same members."
    written = restate(world, two, one.statement)
    name, nearest = "of-another-group", "add-again"
    yield world.missays(name, "R-56.3", nearest, shows, written, covers=covers)
