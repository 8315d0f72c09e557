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
    crypto_scalarmult_ed25519_noclamp,
)
from nacl.exceptions import CryptoError

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


@dataclass(frozen=True, slots=True)
class NoKey:
    """A point of small order in any spelling, for which the equation holds whatever is signed."""

    public: bytes

    def sign(self, message: bytes) -> bytes:
        """R = n·B and S = n: nonces are tried until the challenge cancels the point."""
        for number in count(1):
            nonce = number.to_bytes(32, "little")
            point = crypto_scalarmult_ed25519_base_noclamp(nonce)
            digest = sha512(point + self.public + message).digest()
            if crypto_core_ed25519_scalar_reduce(digest)[0] % 8 == 0:
                return point + nonce
        raise AssertionError


SMALL = {
    "identity": IDENTITY,
    "order-2": ORDER_2,
    "order-4": ORDER_4,
    "order-8": ORDER_8,
    "identity-negative": (1 | 1 << 255).to_bytes(32, "little"),
    "identity-plus-p": (1 + P).to_bytes(32, "little"),
}
"""Points of small order, the last two in a second spelling."""


def crooked_proof(
    secret: bytes, alpha: bytes, key_twist: bytes, gamma_twist: bytes
) -> tuple[bytes, bytes, bytes]:
    """Key, alpha and VRF proof (RFC 9381 §5.1), with points of small order added to key and Gamma.

    Nonces are tried until the challenge is a multiple of 8, so that the verifier's equations hold.
    """
    digest = bytearray(sha512(secret).digest()[:32])
    digest[0] &= 0xF8
    digest[31] = digest[31] & 0x7F | 0x40
    scalar = bytes(digest)
    public = crypto_core_ed25519_add(crypto_scalarmult_ed25519_base_noclamp(scalar), key_twist)
    point = _encode_to_curve(public, alpha)
    gamma = crypto_core_ed25519_add(crypto_scalarmult_ed25519_noclamp(scalar, point), gamma_twist)
    for number in count(1):
        nonce = number.to_bytes(32, "little")
        u = crypto_scalarmult_ed25519_base_noclamp(nonce)
        v = crypto_scalarmult_ed25519_noclamp(nonce, point)
        challenge = sha512(b"\x03\x02" + public + point + gamma + u + v + b"\x00").digest()[:16]
        if challenge[0] % 8 == 0:
            product = crypto_core_ed25519_scalar_mul(challenge.ljust(32, b"\0"), scalar)
            s = crypto_core_ed25519_scalar_add(nonce, product)
            return public, alpha, gamma + challenge + s
    raise AssertionError


def _encode_to_curve(public: bytes, alpha: bytes) -> bytes:
    """Try and increment (RFC 9381 §5.4.1.1)."""
    for number in range(256):
        point = sha512(b"\x03\x01" + public + alpha + bytes([number, 0])).digest()[:32]
        try:
            for _ in range(3):
                point = crypto_core_ed25519_add(point, point)
        except CryptoError:
            continue
        return point
    raise AssertionError
