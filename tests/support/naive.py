"""The directory, rebuilt from nothing by its definition (R-30.3): slow, short, and its own code.

>>> directory_root({}) == bytes(32)
True
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256


def directory_root(values: Mapping[bytes, bytes]) -> bytes:
    """The root over label -> value, all of 32 bytes."""
    leaves = {bits(label): sha256(b"\x02" + label + values[label]).digest() for label in values}
    return _root(leaves, "")


def bits(label: bytes) -> str:
    """The label as text of 0 and 1, the most significant bit of its first byte first."""
    return "".join(f"{byte:08b}" for byte in label)


def _root(leaves: Mapping[str, bytes], prefix: str) -> bytes:
    below = {name: leaf for name, leaf in leaves.items() if name.startswith(prefix)}
    if len(below) < 2:
        return next(iter(below.values()), bytes(32))
    pair = _root(below, prefix + "0") + _root(below, prefix + "1")
    return sha256(b"\x03" + pair).digest()
