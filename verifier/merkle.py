"""The RFC 6962 tree, rebuilt tile by tile (specs/20-tree).

256 leaves at a time become the levels of a tile, out of which the root over any first few of them
is read; a `Frontier` takes the roots of full tiles and gives the root of the whole tree. Proofs are
checked by following RFC 6962's own recursion from the root down, so that their shape comes from
index and size and never from the prover.

    levels = tile_levels(leaves)                     # 256 leaf hashes
    frontier.push(prefix_root(levels, 256))
    frontier.root(prefix_root(next_levels, 17))      # of the tree with 17 leaves more
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256

from verifier.errors import Malformed

WIDTH = 256
MAX_SIZE = 2**63
EMPTY_ROOT = sha256(b"").digest()


def leaf_hash(entry: bytes) -> bytes:
    """R-20.1."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """R-20.1."""
    return sha256(b"\x01" + left + right).digest()


def tile_levels(leaves: Sequence[bytes]) -> list[Sequence[bytes]]:
    """All perfect subtrees over `leaves`: level k holds those of 2^k leaves, from the left."""
    levels = [leaves]
    while len(levels[-1]) > 1:
        pairs = iter(levels[-1])
        levels.append(
            [sha256(b"\x01" + a + b).digest() for a, b in zip(pairs, pairs, strict=False)]
        )
    return levels


def prefix_root(levels: Sequence[Sequence[bytes]], width: int) -> bytes:
    """The root over the first `width` leaves, from the levels over at least that many."""
    root = None
    for height, nodes in enumerate(levels):
        if width >> height & 1:
            peak = nodes[(width >> height) - 1]
            root = peak if root is None else node_hash(peak, root)
    return EMPTY_ROOT if root is None else root


def tree_root(leaves: Sequence[bytes]) -> bytes:
    """MTH of RFC 6962 §2.1 over leaf hashes."""
    return prefix_root(tile_levels(leaves), len(leaves))


class Frontier:
    """The peaks over the roots of full tiles (or over single leaves), in the order of the tree."""

    def __init__(self, tiles: Iterable[bytes] = ()) -> None:
        self.tiles = 0
        self._peaks: list[bytes] = []
        for tile in tiles:
            self.push(tile)

    @classmethod
    def behind(cls, leaf: bytes, index: int, proof: Sequence[bytes]) -> Frontier:
        """The one over the leaves of the tree that `leaf` (its hash) is the last of.

        The inclusion proof of a last leaf is the peaks of the tree before it (R-20.3).
        """
        included_root(leaf, index, index + 1, proof)
        frontier = cls()
        frontier.tiles, frontier._peaks = index, list(reversed(proof))
        frontier.push(leaf)
        return frontier

    def push(self, tile: bytes) -> None:
        """Adds the root of the next full tile."""
        height = self.tiles
        while height & 1:
            tile = node_hash(self._peaks.pop(), tile)
            height >>= 1
        self._peaks.append(tile)
        self.tiles += 1

    def root(self, rest: bytes | None = None) -> bytes:
        """The root of the tree of all full tiles and, if given, the leaves under `rest`."""
        for peak in reversed(self._peaks):
            rest = peak if rest is None else node_hash(peak, rest)
        return EMPTY_ROOT if rest is None else rest


def check_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """R-20.3: `leaf` (its hash) stands at `index` in the tree of `size` with this root."""
    if included_root(leaf, index, size, proof) != root:
        raise Malformed("R-20.3", "the proof leads to another root")


def included_root(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    """The root that a proof of the right shape leads to (R-20.3)."""
    if not 0 <= index < size < MAX_SIZE:
        raise Malformed("R-20.3", "index or size out of range")
    hashes = _proof(proof, "R-20.3")
    found = _include(leaf, index, size, hashes)
    _nothing_left(hashes, "R-20.3")
    return found


def _include(leaf: bytes, index: int, size: int, hashes: Iterator[bytes]) -> bytes:
    if size == 1:
        return leaf
    left = _left(size)
    if index < left:
        inner = _include(leaf, index, left, hashes)
        return node_hash(inner, _next(hashes, "R-20.3"))
    inner = _include(leaf, index - left, size - left, hashes)
    return node_hash(_next(hashes, "R-20.3"), inner)


def check_consistency(
    old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """R-20.4: the tree of size `old` is the beginning of the one of size `new`."""
    if not 0 <= old <= new < MAX_SIZE:
        raise Malformed("R-20.4", "sizes out of range or order")
    hashes = _proof(proof, "R-20.4")
    roots = (EMPTY_ROOT, new_root if new else EMPTY_ROOT)
    if old:
        roots = _extend(old, new, hashes, old_root, whole=True)
    _nothing_left(hashes, "R-20.4")
    if roots != (old_root, new_root):
        raise Malformed("R-20.4", "the proof leads to other roots")


def _extend(
    old: int, new: int, hashes: Iterator[bytes], old_root: bytes, *, whole: bool
) -> tuple[bytes, bytes]:
    """Both roots of this subtree. `whole`: its first `old` leaves are the old tree itself."""
    if old == new:
        root = old_root if whole else _next(hashes, "R-20.4")
        return root, root
    left = _left(new)
    if old <= left:
        first, second = _extend(old, left, hashes, old_root, whole=whole)
        return first, node_hash(second, _next(hashes, "R-20.4"))
    first, second = _extend(old - left, new - left, hashes, old_root, whole=False)
    sibling = _next(hashes, "R-20.4")
    return node_hash(sibling, first), node_hash(sibling, second)


def _left(size: int) -> int:
    """The largest power of two below `size`."""
    return 1 << ((size - 1).bit_length() - 1)


def _proof(proof: Sequence[bytes], rule: str) -> Iterator[bytes]:
    if any(len(one) != 32 for one in proof):
        raise Malformed(rule, "a hash of a proof is 32 bytes")
    return iter(proof)


def _next(hashes: Iterator[bytes], rule: str) -> bytes:
    found = next(hashes, None)
    if found is None:
        raise Malformed(rule, "the proof is too short")
    return found


def _nothing_left(hashes: Iterator[bytes], rule: str) -> None:
    if next(hashes, None) is not None:
        raise Malformed(rule, "the proof is too long")
