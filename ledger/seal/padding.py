"""Padmé: lengths that tell little of what was sealed (R-90.5).

>>> padded_length(1_000_000)
1015808

A length of L bytes leaks no more than O(log log L) bits, for at most 12 % more bytes (Nikitin and
others, "Reducing Metadata Leakage from Encrypted Files and Communication with PURBs", section 4).
"""

from __future__ import annotations


def padded_length(length: int) -> int:
    """`length` in bytes, rounded up as Padmé does."""
    if length < 2:
        return length
    exponent = length.bit_length() - 1
    kept = exponent.bit_length()
    step = 1 << (exponent - kept)
    return -(-length // step) * step
