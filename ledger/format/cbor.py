"""Strict CBOR: the closed, deterministic subset of RFC 8949 that payloads are made of.

A value is an unsigned integer below 2^64, a byte string, UTF-8 text, a boolean, null, or an array
of values, at most `MAX_DEPTH` arrays deep. There are no maps, floats, negative integers, tags or
other simple values. Each value has one spelling (RFC 8949 section 4.2.1), and `decode` takes no
other: it encodes again what it read and compares, so it can only accept what `encode` writes.

>>> encode([1, b"key", None]).hex()
'8301436b6579f6'
>>> decode(bytes.fromhex("8301436b6579f6"), max_bytes=100)
[1, b'key', None]
>>> decode(bytes.fromhex("1801"), max_bytes=100)
Traceback (most recent call last):
    ...
ledger.errors.MalformedInput: R-10.2: not in its shortest spelling, or bytes follow the value

`array`, `items`, `uint`, `bstr`, `blob` and `text` read the fields of a positional array. They
refuse anything else with R-10.4.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn, TypeAlias

import cbor2

from ledger.errors import MalformedInput

Value: TypeAlias = "int | bytes | str | bool | list[Value] | None"

MAX_DEPTH = 8
MAX_UINT = 2**64 - 1

_NOT_IN_SET = re.compile("nesting depth|decoding map")


class _NoTags(Mapping[int, NoReturn]):
    """Refuses every tag when cbor2 looks up its decoder, so before the tag's content is read.

    Otherwise tags could run regular expressions and big powers, or share one array between many
    places, which makes a small input endless to walk.
    """

    def __getitem__(self, tag: int) -> NoReturn:
        raise MalformedInput("R-10.3", f"tag {tag} is not allowed")

    def __iter__(self) -> Iterator[int]:
        return iter(())

    def __len__(self) -> int:
        return 0


_NO_TAGS = _NoTags()


def encode(value: Value) -> bytes:
    """The one spelling of `value`. Raises `MalformedInput` where `decode` would refuse it."""
    _check_items([value], MAX_DEPTH)
    try:
        return cbor2.dumps(value)
    except (cbor2.CBORError, UnicodeError) as error:  # text with lone surrogates
        raise MalformedInput("R-10.3", f"no CBOR value: {error}") from error


def decode(data: bytes, max_bytes: int) -> Value:
    """The value that `data` spells, where `data` is at most `max_bytes` long.

    Raises `MalformedInput` for R-10.1 (size), R-10.2 (not one deterministic item, or bytes after
    it) and R-10.3 (a type outside the closed set, or too deep). Time and memory are linear in the
    size.
    """
    if len(data) > max_bytes:
        raise MalformedInput("R-10.1", f"{len(data)} bytes, at most {max_bytes} allowed")
    value = _load(data)
    _check_items([value], MAX_DEPTH)
    if cbor2.dumps(value) != data:
        raise MalformedInput("R-10.2", "not in its shortest spelling, or bytes follow the value")
    return value


def _load(data: bytes) -> Value:
    """What cbor2 makes of `data`. The flags bound its cost, not yet its leniency."""
    try:
        value: Value = cbor2.loads(
            data,
            max_depth=MAX_DEPTH,
            allow_indefinite=False,
            # Keys of maps may be strings only: those can't be ground to collide in a hash table.
            strict_hashable_types=True,
            semantic_decoders=_NO_TAGS,
        )
    except Exception as error:  # MemoryError too: whatever stops cbor2 is in the bytes
        raise _refusal(error) from error
    return value


def _refusal(error: Exception) -> MalformedInput:
    """What made cbor2 give up, told as the rule it breaks; its sentences decide nothing else."""
    cause = error.__cause__
    if isinstance(cause, MalformedInput):
        return MalformedInput(cause.rule, cause.detail)
    if isinstance(cause, UnicodeDecodeError) or _NOT_IN_SET.search(str(error)):
        return MalformedInput("R-10.3", f"outside the closed set: {error}")
    return MalformedInput("R-10.2", f"not a CBOR item: {error}")


def _check_items(items: list[Any], depth: int) -> None:
    """Refuse any type outside the closed set in `items`, and arrays nested deeper than `depth`."""
    for item in items:
        kind = type(item)
        if kind is bytes:
            continue
        if kind is int:
            if not 0 <= item <= MAX_UINT:
                raise MalformedInput("R-10.3", "an integer is not within 0 .. 2^64 - 1")
        elif kind is list:
            if not depth:
                raise MalformedInput("R-10.3", f"more than {MAX_DEPTH} arrays deep")
            _check_items(item, depth - 1)
        elif kind is not str and kind is not bool and item is not None:
            raise MalformedInput("R-10.3", f"type {kind.__name__} is not allowed")


def array(value: Value, length: int, what: str) -> list[Value]:
    """`value` if it is an array of exactly `length` items, else R-10.4."""
    if type(value) is not list or len(value) != length:
        raise MalformedInput("R-10.4", f"{what} is not an array of {length}")
    return value


def items(value: Value, minimum: int, maximum: int, what: str) -> list[Value]:
    """`value` if it is an array of `minimum` to `maximum` items, else R-10.4."""
    if type(value) is not list or not minimum <= len(value) <= maximum:
        raise MalformedInput("R-10.4", f"{what} is not an array of {minimum} to {maximum}")
    return value


def uint(value: Value, what: str, maximum: int = MAX_UINT) -> int:
    """`value` if it is an integer from 0 to `maximum`, else R-10.4. A boolean is no integer."""
    if type(value) is not int or not 0 <= value <= maximum:
        raise MalformedInput("R-10.4", f"{what} is not an integer within 0 .. {maximum}")
    return value


def bstr(value: Value, length: int, what: str) -> bytes:
    """`value` if it is a byte string of exactly `length` bytes, else R-10.4."""
    if type(value) is not bytes or len(value) != length:
        raise MalformedInput("R-10.4", f"{what} is not a byte string of {length}")
    return value


def blob(value: Value, maximum: int, what: str) -> bytes:
    """`value` if it is a byte string of at most `maximum` bytes, else R-10.4."""
    if type(value) is not bytes or len(value) > maximum:
        raise MalformedInput("R-10.4", f"{what} is not a byte string of at most {maximum}")
    return value


def text(value: Value, maximum: int, what: str) -> str:
    """`value` if it is text of at most `maximum` bytes of UTF-8, else R-10.4."""
    if type(value) is not str or len(value.encode()) > maximum:
        raise MalformedInput("R-10.4", f"{what} is not text of at most {maximum} bytes")
    return value
