"""Proofs made, not checked: of a tree whose tiles are known, and in a directory.

    tree = ProvenTree(tiles, size, leaves)       # leaves(number): those of a tile
    tree.inclusion(index)                        # R-20.3
    tree.consistency(old)                        # R-20.4
    directory_proof(directory, label, value_of)  # R-30.8 to R-30.11, as decoded CBOR

Tree proofs are RFC 6962's recursions (§2.1.1, §2.1.2) word by word, over ranges of leaves. What an
auditor hands on is judged like anybody's, so a mistake here costs a proof and accuses nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from verifier.cbor import Value
from verifier.directory import Directory
from verifier.errors import Undecided
from verifier.merkle import WIDTH, Frontier, tree_root


class ProvenTree:
    """A tree of `size` leaves, by the roots of its tiles and whoever has the leaves of one."""

    def __init__(
        self, tiles: Sequence[bytes], size: int, leaves: Callable[[int], Sequence[bytes]]
    ) -> None:
        self.size = size
        self._tiles = tiles
        self._fetch = leaves
        self._leaves: dict[int, Sequence[bytes]] = {}

    def root(self, size: int | None = None) -> bytes:
        """Of the first `size` leaves."""
        return self._range(0, self.size if size is None else size)

    def inclusion(self, index: int, size: int | None = None) -> list[bytes]:
        """PATH(index, D[0:size])."""
        return self._path(index, 0, self.size if size is None else size)

    def consistency(self, old: int, size: int | None = None) -> list[bytes]:
        """PROOF(old, D[0:size])."""
        return self._proof(old, 0, self.size if size is None else size, whole=True)

    def leaves(self, number: int) -> Sequence[bytes]:
        """The leaf hashes of a tile, which must be those that it was signed with."""
        if number not in self._leaves:
            found = self._fetch(number)
            if tree_root(found) != self._tiles[number]:
                raise Undecided(f"the leaves of tile {number} are not given as they were signed")
            self._leaves[number] = found
        return self._leaves[number]

    def _path(self, index: int, start: int, end: int) -> list[bytes]:
        if end - start == 1:
            return []
        middle = start + _left(end - start)
        if index < middle:
            return [*self._path(index, start, middle), self._range(middle, end)]
        return [*self._path(index, middle, end), self._range(start, middle)]

    def _proof(self, old: int, start: int, end: int, *, whole: bool) -> list[bytes]:
        if old == end:
            return [] if whole else [self._range(start, end)]
        middle = start + _left(end - start)
        if old <= middle:
            return [*self._proof(old, start, middle, whole=whole), self._range(middle, end)]
        return [*self._proof(old, middle, end, whole=False), self._range(start, middle)]

    def _range(self, start: int, end: int) -> bytes:
        """MTH(D[start:end]), for a range that stands in such a recursion."""
        (first, skip), (last, rest) = divmod(start, WIDTH), divmod(end, WIDTH)
        if skip or (first == last and end != self.size):
            return tree_root(self.leaves(first)[skip : skip + end - start])
        frontier = Frontier(self._tiles[first:last])
        if not rest:
            return frontier.root()
        whole = self._tiles[last] if end == self.size else tree_root(self.leaves(last)[:rest])
        return frontier.root(whole)


def directory_proof(
    directory: Directory, label: bytes, value_of: Callable[[bytes], bytes]
) -> list[Value]:
    """What the directory holds for a label, or that it holds nothing.

    The way may end at another label's leaf, and then that one's value is asked for.
    """
    beside, held, last = directory.path(label)
    mask = "".join("1" if cell.kind else "0" for cell in beside)
    siblings = [cell.hash for cell in beside if cell.kind]
    end: list[Value] = [0]
    if held is None and beside:
        siblings, end = siblings[:-1], [2, *last]
    elif held is None:
        raise Undecided("an empty directory, in which nothing can be proven")
    elif held != label:
        end = [1, held, value_of(held)]
    octets = [mask[at : at + 8].ljust(8, "0") for at in range(0, len(mask), 8)]
    return [len(beside), bytes(int(octet, 2) for octet in octets), [*siblings], end]


def _left(size: int) -> int:
    """The largest power of two below `size`."""
    return 1 << ((size - 1).bit_length() - 1)
