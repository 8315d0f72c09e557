"""Signed notes and checkpoints (C2SP signed-note, tlog-checkpoint; specs/60-checkpoints).

key = NoteKey(origin, log_key)
checkpoint = open_checkpoint(data, key)         # or Malformed, BadSignature
checkpoint.size, checkpoint.root
"""

from __future__ import annotations

import base64
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


class Signature(NamedTuple):
    """One line: the name and id of a key, and the bytes of its signature."""

    name: str
    key_id: bytes
    data: bytes


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
    data = _base64(parts[2], "R-60.5")
    if not data or data[0] not in (ED25519, COSIGNATURE):
        raise Malformed("R-60.5", "a verifier key of an unknown type")
    key = NoteKey(_name(parts[0], "R-60.5"), data[1:], data[0])
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
    if any(character < " " and character != "\n" for character in whole):
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
    return note.text, signers


def _verify(text: str, data: bytes, key: NoteKey) -> int | None:
    """The time of a cosignature that verifies (R-60.6), None for a plain signature."""
    time, message = None, text.encode()
    if key.type == COSIGNATURE:
        time, data = int.from_bytes(data[:8], "big"), data[8:]
        if time >= 2**63:
            raise BadSignature("R-60.6", f"a cosignature of the time {time}")
        message = b"cosignature/v1\ntime %d\n%b" % (time, message)
    if not verifies(data, message, key.key):
        raise BadSignature("R-60.3", f"the signature of {key.name} does not verify")
    return time


def parse_checkpoint(text: str) -> Checkpoint:
    """A checkpoint's body (R-60.7, R-60.8)."""
    lines = text.split("\n")
    if len(lines) != 4 or lines[3]:
        raise Malformed("R-60.7", "a checkpoint is origin, size and root, a line each")
    origin, size, root = _name(lines[0], "R-60.7"), lines[1], _base64(lines[2], "R-60.8")
    if not SIZE.fullmatch(size) or int(size) >= 2**63:
        raise Malformed("R-60.8", "the size is not a number in its one spelling")
    if len(root) != 32 or (size == "0" and root != EMPTY_ROOT):
        raise Malformed("R-60.8", "the root is not 32 bytes, or not that of the empty tree")
    return Checkpoint(origin, int(size), root)


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
    data = _base64(found[2], "R-60.2")
    if len(data) < 5:
        raise Malformed("R-60.2", "a signature is four bytes of key id, and more")
    return Signature(_name(found[1], "R-60.2"), data[:4], data[4:])


def _name(name: str, rule: str) -> str:
    if not name or "+" in name or any(map(str.isspace, name)):
        raise Malformed(rule, "a name is not empty and holds no space or +")
    return name


def _base64(text: str, rule: str) -> bytes:
    """Standard base64 in its one spelling."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Malformed(rule, "not base64") from error
    if base64.b64encode(data).decode() != text:
        raise Malformed(rule, "base64 in another than its one spelling")
    return data
