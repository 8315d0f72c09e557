"""ECVRF-EDWARDS25519-SHA512-TAI: verification (RFC 9381 §5.3, suite 03; specs/36-labels).

Gamma must be of the prime-order subgroup here, which is stricter than the RFC and lets libsodium
do all multiplications: it refuses other points, and products that are the identity.

    label = verify_label(vrf_key, identifier, proof)        # or Malformed
"""

from __future__ import annotations

from hashlib import sha256, sha512

from nacl.bindings import (
    crypto_core_ed25519_add,
    crypto_core_ed25519_is_valid_point,
    crypto_core_ed25519_sub,
    crypto_scalarmult_ed25519_base_noclamp,
    crypto_scalarmult_ed25519_noclamp,
)
from nacl.exceptions import RuntimeError as NotOnCurve

from verifier.errors import Malformed

ORDER = 2**252 + 27742317777372353535851937790883648493
SUITE = b"\x03"
IDENTITY = (1).to_bytes(32, "little")
PROOF_LENGTH = 80
MAX_IDENTIFIER = 254


def verify_label(public: bytes, identifier: bytes, proof: bytes) -> bytes:
    """The user's label of `identifier` (R-36.1 to R-36.4)."""
    label = verify(public, identifier, proof)[:32]
    if label == bytes(32):
        raise Malformed("R-36.4", "the zero label is the log's own")
    return label


def verify(public: bytes, alpha: bytes, proof: bytes) -> bytes:
    """The 64 bytes of beta, if `proof` is one for `alpha` under `public`."""
    if len(public) != 32 or not crypto_core_ed25519_is_valid_point(public):
        raise Malformed("R-36.1", "the VRF key is not acceptable (R-15.1)")
    gamma, challenge, s = _decode(proof)
    point = encode_to_curve(public, alpha)
    try:
        u = crypto_core_ed25519_sub(
            crypto_scalarmult_ed25519_base_noclamp(s),
            crypto_scalarmult_ed25519_noclamp(challenge, public),
        )
        v = crypto_core_ed25519_sub(
            crypto_scalarmult_ed25519_noclamp(s, point),
            crypto_scalarmult_ed25519_noclamp(challenge, gamma),
        )
    except NotOnCurve as error:
        raise Malformed("R-36.3", "the proof does not verify") from error
    hashed = sha512(SUITE + b"\x02" + public + point + gamma + u + v + b"\x00").digest()
    if hashed[:16] != challenge[:16]:
        raise Malformed("R-36.3", "the proof does not verify")
    return sha512(SUITE + b"\x03" + _clear(gamma) + b"\x00").digest()


def encode_to_curve(public: bytes, alpha: bytes) -> bytes:
    """Try and increment (RFC 9381 §5.4.1.1), salted with the public key."""
    for counter in range(256):
        hashed = sha512(SUITE + b"\x01" + public + alpha + bytes([counter, 0])).digest()[:32]
        if _is_canonical(hashed) and (point := _clear(hashed)) != IDENTITY:
            return point
    raise Malformed("R-36.1", "no point for this input")  # of probability 2^-256


def require_identifier(identifier: str) -> bytes:
    """R-36.5: its bytes."""
    data = identifier.encode("utf-8", "surrogatepass")
    if not 1 <= len(data) <= MAX_IDENTIFIER:
        raise Malformed("R-36.5", f"an identifier of {len(data)} bytes")
    if any(character < " " or "\x7f" <= character <= "\x9f" for character in identifier):
        raise Malformed("R-36.5", "a control character in an identifier")
    return data


def commitment(nonce: bytes, identifier: str) -> bytes:
    """R-36.5, R-36.6: what stands in a block for an identifier."""
    data = require_identifier(identifier)
    if len(nonce) != 32:
        raise Malformed("R-36.6", "the nonce of a commitment is 32 bytes")
    return sha256(b"\x06" + nonce + data).digest()


def _decode(proof: bytes) -> tuple[bytes, bytes, bytes]:
    """R-36.2: Gamma, c and s, the numbers as 32 bytes little-endian."""
    if len(proof) != PROOF_LENGTH:
        raise Malformed("R-36.2", f"a proof of {len(proof)} bytes")
    gamma, challenge, s = proof[:32], proof[32:48] + bytes(16), proof[48:]
    if not crypto_core_ed25519_is_valid_point(gamma):
        raise Malformed("R-36.2", "Gamma is no canonical point of the prime-order subgroup")
    if not 0 < int.from_bytes(s, "little") < ORDER or not any(challenge):
        raise Malformed("R-36.2", "c or s is zero, or s is not below the group order")
    return gamma, challenge, s


def _is_canonical(data: bytes) -> bool:
    """Whether `data` is the canonical encoding of a point on the curve, of any order."""
    try:
        return crypto_core_ed25519_add(data, IDENTITY) == data
    except NotOnCurve:
        return False


def _clear(point: bytes) -> bytes:
    """8 · point, which is in the prime-order subgroup."""
    for _ in range(3):
        point = crypto_core_ed25519_add(point, point)
    return point
