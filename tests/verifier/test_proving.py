"""Proofs that an auditor makes: what it checks itself takes them, for every place and size."""

from __future__ import annotations

from functools import cache
from hashlib import sha256

import pytest

from tests.verifier.builder import mth
from verifier import prefix
from verifier.directory import CAPACITY, Directory, leaf
from verifier.errors import Malformed, Undecided
from verifier.merkle import WIDTH, check_consistency, check_inclusion, tree_root
from verifier.proving import ProvenTree, directory_proof


def hashes(count: int) -> list[bytes]:
    return [sha256(b"%d" % number).digest() for number in range(count)]


def tree(leaves: list[bytes]) -> ProvenTree:
    tiles = [leaves[at : at + WIDTH] for at in range(0, len(leaves), WIDTH)]
    return ProvenTree([tree_root(tile) for tile in tiles], len(leaves), tiles.__getitem__)


@pytest.mark.parametrize("size", [1, 2, 7, 255, 256, 257, 700, 1024, 1500])
def test_every_leaf_is_shown(size: int) -> None:
    leaves = hashes(size)
    proven, root = tree(leaves), mth(leaves)
    assert proven.root() == root
    for index in {*range(0, size, 13), size - 1}:
        check_inclusion(leaves[index], index, size, proven.inclusion(index), root)


@pytest.mark.parametrize("size", [2, 256, 257, 700, 1025])
def test_every_beginning_is_shown(size: int) -> None:
    leaves = hashes(size)
    proven, root = tree(leaves), mth(leaves)
    for old in {*range(1, size, 17), 256, 512, 513, size - 1, size}:
        if old <= size:
            assert proven.root(old) == mth(leaves[:old])
            check_consistency(old, size, mth(leaves[:old]), root, proven.consistency(old))


def test_within_a_smaller_tree() -> None:
    leaves = hashes(700)
    proven = tree(leaves)
    for size in (1, 300, 512, 513, 699):
        path = proven.inclusion(size - 1, size)
        check_inclusion(leaves[size - 1], size - 1, size, path, mth(leaves[:size]))


def test_leaves_that_are_not_the_tiles() -> None:
    leaves = hashes(300)
    proven = ProvenTree([bytes(32), bytes(32)], 300, lambda number: leaves[:WIDTH])
    with pytest.raises(Undecided, match="tile 0"):
        proven.inclusion(3)


def labels(count: int, shared: int = 0) -> list[bytes]:
    """Labels, the first of whose bytes are the same."""
    return [bytes(shared) + one[: 32 - shared] for one in hashes(count)]


Held = dict[bytes, bytes]


@cache
def filled(count: int, shared: int) -> tuple[Held, Directory]:
    held = {label: sha256(label).digest() for label in labels(count, shared)}
    directory = Directory({})
    directory.update({one: leaf(one, value) for one, value in held.items()})
    return held, directory


def check(count: int, shared: int, label: bytes) -> None:
    held, directory = filled(count, shared)
    proof = prefix.read(directory_proof(directory, label, held.__getitem__))
    prefix.check(proof, label, held.get(label), directory.root())


@pytest.mark.parametrize(("count", "shared"), [(1, 0), (2, 0), (50, 0), (3, 2), (80, 2), (80, 20)])
def test_what_a_directory_holds(count: int, shared: int) -> None:
    """With more than `CAPACITY` labels of one beginning, slots are pages."""
    assert count <= 3 or count > CAPACITY
    for label in sorted(filled(count, shared)[0])[::7]:
        check(count, shared, label)


@pytest.mark.parametrize("shared", [0, 1, 2, 3, 8])
@pytest.mark.parametrize("count", [1, 2, 5, 40])
def test_what_it_does_not_hold(count: int, shared: int) -> None:
    """Absent labels that part from one that is there at each of its bits."""
    for near in sorted(filled(count, shared)[0])[:1]:
        for bit in range(256):
            flipped = int.from_bytes(near, "big") ^ 1 << bit
            check(count, shared, flipped.to_bytes(32, "big"))


def test_an_empty_directory_shows_nothing() -> None:
    with pytest.raises(Undecided):
        directory_proof(Directory({}), bytes(32), bytes)


def test_a_proof_of_another_value_is_refused() -> None:
    held, directory = filled(40, 0)
    label = next(iter(held))
    proof = prefix.read(directory_proof(directory, label, held.__getitem__))
    with pytest.raises(Malformed, match=r"R-30\.11"):
        prefix.check(proof, label, bytes(32), directory.root())
