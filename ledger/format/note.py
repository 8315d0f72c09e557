r"""Signed notes, verifier keys and cosignatures (C2SP signed-note, tlog-cosignature).

    <text, its lines ending in newline>
    <an empty line>
    — <name> <base64(key id[4] ‖ signature)>

A key is known by its name and its id, SHA-256(name ‖ newline ‖ type ‖ public key)[:4], and written
as a vkey: `name+hex(id)+base64(type ‖ public key)`. Two types are supported: `ED25519`, which signs
the text, and `COSIGNATURE`, which signs a time and the text of a checkpoint.

>>> from ledger.format.keys import SigningKey
>>> signer = Signer("example.com/log", SigningKey(bytes(32)))
>>> signed = sign_note(b"text\n", [signer])
>>> note, verified = open_note(signed, [parse_vkey(signer.verifier.vkey)])
>>> note.text, verified[0].verifier.name
(b'text\n', 'example.com/log')

A text means nothing until `open_note` has found a known key's signature on it.
"""

from __future__ import annotations

import re
from binascii import Error as BinasciiError
from binascii import a2b_base64, b2a_base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from reprlib import repr as short

from ledger.errors import BadSignature, MalformedInput, UsageError
from ledger.format import keys

MAX_NOTE_BYTES = 131_072  # 16 signatures of 5 kB, as post-quantum ones may be, have to fit
MAX_SIGNATURES = 64
MAX_TIME = 2**63 - 1

ED25519 = 0x01
COSIGNATURE = 0x04

_KEY_ID_BYTES = 4
_DASH = "\u2014 "
_CONTROL = re.compile(rb"[\x00-\x09\x0b-\x1f]")
_NOT_IN_NAMES = re.compile("[\x00-\x1f+\ud800-\udfff]")


def encode_base64(data: bytes) -> str:
    """Standard base64 with padding, on one line (RFC 4648 section 4)."""
    return b2a_base64(data, newline=False).decode("ascii")


def decode_base64(spelling: str, rule: str) -> bytes:
    """The bytes that `spelling` stands for. Raises `MalformedInput(rule)` for any other spelling.

    Refused are other alphabets, missing padding, stray bits in the last character and whitespace.
    """
    try:
        data = a2b_base64(spelling)
    except (BinasciiError, ValueError) as error:
        raise MalformedInput(rule, f"{short(spelling)} is not base64") from error
    if encode_base64(data) != spelling:
        raise MalformedInput(rule, f"{short(spelling)} is not the one spelling of its base64")
    return data


def check_name(name: str, rule: str) -> str:
    """`name` if it may name a key: not empty, no space of any kind, no plus and no control."""
    if name.split() != [name] or _NOT_IN_NAMES.search(name):
        raise MalformedInput(rule, f"{short(name)} is not a key name")
    return name


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line. `blob` is what follows the key id: its meaning depends on the key."""

    name: str
    key_id: bytes
    blob: bytes

    @property
    def line(self) -> str:
        """The signature line, with its newline."""
        return f"{_DASH}{self.name} {encode_base64(self.key_id + self.blob)}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A text, ending in newline, and the signature lines under it, none of them checked."""

    text: bytes
    signatures: tuple[NoteSignature, ...]

    def encode(self) -> bytes:
        """The note's bytes. Raises `MalformedInput` where `parse_note` would refuse them."""
        lines = "".join(signature.line for signature in self.signatures)
        data = self.text + b"\n" + lines.encode()
        if parse_note(data) != self:
            raise MalformedInput("R-60.2", "the note would be read as another one")
        return data


@dataclass(frozen=True, slots=True)
class Verifier:
    """A known key: its name, its type (`ED25519` or `COSIGNATURE`) and its 32 bytes."""

    name: str
    kind: int
    public: bytes
    key_id: bytes = field(init=False)

    def __post_init__(self) -> None:
        check_name(self.name, "R-60.5")
        if self.kind not in (ED25519, COSIGNATURE):
            raise MalformedInput("R-60.5", f"key type {self.kind:#04x} is not supported")
        keys.check_signing_key(self.public)
        object.__setattr__(self, "key_id", _key_id(self.name, self.kind, self.public))

    @property
    def vkey(self) -> str:
        """The key in its portable spelling."""
        return f"{self.name}+{self.key_id.hex()}+{encode_base64(bytes([self.kind]) + self.public)}"

    def verify(self, text: bytes, blob: bytes) -> Verified:
        """What `blob` says of `text`. Raises `BadSignature`: R-60.3, or R-60.6 for its form."""
        time, signature, message = None, blob, text
        if self.kind == COSIGNATURE:
            time, signature = int.from_bytes(blob[:8]), blob[8:]
            if time > MAX_TIME:
                raise BadSignature("R-60.6", f"{self.name} cosigned at a time beyond 2^63 - 1")
            message = _cosigned_message(text, time)
        if not keys.verifies(self.public, message, signature):
            raise BadSignature("R-60.3", f"the signature of {self.name} does not verify")
        return Verified(self, time)


@dataclass(frozen=True, slots=True)
class Verified:
    """A signature that verified. `time` is a cosignature's, in seconds since the epoch."""

    verifier: Verifier
    time: int | None


@dataclass(frozen=True, slots=True)
class Signer:
    """A key that signs notes under a name, with type `ED25519`."""

    name: str
    key: keys.SigningKey

    @property
    def verifier(self) -> Verifier:
        """The public half."""
        return Verifier(self.name, ED25519, self.key.public)

    def sign(self, text: bytes) -> NoteSignature:
        """The signature line for `text`."""
        key_id = _key_id(self.name, ED25519, self.key.public)
        return NoteSignature(self.name, key_id, self.key.sign(text))


