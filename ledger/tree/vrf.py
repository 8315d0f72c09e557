"""ECVRF-EDWARDS25519-SHA512-TAI, RFC 9381 with validate_key = TRUE (specs/36-labels).

The owner of a secret turns an identifier (alpha) into a proof; anyone with the public key turns
the proof into beta, which is unique to the identifier and says nothing about any other.

>>> secret = bytes(32)
>>> proof = prove(secret, b"ada@example.org")
>>> beta = verify(public_key(secret), b"ada@example.org", proof)
>>> label(beta).hex()[:16]
'bf1873dbbd110305'

Stricter than the RFC in one point: the public key and Gamma must lie in the prime-order subgroup.
The RFC lets either carry a small-order part, which nothing honest does; libsodium multiplies no
such point, and refusing them leaves one Gamma per identifier.

Errors: `MalformedInput`. R-36.1 for a key, R-36.2 for a proof's bytes, R-36.3 for a proof that does
not verify, R-36.4 for a beta that gives no label.
"""

from __future__ import annotations

from hashlib import sha512

from nacl.bindings import (
    crypto_core_ed25519_add,
    crypto_core_ed25519_is_valid_point,
    crypto_core_ed25519_scalar_add,
    crypto_core_ed25519_scalar_mul,
    crypto_core_ed25519_scalar_reduce,
    crypto_core_ed25519_sub,
    crypto_scalarmult_ed25519_base_noclamp,
    crypto_scalarmult_ed25519_noclamp,
)
from nacl.exceptions import CryptoError

from ledger.errors import MalformedInput

SECRET_SIZE = 32
PUBLIC_SIZE = 32
PROOF_SIZE = 80
BETA_SIZE = 64
LABEL_SIZE = 32

_SUITE = b"\x03"
_POINT_SIZE = 32
_CHALLENGE_SIZE = 16
_SCALAR_SIZE = 32
_FIELD = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_IDENTITY = (1).to_bytes(_POINT_SIZE, "little")


def public_key(secret: bytes) -> bytes:
    """The public key (32 bytes) of a secret seed (32 bytes), that of Ed25519 (RFC 8032 §5.1.5)."""
    scalar, _ = _expand(secret)
    return crypto_scalarmult_ed25519_base_noclamp(scalar)


def prove(secret: bytes, alpha: bytes) -> bytes:
    """The proof (80 bytes) for `alpha` under a secret seed (32 bytes) (RFC 9381 §5.1)."""
    scalar, prefix = _expand(secret)
    public = crypto_scalarmult_ed25519_base_noclamp(scalar)
    point = _encode_to_curve(public, alpha)
    gamma = crypto_scalarmult_ed25519_noclamp(scalar, point)
    nonce = crypto_core_ed25519_scalar_reduce(sha512(prefix + point).digest())
    challenge = _challenge(
        public,
        point,
        gamma,
        crypto_scalarmult_ed25519_base_noclamp(nonce),
        crypto_scalarmult_ed25519_noclamp(nonce, point),
    )
    product = crypto_core_ed25519_scalar_mul(_scalar(challenge), scalar)
    return gamma + challenge + crypto_core_ed25519_scalar_add(nonce, product)


def evaluate(secret: bytes, alpha: bytes) -> bytes:
    """The beta (64 bytes) of `alpha` for who holds the secret: `prove` without a proof."""
    scalar, _ = _expand(secret)
    public = crypto_scalarmult_ed25519_base_noclamp(scalar)
    return _beta(crypto_scalarmult_ed25519_noclamp(scalar, _encode_to_curve(public, alpha)))


def verify(public: bytes, alpha: bytes, proof: bytes) -> bytes:
    """Beta (64 bytes), if `proof` (80 bytes) is for `alpha` under `public` (RFC 9381 §5.3)."""
    if len(public) != PUBLIC_SIZE or not crypto_core_ed25519_is_valid_point(public):
        raise MalformedInput("R-36.1", "the VRF key is no point of the prime-order group")
    gamma, challenge, response = _decode(proof)
    try:
        expected = _recompute(public, _encode_to_curve(public, alpha), gamma, challenge, response)
    except CryptoError:  # a zero scalar, which no honest proof holds
        raise MalformedInput("R-36.3", "the VRF proof holds a zero") from None
    if expected != challenge:
        raise MalformedInput("R-36.3", "the VRF proof does not verify")
    return _beta(gamma)


