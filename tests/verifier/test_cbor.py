"""Strict CBOR: one spelling for each value, and patterns that decide as the decoder does."""

from __future__ import annotations

import contextlib
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verifier.cbor import MAX_DEPTH, STRINGS, compile_shape, decode, fits, flatten, uint
from verifier.errors import Malformed

CAP = 4_096
ATOMS = (
    st.integers(0, 2**64 - 1)
    | st.binary(max_size=40)
    | st.text(max_size=20)
    | st.sampled_from([True, False, None])
)
VALUES = st.recursive(ATOMS, lambda inner: st.lists(inner, max_size=5), max_leaves=20)


def depth(value: Any) -> int:
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


@given(VALUES)
def test_what_is_encoded_is_decoded(value: Any) -> None:
    data = cbor2.dumps(value)
    if depth(value) <= MAX_DEPTH:
        assert decode(data, CAP) == value
        assert [type(one) for one in [decode(data, CAP)]] == [type(value)]
    else:
        with pytest.raises(Malformed, match=r"R-10\.3"):
            decode(data, CAP)


@given(VALUES, st.data())
def test_truncation_and_trailing_bytes_are_refused(value: Any, data: st.DataObject) -> None:
    encoded = cbor2.dumps(value)
    cut = data.draw(st.integers(0, len(encoded) - 1))
    for wrong in (encoded[:cut], encoded + b"\x00"):
        with pytest.raises(Malformed):
            decode(wrong, CAP)


@given(st.binary(max_size=60))
def test_any_bytes_give_a_value_in_its_one_spelling_or_malformed(data: bytes) -> None:
    with contextlib.suppress(Malformed):
        assert cbor2.dumps(decode(data, CAP)) == data


@pytest.mark.parametrize(
    ("rule", "wrong", "right"),
    [
        ("R-10.1", b"\x59\x0f\xfe" + bytes(4_094), b"\x59\x0f\xfd" + bytes(4_093)),
        ("R-10.2", b"\x18\x17", b"\x17"),
        ("R-10.2", b"\x19\x00\xff", b"\x18\xff"),
        ("R-10.2", b"\x1a\x00\x00\xff\xff", b"\x19\xff\xff"),
        ("R-10.2", b"\x1b" + bytes(4) + b"\xff\xff\xff\xff", b"\x1a\xff\xff\xff\xff"),
        ("R-10.2", b"\x58\x01a", b"\x41a"),
        ("R-10.2", b"\x98\x01\x00", b"\x81\x00"),
        ("R-10.2", b"\x9f\x00\xff", b"\x81\x00"),
        ("R-10.2", b"\x5f\x41a\xff", b"\x41a"),
        ("R-10.2", b"\x1c", b"\x1b\xff\xff\xff\xff\xff\xff\xff\xff"),
        ("R-10.2", b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff", b"\x80"),
        ("R-10.2", b"", b"\x00"),
        ("R-10.3", b"\x20", b"\x00"),
        ("R-10.3", b"\xa0", b"\x80"),
        ("R-10.3", b"\xc0\x00", b"\x00"),
        ("R-10.3", b"\xf7", b"\xf6"),
        ("R-10.3", b"\xf8\x18", b"\xf5"),
        ("R-10.3", b"\xf9\x00\x00", b"\xf4"),
        ("R-10.3", b"\x61\xff", b"\x61a"),
        ("R-10.3", b"\x81" * 9 + b"\x00", b"\x81" * 8 + b"\x00"),
    ],
)
def test_rules(rule: str, wrong: bytes, right: bytes) -> None:
    decode(right, CAP)
    with pytest.raises(Malformed) as caught:
        decode(wrong, CAP)
    assert caught.value.rule == rule


SHAPE = (range(7, 8), range(2**32), 32, (range(3), bytes), 32, range(2))
READ = compile_shape(SHAPE)
MANY = (32, STRINGS, 32)
READ_MANY = compile_shape(MANY)
HASHES = st.binary(min_size=31, max_size=33)
NUMBERS = st.integers(0, 2**33) | st.sampled_from([0, 1, 2, 3, 23, 24, 255, 256, 65_535, 65_536])


@given(
    st.tuples(
        st.integers(6, 8),
        NUMBERS,
        HASHES,
        st.tuples(NUMBERS, st.binary(max_size=70)),
        HASHES,
        NUMBERS,
    ),
    st.integers(0, 200),
    st.integers(0, 255),
)
def test_a_pattern_decides_as_the_decoder_does(value: Any, at: int, byte: int) -> None:
    data = bytearray(cbor2.dumps(value))
    if at < len(data):
        data[at] = byte
    assert READ(bytes(data)) == slowly(bytes(data), SHAPE)


@given(st.lists(HASHES, max_size=70), st.integers(0, 400), st.integers(0, 255))
def test_a_pattern_with_an_array_too(keys: list[bytes], at: int, byte: int) -> None:
    data = bytearray(cbor2.dumps([bytes(32), keys, bytes(32)]))
    if at < len(data):
        data[at] = byte
    assert READ_MANY(bytes(data)) == slowly(bytes(data), MANY)


def slowly(data: bytes, shape: Any) -> Any:
    try:
        value = decode(data, CAP)
    except Malformed:
        return None
    return flatten(value, shape) if fits(value, shape) else None


def test_patterns_accept_the_longest_array_and_no_longer() -> None:
    keys = [bytes([number]) * 32 for number in range(65)]
    for count, is_read in ((0, False), (1, True), (23, True), (24, True), (64, True), (65, False)):
        data = cbor2.dumps([bytes(32), keys[:count], bytes(32)])
        assert READ_MANY(data) == ((bytes(32), tuple(keys[:count]), bytes(32)) if is_read else None)


def test_true_is_not_one() -> None:
    assert fits(1, range(2))
    assert not fits(True, range(2))
    assert not fits([1], (32,))
    assert not fits(None, bytes)


@given(st.integers(0, 2**64 - 1))
def test_heads_give_their_argument(number: int) -> None:
    assert uint(cbor2.dumps(number)) == number
