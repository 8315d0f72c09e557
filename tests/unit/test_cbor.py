"""Strict CBOR against the RFC's examples, an independent reader, and inputs made to hurt."""

from __future__ import annotations

import contextlib
import doctest
import enum
import math
import struct
import time
from typing import Any

import cbor2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ledger.errors import MalformedInput
from ledger.format import cbor
from ledger.format.cbor import MAX_DEPTH, MAX_UINT, Value, decode, encode

CAP = 65_535


def nested(depth: int) -> bytes:
    return b"\x81" * depth + b"\x00"


def head(major: int, argument: int, width: int) -> bytes:
    """A head whose argument takes `width` bytes; 0 puts it into the first byte."""
    if not width:
        return bytes([major << 5 | argument])
    info = {1: 24, 2: 25, 4: 26, 8: 27}[width]
    return bytes([major << 5 | info]) + argument.to_bytes(width)


def shortest(argument: int) -> int:
    """How many bytes the argument takes in the shortest head."""
    limits = [(24, 0), (1 << 8, 1), (1 << 16, 2), (1 << 32, 4), (1 << 64, 8)]
    return next(width for limit, width in limits if argument < limit)


class Refused(Exception):
    """The reference reader found what the rules exclude."""


def read(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    """A strict reader written apart from cbor2: the value at `at`, and where it ends."""
    if at >= len(data):
        raise Refused
    major, info = data[at] >> 5, data[at] & 31
    if major == 7 and info in (20, 21, 22):
        return {20: False, 21: True, 22: None}[info], at + 1
    if major not in (0, 2, 3, 4) or info > 27:
        raise Refused
    width = 0 if info < 24 else 1 << (info - 24)
    start = at + 1 + width
    argument = int.from_bytes(data[at + 1 : start]) if width else info
    if start > len(data) or width != shortest(argument):
        raise Refused
    return read_content(data, major, argument, start, depth)


def read_content(
    data: bytes, major: int, argument: int, start: int, depth: int
) -> tuple[Value, int]:
    if major == 0:
        return argument, start
    if major == 4:
        if not depth:
            raise Refused
        values = []
        for _ in range(argument):
            value, start = read(data, start, depth - 1)
            values.append(value)
        return values, start
    content = data[start : start + argument]
    if len(content) != argument:
        raise Refused
    if major == 2:
        return content, start + argument
    try:
        return content.decode(), start + argument
    except UnicodeDecodeError:
        raise Refused from None


def reference(data: bytes) -> Value:
    value, end = read(data, 0, MAX_DEPTH)
    if end != len(data):
        raise Refused
    return value


def same(left: Any, right: Any) -> bool:
    """Equality that tells True from 1."""
    if type(left) is not type(right):
        return False
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


def agrees(data: bytes) -> None:
    """`decode` and the reference reader give the same value, or both refuse."""
    try:
        expected = reference(data)
    except Refused:
        with pytest.raises(MalformedInput):
            decode(data, CAP)
    else:
        value = decode(data, CAP)
        assert same(value, expected)
        assert encode(value) == data


scalars: st.SearchStrategy[Any] = st.one_of(
    st.integers(0, MAX_UINT),
    st.integers(0, 300),
    st.binary(max_size=40),
    st.text(max_size=20),
    st.booleans(),
    st.none(),
)


def arrays_of(depth: int) -> st.SearchStrategy[Any]:
    if not depth:
        return scalars
    return st.one_of(scalars, st.lists(arrays_of(depth - 1), max_size=5))


values = arrays_of(MAX_DEPTH)


@st.composite
def almost_cbor(draw: st.DrawFn, depth: int = MAX_DEPTH + 2) -> bytes:
    """An item as a hostile encoder may write it: any major type, long heads, wrong lengths."""
    major = draw(st.sampled_from([0, 0, 1, 2, 2, 3, 4, 4, 4, 5, 6, 7, 7]))
    if major == 7:
        return draw(st.sampled_from(SPECIALS))
    if major in (4, 5, 6) and depth:
        count = draw(st.integers(0, 3)) if major != 6 else 1
        argument = count if major != 6 else draw(st.sampled_from(TAGS))
        parts = [draw(almost_cbor(depth - 1)) for _ in range(count * 2 if major == 5 else count)]
        body = b"".join(parts)
    else:
        body = draw(st.binary(max_size=30)) if major in (2, 3) else b""
        argument = len(body) if major in (2, 3) else draw(st.sampled_from(BORDERS))
        major = major if major < 4 else 0
    wrong = draw(st.sampled_from([0] * 20 + [1, 2**16, 2**62]))
    width = draw(st.sampled_from([w for w in (0, 0, 0, 1, 2, 4, 8) if w >= shortest(argument)]))
    if wrong:
        return head(major, argument + wrong, 8) + body
    return head(major, argument, max(width, shortest(argument))) + body


BORDERS = [0, 1, 23, 24, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**63, 2**64 - 1 - 2**62]
TAGS = [0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 98, 256, 258, 260, 261, 43000, 55799, 2**40]
SPECIALS = [
    bytes.fromhex(spelling)
    for spelling in (
        *("f4", "f5", "f6", "f4", "f5", "f6", "f7", "e0", "f0", "f820", "f8ff", "f814", "f818"),
        *("f90000", "f98000", "f97e00", "fa00000000", "fa7fc00000", "fb8000000000000000"),
        *("ff", "9fff", "5fff", "7fff", "bfff", "5f4100ff", "f0", "fc", "1c", "5c", "9d", "c1"),
    )
]


@pytest.mark.parametrize(
    ("spelling", "value"),
    [
        ("00", 0),
        ("01", 1),
        ("17", 23),
        ("1818", 24),
        ("18ff", 255),
        ("190100", 256),
        ("19ffff", 65535),
        ("1a00010000", 65536),
        ("1affffffff", 2**32 - 1),
        ("1b0000000100000000", 2**32),
        ("1bffffffffffffffff", 2**64 - 1),
        ("40", b""),
        ("4401020304", b"\x01\x02\x03\x04"),
        ("60", ""),
        ("6449455446", "IETF"),
        ("62c3bc", "\u00fc"),
        ("64f0908591", "\U00010151"),
        ("80", []),
        ("8301820203820405", [1, [2, 3], [4, 5]]),
        ("98190102030405060708090a0b0c0d0e0f101112131415161718181819", list(range(1, 26))),
        ("f4", False),
        ("f5", True),
        ("f6", None),
        ("5818" + "00" * 24, bytes(24)),
        ("590100" + "00" * 256, bytes(256)),
        ("7818" + "61" * 24, "a" * 24),
        ("8888" + "00" * 15, [[0] * 8, 0, 0, 0, 0, 0, 0, 0]),
    ],
)
def test_spellings_of_the_rfc(spelling: str, value: Value) -> None:
    data = bytes.fromhex(spelling)
    assert same(decode(data, CAP), value)
    assert encode(value) == data


@given(values)
@example([0, False, 1, True, b"", "", None, []])
def test_a_value_survives(value: Value) -> None:
    data = encode(value)
    assert same(decode(data, CAP), value)
    assert data == cbor2.dumps(value)


@pytest.mark.parametrize(
    ("rule", "spelling"),
    [
        # a longer head than needed, for each type and width
        *(("R-10.2", s) for s in ("1817", "190017", "1900ff", "1a0000ffff", "1b00000000ffffffff")),
        *(("R-10.2", s) for s in ("580100", "59000100", "5a0000000100", "5b000000000000000100")),
        *(("R-10.2", s) for s in ("780161", "79000161", "7a0000000161", "7b000000000000000161")),
        *(("R-10.2", s) for s in ("980100", "99000100", "9a0000000100", "9b000000000000000100")),
        # indefinite lengths
        *(("R-10.2", s) for s in ("9fff", "9f00ff", "5fff", "5f4100ff", "7f6161ff", "ff")),
        # after the value, before its end, and nothing at all
        *(("R-10.2", s) for s in ("0000", "8000", "f6f6", "4100ff")),
        *(("R-10.2", s) for s in ("", "18", "19ff", "1a0000ff", "41", "4200", "6261", "81")),
        # no such heads
        *(("R-10.2", s) for s in ("1c", "1d", "1e", "1f", "5c", "7d", "9e", "f814", "f81f", "fc")),
        # integers out of range
        *(("R-10.3", s) for s in ("20", "3863", "3bffffffffffffffff", "c240", "c24101")),
        *(("R-10.3", s) for s in ("c249010000000000000000", "c349010000000000000000")),
        # floats
        *(("R-10.3", s) for s in ("f90000", "f98000", "f93c00", "f97e00", "f97c00", "fa3f800000")),
        *(("R-10.3", s) for s in ("fb3ff0000000000000", "fb8000000000000000")),
        *(("R-10.3", s) for s in ("fb7ff8000000000000",)),
        # undefined and simple values
        *(("R-10.3", s) for s in ("f7", "e0", "f3", "f820", "f8ff")),
        # maps, with any key, even empty
        *(("R-10.3", s) for s in ("a0", "a10102", "a1616101", "a1410001", "a1800001", "a1f600")),
        *(("R-10.3", s) for s in ("a2616101616102", "81a0", "a1a000", "bfff")),
        # tags, known and unknown, and those that share values
        *(("R-10.3", s) for s in ("c000", "c11a514b67b0", "d818456449455446", "d9d9f700")),
        *(("R-10.3", s) for s in ("d86200", "d81c80", "82d81c80d81d00", "d9010080", "d9010280")),
        *(("R-10.3", s) for s in ("dbffff00000000000000",)),
        # not UTF-8: cut short, overlong, a surrogate, beyond U+10FFFF
        *(("R-10.3", s) for s in ("61c3", "62c328", "62c080", "63eda080", "64f4908080", "61ff")),
    ],
)  # fmt: skip
def test_other_spellings_are_refused(rule: str, spelling: str) -> None:
    data = bytes.fromhex(spelling)
    with pytest.raises(MalformedInput) as refusal:
        decode(data, CAP)
    assert refusal.value.rule == rule
    with pytest.raises(Refused):
        reference(data)


def test_depth() -> None:
    assert encode(decode(nested(8), CAP)) == nested(8)
    for depth in (9, 10, 400, 401, 60_000):
        with pytest.raises(MalformedInput, match=r"R-10\.3"):
            decode(nested(depth), CAP)


def test_size_comes_first() -> None:
    assert decode(b"\x43abc", 4) == b"abc"
    with pytest.raises(MalformedInput, match=r"R-10\.1"):
        decode(b"\x43abc", 3)
    with pytest.raises(MalformedInput, match=r"R-10\.1"):
        decode(b"\xff" * 10, 9)


@pytest.mark.parametrize("major", [2, 3, 4, 5])
@pytest.mark.parametrize("length", [100, 2**16, 2**31, 2**32, 2**40, 2**63, 2**64 - 1])
def test_lengths_beyond_the_input(major: int, length: int) -> None:
    width = shortest(length)
    for body in (b"", b"\x00" * 50):
        with pytest.raises(MalformedInput):
            decode(head(major, length, width) + body, CAP)
        with pytest.raises(MalformedInput):
            decode(b"\x81" + head(major, length, width) + body, CAP)


SAMPLE: list[Value] = [
    *(1, 3, bytes(range(32)), 7, bytes(32)),
    [70_000, bytes(32)],
    [b"k" * 32, 1_234_567_890_123, "device", None, True, [b"x" * 80, 256]],
]


def test_every_truncation_is_refused() -> None:
    data = encode(SAMPLE)
    for end in range(len(data)):
        with pytest.raises(MalformedInput):
            decode(data[:end], CAP)


def test_every_flipped_bit_is_judged_alike() -> None:
    data = encode(SAMPLE)
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        agrees(bytes(flipped))


@given(st.binary(max_size=60))
def test_any_bytes_are_judged_alike(data: bytes) -> None:
    agrees(data)


@given(almost_cbor())
@example(bytes.fromhex("82d81c80d81d00"))
def test_any_structure_is_judged_alike(data: bytes) -> None:
    agrees(data)


@given(values, st.data())
def test_mutations_are_judged_alike(value: Value, data: st.DataObject) -> None:
    spelled = encode(value)
    start = data.draw(st.integers(0, len(spelled)))
    end = data.draw(st.integers(start, min(len(spelled), start + 4)))
    agrees(spelled[:start] + data.draw(st.binary(max_size=4)) + spelled[end:])


def colliding_integers(count: int) -> list[int]:
    """Integers that share one hash, as maps of bignum keys had to be feared for."""
    return [number * (2**61 - 1) for number in range(1, count)]


HOSTILE = {
    "many integers": b"\x99\xff\xf0" + b"\x00" * 0xFFF0,
    "many arrays": b"\x99\xff\xf0" + b"\x80" * 0xFFF0,
    "many arrays of one": b"\x99\x7f\xf0" + b"\x81\x00" * 0x7FF0,
    "many maps": b"\x99\xff\xf0" + b"\xa0" * 0xFFF0,
    "many tags": b"\xc6" * 65_535,
    "many indefinite arrays": b"\x9f" * 65_535,
    "one map of text keys": b"\xb9\x20\x00" + b"".join(b"\x64%04x\x00" % i for i in range(0x2000)),
    "colliding bignum keys": b"\xb9\x11\x11"
    + b"".join(cbor2.dumps(i) + b"\x00" for i in colliding_integers(0x1112))[:65_000],
    "colliding bignums": cbor2.dumps(colliding_integers(5_000))[:65_535],
    "shared arrays": b"\xd8\x1c" + (b"\x99\x10\x00\xd8\x1c" + b"\xd8\x1d\x00" * 4_095) * 5,
    "a long regular expression": b"\xd8\x23\x79\xff\xf0" + b"(a*)*" * 0x3330,
    "a big power": b"\xc5\x82\x1a\x7f\xff\xff\xff\x01",
    "long text": b"\x79\xff\xf0" + "\u6c34".encode() * 0x5550,
    "huge arrays in arrays": b"\x9a\x7f\xff\xff\xff" * 13_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_input_costs_little(name: str) -> None:
    start = time.perf_counter()
    for _ in range(3):
        with contextlib.suppress(MalformedInput):
            decode(HOSTILE[name], CAP)
    assert time.perf_counter() - start < 2, "64 KiB take some 50 ms at worst"


class Number(int):
    """An integer, but not exactly one."""


class Choice(enum.IntEnum):
    """Likewise."""

    ONE = 1


CYCLE: list[Any] = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize(
    "value",
    [
        *(-1, 2**64, -(2**70), 10**5000, 0.0, -0.0, 1.0, math.nan, math.inf, 1j, Number(1)),
        *(Choice.ONE, (1,), {}, {"a": 1}, set(), bytearray(b"a"), memoryview(b"a"), object()),
        *("\ud800", cbor2.undefined, cbor2.CBORTag(98, []), cbor2.CBORSimpleValue(32), CYCLE),
        *([[-1]], [{}], [[[0.0]]], ["a", "\udfff"], [[[[[[[[[0]]]]]]]]]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_encode_refuses_what_decode_would(value: Any) -> None:
    with pytest.raises(MalformedInput, match=r"R-10\.3"):
        encode(value)


@given(st.floats(), st.booleans())
def test_floats_never_pass(number: float, inside: bool) -> None:
    packed = b"\xfb" + struct.pack(">d", number)
    with pytest.raises(MalformedInput, match=r"R-10\.3"):
        decode(b"\x81" + packed if inside else packed, CAP)


def test_array() -> None:
    assert cbor.array([1, 2], 2, "pair") == [1, 2]
    wrong: list[Value] = [[1], [1, 2, 3], None, b"12", "12", 2, True]
    for value in wrong:
        with pytest.raises(MalformedInput, match=r"R-10\.4: pair"):
            cbor.array(value, 2, "pair")


def test_items() -> None:
    right: list[Value] = [[1], [1, 2], [1, 2, 3]]
    for value in right:
        assert cbor.items(value, 1, 3, "list") == value
    wrong: list[Value] = [[], [1, 2, 3, 4], None, b"12", "12", 2]
    for value in wrong:
        with pytest.raises(MalformedInput, match=r"R-10\.4: list"):
            cbor.items(value, 1, 3, "list")


def test_uint() -> None:
    assert cbor.uint(0, "n") == 0
    assert cbor.uint(MAX_UINT, "n") == MAX_UINT
    assert cbor.uint(9, "n", 9) == 9
    wrong: list[Value] = [10, -1, True, False, None, b"\x01", "1", [1]]
    for value in wrong:
        with pytest.raises(MalformedInput, match=r"R-10\.4: n"):
            cbor.uint(value, "n", 9)


def test_bstr() -> None:
    assert cbor.bstr(b"abc", 3, "key") == b"abc"
    wrong: list[Value] = [b"ab", b"abcd", "abc", None, 3, [b"a", b"b", b"c"]]
    for value in wrong:
        with pytest.raises(MalformedInput, match=r"R-10\.4: key"):
            cbor.bstr(value, 3, "key")


def test_blob() -> None:
    assert cbor.blob(b"", 3, "box") == b""
    assert cbor.blob(b"abc", 3, "box") == b"abc"
    wrong: list[Value] = [b"abcd", "abc", None, 3, [b"abc"]]
    for value in wrong:
        with pytest.raises(MalformedInput, match=r"R-10\.4: box"):
            cbor.blob(value, 3, "box")


def test_text() -> None:
    assert cbor.text("", 3, "name") == ""
    assert cbor.text("\u6c34", 3, "name") == "\u6c34"
    wrong: list[Value] = ["abcd", "\u6c34a", b"abc", None, 3, ["abc"]]
    for value in wrong:
        with pytest.raises(MalformedInput, match=r"R-10\.4: name"):
            cbor.text(value, 3, "name")


def test_docstring() -> None:
    assert doctest.testmod(cbor).failed == 0
