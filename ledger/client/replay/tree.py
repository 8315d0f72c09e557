"""The tree and the directory of a replica, as evidence shows them (80-evidence).

What a server would be asked for is worked out from the replica's own entries here: a pass over all
of them, for those rare times when somebody has to be convinced.

>>> tree = ReplicaTree(replica)                                  # doctest: +SKIP
>>> tree.leaf(replica.head.size - 1), tree.shown(label)
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from ledger.client.replay.replica import Replica
from ledger.client.verify import Claim
from ledger.format import checkpoint, wire
from ledger.format.bodies import ZERO_HASH
from ledger.format.evidence import Leaf, ShownChain
from ledger.format.lookup import ChainPart, Link
from ledger.format.note import parse_note
from ledger.tree.directory_proof import prove
from ledger.tree.merkle import (
    Frontier,
    ReadNode,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root_of,
)
from ledger.tree.tiles import WIDTH, Bundle, encode_bundle


class ReplicaTree:
    """The tree of a replica's head, as it is now, and of `more` entries. Fills `Proofs`, too."""

    def __init__(self, replica: Replica, more: Sequence[bytes] = ()) -> None:
        self._replica = replica
        self._more = more
        self.size = replica.head.size + len(more)

    @cached_property
    def _hashes(self) -> list[bytes]:
        held = self._replica.entries(0, self._replica.head.size)
        return [leaf_hash(data) for data in (*held, *self._more)]

    @cached_property
    def _read(self) -> ReadNode:
        return Frontier().extend(self._hashes).read

    def accepted(self) -> Claim | None:
        """The newest checkpoint that was accepted, if there is one."""
        note = self._replica.note
        if not note:
            return None
        found = checkpoint.parse(parse_note(note).text)
        return Claim(note, found.size, found.root)

    def root(self, size: int) -> bytes:
        """The root over the first `size` entries."""
        return root_of(self._hashes[:size])

    def leaf(self, index: int) -> Leaf:
        """An entry, and the proof that the tree of the head holds it."""
        proof = inclusion_proof(index, self.size, self._read)
        return Leaf(index, self._replica.entry(index), tuple(proof))

    def shown(self, label: bytes) -> ShownChain:
        """What the directory at the head shows of a label, with all its blocks."""
        replica = self._replica
        path = replica.directory.path(label, replica.leaf)
        proof, chain = prove(label, path, self._value), replica.chain(label)
        if chain is None:
            return ShownChain(label, ChainPart(0, ZERO_HASH, ZERO_HASH, proof))
        links = tuple(Link(*one) for one in replica.entries_of(label))
        part = ChainPart(chain.length, chain.accumulator, chain.digest, proof, links)
        return ShownChain(label, part)

    def _value(self, label: bytes) -> bytes:
        chain = self._replica.chain(label)
        assert chain  # the directory holds it
        return chain.value

    async def inclusion(self, index: int, size: int) -> bytes:
        read = Frontier().extend(self._hashes[:size]).read
        return wire.encode_proof(inclusion_proof(index, size, read))

    async def consistency(self, old: int, new: int) -> bytes:
        read = Frontier().extend(self._hashes[:new]).read
        return wire.encode_proof(consistency_proof(old, new, read))

    async def bundle(self, bundle: Bundle) -> bytes:
        start = bundle.index * WIDTH
        held = self._replica.entries(start, start + bundle.width)
        beyond = max(0, start - self._replica.head.size)
        more = self._more[beyond : beyond + bundle.width - len(held)]
        return encode_bundle([*held, *more])
