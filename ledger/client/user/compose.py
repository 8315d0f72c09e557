"""A user's blocks, written and boxed: one function a type (50-rules, 55-boxes).

`Place` says where a block goes: after which head of whose chain, and in which log. What comes out
is what the server is handed: the block, its boxes in the order of 55-boxes, its opening.

>>> place = Place.after(replica, label)                          # doctest: +SKIP
>>> submission = close(place, author)                            # doctest: +SKIP

Sealing draws random numbers, inside libsodium; nothing else here does I/O. The rules are not asked:
who submits what they refuse is told so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ledger.client.known import Known
from ledger.client.user.account import DeviceSecret
from ledger.format import block, cose
from ledger.format.block import Anchor
from ledger.format.bodies import (
    ZERO_HASH,
    BlockType,
    Body,
    DeviceAdd,
    DeviceKeys,
    DeviceRevoke,
    UserClose,
    UserCreate,
    UserReset,
)
from ledger.format.identity import IdentityToken
from ledger.format.keys import EncryptionKey, SigningKey
from ledger.format.wire import Submission
from ledger.rules.state import Device
from ledger.seal.boxes import box_root, seal

Boxes = tuple[bytes, tuple[bytes, ...]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a block goes: `seq` and `prev` of its chain, the anchor, the log."""

    log_id: bytes
    label: bytes
    seq: int
    prev: bytes
    anchor: Anchor

    @classmethod
    def after(cls, replica: Known, label: bytes) -> Place:
        """At the end of `label`'s chain, as `replica` shows it."""
        chain = replica.chain(label)
        seq, prev = (chain.length, chain.state.head) if chain else (0, ZERO_HASH)
        return cls(replica.log_id, label, seq, prev, replica.anchor)

    def write(self, kind: BlockType, body: Body, signers: Sequence[cose.Signer]) -> bytes:
        """The block that goes here."""
        return block.write(
            kind,
            self.label,
            self.seq,
            self.prev,
            self.anchor,
            body,
            signers=signers,
            log_id=self.log_id,
        )


def create(
    place: Place, token: IdentityToken, device: DeviceSecret, user_key: EncryptionKey
) -> Submission:
    """user.create: `device` is the first, and is handed the user key."""
    root, boxes = sealed([(device.encryption.public, user_key)])
    body = UserCreate(token.delegation, device.keys, user_key.public, root)
    raw = place.write(BlockType.USER_CREATE, body, [token.ephemeral, device.signing])
    return Submission(raw, boxes, token.opening)


def add(
    place: Place, author: DeviceSecret, device: DeviceSecret, user_key: EncryptionKey
) -> Submission:
    """device.add, both devices being here: `author` brings in `device`."""
    root, boxes = sealed([(device.encryption.public, user_key)])
    body = DeviceAdd(author.signing.public, device.keys, root)
    raw = place.write(BlockType.DEVICE_ADD, body, [author.signing, device.signing])
    return Submission(raw, boxes)


def half_add(
    place: Place, author: DeviceSecret, device: DeviceKeys, user_key: EncryptionKey
) -> tuple[bytes, bytes]:
    """device.add without the new device's signature, and the box for that device."""
    root, (box,) = sealed([(device.encryption, user_key)])
    body = DeviceAdd(author.signing.public, device, root)
    return place.write(BlockType.DEVICE_ADD, body, [author.signing]), box


def revoke(
    place: Place,
    author: DeviceSecret,
    leaving: Sequence[Device],
    remaining: Sequence[Device],
    new: EncryptionKey,
    old: EncryptionKey,
) -> Submission:
    """device.revoke: `leaving` go, `remaining` are handed the new user key, which opens the old."""
    recipients = [(device.encryption, new) for device in remaining]
    root, boxes = sealed([*recipients, (new.public, old)])
    revoked = tuple(device.signing for device in leaving)
    body = DeviceRevoke(author.signing.public, revoked, new.public, root)
    return Submission(place.write(BlockType.DEVICE_REVOKE, body, [author.signing]), boxes)


def reset(
    place: Place,
    token: IdentityToken,
    authority: cose.Signer,
    device: DeviceSecret,
    user_key: EncryptionKey,
) -> Submission:
    """user.reset: all devices go, `device` is the first of the next epoch."""
    root, boxes = sealed([(device.encryption.public, user_key)])
    body = UserReset(token.delegation, device.keys, user_key.public, root)
    signers = [token.ephemeral, authority, device.signing]
    return Submission(place.write(BlockType.USER_RESET, body, signers), boxes)


def close(place: Place, author: DeviceSecret) -> Submission:
    """user.close."""
    body = UserClose(author.signing.public)
    return Submission(place.write(BlockType.USER_CLOSE, body, [author.signing]))


def sealed(handovers: Sequence[tuple[bytes, EncryptionKey | SigningKey]]) -> Boxes:
    """Box root and boxes that hand each recipient (a public key) its secret, in this order."""
    boxes = tuple(seal(secret, recipient) for recipient, secret in handovers)
    return box_root([recipient for recipient, _ in handovers], boxes), boxes
