"""The COSE_Sign envelope, which has one spelling (specs/40-blocks, R-40).

It is taken apart by offset and its constant bytes are compared; nothing of it is interpreted.

    envelope = open_envelope(block)
    for check in signature_checks(envelope, BLOCK, log_id, "R-40.4"):
        run_check(check)
"""

from __future__ import annotations

import re
from typing import NamedTuple

from verifier.cbor import uint
from verifier.errors import Malformed
from verifier.keys import Check

BLOCK = b"keyroll/v1/block"
DELEGATION = b"keyroll/v1/delegation"

# Tag 98, an array of four, h'', {}, and the head of the payload.
START = re.compile(rb"\xd8\x62\x84\x40\xa0([\x40-\x57]|\x58[\x18-\xff]|\x59(?!\x00)..)", re.DOTALL)
PROTECTED = b"\x58\x26\xa2\x01\x27\x04\x58\x20"  # bstr {1: -8, 4: kid}, up to the kid
TO_BE_SIGNED = b"\x85\x69Signature\x40" + PROTECTED  # up to the kid; aad and payload follow
SIGNATURE = re.compile(b"\x83" + re.escape(PROTECTED) + rb"(.{32})\xa0\x58\x40(.{64})", re.DOTALL)
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
    start = START.match(data)
    if start is None:
        raise Malformed("R-40.1", "not the one form of an envelope")
    begin = start.end()
    end = begin + uint(start[1])
    if end >= len(data):
        raise Malformed("R-40.1", "the envelope is cut short")
    kids, signatures = _signers(data[end:])
    return Envelope(data[begin:end], data[5:end], kids, signatures)


def _signers(data: bytes) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """Kids and signatures of the array that `data` is; matches of its full length leave no gap."""
    count = data[0] - 0x80
    found = SIGNATURE.findall(data, 1)
    if len(found) != count or len(data) != 1 + SIGNATURE_LENGTH * count:
        raise Malformed("R-40.1", "the signatures are not an array of the one form")
    if not 1 <= count <= MAX_SIGNATURES:
        raise Malformed("R-40.2", f"{count} signatures")
    kids, signatures = zip(*found, strict=True)
    if len(set(kids)) != count:
        raise Malformed("R-40.3", "two signatures of one key")
    return kids, signatures


def signature_checks(envelope: Envelope, context: bytes, log_id: bytes, rule: str) -> list[Check]:
    """That every signature verifies for this context and log, as checks to run."""
    aad = context + log_id
    behind = b"\x58%c%b%b" % (len(aad), aad, envelope.wrapped)
    return [
        (rule, kid, signature + TO_BE_SIGNED + kid + behind)
        for kid, signature in zip(envelope.kids, envelope.signatures, strict=True)
    ]
