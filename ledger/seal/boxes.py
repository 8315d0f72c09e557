"""Boxes: secrets of 32 bytes, sealed to the public keys of their recipients (55-boxes).

What is inside is the secret of an X25519 key, or the seed of a group's signing key.

A block commits to the tree over the leaves `[recipient, box]`, so a recipient can check that the
box it is given is the one that the block's author meant, at its place among the others.

>>> device, user = EncryptionKey(bytes(31) + b"A"), EncryptionKey(bytes(31) + b"B")
>>> box = seal(user, device.public)
>>> open_box(box, device, user.public) == user
True
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import cbor2
from nacl.bindings import crypto_box_seal, crypto_box_seal_open
from nacl.exceptions import CryptoError

from ledger.errors import MalformedInput
from ledger.format.keys import EncryptionKey, SigningKey
from ledger.tree import merkle

BOX_BYTES = 80
"""R-55.2: 32 bytes of ephemeral key, 16 of authenticator, 32 of secret."""


def seal(secret: EncryptionKey | SigningKey, recipient: bytes) -> bytes:
    """A box that hands `secret` to whoever holds the secret of the public key `recipient`."""
    inside = secret.seed if isinstance(secret, SigningKey) else secret.secret
    return crypto_box_seal(inside, recipient)


def open_box(box: bytes, key: EncryptionKey, expected: bytes) -> EncryptionKey:
    """The secret in `box`, if its public half is `expected`. Raises `MalformedInput` (R-55.4)."""
    opened = EncryptionKey(_open(box, key))
    if opened.public != expected:
        raise MalformedInput("R-55.4", "the box holds another key than the chain names")
    return opened


def open_seed(box: bytes, key: EncryptionKey, expected: bytes) -> SigningKey:
    """The signing key whose seed is in `box`, likewise."""
    opened = SigningKey(_open(box, key))
    if opened.public != expected:
        raise MalformedInput("R-55.4", "the box holds another key than the chain names")
    return opened


def _open(box: bytes, key: EncryptionKey) -> bytes:
    if len(box) != BOX_BYTES:
        raise MalformedInput("R-55.2", f"a box of {len(box)} bytes, not {BOX_BYTES}")
    try:
        return crypto_box_seal_open(box, key.public, key.secret)
    except CryptoError as error:
        raise MalformedInput("R-55.4", "the box does not open with this key") from error


def box_root(recipients: Sequence[bytes], boxes: Sequence[bytes]) -> bytes:
    """The root that a block commits to (R-55.1)."""
    return merkle.root_of(_leaves(recipients, boxes))


def box_proof(recipients: Sequence[bytes], boxes: Sequence[bytes], position: int) -> list[bytes]:
    """Inclusion proof of the box at `position`."""
    extension = merkle.Frontier().extend(_leaves(recipients, boxes))
    return merkle.inclusion_proof(position, len(boxes), extension.read)


def verify_box(
    recipient: bytes, box: bytes, position: int, count: int, proof: Sequence[bytes], root: bytes
) -> None:
    """Check that `box` is the recipient's, at `position` of `count` (R-55.4)."""
    merkle.verify_inclusion(_leaf(recipient, box), position, count, proof, root)


def _leaves(recipients: Sequence[bytes], boxes: Sequence[bytes]) -> list[bytes]:
    pairs = zip(recipients, boxes, strict=True)
    return [_leaf(recipient, box) for recipient, box in pairs]


def _leaf(recipient: bytes, box: bytes) -> bytes:
    # A leaf that holds the CBOR of two byte strings: by hand, for there are several in each block.
    if len(box) == BOX_BYTES:
        return sha256(b"\x00\x82\x58\x20" + recipient + b"\x58\x50" + box).digest()
    return merkle.leaf_hash(cbor2.dumps([recipient, box]))