def parse_vkey(vkey: str) -> Verifier:
    """The key that `vkey` spells. Raises `MalformedInput` (R-60.5; R-15.1 for the key itself)."""
    parts = vkey.split("+", 2)  # base64 may hold a plus
    if len(parts) != 3:
        raise MalformedInput("R-60.5", f"{short(vkey)} is not name+id+key")
    name, _, key = parts
    material = decode_base64(key, "R-60.5")
    if not material:
        raise MalformedInput("R-60.5", f"{short(vkey)} holds no key")
    verifier = Verifier(name, material[0], material[1:])
    if verifier.vkey != vkey:
        raise MalformedInput("R-60.5", f"{short(vkey)} does not hold the id of its key")
    return verifier


def parse_note(data: bytes) -> Note:
    """The note that `data` spells, unchecked. Raises `MalformedInput` (R-60.1, R-60.2)."""
    if len(data) > MAX_NOTE_BYTES:
        raise MalformedInput("R-60.1", f"{len(data)} bytes, at most {MAX_NOTE_BYTES} allowed")
    if _CONTROL.search(data):
        raise MalformedInput("R-60.2", "a control character other than newline")
    text, separator, lines = data.rpartition(b"\n\n")
    if not separator:
        raise MalformedInput("R-60.2", "no empty line between text and signatures")
    try:
        text.decode()
    except UnicodeDecodeError as error:
        raise MalformedInput("R-60.2", "the text is not UTF-8") from error
    return Note(text + b"\n", parse_signatures(lines))


def parse_signatures(data: bytes) -> tuple[NoteSignature, ...]:
    """1 to `MAX_SIGNATURES` signature lines, as they stand in a note or in a witness's answer.

    Raises `MalformedInput` (R-60.1, R-60.2).
    """
    if len(data) > MAX_NOTE_BYTES:
        raise MalformedInput("R-60.1", f"{len(data)} bytes, at most {MAX_NOTE_BYTES} allowed")
    try:
        lines = data.decode().split("\n")
    except UnicodeDecodeError as error:
        raise MalformedInput("R-60.2", "the signature lines are not UTF-8") from error
    if lines.pop():
        raise MalformedInput("R-60.2", "the last line does not end in newline")
    if not 1 <= len(lines) <= MAX_SIGNATURES:
        raise MalformedInput("R-60.1", f"{len(lines)} signatures, not 1 to {MAX_SIGNATURES}")
    return tuple(_parse_line(line) for line in lines)


def _parse_line(line: str) -> NoteSignature:
    """One signature line, without its newline."""
    name, _, spelling = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH):
        raise MalformedInput("R-60.2", f"{short(line)} is not a signature line")
    check_name(name, "R-60.2")
    data = decode_base64(spelling, "R-60.2")
    if len(data) <= _KEY_ID_BYTES:
        raise MalformedInput("R-60.2", f"{short(line)} holds no signature")
    return NoteSignature(name, data[:_KEY_ID_BYTES], data[_KEY_ID_BYTES:])


def open_note(data: bytes, verifiers: Sequence[Verifier]) -> tuple[Note, list[Verified]]:
    """The note that `data` spells, and what the known keys among its signers say, in their order.

    Raises `MalformedInput` (R-60.1, R-60.2), and `BadSignature` if a known key's signature fails or
    comes twice (R-60.3), or if there is none (R-60.4). Unknown keys are ignored. Every known key is
    in the result at most once, so its length counts keys.
    """
    known = _by_name_and_id(verifiers)
    note = parse_note(data)
    verified: dict[Verifier, Verified] = {}
    for signature in note.signatures:
        verifier = known.get((signature.name, signature.key_id))
        if verifier is None:
            continue
        if verifier in verified:
            raise BadSignature("R-60.3", f"{verifier.name} signed twice with one key")
        verified[verifier] = verifier.verify(note.text, signature.blob)
    if not verified:
        raise BadSignature("R-60.4", "no known key has signed the note")
    return note, list(verified.values())


def _by_name_and_id(verifiers: Sequence[Verifier]) -> dict[tuple[str, bytes], Verifier]:
    """The known keys by what a signature line names. Two that can't be told apart are refused."""
    known: dict[tuple[str, bytes], Verifier] = {}
    for verifier in verifiers:
        if known.setdefault((verifier.name, verifier.key_id), verifier) != verifier:
            raise UsageError(f"two keys are both {verifier.name}+{verifier.key_id.hex()}")
    return known


def sign_note(text: bytes, signers: Sequence[Signer]) -> bytes:
    """The note of `text`, which must end in newline, signed by each of `signers`."""
    return Note(text, tuple(signer.sign(text) for signer in signers)).encode()


def cosign(text: bytes, name: str, key: keys.SigningKey, time: int) -> NoteSignature:
    """The cosignature/v1 of a checkpoint's `text` at `time`, in seconds since the epoch."""
    if not 0 <= time <= MAX_TIME:
        raise MalformedInput("R-60.6", "a cosignature's time is not within 0 .. 2^63 - 1")
    blob = time.to_bytes(8) + key.sign(_cosigned_message(text, time))
    return NoteSignature(name, _key_id(name, COSIGNATURE, key.public), blob)


def _key_id(name: str, kind: int, public: bytes) -> bytes:
    return sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:_KEY_ID_BYTES]


def _cosigned_message(text: bytes, time: int) -> bytes:
    return b"cosignature/v1\ntime %d\n%b" % (time, text)
