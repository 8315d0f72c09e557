"""The directory: a binary prefix tree over labels (specs/30-directory).

    leaf = H(02 ‖ label ‖ value)      node = H(03 ‖ left ‖ right)      empty = 32 zero bytes

A subtree that holds one label is that label's leaf. In memory stands a trie of hashes whose ends
are *buckets*: up to `BUCKET` labels that share a prefix, kept by a store. So memory is some 34
bytes a label, and an update reads and writes one bucket and hashes the path above it. A bucket that
grows too big splits, however long the prefix that its labels share, so ground labels cost their
grinder more than us.

    bucket key    = the prefix's bits, in whole bytes, zero-padded ‖ its length in bits (1 byte)
    bucket record = root[32] ‖ (label[32] ‖ leaf[32])*, by ascending label

`plan` changes nothing: it gives an `Update`. `apply` takes it over once the store has committed its
`writes`.

>>> directory = Directory()
>>> update = directory.plan([(b"k" * 32, b"v" * 32)], {}.get)
>>> update.root == leaf(b"k" * 32, b"v" * 32)
True
>>> directory.apply(update)
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import chain

from ledger.errors import StoreError

EMPTY = bytes(32)
LABEL_BITS = 256
BUCKET = 4
"""Labels in a bucket before it splits. 4 was faster than 8 and 16; 8 takes half the memory."""

ReadBucket = Callable[[bytes], bytes | None]
Leaf = tuple[bytes, bytes]

_JUMP_BYTES = 1
_JUMP_BITS = 8 * _JUMP_BYTES
_JUMP_SHIFT = LABEL_BITS - 1 - _JUMP_BITS
"""So many bits of a label lead at once to where they end, if anybody went there before."""

_ITEM = 64
_NONE = -1


def leaf(label: bytes, value: bytes) -> bytes:
    """The hash of a label with its value (R-30.1)."""
    return sha256(b"\x02" + label + value).digest()


def node(left: bytes, right: bytes) -> bytes:
    """The hash of two subtrees (R-30.2)."""
    return sha256(b"\x03" + left + right).digest()


def fold(leaves: Sequence[Leaf], depth: int) -> bytes:
    """The root of ascending (label, leaf hash) pairs that agree on `depth` bits (R-30.3)."""
    if len(leaves) < 2:
        return leaves[0][1] if leaves else EMPTY
    # Those in between part no earlier than the first and the last.
    bits = int.from_bytes(leaves[0][0])
    parting = LABEL_BITS - (bits ^ int.from_bytes(leaves[-1][0])).bit_length()
    if len(leaves) == 2:
        root = node(leaves[0][1], leaves[1][1])
    else:
        middle = _split_at(leaves, parting)
        root = node(fold(leaves[:middle], parting + 1), fold(leaves[middle:], parting + 1))
    for above in range(parting - 1, depth - 1, -1):
        on_the_right = bits >> LABEL_BITS - 1 - above & 1
        root = node(EMPTY, root) if on_the_right else node(root, EMPTY)
    return root


def _split_at(leaves: Sequence[Leaf], depth: int) -> int:
    """How many of `leaves` have a 0 as bit `depth`."""
    byte, mask = depth >> 3, 0x80 >> (depth & 7)
    for count, (label, _) in enumerate(leaves):
        if label[byte] & mask:
            return count
    return len(leaves)


def bucket_key(label: bytes, depth: int) -> bytes:
    """The store's key of the bucket at `depth` that `label` belongs to."""
    prefix = label[: (depth + 7) >> 3]
    if depth & 7:
        prefix = prefix[:-1] + bytes((prefix[-1] & (0xFF00 >> (depth & 7)) & 0xFF,))
    return prefix + bytes((depth,))


@dataclass(slots=True)
class Update:
    """A planned change: `root` after it, and the bucket records to write (None: remove).

    The rest is for the directory that planned it, as it then was: `plan_of` tells that.
    """

    root: bytes
    plan_of: object = field(repr=False, compare=False)
    writes: dict[bytes, bytes | None] = field(default_factory=dict)
    hashes: dict[int, bytes] = field(default_factory=dict)
    children: dict[int, int] = field(default_factory=dict)
    parents: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Path:
    """The way from the root down by a label's bits, and what stands beside it at each depth.

    It ends at the leaf of `label`, which may be another label's; or where nothing stands, and then
    `split` are the two subtrees of what stands beside the end.
    """

    siblings: tuple[bytes, ...]
    label: bytes | None
    split: tuple[bytes, bytes] = (EMPTY, EMPTY)


