"""Tiles: their paths (R-20.5), hash tiles and entry bundles (R-20.6)."""

from __future__ import annotations

from collections.abc import Iterator

from ledger.tree.merkle import leaf_hash
from ledger.tree.tiles import encode_bundle
from tests.vectors.case import Case, bad, ok

PATHS = [
    ("first", "tile/0/000", "The first full tile."),
    ("partial", "tile/0/000.p/1", "The narrowest partial tile."),
    ("widest-partial", "tile/0/000.p/255", "The widest partial tile."),
    ("level-63", "tile/63/000", "The highest level."),
    ("thousand", "tile/0/x001/000", "Two groups of digits."),
    ("million", "tile/2/x001/x234/067", "Three groups of digits."),
    ("million-partial", "tile/2/x001/x234/067.p/7", "Three groups, partial."),
    ("entries", "tile/entries/000", "The first full bundle of entries."),
    ("entries-partial", "tile/entries/x001/x234/067.p/12", "A partial bundle."),
]

WRONG_PATHS = [
    ("level-64", "tile/64/000", "level-63", "Level 64."),
    ("level-padded", "tile/00/000", "first", "A level with a leading zero."),
    ("level-negative", "tile/-1/000", "first", "A negative level."),
    ("level-none", "tile//000", "first", "No level."),
    ("level-data", "tile/data/000", "entries", "Entries by another name."),
    ("height", "tile/8/0/000", "first", "The tile height in the path, as in an older layout."),
    ("two-digits", "tile/0/00", "first", "Two digits."),
    ("four-digits", "tile/0/1000", "thousand", "Four digits in one group."),
    ("no-x", "tile/0/001/000", "thousand", "The first of two groups without x."),
    ("x-last", "tile/0/x001/x000", "thousand", "The last group with x."),
    ("zero-group", "tile/0/x000/001", "first", "More groups than needed."),
    ("no-index", "tile/0/", "first", "No index."),
    ("width-0", "tile/0/000.p/0", "partial", "Width 0."),
    ("width-256", "tile/0/000.p/256", "widest-partial", "Width 256 is a full tile."),
    ("width-padded", "tile/0/000.p/01", "partial", "A width with a leading zero."),
    ("width-none", "tile/0/000.p/", "partial", "No width."),
    ("slash-before", "/tile/0/000", "first", "A slash before."),
    ("slash-after", "tile/0/000/", "first", "A slash behind."),
    ("newline", "tile/0/000\n", "first", "A newline behind."),
    ("digits", "tile/0/٠٠٠", "first", "Digits of another script."),
    ("upper-case", "tile/0/X001/000", "thousand", "An X in upper case."),
    ("empty", "", "first", "No path."),
]


def cases() -> Iterator[Case]:
    for name, path, shows in PATHS:
        yield ok("tile-path", name, shows, path=path)
    for name, path, nearest, shows in WRONG_PATHS:
        yield bad("tile-path", name, "R-20.5", nearest, shows, path=path)
    yield from hash_tiles()
    yield from bundles()


def hash_tiles() -> Iterator[Case]:
    hashes = b"".join(leaf_hash(b"leaf %d" % number) for number in range(3))

    def wrong(name: str, nearest: str, shows: str, data: bytes, width: int) -> Case:
        return bad("tile", name, "R-20.6", nearest, shows, bytes=data.hex(), width=width)

    yield ok("tile", "three", "Three hashes.", bytes=hashes.hex(), width=3)
    full = b"".join(leaf_hash(b"leaf %d" % number) for number in range(256))
    yield ok("tile", "full", "A full tile.", bytes=full.hex(), width=256)
    yield wrong("cut", "three", "The last byte is missing.", hashes[:-1], 3)
    yield wrong("trailing", "three", "A byte too many.", hashes + b"\x00", 3)
    yield wrong("narrower", "three", "Two hashes, where three were asked for.", hashes[:64], 3)
    yield wrong("wider", "three", "Three hashes, where two were asked for.", hashes, 2)
    yield wrong("empty", "three", "No hashes.", b"", 3)


def bundles() -> Iterator[Case]:
    entries = [b"one", b"two", b"three"]
    data = encode_bundle(entries)

    def wrong(name: str, nearest: str, shows: str, data: bytes, width: int) -> Case:
        return bad("bundle", name, "R-20.6", nearest, shows, bytes=data.hex(), width=width)

    yield ok("bundle", "three", "Three entries.", bytes=data.hex(), width=3)
    longest = encode_bundle([bytes(65_535)])
    yield ok("bundle", "longest", "An entry of 65,535 bytes.", bytes=longest.hex(), width=1)
    yield wrong("trailing", "three", "A byte follows the last entry.", data + b"\x00", 3)
    yield wrong("cut", "three", "The last byte is missing.", data[:-1], 3)
    yield wrong("cut-length", "three", "The last entry's length is cut short.", data[:-6], 3)
    yield wrong("one-less", "three", "Three entries, where two were asked for.", data, 2)
    yield wrong("one-more", "three", "Three entries, where four were asked for.", data, 4)
    shows = "An empty entry."
    yield wrong("empty-entry", "three", shows, data[:5] + b"\x00\x00" + data[10:], 3)
    yield wrong("nothing", "three", "No bytes.", b"", 3)
