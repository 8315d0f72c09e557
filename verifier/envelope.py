"""The COSE_Sign envelope, which has one spelling (specs/40-blocks, R-40).

It is taken apart by offset and its constant bytes are compared; nothing of it is interpreted.

    envelope = open_envelope(block)
    for check in signature_checks(envelope, BLOCK, log_id, "R-40.4"):
        run_check(check)
"""

from __future__ import annotations

import re
from typing import NamedTuple

from nacl.signing import SigningKey

from verifier.cbor import encode, uint
from verifier.errors import Malformed
from verifier.keys import Check

BLOCK = b"keyroll/v1/block"
DELEGATION = b"keyroll/v1/delegation"
STATEMENT = b"keyroll/v1/statement"
LEAVE = b"keyroll/v1/leave"
GRANT = b"keyroll/v1/grant"
LOGIN = b"keyroll/v1/login"

# Tag 98, an array of four, h'', {}, and the head of the payload.
START = re.compile(
    rb"\xd8\x62\x84\x40\xa0"
    rb"([\x40-\x57]|\x58[\x18-\xff]|\x59(?!\x00)..|\x5a(?!\x00\x00)....)",
    re.DOTALL,
)
PROTECTED = b"\x58\x26\xa2\x01\x27\x04\x58\x20"  # bstr {1: -8, 4: kid}, up to the kid
TO_BE_SIGNED = b"\x85\x69Signature\x40" + PROTECTED  # up to the kid; aad and payload follow
SIGNATURE = re.compile(b"\x83" + re.escape(PROTECTED) + rb"(.{32})\xa0\x58\x40(.{64})", re.DOTALL)
SIGNATURE_LENGTH = 108
MAX_SIGNATURES = 4


class Envelope(NamedTuple):
    """`wrapped` is the payload with its CBOR head; `signed` are kids and signatures in order."""

    payload: bytes
    wrapped: bytes
    signed: list[tuple[bytes, bytes]]

    @property
    def kids(self) -> tuple[bytes, ...]:
        return tuple([kid for kid, _ in self.signed])


def open_envelope(data: bytes) -> Envelope:
    """Payload and signatures of an envelope of the one form (R-40.1 to R-40.3), unverified."""
    start = START.match(data)
    if start is None:
        raise Malformed("R-40.1", "not the one form of an envelope")
    begin = start.end()
    end = begin + uint(start[1])
    if end >= len(data):
        raise Malformed("R-40.1", "the envelope is cut short")
    return Envelope(data[begin:end], data[5:end], _signed(data, end))


def _signed(data: bytes, at: int) -> list[tuple[bytes, bytes]]:
    """Kids and signatures of the array at `at`; matches of its full length leave no gap."""
    count = data[at] - 0x80
    found: list[tuple[bytes, bytes]] = SIGNATURE.findall(data, at + 1)
    if len(found) != count or len(data) != at + 1 + SIGNATURE_LENGTH * count:
        raise Malformed("R-40.1", "the signatures are not an array of the one form")
    if not 1 <= count <= MAX_SIGNATURES:
        raise Malformed("R-40.2", f"{count} signatures")
    if count > 1 and len({kid for kid, _ in found}) != count:
        raise Malformed("R-40.3", "two signatures of one key")
    return found


def write_envelope(payload: bytes, key: SigningKey, context: bytes, log_id: bytes) -> bytes:
    """An envelope of one signature: an auditor's log-in is all that the verifier ever signs."""
    kid, wrapped = bytes(key.verify_key), encode(payload)
    signature = key.sign(TO_BE_SIGNED + kid + _behind(wrapped, context, log_id)).signature
    signed = b"\x81\x83" + PROTECTED + kid + b"\xa0\x58\x40" + signature
    return b"\xd8\x62\x84\x40\xa0" + wrapped + signed


def _behind(wrapped: bytes, context: bytes, log_id: bytes) -> bytes:
    """What is signed behind the kid."""
    return b"\x58%c%b%b%b" % (len(context) + len(log_id), context, log_id, wrapped)


def signature_checks(envelope: Envelope, context: bytes, log_id: bytes, rule: str) -> list[Check]:
    """That every signature verifies for this context and log, as checks to run."""
    behind = _behind(envelope.wrapped, context, log_id)
    return [
        (rule, kid, b"%b%b%b%b" % (signature, TO_BE_SIGNED, kid, behind))
        for kid, signature in envelope.signed
    ]
