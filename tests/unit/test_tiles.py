"""Tiles against the definition in C2SP tlog-tiles, and proofs read back out of them."""

from __future__ import annotations

import doctest
from collections.abc import Iterable
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import MalformedInput
from ledger.store.layout import tile_rows
from ledger.tree import tiles
from ledger.tree.merkle import (
    MAX_SIZE,
    Frontier,
    Node,
    consistency_proof,
    consistency_ranges,
    inclusion_proof,
    inclusion_ranges,
    leaf_hash,
    perfect_nodes,
    root_of,
    verify_consistency,
    verify_inclusion,
)
from ledger.tree.tiles import (
    MAX_INDEX,
    Bundle,
    Tile,
    decode_bundle,
    encode_bundle,
    new_bundles,
    new_tiles,
    node_in,
    node_reader,
    parse_path,
    tile_hashes,
    tile_of,
    tile_width,
)

LARGE = 70_000
LEAVES = [leaf_hash(number.to_bytes(4, "big")) for number in range(LARGE)]

indices = st.integers(0, MAX_INDEX)
widths = st.integers(1, 256)


class Shelf:
    """A store of tiles as small as it can be: each level's hashes in a row, and what was read."""

    def __init__(self) -> None:
        self.frontier = Frontier()
        self.hashes: dict[int, bytearray] = {}
        self.asked: list[Tile] = []

    def read(self, tile: Tile) -> bytes:
        self.asked.append(tile)
        return bytes(self.hashes[tile.level][8192 * tile.index :][: 32 * tile.width])

    def append(self, leaves: list[bytes]) -> None:
        extension = self.frontier.extend(leaves)
        for level, row in tile_rows(extension.rows):
            self.hashes.setdefault(level, bytearray()).extend(b"".join(row))
        self.frontier = extension.after


@pytest.fixture(scope="module")
def shelf() -> Shelf:
    """The tree of 70,000 leaves, grown in batches of 1,000."""
    grown = Shelf()
    for start in range(0, LARGE, 1000):
        grown.append(LEAVES[start : start + 1000])
    return grown


def defined(tile: Tile) -> bytes:
    """A tile's contents by definition: MTH(D[(n·256+i)·256^l : (n·256+i+1)·256^l])."""
    first, span = tile.index * 256, 256**tile.level
    roots = [
        root_of(LEAVES[(first + i) * span : (first + i + 1) * span]) for i in range(tile.width)
    ]
    return b"".join(roots)


def tiles_for(ranges: Iterable[range], size: int) -> set[Tile]:
    """The tiles of the tree of `size` that a proof over `ranges` is computed from."""
    return {tile_of(node, size) for leaves in ranges for node in perfect_nodes(leaves)}


def test_the_module_example_holds() -> None:
    assert doctest.testmod(tiles).attempted > 0
    assert doctest.testmod(tiles).failed == 0


