"""ECVRF-EDWARDS25519-SHA512-TAI: verification (RFC 9381 §5.3, suite 03; specs/36-labels).

libsodium multiplies only points of the prime-order subgroup, and RFC 9381 lets Gamma have a small
torsion part, so a point is split into the two: they are multiplied by the scalar modulo the group
order and modulo 8.

    label = verify_label(vrf_key, identifier, proof)        # or Malformed, BadSignature
"""

from __future__ import annotations

from hashlib import sha512

from nacl import bindings
from nacl.exceptions import RuntimeError as NotOnCurve

from verifier.errors import BadSignature, Malformed
from verifier.keys import require_ed25519

ORDER = 2**252 + 27742317777372353535851937790883648493
COFACTOR = 8
INVERSE_OF_COFACTOR = pow(COFACTOR, -1, ORDER)
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
    require_ed25519(public)
    gamma, challenge, s = _decode(proof)
    point = encode_to_curve(public, alpha)
    u = _sub(_times_base(s), multiply(challenge, public))
    v = _sub(multiply(s, point), multiply(challenge, gamma))
    hashed = sha512(SUITE + b"\x02" + public + point + gamma + u + v + b"\x00").digest()
    if int.from_bytes(hashed[:16], "little") != challenge:
        raise BadSignature("R-36.3", "the proof does not verify")
    return sha512(SUITE + b"\x03" + _clear(gamma) + b"\x00").digest()


def encode_to_curve(public: bytes, alpha: bytes) -> bytes:
    """Try and increment (RFC 9381 §5.4.1.1), salted with the public key."""
    for counter in range(256):
        hashed = sha512(SUITE + b"\x01" + public + alpha + bytes([counter, 0])).digest()[:32]
        if is_point(hashed) and (point := _clear(hashed)) != IDENTITY:
            return point
    raise Malformed("R-36.1", "no point for this input")  # of probability 2^-256


def is_point(data: bytes) -> bool:
    """Whether `data` is the canonical encoding of a point on the curve, of any order."""
    try:
        return _add(data, IDENTITY) == data
    except NotOnCurve:
        return False


def multiply(scalar: int, point: bytes) -> bytes:
    """scalar · point for any point on the curve."""
    main = _times(INVERSE_OF_COFACTOR, _clear(point))
    torsion = _sub(point, main)
    product = _times(scalar % ORDER, main)
    for _ in range(scalar % COFACTOR):
        product = _add(product, torsion)
    return product


def _decode(proof: bytes) -> tuple[bytes, int, int]:
    """Gamma, c and s (R-36.2)."""
    if len(proof) != PROOF_LENGTH:
        raise Malformed("R-36.2", f"a proof of {len(proof)} bytes")
    gamma, s = proof[:32], int.from_bytes(proof[48:], "little")
    if not is_point(gamma):
        raise Malformed("R-36.2", "Gamma is not a point in its canonical form")
    if s >= ORDER:
        raise Malformed("R-36.2", "s is not below the group order")
    return gamma, int.from_bytes(proof[32:48], "little"), s


def _clear(point: bytes) -> bytes:
    """8 · point, which is in the prime-order subgroup."""
    for _ in range(3):
        point = _add(point, point)
    return point


def _times(scalar: int, point: bytes) -> bytes:
    """For points of the prime-order subgroup. libsodium refuses a product that is the identity."""
    if scalar == 0 or point == IDENTITY:
        return IDENTITY
    return bindings.crypto_scalarmult_ed25519_noclamp(scalar.to_bytes(32, "little"), point)


def _times_base(scalar: int) -> bytes:
    if scalar == 0:
        return IDENTITY
    return bindings.crypto_scalarmult_ed25519_base_noclamp(scalar.to_bytes(32, "little"))


def _add(one: bytes, other: bytes) -> bytes:
    return bindings.crypto_core_ed25519_add(one, other)


def _sub(one: bytes, other: bytes) -> bytes:
    return bindings.crypto_core_ed25519_sub(one, other)
