"""CBOR values with something wrong in them, for decoders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

values = st.one_of(
    st.integers(0, 5),
    st.just(2**64 - 1),
    st.binary(max_size=40),
    st.binary(min_size=32, max_size=32),
    st.text(max_size=10),
    st.none(),
    st.booleans(),
    st.lists(st.binary(max_size=2), max_size=3),
)


def changed(value: Any, pick: Callable[[int], int], new: Any) -> Any:
    """`value` with one part of it, at any depth, replaced."""
    if not isinstance(value, list) or not value or not pick(3):
        return new
    place = pick(len(value))
    return [*value[:place], changed(value[place], pick, new), *value[place + 1 :]]
