"""What a directory root showed of a label, kept: it is evidence if another root shows otherwise.

    root = [note, leaf, shown chain]            of 80-evidence, the chain without its links

A root that hides a block can be told only by who comes to know of that block. By then it has long
been shown: so the newest one for each label stays at hand, some 1.5 KB of it. Pure.

>>> for root in roots_of(bundle):                                # doctest: +SKIP
...     keep(root.chain.label, root.encode())
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ledger.client.verify import Claim
from ledger.errors import MalformedInput, StoreError
from ledger.format import checkpoint
from ledger.format.block import LOG_LABEL
from ledger.format.cbor import array, blob, decode, encode
from ledger.format.evidence import Leaf, ShownChain
from ledger.format.lookup import MAX_WHOLE_BYTES, Bundle
from ledger.format.note import MAX_NOTE_BYTES, parse_note

_MAX_BYTES = 2 * MAX_NOTE_BYTES


@dataclass(frozen=True, slots=True)
class Root:
    """The directory root `leaf`, which ends the tree of `note`, and what it shows of a chain."""

    note: bytes
    leaf: Leaf
    chain: ShownChain

    @classmethod
    def decode(cls, data: bytes) -> Root:
        """The root that `encode` wrote. Raises `StoreError`."""
        try:
            f = array(decode(data, _MAX_BYTES), 3, "root")
            note = blob(f[0], MAX_NOTE_BYTES, "note")
            return cls(note, Leaf.parse(f[1]), ShownChain.parse(f[2]))
        except MalformedInput as error:
            raise StoreError("what is held of this log is damaged") from error

    def encode(self) -> bytes:
        return encode([self.note, self.leaf.to_value(), self.chain.to_value()])

    @property
    def claim(self) -> Claim:
        """The checkpoint, which was judged when it came."""
        found = checkpoint.parse(parse_note(self.note).text)
        return Claim(self.note, found.size, found.root)


def roots_of(data: bytes) -> Iterator[Root]:
    """What a bundle that was verified shows of each label, and of the log's own chain if at all."""
    bundle = Bundle.decode(data, MAX_WHOLE_BYTES)
    size = checkpoint.parse(parse_note(bundle.checkpoint).text).size
    leaf = Leaf(size - 1, bundle.last, bundle.inclusion)
    parts = [(answer.label, answer.chain) for answer in bundle.answers]
    if bundle.log:
        parts = [(LOG_LABEL, bundle.log), *parts]
    for label, part in parts:
        yield Root(bundle.checkpoint, leaf, ShownChain(label, replace(part, links=())))
