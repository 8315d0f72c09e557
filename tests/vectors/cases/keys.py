"""Keys and signatures by themselves (R-15.1 to R-15.3)."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha512

from nacl.bindings import (
    crypto_core_ed25519_add,
    crypto_core_ed25519_scalar_mul,
    crypto_core_ed25519_scalar_reduce,
)

from tests.support.actors import encryption_key, signing_key
from tests.vectors.case import Case, bad, ok
from tests.vectors.crooked import IDENTITY, ORDER_2, ORDER_4, ORDER_8, SMALL, CrookedKey, L, P

MESSAGE = b"message"

NOT_POINTS = {
    **SMALL,
    "y-3-plus-p": (3 + P).to_bytes(32, "little"),
    "not-on-curve": (2).to_bytes(32, "little"),
    "all-ones": b"\xff" * 32,
}
"""What is no point of the prime-order subgroup in its one spelling."""

LOW_ORDER_U = {
    "0": bytes(32),
    "1": (1).to_bytes(32, "little"),
    "p-minus-1": (P - 1).to_bytes(32, "little"),
    "order-8": bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    "order-8-other": bytes.fromhex(
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"
    ),
    "p": P.to_bytes(32, "little"),
    "p-plus-1": (P + 1).to_bytes(32, "little"),
    "all-ones": b"\xff" * 32,
}
"""What X25519 sends to zero, or spells otherwise."""

RFC_8032 = (
    "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
    "72",
    (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    ),
)
"""RFC 8032 §7.1, TEST 2."""


def cases() -> Iterator[Case]:
    yield from ed25519()
    yield from x25519()
    yield from signatures()


def ed25519() -> Iterator[Case]:
    key = signing_key("vector")
    yield ok("ed25519", "key", "A public key.", key=key.public.hex())
    wrong = dict(NOT_POINTS)
    for name, twist in (("2", ORDER_2), ("4", ORDER_4), ("8", ORDER_8)):
        wrong[f"mixed-order-{name}"] = crypto_core_ed25519_add(key.public, twist)
    wrong |= {"short": key.public[:31], "long": key.public + b"\x00", "empty": b""}
    for name, public in wrong.items():
        shows = f"No key: {name.replace('-', ' ')}."
        covers = () if len(public) == 32 else ("R-10.4",)
        yield bad("ed25519", name, "R-15.1", "key", shows, covers=covers, key=public.hex())


def x25519() -> Iterator[Case]:
    key = encryption_key("vector").public
    yield ok("x25519", "key", "A public key.", key=key.hex())
    yield ok("x25519", "9", "The base point's u.", key=(9).to_bytes(32, "little").hex())
    shows = "The largest u that is a key: p − 2."
    yield ok("x25519", "p-minus-2", shows, key=(P - 2).to_bytes(32, "little").hex())
    top_bit = key[:31] + bytes([key[31] | 0x80])
    wrong = {**LOW_ORDER_U, "top-bit": top_bit, "short": key[:31], "long": key + b"\x00"}
    for name, public in wrong.items():
        nearest = {"p-minus-1": "p-minus-2", "p": "p-minus-2"}.get(name, "key")
        shows = f"No key: {name.replace('-', ' ')}."
        covers = () if len(public) == 32 else ("R-10.4",)
        yield bad("x25519", name, "R-15.2", nearest, shows, covers=covers, key=public.hex())


def signatures() -> Iterator[Case]:
    key, message, signature = RFC_8032
    shows = "RFC 8032 §7.1, TEST 2."
    yield ok("signature", "rfc8032", shows, key=key, message=message, signature=signature)
    honest = CrookedKey.mixed(IDENTITY)
    right = honest.sign(MESSAGE)
    yield _ok("honest", "A scalar and a nonce of our choice.", honest.public, right)

    def wrong(name: str, shows: str, public: bytes, signed: bytes, of: bytes = MESSAGE) -> Case:
        given = {"key": public.hex(), "message": of.hex(), "signature": signed.hex()}
        return bad("signature", name, "R-15.3", "honest", shows, given)

    public, r, s = honest.public, right[:32], int.from_bytes(right[32:], "little")
    yield wrong("other-message", "Another message.", public, right, b"another")
    yield wrong("other-key", "Another key.", signing_key("other").public, right)
    for times in (1, 2):
        spelled = (s + times * L).to_bytes(32, "little")
        shows = f"S + {times}L, for which the equation holds."
        yield wrong(f"s-plus-{times}l", shows, public, r + spelled)
    for name, twist in (("2", ORDER_2), ("4", ORDER_4), ("8", ORDER_8)):
        signed = honest.sign_with(MESSAGE, 1, twist)
        shows = f"R with a part of order {name}: it verifies only with the cofactor."
        yield wrong(f"r-torsion-{name}", shows, public, signed)
    yield from small(wrong_key=honest)
    yield from mixed()


def small(wrong_key: CrookedKey) -> Iterator[Case]:
    """Keys and R of small order, for which the equation can hold whatever is signed."""
    for name, point in (("identity", IDENTITY), ("order-2", ORDER_2), ("order-8", ORDER_8)):
        # R = B · 1 and S = 1: with an A that the challenge cancels, S·B = R + h·A.
        key = CrookedKey(bytes(32), point)
        base = CrookedKey((1).to_bytes(32, "little")).public
        given = {"key": key.twist.hex(), "message": MESSAGE.hex()}
        signed = base + (1).to_bytes(32, "little")
        shows = f"A key of small order: {name.replace('-', ' ')}."
        name = f"key-{name}"
        given["signature"] = signed.hex()
        yield bad("signature", name, "R-15.3", "honest", shows, given)
    for name, point in (("identity", IDENTITY), ("order-4", ORDER_4)):
        signed = _with_small_r(wrong_key, point)
        given = {"key": wrong_key.public.hex(), "message": MESSAGE.hex()}
        given["signature"] = signed.hex()
        shows = f"R of small order: {name.replace('-', ' ')}."
        yield bad("signature", f"r-{name}", "R-15.3", "honest", shows, given)


def _with_small_r(key: CrookedKey, point: bytes) -> bytes:
    """R is `point`, as of a nonce of zero."""
    digest = crypto_core_ed25519_scalar_reduce(sha512(point + key.public + MESSAGE).digest())
    return point + crypto_core_ed25519_scalar_mul(digest, key.scalar)


def mixed() -> Iterator[Case]:
    key = CrookedKey.mixed()
    right = key.sign(MESSAGE)
    shows = "A key of mixed order, and a signature that verifies without the cofactor."
    yield _ok("key-mixed-order", shows, key.public, right)
    number = next(n for n in range(1, 255) if key.sign_with(MESSAGE, n) != right)
    only = key.sign_with(MESSAGE, number)
    given = {"key": key.public.hex(), "message": MESSAGE.hex(), "signature": only.hex()}
    shows = "The same key: this one verifies only with the cofactor."
    name = "key-mixed-order-cofactor"
    yield bad("signature", name, "R-15.3", "key-mixed-order", shows, given)


def _ok(name: str, shows: str, key: bytes, signature: bytes) -> Case:
    given = {"key": key.hex(), "message": MESSAGE.hex(), "signature": signature.hex()}
    return ok("signature", name, shows, given)
