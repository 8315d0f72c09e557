"""Receipts are the proofs that the tree's own prover gives, for every batch of every small tree."""

from __future__ import annotations

import pytest

from ledger.log.receipts import Receipts
from ledger.tree.merkle import (
    Frontier,
    Node,
    inclusion_proof,
    leaf_hash,
    perfect_nodes,
    root_of,
    verify_inclusion,
)

LEAVES = [leaf_hash(number.to_bytes(2)) for number in range(70)]


@pytest.mark.parametrize("before", range(40))
def test_every_leaf_of_every_batch(before: int) -> None:
    frontier = Frontier().append(LEAVES[:before])
    for after in range(before + 1, 70):
        extension = frontier.extend(LEAVES[before:after])
        receipts = Receipts.of(b"note", extension)
        root = root_of(LEAVES[:after])
        for index in range(before, after):
            proof = receipts.proof(index)
            verify_inclusion(LEAVES[index], index, after, proof, root)
            if after < 12:
                assert proof == inclusion_proof(index, after, read)


def read(node: Node) -> bytes:
    return root_of(LEAVES[node.index << node.level : (node.index + 1) << node.level])


def test_other_leaves_have_no_receipt() -> None:
    receipts = Receipts.of(b"note", Frontier().append(LEAVES[:5]).extend(LEAVES[5:9]))
    assert receipts.peaks == tuple(perfect_nodes(range(9)))
    with pytest.raises(IndexError):
        receipts.proof(9)
