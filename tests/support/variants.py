"""Nested values that are nearly right: an honest one, bent in a place or a few.

For decoders of anything: what comes out is well-formed, and passes their first doors.

>>> put([1, [2, 3]], (1, 0), b"x")
[1, [b'x', 3]]
>>> places([1, [2]])
[(), (0,), (1,), (1, 0)]
"""

from __future__ import annotations

from typing import Any, TypeAlias

from hypothesis import strategies as st

Path: TypeAlias = tuple[int, ...]

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, 1, 2, 23, 24, 255, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64 - 1]),
    st.binary(max_size=40),
    st.binary(min_size=32, max_size=32),
    st.text(max_size=8),
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4), max_leaves=6)


def places(value: Any, path: Path = ()) -> list[Path]:
    """All places in a value, itself first."""
    found = [path]
    if isinstance(value, list):
        for at, one in enumerate(value):
            found += places(one, (*path, at))
    return found


def at(value: Any, path: Path) -> Any:
    """What stands there."""
    for step in path:
        value = value[step]
    return value


def put(value: Any, path: Path, other: Any) -> Any:
    """The value, with another one at this place."""
    if not path:
        return other
    step, *rest = path
    return [put(one, tuple(rest), other) if n == step else one for n, one in enumerate(value)]


@st.composite
def variants(draw: st.DrawFn, honest: Any) -> Any:
    """An honest value, bent in one to three places."""
    value = honest
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(places(value)))
        value = put(value, path, _bent(draw, at(value, path), honest))
    return value


def _bent(draw: st.DrawFn, part: Any, whole: Any) -> Any:
    """What stands in the place of `part`."""
    how = draw(st.integers(0, 4))
    if how == 1:
        return at(whole, draw(st.sampled_from(places(whole))))
    if how == 2 and isinstance(part, bytes) and part:
        where, bit = draw(st.integers(0, len(part) - 1)), draw(st.integers(0, 7))
        return part[:where] + bytes([part[where] ^ 1 << bit]) + part[where + 1 :]
    if how == 3 and isinstance(part, list) and part:
        where = draw(st.integers(0, len(part) - 1))
        return [*part[:where], *part[where + 1 :]]
    if how == 4 and isinstance(part, list) and part:
        return [*part, draw(st.sampled_from(part))]
    if how == 4 and isinstance(part, int):
        return max(0, part + draw(st.integers(-2, 2)))
    return draw(VALUES)
