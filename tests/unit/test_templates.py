"""Templates read what the strict decoders read, and nothing else: differential tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import MalformedInput
from ledger.format import block, cose, statement, templates
from ledger.format.block import MAX_BLOCK_BYTES, Anchor
from ledger.format.bodies import BlockType
from ledger.format.cose import Envelope
from ledger.format.statement import Put, Role, Statement, Terms, sign_statement
from tests.support.actors import LogActor, User, Written, signing_key
from tests.support.groups import Group, Member
from tests.support.memory import MemoryLog

FOUNDING = LogActor.make()
LOG = FOUNDING.after
ANCHOR = MemoryLog(FOUNDING.raw).anchor


def written() -> Iterator[Written[Any]]:
    """A block of every type, some with a statement."""
    ada, bob = User.create(LOG, "ada", ANCHOR), User.create(LOG, "bob", ANCHOR)
    two = ada.after.add(ANCHOR)
    team = Group.create("team", ANCHOR, ada.after, {ada.after: Role.ADMIN})
    people: dict[Member, Role] = {bob.after: Role.MEMBER, two.after: Role.ADMIN}
    yield from (FOUNDING, LOG.policy(ANCHOR), ada, two, two.after.revoke(ANCHOR, 1))
    yield from (ada.after.reset(LOG, ANCHOR), ada.after.close(ANCHOR))
    yield from (team, team.after.update(ANCHOR, ada.after, people))
    yield team.after.close(ANCHOR, ada.after)


WRITTEN = list(written())
BLOCKS = [one.raw for one in WRITTEN]
STATEMENTS = [one.statement for one in WRITTEN if one.statement]
KNOWN = {
    *(BlockType.USER_CREATE, BlockType.USER_RESET, BlockType.DEVICE_ADD, BlockType.DEVICE_REVOKE),
    *(BlockType.GROUP_CREATE, BlockType.GROUP_UPDATE),
}

# Heads of every kind, in and out of their shortest spelling, and what may stand for a field.
SNIPPETS = [
    *(bytes((byte,)) for byte in (0, 1, 2, 3, 4, 23, 24, 0x20, 0x40, 0x58, 0x80, 0x81, 0x84, 0xF6)),
    *map(
        bytes.fromhex, ("1800", "1817", "1818", "18ff", "190017", "1900ff", "190100", "1a0000ffff")
    ),
    *map(bytes.fromhex, ("1a00010000", "1affffffff", "1b00000000ffffffff", "1b0000000100000000")),
    *map(bytes.fromhex, ("1b001fffffffffffff", "1b0020000000000000", "1b7fffffffffffffff")),
    *map(bytes.fromhex, ("1b8000000000000000", "5820" + "00" * 32, "590020" + "01" * 32)),
    *map(
        bytes.fromhex,
        ("5821", "581f", "590020", "5a00000020", "9801", "990001", "9817", "9f", "ff"),
    ),
]


def outcome(read: Callable[[bytes], Any], raw: bytes) -> object:
    """The value, or what is wrong."""
    try:
        return read(raw)
    except MalformedInput as error:
        return str(error)


def strictly(raw: bytes) -> block.Block:
    """`block.parse` without templates."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(block, "read_block", lambda raw: None)
        return block.parse(raw)