class TestPaths:
    """R-20.5: one spelling for each tile."""

    @pytest.mark.parametrize(
        ("tile", "path"),
        [
            (Tile(0, 0), "tile/0/000"),
            (Tile(1, 0, 1), "tile/1/000.p/1"),
            (Tile(0, 1234067), "tile/0/x001/x234/067"),
            (Tile(63, 999, 255), "tile/63/999.p/255"),
            (Tile(9, 1000, 10), "tile/9/x001/000.p/10"),
            (Bundle(273, 112), "tile/entries/273.p/112"),
            (Bundle(1234067), "tile/entries/x001/x234/067"),
            (Tile(0, MAX_INDEX, 255), "tile/0/x036/x028/x797/x018/x963/967.p/255"),
        ],
    )
    def test_one_spelling(self, tile: Tile | Bundle, path: str) -> None:
        assert tile.path() == path
        assert parse_path(path) == tile

    @given(
        st.one_of(
            st.builds(Tile, st.integers(0, 63), indices, widths), st.builds(Bundle, indices, widths)
        )
    )
    def test_round_trip(self, tile: Tile | Bundle) -> None:
        assert parse_path(tile.path()) == tile

    @pytest.mark.parametrize(
        "path",
        [
            "",
            "tile",
            "tile/0",
            "tile/0/",
            "tile//000",
            "/tile/0/000",
            "tile/0/000/",
            "tile/0/000\n",
            " tile/0/000",
            "tile/00/000",
            "tile/01/000",
            "tile/64/000",
            "tile/-1/000",
            "tile/+1/000",
            "tile/100/000",
            "tile/٣/000",
            "tile/0/٠٠٠",
            "tile/0/0",
            "tile/0/00",
            "tile/0/0000",
            "tile/0/x000",
            "tile/0/x000/000",
            "tile/0/x000/x001/000",
            "tile/0/001/000",
            "tile/0/x001/x000",
            "tile/0/X001/000",
            "tile/0/x1/000",
            "tile/0/x001//000",
            "tile/0/1_0",
            "tile/0/000.p",
            "tile/0/000.p/",
            "tile/0/000.p/0",
            "tile/0/000.p/00",
            "tile/0/000.p/01",
            "tile/0/000.p/012",
            "tile/0/000.p/256",
            "tile/0/000.p/257",
            "tile/0/000.p/999",
            "tile/0/000.p/1000",
            "tile/0/000.p/-1",
            "tile/0/000.p/٣",
            "tile/0/000p/1",
            "tile/0/000.q/1",
            "tile/0/000.p/1/",
            "tile/0/000.p/1.p/1",
            "tile/data/000",
            "tile/Entries/000",
            "tile/8/0/000",
            "tile/0/../000",
            "tile/0/x036/x028/x797/x018/x963/968",
            "tile/0/x001/x000/x000/x000/x000/x000/000",
            "tile/0/" + "x001/" * 5000 + "000",
        ],
    )
    def test_any_other_is_refused(self, path: str) -> None:
        with pytest.raises(MalformedInput, match=r"R-20\.5"):
            parse_path(path)

    @given(st.text(alphabet="tile/nrs0123456789x.p", max_size=40))
    def test_a_value_or_a_refusal(self, tail: str) -> None:
        for path in (tail, "tile/" + tail, "tile/0/" + tail, "tile/entries/" + tail):
            with suppress(MalformedInput):
                assert parse_path(path).path() == path

    @pytest.mark.parametrize(
        ("level", "index", "width"),
        [
            (-1, 0, 1),
            (64, 0, 1),
            (0, -1, 1),
            (0, MAX_INDEX + 1, 1),
            (0, 0, 0),
            (0, 0, 257),
            (0, 0, -1),
        ],
    )
    def test_no_tile_out_of_bounds(self, level: int, index: int, width: int) -> None:
        with pytest.raises(MalformedInput, match=r"R-20\.5"):
            Tile(level, index, width)
        if level == 0:
            with pytest.raises(MalformedInput, match=r"R-20\.5"):
                Bundle(index, width)


