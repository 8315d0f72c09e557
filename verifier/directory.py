"""The prefix tree over labels, folded from sorted labels (specs/30-directory).

Labels are kept in slots by their first 16 bits. A slot's row holds its labels and leaves in order,
and its subtree is folded anew from them whenever one changes; above the slots stands a dense heap
in memory, of which only the paths over changed slots are hashed again. A slot of more than
`CAPACITY` labels becomes a page of 16 smaller ones, each with a row of its own, and so on as deep
as its labels share a prefix: so neither many labels nor ground ones make an update slow.

    directory = Directory(rows)                 # rows: a dict, or a table on disk
    directory.update({label: leaf(label, value)})
    directory.root()
    directory.path(label)                       # for a proof
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from operator import itemgetter
from typing import NamedTuple, Protocol

SLOT_DIGITS = 4  # hexadecimal
SLOTS = 16**SLOT_DIGITS
CAPACITY = 32
FAN_OUT = 16  # of a page: one hexadecimal digit of the label

NONE, LEAF, NODE = range(3)
BUCKET, PAGE = b"B", b"P"


class Cell(NamedTuple):
    """The root of a subtree, and what it is: nothing, one leaf, or a node above several."""

    kind: int
    hash: bytes


NOTHING = bytes(32)
EMPTY = Cell(NONE, NOTHING)


class Rows(Protocol):
    """Rows by hexadecimal prefix; a slot's has four digits."""

    def get(self, key: str, /) -> bytes | None: ...
    def __setitem__(self, key: str, row: bytes, /) -> None: ...


def value(length: int, accumulator: bytes, digest: bytes) -> bytes:
    """R-30.4."""
    return sha256(b"\x04" + length.to_bytes(8, "big") + accumulator + digest).digest()


def accumulate(accumulator: bytes, index: int, leaf: bytes) -> bytes:
    """R-30.5."""
    return sha256(b"\x05" + accumulator + index.to_bytes(8, "big") + leaf).digest()


def leaf(label: bytes, held: bytes) -> bytes:
    """R-30.1."""
    return sha256(b"\x02" + label + held).digest()


def join(left: Cell, right: Cell) -> Cell:
    """R-30.3: a lone leaf rises as it is; anything else is hashed, beside an empty half too."""
    if left.kind + right.kind <= LEAF:
        return left if left.kind else right
    return Cell(NODE, sha256(b"\x03" + left.hash + right.hash).digest())


Part = tuple[Cell, int, int]  # a subtree, the depth of its root, the number of one of its labels


def fold(items: Sequence[tuple[bytes, bytes]], depth: int) -> Cell:
    """The root at `depth` over sorted (label, leaf) pairs that share their first `depth` bits.

    Neighbours part where their common prefix ends. The deepest parting closes first, so a stack of
    the open ones is all it takes, as for matching brackets.
    """
    if len(items) == 1:
        return Cell(LEAF, items[0][1])
    parts: list[Part] = []
    partings: list[int] = []
    before = 0
    for label, hash_ in items:
        number = int.from_bytes(label, "big")
        if parts:
            parting = 256 - (number ^ before).bit_length()
            _close(parts, partings, parting)
            partings.append(parting)
        parts.append((Cell(LEAF, hash_), 256, number))
        before = number
    _close(parts, partings, -1)
    return _lift(parts[0], depth) if parts else EMPTY


def _close(parts: list[Part], partings: list[int], parting: int) -> None:
    """Joins what parts deeper than `parting`."""
    while partings and partings[-1] > parting:
        at = partings.pop()
        right, left = parts.pop(), parts.pop()
        parts.append((join(_lift(left, at + 1), _lift(right, at + 1)), at, left[2]))


def _lift(part: Part, depth: int) -> Cell:
    """Moves the root of a subtree up to `depth`, past empty siblings."""
    cell, start, number = part
    if cell.kind == NODE:
        for at in range(start - 1, depth - 1, -1):
            cell = join(EMPTY, cell) if number >> (255 - at) & 1 else join(cell, EMPTY)
    return cell


