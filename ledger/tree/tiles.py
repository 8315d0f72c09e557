"""Tiles: how the tree is cut up to be stored and served (C2SP tlog-tiles; specs/20-tree).

Hash tile (L, N) holds up to 256 roots of perfect subtrees of 256^L leaves each, starting with
number 256·N; bundle N holds the entries of leaves from 256·N on. The last of each kind may be
partial. A store needs only the widest tile for each (level, index): narrower ones are its prefixes.

>>> Tile(0, 1234067, 8).path()
'tile/0/x001/x234/067.p/8'
>>> parse_path("tile/entries/000.p/3")
Bundle(index=0, width=3)

Errors: `MalformedInput`. R-20.5 for a path or tile that cannot be, R-20.6 for contents of the wrong
shape, R-20.2 for what the tree of that size does not hold.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from ledger.errors import MalformedInput
from ledger.tree.merkle import (
    HASH_SIZE,
    MAX_SIZE,
    Node,
    ReadNode,
    root_of,
)

HEIGHT = 8
WIDTH = 1 << HEIGHT
MAX_LEVEL = 63
MAX_INDEX = MAX_SIZE >> HEIGHT
MAX_ENTRY = 2**16 - 1

_LONGEST_PATH = 64
_RECENT_TILES = 16
_PATH = re.compile(
    r"tile/(?P<level>entries|[0-9]{1,2})"
    r"/(?P<index>(?:x[0-9]{3}/)*[0-9]{3})"
    r"(?:\.p/(?P<width>[0-9]{1,3}))?"
)


@dataclass(frozen=True, slots=True)
class Tile:
    """A hash tile: `width` hashes (1 to 256) of `level` (0 to 63), the `index`-th such tile."""

    level: int
    index: int
    width: int = WIDTH

    def __post_init__(self) -> None:
        if not 0 <= self.level <= MAX_LEVEL:
            raise MalformedInput("R-20.5", f"a tile of level {self.level}")
        _require_place(self.index, self.width)

    def path(self) -> str:
        """Its one spelling, without a leading slash (R-20.5)."""
        return f"tile/{self.level}/{_spell(self.index, self.width)}"


@dataclass(frozen=True, slots=True)
class Bundle:
    """An entry bundle: `width` entries (1 to 256), the `index`-th bundle."""

    index: int
    width: int = WIDTH

    def __post_init__(self) -> None:
        _require_place(self.index, self.width)

    def path(self) -> str:
        """Its one spelling, without a leading slash (R-20.5)."""
        return f"tile/entries/{_spell(self.index, self.width)}"


ReadTile = Callable[[Tile], bytes]


def parse_path(path: str) -> Tile | Bundle:
    """The tile or bundle that `path` (no leading slash) spells; one spelling each (R-20.5)."""
    match = _PATH.fullmatch(path) if len(path) <= _LONGEST_PATH else None
    if match is None:
        raise MalformedInput("R-20.5", "not the path of a tile")
    index = int(match["index"].replace("x", "").replace("/", ""))
    width = int(match["width"] or WIDTH)
    level = match["level"]
    tile = Bundle(index, width) if level == "entries" else Tile(int(level), index, width)
    if tile.path() != path:
        raise MalformedInput("R-20.5", f"that tile is spelled {tile.path()}")
    return tile


def tile_width(level: int, index: int, size: int) -> int:
    """How many hashes tile (`level`, `index`) has in a tree of `size`: 0 to 256.

    A bundle is as wide as the tile of level 0.
    """
    return max(0, min(WIDTH, (size >> HEIGHT * level) - WIDTH * index))


def new_tiles(old: int, new: int) -> Iterator[Tile]:
    """The hash tiles of a tree of `new` that the tree of `old` has not, at their new widths."""
    _require_sizes(old, new)
    level = 0
    while new >> HEIGHT * level:
        for index, width in _new_places(old >> HEIGHT * level, new >> HEIGHT * level):
            yield Tile(level, index, width)
        level += 1


def new_bundles(old: int, new: int) -> Iterator[Bundle]:
    """The bundles of a tree of `new` that the tree of `old` has not, at their new widths."""
    _require_sizes(old, new)
    for index, width in _new_places(old, new):
        yield Bundle(index, width)


def tile_of(node: Node, size: int) -> Tile:
    """The tile from which `node` can be computed, at its width in a tree of `size`."""
    level, index = node.level, node.index
    if level < 0 or index < 0 or (index + 1) << level > size:
        raise MalformedInput("R-20.2", f"no node {level}/{index} in a tree of {size}")
    number = (index << level % HEIGHT) // WIDTH
    return Tile(level // HEIGHT, number, tile_width(level // HEIGHT, number, size))


def node_in(node: Node, tile: bytes) -> bytes:
    """The hash of `node`, computed from the contents of its tile."""
    rank = node.level % HEIGHT
    start = (node.index << rank) % WIDTH
    part = tile[start * HASH_SIZE : (start + (1 << rank)) * HASH_SIZE]
    if len(part) != HASH_SIZE << rank:
        raise MalformedInput("R-20.6", f"the tile is too narrow for node {node.level}/{node.index}")
    return root_of(tile_hashes(part))


def node_reader(size: int, read_tile: ReadTile) -> ReadNode:
    """Reads any perfect subtree of the tree of `size` out of its tiles.

    `read_tile` gives exactly the width that it is asked for. The last few tiles are remembered, so
    that a proof reads each of its tiles once.
    """
    recent = lru_cache(_RECENT_TILES)(lambda tile: _read(tile, read_tile))
    return lambda node: node_in(node, recent(tile_of(node, size)))


def tile_hashes(tile: bytes) -> list[bytes]:
    """The hashes in a tile's contents: 1 to 256 of 32 bytes (R-20.6)."""
    if not 0 < len(tile) <= WIDTH * HASH_SIZE or len(tile) % HASH_SIZE:
        raise MalformedInput("R-20.6", f"a hash tile of {len(tile)} bytes")
    return [tile[at : at + HASH_SIZE] for at in range(0, len(tile), HASH_SIZE)]


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """The entries, each behind its length as a uint16, big-endian (R-20.6)."""
    if not 0 < len(entries) <= WIDTH:
        raise MalformedInput("R-20.6", f"a bundle of {len(entries)} entries")
    if not all(0 < len(entry) <= MAX_ENTRY for entry in entries):
        raise MalformedInput("R-20.6", "an entry is empty or too long for a bundle")
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def decode_bundle(contents: bytes, width: int) -> list[bytes]:
    """The `width` entries (1 to 256) that `contents` holds, and nothing after them (R-20.6)."""
    if not 0 < width <= WIDTH:
        raise MalformedInput("R-20.6", f"a bundle of {width} entries")
    entries = []
    at = 0
    for _ in range(width):
        length = int.from_bytes(contents[at : at + 2], "big")
        entry = contents[at + 2 : at + 2 + length]
        if not length or len(entry) != length:
            raise MalformedInput("R-20.6", "an entry of the bundle is empty or cut short")
        entries.append(entry)
        at += 2 + length
    if at != len(contents):
        raise MalformedInput("R-20.6", "bytes follow the last entry of the bundle")
    return entries


