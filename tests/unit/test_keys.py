"""Keys against the RFCs' vectors, and against every kind of point that must not pass."""

from __future__ import annotations

import doctest
import pickle
from collections.abc import Callable
from hashlib import sha512
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.bindings import (
    crypto_core_ed25519_add,
    crypto_core_ed25519_scalar_add,
    crypto_core_ed25519_scalar_mul,
    crypto_core_ed25519_scalar_reduce,
    crypto_scalarmult,
    crypto_scalarmult_ed25519_base_noclamp,
)

from ledger.errors import MalformedInput
from ledger.format import keys
from ledger.format.keys import (
    EncryptionKey,
    SigningKey,
    check_encryption_key,
    check_signing_key,
    verifies,
)

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P

KEY = SigningKey(bytes(range(32)))
MESSAGE = b"message"

IDENTITY = (1).to_bytes(32, "little")
ORDER_2 = (P - 1).to_bytes(32, "little")
ORDER_4 = bytes(32)
ORDER_8 = bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")
SMALL_ORDER = [
    *(IDENTITY, ORDER_2, ORDER_4, ORDER_8),
    bytes(31) + b"\x80",
    ORDER_8[:31] + bytes([ORDER_8[31] | 0x80]),
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85"),
]

# seed, public key, message, R, S
RFC_8032 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155",
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da",
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
]


def test_rfc_8032() -> None:
    for seed, public, message, commitment, s in RFC_8032:
        key = SigningKey(bytes.fromhex(seed))
        signature = key.sign(bytes.fromhex(message))
        assert key.public.hex() == public
        assert signature.hex() == commitment + s
        assert verifies(key.public, bytes.fromhex(message), signature)


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=100))
def test_what_is_signed_verifies(seed: bytes, message: bytes) -> None:
    key = SigningKey(seed)
    assert verifies(key.public, message, key.sign(message))
    assert check_signing_key(key.public) == key.public


def test_every_flipped_bit_fails() -> None:
    signature = KEY.sign(MESSAGE)
    whole = KEY.public + signature + MESSAGE
    for bit in range(len(whole) * 8):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        assert not verifies(bytes(flipped[:32]), bytes(flipped[96:]), bytes(flipped[32:96]))


def test_lengths_are_checked_before_the_binding_reads() -> None:
    signature = KEY.sign(MESSAGE)
    assert verifies(KEY.public, MESSAGE, signature)
    for public in (b"", KEY.public[:31], KEY.public + b"\x00"):
        assert not verifies(public, MESSAGE, signature)
    for length in (0, 1, 63, 65):
        assert not verifies(
            KEY.public, (signature + MESSAGE)[length:], (signature + MESSAGE)[:length]
        )


def test_s_below_the_group_order() -> None:
    signature = KEY.sign(MESSAGE)
    s = int.from_bytes(signature[32:], "little")
    assert s < L
    assert not verifies(KEY.public, MESSAGE, signature[:32] + (s + L).to_bytes(32, "little"))


def forge(public: bytes, commitment: bytes, nonce: bytes, secret: bytes, message: bytes) -> bytes:
    """R ‖ S with S = nonce + H(R ‖ A ‖ M) · secret: right up to what was added to R or A."""
    digest = sha512(commitment + public + message).digest()
    product = crypto_core_ed25519_scalar_mul(crypto_core_ed25519_scalar_reduce(digest), secret)
    return commitment + crypto_core_ed25519_scalar_add(nonce, product)


NONCE = (12345).to_bytes(32, "little")
SECRET = (67890).to_bytes(32, "little")
COMMITMENT = crypto_scalarmult_ed25519_base_noclamp(NONCE)
PUBLIC = crypto_scalarmult_ed25519_base_noclamp(SECRET)


def test_torsion_in_r_fails() -> None:
    assert verifies(PUBLIC, MESSAGE, forge(PUBLIC, COMMITMENT, NONCE, SECRET, MESSAGE))
    for point in (ORDER_2, ORDER_4, ORDER_8):
        torsioned = crypto_core_ed25519_add(COMMITMENT, point)
        assert not verifies(PUBLIC, MESSAGE, forge(PUBLIC, torsioned, NONCE, SECRET, MESSAGE))


def test_r_of_small_order_fails() -> None:
    for point in SMALL_ORDER:
        assert not verifies(PUBLIC, MESSAGE, forge(PUBLIC, point, bytes(32), SECRET, MESSAGE))


def test_keys_of_small_order_sign_nothing() -> None:
    # For the identity, S·B = R + h·A holds whatever the message is.
    for point in SMALL_ORDER:
        assert not verifies(point, MESSAGE, COMMITMENT + NONCE)


@pytest.mark.parametrize("public", SMALL_ORDER, ids=bytes.hex)
def test_keys_of_small_order_are_refused(public: bytes) -> None:
    with pytest.raises(MalformedInput, match=r"R-15\.1"):
        check_signing_key(public)