class Heap:
    """A dense tree over `width` cells: node i has the children 2i and 2i + 1, node 1 is the root.

    Labels never leave, so a cell that has become a node remains one.
    """

    __slots__ = ("hashes", "kinds", "width")

    def __init__(self, width: int, content: bytes | None = None) -> None:
        """A heap of empty cells, or the one of which `content` was taken."""
        self.width = width
        self.kinds = bytearray(2 * width)
        self.hashes = [EMPTY.hash] * (2 * width)
        if content is not None:
            self.kinds[:] = content[: 2 * width]
            hashes = range(2 * width, len(content), 32)
            self.hashes = [content[at : at + 32] for at in hashes]

    def content(self) -> bytes:
        return bytes(self.kinds) + b"".join(self.hashes)

    def root(self) -> Cell:
        return Cell(self.kinds[1], self.hashes[1])

    def update(self, cells: Sequence[tuple[int, Cell]]) -> Cell:
        """Sets these cells and hashes the paths above them again, level by level; the new root."""
        kinds, hashes, width = self.kinds, self.hashes, self.width
        for at, cell in cells:
            kinds[width + at], hashes[width + at] = cell
        changed = {(width + at) >> 1 for at, _ in cells}
        while changed:
            for at in changed:
                left = 2 * at
                if kinds[at] == NODE or kinds[left] + kinds[left + 1] > LEAF:
                    kinds[at] = NODE
                    hashes[at] = sha256(b"\x03" + hashes[left] + hashes[left + 1]).digest()
                else:
                    lone = left if kinds[left] else left + 1
                    kinds[at], hashes[at] = kinds[lone], hashes[lone]
            changed = {at >> 1 for at in changed}
            changed.discard(0)
        return self.root()


class Way(NamedTuple):
    """What stands beside the path of a label, from the root down, and the label of the leaf that it
    ends at, None for nothing; then `last` are the halves of what stands beside its end.
    """

    beside: list[Cell]
    held: bytes | None
    last: tuple[bytes, bytes]


