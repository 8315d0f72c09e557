"""COSE_Sign (RFC 9052 section 4.1), in the one spelling that blocks and other messages have.

    d8 62                       tag 98
    84 40 a0                    an array of 4: no protected header, no unprotected header,
    <bstr payload>              the payload, its length in the shortest spelling,
    81 .. 84                    1 to 4 signatures, each of 108 bytes:
      83 58 26                    an array of 3: the protected header, a byte string of 38,
         a2 01 27 04 58 20 <kid>      {1: -8 (EdDSA), 4: kid}, kid the signer's Ed25519 key,
         a0                         no unprotected header,
         58 40 <signature>          the signature, 64 bytes

So the envelope is parsed by offsets and its headers are compared as bytes. The whole key as kid
lets signatures be checked without any state. It makes no key trusted: who has to sign stands in the
payload or in the state, and the rules compare the kids with that.

A signature covers `Sig_structure` (section 4.4), whose external_aad is a context and the log id, so
what was signed for one log or one purpose never verifies for another. Its first byte, 0x85, starts
no UTF-8, so it is never the text of a signed note either.

>>> from ledger.format.keys import SigningKey
>>> log_id = bytes(32)
>>> block = sign(b"payload", [SigningKey(bytes(32))], BLOCK, log_id)
>>> envelope = parse(block, max_bytes=200)
>>> verify(envelope, aad(BLOCK, log_id))
>>> envelope.payload
b'payload'
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ledger.errors import BadSignature, MalformedInput, UsageError
from ledger.format import keys
from ledger.value import value

BLOCK = "keyroll/v1/block"
DELEGATION = "keyroll/v1/delegation"
LOGIN = "keyroll/v1/login"
STATEMENT = "keyroll/v1/statement"
LEAVE = "keyroll/v1/leave"
GRANT = "keyroll/v1/grant"
HEADER = "keyroll/v1/header"

LOG_ID_BYTES = 32
MAX_SIGNATURES = 4

_HEAD = bytes.fromhex("d8628440a0")
_COUNTS = range(0x81, 0x81 + MAX_SIGNATURES)
_SIGNER = bytes.fromhex("835826a20127045820")
_SIGNATURE = bytes.fromhex("a05840")
_SIGNATURE_ITEM_BYTES = len(_SIGNER) + keys.KEY_BYTES + len(_SIGNATURE) + keys.SIGNATURE_BYTES
_KID_AT = len(_SIGNER)
_MIDDLE_AT = _KID_AT + keys.KEY_BYTES
_SIGNATURE_AT = _MIDDLE_AT + len(_SIGNATURE)

# ["Signature", h'', protected up to the kid
_TO_BE_SIGNED = b"\x85\x69Signature\x40" + _SIGNER[1:]

# The first byte of a byte string's head -> how many bytes of length follow.
_LENGTH_BYTES = {0x58: 1, 0x59: 2, 0x5A: 4}


class Signer(Protocol):
    """Whoever can sign with an Ed25519 key; `ledger.format.keys.SigningKey` is one."""

    @property
    def public(self) -> bytes: ...

    def sign(self, message: bytes, /) -> bytes: ...


@value
class Envelope:
    """A parsed COSE_Sign whose signatures have not been checked yet.

    `signers` are the kids, 32 bytes each, and `signatures` theirs, 64 bytes each, in the order in
    which they stand.
    """

    payload: bytes
    signers: tuple[bytes, ...]
    signatures: tuple[bytes, ...]


def parse(data: bytes, max_bytes: int) -> Envelope:
    """The envelope that `data` spells, where `data` is at most `max_bytes` long.

    Raises `MalformedInput` for R-10.1 (size), R-40.1 (another spelling), R-40.2 (not 1 to 4
    signatures) and R-40.3 (a kid twice). Checks no signature.
    """
    size = len(data)
    if size > max_bytes:
        raise MalformedInput("R-10.1", f"{size} bytes, at most {max_bytes} allowed")
    if not data.startswith(_HEAD):
        raise MalformedInput("R-40.1", "not a COSE_Sign with empty headers")
    start, end = _payload_bounds(data)
    if end >= size:
        raise MalformedInput("R-40.1", "the payload is cut short")
    if data[end] not in _COUNTS:
        raise MalformedInput("R-40.2", f"not an array of 1 to {MAX_SIGNATURES} signatures")
    if size != end + 1 + (data[end] - 0x80) * _SIGNATURE_ITEM_BYTES:
        raise MalformedInput("R-40.1", "signatures are cut short, or bytes follow them")
    signers, signatures = _signatures(data, end + 1)
    return Envelope(data[start:end], signers, signatures)


def _payload_bounds(data: bytes) -> tuple[int, int]:
    """Where the payload's bytes start and end, by the head of its byte string."""
    at = len(_HEAD)
    first = data[at] if len(data) > at else 0
    width = _LENGTH_BYTES.get(first, 0)
    start = at + 1 + width
    length = int.from_bytes(data[at + 1 : start]) if width else first - 0x40
    if length < 0 or data[at:start] != bstr_head(length):
        raise MalformedInput("R-40.1", "the payload is not a byte string in its shortest spelling")
    return start, start + length


