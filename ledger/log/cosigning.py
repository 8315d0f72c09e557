"""What whoever gathers cosignatures is given: a tree that is staged and signed, not yet published.

What was staged is the one tree that the log will ever sign for that size, so its checkpoint may go
to witnesses before anybody else sees it. Proofs come from the tiles of what was published and from
the staged batch itself.

>>> tree = SignedTree(note, head, node_reader)              # doctest: +SKIP
>>> tree.proof(tree.size - 1)                               # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from ledger.log.commit import Commit
from ledger.store.port import Store
from ledger.tree.merkle import Frontier, Node, ReadNode, consistency_proof
from ledger.tree.tiles import node_reader


@dataclass(frozen=True, slots=True)
class SignedTree:
    """A tree under its signed checkpoint, `note`. `read` knows all of its nodes."""

    note: bytes
    size: int
    read: ReadNode = field(repr=False, compare=False)

    def root(self, size: int) -> bytes:
        """The root that this tree had at `size`, which is at most its own."""
        return Frontier.load(size, self.read).root()

    def proof(self, old: int) -> list[bytes]:
        """That this tree continues the one that it was at `old`."""
        return consistency_proof(old, self.size, self.read)


Cosign: TypeAlias = Callable[[SignedTree], Awaitable[bytes]]
"""Gives the tree's checkpoint with cosignatures, and takes as long as it takes.

May raise `TransportError` to be asked again, with the same tree. Any other error is the log's end.
"""


def staged_nodes(store: Store, commit: Commit) -> ReadNode:
    """Reads the nodes of the tree that a staged commit makes."""
    published = commit.before.size

    def read(node: Node) -> bytes:
        if (node.index + 1) << node.level > published:
            return commit.extension.read(node)
        with store.reader() as reader:
            return node_reader(published, reader.tile)(node)

    return read