class TestWidths:
    """Which tiles a tree of a size has."""

    def test_size_256(self) -> None:
        assert list(new_tiles(0, 256)) == [Tile(0, 0), Tile(1, 0, 1)]

    def test_size_70_000(self) -> None:
        expected = [
            *(Tile(0, index) for index in range(273)),
            Tile(0, 273, 112),
            Tile(1, 0),
            Tile(1, 1, 17),
            Tile(2, 0, 1),
        ]
        assert list(new_tiles(0, LARGE)) == expected
        assert list(new_bundles(0, LARGE)) == [*map(Bundle, range(273)), Bundle(273, 112)]

    @pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 511, 512, 65_535, 65_536, 70_000])
    def test_partial_width_is_size_over_256_to_the_level_modulo_256(self, size: int) -> None:
        partial = {tile.level: tile.width for tile in new_tiles(0, size) if tile.width < 256}
        expected = {level: size // 256**level % 256 for level in range(4)}
        assert partial == {level: width for level, width in expected.items() if width}

    @given(st.integers(0, 200_000), st.integers(0, 3000))
    def test_new_tiles_are_those_whose_width_changed(self, old: int, added: int) -> None:
        new = old + added
        changed = [
            Tile(level, index, tile_width(level, index, new))
            for level in range(4)
            for index in range(-(-(new >> 8 * level) // 256))
            if tile_width(level, index, new) != tile_width(level, index, old)
        ]
        assert list(new_tiles(old, new)) == changed
        assert [Tile(0, b.index, b.width) for b in new_bundles(old, new)] == [
            tile for tile in changed if tile.level == 0
        ]

    def test_a_tile_that_is_not_there_has_no_width(self) -> None:
        assert tile_width(0, 1, 256) == 0
        assert tile_width(0, 9, 256) == 0
        assert tile_width(63, 0, MAX_SIZE) == 0
        assert tile_width(7, 0, MAX_SIZE) == 127
        assert tile_width(0, MAX_INDEX, MAX_SIZE) == 255

    @pytest.mark.parametrize(("old", "new"), [(-1, 5), (6, 5), (0, MAX_SIZE + 1)])
    def test_sizes_out_of_bounds(self, old: int, new: int) -> None:
        for between in (new_tiles, new_bundles):
            with pytest.raises(MalformedInput, match=r"R-20\.2"):
                next(iter(between(old, new)))


class TestWrites:
    """Tiles that grow with the tree."""

    def test_every_tile_of_the_large_tree_is_as_defined(self, shelf: Shelf) -> None:
        everything = list(new_tiles(0, LARGE))
        assert {tile.level for tile in everything} == set(shelf.hashes)
        for tile in everything:
            assert shelf.read(tile) == defined(tile)

    @settings(max_examples=50, deadline=None)
    @given(st.lists(st.integers(0, 700), max_size=8))
    def test_any_batches_give_the_same_tiles(self, batches: list[int]) -> None:
        grown = Shelf()
        for batch in batches:
            old = grown.frontier.size
            grown.append(LEAVES[old : old + batch])
            assert all(grown.read(tile) == defined(tile) for tile in new_tiles(old, old + batch))
        for tile in new_tiles(0, grown.frontier.size):
            assert grown.read(tile) == defined(tile)

    def test_nothing_appended_is_no_new_tile(self) -> None:
        assert list(new_tiles(LARGE, LARGE)) == []

    @pytest.mark.parametrize("wrong", [b"", bytes(32 * 111), bytes(32 * 113), bytes(8192)])
    def test_a_tile_of_another_width_than_asked_for_is_refused(self, wrong: bytes) -> None:
        last = Node(0, LARGE - 1)
        assert tile_of(last, LARGE).width == 112
        with pytest.raises(MalformedInput, match=r"R-20\.6"):
            node_reader(LARGE, lambda _: wrong)(last)


class TestNodes:
    """Perfect subtrees and proofs, read back out of tiles."""

    def test_every_node_of_a_small_tree(self, shelf: Shelf) -> None:
        read = node_reader(700, shelf.read)
        for level in range(10):
            for index in range(700 >> level):
                leaves = LEAVES[index << level : (index + 1) << level]
                assert read(Node(level, index)) == root_of(leaves)

    @settings(max_examples=50, deadline=None)
    @given(st.integers(0, 16), st.data())
    def test_any_node_of_the_large_tree(
        self, shelf: Shelf, level: int, data: st.DataObject
    ) -> None:
        index = data.draw(st.integers(0, (LARGE >> level) - 1))
        leaves = LEAVES[index << level : (index + 1) << level]
        assert node_reader(LARGE, shelf.read)(Node(level, index)) == root_of(leaves)

    @settings(max_examples=50, deadline=None)
    @given(st.integers(1, LARGE), st.data())
    def test_proofs_at_any_size(self, shelf: Shelf, size: int, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, size - 1))
        old = data.draw(st.integers(0, size))
        read = node_reader(size, shelf.read)
        root, old_root = root_of(LEAVES[:size]), root_of(LEAVES[:old])
        assert Frontier.load(size, read).root() == root
        verify_inclusion(LEAVES[index], index, size, inclusion_proof(index, size, read), root)
        verify_consistency(old, size, consistency_proof(old, size, read), old_root, root)

    @settings(max_examples=50, deadline=None)
    @given(st.integers(1, LARGE), st.data())
    def test_a_proof_reads_few_tiles_each_once_as_planned(
        self, shelf: Shelf, size: int, data: st.DataObject
    ) -> None:
        index = data.draw(st.integers(0, size - 1))
        shelf.asked.clear()
        inclusion_proof(index, size, node_reader(size, shelf.read))
        assert set(shelf.asked) == tiles_for(inclusion_ranges(index, size), size)
        assert len(shelf.asked) == len(set(shelf.asked)) <= 6
        shelf.asked.clear()
        old = data.draw(st.integers(1, size))
        consistency_proof(old, size, node_reader(size, shelf.read))
        assert set(shelf.asked) == tiles_for(consistency_ranges(old, size), size)
        assert len(shelf.asked) == len(set(shelf.asked)) <= 6

    def test_a_tile_too_narrow_or_of_another_length_is_refused(self) -> None:
        data = b"".join(LEAVES[:4])
        assert node_in(Node(1, 1), data) == root_of(LEAVES[2:4])
        for wrong in (data[:96], data[:127], b""):
            with pytest.raises(MalformedInput, match=r"R-20\.6"):
                node_in(Node(1, 1), wrong)
            with pytest.raises(MalformedInput, match=r"R-20\.6"):
                node_reader(4, lambda _, wrong=wrong: wrong)(Node(1, 1))  # type: ignore[misc]

    @pytest.mark.parametrize(
        "node", [Node(0, 700), Node(2, 175), Node(10, 0), Node(0, -1), Node(-1, 0)]
    )
    def test_a_node_beyond_the_tree_is_refused(self, node: Node) -> None:
        assert tile_of(Node(0, 699), 700) == Tile(0, 2, 188)
        with pytest.raises(MalformedInput, match=r"R-20\.2"):
            tile_of(node, 700)


class TestHashTiles:
    """R-20.6 for hash tiles."""

    def test_hashes_in_order(self) -> None:
        assert tile_hashes(b"".join(LEAVES[:256])) == LEAVES[:256]
        assert tile_hashes(LEAVES[0]) == LEAVES[:1]

    @pytest.mark.parametrize("length", [0, 1, 31, 33, 8191, 8193, 8224])
    def test_other_lengths_are_refused(self, length: int) -> None:
        with pytest.raises(MalformedInput, match=r"R-20\.6"):
            tile_hashes(bytes(length))


class TestBundles:
    """R-20.6 for entry bundles."""

    @given(st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=256))
    def test_round_trip(self, entries: list[bytes]) -> None:
        assert decode_bundle(encode_bundle(entries), len(entries)) == entries

    def test_bytes_as_specified(self) -> None:
        assert encode_bundle([b"a", b"bc" * 150]) == b"\x00\x01a\x01\x2c" + b"bc" * 150

    def test_a_partial_bundle_is_a_prefix_of_the_wider_one(self) -> None:
        assert encode_bundle([b"a", b"b", b"c"]).startswith(encode_bundle([b"a", b"b"]))

    def test_the_longest_entry(self) -> None:
        assert decode_bundle(encode_bundle([bytes(65_535)]), 1) == [bytes(65_535)]
        with pytest.raises(MalformedInput, match=r"R-20\.6"):
            encode_bundle([bytes(65_536)])

    @pytest.mark.parametrize("entries", [[], [b""], [b"a", b""], [b"a"] * 257])
    def test_what_cannot_be_encoded(self, entries: list[bytes]) -> None:
        with pytest.raises(MalformedInput, match=r"R-20\.6"):
            encode_bundle(entries)

    def test_truncated_at_each_byte(self) -> None:
        contents = encode_bundle([b"one", b"three", b"five", bytes(300)])
        for length in range(len(contents)):
            with pytest.raises(MalformedInput, match=r"R-20\.6"):
                decode_bundle(contents[:length], 4)

    @pytest.mark.parametrize("extra", [b"\x00", b"\x00\x00", b"\x00\x01a"])
    def test_trailing_bytes(self, extra: bytes) -> None:
        with pytest.raises(MalformedInput, match=r"R-20\.6"):
            decode_bundle(encode_bundle([b"a", b"b"]) + extra, 2)

    @pytest.mark.parametrize("width", [-1, 0, 1, 3, 257])
    def test_another_width(self, width: int) -> None:
        with pytest.raises(MalformedInput, match=r"R-20\.6"):
            decode_bundle(encode_bundle([b"a", b"b"]), width)

    @pytest.mark.parametrize("width", [0, 257])
    def test_no_bundle_of_such_a_width(self, width: int) -> None:
        with pytest.raises(MalformedInput, match=r"R-20\.6"):
            decode_bundle(b"\x00\x01a" * width, width)

    @pytest.mark.parametrize("contents", [b"\x00\x00", b"\x00\x01a\x00\x00"])
    def test_empty_entries(self, contents: bytes) -> None:
        with pytest.raises(MalformedInput, match=r"R-20\.6"):
            decode_bundle(contents, contents.count(b"a") + 1)

    @given(st.binary(max_size=64), widths)
    def test_a_value_or_a_refusal(self, contents: bytes, width: int) -> None:
        with suppress(MalformedInput):
            assert encode_bundle(decode_bundle(contents, width)) == contents
