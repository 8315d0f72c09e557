r"""tlog-proofs (C2SP tlog-proof, specs/68-proofs): an entry's place, its path, a checkpoint.

    c2sp.org/tlog-proof@v1
    extra <base64>                  maybe; nothing authenticates it
    index <decimal>
    <base64 of a hash>              the leaf's sibling first
    <an empty line, then the signed note>

>>> from ledger.format.checkpoint import Checkpoint, sign_checkpoint
>>> from ledger.format.keys import SigningKey
>>> from ledger.format.note import ED25519
>>> from ledger.tree.merkle import node_hash
>>> key, entries = SigningKey(bytes(32)), (b"one", b"two")
>>> one, two = map(leaf_hash, entries)
>>> head = Checkpoint("example.com/log", 2, node_hash(one, two))
>>> written = TlogProof(1, (one,), sign_checkpoint(head, key)).encode()
>>> open_proof(written, b"two", Verifier("example.com/log", ED25519, key.public)).index
1
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ledger.errors import MalformedInput
from ledger.format.checkpoint import MAX_SIZE, open_checkpoint
from ledger.format.note import Verifier, decode_base64, encode_base64
from ledger.tree.merkle import leaf_hash, verify_inclusion

MAX_PROOF_BYTES = 196_608
MAX_HASHES = 63

_HASH_BYTES = 32
_HEADER = "c2sp.org/tlog-proof@v1"
_DECIMAL = re.compile("0|[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True)
class TlogProof:
    """The leaf's index, the path's hashes (32 bytes each), the checkpoint's signed note.

    `extra` is what somebody added; nothing vouches for it.
    """

    index: int
    hashes: tuple[bytes, ...]
    note: bytes
    extra: bytes = b""

    def encode(self) -> bytes:
        """The file's bytes. Raises `MalformedInput` where `parse` would refuse them."""
        lines = [_HEADER]
        if self.extra:
            lines.append(f"extra {encode_base64(self.extra)}")
        lines += f"index {self.index}", *map(encode_base64, self.hashes)
        data = "".join(f"{line}\n" for line in lines).encode() + b"\n" + self.note
        if parse(data) != self:
            raise MalformedInput("R-68.1", "the proof would be read as another one")
        return data


def parse(data: bytes) -> TlogProof:
    """The proof that `data` spells, nothing of it checked. Raises `MalformedInput` (R-68.1, 2)."""
    if len(data) > MAX_PROOF_BYTES:
        raise MalformedInput("R-68.1", f"{len(data)} bytes, at most {MAX_PROOF_BYTES} allowed")
    head, gap, note = data.partition(b"\n\n")
    if not gap:
        raise MalformedInput("R-68.1", "no empty line")
    # Whatever is not ASCII is neither a digit nor base64 below.
    header, *lines = head.decode("latin-1").split("\n")
    if header != _HEADER:
        raise MalformedInput("R-68.1", f"the first line is not {_HEADER}")
    extra = _extra(lines.pop(0)) if lines and lines[0].startswith("extra ") else b""
    if not 1 <= len(lines) <= 1 + MAX_HASHES or not lines[0].startswith("index "):
        raise MalformedInput("R-68.1", f"not an index line and at most {MAX_HASHES} hashes")
    index = _index(lines[0].removeprefix("index "))
    return TlogProof(index, tuple(map(_hash, lines[1:])), note, extra)


def open_proof(data: bytes, entry: bytes, log: Verifier) -> TlogProof:
    """The proof, if it shows that `entry` stands in the log whose key is `log`.

    Raises what `parse` and `open_checkpoint` raise, and `MalformedInput` (R-20.3).
    """
    proof = parse(data)
    head = open_checkpoint(proof.note, log)
    verify_inclusion(leaf_hash(entry), proof.index, head.size, proof.hashes, head.root)
    return proof


def _extra(line: str) -> bytes:
    extra = decode_base64(line.removeprefix("extra "), "R-68.2")
    if not extra:
        raise MalformedInput("R-68.2", "an extra line without data")
    return extra


def _index(spelling: str) -> int:
    if not _DECIMAL.fullmatch(spelling) or int(spelling) > MAX_SIZE:
        raise MalformedInput("R-68.2", f"{spelling[:32]!r} is not an index")
    return int(spelling)


def _hash(line: str) -> bytes:
    found = decode_base64(line, "R-68.2")
    if len(found) != _HASH_BYTES:
        raise MalformedInput("R-68.2", f"a hash of {len(found)} bytes, not {_HASH_BYTES}")
    return found
