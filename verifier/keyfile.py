"""Secret keys in files, each one line that only its owner can read.

    cosigner = Cosigner.make("auditor.example/1")
    cosigner.save(path)
    cosigner.public.vkey                          # what others put into their policies
    Cosigner.load(path).cosign(text, time).line   # as it stands in a note

A cosigner's key is spelled as Go's `sumdb/note` spells one, `PRIVATE+KEY+name+id+base64(04 ‖ seed)`
with the id of its vkey: so neither name nor type is ever mistaken for another's.
"""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from nacl.signing import SigningKey

from verifier.errors import Malformed, Undecided
from verifier.note import (
    COSIGNATURE,
    NoteKey,
    Signature,
    cosigned_message,
    decode_base64,
    encode_base64,
    parse_name,
)

MAX_KEY_FILE = 4_096
PREFIX = "PRIVATE+KEY+"


def read_private(path: Path) -> str:
    """The one line of a file that is for its owner only."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(MAX_KEY_FILE + 1)
    except OSError as error:
        raise Undecided(f"the key file {path} cannot be read: {error.strerror}") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise Undecided(f"others can read {path}: run chmod 600 {path}")
    with contextlib.suppress(UnicodeDecodeError):
        line = data.decode().removesuffix("\n")
        if len(data) <= MAX_KEY_FILE and "\n" not in line:
            return line
    raise Undecided(f"{path} is not a key file")


@dataclass(frozen=True, slots=True)
class Cosigner:
    """A key that makes cosignatures/v1, under its name."""

    name: str
    key: SigningKey

    @classmethod
    def make(cls, name: str) -> Self:
        """A new key. Malformed: a name that no key may have (R-60.5)."""
        return cls(parse_name(name, "R-60.5"), SigningKey.generate())

    @classmethod
    def load(cls, path: Path) -> Self:
        """The key in a file that `save` wrote."""
        line = read_private(path)
        with contextlib.suppress(ValueError, Malformed):
            name, _, material = line.removeprefix(PREFIX).split("+", 2)
            seed = decode_base64(material, "R-60.5")[1:]
            found = cls(parse_name(name, "R-60.5"), SigningKey(seed))
            if found._spelling() == line:
                return found
        raise Undecided(f"{path} holds no cosigner's key: keyroll-verifier keygen makes one")

    def save(self, path: Path) -> None:
        """Writes a new file, durably; one of this name is left as it is."""
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(self._spelling() + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise Undecided(f"the key file {path} cannot be made: {error.strerror}") from error

    @property
    def public(self) -> NoteKey:
        """The public half."""
        return NoteKey(self.name, bytes(self.key.verify_key), COSIGNATURE)

    def cosign(self, text: str, time: int) -> Signature:
        """R-60.6. Whoever calls this has put down what they sign, durably. `time` is in seconds."""
        signature = self.key.sign(cosigned_message(text, time)).signature
        return Signature(self.name, self.public.id(), time.to_bytes(8, "big") + signature)

    def _spelling(self) -> str:
        material = encode_base64(bytes([COSIGNATURE]) + bytes(self.key))
        return f"{PREFIX}{self.name}+{self.public.id().hex()}+{material}"
