"""The directory: a binary prefix tree over labels (specs/30-directory).

    leaf = H(02 ‖ label ‖ value)      node = H(03 ‖ left ‖ right)      empty = 32 zero bytes

A subtree that holds one label is that label's leaf. In memory stands a trie of hashes whose ends
are *buckets*: up to `BUCKET` labels that share a prefix. A store keeps the leaves in them, numbered
in the order in which their labels came: new labels lie side by side there, however far apart they
stand in the trie. So memory is some 56 bytes a label, and an update reads one bucket and hashes the
path above it. A bucket that grows too big splits, however long the prefix that its labels share, so
ground labels cost their grinder more than us.

    record = label[32] ‖ leaf[32]

`plan` changes nothing: it gives an `Update`. `apply` takes it over once the store has committed its
`writes`.

>>> directory, records = Directory(), {}
>>> update = directory.plan([(b"k" * 32, b"v" * 32)], records.__getitem__)
>>> update.root == leaf(b"k" * 32, b"v" * 32)
True
>>> records.update(update.writes)
>>> directory.apply(update)
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import pairwise
from struct import Struct

from ledger.errors import StoreError

EMPTY = bytes(32)
LABEL_BITS = 256
RECORD_BYTES = 64
BUCKET = 2
"""Labels in a bucket before it splits. 4 takes half the memory, and a seventh more time."""

ReadRecord = Callable[[int], bytes]
Leaf = tuple[bytes, bytes, int]
"""A label, its leaf's hash, and its number."""

_ROOT = 1
_NEW = -1
_NONE = -1
_PARTS = 256
_HASH = Struct("32s")
_begin_node = sha256(b"\x03").copy


def leaf(label: bytes, value: bytes) -> bytes:
    """The hash of a label with its value (R-30.1)."""
    return sha256(b"\x02" + label + value).digest()


def node(left: bytes, right: bytes) -> bytes:
    """The hash of two subtrees (R-30.2)."""
    return sha256(b"\x03" + left + right).digest()


def fold(leaves: Sequence[Leaf], depth: int) -> bytes:
    """The root of leaves by ascending label, which agree on `depth` bits (R-30.3)."""
    if len(leaves) < 2:
        return leaves[0][1] if leaves else EMPTY
    # Those in between part no earlier than the first and the last.
    bits = int.from_bytes(leaves[0][0])
    parting = _shared(bits, int.from_bytes(leaves[-1][0]))
    if len(leaves) == 2:
        root = node(leaves[0][1], leaves[1][1])
    else:
        middle = _split_at(leaves, parting)
        root = node(fold(leaves[:middle], parting + 1), fold(leaves[middle:], parting + 1))
    for above in range(parting - 1, depth - 1, -1):
        on_the_right = bits >> LABEL_BITS - 1 - above & 1
        root = node(EMPTY, root) if on_the_right else node(root, EMPTY)
    return root


def _shared(one: int, other: int) -> int:
    """How many bits two labels agree on, from the first."""
    return LABEL_BITS - (one ^ other).bit_length()


def _split_at(leaves: Sequence[Leaf], depth: int) -> int:
    """How many of `leaves` have a 0 as bit `depth`."""
    byte, mask = depth >> 3, 0x80 >> (depth & 7)
    for count, one in enumerate(leaves):
        if one[0][byte] & mask:
            return count
    return len(leaves)


