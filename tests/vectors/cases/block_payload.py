"""Payloads: their CBOR (R-10), their header (R-41), the shapes of bodies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cbor2

from tests.support.actors import LogActor, User
from tests.vectors.case import Case
from tests.vectors.cases.block_envelope import block_bad, block_ok
from tests.vectors.draft import Draft, Keyring
from tests.vectors.world import BOB, World, label_of


def cases() -> Iterator[Case]:
    world = World()
    ada = world.with_devices(2)
    add = world.draft(ada.add(world.anchor))
    yield from spellings(world.actor, add)
    yield from headers(world.actor, add)
    yield from places(world.actor, add)
    yield from types(world, ada)
    yield from devices(world.actor, add)
    yield from revokes(world, ada)


SHAPES = {
    **dict.fromkeys(("version", "type", "body"), "R-41.2"),
    **dict.fromkeys(("label", "seq"), "R-41.3"),
    **dict.fromkeys(("prev", "anchor"), "R-41.4"),
}
"""Which rule, beside R-10.4, gives each field its shape."""


def shaped(rule: str, field: str = "body") -> tuple[str, ...]:
    """What a case covers that breaks `rule` in a field of the payload."""
    return (SHAPES[field],) if rule == "R-10.4" else ()


def wrong(
    log: LogActor, name: str, rule: str, shows: str, draft: Draft, field: str = "body"
) -> Case:
    """A payload that is signed as it stands, and refused."""
    raw, covers = draft.raw, shaped(rule, field)
    return block_bad(f"payload-{name}", rule, "add", shows, log, raw, covers)


def spellings(log: LogActor, add: Draft) -> Iterator[Case]:
    payload = add.payload
    label, prev = b"\x58\x20" + add.value[2], b"\x58\x20" + add.value[4]
    assert payload[:3] == bytes([0x87, 1, 3])
    chunked = payload.replace(prev, b"\x5f" + prev + b"\xff")
    wide_label = payload.replace(label, b"\x59\x00" + label[1:])
    behind = payload[2:]
    for name, rule, shows, spelled in (
        ("version-wide", "R-10.2", "The version in two bytes.", b"\x87\x18\x01" + behind),
        ("type-wide", "R-10.2", "The type in three bytes.", b"\x87\x01\x19\x00" + behind),
        ("array-wide", "R-10.2", "The array's length in two bytes.", b"\x98\x07\x01" + behind),
        ("array-indefinite", "R-10.2", "Of no stated length.", b"\x9f\x01" + behind + b"\xff"),
        ("label-wide", "R-10.2", "The label's length in two bytes.", wide_label),
        ("prev-chunked", "R-10.2", "prev as a string of indefinite length.", chunked),
        ("trailing", "R-10.2", "A byte follows the payload's array.", payload + b"\x00"),
        ("cut", "R-10.2", "The payload is cut short.", payload[:-1]),
        ("empty", "R-10.2", "An empty payload.", b""),
        ("version-float", "R-10.3", "The version as a float.", b"\x87\xf9\x3c\x00" + behind),
        ("version-negative", "R-10.3", "A negative version.", b"\x87\x20" + behind),
        ("version-bignum", "R-10.3", "The version as a bignum.", b"\x87\xc2\x41\x01" + behind),
        ("tagged", "R-10.3", "A tag around the payload.", b"\xd9\xd9\xf7" + payload),
        ("undefined", "R-10.3", "undefined for a version.", b"\x87\xf7" + behind),
        ("map", "R-10.3", "A map for a version.", b"\x87\xa0" + behind),
    ):
        yield wrong(log, name, rule, shows, add.encoded(spelled))


def headers(log: LogActor, add: Draft) -> Iterator[Case]:
    for name, rule, shows, value in (
        ("not-an-array", "R-10.4", "The payload is an integer.", 1),
        ("eight-fields", "R-10.4", "A payload has seven fields.", [*add.value, None]),
        ("six-fields", "R-10.4", "A payload has seven fields.", add.value[:6]),
    ):
        yield wrong(log, name, rule, shows, add.encoded(cbor2.dumps(value)))
    fields: list[tuple[str, str, str, str, Any]] = [
        ("version-0", "R-41.2", "Version 0.", "version", 0),
        ("version-2", "R-41.2", "Version 2 is unknown.", "version", 2),
        ("version-true", "R-10.4", "true is not 1.", "version", True),
        ("version-text", "R-10.4", "The version as text.", "version", "1"),
        ("type-group-update", "R-10.4", "The body of another type.", "type", 8),
        ("type-group-close", "R-10.4", "The body of another type.", "type", 9),
        ("type-10", "R-41.2", "Type 10 is unknown.", "type", 10),
        ("type-2-32", "R-41.2", "Type 2^32 is unknown.", "type", 2**32),
        ("type-null", "R-10.4", "No type.", "type", None),
        ("label-31", "R-10.4", "A label of 31 bytes.", "label", bytes([1] * 31)),
        ("label-33", "R-10.4", "A label of 33 bytes.", "label", bytes([1] * 33)),
        ("label-text", "R-10.4", "A label as text.", "label", "l" * 32),
        ("label-zero", "R-41.3", "The log's label in a user's block.", "label", bytes(32)),
        ("seq-zero", "R-41.3", "A device.add that begins a chain.", "seq", 0),
        ("seq-2-32", "R-10.4", "seq is below 2^32.", "seq", 2**32),
        ("prev-31", "R-10.4", "prev of 31 bytes.", "prev", bytes([1] * 31)),
        ("prev-null", "R-10.4", "prev is null.", "prev", None),
        ("prev-zero", "R-41.4", "prev is zero, though seq is not.", "prev", bytes(32)),
    ]
    for name, rule, shows, field, value in fields:
        yield wrong(log, name, rule, shows, add.field(field, value), field)
    last = add.field("seq", 2**32 - 1)
    shows = "The last seq: well-formed, whatever its chain says to it."
    yield block_ok("payload-seq-last", shows, log, last.raw)
    long = add.at(6, to=bytes(17_000))
    yield wrong(log, "too-long", "R-41.1", "A block of more than 16,384 bytes.", long)


def places(log: LogActor, add: Draft) -> Iterator[Case]:
    size, root = add.value[5]
    for name, shows, anchor in (
        ("null", "No anchor.", None),
        ("one-field", "An anchor has two fields.", [size]),
        ("three-fields", "An anchor has two fields.", [size, root, 0]),
        ("root-31", "An anchor's root of 31 bytes.", [size, root[:31]]),
        ("size-2-63", "An anchor's size of 2^63.", [2**63, root]),
        ("size-true", "true for a size.", [True, root]),
        ("swapped", "Root and size swapped.", [root, size]),
    ):
        changed = add.field("anchor", anchor)
        yield wrong(log, f"anchor-{name}", "R-10.4", shows, changed, "anchor")
    shows = "The largest size: well-formed, whatever its place says to it."
    largest = add.field("anchor", [2**63 - 1, root])
    yield block_ok("payload-anchor-largest", shows, log, largest.raw)


def types(world: World, ada: User) -> Iterator[Case]:
    log = world.actor
    created = User.create(log, BOB, world.anchor, label=label_of(BOB))
    writes = {
        "create": created,
        "revoke": ada.revoke(world.anchor, 1),
        "reset": ada.reset(log, world.anchor),
        "close": ada.close(world.anchor),
    }
    drafts = {name: world.draft(written) for name, written in writes.items()}
    for name, draft in drafts.items():
        yield block_ok(name, f"A {draft.value[1]}: user.{name}, well-formed.", log, draft.raw)
    policy = Draft.of(log.policy(world.anchor, enrolment=log.authority).raw, Keyring(log))
    yield block_ok("policy", "A log.policy, well-formed.", log, policy.raw)

    def bad(name: str, rule: str, nearest: str, shows: str, draft: Draft) -> Case:
        return block_bad(name, rule, nearest, shows, log, draft.raw, shaped(rule))

    create = drafts["create"]
    shows = "A user.create is the first of its chain."
    prev = create.field("seq", 1).field("prev", bytes([1] * 32))
    yield bad("create-seq-1", "R-41.3", "create", shows, prev)
    shows = "A first block has no block before it."
    yield bad("create-prev", "R-41.4", "create", shows, create.field("prev", bytes([1] * 32)))
    shows = "A user's label in a log.policy."
    yield bad("policy-label", "R-41.3", "policy", shows, policy.field("label", ada.label))
    shows = "A log.policy never begins a chain."
    first = policy.field("seq", 0).field("prev", bytes(32))
    yield bad("policy-seq-0", "R-41.3", "policy", shows, first)
    shows = "The body of a close in a block of another type."
    yield bad("close-as-add", "R-10.4", "close", shows, drafts["close"].field("type", 3))
    shows = "The body of a reset in a block of another type."
    yield bad("reset-as-revoke", "R-10.4", "reset", shows, drafts["reset"].field("type", 4))
    for name, draft in drafts.items():
        body = draft.value[6]
        more, less = draft.field("body", [*body, 0]), draft.field("body", body[:-1])
        shows = "One field more than its type has."
        yield bad(f"{name}-field-more", "R-10.4", name, shows, more)
        yield bad(f"{name}-field-less", "R-10.4", name, "One field less than its type has.", less)
        key = draft.at(6, len(body) - 1, to=bytes([1] * 31))
        yield bad(f"{name}-last-short", "R-10.4", name, "The last field is a byte short.", key)


def devices(log: LogActor, add: Draft) -> Iterator[Case]:
    device = add.value[6][1]
    for name, rule, shows, to in (
        ("null", "R-10.4", "No device.", None),
        ("two-fields", "R-10.4", "A device has three fields.", device[:2]),
        ("kind-3", "R-10.4", "Kinds are 0, 1 and 2.", [*device[:2], 3]),
        ("kind-false", "R-10.4", "false is not 0.", [*device[:2], False]),
        ("signing-31", "R-10.4", "A signing key of 31 bytes.", [device[0][:31], *device[1:]]),
    ):
        yield wrong(log, f"device-{name}", rule, shows, add.at(6, 1, to=to))
    recovery = add.at(6, 1, 2, to=1)
    yield block_ok("payload-device-kind-1", "A recovery device.", log, recovery.raw)
    by_mail = add.at(6, 1, 2, to=2)
    yield block_ok("payload-device-kind-2", "One for recovery by e-mail.", log, by_mail.raw)


def revokes(world: World, ada: User) -> Iterator[Case]:
    log = world.actor
    draft = world.draft(ada.revoke(world.anchor, 1))
    keys = [bytes([number]) * 32 for number in range(65)]

    def bad(name: str, nearest: str, shows: str, revoked: Any) -> Case:
        raw = draft.at(6, 1, to=revoked).raw
        return block_bad(f"revoke-{name}", "R-10.4", nearest, shows, log, raw, ("R-41.2",))

    most = draft.at(6, 1, to=keys[:64])
    shows = "64 revoked keys: well-formed, whatever the chain says to them."
    yield block_ok("revoke-64", shows, log, most.raw)
    yield bad("65", "revoke-64", "65 revoked keys.", keys)
    yield bad("none", "revoke", "No revoked key.", [])
    yield bad("bytes", "revoke", "Revoked keys as one byte string.", keys[0])
    yield bad("nested", "revoke", "A revoked key in an array.", [[keys[0]]])
    yield bad("short", "revoke", "A revoked key of 31 bytes.", [keys[1][:31]])