def proof_to_hash(proof: bytes) -> bytes:
    """Beta (64 bytes) of a proof that need not be checked: one's own (RFC 9381 §5.2)."""
    return _beta(_decode(proof)[0])


def label(beta: bytes) -> bytes:
    """The label (32 bytes) that a beta (64 bytes) gives (R-36.4)."""
    if len(beta) != BETA_SIZE or beta[:LABEL_SIZE] == bytes(LABEL_SIZE):
        raise MalformedInput("R-36.4", "that beta gives no label")
    return beta[:LABEL_SIZE]


def _beta(gamma: bytes) -> bytes:
    """The hash output that `gamma` stands for (RFC 9381 §5.2)."""
    return sha512(_SUITE + b"\x03" + _times_cofactor(gamma) + b"\x00").digest()


def _expand(secret: bytes) -> tuple[bytes, bytes]:
    """The clamped scalar and the nonce prefix, 32 bytes each (RFC 8032 §5.1.5)."""
    if len(secret) != SECRET_SIZE:
        raise MalformedInput("R-36.1", f"a VRF secret is {SECRET_SIZE} bytes")
    digest = bytearray(sha512(secret).digest())
    digest[0] &= 0xF8
    digest[31] = digest[31] & 0x7F | 0x40
    return bytes(digest[:32]), bytes(digest[32:])


def _decode(proof: bytes) -> tuple[bytes, bytes, bytes]:
    """Gamma, c and s of a proof (RFC 9381 §5.4.4), each in its one spelling (R-36.2)."""
    if len(proof) != PROOF_SIZE:
        raise MalformedInput("R-36.2", f"a VRF proof is {PROOF_SIZE} bytes")
    gamma, challenge, response = proof[:32], proof[32:48], proof[48:]
    if not crypto_core_ed25519_is_valid_point(gamma):
        raise MalformedInput("R-36.2", "Gamma is no point of the prime-order group")
    if int.from_bytes(response, "little") >= _ORDER:
        raise MalformedInput("R-36.2", "s is not below the group order")
    return gamma, challenge, response


def _recompute(
    public: bytes, point: bytes, gamma: bytes, challenge: bytes, response: bytes
) -> bytes:
    """The challenge that a proof's other parts lead to. `CryptoError` where c or s is zero."""
    scalar = _scalar(challenge)
    base_side = crypto_core_ed25519_sub(
        crypto_scalarmult_ed25519_base_noclamp(response),
        crypto_scalarmult_ed25519_noclamp(scalar, public),
    )
    point_side = crypto_core_ed25519_sub(
        crypto_scalarmult_ed25519_noclamp(response, point),
        crypto_scalarmult_ed25519_noclamp(scalar, gamma),
    )
    return _challenge(public, point, gamma, base_side, point_side)


def _challenge(*points: bytes) -> bytes:
    """c (16 bytes) over Y, H, Gamma, U and V (RFC 9381 §5.4.3): all five, or it proves nothing."""
    return sha512(_SUITE + b"\x02" + b"".join(points) + b"\x00").digest()[:_CHALLENGE_SIZE]


def _encode_to_curve(public: bytes, alpha: bytes) -> bytes:
    """H, the point of `alpha` under this key, by try and increment (RFC 9381 §5.4.1.1)."""
    for counter in range(256):
        tried = _SUITE + b"\x01" + public + alpha + bytes([counter]) + b"\x00"
        point = _decode_candidate(sha512(tried).digest()[:_POINT_SIZE])
        if point is not None:
            return point
    raise MalformedInput("R-36.3", "no counter turns that input into a point")


def _decode_candidate(candidate: bytes) -> bytes | None:
    """Eight times the point that `candidate` spells; None if it spells none, or if that is zero."""
    # The addition alone would take a y that is not reduced (RFC 8032 §5.1.3 does not).
    if int.from_bytes(candidate, "little") % 2**255 >= _FIELD:
        return None
    try:
        point = _times_cofactor(candidate)
    except CryptoError:
        return None
    return None if point == _IDENTITY else point


def _times_cofactor(point: bytes) -> bytes:
    """Eight times any point of the curve. `CryptoError` if it is not on the curve."""
    # By doubling: the scalar multiplication refuses points outside the prime-order group.
    for _ in range(3):
        point = crypto_core_ed25519_add(point, point)
    return point


def _scalar(challenge: bytes) -> bytes:
    return challenge + bytes(_SCALAR_SIZE - _CHALLENGE_SIZE)
