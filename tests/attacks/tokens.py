"""Identity tokens, as an application signs them or should not, and what is made of them.

>>> token = Token.of(actor, "fay@example.org", expiry=1)         # doctest: +SKIP
>>> token.create(actor.label("fay@example.org"), Device.make("hers"), anchor)
"""

from __future__ import annotations

from dataclasses import dataclass

from ledger.format import block as blocks
from ledger.format.block import Anchor
from ledger.format.bodies import (
    MAX_TIME,
    ZERO_HASH,
    BlockType,
    Delegation,
    Purpose,
    UserCreate,
    UserReset,
)
from ledger.format.identity import Opening
from ledger.format.keys import EncryptionKey, SigningKey
from ledger.seal.boxes import box_root
from tests.support.actors import (
    Device,
    LogActor,
    User,
    Written,
    encryption_key,
    sealed,
    seed,
    signing_key,
)


@dataclass(frozen=True, slots=True)
class Token:
    """An opening, a delegation for it (or for something else), and the ephemeral key."""

    actor: LogActor
    opening: Opening
    delegation: Delegation
    ephemeral: SigningKey

    @classmethod
    def of(
        cls,
        actor: LogActor,
        identifier: str,
        *,
        purpose: Purpose = Purpose.CREATE,
        expiry: int = MAX_TIME,
        nonce: bytes | None = None,
    ) -> Token:
        """A token by the application's enrolment key."""
        opening = Opening(nonce or seed("token", identifier), identifier)
        ephemeral = signing_key("token", identifier, int(purpose), expiry)
        commitment, public = opening.commitment, ephemeral.public
        delegation = actor.delegate(purpose, commitment, public, expiry=expiry)
        return cls(actor, opening, delegation, ephemeral)

    def create(self, label: bytes, device: Device, anchor: Anchor) -> Written[None]:
        """A user.create by this token."""
        user_key, root, boxes = _handed(device)
        raw = blocks.write(
            *(BlockType.USER_CREATE, label, 0, ZERO_HASH, anchor),
            UserCreate(self.delegation, device.keys, user_key.public, root),
            signers=[self.ephemeral, device.signing],
            log_id=self.actor.log_id,
        )
        return Written(raw, None, boxes, self.opening)

    def reset(self, user: User, device: Device, anchor: Anchor) -> Written[None]:
        """A user.reset by this token; the recovery authority agrees."""
        user_key, root, boxes = _handed(device)
        raw = blocks.write(
            *(BlockType.USER_RESET, user.label, user.seq, user.head, anchor),
            UserReset(self.delegation, device.keys, user_key.public, root),
            signers=[self.ephemeral, self.actor.authority, device.signing],
            log_id=self.actor.log_id,
        )
        return Written(raw, None, boxes)


def _handed(device: Device) -> tuple[EncryptionKey, bytes, tuple[bytes, ...]]:
    """A user key, and its box for the one device."""
    user_key = encryption_key("user key for", device.signing.public.hex())
    box = sealed(user_key.secret, device.encryption.public)
    return user_key, box_root([device.encryption.public], [box]), (box,)
