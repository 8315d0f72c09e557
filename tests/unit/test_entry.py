"""Entries as bytes: a value or MalformedInput, nothing else."""

from __future__ import annotations

import doctest

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import MalformedInput
from ledger.format import entry
from ledger.format.bodies import MAX_TIME
from ledger.format.entry import BLOCK, DIRECTORY_ROOT, MAX_ENTRY_BYTES, Entry, parse
from tests.support.actors import NOW, LogActor

BLOCK_ENTRY = entry.block(NOW, LogActor.make().raw)
ROOT_ENTRY = entry.directory_root(NOW, bytes(range(32)))
BOTH = pytest.mark.parametrize("data", [BLOCK_ENTRY, ROOT_ENTRY], ids=["block", "root"])


def spelled(found: Entry) -> bytes:
    if found.kind == BLOCK:
        return entry.block(found.time, found.body)
    return entry.directory_root(found.time, found.body)


def value_or_malformed(data: bytes) -> None:
    """The invariant. Whatever is read is spelled the same way again."""
    try:
        found = parse(data)
    except MalformedInput:
        return
    assert spelled(found) == data
    assert found.kind in (BLOCK, DIRECTORY_ROOT)
    assert found.kind == BLOCK or len(found.body) == 32


@given(st.integers(0, MAX_TIME), st.binary(max_size=300), st.binary(min_size=32, max_size=32))
def test_round_trips(time: int, raw: bytes, root: bytes) -> None:
    assert parse(entry.block(time, raw)) == Entry(BLOCK, time, raw)
    assert parse(entry.directory_root(time, root)) == Entry(DIRECTORY_ROOT, time, root)


@BOTH
def test_every_truncation(data: bytes) -> None:
    for end in range(len(data)):
        with pytest.raises(MalformedInput):
            parse(data[:end])


@BOTH
def test_every_flipped_bit(data: bytes) -> None:
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        value_or_malformed(bytes(flipped))


def test_the_longest() -> None:
    head = len(entry.block(NOW, bytes(65_000))) - 65_000
    longest = entry.block(NOW, bytes(MAX_ENTRY_BYTES - head))
    assert len(longest) == MAX_ENTRY_BYTES
    assert spelled(parse(longest)) == longest
    with pytest.raises(MalformedInput, match=r"R-42\.1"):
        parse(entry.block(NOW, bytes(MAX_ENTRY_BYTES - head + 1)))


fields = st.one_of(
    st.integers(-1, 2**64),
    st.sampled_from((0, 1, 2, NOW, MAX_TIME, MAX_TIME + 1, None, True, False)),
    st.binary(max_size=40),
    st.binary(min_size=32, max_size=32),
    st.text(max_size=4),
    st.floats(),
    st.lists(st.integers(0, 3), max_size=3),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(fields, max_size=4))
def test_any_array(values: list[object]) -> None:
    value_or_malformed(cbor2.dumps(values))


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60), st.sampled_from((b"", b"\x83", b"\x83\x00", b"\x83\x01\x00")))
def test_any_bytes(data: bytes, head: bytes) -> None:
    value_or_malformed(head + data)


def test_example() -> None:
    assert doctest.testmod(entry).failed == 0
