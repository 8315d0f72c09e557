"""The RFC 6962 Merkle tree over SHA-256: hashing, appending, proving, verifying (specs/20-tree).

A tree of n leaves is known by its `Frontier`: n, and the roots of the perfect subtrees that it is
made of. That is enough to append and to give the root. `Frontier.extend` also keeps every node it
computes, so that the proofs of the new leaves and the tiles to store cost no reading.

Proofs are planned as ranges of leaves, one per hash, from index and sizes alone; prover and
verifier walk the same plan, so a prover has no say in a proof's shape.

>>> leaves = [leaf_hash(b"a"), leaf_hash(b"b"), leaf_hash(b"c")]
>>> extension = Frontier().extend(leaves)
>>> root = extension.after.root()
>>> proof = inclusion_proof(2, 3, extension.read)
>>> verify_inclusion(leaves[2], 2, 3, proof, root)

Errors: `MalformedInput` throughout. R-20.2 for a size out of bounds, R-20.1 for a hash that is not
32 bytes or a node that is not at hand, R-20.3 and R-20.4 for a proof that is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from ledger.errors import MalformedInput

HASH_SIZE = 32
MAX_SIZE = 2**63 - 1
EMPTY_ROOT = sha256(b"").digest()


@dataclass(frozen=True, slots=True)
class Node:
    """The perfect subtree over leaves `index << level` to `(index + 1) << level` (exclusive)."""

    level: int
    index: int


ReadNode = Callable[[Node], bytes]


def leaf_hash(data: bytes) -> bytes:
    """The hash of a leaf that holds `data` (R-20.1)."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of the node above `left` and `right`, 32 bytes each (R-20.1)."""
    return sha256(b"\x01" + left + right).digest()


def root_of(leaf_hashes: Sequence[bytes]) -> bytes:
    """The root over `leaf_hashes`, all at once (RFC 6962 §2.1)."""
    _require_hashes("R-20.1", leaf_hashes)
    row = list(leaf_hashes)
    while len(row) > 1:
        # An odd last node rises as it is: it is the root of the unfinished right edge.
        odd = row[-1:] if len(row) % 2 else []
        row = _parents(row) + odd
    return row[0] if row else EMPTY_ROOT


def _parents(row: Sequence[bytes]) -> list[bytes]:
    """The nodes above each pair of `row`; an odd last one has no parent yet."""
    # Written out, not calling node_hash: this is where the time of an append goes.
    pairs = zip(row[::2], row[1::2], strict=False)
    return [sha256(b"\x01" + left + right).digest() for left, right in pairs]


@dataclass(frozen=True, slots=True)
class Frontier:
    """What must be known of a tree to append to it: one root per set bit of `size`.

    `roots` are those of its perfect subtrees, the largest (leftmost) first.
    """

    size: int = 0
    roots: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        _require_size(self.size)
        _require_hashes("R-20.1", self.roots)
        if len(self.roots) != self.size.bit_count():
            raise MalformedInput("R-20.1", f"{len(self.roots)} roots for a tree of {self.size}")

    @classmethod
    def load(cls, size: int, read: ReadNode) -> Frontier:
        """The frontier of a stored tree: reads at most 63 nodes."""
        _require_size(size)
        return cls(size, tuple(map(read, perfect_nodes(range(size)))))

    def root(self) -> bytes:
        """The tree's root hash."""
        return _fold(self.roots) if self.roots else EMPTY_ROOT

    def append(self, leaf_hashes: Sequence[bytes]) -> Frontier:
        """The frontier after appending `leaf_hashes`."""
        return self.extend(leaf_hashes).after

    def extend(self, leaf_hashes: Sequence[bytes]) -> Extension:
        """Append `leaf_hashes` and keep the nodes that came with them: one hash per leaf."""
        size = self.size + len(leaf_hashes)
        _require_hashes("R-20.1", leaf_hashes)
        left = list(self.roots)
        row, rows, roots = list(leaf_hashes), [], []
        for level in range(size.bit_length()):
            rows.append(row)
            if self.size >> level & 1:
                row = [left.pop(), *row]
            if size >> level & 1:
                roots.append(row[-1])
            row = _parents(row)
        return Extension(self, Frontier(size, tuple(reversed(roots))), tuple(rows))


