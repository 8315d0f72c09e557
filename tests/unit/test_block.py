"""Blocks, their bodies and delegations as bytes: a value or MalformedInput, nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import BadSignature, MalformedInput
from ledger.format import block, cose
from ledger.format.block import NO_LOG_ID, Block, parse, verify
from ledger.format.bodies import BlockType, Delegation, LogCreate, UserCreate
from ledger.format.cbor import Value, encode
from tests.support.actors import LogActor, User, signing_key
from tests.vectors.draft import Draft, envelope, pairs_of, payload_of
from tests.vectors.world import BOB, World, label_of

ROUNDS = settings(max_examples=150, deadline=None)


def written() -> tuple[World, dict[BlockType, bytes]]:
    """A world, and a block of each type in it."""
    world = World()
    ada = world.with_devices(3)
    policy = world.actor.policy(world.anchor, enrolment=signing_key("enrolment"))
    created = User.create(world.actor, BOB, world.anchor, label=label_of(BOB))
    return world, {
        BlockType.LOG_CREATE: LogActor.make().raw,
        BlockType.LOG_POLICY: policy.raw,
        BlockType.USER_CREATE: created.raw,
        BlockType.DEVICE_ADD: ada.add(world.anchor).raw,
        BlockType.DEVICE_REVOKE: ada.revoke(world.anchor, 1, 2).raw,
        BlockType.USER_RESET: ada.reset(world.actor, world.anchor).raw,
        BlockType.USER_CLOSE: ada.close(world.anchor).raw,
    }


WORLD, BLOCKS = written()
LOG_ID = WORLD.actor.log_id
types = st.sampled_from(sorted(BLOCKS))


def log_id_of(kind: int) -> bytes:
    return NO_LOG_ID if kind == BlockType.LOG_CREATE else LOG_ID


def spelled(found: Block) -> bytes:
    """The payload that a block's fields spell."""
    anchor: Value = [found.anchor.size, found.anchor.root]
    head: list[Value] = [block.VERSION, found.type, found.label, found.seq, found.prev, anchor]
    return encode([*head, found.body.to_value()])


def delegation() -> Delegation:
    body = parse(BLOCKS[BlockType.USER_CREATE]).body
    assert isinstance(body, UserCreate)
    return body.delegation


def value_or_malformed(raw: bytes) -> None:
    """The invariant. Whatever is read is spelled the same way again."""
    try:
        found = parse(raw)
    except MalformedInput:
        return
    assert spelled(found) == found.envelope.payload
    assert envelope(found.envelope.payload, pairs_of(raw)) == found.raw == raw


@pytest.mark.parametrize("kind", BLOCKS)
def test_each_type(kind: BlockType) -> None:
    raw = BLOCKS[kind]
    found = parse(raw)
    assert (found.type, found.raw) == (kind, raw)
    verify(found, log_id_of(kind))
    value_or_malformed(raw)
    assert type(found.body).__name__.lower() == kind.spelling.replace(".", "")


@pytest.mark.parametrize("kind", BLOCKS)
def test_every_truncation(kind: BlockType) -> None:
    for end in range(len(BLOCKS[kind])):
        with pytest.raises(MalformedInput):
            parse(BLOCKS[kind][:end])


@pytest.mark.parametrize("kind", BLOCKS)
def test_every_flipped_bit(kind: BlockType) -> None:
    raw = BLOCKS[kind]
    for bit in range(len(raw) * 8):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        value_or_malformed(bytes(flipped))
        with pytest.raises((MalformedInput, BadSignature)):
            verify(parse(bytes(flipped)), log_id_of(kind))


def test_the_cap_comes_first() -> None:
    raw = BLOCKS[BlockType.DEVICE_ADD]
    assert parse(raw, len(raw)).raw == raw
    with pytest.raises(MalformedInput, match=r"R-41\.1"):
        parse(raw, len(raw) - 1)
    with pytest.raises(MalformedInput, match=r"R-41\.1"):
        parse(b"\xff" * (block.MAX_BLOCK_BYTES + 1))


# Anything that CBOR can say, and more of what payloads are made of.
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 2**64),
    st.sampled_from((2**32 - 1, 2**32, 2**53 - 1, 2**53, 2**63 - 1, 2**63)),
    st.binary(max_size=40),
    st.binary(min_size=32, max_size=32),
    st.sampled_from((bytes(32), BLOCKS[BlockType.USER_CREATE][:300])),
    st.text(max_size=5),
    st.floats(),
)
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.integers(0, 3), inner),
    max_leaves=12,
)


