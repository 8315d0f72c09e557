"""The CBOR of the protocol, read strictly by offset (specs/10-encoding).

There are two ways in. `decode` reads any value item by item and names the rule that is broken;
`read` does so along a shape. `compile_shape` turns a CDDL rule of fixed nesting into one regular
expression over bytes: a match *is* the decoding, since every head is spelt out in its shortest
form. None of them decodes in order to encode again.

A shape is written with Python's own values: `range(2**32)` an unsigned integer below 2^32, `32` a
byte string of 32 bytes, `bytes` one of any length, `str` a text, a tuple an array of exactly these
fields, and `Many(32, range(1, 65))` an array of 1 to 64 such strings. A range of one number,
`range(1, 2)`, is a constant: it must be there and yields no field.

    device = (32, 32, range(2))
    fits(decode(data), device)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import repeat
from typing import Any, TypeAlias

import cbor2

from verifier.errors import Malformed

Value: TypeAlias = "int | bytes | str | bool | list[Value] | None"
Shape: TypeAlias = "range | int | type | Many | Either | tuple[Shape, ...] | None"
Field: TypeAlias = "int | bytes | str | tuple[Field, ...]"


@dataclass(frozen=True, slots=True)
class Many:
    """An array of items of one shape, as many as `counts` allows."""

    item: Shape
    counts: range


@dataclass(frozen=True, slots=True)
class Either:
    """One of these shapes: the first that fits."""

    shapes: tuple[Shape, ...]


MAX_DEPTH = 8
SIMPLE: dict[int, Value] = {0xF4: False, 0xF5: True, 0xF6: None}
# The least argument that needs 1, 2, 4 or 8 bytes of its own.
LEAST = (24, 1 << 8, 1 << 16, 1 << 32)

# Only for what the verifier made itself, states: integers, byte strings, text, arrays and null.
encode: Callable[[object], bytes] = cbor2.dumps
restore: Callable[[bytes], Any] = cbor2.loads


def head(data: bytes, pos: int) -> tuple[int, int, int]:
    """Major type, argument and the offset behind the head at `pos`, in its shortest form only."""
    if pos >= len(data):
        raise Malformed("R-10.2", "the input ends where an item should begin")
    major, info = data[pos] >> 5, data[pos] & 31
    if info < 24:
        return major, info, pos + 1
    if info > 27:
        raise Malformed("R-10.2", "indefinite length or reserved head")
    end = pos + 1 + (1 << (info - 24))
    argument = int.from_bytes(data[pos + 1 : end], "big")
    if end > len(data):
        raise Malformed("R-10.2", "the input ends inside a head")
    if argument < LEAST[info - 24]:
        raise Malformed("R-10.2", "a head that is not in its shortest form")
    return major, argument, end


def decode(data: bytes, cap: int) -> Value:
    """The one value that `data` holds, at most `cap` bytes long (R-10.1 to R-10.3)."""
    if len(data) > cap:
        raise Malformed("R-10.1", f"{len(data)} bytes, more than {cap}")
    value, end = _item(data, 0, 1)
    if end != len(data):
        raise Malformed("R-10.2", "bytes follow the value")
    return value


def _item(data: bytes, pos: int, depth: int) -> tuple[Value, int]:
    if data[pos : pos + 1] >= b"\xe0":  # major type 7 has three values and no heads
        if data[pos] not in SIMPLE:
            raise Malformed("R-10.3", "a float or a simple value other than false, true, null")
        return SIMPLE[data[pos]], pos + 1
    major, argument, pos = head(data, pos)
    if major == 0:
        return argument, pos
    if major == 4:
        return _array(data, pos, argument, depth)
    if major not in (2, 3):
        raise Malformed("R-10.3", "a negative integer, a map or a tag")
    if argument > len(data) - pos:
        raise Malformed("R-10.2", "the input ends inside a string")
    chunk = data[pos : pos + argument]
    return (chunk if major == 2 else _text(chunk)), pos + argument


def _text(chunk: bytes) -> str:
    try:
        return chunk.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed("R-10.3", "text that is not UTF-8") from error


def _array(data: bytes, pos: int, count: int, depth: int) -> tuple[Value, int]:
    if depth > MAX_DEPTH:
        raise Malformed("R-10.3", f"arrays nested deeper than {MAX_DEPTH}")
    items: list[Value] = []
    for _ in range(count):  # a false count ends at the first item that is not there
        item, pos = _item(data, pos, depth + 1)
        items.append(item)
    return items, pos


def read(data: bytes, cap: int, shape: Shape) -> Any:
    """What `decode` gives, if that fits (R-10.1 to R-10.4).

    Nothing is read behind the first misfit, so what is long and wrong costs little. Shapes may have
    `Either` and None here, and no text.
    """
    if len(data) > cap:
        raise Malformed("R-10.1", f"{len(data)} bytes, more than {cap}")
    value, end = _read(data, 0, shape)
    if end != len(data):
        raise Malformed("R-10.2", "bytes follow the value")
    return value


def _read(data: bytes, pos: int, shape: Shape) -> tuple[Any, int]:
    if isinstance(shape, Either):
        return _read_either(data, pos, shape.shapes)
    if shape is None:
        if data[pos : pos + 1] != b"\xf6":
            raise Malformed("R-10.4", "something where there is to be nothing")
        return None, pos + 1
    major, argument, pos = head(data, pos)
    match shape:
        case range() if major == 0 and argument in shape:
            return argument, pos
        case Many() if major == 4 and argument in shape.counts:
            return _read_items(data, pos, repeat(shape.item, argument))
        case tuple() if major == 4 and argument == len(shape):
            return _read_items(data, pos, shape)
        case int() | type() if major == 2 and (shape is bytes or argument == shape):
            if argument > len(data) - pos:
                raise Malformed("R-10.2", "the input ends inside a string")
            return data[pos : pos + argument], pos + argument
    raise Malformed("R-10.4", "not of the shape that is to be there")


def _read_items(data: bytes, pos: int, shapes: Iterable[Shape]) -> tuple[list[Any], int]:
    items = []
    for shape in shapes:
        item, pos = _read(data, pos, shape)
        items.append(item)
    return items, pos


def _read_either(data: bytes, pos: int, shapes: tuple[Shape, ...]) -> tuple[Any, int]:
    for shape in shapes[:-1]:
        with suppress(Malformed):
            return _read(data, pos, shape)
    return _read(data, pos, shapes[-1])


def fits(value: Value, shape: Shape) -> bool:
    """Whether `value` has exactly this shape. `true` is not `1` (R-10.4)."""
    match shape:
        case range():
            return type(value) is int and value in shape
        case int():
            return type(value) is bytes and len(value) == shape
        case Many():
            counted = isinstance(value, list) and len(value) in shape.counts
            return counted and all(fits(one, shape.item) for one in _list(value))
        case tuple():
            counted = isinstance(value, list) and len(value) == len(shape)
            return counted and all(map(fits, _list(value), shape))
        case Either():
            return any(fits(value, one) for one in shape.shapes)
        case None:
            return value is None
    return type(value) is shape


def _is_constant(shape: Shape) -> bool:
    return isinstance(shape, range) and shape.stop - shape.start == 1


def _list(value: Value) -> list[Value]:
    assert isinstance(value, list)
    return value


def flatten(value: Value, shape: Shape) -> tuple[Field, ...]:
    """The fields of a value that fits, in order; a `Many` is one field, a tuple of its items."""
    if isinstance(shape, tuple):
        parts = map(flatten, _list(value), shape)
        return tuple(field for part in parts for field in part)
    if _is_constant(shape):
        return ()
    if isinstance(shape, Many):
        items = [flatten(one, shape.item) for one in _list(value)]
        return (tuple(items if isinstance(shape.item, tuple) else [item[0] for item in items]),)
    assert isinstance(value, int | bytes | str)
    return (value,)


# Every unsigned integer, and the heads of byte strings and arrays, in their shortest forms.
UINT = (
    rb"([\x00-\x17]|\x18[\x18-\xff]|\x19(?!\x00)..|\x1a(?!\x00\x00)....|"
    rb"\x1b(?!\x00\x00\x00\x00)........)"
)
BSTR = rb"([\x40-\x57]|\x58[\x18-\xff]|\x59(?!\x00)..)(.*)"
STRINGS = Many(32, range(1, 65))
MANY = rb"([\x81-\x97]|\x98[\x18-\x40])((?:\x58\x20.{32})+)"


# What of a head's bytes is its argument, by their number: the five low bits, or all behind.
ARGUMENT = {1: 31, 2: (1 << 8) - 1, 3: (1 << 16) - 1, 5: (1 << 32) - 1, 9: (1 << 64) - 1}


def uint(spelling: bytes) -> int:
    """The argument of a head, given its bytes; the major type is ignored."""
    return int.from_bytes(spelling, "big") & ARGUMENT[len(spelling)]


def compile_shape(shape: Shape) -> Callable[[bytes], tuple[Field, ...] | None]:
    """A reader for `shape`: the flat fields, or None for whatever `fits` would refuse.

    At most one field may be `bytes` or `STRINGS`, and what follows it must have a fixed length:
    then a match can be split in one way only. `str` and any other `Many` are for `decode` alone.
    """
    matches = re.compile(_pattern(shape), re.DOTALL).fullmatch
    leaves = list(_leaves(shape))
    # Numbers of one byte are in bounds if they match; others are looked at.
    small = [at for at, leaf in enumerate(leaves) if isinstance(leaf, range) and leaf.stop <= 24]
    large = [(at, leaf) for at, leaf in enumerate(leaves) if isinstance(leaf, range)]
    large = [(at, leaf) for at, leaf in large if at not in small]
    open_at = next((at for at, leaf in enumerate(leaves) if leaf is bytes or leaf == STRINGS), None)

    def read(data: bytes) -> tuple[Field, ...] | None:
        found = matches(data)
        if found is None:
            return None
        fields: list[Any] = list(found.groups())
        if open_at is not None and not _close(fields, open_at, leaves[open_at]):
            return None
        for at in small:
            fields[at] = fields[at][0]
        for at, bounds in large:
            fields[at] = number = uint(fields[at])
            if number not in bounds:
                return None
        return tuple(fields)

    return read


def _pattern(shape: Shape) -> bytes:
    match shape:
        case range() if _is_constant(shape):
            return b"\\x%02x" % shape.start
        case range() if shape.stop <= 24:
            return b"([\\x%02x-\\x%02x])" % (shape.start, shape.stop - 1)
        case range():
            return UINT
        case int():
            return b"\\x58\\x%02x(.{%d})" % (shape, shape)
        case Many():
            return MANY
        case tuple():
            return b"\\x%02x" % (0x80 + len(shape)) + b"".join(map(_pattern, shape))
    return BSTR


def _leaves(shape: Shape) -> Sequence[Shape]:
    if isinstance(shape, tuple):
        return [leaf for part in shape for leaf in _leaves(part)]
    return [] if _is_constant(shape) else [shape]


def _close(fields: list[Any], at: int, leaf: Shape) -> bool:
    """Joins head and content of the open field; False if the head states another length."""
    stated: bytes = fields.pop(at)
    content: bytes = fields[at]
    if leaf is bytes:
        return uint(stated) == len(content)
    fields[at] = tuple(content[i + 2 : i + 34] for i in range(0, len(content), 34))
    return uint(stated) * 34 == len(content)
