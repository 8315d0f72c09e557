"""Blocks of groups: their header, their bodies, their keys (R-41, R-10.4, R-15), by bytes alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ledger.format import cose
from ledger.format.statement import Role
from ledger.rules.groups import label_of
from tests.support.groups import Group, Member
from tests.vectors.case import Case
from tests.vectors.cases.block_envelope import block_bad, block_ok
from tests.vectors.cases.block_payload import shaped
from tests.vectors.cases.keys import LOW_ORDER_U
from tests.vectors.crooked import SMALL, CrookedKey, NoKey, P
from tests.vectors.draft import Draft, envelope
from tests.vectors.world import BOB, World

SIGNING, ENCRYPTION = 1, 2
"""Where the two keys stand in the body of a create or an update."""


def cases() -> Iterator[Case]:
    world = World()
    ada, bob = world.create(), world.create(BOB)
    members: dict[Member, Role] = {ada: Role.ADMIN, bob: Role.MEMBER}
    create = world.draft(Group.create("team", world.anchor, ada, members))
    team = world.found("club", ada, members)
    blocks = {
        "group-create": create,
        "group-update": world.draft(team.update(world.anchor, ada, {bob: Role.ADMIN})),
        "group-rotate": world.draft(team.update(world.anchor, ada, rotate=[ada, bob])),
        "group-close": world.draft(team.close(world.anchor, ada)),
    }
    for name, draft in blocks.items():
        yield block_ok(name, f"A {draft.value[1]}: {name}, well-formed.", world.actor, draft.raw)
        yield from headers(world, name, draft)
        yield from bodies(world, name, draft)
    yield from signatures(world, blocks["group-rotate"])
    yield from keys(world, blocks)


def headers(world: World, name: str, draft: Draft) -> Iterator[Case]:
    def bad(title: str, rule: str, shows: str, changed: Draft) -> Case:
        return block_bad(f"{name}-{title}", rule, name, shows, world.actor, changed.raw)

    some = bytes([1] * 32)
    yield bad("label-zero", "R-41.3", "The log's label.", draft.field("label", bytes(32)))
    if draft.value[1] == 7:
        shows = "A group.create is the first of its chain."
        later = draft.field("seq", 1).field("prev", some)
        yield bad("seq-1", "R-41.3", shows, later)
        shows = "A first block has no block before it."
        yield bad("prev", "R-41.4", shows, draft.field("prev", some))
        return
    first = draft.field("seq", 0).field("prev", bytes(32))
    yield bad("seq-0", "R-41.3", "Only a create begins a chain.", first)
    yield bad("prev-zero", "R-41.4", "prev is zero.", draft.field("prev", bytes(32)))


def bodies(world: World, name: str, draft: Draft) -> Iterator[Case]:
    def bad(title: str, shows: str, body: Any) -> Case:
        raw = draft.field("body", body).raw
        covers = shaped("R-10.4")
        return block_bad(f"{name}-{title}", "R-10.4", name, shows, world.actor, raw, covers)

    body = draft.value[6]
    yield bad("field-more", "One field more than its type has.", [*body, bytes(32)])
    yield bad("field-less", "One field less than its type has.", body[:-1])
    yield bad("commitment-31", "A commitment of 31 bytes.", [body[0][:31], *body[1:]])
    yield bad("commitment-null", "No commitment.", [None, *body[1:]])
    if len(body) == 1:
        yield bad("bytes", "The commitment without an array around it.", body[0])
        return
    yield bad("signing-31", "A signing key of 31 bytes.", [body[0], body[1][:31], *body[2:]])
    yield bad("signing-null", "No signing key.", [body[0], None, *body[2:]])
    yield bad("encryption-33", "33 bytes.", [*body[:2], body[2] + b"\0", body[3]])
    yield bad("encryption-null", "No encryption key.", [*body[:2], None, body[3]])
    yield bad("box-root-null", "No box root.", [*body[:3], None])


def signatures(world: World, rotate: Draft) -> Iterator[Case]:
    one, two = rotate.pairs

    def bad(name: str, rule: str, shows: str, raw: bytes) -> Case:
        nearest, log = "group-rotate", world.actor
        return block_bad(f"group-rotate-{name}", rule, nearest, shows, log, raw)

    swapped = envelope(rotate.payload, [(one[0], two[1]), (two[0], one[1])])
    yield bad("signatures-swapped", "R-40.4", "Each kid with the other's signature.", swapped)
    for context in (cose.STATEMENT, cose.LEAVE, cose.GRANT):
        name = f"as-{context.rpartition('/')[2]}"
        yield bad(name, "R-40.4", f"Signed in the context {context}.", rotate.under(context).raw)
    other = rotate.under(log_id=bytes([1] * 32))
    yield bad("other-log", "R-40.4", "Signed for another log.", other.raw)
    doubled = envelope(rotate.payload, [one, one])
    yield bad("kid-twice", "R-40.3", "The old key signs twice.", doubled)


def keys(world: World, blocks: dict[str, Draft]) -> Iterator[Case]:
    log = world.actor
    create, rotate = blocks["group-create"], blocks["group-rotate"]

    def begun(key: cose.Signer) -> bytes:
        made = create.at(6, SIGNING, to=key.public).field("label", label_of(key.public))
        return made.by(key).raw

    def rotated(key: cose.Signer) -> bytes:
        return rotate.at(6, SIGNING, to=key.public).by(rotate.signers[0], key).raw

    crooked = CrookedKey.mixed()
    shows = "The signing key is of mixed order, and its signature verifies."
    yield block_ok("group-create-mixed-order", shows, log, begun(crooked))
    yield block_ok("group-rotate-mixed-order", shows, log, rotated(crooked))
    for name, point in SMALL.items():
        shows = f"The signing key is of small order, {name.replace('-', ' ')}: anybody can sign."
        raw, nearest = begun(NoKey(point)), "group-create-mixed-order"
        yield block_bad(f"group-create-{name}", "R-40.4", nearest, shows, log, raw)
    shows = "A rotation to a signing key of small order: anybody can sign."
    raw, nearest = rotated(NoKey(SMALL["order-8"])), "group-rotate-mixed-order"
    yield block_bad("group-rotate-order-8", "R-40.4", nearest, shows, log, raw)
    high = bytearray(create.value[6][ENCRYPTION])
    high[31] |= 0x80
    bad = {**LOW_ORDER_U, "top-bit": bytes(high), "p-plus-9": (P + 9).to_bytes(32, "little")}
    for block, draft in (("group-create", create), ("group-rotate", rotate)):
        for name, key in bad.items() if block == "group-create" else [("0", bytes(32))]:
            shows = f"The encryption key is no acceptable one: {name.replace('-', ' ')}."
            raw = draft.at(6, ENCRYPTION, to=key).raw
            yield block_bad(f"{block}-encryption-{name}", "R-15.2", block, shows, log, raw)
