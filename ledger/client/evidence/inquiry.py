"""The tree under a checkpoint, as the server that shows it proves it: what evidence is made of.

A client that was lied to asks the log for the proofs that the lie contradicts. A log that refuses
them, or gives others, gets away with less than it wants: it is believed no more, but what it did
can't be shown to others (80-evidence).

>>> tree = Tree(transport, claim, first)                         # doctest: +SKIP
>>> leaf = await tree.leaf(7)                                    # its entry, proven to be there
>>> root, proof = await tree.beginning(5)                        # the tree of 5 that it continues

Errors: `MalformedInput` for a proof that is refused, and those of the transport.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Protocol

from ledger.client.verify import Claim
from ledger.errors import MalformedInput, Refused
from ledger.format import wire
from ledger.format.evidence import Fork, Leaf, Proof
from ledger.tree.merkle import leaf_hash, old_root, verify_consistency, verify_inclusion, whole_root
from ledger.tree.tiles import WIDTH, Bundle, decode_bundle, tile_width

PATIENCE = 60.0
"""Seconds that a server which was caught may take to prove its own tree, before it is told."""


async def in_time(proof: Awaitable[bytes | None]) -> bytes | None:
    """An evidence file, unless it takes too long: who stalls gets away without."""
    try:
        async with asyncio.timeout(PATIENCE):
            return await proof
    except TimeoutError:
        return None


class Proofs(Protocol):
    """What is asked of a server."""

    async def inclusion(self, index: int, size: int) -> bytes:
        """A `proof` that the tree of `size` holds the leaf `index`."""

    async def consistency(self, old: int, new: int) -> bytes:
        """A `proof` that the tree of `new` continues that of `old`."""

    async def bundle(self, bundle: Bundle) -> bytes:
        """Entries, at exactly this width."""


class Tree:
    """The tree of `claim`, of the log whose entry 0 is `first`."""

    def __init__(self, server: Proofs, claim: Claim, first: bytes) -> None:
        self.claim = claim
        self._server = server
        self._first = first

    def of(self, claim: Claim) -> Tree:
        """Another tree of this log, asked for at the same server."""
        return Tree(self._server, claim, self._first)

    async def leaf(self, index: int, data: bytes | None = None) -> Leaf:
        """The leaf `index`, with its proof; asked for its entry too, unless it is known."""
        size, root = self.claim.size, self.claim.root
        if not 0 <= index < size:
            raise MalformedInput("R-20.3", f"no leaf {index} in a tree of {size}")
        data = await self._entry(index) if data is None else data
        proof = wire.decode_proof(await self._server.inclusion(index, size))
        verify_inclusion(leaf_hash(data), index, size, proof, root)
        return Leaf(index, data, proof)

    async def beginning(self, size: int, proof: Proof | None = None) -> tuple[bytes, Proof]:
        """The root of the tree of `size` that this one continues, with the consistency proof.

        `proof` is one at hand that may do.
        """
        if not 0 < size <= self.claim.size:
            raise MalformedInput("R-20.4", f"no tree of {size} in one of {self.claim.size}")
        if size == self.claim.size:
            return self.claim.root, ()
        try:
            return await self._root(size, proof or ()), proof or ()
        except MalformedInput:
            found = wire.decode_proof(await self._server.consistency(size, self.claim.size))
        return await self._root(size, found), found

    async def fork_from(self, older: Claim, proof: Proof | None = None) -> Fork | None:
        """What shows that this tree does not continue that of `older`, unless it does."""
        root, found = await self.beginning(older.size, proof)
        if root == older.root:
            return None
        return Fork(older.note, self.claim.note, root, found)

    async def _root(self, size: int, proof: Proof) -> bytes:
        new = self.claim.size
        if size & (size - 1):
            return old_root(size, new, proof, self.claim.root)
        first = await self.leaf(0, self._first)
        level = size.bit_length() - 1
        root = whole_root(level, new, leaf_hash(self._first), first.inclusion)
        verify_consistency(size, new, proof, root, self.claim.root)
        return root

    async def _entry(self, index: int) -> bytes:
        return await entry_at(self._server, index, self.claim.size)


async def entry_at(server: Proofs, index: int, size: int) -> bytes:
    """What the server gives as the leaf `index` of its tree of `size`; unproven."""
    number, place = divmod(index, WIDTH)
    width = tile_width(0, number, size)
    try:
        data = await server.bundle(Bundle(number, width))
    except Refused:  # there may be a full one by now
        width, data = WIDTH, await server.bundle(Bundle(number))
    return decode_bundle(data, width)[place]
