r"""Checkpoints: signed tree heads (C2SP tlog-checkpoint), without extension lines.

The text of the note is three lines: the origin, the tree size in decimal, the root hash in base64.
The log's key signs it under the origin as its name.

>>> from ledger.format.keys import SigningKey
>>> head = Checkpoint("example.com/log", 1, bytes(32))
>>> signed = sign_checkpoint(head, SigningKey(bytes(32)))
>>> log = Verifier("example.com/log", ED25519, SigningKey(bytes(32)).public)
>>> open_checkpoint(signed, log) == head
True
>>> parse(b"example.com/log\n01\n" + b"A" * 43 + b"=\n")
Traceback (most recent call last):
    ...
ledger.errors.MalformedInput: R-60.8: '01' is not a tree size
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from reprlib import repr as short

from ledger.errors import BadSignature, MalformedInput, UsageError
from ledger.format.keys import SigningKey
from ledger.format.note import (
    ED25519,
    Signer,
    Verifier,
    check_name,
    decode_base64,
    encode_base64,
    open_note,
    sign_note,
)

MAX_SIZE = 2**63 - 1
EMPTY_ROOT = sha256(b"").digest()

_HASH_BYTES = 32
# int() would also take signs, underscores, spaces and the digits of other scripts.
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log says of itself: at `size` leaves its RFC 6962 root hash is `root` (32 bytes)."""

    origin: str
    size: int
    root: bytes

    def encode(self) -> bytes:
        """The text of the note. Raises `MalformedInput` where `parse` would refuse it."""
        text = f"{self.origin}\n{self.size}\n{encode_base64(self.root)}\n".encode()
        if parse(text) != self:
            raise MalformedInput("R-60.7", "the checkpoint would be read as another one")
        return text


def parse(text: bytes) -> Checkpoint:
    """The checkpoint that a note's text spells.

    Raises `MalformedInput`: R-60.7 (three lines, no extension lines) or R-60.8 (size and root). The
    text is worth nothing without the log's signature: see `open_checkpoint`.
    """
    try:
        lines = text.decode().split("\n")
    except UnicodeDecodeError as error:
        raise MalformedInput("R-60.7", "the checkpoint is not UTF-8") from error
    if len(lines) != 4 or lines[3]:
        raise MalformedInput("R-60.7", "a checkpoint is three lines, each ending in newline")
    origin, decimal, base64 = lines[:3]
    check_name(origin, "R-60.7")
    size = _parse_size(decimal)
    root = decode_base64(base64, "R-60.8")
    if len(root) != _HASH_BYTES:
        raise MalformedInput("R-60.8", f"a root hash of {len(root)} bytes, not {_HASH_BYTES}")
    if not size and root != EMPTY_ROOT:
        raise MalformedInput("R-60.8", "the root of the empty tree is SHA-256 of nothing")
    return Checkpoint(origin, size, root)


def _parse_size(decimal: str) -> int:
    if not _DECIMAL.fullmatch(decimal) or int(decimal) > MAX_SIZE:
        raise MalformedInput("R-60.8", f"{short(decimal)} is not a tree size")
    return int(decimal)


def open_checkpoint(data: bytes, log: Verifier) -> Checkpoint:
    """The checkpoint in the signed note `data`, if the key `log` signed it as its own.

    The log's signature may stand at any place among others, which are ignored. Raises what
    `open_note` and `parse` raise, and `BadSignature` (R-60.9) if the origin is not the key's name.
    """
    if log.kind != ED25519:
        raise UsageError("a log signs its checkpoints with a key of type 0x01")
    note, _ = open_note(data, [log])
    checkpoint = parse(note.text)
    if checkpoint.origin != log.name:
        raise BadSignature("R-60.9", f"signed by {log.name} for {short(checkpoint.origin)}")
    return checkpoint


def sign_checkpoint(checkpoint: Checkpoint, key: SigningKey) -> bytes:
    """The signed note of `checkpoint`, by the log's key under the origin as its name."""
    return sign_note(checkpoint.encode(), [Signer(checkpoint.origin, key)])