@dataclass(slots=True)
class Update:
    """A planned change: `root` after it, and the records to write, by number.

    The rest is for the directory that planned it, as it then was: `plan_of` tells that.
    """

    root: bytes
    plan_of: object = field(repr=False, compare=False)
    writes: dict[int, bytes] = field(default_factory=dict)
    hashes: dict[int, bytes] = field(default_factory=dict)
    below: dict[int, int] = field(default_factory=dict)
    beside: dict[int, int] = field(default_factory=dict)
    new_nodes: int = 0
    new_leaves: int = 0


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
        # Below a node: its left child, an even number, which the right one follows. Below a bucket:
        # its first leaf's number, inverted, so that it is negative; 0 where there is none.
        self._below = array("i", (0, 0))
        self._hash = bytearray(EMPTY + EMPTY)
        # Of a leaf: the next one in its bucket.
        self._beside = array("i")
        self._present = object()

    @property
    def root(self) -> bytes:
        """The root of what was last applied."""
        return self._hash_of(_ROOT)

    @classmethod
    def load(cls, records: Iterable[bytes]) -> Directory:
        """The directory that a store's records make up, given by ascending number."""
        # One piece of memory holds all of them for as long as this takes, and goes back whole.
        directory, flat, parts = cls(), bytearray(), [array("i") for _ in range(_PARTS)]
        for number, record in enumerate(records):
            if len(record) != RECORD_BYTES:
                raise StoreError("a leaf of the directory is damaged: restore from a backup")
            parts[record[0]].append(number)
            directory._beside.append(_NONE)
            flat += record

        def read(number: int) -> bytes:
            return bytes(flat[number * RECORD_BYTES : (number + 1) * RECORD_BYTES])

        for part in parts:
            leaves = sorted(_leaf_of(read(number), number) for number in part)
            if any(one[0] == other[0] for one, other in pairwise(leaves)):
                raise StoreError("the directory holds a label twice: restore from a backup")
            directory.apply(directory._planned(leaves, read))
        return directory

    def copy(self) -> Directory:
        """What was last applied, for ever: some 56 bytes a label, copied at memory's speed."""
        copied = Directory()
        copied._below, copied._beside = self._below[:], self._beside[:]
        copied._hash = self._hash[:]
        return copied

    def plan(self, changes: Iterable[tuple[bytes, bytes]], read: ReadRecord) -> Update:
        """What setting each (label, value) does. Each label occurs once; nothing is changed yet."""
        leaves = [(label, leaf(label, value), _NEW) for label, value in changes]
        return self._planned(sorted(leaves), read)

    def apply(self, update: Update) -> None:
        """Take over a planned change. Only after the store has committed it.

        Raises `StoreError` if it was not planned on this directory as it is now.
        """
        if update.plan_of is not self._present:
            raise StoreError("the directory has changed since this was planned: plan it again")
        self._present = object()
        self._below.frombytes(bytes(self._below.itemsize * update.new_nodes))
        self._hash += bytes(len(EMPTY) * update.new_nodes)
        self._beside.extend([_NONE] * update.new_leaves)
        below, beside, stored, put = self._below, self._beside, self._hash, _HASH.pack_into
        for number, first in update.below.items():
            below[number] = first
        for number, following in update.beside.items():
            beside[number] = following
        for number, value in update.hashes.items():
            put(stored, number * 32, value)

    def path(self, label: bytes, read: ReadRecord) -> Path:
        """The path of any label in what was last applied; `read` has to be of the same moment."""
        bits = int.from_bytes(label)
        siblings: list[bytes] = []
        number = _ROOT
        while (left := self._below[number]) > 0:
            number = left | bits >> LABEL_BITS - 1 - len(siblings) & 1
            siblings.append(self._hash_of(number ^ 1))
        leaves = self._leaves(number, read)
        if leaves or number == _ROOT:
            return _path_within(bits, siblings, leaves)
        return Path(tuple(siblings), None, self._halves(number ^ 1, len(siblings), read))

    def _halves(self, number: int, depth: int, read: ReadRecord) -> tuple[bytes, bytes]:
        """The two subtrees of the node at `depth`."""
        if (left := self._below[number]) > 0:
            return self._hash_of(left), self._hash_of(left + 1)
        return _halves(self._leaves(number, read), depth)

    def _hash_of(self, number: int) -> bytes:
        return bytes(self._hash[number * 32 : number * 32 + 32])

    def _leaves(self, bucket: int, read: ReadRecord) -> list[Leaf]:
        """What is in a bucket, by ascending label."""
        found, number = [], ~self._below[bucket]
        while number != _NONE:
            found.append(_leaf_of(read(number), number))
            number = self._beside[number]
        return sorted(found)

    def _planned(self, leaves: Sequence[Leaf], read: ReadRecord) -> Update:
        """What `leaves`, by ascending label, do: from bucket to bucket, each node hashed once."""
        update = Update(self.root, self._present)
        path, bucket = [_ROOT], list[Leaf]()
        spelled = [int.from_bytes(label) for label, _, _ in leaves]
        agreeing = [_shared(one, other) for one, other in pairwise(spelled)]
        for one, bits, agrees in zip(leaves, spelled, [*agreeing, -1], strict=False):
            if not bucket:
                self._descend(path, bits)
            bucket.append(one)
            depth = len(path) - 1
            if agrees < depth:  # the next leaf, if there is one, is of another bucket
                self._update_bucket(update, path[-1], depth, bucket, read)
                self._climb(update, path, agrees)
                bucket = []
        update.root = update.hashes.get(_ROOT, update.root)
        return update

    def _descend(self, path: list[int], bits: int) -> None:
        """Go on with the path to the bucket of these bits."""
        below, number, shift = self._below, path[-1], LABEL_BITS - len(path)
        while (left := below[number]) > 0:
            number = left | bits >> shift & 1
            path.append(number)
            shift -= 1

    def _climb(self, update: Update, path: list[int], depth: int) -> None:
        """Go back to the node at `depth`, and hash those on the way, which are done with."""
        hashes, stored = update.hashes, self._hash
        number = path.pop()
        value = hashes[number]
        for _ in range(len(path) - 1 - depth):
            # Written out, not calling `node`: this is where the time of a plan goes.
            hashed, at = _begin_node(), number * 32
            if number & 1:
                hashed.update(hashes.get(number - 1) or stored[at - 32 : at])
                hashed.update(value)
            else:  # what stands on the right has yet to come
                hashed.update(value)
                hashed.update(stored[at + 32 : at + 64])
            number = path.pop()
            hashes[number] = value = hashed.digest()

    def _update_bucket(
        self, update: Update, bucket: int, depth: int, leaves: Sequence[Leaf], read: ReadRecord
    ) -> None:
        merged = {one[0]: one for one in self._leaves(bucket, read)}
        for label, value, number in leaves:
            if number == _NEW:
                if label in merged:
                    number = merged[label][2]
                else:
                    number = len(self._beside) + update.new_leaves
                    update.new_leaves += 1
                update.writes[number] = label + value
            merged[label] = label, value, number
        self._store(update, bucket, depth, sorted(merged.values()))

    def _store(self, update: Update, number: int, depth: int, leaves: Sequence[Leaf]) -> bytes:
        """Make `number` hold `leaves`, as one bucket or, beyond `BUCKET`, as a split."""
        if len(leaves) > BUCKET:
            middle = _split_at(leaves, depth)
            left = update.below[number] = len(self._below) + update.new_nodes
            update.new_nodes += 2
            root = node(
                self._store(update, left, depth + 1, leaves[:middle]),
                self._store(update, left + 1, depth + 1, leaves[middle:]),
            )
        else:
            root, first = fold(leaves, depth), _NONE
            for _, _, one in leaves:
                update.beside[one], first = first, one
            update.below[number] = ~first
        update.hashes[number] = root
        return root


def _leaf_of(record: bytes, number: int) -> Leaf:
    return record[:32], record[32:], number


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