def _new_places(old: int, new: int) -> Iterator[tuple[int, int]]:
    """Index and width of each tile that changes as its level grows from `old` to `new` hashes."""
    if old < new:
        for index in range(old // WIDTH, (new - 1) // WIDTH + 1):
            yield index, min(WIDTH, new - index * WIDTH)


def _spell(index: int, width: int) -> str:
    """`index` in groups of three digits, all but the last behind an `x`; then a partial width."""
    *high, last = f"{index:,}".split(",")
    groups = [f"x{group:0>3}" for group in high]
    return "/".join([*groups, f"{last:0>3}"]) + ("" if width == WIDTH else f".p/{width}")


def _read(tile: Tile, read_tile: ReadTile) -> bytes:
    contents = read_tile(tile)
    if len(contents) != tile.width * HASH_SIZE:
        raise MalformedInput("R-20.6", f"{tile.path()} came with {len(contents)} bytes")
    return contents


def _require_place(index: int, width: int) -> None:
    if not 0 <= index <= MAX_INDEX:
        raise MalformedInput("R-20.5", f"a tile of index {index}")
    if not 0 < width <= WIDTH:
        raise MalformedInput("R-20.5", f"a tile of width {width}")


def _require_sizes(old: int, new: int) -> None:
    if not 0 <= old <= new <= MAX_SIZE:
        raise MalformedInput("R-20.2", f"a tree that grows from {old} to {new}")
