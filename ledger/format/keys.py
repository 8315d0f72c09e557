"""Ed25519 and X25519 keys: what counts as one, and how one message is signed and checked.

A public key is 32 bytes wherever it is written. Ed25519 is judged as libsodium judges it, because
implementations differ (RFC 8032 leaves room): keys and R of small order, keys that are not
canonical and S not below the group's order are refused, and the equation is checked without the
cofactor.

>>> key = SigningKey(bytes(32))
>>> verifies(key.public, b"message", key.sign(b"message"))
True
>>> verifies(key.public, b"another", key.sign(b"message"))
False

Secrets stay out of `repr`. Two secret keys are equal when their public halves are.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from nacl.bindings import (
    crypto_core_ed25519_is_valid_point,
    crypto_scalarmult_base,
    crypto_sign,
    crypto_sign_open,
    crypto_sign_seed_keypair,
)
from nacl.exceptions import BadSignatureError

from ledger.errors import MalformedInput

KEY_BYTES = 32
SIGNATURE_BYTES = 64

_P = 2**255 - 19

# u of every point of order 1, 2, 4 or 8 on Curve25519 and its twist, below p (RFC 7748 section 7).
# X25519 with any of them gives zero, whatever the secret.
_LOW_ORDER = frozenset(
    {
        0,
        1,
        0x00B8495F16056286FDB1329CEB8D09DA6AC49FF1FAE35616AEB8413B7C7AEBE0,
        0x57119FD0DD4E22D8868E1C58C45C44045BEF839C55B1D0B1248C50A3BC959C5F,
        _P - 1,
    }
)


def check_signing_key(public: bytes) -> bytes:
    """`public` if it may enter a chain as an Ed25519 key, else R-15.1.

    It must be 32 bytes, the canonical encoding of a point on edwards25519, in the subgroup of prime
    order, and not the identity. Costs nearly as much as checking a signature.
    """
    if len(public) != KEY_BYTES or not crypto_core_ed25519_is_valid_point(public):
        raise MalformedInput("R-15.1", f"{public.hex()} is not a usable Ed25519 public key")
    return public


def check_encryption_key(public: bytes) -> bytes:
    """`public` if it may enter a chain as an X25519 key, else R-15.2.

    It must be 32 bytes, a little-endian u below 2^255 - 19, and not of low order. RFC 7748 lets a
    reader mask the top bit and reduce; here that would give one key several spellings.
    """
    u = int.from_bytes(public, "little")
    if len(public) != KEY_BYTES or u >= _P or u in _LOW_ORDER:
        raise MalformedInput("R-15.2", f"{public.hex()} is not a usable X25519 public key")
    return public


def verifies(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` over `message` verifies under the Ed25519 key `public` (R-15.3)."""
    # The binding checks no lengths: a short key would be read past its end, and a short signature
    # completed from the message.
    if len(public) != KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        crypto_sign_open(signature + message, public)
    except BadSignatureError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An Ed25519 secret key, made from its seed of 32 bytes (RFC 8032 section 5.1.5)."""

    seed: bytes = field(repr=False, compare=False)
    public: bytes = field(init=False)
    _secret: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.seed) != KEY_BYTES:
            raise MalformedInput("R-15.1", "the seed of an Ed25519 key is not 32 bytes")
        public, secret = crypto_sign_seed_keypair(self.seed)
        object.__setattr__(self, "public", public)
        object.__setattr__(self, "_secret", secret)

    def sign(self, message: bytes) -> bytes:
        """The signature over `message`, 64 bytes. It is deterministic."""
        return crypto_sign(message, self._secret)[:SIGNATURE_BYTES]


@dataclass(frozen=True, slots=True)
class EncryptionKey:
    """An X25519 secret key of 32 bytes (RFC 7748 section 5). Boxes are opened elsewhere."""

    secret: bytes = field(repr=False, compare=False)
    public: bytes = field(init=False)

    def __post_init__(self) -> None:
        if len(self.secret) != KEY_BYTES:
            raise MalformedInput("R-15.2", "an X25519 secret key is not 32 bytes")
        object.__setattr__(self, "public", crypto_scalarmult_base(self.secret))
