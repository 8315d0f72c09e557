"""Proofs to hand on (specs/68-proofs): of an entry, under what the log has published.

>>> with store.reader() as reader:                            # doctest: +SKIP
...     tlog_proof(reader, 7), receipt(reader, 7, log_key)

A reader shows published state only, so nothing else is ever signed here (R-68.6).
"""

from __future__ import annotations

from ledger.format import receipt as receipts
from ledger.format.keys import SigningKey
from ledger.format.tlog_proof import TlogProof
from ledger.store.port import Reader
from ledger.tree.merkle import inclusion_proof
from ledger.tree.tiles import node_reader


def tlog_proof(reader: Reader, index: int) -> bytes:
    """The tlog-proof of an entry. Raises `MalformedInput` if there is none at `index`."""
    return TlogProof(index, tuple(_path(reader, index)), reader.note).encode()


def receipt(reader: Reader, index: int, log_key: SigningKey) -> bytes:
    """The receipt of an entry. Raises `MalformedInput` if there is none at `index`."""
    head = reader.head
    return receipts.sign(index, head.size, _path(reader, index), head.root, log_key)


def _path(reader: Reader, index: int) -> list[bytes]:
    size = reader.head.size
    return inclusion_proof(index, size, node_reader(size, reader.tile))
