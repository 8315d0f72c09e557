r"""Proofs in the directory as CBOR (specs/30-directory).

    directory-proof = [depth, mask, siblings, end]
    end             = [0] / [1, label, value] / [2, left, right]

This is about their bytes. Whether the shape is one that a directory has, and what a proof proves,
`ledger.tree.directory_proof` says.

>>> proof = Proof(1, b"\x80", (b"s" * 32,), Own())
>>> parse(to_value(proof)) == proof
True
"""

from __future__ import annotations

from ledger.format.cbor import Value, array, blob, bstr, items, uint
from ledger.tree.directory import LABEL_BITS
from ledger.tree.directory_proof import End, Nothing, Other, Own, Proof

_HASH_BYTES = 32


def to_value(proof: Proof) -> Value:
    """The CBOR value of a proof."""
    return [proof.depth, proof.mask, [*proof.siblings], _end_value(proof.end)]


def parse(value: Value) -> Proof:
    """The proof that a CBOR value is. Raises `MalformedInput` (R-10.4)."""
    f = array(value, 4, "directory-proof")
    siblings = items(f[2], 0, LABEL_BITS, "siblings")
    return Proof(
        uint(f[0], "depth", LABEL_BITS),
        blob(f[1], LABEL_BITS // 8, "mask"),
        tuple(bstr(sibling, _HASH_BYTES, "sibling") for sibling in siblings),
        _parse_end(f[3]),
    )


def _end_value(end: End) -> Value:
    match end:
        case Own():
            return [0]
        case Other(label, value):
            return [1, label, value]
        case Nothing(left, right):
            return [2, left, right]


def _parse_end(value: Value) -> End:
    fields = items(value, 1, 3, "end")
    kind = uint(fields[0], "kind of end", 2)
    if kind == 0:
        array(fields, 1, "end")
        return Own()
    f = array(fields, 3, "end")
    first, second = bstr(f[1], _HASH_BYTES, "hash"), bstr(f[2], _HASH_BYTES, "hash")
    return Other(first, second) if kind == 1 else Nothing(first, second)