def test_keys_with_torsion_are_refused() -> None:
    assert check_signing_key(PUBLIC) == PUBLIC
    for point in (ORDER_2, ORDER_4, ORDER_8):
        torsioned = crypto_core_ed25519_add(PUBLIC, point)
        # Some of its signatures verify: nothing but this check keeps such a key out.
        messages = (b"%d" % number for number in count())
        assert any(
            verifies(torsioned, message, forge(torsioned, COMMITMENT, NONCE, SECRET, message))
            for message, _ in zip(messages, range(200), strict=False)
        )
        with pytest.raises(MalformedInput, match=r"R-15\.1"):
            check_signing_key(torsioned)


def is_y_on_curve(y: int) -> bool:
    """Whether (y² - 1) / (d·y² + 1) is a square, so that some x belongs to y."""
    x_squared = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    return pow(x_squared, (P - 1) // 2, P) in (0, 1)


def test_keys_off_the_curve_are_refused() -> None:
    off = [y for y in range(2, 60) if not is_y_on_curve(y)]
    assert len(off) > 20
    for y in off:
        with pytest.raises(MalformedInput, match=r"R-15\.1"):
            check_signing_key(y.to_bytes(32, "little"))


def test_keys_that_are_not_canonical_are_refused() -> None:
    # y below 19 can be written as y + p too; the sign of x = 0 can be written as 1.
    for y in range(19):
        with pytest.raises(MalformedInput, match=r"R-15\.1"):
            check_signing_key((y + P).to_bytes(32, "little"))
    with pytest.raises(MalformedInput, match=r"R-15\.1"):
        check_signing_key(IDENTITY[:31] + b"\x80")


# Below 2^255 - 19 too, as one Ed25519 key in two is.
PUBLIC_OF_BOTH_KINDS = PUBLIC


@pytest.mark.parametrize("length", [0, 31, 33, 64])
@pytest.mark.parametrize(
    ("rule", "read"),
    [
        ("R-15.1", check_signing_key),
        ("R-15.1", SigningKey),
        ("R-15.2", check_encryption_key),
        ("R-15.2", EncryptionKey),
    ],
)
def test_lengths_of_keys(length: int, rule: str, read: Callable[[bytes], object]) -> None:
    assert read(PUBLIC_OF_BOTH_KINDS)
    with pytest.raises(MalformedInput) as refusal:
        read((PUBLIC_OF_BOTH_KINDS * 2)[:length])
    assert refusal.value.rule == rule


def test_rfc_7748() -> None:
    alice = "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"
    public = "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
    assert EncryptionKey(bytes.fromhex(alice)).public.hex() == public


@given(st.binary(min_size=32, max_size=32))
def test_encryption_keys_pass(secret: bytes) -> None:
    public = EncryptionKey(secret).public
    assert check_encryption_key(public) == public


LOW_ORDER_U = [
    bytes(32),
    (1).to_bytes(32, "little"),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    (P - 1).to_bytes(32, "little"),
]


@pytest.mark.parametrize("public", LOW_ORDER_U, ids=bytes.hex)
def test_encryption_keys_of_low_order_are_refused(public: bytes) -> None:
    with pytest.raises(RuntimeError):  # libsodium knows them too
        crypto_scalarmult(KEY.seed, public)
    with pytest.raises(MalformedInput, match=r"R-15\.2"):
        check_encryption_key(public)


@pytest.mark.parametrize("u", [2, 9, P - 2])
def test_encryption_keys_next_to_the_bounds(u: int) -> None:
    crypto_scalarmult(KEY.seed, u.to_bytes(32, "little"))
    assert check_encryption_key(u.to_bytes(32, "little"))


@pytest.mark.parametrize("u", [P, P + 1, P + 9, 2**255 - 1, 2**255, 2**255 + 9, 2**256 - 1])
def test_encryption_keys_that_are_not_canonical_are_refused(u: int) -> None:
    with pytest.raises(MalformedInput, match=r"R-15\.2"):
        check_encryption_key(u.to_bytes(32, "little"))


def test_secrets_stay_out_of_sight() -> None:
    seed = bytes(range(100, 132))
    for key in (SigningKey(seed), EncryptionKey(seed)):
        shown = repr(key) + str(key)
        assert repr(key.public) in shown
        assert repr(seed)[2:-1] not in shown
        assert seed.hex() not in shown
        assert repr(seed[:8])[2:-1] not in shown


def test_equality_is_of_the_public_halves() -> None:
    assert SigningKey(bytes(32)) == SigningKey(bytes(32))
    assert SigningKey(bytes(32)) != KEY
    assert len({SigningKey(bytes(32)), SigningKey(bytes(32)), KEY}) == 2
    assert EncryptionKey(bytes(32)) != EncryptionKey(bytes([8] * 32))


def test_keys_travel_between_processes() -> None:
    assert pickle.loads(pickle.dumps(KEY)).sign(MESSAGE) == KEY.sign(MESSAGE)


def test_docstring() -> None:
    assert doctest.testmod(keys).failed == 0
