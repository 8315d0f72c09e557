"""Proofs in the directory: what stands for a label, or that nothing does (specs/30-directory).

A proof walks from the root down by the label's bits, with what stands beside the way, and ends at
the label's own leaf, at another label's, or where nothing stands. Whatever the root, a label has at
most one provable answer.

>>> from ledger.tree.directory import Directory
>>> directory, records = Directory(), {}
>>> read = records.__getitem__
>>> update = directory.plan([(b"a" * 32, b"1" * 32), (b"b" * 32, b"2" * 32)], read)
>>> directory.apply(update)
>>> records.update(update.writes)
>>> proof = prove(b"a" * 32, directory.path(b"a" * 32, read))
>>> verify_present(b"a" * 32, b"1" * 32, proof, update.root)
>>> proof = prove(b"c" * 32, directory.path(b"c" * 32, read), lambda other: b"2" * 32)
>>> verify_absent(b"c" * 32, proof, update.root)

Errors: `MalformedInput`, R-30.8 to R-30.11, for a proof that is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ledger.errors import MalformedInput
from ledger.tree.directory import EMPTY, LABEL_BITS, Path, leaf, node


@dataclass(frozen=True, slots=True)
class Own:
    """The path ends at the label's own leaf, whose value the verifier knows."""


@dataclass(frozen=True, slots=True)
class Other:
    """The path ends at the leaf of another label, with its value."""

    label: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class Nothing:
    """Nothing stands at the end. What stands beside it is the node of `left` and `right`."""

    left: bytes
    right: bytes


End: TypeAlias = Own | Other | Nothing


@dataclass(frozen=True, slots=True)
class Proof:
    """A path of `depth` nodes. Bit d of `mask` says whether something stands beside it below node
    d; `siblings` are those, from the root down, but for the last one where the end is `Nothing`.
    """

    depth: int
    mask: bytes
    siblings: tuple[bytes, ...]
    end: End


def prove(label: bytes, path: Path, value: Callable[[bytes], bytes] = lambda _: EMPTY) -> Proof:
    """The proof that `path`, the one of `label`, gives. `value` tells what another label holds."""
    given = tuple(sibling for sibling in path.siblings if sibling != EMPTY)
    depth, mask = len(path.siblings), _mask(path.siblings)
    if path.label is None:
        return Proof(depth, mask, given[:-1], Nothing(*path.split))
    if path.label == label:
        return Proof(depth, mask, given, Own())
    return Proof(depth, mask, given, Other(path.label, value(path.label)))


def verify_present(label: bytes, value: bytes, proof: Proof, root: bytes) -> None:
    """Check that the directory with this root holds `value` for `label`."""
    if not isinstance(proof.end, Own):
        raise MalformedInput("R-30.11", "the proof shows that the label is absent")
    _check_root(label, leaf(label, value), proof, root)


def verify_absent(label: bytes, proof: Proof, root: bytes) -> None:
    """Check that the directory with this root holds nothing for `label`."""
    end = proof.end
    if isinstance(end, Own):
        raise MalformedInput("R-30.11", "the proof shows that the label is present")
    if isinstance(end, Nothing):
        if not proof.depth or end.left == end.right == EMPTY:
            raise MalformedInput("R-30.9", "nothing at all stands at the end of the path")
        _check_root(label, EMPTY, proof, root)
        return
    apart = int.from_bytes(label) ^ int.from_bytes(end.label)
    if not apart or apart >> max(0, LABEL_BITS - proof.depth):
        raise MalformedInput("R-30.10", "the path to that leaf is not the label's")
    _check_root(label, leaf(end.label, end.value), proof, root)


def _check_root(label: bytes, end: bytes, proof: Proof, root: bytes) -> None:
    """R-30.11: what stands at the end and beside the path leads to the root."""
    bits, computed = int.from_bytes(label), end
    beside = _beside(proof)
    for depth in range(proof.depth - 1, -1, -1):
        right = bits >> LABEL_BITS - 1 - depth & 1
        sibling = beside[depth]
        computed = node(sibling, computed) if right else node(computed, sibling)
    if computed != root:
        raise MalformedInput("R-30.11", "the proof leads to another root")


def _beside(proof: Proof) -> list[bytes]:
    """What stands beside the path at each depth, after R-30.8 and R-30.9."""
    given = list(proof.siblings)
    if isinstance(proof.end, Nothing):
        given.append(node(proof.end.left, proof.end.right))
    bits = list(_bits(proof.mask, proof.depth))
    if sum(bits) != len(given) or EMPTY in given:
        raise MalformedInput("R-30.8", "not one sibling for each bit of the mask")
    if bits and not bits[-1]:
        raise MalformedInput("R-30.9", "nothing stands beside the end of the path")
    remaining = iter(given)
    return [next(remaining) if bit else EMPTY for bit in bits]


def _bits(mask: bytes, depth: int) -> Iterator[bool]:
    bits, unused = int.from_bytes(mask), 8 * len(mask) - depth
    if depth > LABEL_BITS or not 0 <= unused < 8 or bits & (1 << unused) - 1:
        raise MalformedInput("R-30.8", "the mask is not of the path's length")
    return (bool(bits >> shift & 1) for shift in range(8 * len(mask) - 1, unused - 1, -1))


def _mask(siblings: Sequence[bytes]) -> bytes:
    size = -(-len(siblings) // 8)
    bits = sum((s != EMPTY) << 8 * size - 1 - at for at, s in enumerate(siblings))
    return bits.to_bytes(size)