def _signatures(data: bytes, at: int) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """The kids and the signatures of the items of 108 bytes from `at` to the end of `data`."""
    signers = []
    signatures = []
    for start in range(at, len(data), _SIGNATURE_ITEM_BYTES):
        kid = data[start + _KID_AT : start + _MIDDLE_AT]
        middle = data[start + _MIDDLE_AT : start + _SIGNATURE_AT]
        if middle != _SIGNATURE or not data.startswith(_SIGNER, start):
            raise MalformedInput("R-40.1", "a signature's headers are not the only ones allowed")
        if kid in signers:
            raise MalformedInput("R-40.3", f"two signatures by {kid.hex()}")
        signers.append(kid)
        signatures.append(data[start + _SIGNATURE_AT : start + _SIGNATURE_ITEM_BYTES])
    return tuple(signers), tuple(signatures)


def build(payload: bytes, signatures: Sequence[tuple[bytes, bytes]]) -> bytes:
    """The envelope around `payload` and `(kid, signature)` pairs, in their order.

    Raises `MalformedInput` where `parse` would.
    """
    if not 1 <= len(signatures) <= MAX_SIGNATURES:
        raise MalformedInput("R-40.2", f"not 1 to {MAX_SIGNATURES} signatures")
    if len({kid for kid, _ in signatures}) != len(signatures):
        raise MalformedInput("R-40.3", "two signatures by one key")
    parts = [_HEAD, _bstr(payload), bytes([0x80 + len(signatures)])]
    for kid, signature in signatures:
        if len(kid) != keys.KEY_BYTES or len(signature) != keys.SIGNATURE_BYTES:
            raise MalformedInput("R-40.1", "a kid is not 32 bytes, or a signature not 64")
        parts += _SIGNER, kid, _SIGNATURE, signature
    return b"".join(parts)


def aad(context: str, log_id: bytes) -> bytes:
    """The external_aad: what a signature is for, and the log (32 bytes) it is made for.

    The first block of a log is signed for the log id of 32 zero bytes.
    """
    if len(log_id) != LOG_ID_BYTES:
        raise UsageError(f"a log id is {LOG_ID_BYTES} bytes, not {len(log_id)}")
    return context.encode("ascii") + log_id


def to_be_signed(payload: bytes, kid: bytes, aad: bytes) -> bytes:
    """The encoded `Sig_structure` that the key `kid` signs (RFC 9052 section 4.4)."""
    return _TO_BE_SIGNED + kid + _bstr(aad) + _bstr(payload)


def sign(payload: bytes, signers: Sequence[Signer], context: str, log_id: bytes) -> bytes:
    """The envelope around `payload`, signed by each of `signers` in their order."""
    external = aad(context, log_id)
    return build(
        payload,
        [
            (signer.public, signer.sign(to_be_signed(payload, signer.public, external)))
            for signer in signers
        ],
    )


def signed_messages(envelope: Envelope, aad: bytes) -> list[tuple[bytes, bytes, bytes]]:
    """`(kid, signature, message)` of each signature, to be checked elsewhere, in any order."""
    tail = _bstr(aad) + _bstr(envelope.payload)
    return [
        (kid, signature, _TO_BE_SIGNED + kid + tail)
        for kid, signature in zip(envelope.signers, envelope.signatures, strict=True)
    ]


def verify(envelope: Envelope, aad: bytes) -> None:
    """Check every signature. Raises `BadSignature` (R-40.4) at the first that fails."""
    for kid, signature, message in signed_messages(envelope, aad):
        check_signature(kid, signature, message)


def check_signature(kid: bytes, signature: bytes, message: bytes) -> None:
    """Check one of `signed_messages`. Raises `BadSignature` (R-40.4)."""
    if not keys.verifies(kid, message, signature):
        raise BadSignature("R-40.4", f"the signature by {kid.hex()} does not verify")


def _bstr(data: bytes) -> bytes:
    """`data` as a CBOR byte string."""
    return bstr_head(len(data)) + data


def bstr_head(length: int) -> bytes:
    """The shortest head of a byte string (RFC 8949 section 4.2.1), for lengths below 2^32."""
    if length < 24:
        return bytes((0x40 + length,))
    if length < 0x100:
        return bytes((0x58, length))
    if length < 0x10000:
        return b"\x59" + length.to_bytes(2)
    return b"\x5a" + length.to_bytes(4)
