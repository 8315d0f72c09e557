"""Which public keys are acceptable, and when a signature verifies (specs/15-keys)."""

from __future__ import annotations

from nacl.bindings import crypto_core_ed25519_is_valid_point, crypto_sign_open
from nacl.exceptions import BadSignatureError

from verifier.errors import BadSignature, Malformed

P = 2**255 - 19
# u-coordinates of the points of order 1, 2, 4 and 8 on Curve25519 and its twist.
LOW_ORDER = frozenset(
    {
        0,
        1,
        P - 1,
        int.from_bytes(
            bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
            "little",
        ),
        int.from_bytes(
            bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
            "little",
        ),
    }
)


def require_ed25519(key: bytes) -> None:
    """R-15.1: canonical, on the curve, of the prime-order subgroup, not the identity."""
    if len(key) != 32 or not crypto_core_ed25519_is_valid_point(key):
        raise Malformed("R-15.1", f"{key.hex()} is no acceptable Ed25519 key")


def require_x25519(key: bytes) -> None:
    """R-15.2: the top bit is clear and u is reduced, both by u < P, and not of low order."""
    u = int.from_bytes(key, "little")
    if len(key) != 32 or u >= P or u in LOW_ORDER:
        raise Malformed("R-15.2", f"{key.hex()} is no acceptable X25519 key")


def verifies(signature: bytes, message: bytes, key: bytes) -> bool:
    """R-15.3, as libsodium judges it."""
    return len(signature) == 64 and _opens(signature + message, key)


def _opens(signed: bytes, key: bytes) -> bool:
    """PyNaCl binds no detached call; this one, on signature ‖ message, is as fast."""
    try:
        crypto_sign_open(signed, key)
    except BadSignatureError:
        return False
    return True


# A check put off: a rule, a key, and what it must have signed (signature ‖ message), or None for
# the key alone. A plain tuple, for there are several to a block.
Check = tuple[str, bytes, bytes | None]


def run_check(check: Check) -> None:
    """Runs a check that was put off."""
    rule, key, signed = check
    if signed is None:
        require_ed25519(key)
    elif not _opens(signed, key):
        raise BadSignature(rule, f"the signature of {key.hex()} does not verify")
