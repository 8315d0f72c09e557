"""Signed notes and checkpoints (C2SP signed-note, tlog-checkpoint; specs/60-checkpoints).

key = NoteKey(origin, log_key)
checkpoint = open_checkpoint(data, key)         # or Malformed, BadSignature
checkpoint.size, checkpoint.root
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

from verifier.errors import BadSignature, Malformed
from verifier.keys import require_ed25519, verifies
from verifier.merkle import EMPTY_ROOT

ED25519, COSIGNATURE = 1, 4
MAX_NOTE = 131_072
MAX_SIGNATURES = 64
SIGNATURE_LINE = re.compile("\u2014 ([^ \n]+) ([^ \n]+)")
CONTROL = re.compile("[\x00-\x09\x0b-\x1f]")
SIZE = re.compile("0|[1-9][0-9]{0,18}")


class NoteKey(NamedTuple):
    """A verifier key: its name, the 32 bytes of its public key, the type of its signatures."""

    name: str
    key: bytes
    type: int = ED25519

    def id(self) -> bytes:
        """The first four bytes of a hash over name, type and key."""
        data = self.name.encode() + b"\n" + bytes([self.type]) + self.key
        return sha256(data).digest()[:4]

    @property
    def vkey(self) -> str:
        """R-60.5: the key as others write it down."""
        material = encode_base64(bytes([self.type]) + self.key)
        return f"{self.name}+{self.id().hex()}+{material}"


class Signature(NamedTuple):
    """One line: the name and id of a key, and the bytes of its signature."""

    name: str
    key_id: bytes
    data: bytes

    @property
    def line(self) -> str:
        """As it stands in a note, with its newline."""
        return f"\u2014 {self.name} {encode_base64(self.key_id + self.data)}\n"


class Note(NamedTuple):
    """`text` ends in a newline; signatures stand in their order, unverified."""

    text: str
    signatures: tuple[Signature, ...]


class Signer(NamedTuple):
    """Who signed, and when (seconds since 1970) if it is a cosignature."""

    key: NoteKey
    time: int | None


class Checkpoint(NamedTuple):
    """The three lines of a checkpoint's body."""

    origin: str
    size: int
    root: bytes


def parse_vkey(text: str) -> NoteKey:
    """R-60.5: `name+hex(id)+base64(type ‖ key)`. The base64 may itself hold `+`."""
    parts = text.split("+", 2)
    if len(parts) != 3:
        raise Malformed("R-60.5", "a verifier key has three parts")
    data = decode_base64(parts[2], "R-60.5")
    if not data or data[0] not in (ED25519, COSIGNATURE):
        raise Malformed("R-60.5", "a verifier key of an unknown type")
    key = NoteKey(parse_name(parts[0], "R-60.5"), data[1:], data[0])
    if parts[1] != key.id().hex():
        raise Malformed("R-60.5", "the key id is not that of name and key")
    require_ed25519(key.key)
    return key


def parse_note(data: bytes) -> Note:
    """Text and signature lines, unverified (R-60.1, R-60.2)."""
    if len(data) > MAX_NOTE:
        raise Malformed("R-60.1", f"a note of {len(data)} bytes")
    try:
        whole = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed("R-60.2", "a note is UTF-8") from error
    if CONTROL.search(whole):
        raise Malformed("R-60.2", "a control character in a note")
    text, gap, block = whole.rpartition("\n\n")
    if not gap or (block and not block.endswith("\n")):
        raise Malformed("R-60.2", "a note is text, an empty line and signature lines")
    lines = block.split("\n")[:-1]
    if not 1 <= len(lines) <= MAX_SIGNATURES:
        raise Malformed("R-60.1", f"{len(lines)} signatures")
    return Note(text + "\n", tuple(map(_signature, lines)))


def open_note(data: bytes, keys: Sequence[NoteKey]) -> tuple[str, list[Signer]]:
    """The text, and which of `keys` signed it: at least one (R-60.3, R-60.4)."""
    note = parse_note(data)
    return note.text, find_signers(note, keys)