def stated_strictly(raw: bytes) -> Statement:
    """`Statement.parse` without templates."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statement, "read_statement", lambda raw: None)
        return Statement.parse(raw)


def test_all_that_is_common_has_a_template() -> None:
    for raw in BLOCKS:
        parsed = block.parse(raw)
        assert parsed == strictly(raw)
        assert (templates.read_block(raw) is not None) == (parsed.type in KNOWN)
    for raw in STATEMENTS:
        assert templates.read_statement(raw)
        assert Statement.parse(raw) == stated_strictly(raw)


@pytest.mark.parametrize("place", range(len(BLOCKS)))
def test_blocks_with_a_byte_changed_lost_or_added(place: int) -> None:
    for mutated in mutations(BLOCKS[place]):
        assert outcome(block.parse, mutated) == outcome(strictly, mutated)


@pytest.mark.parametrize("place", range(len(STATEMENTS)))
def test_statements_with_a_byte_changed_lost_or_added(place: int) -> None:
    for mutated in mutations(STATEMENTS[place]):
        assert outcome(Statement.parse, mutated) == outcome(stated_strictly, mutated)


def mutations(raw: bytes) -> list[bytes]:
    changed = [raw[:at] + bytes((raw[at] ^ 1 << at % 8,)) + raw[at + 1 :] for at in range(len(raw))]
    others = [raw[:at] + raw[at + 1 :] for at in range(len(raw))]
    return [*changed, *others, *(raw[:at] + b"\0" + raw[at:] for at in range(len(raw) + 1))]


Edit = tuple[int, int, bytes]
EDITS: st.SearchStrategy[list[Edit]] = st.lists(
    st.tuples(st.integers(0, 400), st.sampled_from([0, 1, 2, 3, 34]), st.sampled_from(SNIPPETS)),
    min_size=1,
    max_size=2,
)


def edited(payload: bytes, edits: list[Edit]) -> bytes:
    """The payload with bytes taken out and put in, mostly where an item begins."""
    for at, count, snippet in edits:
        starts = [i for i in range(len(payload)) if payload[i : i + 2] == b"\x58\x20" or i < 4]
        ends = [start + 34 for start in starts if start > 3]
        places = [*starts, *ends]
        start = places[at % len(places)]
        payload = payload[:start] + snippet + payload[start + count :]
    return payload


def wrapped(envelope: Envelope, payload: bytes) -> bytes:
    return cose.build(payload, list(zip(envelope.signers, envelope.signatures, strict=True)))


@given(st.sampled_from(BLOCKS), EDITS)
def test_blocks_of_another_structure(raw: bytes, edits: list[Edit]) -> None:
    envelope = cose.parse(raw, MAX_BLOCK_BYTES)
    mutated = wrapped(envelope, edited(envelope.payload, edits))
    assert outcome(block.parse, mutated) == outcome(strictly, mutated)


@given(st.sampled_from(STATEMENTS), EDITS)
def test_statements_of_another_structure(raw: bytes, edits: list[Edit]) -> None:
    envelope = cose.parse(raw, statement.MAX_STATEMENT_BYTES)
    mutated = wrapped(envelope, edited(envelope.payload, edits))
    assert outcome(Statement.parse, mutated) == outcome(stated_strictly, mutated)


@given(st.sampled_from(BLOCKS), st.data())
def test_blocks_with_other_signatures(raw: bytes, data: st.DataObject) -> None:
    """Fewer, more, twice: never read otherwise than without templates."""
    envelope = cose.parse(raw, MAX_BLOCK_BYTES)
    mine = list(zip(envelope.signers, envelope.signatures, strict=True))
    others = [*mine, (b"k" * 32, b"s" * 64), (b"l" * 32, b"t" * 64)]
    pairs = data.draw(st.lists(st.sampled_from(others), max_size=5))
    count = data.draw(st.one_of(st.just(len(pairs)), st.integers(0, 6)))
    head = raw[: raw.index(envelope.payload) + len(envelope.payload)] + bytes((0x80 + count,))
    signer, middle = bytes.fromhex("835826a20127045820"), bytes.fromhex("a05840")
    mutated = head + b"".join(signer + kid + middle + signature for kid, signature in pairs)
    assert outcome(block.parse, mutated) == outcome(strictly, mutated)


LABELS = st.lists(st.binary(min_size=32, max_size=32), max_size=40, unique=True)
UINTS = st.sampled_from([0, 23, 24, 255, 256, 65_535, 65_536, 2**32 - 1])


@given(LABELS, LABELS, UINTS, st.sampled_from([0, 5, 2**53, 2**63 - 1]), st.data())
def test_statements_of_any_size(
    removed: list[bytes], put: list[bytes], seq: int, size: int, data: st.DataObject
) -> None:
    puts = [Put(label, data.draw(UINTS), data.draw(st.sampled_from(Role))) for label in sorted(put)]
    place = b"s" * 32, b"g" * 32, seq, b"p" * 32, Anchor(size, b"r" * 32)
    keys = b"a" * 32, b"k" * 32, b"e" * 32, b"b" * 32
    terms = Terms(*place, *keys, 2, tuple(sorted(removed)), tuple(puts), b"m" * 32)
    raw = sign_statement(signing_key("author"), b"l" * 32, terms)
    assert templates.read_statement(raw)
    assert outcome(Statement.parse, raw) == outcome(stated_strictly, raw)
