"""Proofs in the directory: what it holds for a label, or that it holds nothing (R-30.8 to R-30.11).

directory-proof = [depth, mask, siblings, end]
end = [0] the label's own leaf / [1, label, value] another's / [2, left, right] nothing, beside
      the node of left and right

check(parse(data), label, held, root)      # `held` is the label's value; None: nothing

`read` takes a proof that stands within something else that was decoded, and `require_shape` says
beforehand whether it can.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any, NamedTuple

from verifier.cbor import Many, decode, fits
from verifier.directory import leaf
from verifier.errors import Malformed

CAP = 16_384
BITS = 256
NONE = bytes(32)
SHAPES = [
    (range(BITS + 1), bytes, Many(32, range(BITS + 1)), end)
    for end in ((range(1),), (range(1, 2), 32, 32), (range(2, 3), 32, 32))
]


class Proof(NamedTuple):
    """`beside` has a hash for each node of the path, from the root down: zeros for nothing."""

    beside: list[bytes]
    end: tuple[int, bytes, bytes]


def parse(data: bytes) -> Proof:
    """A proof by itself."""
    return read(decode(data, CAP))


def require_shape(value: Any) -> None:
    """R-10.4: the decoded CBOR is a directory-proof."""
    if not any(fits(value, shape) for shape in SHAPES):
        raise Malformed("R-10.4", "not a directory-proof")
    if len(value[1]) > BITS // 8:
        raise Malformed("R-10.4", "a mask of more bits than a label")


def read(value: Any) -> Proof:
    """R-30.8, R-30.9: as many siblings as the mask says, in a shape that a directory can have."""
    require_shape(value)
    depth, mask, given, end = value
    kind, first, second = [*end, NONE, NONE][:3]
    if kind == 2 and (not depth or first == second == NONE):
        raise Malformed("R-30.9", "a node of two empties")
    siblings = [*given, _node(first, second)] if kind == 2 else given
    path = "".join(f"{byte:08b}" for byte in mask)
    if len(path) != -(-depth // 8) * 8 or "1" in path[depth:]:
        raise Malformed("R-30.8", "the mask is not as long as the path")
    path = path[:depth]
    if path.count("1") != len(siblings) or NONE in siblings:
        raise Malformed("R-30.8", "not one sibling for each bit of the mask")
    if path.endswith("0"):
        raise Malformed("R-30.9", "a node above one label")
    rest = iter(siblings)
    return Proof([next(rest) if bit == "1" else NONE for bit in path], (kind, first, second))


def check(proof: Proof, label: bytes, held: bytes | None, root: bytes) -> None:
    """R-30.10, R-30.11: the directory with this root holds `held` for `label`, or nothing."""
    kind, first, second = proof.end
    if (kind == 0) != (held is not None):
        raise Malformed("R-30.11", "the proof shows the contrary")
    way = _bits(label)[: len(proof.beside)]
    if kind == 1 and (first == label or not _bits(first).startswith(way)):
        raise Malformed("R-30.10", "the path to that leaf is not the label's")
    ends = {0: leaf(label, held or NONE), 1: leaf(first, second), 2: NONE}
    if _rise(proof.beside, way, ends[kind]) != root:
        raise Malformed("R-30.11", "the proof leads to another root")


def _rise(beside: list[bytes], way: str, end: bytes) -> bytes:
    """The root above `end`."""
    for turn, sibling in zip(reversed(way), reversed(beside), strict=True):
        end = _node(sibling, end) if turn == "1" else _node(end, sibling)
    return end


def _node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x03" + left + right).digest()


def _bits(label: bytes) -> str:
    return f"{int.from_bytes(label, 'big'):0{BITS}b}"
