"""The COSE_Sign envelope, which has one spelling (specs/40-blocks, R-40).

It is taken apart by offset and its constant bytes are compared; nothing of it is interpreted.

    envelope = open_envelope(block)
    check_signatures(envelope, BLOCK, log_id)
"""

from __future__ import annotations

from typing import NamedTuple

from verifier.cbor import head
from verifier.errors import BadSignature, Malformed
from verifier.keys import verifies

BLOCK = b"keyroll/v1/block"
DELEGATION = b"keyroll/v1/delegation"

START = bytes.fromhex("d8628440a0")
PROTECTED = bytes.fromhex("5826a201270458 20")  # bstr {1: -8, 4: kid}, up to the kid
BEFORE_KID = b"\x83" + PROTECTED
BEFORE_SIG = bytes.fromhex("a05840")
SIGNATURE_LENGTH = 108
MAX_SIGNATURES = 4


class Envelope(NamedTuple):
    """`wrapped` is the payload with its CBOR head; kids and signatures stand in their order."""

    payload: bytes
    wrapped: bytes
    kids: tuple[bytes, ...]
    signatures: tuple[bytes, ...]


def open_envelope(data: bytes) -> Envelope:
    """Payload and signatures of an envelope of the one form (R-40.1 to R-40.3), unverified."""
    if data[:5] != START:
        raise Malformed("R-40.1", "not the one form of an envelope")
    try:
        major, length, begin = head(data, 5)
    except Malformed as error:
        raise Malformed("R-40.1", error.why) from error
    end = begin + length
    if major != 2 or end >= len(data):
        raise Malformed("R-40.1", "the payload is not a byte string, or is cut short")
    kids, signatures = _signers(data[end:])
    return Envelope(data[begin:end], data[5:end], kids, signatures)


def _signers(data: bytes) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    count = data[0] - 0x80
    if not 0 <= count < 24 or len(data) != 1 + SIGNATURE_LENGTH * count:
        raise Malformed("R-40.1", "the signatures are not an array of the one form")
    if not 1 <= count <= MAX_SIGNATURES:
        raise Malformed("R-40.2", f"{count} signatures")
    starts = range(1, len(data), SIGNATURE_LENGTH)
    for at in starts:
        if data[at : at + 9] != BEFORE_KID or data[at + 41 : at + 44] != BEFORE_SIG:
            raise Malformed("R-40.1", "a signature that is not of the one form")
    kids = tuple([data[at + 9 : at + 41] for at in starts])
    if len(set(kids)) != count:
        raise Malformed("R-40.3", "two signatures of one key")
    return kids, tuple([data[at + 44 : at + 108] for at in starts])


def check_signatures(envelope: Envelope, context: bytes, log_id: bytes, rule: str) -> None:
    """Every signature verifies for this context and log; else `BadSignature` names `rule`."""
    aad = context + log_id
    behind = b"\x58%c%b%b" % (len(aad), aad, envelope.wrapped)
    for kid, signature in zip(envelope.kids, envelope.signatures, strict=True):
        message = b"\x85\x69Signature\x40%b%b%b" % (PROTECTED, kid, behind)
        if not verifies(signature, message, kid):
            raise BadSignature(rule, f"the signature of {kid.hex()} does not verify")
