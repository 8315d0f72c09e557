"""Ed25519 keys and signatures that implementations judge differently (15-keys).

Points of small order are added to honest ones. Where a challenge that is a multiple of 8 cancels
them, nonces are tried until it is.

>>> key = CrookedKey.mixed()
>>> verifies(key.public, b"message", key.sign(b"message"))
True
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha512
from itertools import count

from nacl.bindings import (
    crypto_core_ed25519_add,
    crypto_core_ed25519_scalar_add,
    crypto_core_ed25519_scalar_mul,
    crypto_core_ed25519_scalar_reduce,
    crypto_scalarmult_ed25519_base_noclamp,
)

from ledger.format.keys import verifies
from tests.support.actors import seed

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493

IDENTITY = (1).to_bytes(32, "little")
ORDER_2 = (P - 1).to_bytes(32, "little")
ORDER_4 = bytes(32)
ORDER_8 = bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")


@dataclass(frozen=True, slots=True)
class CrookedKey:
    """A secret scalar, and a public key with `twist` added to it."""

    scalar: bytes
    twist: bytes = IDENTITY

    @classmethod
    def mixed(cls, twist: bytes = ORDER_8) -> CrookedKey:
        """A key outside the prime-order subgroup, whose owner can sign."""
        return cls(crypto_core_ed25519_scalar_reduce(seed("crooked").ljust(64, b"\0")), twist)

    @property
    def public(self) -> bytes:
        honest = crypto_scalarmult_ed25519_base_noclamp(self.scalar)
        return crypto_core_ed25519_add(honest, self.twist)

    def sign(self, message: bytes) -> bytes:
        """A signature that verifies without the cofactor."""
        for number in count(1):
            signature = self.sign_with(message, number)
            if verifies(self.public, message, signature):
                return signature
        raise AssertionError

    def sign_with(self, message: bytes, number: int, r_twist: bytes = IDENTITY) -> bytes:
        """R ‖ S from a nonce, with `r_twist` added to R: right but for what was added."""
        nonce = crypto_core_ed25519_scalar_reduce(
            sha512(self.scalar + message + bytes([number])).digest()
        )
        point = crypto_core_ed25519_add(crypto_scalarmult_ed25519_base_noclamp(nonce), r_twist)
        digest = crypto_core_ed25519_scalar_reduce(sha512(point + self.public + message).digest())
        product = crypto_core_ed25519_scalar_mul(digest, self.scalar)
        return point + crypto_core_ed25519_scalar_add(nonce, product)