class Directory:
    """The trie in memory. One writer; readers see what was last applied."""

    def __init__(self) -> None:
        # A node's left child; the right one has the next number.
        self._left = array("i", (_NONE,))
        self._parent = array("i", (_NONE,))
        self._hash = bytearray(EMPTY)
        self._present = object()
        # Nodes once made stay where they are.
        self._jumps: dict[int, tuple[int, int]] = {}

    @property
    def root(self) -> bytes:
        """The root of what was last applied."""
        return self._hash_of(0)

    @classmethod
    def load(cls, records: Iterable[tuple[bytes, bytes]]) -> Directory:
        """The directory that a store's (key, record) pairs make up, in any order."""
        directory = cls()
        for key, record in records:
            directory._place(key, record[:32])
        directory._rehash()
        return directory

    def copy(self) -> Directory:
        """What was last applied, for ever: some 34 bytes a label, copied at memory's speed."""
        copied = Directory()
        copied._left, copied._parent = self._left[:], self._parent[:]
        copied._hash = self._hash[:]
        return copied

    def plan(self, changes: Iterable[tuple[bytes, bytes]], read: ReadBucket) -> Update:
        """What setting each (label, value) does. Each label occurs once; nothing is changed yet."""
        update = Update(self.root, self._present)
        touched: dict[tuple[int, int], list[Leaf]] = {}
        for label, value in changes:
            touched.setdefault(self._find(label), []).append((label, leaf(label, value)))
        dirty: dict[int, set[int]] = {}
        for (number, depth), leaves in touched.items():
            self._update_bucket(update, number, depth, leaves, read)
            if depth:
                dirty.setdefault(depth - 1, set()).add(self._parent[number])
        self._hash_upward(update, dirty)
        update.root = update.hashes.get(0, update.root)
        return update

    def apply(self, update: Update) -> None:
        """Take over a planned change. Only after the store has committed it.

        Raises `StoreError` if it was not planned on this directory as it is now.
        """
        if update.plan_of is not self._present:
            raise StoreError("the directory has changed since this was planned: plan it again")
        self._present = object()
        new = len(update.parents)
        self._left.extend([_NONE] * new)
        self._parent.extend(update.parents)
        self._hash += EMPTY * new
        for number, left in update.children.items():
            self._left[number] = left
        stored = self._hash
        for number, value in update.hashes.items():
            stored[number * 32 : number * 32 + 32] = value

    def path(self, label: bytes, read: ReadBucket) -> Path:
        """The path of any label in what was last applied; `read` has to be of the same moment."""
        bits = int.from_bytes(label)
        siblings: list[bytes] = []
        number = beside = 0
        while (left := self._left[number]) != _NONE:
            right = bits >> LABEL_BITS - 1 - len(siblings) & 1
            number, beside = left + right, left + 1 - right
            siblings.append(self._hash_of(beside))
        depth = len(siblings)
        leaves = _leaves(read(bucket_key(label, depth)))
        if leaves or not depth:
            return _path_within(bits, siblings, leaves)
        neighbour = (bits ^ 1 << LABEL_BITS - depth).to_bytes(32)
        return Path(tuple(siblings), None, self._halves(beside, neighbour, depth, read))

    def _halves(
        self, number: int, label: bytes, depth: int, read: ReadBucket
    ) -> tuple[bytes, bytes]:
        """The two subtrees of the node at `depth` on the way of `label`."""
        if (left := self._left[number]) != _NONE:
            return self._hash_of(left), self._hash_of(left + 1)
        return _halves(_leaves(read(bucket_key(label, depth))), depth)

    def _hash_of(self, number: int) -> bytes:
        return bytes(self._hash[number * 32 : number * 32 + 32])

    def _find(self, label: bytes) -> tuple[int, int]:
        """The bucket that `label` belongs to: its number and depth."""
        lefts = self._left
        start = int.from_bytes(label[:_JUMP_BYTES])
        number, depth = self._jumps.get(start, (0, 0))
        bits, shift = int.from_bytes(label), LABEL_BITS - 1 - depth
        while (left := lefts[number]) != _NONE:
            number = left + (bits >> shift & 1)
            shift -= 1
            if shift == _JUMP_SHIFT:
                self._jumps[start] = number, _JUMP_BITS
        return number, LABEL_BITS - 1 - shift

    def _update_bucket(
        self, update: Update, number: int, depth: int, leaves: list[Leaf], read: ReadBucket
    ) -> None:
        key = bucket_key(leaves[0][0], depth)
        merged = _items(read(key))
        merged.update(leaves)
        ordered = sorted(merged.items())
        if len(ordered) > BUCKET:
            update.writes[key] = None
            self._store(update, number, depth, ordered)
        else:
            update.hashes[number] = root = fold(ordered, depth)
            update.writes[key] = root + b"".join(chain.from_iterable(ordered))

    def _store(self, update: Update, number: int, depth: int, leaves: Sequence[Leaf]) -> bytes:
        """Make `number` hold `leaves`, as one bucket or, beyond `BUCKET`, as a split."""
        if len(leaves) > BUCKET:
            middle = _split_at(leaves, depth)
            left = update.children[number] = len(self._parent) + len(update.parents)
            update.parents += (number, number)
            root = node(
                self._store(update, left, depth + 1, leaves[:middle]),
                self._store(update, left + 1, depth + 1, leaves[middle:]),
            )
        else:
            root = fold(leaves, depth)
            if leaves:
                record = root + b"".join(chain.from_iterable(leaves))
                update.writes[bucket_key(leaves[0][0], depth)] = record
        update.hashes[number] = root
        return root

    def _hash_upward(self, update: Update, dirty: dict[int, set[int]]) -> None:
        """Hash the nodes above what changed, the deepest first, each once."""
        hashes, stored = update.hashes, self._hash
        known, lefts, parents = hashes.get, self._left, self._parent
        for depth in range(max(dirty, default=-1), -1, -1):
            above = dirty.setdefault(depth - 1, set())
            for number in dirty.get(depth, ()):
                # Written out, not calling `node`: this is where the time of a plan goes.
                left = lefts[number]
                at = left * 32
                first = known(left) or stored[at : at + 32]
                second = known(left + 1) or stored[at + 32 : at + 64]
                hashes[number] = sha256(b"\x03" + first + second).digest()
                above.add(parents[number])

    def _place(self, key: bytes, root: bytes) -> None:
        """Grow the trie down to the bucket that `key` names."""
        depth, bits = key[-1], int.from_bytes(key[:-1].ljust(32, b"\0"))
        number = 0
        for shift in range(LABEL_BITS - 1, LABEL_BITS - 1 - depth, -1):
            if self._left[number] == _NONE:
                self._split(number)
            number = self._left[number] + (bits >> shift & 1)
        if self._left[number] != _NONE or self._hash_of(number) != EMPTY:
            raise StoreError("the directory's buckets overlap: restore from a backup")
        self._hash[number * 32 : number * 32 + 32] = root

    def _split(self, number: int) -> None:
        if self._hash_of(number) != EMPTY:
            raise StoreError("the directory's buckets overlap: restore from a backup")
        at = len(self._parent)
        self._left[number] = at
        self._left.extend((_NONE, _NONE))
        self._parent.extend((number, number))
        self._hash += EMPTY + EMPTY

    def _rehash(self) -> None:
        """Hash all inner nodes: `_split` numbers every child after its parent."""
        for number in range(len(self._parent) - 1, -1, -1):
            if (left := self._left[number]) != _NONE:
                pair = self._hash[left * 32 : left * 32 + 64]
                self._hash[number * 32 : number * 32 + 32] = sha256(b"\x03" + pair).digest()


