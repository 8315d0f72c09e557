"""Signed notes and checkpoints (C2SP signed-note, tlog-checkpoint; specs/60-checkpoints).

    key = NoteKey(origin, log_key)
    checkpoint = open_checkpoint(data, key)         # or Malformed, BadSignature
    checkpoint.size, checkpoint.root
"""

from __future__ import annotations

import base64
import binascii
import re
from hashlib import sha256
from typing import NamedTuple

from verifier.errors import BadSignature, Malformed
from verifier.keys import require_ed25519, verifies

ED25519 = 1
MAX_NOTE = 1 << 17
MAX_SIGNATURES = 64
SIGNATURE_LINE = re.compile("\u2014 ([^ \n]+) ([^ \n]+)")
SIZE = re.compile("0|[1-9][0-9]{0,18}")


class NoteKey(NamedTuple):
    """An Ed25519 verifier key: its name and the 32 bytes of its public key."""

    name: str
    key: bytes

    def id(self) -> bytes:
        """The first four bytes of a hash over name, type and key."""
        data = self.name.encode() + b"\n" + bytes([ED25519]) + self.key
        return sha256(data).digest()[:4]


class Note(NamedTuple):
    """`text` ends in a newline; signatures are (name, key id, bytes) in their order."""

    text: str
    signatures: tuple[tuple[str, bytes, bytes], ...]


class Checkpoint(NamedTuple):
    origin: str
    size: int
    root: bytes


def parse_vkey(text: str) -> NoteKey:
    """`name+hex(id)+base64(type ‖ key)`; the base64 may itself hold `+`."""
    parts = text.split("+", 2)
    if len(parts) != 3:
        raise Malformed("R-60.2", "a verifier key has three parts")
    data = _base64(parts[2], "R-60.2")
    if len(data) != 33 or data[0] != ED25519:
        raise Malformed("R-60.2", "not an Ed25519 verifier key")
    key = NoteKey(_name(parts[0]), data[1:])
    if parts[1] != key.id().hex():
        raise Malformed("R-60.2", "the key id is not that of name and key")
    require_ed25519(key.key)
    return key


def parse_note(data: bytes) -> Note:
    """Text and signature lines, unverified."""
    if len(data) > MAX_NOTE:
        raise Malformed("R-60.1", f"a note of {len(data)} bytes")
    try:
        whole = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed("R-60.1", "a note is UTF-8") from error
    if any(character < " " and character != "\n" for character in whole):
        raise Malformed("R-60.1", "a control character in a note")
    text, gap, block = whole.rpartition("\n\n")
    if not gap or not text or not block.endswith("\n"):
        raise Malformed("R-60.1", "a note is text, an empty line and signature lines")
    lines = block[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise Malformed("R-60.1", f"{len(lines)} signatures")
    return Note(text + "\n", tuple(map(_signature, lines)))


def open_note(data: bytes, key: NoteKey) -> str:
    """The text, if `key` signed it: at least one signature, and none of its own that fails."""
    note = parse_note(data)
    mine = [sig for name, id_, sig in note.signatures if (name, id_) == (key.name, key.id())]
    if not mine:
        raise BadSignature("R-60.2", f"no signature by {key.name}")
    if not all(len(sig) == 64 and verifies(sig, note.text.encode(), key.key) for sig in mine):
        raise BadSignature("R-60.2", f"a signature by {key.name} does not verify")
    return note.text


def parse_checkpoint(text: str) -> Checkpoint:
    """The three lines of a checkpoint's body. Extension lines are refused."""
    lines = text.split("\n")
    if len(lines) != 4 or lines[3] or not lines[0]:
        raise Malformed("R-60.3", "a checkpoint is origin, size and root, a line each")
    origin, size, root = lines[:3]
    if not SIZE.fullmatch(size) or int(size) >= 2**63:
        raise Malformed("R-60.3", "the size is not a number in its one spelling")
    hash_ = _base64(root, "R-60.3")
    if len(hash_) != 32:
        raise Malformed("R-60.3", "the root is not 32 bytes")
    return Checkpoint(origin, int(size), hash_)


def open_checkpoint(data: bytes, key: NoteKey) -> Checkpoint:
    """A checkpoint signed by `key`, whose name is its origin (R-61.1)."""
    checkpoint = parse_checkpoint(open_note(data, key))
    if checkpoint.origin != key.name:
        raise Malformed("R-61.1", f"a checkpoint of {checkpoint.origin}, not {key.name}")
    return checkpoint


def _signature(line: str) -> tuple[str, bytes, bytes]:
    found = SIGNATURE_LINE.fullmatch(line)
    if not found:
        raise Malformed("R-60.1", "a line that is not a signature")
    data = _base64(found[2], "R-60.1")
    if len(data) < 5:
        raise Malformed("R-60.1", "a signature is four bytes of key id, and more")
    return _name(found[1]), data[:4], data[4:]


def _name(name: str) -> str:
    if not name or "+" in name or any(map(str.isspace, name)):
        raise Malformed("R-60.1", "a key's name is not empty and holds no space or +")
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
