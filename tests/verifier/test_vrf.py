"""The VRF's verification against RFC 9381 B.3, and what is refused."""

from __future__ import annotations

from hashlib import sha512

import pytest
from nacl import bindings
from nacl.signing import SigningKey

from verifier.errors import Malformed
from verifier.vrf import IDENTITY, ORDER, commitment, encode_to_curve, verify, verify_label

# Secret key, alpha, H, pi, beta of examples 16 to 18.
EXAMPLES = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "",
        "91bbed02a99461df1ad4c6564a5f5d829d0b90cfc7903e7a5797bd658abf3318",
        (
            "8657106690b5526245a92b003bb079ccd1a92130477671f6fc01ad16f26f723f26f8a57ccaed74ee1b190bed1f"
            "479d9727d2d0f9b005a6e456a35d4fb0daab1268a1b0db10836d9826a528ca76567805"
        ),
        (
            "90cf1df3b703cce59e2a35b925d411164068269d7b2d29f3301c03dd757876ff66b71dda49d2de59d03450451a"
            "f026798e8f81cd2e333de5cdf4f3e140fdd8ae"
        ),
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "72",
        "5b659fc3d4e9263fd9a4ed1d022d75eaacc20df5e09f9ea937502396598dc551",
        (
            "f3141cd382dc42909d19ec5110469e4feae18300e94f304590abdced48aed5933bf0864a62558b3ed7f2fea45c"
            "92a465301b3bbf5e3e54ddf2d935be3b67926da3ef39226bbc355bdc9850112c8f4b02"
        ),
        (
            "eb4440665d3891d668e7e0fcaf587f1b4bd7fbfe99d0eb2211ccec90496310eb5e33821bc613efb94db5e5b54c"
            "70a848a0bef4553a41befc57663b56373a5031"
        ),
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "af82",
        "bf4339376f5542811de615e3313d2b36f6f53c0acfebb482159711201192576a",
        (
            "9bc0f79119cc5604bf02d23b4caede71393cedfbb191434dd016d30177ccbf8096bb474e53895c362d8628ee9f"
            "9ea3c0e52c7a5c691b6c18c9979866568add7a2d41b00b05081ed0f58ee5e31b3a970e"
        ),
        (
            "645427e5d00c62a23fb703732fa5d892940935942101e456ecca7bb217c61c452118fec1219202a0edcf038bb6"
            "373241578be7217ba85a2687f7a0310b2df19f"
        ),
    ),
]


@pytest.mark.parametrize(("secret", "alpha", "point", "proof", "beta"), EXAMPLES)
def test_examples(secret: str, alpha: str, point: str, proof: str, beta: str) -> None:
    public = bytes(SigningKey(bytes.fromhex(secret)).verify_key)
    given = bytes.fromhex(alpha)
    assert encode_to_curve(public, given) == bytes.fromhex(point)
    assert verify(public, given, bytes.fromhex(proof)) == bytes.fromhex(beta)
    assert verify_label(public, given, bytes.fromhex(proof)) == bytes.fromhex(beta)[:32]
    refuse(public, given + b"x", bytes.fromhex(proof), "R-36.3")
    other = bytes(SigningKey(b"o" * 32).verify_key)
    refuse(other, given, bytes.fromhex(proof), "R-36.3")


def test_each_bit_of_a_proof_counts() -> None:
    secret, alpha, _, proof, _ = EXAMPLES[0]
    public = bytes(SigningKey(bytes.fromhex(secret)).verify_key)
    good = bytes.fromhex(proof)
    for at in range(0, 640, 5):
        wrong = bytearray(good)
        wrong[at // 8] ^= 1 << at % 8
        refuse(public, bytes.fromhex(alpha), bytes(wrong), "R-36")


def test_shapes() -> None:
    secret, _, _, proof, _ = EXAMPLES[0]
    public = bytes(SigningKey(bytes.fromhex(secret)).verify_key)
    good = bytes.fromhex(proof)
    gamma, c, s = good[:32], good[32:48], good[48:]
    order_2 = (2**255 - 20).to_bytes(32, "little")
    wrong = {
        "short": good[:-1],
        "long": good + b"\x00",
        "s + L": gamma + c + (int.from_bytes(s, "little") + ORDER).to_bytes(32, "little"),
        "s = 0": gamma + c + bytes(32),
        "c = 0": gamma + bytes(16) + s,
        "Gamma the identity": IDENTITY + c + s,
        "Gamma of order 2": order_2 + c + s,
        "Gamma + torsion": bindings.crypto_core_ed25519_add(gamma, order_2) + c + s,
        "Gamma not canonical": (2**255 - 18).to_bytes(32, "little") + c + s,
    }
    for proof_ in wrong.values():
        refuse(public, b"", proof_, "R-36.2")
    for key in (IDENTITY, order_2, bytes(31), (2**255 - 18).to_bytes(32, "little")):
        refuse(key, b"", good, "R-36.1")


def refuse(public: bytes, alpha: bytes, proof: bytes, rule: str) -> None:
    with pytest.raises(Malformed) as caught:
        verify(public, alpha, proof)
    assert caught.value.rule.startswith(rule)


def prove(secret: bytes, alpha: bytes) -> bytes:
    """RFC 9381 §5.1, with a nonce of no importance."""
    expanded = bytearray(sha512(secret).digest()[:32])
    expanded[0] &= 248
    expanded[31] = expanded[31] & 127 | 64
    x = int.from_bytes(expanded, "little") % ORDER
    public = bytes(SigningKey(secret).verify_key)
    point = encode_to_curve(public, alpha)
    k = int.from_bytes(sha512(secret + alpha).digest(), "little") % ORDER

    def times(scalar: int, base: bytes | None) -> bytes:
        data = scalar.to_bytes(32, "little")
        if base is None:
            return bindings.crypto_scalarmult_ed25519_base_noclamp(data)
        return bindings.crypto_scalarmult_ed25519_noclamp(data, base)

    gamma = times(x, point)
    parts = b"".join((public, point, gamma, times(k, None), times(k, point)))
    c = sha512(b"\x03\x02" + parts + b"\x00").digest()[:16]
    s = (k + int.from_bytes(c, "little") * x) % ORDER
    return gamma + c + s.to_bytes(32, "little")


@pytest.mark.parametrize("number", range(8))
def test_proofs_verify_for_their_own_input_only(number: int) -> None:
    secret, alpha = b"%032d" % number, b"person %d" % number
    public = bytes(SigningKey(secret).verify_key)
    proof = prove(secret, alpha)
    assert len(verify(public, alpha, proof)) == 64
    refuse(public, b"person", proof, "R-36.3")


def test_commitments() -> None:
    nonce = b"n" * 32
    assert commitment(nonce, "ada") != commitment(nonce, "Ada")
    assert len(commitment(nonce, "é" * 127)) == 32
    wrong = ["", "é" * 128, "a\x1f", "a\x7f", "a\x80", "a\x9f"]
    for identifier in wrong:
        with pytest.raises(Malformed, match=r"R-36\.5"):
            commitment(nonce, identifier)
    commitment(nonce, "a\xa0 ")
    with pytest.raises(Malformed, match=r"R-36\.6"):
        commitment(nonce[:31], "ada")