def find_signers(note: Note, keys: Sequence[NoteKey]) -> list[Signer]:
    """Which of `keys` signed a note: at least one (R-60.3, R-60.4)."""
    known = {(key.name, key.id()): key for key in keys}
    signers: list[Signer] = []
    for signature in note.signatures:
        key = known.get((signature.name, signature.key_id))
        if key is None:
            continue
        if any(signer.key == key for signer in signers):
            raise BadSignature("R-60.3", f"{key.name} signs twice")
        signers.append(Signer(key, _verify(note.text, signature.data, key)))
    if not signers:
        raise BadSignature("R-60.4", "no signature of a known key")
    return signers


def _verify(text: str, data: bytes, key: NoteKey) -> int | None:
    """The time of a cosignature that verifies (R-60.6), None for a plain signature."""
    time, message = None, text.encode()
    if key.type == COSIGNATURE:
        time, data = int.from_bytes(data[:8], "big"), data[8:]
        if time >= 2**63:
            raise BadSignature("R-60.6", f"a cosignature of the time {time}")
        message = cosigned_message(text, time)
    if not verifies(data, message, key.key):
        raise BadSignature("R-60.3", f"the signature of {key.name} does not verify")
    return time


def cosigned_message(text: str, time: int) -> bytes:
    """What a cosignature signs (R-60.6)."""
    return b"cosignature/v1\ntime %d\n%b" % (time, text.encode())


def parse_checkpoint(text: str) -> Checkpoint:
    """A checkpoint's body (R-60.7, R-60.8)."""
    if text.count("\n") != 3 or not text.endswith("\n"):
        raise Malformed("R-60.7", "a checkpoint is origin, size and root, a line each")
    found = parse_head(text)
    parse_name(found.origin, "R-60.7")
    if not found.size and found.root != EMPTY_ROOT:
        raise Malformed("R-60.8", "the root is not that of the empty tree")
    return found


def parse_head(text: str) -> Checkpoint:
    """What a checkpoint's text begins with, in any log: other lines may follow (R-60.8).

    Neither the origin's form nor the root of the empty tree is checked.
    """
    lines = text.split("\n")
    if len(lines) < 4 or lines[-1]:
        raise Malformed("R-60.7", "a checkpoint is origin, size and root, a line each")
    origin, size, root = lines[0], lines[1], decode_base64(lines[2], "R-60.8")
    if len(root) != 32:
        raise Malformed("R-60.8", "the root is not 32 bytes")
    return Checkpoint(origin, parse_size(size, "R-60.8"), root)


def parse_size(text: str, rule: str) -> int:
    """A number below 2^63 in its one spelling."""
    if not SIZE.fullmatch(text) or int(text) >= 2**63:
        raise Malformed(rule, "the size is not a number in its one spelling")
    return int(text)


def open_checkpoint(data: bytes, key: NoteKey) -> Checkpoint:
    """A checkpoint signed by the log's own key, whose name is the origin (R-60.9)."""
    text, _ = open_note(data, [key])
    checkpoint = parse_checkpoint(text)
    if checkpoint.origin != key.name or key.type != ED25519:
        raise BadSignature("R-60.9", f"a checkpoint of {checkpoint.origin}, not {key.name}")
    return checkpoint


def _signature(line: str) -> Signature:
    found = SIGNATURE_LINE.fullmatch(line)
    if not found:
        raise Malformed("R-60.2", "a line that is not a signature")
    data = decode_base64(found[2], "R-60.2")
    if len(data) < 5:
        raise Malformed("R-60.2", "a signature is four bytes of key id, and more")
    return Signature(parse_name(found[1], "R-60.2"), data[:4], data[4:])


def parse_name(name: str, rule: str) -> str:
    """A name that a key or an origin may have."""
    if not name or "+" in name or any(map(str.isspace, name)):
        raise Malformed(rule, "a name is not empty and holds no space or +")
    return name


def decode_base64(text: str, rule: str) -> bytes:
    """Standard base64 in its one spelling."""
    try:
        data = binascii.a2b_base64(text)
    except ValueError as error:
        raise Malformed(rule, "not base64") from error
    if encode_base64(data) != text:
        raise Malformed(rule, "base64 in another than its one spelling")
    return data


def encode_base64(data: bytes) -> str:
    """Standard base64, padded, on one line."""
    return binascii.b2a_base64(data, newline=False).decode()
