"""How a log lies in its tables: their names, keys and values.

| table | key | value |
| --- | --- | --- |
| meta | `log` | the log id |
| | `head` | the published head ‖ its signed note |
| | `staged` | the head that the entries beyond the published one lead to |
| | `unconfirmed` | there in a copy until an operator confirms it (R-73.2) |
| entries | leaf index | link ‖ entry; the link is as in `Commit.links` |
| hashes | 63 − tile level (1 byte) ‖ number (7) | up to 16 hashes: 16 such pieces make a tile |
| chains | label | `Chain.record()` |
| leaves | number | up to 7 records of `ledger.tree.directory`, by ascending number of a label |
| batches | tree size | root ‖ time of the batch that ended there |

Integers are 8 bytes, big-endian; a head is size ‖ time ‖ root ‖ directory root. Pieces of 16 hashes
fill LMDB's pages, while a whole tile would leave half of its third page empty. Level 0 stands last,
so that it is appended to, which leaves no page half empty either. So do seven records of labels,
and new labels are appended.

>>> decode_head(encode_head(Head(5, b"r" * 32, 1, b"d" * 32)) + b"note")[1]
b'note'
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ledger.log.commit import Head
from ledger.tree.merkle import HASH_SIZE
from ledger.tree.tiles import HEIGHT

KIND = "keyroll log 2"
ENTRIES, HASHES, CHAINS, LEAVES, BATCHES = "entries", "hashes", "chains", "leaves", "batches"
TABLES = (ENTRIES, HASHES, CHAINS, LEAVES, BATCHES)

LOG = b"log"
HEAD = b"head"
STAGED = b"staged"
UNCONFIRMED = b"unconfirmed"

LINK_BYTES = 8
PIECE = 16
"""Hashes in a piece. It divides 256."""

LEAF_GROUP = 7
"""Labels whose records lie together: eight such groups fill a page, and one is read quickly."""

_TOP_LEVEL = 63


def u64(number: int) -> bytes:
    """Eight bytes, big-endian."""
    return number.to_bytes(8)


def encode_head(head: Head) -> bytes:
    """80 bytes."""
    return u64(head.size) + u64(head.time) + head.root + head.directory


def decode_head(data: bytes) -> tuple[Head, bytes]:
    """The head, and what follows it."""
    size, time = int.from_bytes(data[:8]), int.from_bytes(data[8:16])
    return Head(size, data[16:48], time, data[48:80]), data[80:]


def piece_key(level: int, number: int) -> bytes:
    """The key of a piece: tile level, and how many pieces stand left of it on that level."""
    return bytes((_TOP_LEVEL - level,)) + number.to_bytes(7)


def pieces(level: int, first: int, hashes: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of the pieces that `hashes` make, from piece `first` on."""
    step = PIECE * HASH_SIZE
    for at in range(0, len(hashes), step):
        yield piece_key(level, first + at // step), hashes[at : at + step]


def tile_rows(rows: Sequence[Sequence[bytes]]) -> Iterator[tuple[int, Sequence[bytes]]]:
    """Of the new nodes by tree level, those that stand in tiles, by tile level."""
    for level, row in enumerate(rows[::HEIGHT]):
        if row:
            yield level, row