def places(value: Any, path: tuple[int, ...] = ()) -> list[tuple[int, ...]]:
    """Every place in nested lists."""
    inner = enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for number, one in inner for place in places(one, (*path, number)))]


def draft_of(kind: int) -> Draft:
    """A block of this type, to be signed by anybody: the bytes alone don't say by whom."""
    value = cbor2.loads(payload_of(BLOCKS[BlockType(kind)]))
    return Draft(value, (WORLD.actor.app_root,), log_id_of(kind))


@ROUNDS
@given(types, st.data())
def test_any_structure(kind: int, data: st.DataObject) -> None:
    draft = draft_of(kind)
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(places(draft.value)))
        draft = draft.at(*path, to=data.draw(trees))
    value_or_malformed(draft.raw)


@ROUNDS
@given(types, st.data())
def test_any_splice_of_a_payload(kind: int, data: st.DataObject) -> None:
    draft = draft_of(kind)
    payload = draft.payload
    start = data.draw(st.integers(0, len(payload)))
    end = data.draw(st.integers(start, min(len(payload), start + 4)))
    changed = payload[:start] + data.draw(st.binary(max_size=4)) + payload[end:]
    value_or_malformed(draft.encoded(changed).raw)


@ROUNDS
@given(st.binary(max_size=400))
def test_any_bytes(data: bytes) -> None:
    value_or_malformed(data)
    value_or_malformed(BLOCKS[BlockType.DEVICE_ADD][:60] + data)


def delegation_or_malformed(raw: bytes) -> None:
    try:
        found = Delegation.parse(raw)
    except MalformedInput:
        return
    place: list[Value] = [found.log_id, found.purpose, found.commitment, found.ephemeral]
    assert encode([*place, found.epoch, found.expiry]) == found.envelope.payload
    assert len(found.envelope.signers) == 1
    assert found.raw == raw


def test_a_delegation() -> None:
    raw = delegation().raw
    delegation_or_malformed(raw)
    for end in range(len(raw)):
        with pytest.raises(MalformedInput):
            Delegation.parse(raw[:end])
    for bit in range(len(raw) * 8):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        delegation_or_malformed(bytes(flipped))


@ROUNDS
@given(st.data())
def test_any_delegation(data: st.DataObject) -> None:
    value = cbor2.loads(delegation().envelope.payload)
    draft = Draft(value, (WORLD.actor.enrolment,), LOG_ID, cose.DELEGATION)
    path = data.draw(st.sampled_from(places(value)))
    delegation_or_malformed(draft.at(*path, to=data.draw(trees)).raw)
    more = data.draw(st.lists(st.sampled_from((signing_key(1), signing_key(2))), max_size=2))
    delegation_or_malformed(draft.by(*more).raw)


def test_checks_name_all_that_costs_time() -> None:
    for kind, raw in BLOCKS.items():
        found = parse(raw)
        checks = block.checks(found, log_id_of(kind))
        assert [kid for kid, _, _ in checks.signatures] == list(found.envelope.signers)
        enrols = kind in (BlockType.USER_CREATE, BlockType.USER_RESET)
        assert len(checks.inner) == enrols
        block.perform(checks)


def test_each_check_counts() -> None:
    checks = block.checks(parse(BLOCKS[BlockType.USER_CREATE]), LOG_ID)
    for number, (kid, _, message) in enumerate(checks.signatures):
        broken = [*checks.signatures]
        broken[number] = (kid, bytes(64), message)
        with pytest.raises(BadSignature, match=r"R-40\.4"):
            block.perform(replace(checks, signatures=tuple(broken)))
    ((rule, kid, _, message),) = checks.inner
    with pytest.raises(BadSignature, match=r"R-52\.5"):
        block.perform(replace(checks, inner=((rule, kid, bytes(64), message),)))


def test_entering_keys_are_checked() -> None:
    checks = block.checks(parse(BLOCKS[BlockType.LOG_CREATE]), NO_LOG_ID)
    body = parse(BLOCKS[BlockType.LOG_CREATE]).body
    assert isinstance(body, LogCreate)
    assert set(checks.entering) == {
        *(body.app_root, body.enrolment, body.log_key, body.vrf_key, body.authority)
    }
    with pytest.raises(MalformedInput, match=r"R-15\.1"):
        block.perform(replace(checks, entering=(bytes(32),)))
