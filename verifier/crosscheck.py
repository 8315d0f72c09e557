"""Rebuilds Merkle roots a second time, with merkletools (the extra `crosscheck`).

Its tree promotes an odd node as RFC 6962 does, so with the node hash in place of its own and leaves
hashed beforehand its roots are RFC 6962's. Only its tree is used: its `validate_proof` knows
neither index nor size.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from verifier.errors import Undecided

try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of SHA-3, which is not used
        from merkletools import MerkleTools
except ImportError:
    MerkleTools = None

AVAILABLE = MerkleTools is not None


def _node(data: bytes) -> Any:
    return sha256(b"\x01" + data)


def root(nodes: Sequence[bytes]) -> bytes:
    """The root over nodes of one height, at least one."""
    tree = MerkleTools()
    tree.hash_function = _node
    tree.add_leaf([node.hex() for node in nodes])
    tree.make_tree()
    return bytes.fromhex(tree.get_merkle_root())


def compare(nodes: Sequence[bytes], expected: bytes) -> None:
    """Two implementations that differ say nothing about the log."""
    if root(nodes) != expected:
        raise Undecided(
            "merkletools computes another root: one of the two implementations is wrong"
        )
