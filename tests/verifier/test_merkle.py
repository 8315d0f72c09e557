"""The tree, rebuilt tile by tile, against RFC 6962 as it is written."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.verifier.builder import leaf_hash as leaf_by_hand
from tests.verifier.builder import mth
from verifier import crosscheck
from verifier.errors import Malformed, Undecided
from verifier.merkle import (
    EMPTY_ROOT,
    Frontier,
    check_consistency,
    check_inclusion,
    leaf_hash,
    prefix_root,
    tile_levels,
    tree_root,
)

LEAVES = [leaf_by_hand(b"%d" % number) for number in range(1_100)]
SMALL = 24


def inclusion(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """PATH of RFC 6962 §2.1.1."""
    if len(leaves) == 1:
        return []
    split = 1 << ((len(leaves) - 1).bit_length() - 1)
    if index < split:
        return [*inclusion(index, leaves[:split]), mth(leaves[split:])]
    return [*inclusion(index - split, leaves[split:]), mth(leaves[:split])]


def consistency(old: int, leaves: Sequence[bytes], *, whole: bool = True) -> list[bytes]:
    """SUBPROOF of RFC 6962 §2.1.2."""
    if old == len(leaves):
        return [] if whole else [mth(leaves)]
    split = 1 << ((len(leaves) - 1).bit_length() - 1)
    if old <= split:
        return [*consistency(old, leaves[:split], whole=whole), mth(leaves[split:])]
    return [*consistency(old - split, leaves[split:], whole=False), mth(leaves[:split])]


@pytest.mark.parametrize("size", [0, 1, 2, 3, 7, 255, 256, 257, 511, 512, 700, 1_100])
def test_roots_over_tiles_are_those_of_the_rfc(size: int) -> None:
    frontier = Frontier()
    for at in range(0, size - size % 256, 256):
        frontier.push(tree_root(LEAVES[at : at + 256]))
    rest = tree_root(LEAVES[size - size % 256 : size]) if size % 256 else None
    assert frontier.root(rest) == tree_root(LEAVES[:size]) == mth(LEAVES[:size])


def test_every_prefix_of_a_tile_has_its_root() -> None:
    levels = tile_levels(LEAVES[:256])
    assert [prefix_root(levels, width) for width in range(257)] == [
        mth(LEAVES[:width]) for width in range(257)
    ]


def test_the_empty_tree() -> None:
    assert Frontier().root() == tree_root([]) == EMPTY_ROOT
    assert leaf_hash(b"x") == leaf_by_hand(b"x")


@pytest.mark.parametrize("size", range(1, SMALL))
def test_inclusion(size: int) -> None:
    leaves = LEAVES[:size]
    root = mth(leaves)
    for index in range(size):
        proof = inclusion(index, leaves)
        check_inclusion(leaves[index], index, size, proof, root)
        for wrong in (proof[:-1], [*proof, bytes(32)], [*proof[:-1], bytes(32)], proof[::-1]):
            if wrong != proof:
                refuse_inclusion(leaves[index], index, size, wrong, root)
        refuse_inclusion(leaves[index], index, size, [one[:31] for one in proof] or [b""], root)
        refuse_inclusion(bytes(32), index, size, proof, root)
        refuse_inclusion(leaves[index], index, size, proof, bytes(32))
        for other in {index - 1, index + 1, size}:
            refuse_inclusion(leaves[index], other, size, proof, root)


def refuse_inclusion(leaf: bytes, index: int, size: int, proof: list[bytes], root: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        check_inclusion(leaf, index, size, proof, root)
    assert caught.value.rule == "R-20.3"


@pytest.mark.parametrize("new", range(SMALL))
def test_consistency(new: int) -> None:
    for old in range(new + 1):
        roots = mth(LEAVES[:old]), mth(LEAVES[:new])
        proof = consistency(old, LEAVES[:new]) if old else []
        check_consistency(old, new, *roots, proof)
        for wrong in (proof[:-1], [*proof, bytes(32)], [*proof[:-1], bytes(32)], proof[::-1]):
            if wrong != proof:
                refuse_consistency(old, new, *roots, wrong)
        refuse_consistency(old, new, bytes(32), roots[1], proof)
        if old:  # from nothing every tree grows
            refuse_consistency(old, new, roots[0], bytes(32), proof)
        if new:
            refuse_consistency(new, new - 1, roots[1], mth(LEAVES[: new - 1]), [])


def test_the_empty_tree_is_consistent_with_its_one_root_only() -> None:
    check_consistency(0, 0, EMPTY_ROOT, EMPTY_ROOT, [])
    refuse_consistency(0, 0, EMPTY_ROOT, bytes(32), [])


def refuse_consistency(
    old: int, new: int, old_root: bytes, new_root: bytes, proof: list[bytes]
) -> None:
    with pytest.raises(Malformed) as caught:
        check_consistency(old, new, old_root, new_root, proof)
    assert caught.value.rule == "R-20.4"


@given(st.integers(2**62, 2**63 + 1), st.integers(0, 2**63), st.lists(st.binary(max_size=33)))
def test_no_proof_makes_a_check_fail_otherwise(size: int, index: int, proof: list[bytes]) -> None:
    with pytest.raises(Malformed):
        check_inclusion(bytes(32), index, size, proof, bytes(32))
    with pytest.raises(Malformed):
        check_consistency(index, size, bytes(32), b"n" * 32, proof)


@pytest.mark.skipif(not crosscheck.AVAILABLE, reason="the extra crosscheck is not installed")
def test_merkletools_agrees() -> None:
    for size in [*range(1, 40), 255, 256]:
        crosscheck.compare(LEAVES[:size], mth(LEAVES[:size]))
    tiles = [tree_root(LEAVES[at : at + 256]) for at in range(0, 1_100, 256)]
    crosscheck.compare(tiles, mth(LEAVES))
    with pytest.raises(Undecided):
        crosscheck.compare(tiles, mth(LEAVES[:1_099]))
