"""Proofs to hand on, judged offline (specs/68-proofs): C2SP tlog-proofs and COSE Receipts.

    log = log_key(entry_0, log_id)
    logged = open_tlog_proof(data, entry, log)      # or Malformed, BadSignature
    logged.index, logged.size

Both show that `entry` stands in the log whose key is `log`. A tlog-proof says where: its size is
signed. Of a receipt only the root is, so what it says of index and size goes no further.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from verifier.blocks import open_block, open_entry
from verifier.cbor import BSTR, Many, Shape, decode, fits, uint
from verifier.errors import BadSignature, BrokenRule, Malformed
from verifier.keys import verifies
from verifier.merkle import MAX_SIZE, check_inclusion, included_root, leaf_hash
from verifier.note import NoteKey, Signer, decode_base64, open_checkpoint, open_note
from verifier.rules import create_log

MAX_TLOG_PROOF = 196_608
MAX_RECEIPT = 4_096
HEADER = b"c2sp.org/tlog-proof@v1\n"
COSE_SIGN1 = b"\xd2"

# The lines before the first empty one; then the note.
TLOG_PROOF = re.compile(
    rb"c2sp\.org/tlog-proof@v1\n(?:extra ([^\n]*)\n)?index ([^\n]*)\n((?:[^\n]+\n){0,63})\n(.*)",
    re.DOTALL,
)
INDEX = re.compile(rb"0|[1-9][0-9]{0,18}")
PROTECTED = rb"\x58\x2a\xa3\x01\x27\x04\x58\x20(.{32})\x19\x01\x8b\x01"
RECEIPT = re.compile(
    rb"\xd2\x84(%b)\xa1\x19\x01\x8c\xa1\x20\x81%b\xf6\x58\x40(.{64})" % (PROTECTED, BSTR),
    re.DOTALL,
)
SIGNED_PART = b"\x84\x6aSignature1"
INCLUSION: Shape = (range(MAX_SIZE), range(MAX_SIZE), Many(32, range(1, 64)))


@dataclass(frozen=True, slots=True)
class Logged:
    """Under which root an entry is, and who vouches for that: the log's key is one.

    Index and size are None where nobody signed them: with a receipt.
    """

    index: int | None
    size: int | None
    root: bytes
    signers: list[Signer]


def log_key(first: bytes, log_id: bytes) -> NoteKey:
    """The key and origin that entry 0 names, whose block hashes to the log id (R-61.1)."""
    entry = open_entry(first)
    if entry.kind != 0:
        raise BrokenRule("R-42.4", "a directory root is no log's first entry")
    log = create_log(open_block(entry.content, None), 0, entry.time)
    if log.head != log_id:
        raise BrokenRule("R-61.1", f"the first block of another log: {log.head.hex()}")
    return NoteKey(log.origin, log.log_key)


def open_proof(
    data: bytes, entry: bytes, log: NoteKey, cosigners: Sequence[NoteKey] = ()
) -> Logged | None:
    """A proof of either kind, None if it is of neither. Cosigners are not asked about receipts."""
    if data.startswith(HEADER):
        return open_tlog_proof(data, entry, log, cosigners)
    return open_receipt(data, entry, log) if data.startswith(COSE_SIGN1) else None


def open_tlog_proof(
    data: bytes, entry: bytes, log: NoteKey, cosigners: Sequence[NoteKey] = ()
) -> Logged:
    """R-68.1, R-68.2; R-60 for the checkpoint, with the cosigners that are known; R-20.3."""
    if len(data) > MAX_TLOG_PROOF:
        raise Malformed("R-68.1", f"a tlog-proof of {len(data)} bytes")
    found = TLOG_PROOF.fullmatch(data)
    if found is None:
        raise Malformed("R-68.1", "not the lines of a tlog-proof")
    extra, number, lines, note = found.groups()
    if not INDEX.fullmatch(number) or int(number) >= MAX_SIZE:
        raise Malformed("R-68.2", "the index is not a number in its one spelling")
    if extra is not None and not _base64(extra):
        raise Malformed("R-68.2", "an extra line without data")
    hashes = [_base64(line) for line in lines.split(b"\n")[:-1]]
    if any(len(one) != 32 for one in hashes):
        raise Malformed("R-68.2", "a hash is 32 bytes")
    head = open_checkpoint(note, log)
    check_inclusion(leaf_hash(entry), int(number), head.size, hashes, head.root)
    return Logged(int(number), head.size, head.root, open_note(note, [log, *cosigners])[1])


def open_receipt(data: bytes, entry: bytes, log: NoteKey) -> Logged:
    """R-68.3 to R-68.5."""
    if len(data) > MAX_RECEIPT:
        raise Malformed("R-68.3", f"a receipt of {len(data)} bytes")
    found = RECEIPT.fullmatch(data)
    if found is None or uint(found[3]) != len(found[4]):
        raise Malformed("R-68.3", "not the one form of a receipt")
    protected, kid, _, written, signature = found.groups()
    value: Any = decode(written, MAX_RECEIPT)
    if not fits(value, INCLUSION):
        raise Malformed("R-10.4", "not an inclusion-proof")
    if kid != log.key:
        raise BadSignature("R-68.4", f"a receipt of the key {kid.hex()}")
    size, index, hashes = value
    root = included_root(leaf_hash(entry), index, size, hashes)
    if not verifies(signature, b"%b%b\x40\x58\x20%b" % (SIGNED_PART, protected, root), log.key):
        raise BadSignature("R-68.5", "the log did not sign the root that the path leads to")
    return Logged(None, None, root, [Signer(log, None)])


def _base64(line: bytes) -> bytes:
    """R-68.2: canonical, so ASCII."""
    return decode_base64(line.decode("latin-1"), "R-68.2")