def _path_within(bits: int, above: Sequence[bytes], leaves: Sequence[Leaf]) -> Path:
    """The path that goes on from `above` among the leaves of one bucket."""
    siblings, beside = list(above), leaves
    while len(leaves) > 1:
        depth = len(siblings)
        middle = _split_at(leaves, depth)
        sides = leaves[:middle], leaves[middle:]
        right = bits >> LABEL_BITS - 1 - depth & 1
        leaves, beside = sides[right], sides[1 - right]
        siblings.append(fold(beside, depth + 1))
    if leaves:
        return Path(tuple(siblings), leaves[0][0])
    return Path(tuple(siblings), None, _halves(beside, len(siblings)))


def _halves(leaves: Sequence[Leaf], depth: int) -> tuple[bytes, bytes]:
    middle = _split_at(leaves, depth)
    return fold(leaves[:middle], depth + 1), fold(leaves[middle:], depth + 1)


def _leaves(record: bytes | None) -> list[Leaf]:
    return sorted(_items(record).items())


def _items(record: bytes | None) -> dict[bytes, bytes]:
    """The labels and leaf hashes in a bucket record."""
    if record is None:
        return {}
    if len(record) % _ITEM != 32:
        raise StoreError("a directory bucket is damaged: restore from a backup")
    starts = range(32, len(record), _ITEM)
    return {record[at : at + 32]: record[at + 32 : at + 64] for at in starts}
