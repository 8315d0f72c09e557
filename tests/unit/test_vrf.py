"""The VRF against RFC 9381's vectors, and against its formulas written out over plain integers."""

from __future__ import annotations

import doctest
from hashlib import sha512
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import MalformedInput
from ledger.tree import vrf
from ledger.tree.vrf import evaluate, label, prove, public_key, verify

P = 2**255 - 19
Q = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
SQRT_M1 = pow(2, (P - 1) // 4, P)
BASE_Y = 4 * pow(5, -1, P) % P
# The y of the points of order 8, as RFC 9381 §5.4.5 lists it.
Y_OF_ORDER_8 = 2707385501144840649318225287225658788936804267575313519463743609750303402022

SECRET = bytes(range(32))
PUBLIC = public_key(SECRET)
ALPHA = b"ada@example.org"
PROOF = prove(SECRET, ALPHA)


class Vector(NamedTuple):
    """An example of the RFC, in hexadecimal."""

    secret: str
    public: str
    alpha: str
    proof: str
    beta: str


# RFC 9381 Appendix B.3, Examples 16, 17 and 18.
VECTORS = [
    Vector(
        secret="9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        public="d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        alpha="",
        proof="8657106690b5526245a92b003bb079ccd1a92130477671f6fc01ad16f26f723f"
        "26f8a57ccaed74ee1b190bed1f479d97"
        "27d2d0f9b005a6e456a35d4fb0daab1268a1b0db10836d9826a528ca76567805",
        beta="90cf1df3b703cce59e2a35b925d411164068269d7b2d29f3301c03dd757876ff"
        "66b71dda49d2de59d03450451af026798e8f81cd2e333de5cdf4f3e140fdd8ae",
    ),
    Vector(
        secret="4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        public="3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        alpha="72",
        proof="f3141cd382dc42909d19ec5110469e4feae18300e94f304590abdced48aed593"
        "3bf0864a62558b3ed7f2fea45c92a465"
        "301b3bbf5e3e54ddf2d935be3b67926da3ef39226bbc355bdc9850112c8f4b02",
        beta="eb4440665d3891d668e7e0fcaf587f1b4bd7fbfe99d0eb2211ccec90496310eb"
        "5e33821bc613efb94db5e5b54c70a848a0bef4553a41befc57663b56373a5031",
    ),
    Vector(
        secret="c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        public="fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        alpha="af82",
        proof="9bc0f79119cc5604bf02d23b4caede71393cedfbb191434dd016d30177ccbf80"
        "96bb474e53895c362d8628ee9f9ea3c0"
        "e52c7a5c691b6c18c9979866568add7a2d41b00b05081ed0f58ee5e31b3a970e",
        beta="645427e5d00c62a23fb703732fa5d892940935942101e456ecca7bb217c61c45"
        "2118fec1219202a0edcf038bb6373241578be7217ba85a2687f7a0310b2df19f",
    ),
]


# edwards25519 over plain integers, from the formulas of RFC 8032 §5.1: it takes any point of the
# curve, where libsodium stops at the prime-order group.

Point = tuple[int, int, int, int]
IDENTITY: Point = (0, 1, 1, 0)


def plus(a: Point, b: Point) -> Point:
    low = (a[1] - a[0]) * (b[1] - b[0]) % P
    high = (a[1] + a[0]) * (b[1] + b[0]) % P
    cross = 2 * D * a[3] * b[3] % P
    double = 2 * a[2] * b[2] % P
    e, f, g, h = high - low, double - cross, double + cross, high + low
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(scalar: int, point: Point) -> Point:
    total = IDENTITY
    while scalar:
        if scalar % 2:
            total = plus(total, point)
        point, scalar = plus(point, point), scalar >> 1
    return total


def minus(a: Point, b: Point) -> Point:
    return plus(a, (-b[0] % P, b[1], b[2], -b[3] % P))


def spell(point: Point) -> bytes:
    inverse = pow(point[2], -1, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def point_of(data: bytes) -> Point | None:
    number = int.from_bytes(data, "little")
    sign, y = number >> 255, number % 2**255
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * SQRT_M1 % P
    if y >= P or x * x % P != square or (x == 0 and sign):
        return None
    x = -x % P if x & 1 != sign else x
    return x, y, 1, x * y % P


def must(data: bytes) -> Point:
    point = point_of(data)
    assert point is not None
    return point


BASE = must(BASE_Y.to_bytes(32, "little"))
ORDER_2 = must((P - 1).to_bytes(32, "little"))
ORDER_4 = must(bytes(32))
ORDER_8 = must(Y_OF_ORDER_8.to_bytes(32, "little"))


# RFC 9381 §5.1 and §5.3, to the letter.


def rfc_hash(tag: int, *parts: bytes) -> bytes:
    return sha512(bytes([3, tag]) + b"".join(parts) + b"\x00").digest()


def rfc_point(public: bytes, alpha: bytes) -> Point:
    for counter in range(256):
        point = point_of(rfc_hash(1, public, alpha, bytes([counter]))[:32])
        if point is not None and spell(times(8, point)) != spell(IDENTITY):
            return times(8, point)
    raise AssertionError


def rfc_challenge(*points: Point) -> int:
    return int.from_bytes(rfc_hash(2, *map(spell, points))[:16], "little")


def rfc_verify(public: bytes, alpha: bytes, proof: bytes) -> bytes | None:
    y, gamma = point_of(public), point_of(proof[:32])
    c = int.from_bytes(proof[32:48], "little")
    s = int.from_bytes(proof[48:], "little")
    if y is None or gamma is None or s >= Q or spell(times(8, y)) == spell(IDENTITY):
        return None
    h = rfc_point(public, alpha)
    u, v = minus(times(s, BASE), times(c, y)), minus(times(s, h), times(c, gamma))
    if rfc_challenge(y, h, gamma, u, v) != c:
        return None
    return rfc_hash(3, spell(times(8, gamma)))


def crooked_proof(public_twist: Point, gamma_twist: Point) -> tuple[bytes, bytes]:
    """Key and proof by one who knows the secret, adds small-order points, and tries nonces
    until the challenge cancels them: c is a multiple of 8."""
    digest = bytearray(sha512(SECRET).digest()[:32])
    digest[0] &= 0xF8
    digest[31] = digest[31] & 0x7F | 0x40
    x = int.from_bytes(digest, "little")
    y = plus(times(x, BASE), public_twist)
    h = rfc_point(spell(y), ALPHA)
    gamma = plus(times(x, h), gamma_twist)
    nonce, c = 0, 1
    while c % 8:
        nonce += 1
        c = rfc_challenge(y, h, gamma, times(nonce, BASE), times(nonce, h))
    s = (nonce + c * x) % Q
    return spell(y), spell(gamma) + c.to_bytes(16, "little") + s.to_bytes(32, "little")


def refusal(public: bytes, alpha: bytes, proof: bytes) -> str:
    with pytest.raises(MalformedInput) as raised:
        verify(public, alpha, proof)
    return raised.value.rule


def test_the_module_example_holds() -> None:
    assert doctest.testmod(vrf).attempted > 0
    assert doctest.testmod(vrf).failed == 0


class TestVectors:
    """The examples of the RFC."""

    @pytest.mark.parametrize("vector", VECTORS)
    def test_rfc_9381_b_3(self, vector: Vector) -> None:
        secret, public, alpha, proof, beta = map(bytes.fromhex, vector)
        assert public_key(secret) == public
        assert prove(secret, alpha) == proof
        assert verify(public, alpha, proof) == beta
        assert evaluate(secret, alpha) == beta
        assert label(beta) == beta[:32]

    @pytest.mark.parametrize("vector", VECTORS)
    def test_the_oracle_below_these_tests_gives_them_too(self, vector: Vector) -> None:
        _, public, alpha, proof, beta = map(bytes.fromhex, vector)
        assert rfc_verify(public, alpha, proof) == beta

    def test_vectors_are_refused_for_one_another(self) -> None:
        for vector in VECTORS:
            for other in VECTORS:
                if other != vector:
                    _, public, alpha, _, _ = map(bytes.fromhex, vector)
                    assert refusal(public, alpha, bytes.fromhex(other.proof)) == "R-36.3"


class TestProofs:
    """R-36.2 and R-36.3: what verifies, and its nearest neighbours, which do not."""

    @settings(max_examples=25, deadline=None)
    @given(st.binary(min_size=32, max_size=32), st.binary(max_size=254))
    def test_what_is_proven_verifies_here_and_by_the_rfc(self, secret: bytes, alpha: bytes) -> None:
        public, proof = public_key(secret), prove(secret, alpha)
        beta = verify(public, alpha, proof)
        assert evaluate(secret, alpha) == beta
        assert vrf.proof_to_hash(proof) == beta
        assert len(proof) == 80
        assert len(beta) == 64
        assert rfc_verify(public, alpha, proof) == beta

    def test_a_proof_is_deterministic(self) -> None:
        assert prove(SECRET, ALPHA) == PROOF

    def test_every_flipped_bit_is_refused(self) -> None:
        for bit in range(8 * len(PROOF)):
            changed = bytearray(PROOF)
            changed[bit // 8] ^= 1 << bit % 8
            assert refusal(PUBLIC, ALPHA, bytes(changed)) in {"R-36.2", "R-36.3"}

    @pytest.mark.parametrize("alpha", [b"", ALPHA[:-1], ALPHA + b"\x00", b"Ada@example.org"])
    def test_another_alpha_is_refused(self, alpha: bytes) -> None:
        assert refusal(PUBLIC, alpha, PROOF) == "R-36.3"

    def test_another_key_is_refused(self) -> None:
        assert refusal(public_key(bytes(32)), ALPHA, PROOF) == "R-36.3"

    def test_gamma_of_another_alpha_is_refused(self) -> None:
        other = prove(SECRET, b"eve@example.org")
        assert refusal(PUBLIC, ALPHA, other[:32] + PROOF[32:]) == "R-36.3"
        assert refusal(PUBLIC, ALPHA, PROOF[:32] + other[32:]) == "R-36.3"

    def test_every_other_length_is_refused(self) -> None:
        for length in range(len(PROOF)):
            assert refusal(PUBLIC, ALPHA, PROOF[:length]) == "R-36.2"
        assert refusal(PUBLIC, ALPHA, PROOF + b"\x00") == "R-36.2"

    def test_s_is_below_the_order(self) -> None:
        s = int.from_bytes(PROOF[48:], "little")
        for larger in (s + Q, s + 8 * Q, Q, 2**256 - 1):
            changed = PROOF[:48] + larger.to_bytes(32, "little")
            assert refusal(PUBLIC, ALPHA, changed) == "R-36.2"
        below = PROOF[:48] + (Q - 1).to_bytes(32, "little")
        assert refusal(PUBLIC, ALPHA, below) == "R-36.3"

    def test_zero_scalars_are_refused(self) -> None:
        for changed in (PROOF[:48] + bytes(32), PROOF[:32] + bytes(16) + PROOF[48:]):
            assert refusal(PUBLIC, ALPHA, changed) == "R-36.3"

    @given(st.binary(min_size=80, max_size=80))
    def test_random_bytes_are_refused(self, proof: bytes) -> None:
        assert refusal(PUBLIC, ALPHA, proof) in {"R-36.2", "R-36.3"}


SMALL_ORDER = sorted(
    {
        (y | sign << 255).to_bytes(32, "little")
        for y in (0, 1, P - 1, P, P + 1, Y_OF_ORDER_8, P - Y_OF_ORDER_8)
        for sign in (0, 1)
    }
)
# Spellings whose y is not reduced, of points that are on the curve.
NON_CANONICAL = [
    (y + P).to_bytes(32, "little") for y in range(19) if point_of(y.to_bytes(32, "little"))
]
OFF_CURVE = [y.to_bytes(32, "little") for y in range(40) if not point_of(y.to_bytes(32, "little"))]


class TestPoints:
    """R-36.1 and R-36.2: points that are no key and no Gamma."""

    def test_the_lists_are_what_they_say(self) -> None:
        orders = [(ORDER_2, 2), (ORDER_4, 4), (ORDER_8, 8)]
        for point, order in orders:
            assert spell(times(order, point)) == spell(IDENTITY)
            assert spell(times(order // 2, point)) != spell(IDENTITY)
        assert len(SMALL_ORDER) == 14
        assert len(NON_CANONICAL) >= 10
        assert len(OFF_CURVE) >= 10

    @pytest.mark.parametrize("bad", [*SMALL_ORDER, *NON_CANONICAL, *OFF_CURVE])
    def test_neither_a_key_nor_gamma(self, bad: bytes) -> None:
        assert refusal(bad, ALPHA, PROOF) == "R-36.1"
        assert refusal(PUBLIC, ALPHA, bad + PROOF[32:]) == "R-36.2"

    @pytest.mark.parametrize("length", [0, 31, 33, 64])
    def test_key_lengths(self, length: int) -> None:
        assert refusal(bytes(length), ALPHA, PROOF) == "R-36.1"
        with pytest.raises(MalformedInput, match=r"R-36\.1"):
            prove(bytes(length), ALPHA)
        with pytest.raises(MalformedInput, match=r"R-36\.1"):
            public_key(bytes(length))

    def test_the_identity_as_key_and_gamma_proves_nothing(self) -> None:
        # With Y and Gamma zero the equations hold for any input: every alpha has the same beta.
        zero = spell(IDENTITY)
        h = rfc_point(zero, ALPHA)
        c = rfc_challenge(IDENTITY, h, IDENTITY, times(5, BASE), times(5, h))
        forged = zero + c.to_bytes(16, "little") + (5).to_bytes(32, "little")
        assert refusal(zero, ALPHA, forged) == "R-36.1"
        assert refusal(PUBLIC, ALPHA, forged) == "R-36.2"

    def test_the_crooked_prover_is_sound_without_a_twist(self) -> None:
        public, proof = crooked_proof(IDENTITY, IDENTITY)
        assert public == PUBLIC
        assert proof != PROOF
        assert verify(public, ALPHA, proof) == verify(PUBLIC, ALPHA, PROOF)

    @pytest.mark.parametrize("twist", [ORDER_2, ORDER_4, ORDER_8])
    def test_gamma_with_a_small_order_part_is_refused(self, twist: Point) -> None:
        public, proof = crooked_proof(IDENTITY, twist)
        assert rfc_verify(public, ALPHA, proof) == verify(PUBLIC, ALPHA, PROOF)
        assert refusal(public, ALPHA, proof) == "R-36.2"

    @pytest.mark.parametrize("twist", [ORDER_2, ORDER_4, ORDER_8])
    def test_a_key_with_a_small_order_part_is_refused(self, twist: Point) -> None:
        public, proof = crooked_proof(twist, IDENTITY)
        assert rfc_verify(public, ALPHA, proof) is not None
        assert refusal(public, ALPHA, proof) == "R-36.1"


class TestTryAndIncrement:
    """Turning an input into a point of the curve."""

    @settings(max_examples=25, deadline=None)
    @given(st.binary(max_size=40))
    def test_the_point_is_that_of_the_rfc(self, alpha: bytes) -> None:
        assert vrf._encode_to_curve(PUBLIC, alpha) == spell(rfc_point(PUBLIC, alpha))

    @pytest.mark.parametrize("candidate", [*SMALL_ORDER, *NON_CANONICAL, *OFF_CURVE])
    def test_candidates_that_are_passed_over(self, candidate: bytes) -> None:
        assert vrf._decode_candidate(candidate) is None

    def test_a_candidate_outside_the_prime_order_group_is_taken_times_eight(self) -> None:
        twisted = plus(BASE, ORDER_8)
        assert vrf._decode_candidate(spell(twisted)) == spell(times(8, BASE))

    def test_the_counter_ends(self, monkeypatch: pytest.MonkeyPatch) -> None:
        tried: list[bytes] = []
        monkeypatch.setattr(vrf, "_decode_candidate", tried.append)
        with pytest.raises(MalformedInput, match=r"R-36\.3"):
            prove(SECRET, ALPHA)
        assert len(set(tried)) == 256


class TestLabels:
    """R-36.4."""

    def test_the_first_half_of_beta(self) -> None:
        assert label(bytes(range(64))) == bytes(range(32))

    @pytest.mark.parametrize("beta", [b"", bytes(32), b"\x01" * 63, b"\x01" * 65])
    def test_another_length_is_refused(self, beta: bytes) -> None:
        with pytest.raises(MalformedInput, match=r"R-36\.4"):
            label(beta)

    def test_the_zero_label_is_refused(self) -> None:
        with pytest.raises(MalformedInput, match=r"R-36\.4"):
            label(bytes(32) + b"\x01" * 32)