class Directory:
    """The directory over all labels given so far. `slots` restores it: (key, row) of each slot."""

    def __init__(self, rows: Rows, slots: Iterable[tuple[str, bytes]] = ()) -> None:
        self._rows = rows
        self._top = Heap(SLOTS)
        self._top.update([(int(key, 16), Cell(row[0], row[1:33])) for key, row in slots])

    def root(self) -> bytes:
        return self._top.root().hash

    def update(self, leaves: Mapping[bytes, bytes]) -> bytes:
        """Sets the leaves of these labels; the new root (R-30.3)."""
        parts = _by_digits(leaves, 0, SLOT_DIGITS)
        return self._top.update(
            [(int(key, 16), self._region(key, part)) for key, part in parts.items()]
        ).hash

    def path(self, label: bytes) -> Way:
        """The way of a label, for a proof of what is there (R-30.8): slow, and seldom needed."""
        bits = f"{int.from_bytes(label, 'big'):0256b}"
        slot = self._items(label.hex()[:SLOT_DIGITS])
        beside: list[Cell] = []
        while (here := self._cell(bits[: len(beside)], slot)).kind == NODE:
            beside.append(self._cell(_turned(bits[: len(beside) + 1]), slot))
        way = bits[: len(beside)]
        if here.kind == LEAF:
            return Way(beside, self._lone(way, slot), (NOTHING, NOTHING))
        if not way:
            return Way(beside, None, (NOTHING, NOTHING))
        other = _turned(way)  # perhaps another slot's
        slot = self._items(_least(other).hex()[:SLOT_DIGITS])
        left, right = (self._cell(other + bit, slot).hash for bit in "01")
        return Way(beside, None, (left, right))

    def _cell(self, bits: str, slot: Sequence[tuple[bytes, bytes]]) -> Cell:
        """The root over the labels that begin with these bits, in `slot` if they are many."""
        if len(bits) > 4 * SLOT_DIGITS:
            return fold(_beginning(slot, bits), len(bits))
        at = int("1" + bits, 2)
        return Cell(self._top.kinds[at], self._top.hashes[at])

    def _lone(self, bits: str, slot: Sequence[tuple[bytes, bytes]]) -> bytes:
        """The one label that begins with these bits."""
        if len(bits) < 4 * SLOT_DIGITS:
            while len(bits) < 4 * SLOT_DIGITS:
                bits += "0" if self._cell(bits + "0", ()).kind else "1"
            slot = self._items(_least(bits).hex()[:SLOT_DIGITS])
        return _beginning(slot, bits)[0][0]

    def _items(self, key: str) -> list[tuple[bytes, bytes]]:
        """The labels of a region and their leaves, in order."""
        row = self._row(key)
        if row is None:
            return []
        if row[33:34] == BUCKET:
            return sorted(_bucket(row).items())
        page = Heap(FAN_OUT, row[34:])
        digits = [f"{at:x}" for at in range(FAN_OUT) if page.kinds[FAN_OUT + at]]
        return [item for digit in digits for item in self._items(key + digit)]

    def _region(self, key: str, leaves: dict[bytes, bytes]) -> Cell:
        """Sets leaves whose labels begin with the digits of `key`; the new root of that region.

        A row is the region's root (kind, hash), its form, and a bucket's labels and leaves or a
        page's heap.
        """
        row = self._row(key)
        if row is None or row[33:34] == BUCKET:
            leaves = _bucket(row) | leaves if row else leaves
            if len(leaves) <= CAPACITY:
                items = sorted(leaves.items())
                cell = fold(items, 4 * len(key))
                return self._store(key, cell, BUCKET + b"".join([a + b for a, b in items]))
            row = None
        page = Heap(FAN_OUT, row and row[34:])
        parts = _by_digits(leaves, len(key), 1)
        cell = page.update(
            [(int(digit, 16), self._region(key + digit, part)) for digit, part in parts.items()]
        )
        return self._store(key, cell, PAGE + page.content())

    def _row(self, key: str) -> bytes | None:
        """The region's row. An empty slot is known to have none."""
        if len(key) == SLOT_DIGITS and self._top.kinds[SLOTS + int(key, 16)] == NONE:
            return None
        return self._rows.get(key)

    def _store(self, key: str, cell: Cell, content: bytes) -> Cell:
        self._rows[key] = b"%c%b%b" % (*cell, content)
        return cell


def _bucket(row: bytes) -> dict[bytes, bytes]:
    return {row[at : at + 32]: row[at + 32 : at + 64] for at in range(34, len(row), 64)}


def _beginning(items: Sequence[tuple[bytes, bytes]], bits: str) -> Sequence[tuple[bytes, bytes]]:
    """Those of sorted items whose labels begin with these bits."""
    low, high = _least(bits), int(bits.ljust(256, "1"), 2).to_bytes(32, "big")
    key = itemgetter(0)
    return items[bisect_left(items, low, key=key) : bisect_right(items, high, key=key)]


def _least(bits: str) -> bytes:
    """The first label that begins with these bits."""
    return int(bits.ljust(256, "0"), 2).to_bytes(32, "big")


def _turned(bits: str) -> str:
    """The same way, but for the last turn."""
    return bits[:-1] + "10"[int(bits[-1])]


def _by_digits(leaves: Mapping[bytes, bytes], at: int, count: int) -> dict[str, dict[bytes, bytes]]:
    """Leaves by `count` hexadecimal digits of their labels, from digit `at` on."""
    parts: dict[str, dict[bytes, bytes]] = {}
    for label, hash_ in leaves.items():
        parts.setdefault(label.hex()[at : at + count], {})[label] = hash_
    return parts
