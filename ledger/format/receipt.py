"""COSE Receipts of inclusion (RFC 9942, specs/68-proofs), in one spelling.

    d2 84                                tag 18, an array of 4:
    58 2a a3 01 27 04 58 20 <kid>          protected: {1: -8 (EdDSA), 4: kid,
          19 01 8b 01                        395 (vds): 1 (RFC9162_SHA256)}
    a1 19 01 8c a1 20 81 <bstr proof>      unprotected: {396 (vdp): {-1: [inclusion-proof]}}
    f6                                     the payload, detached: the root
    58 40 <signature>

The log's key signs the root, and only it: index and size are the prover's word.

>>> from ledger.tree.merkle import node_hash
>>> key, entries = keys.SigningKey(bytes(32)), (b"one", b"two")
>>> one, two = map(leaf_hash, entries)
>>> receipt = sign(1, 2, (one,), node_hash(one, two), key)
>>> open_receipt(receipt, b"two", key.public).index
1
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ledger.errors import BadSignature, MalformedInput
from ledger.format import keys
from ledger.format.cbor import array, bstr, decode, encode, items, uint
from ledger.format.checkpoint import MAX_SIZE
from ledger.tree.merkle import inclusion_root, leaf_hash

MAX_RECEIPT_BYTES = 4_096
MAX_HASHES = 63
MEDIA_TYPE = 'application/cose; cose-type="cose-sign1"'

_HASH_BYTES = 32
_START = b"\xd2\x84"
_PROTECTED = bytes.fromhex("582aa3012704 5820")
_VDS = bytes.fromhex("19018b01")
_UNPROTECTED = bytes.fromhex("a119018ca12081")
_DETACHED = bytes.fromhex("f65840")
_KID_AT = len(_START + _PROTECTED)
_PROOF_AT = _KID_AT + keys.KEY_BYTES + len(_VDS + _UNPROTECTED)
_HEAD_BYTES = {b"\x58": 2, b"\x59": 3}
_TO_BE_SIGNED = b"\x84\x6aSignature1"


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a receipt says: who signs, that leaf `index` of a tree of `size` has this path."""

    kid: bytes
    index: int
    size: int
    hashes: tuple[bytes, ...]
    signature: bytes

    def encode(self) -> bytes:
        """The receipt's bytes. Raises `MalformedInput` where `parse` would refuse them."""
        proof = encode([self.size, self.index, [*self.hashes]])
        data = _envelope(self.kid, proof, self.signature)
        if parse(data) != self:
            raise MalformedInput("R-68.3", "the receipt would be read as another one")
        return data


def sign(
    index: int, size: int, hashes: Sequence[bytes], root: bytes, key: keys.SigningKey
) -> bytes:
    """The receipt, by the log's key, for leaf `index` of the tree of `size` under `root`."""
    signature = key.sign(_to_be_signed(key.public, root))
    return Receipt(key.public, index, size, tuple(hashes), signature).encode()


def parse(data: bytes) -> Receipt:
    """The receipt that `data` spells, nothing of it checked.

    Raises `MalformedInput`: R-68.3, and R-10 for the inclusion proof inside.
    """
    if len(data) > MAX_RECEIPT_BYTES:
        raise MalformedInput("R-68.3", f"{len(data)} bytes, at most {MAX_RECEIPT_BYTES} allowed")
    kid, signature = data[_KID_AT:][: keys.KEY_BYTES], data[-keys.SIGNATURE_BYTES :]
    wrapped = data[_PROOF_AT : -len(_DETACHED) - keys.SIGNATURE_BYTES]
    proof = wrapped[_HEAD_BYTES.get(wrapped[:1], 1) :]
    if data != _envelope(kid, proof, signature):
        raise MalformedInput("R-68.3", "not the one form of a receipt")
    size, index, hashes = _parse_proof(proof)
    return Receipt(kid, index, size, hashes, signature)


def open_receipt(data: bytes, entry: bytes, log_key: bytes) -> Receipt:
    """The receipt, if it shows that `entry` stands in the log whose key is `log_key`.

    Raises what `parse` raises, `MalformedInput` (R-20.3) and `BadSignature` (R-68.4, R-68.5).
    """
    receipt = parse(data)
    if receipt.kid != log_key:
        raise BadSignature("R-68.4", f"a receipt of the key {receipt.kid.hex()}")
    root = inclusion_root(leaf_hash(entry), receipt.index, receipt.size, receipt.hashes)
    if not keys.verifies(log_key, _to_be_signed(log_key, root), receipt.signature):
        raise BadSignature("R-68.5", "the log did not sign the root that the path leads to")
    return receipt


def _envelope(kid: bytes, proof: bytes, signature: bytes) -> bytes:
    """The COSE_Sign1 around an encoded inclusion proof."""
    head = _START + _PROTECTED + kid + _VDS + _UNPROTECTED
    return head + encode(proof) + _DETACHED + signature


def _parse_proof(data: bytes) -> tuple[int, int, tuple[bytes, ...]]:
    """Size, index and path of an inclusion proof."""
    f = array(decode(data, MAX_RECEIPT_BYTES), 3, "inclusion-proof")
    path = items(f[2], 1, MAX_HASHES, "path")
    hashes = tuple(bstr(one, _HASH_BYTES, "hash") for one in path)
    return uint(f[0], "size", MAX_SIZE), uint(f[1], "index", MAX_SIZE), hashes


def _to_be_signed(kid: bytes, root: bytes) -> bytes:
    """The encoded `Sig_structure` (RFC 9052 section 4.4), without external_aad."""
    return _TO_BE_SIGNED + _PROTECTED + kid + _VDS + b"\x40" + encode(root)