@dataclass(frozen=True, slots=True)
class Extension:
    """An append: the tree before, the tree after, and every perfect subtree it completed.

    `rows[level]` holds the new nodes of that level from left to right; the first one's index is
    `before.size >> level`.
    """

    before: Frontier
    after: Frontier
    rows: tuple[Sequence[bytes], ...]

    def read(self, node: Node) -> bytes:
        """A new node or a root of the old frontier: all that a proof of a new leaf needs."""
        level, place = node.level, node.index - (self.before.size >> node.level)
        if level < len(self.rows) and 0 <= place < len(self.rows[level]):
            return self.rows[level][place]
        if place == -1 and self.before.size >> level & 1:
            larger = self.before.size >> (level + 1)
            return self.before.roots[larger.bit_count()]
        raise MalformedInput("R-20.1", f"node {level}/{node.index} is not in this extension")


def inclusion_ranges(index: int, size: int) -> list[range]:
    """The leaves under each hash of an inclusion proof, from the leaf's sibling up (RFC 9162)."""
    if not 0 <= index < size <= MAX_SIZE:
        raise MalformedInput("R-20.3", f"no leaf {index} in a tree of {size}")
    ranges = []
    start, stop = 0, size
    while stop - start > 1:
        middle = _split(start, stop)
        if index < middle:
            ranges.append(range(middle, stop))
            stop = middle
        else:
            ranges.append(range(start, middle))
            start = middle
    return ranges[::-1]


def consistency_ranges(old: int, new: int) -> list[range]:
    """The leaves under each hash of a consistency proof, in its order (RFC 9162 §2.1.4.1).

    The first range ends at `old`, unless the old tree is a whole subtree of the new one, whose
    root the verifier already has.
    """
    if not 0 <= old <= new <= MAX_SIZE:
        raise MalformedInput("R-20.4", f"no consistency from a tree of {old} to one of {new}")
    if old == 0:
        return []
    ranges = []
    start, stop = 0, new
    while stop != old:
        middle = _split(start, stop)
        if old <= middle:
            ranges.append(range(middle, stop))
            stop = middle
        else:
            ranges.append(range(start, middle))
            start = middle
    if start:
        ranges.append(range(start, stop))
    return ranges[::-1]


def perfect_nodes(leaves: range) -> list[Node]:
    """The perfect subtrees that a range of a proof, or `range(size)`, is made of, left to right."""
    nodes = []
    start = leaves.start
    while start < leaves.stop:
        level = (leaves.stop - start).bit_length() - 1
        nodes.append(Node(level, start >> level))
        start += 1 << level
    return nodes


def inclusion_proof(index: int, size: int, read: ReadNode) -> list[bytes]:
    """The proof that leaf `index` is in the tree of `size` (RFC 9162 §2.1.3.1).

    `read` gives the hash of any perfect subtree of that tree; `perfect_nodes` of each of the
    `inclusion_ranges` says beforehand which will be read.
    """
    return [_range_hash(leaves, read) for leaves in inclusion_ranges(index, size)]


def consistency_proof(old: int, new: int, read: ReadNode) -> list[bytes]:
    """The proof that the tree of `new` continues that of `old` (RFC 9162 §2.1.4.1)."""
    return [_range_hash(leaves, read) for leaves in consistency_ranges(old, new)]


def verify_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """Refuse unless the leaf of hash `leaf` stands at `index` in the tree of `size` (R-20.3).

    Equivalent to RFC 9162 §2.1.3.2. A proof may fit several sizes of one root: `size` and `root`
    must come from one checkpoint.
    """
    _require_hashes("R-20.3", (root,))
    if inclusion_root(leaf, index, size, proof) != root:
        raise MalformedInput("R-20.3", "the inclusion proof leads to another root")


