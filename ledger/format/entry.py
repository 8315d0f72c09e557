"""An entry: the data of one leaf (40-blocks).

    [kind, time, body]     kind 0: body is a block; kind 1: body is a directory root, 32 bytes

A block's entry is that array of three around the block's bytes, so it is read and written by
offsets:

    83 00 <uint time> <bstr block>
    83 01 <uint time> 58 20 <root>

>>> parse(directory_root(1_700_000_000_000, bytes(32))).kind
1
"""

from __future__ import annotations

from dataclasses import dataclass

import cbor2

from ledger.errors import MalformedInput
from ledger.format.bodies import HASH_BYTES, MAX_TIME
from ledger.format.cbor import array, blob, bstr, decode, uint

MAX_ENTRY_BYTES = 65_535
BLOCK = 0
DIRECTORY_ROOT = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """`time` in ms since 1970; `body` the block's bytes (kind 0) or a directory root (kind 1)."""

    kind: int
    time: int
    body: bytes


def parse(data: bytes) -> Entry:
    """The entry that `data` spells. Raises `MalformedInput` citing R-10 or R-42.1."""
    if len(data) > MAX_ENTRY_BYTES:
        raise MalformedInput("R-42.1", f"the entry has {len(data)} bytes, at most 65,535 allowed")
    f = array(decode(data, MAX_ENTRY_BYTES), 3, "entry")
    kind = uint(f[0], "kind")
    time = uint(f[1], "time", MAX_TIME)
    if kind == BLOCK:
        return Entry(kind, time, blob(f[2], MAX_ENTRY_BYTES, "block"))
    if kind == DIRECTORY_ROOT:
        return Entry(kind, time, bstr(f[2], HASH_BYTES, "directory root"))
    raise MalformedInput("R-42.1", f"entry kind {kind} is unknown")


def block(time: int, raw: bytes) -> bytes:
    """The entry of a block admitted at `time`."""
    return cbor2.dumps([BLOCK, time, raw])


def directory_root(time: int, root: bytes) -> bytes:
    """The entry that closes a batch."""
    return cbor2.dumps([DIRECTORY_ROOT, time, root])