def inclusion_root(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    """The root that a proof leads to, of the shape that `index` and `size` give it (R-20.3)."""
    ranges = inclusion_ranges(index, size)
    _require_shape("R-20.3", proof, ranges)
    _require_hashes("R-20.3", (leaf, *proof))
    computed = leaf
    for leaves, sibling in zip(ranges, proof, strict=True):
        if leaves.start > index:
            computed = node_hash(computed, sibling)
        else:
            computed = node_hash(sibling, computed)
    return computed


def verify_consistency(
    old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes
) -> None:
    """Refuse unless the tree of `new` under `new_root` continues `old` under `old_root` (R-20.4).

    Equivalent to RFC 9162 §2.1.4.2, with its two trivial cases settled: `old == new` takes only
    the empty proof and equal roots, `old == 0` only the empty proof and `EMPTY_ROOT`.
    """
    ranges = consistency_ranges(old, new)
    _require_shape("R-20.4", proof, ranges)
    _require_hashes("R-20.4", (old_root, new_root, *proof))
    if old == 0 and old_root != EMPTY_ROOT:
        raise MalformedInput("R-20.4", "the old root is not that of the empty tree")
    if old == 0 < new:
        return  # every tree continues the empty one
    computed_old, computed_new = _consistent_roots(old, ranges, proof, old_root)
    if computed_old != old_root:
        raise MalformedInput("R-20.4", "the consistency proof leads to another old root")
    if computed_new != new_root:
        raise MalformedInput("R-20.4", "the consistency proof leads to another new root")


def old_root(old: int, new: int, proof: Sequence[bytes], new_root: bytes) -> bytes:
    """The root of the tree of `old` that a consistency proof to `new_root` leads to (R-20.4).

    For a proof that was refused: what the tree is that it does continue. Where the old tree is a
    whole subtree of the new one the proof does not say (`whole_root` does): `MalformedInput`, as
    for a proof of another shape, or one that leads to another new root.
    """
    ranges = consistency_ranges(old, new)
    _require_shape("R-20.4", proof, ranges)
    _require_hashes("R-20.4", (new_root, *proof))
    if not ranges or ranges[0].stop != old:
        raise MalformedInput("R-20.4", "the proof does not say what the old root is")
    computed_old, computed_new = _consistent_roots(old, ranges, proof, b"")
    if computed_new != new_root:
        raise MalformedInput("R-20.4", "the consistency proof leads to another new root")
    return computed_old


def whole_root(level: int, size: int, leaf: bytes, proof: Sequence[bytes]) -> bytes:
    """The root of the first `1 << level` leaves, on the way that leaf 0's inclusion proof goes.

    The proof has to be verified: see `verify_inclusion`.
    """
    below = sum(leaves.stop <= 1 << level for leaves in inclusion_ranges(0, size))
    for sibling in proof[:below]:
        leaf = node_hash(leaf, sibling)
    return leaf


def _consistent_roots(
    old: int, ranges: Sequence[range], proof: Sequence[bytes], old_root: bytes
) -> tuple[bytes, bytes]:
    """The old and the new root that the proof leads to."""
    steps = list(zip(ranges, proof, strict=True))
    old_hash = new_hash = old_root
    if ranges and ranges[0].stop == old:
        old_hash = new_hash = steps.pop(0)[1]
    for leaves, sibling in steps:
        if leaves.start >= old:
            new_hash = node_hash(new_hash, sibling)
        else:
            old_hash = node_hash(sibling, old_hash)
            new_hash = node_hash(sibling, new_hash)
    return old_hash, new_hash


def _split(start: int, stop: int) -> int:
    """Where the left subtree of a tree over `start` to `stop` ends (RFC 6962: k < n <= 2k)."""
    return start + (1 << (stop - start - 1).bit_length() - 1)


def _range_hash(leaves: range, read: ReadNode) -> bytes:
    width = len(leaves)
    if not width & width - 1:  # a perfect subtree, as most are
        return read(Node(width.bit_length() - 1, leaves.start // width))
    return _fold([read(node) for node in perfect_nodes(leaves)])


def _fold(roots: Sequence[bytes]) -> bytes:
    """The root over perfect subtrees of falling size."""
    folded = roots[-1]
    for root in roots[-2::-1]:
        folded = node_hash(root, folded)
    return folded


def _require_size(size: int) -> None:
    if not 0 <= size <= MAX_SIZE:
        raise MalformedInput("R-20.2", f"a tree of size {size}")


def _require_hashes(rule: str, hashes: Iterable[bytes]) -> None:
    if not set(map(len, hashes)) <= {HASH_SIZE}:
        raise MalformedInput(rule, f"a hash is not {HASH_SIZE} bytes")


def _require_shape(rule: str, proof: Sequence[bytes], ranges: Sequence[range]) -> None:
    if len(proof) != len(ranges):
        raise MalformedInput(rule, f"{len(proof)} hashes in a proof that takes {len(ranges)}")
