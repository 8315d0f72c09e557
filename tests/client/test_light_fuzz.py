"""Bundles, states and saved lookups from anybody: what they are, or `MalformedInput`, nothing else.

Inputs are made by their structure: the value of an honest one, a part of which is another value, a
part of another place, twice, or gone. So they are well-formed CBOR, and pass the decoder's first
doors.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import KeyrollError, LogMisbehaved, MalformedInput
from ledger.format.cbor import decode
from ledger.format.lookup import MAX_BUNDLE_BYTES, Bundle, LookupRequest, Saved
from ledger.rules.state import parse_state
from tests.client.lies import SCENES, Scene, world
from tests.client.light_world import ADA

ROUNDS = settings(max_examples=300, deadline=None)

Path = tuple[int, ...]
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, 1, 2, 23, 24, 255, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64 - 1]),
    st.binary(max_size=40),
    st.binary(min_size=32, max_size=32),
    st.text(max_size=8),
)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4), max_leaves=6)


def places(value: Any, path: Path = ()) -> list[Path]:
    """All places in a value, itself first."""
    found = [path]
    if isinstance(value, list):
        for at, one in enumerate(value):
            found += places(one, (*path, at))
    return found


def at(value: Any, path: Path) -> Any:
    for step in path:
        value = value[step]
    return value


def put(value: Any, path: Path, other: Any) -> Any:
    """The value, with another one at this place."""
    if not path:
        return other
    step, *rest = path
    return [put(one, tuple(rest), other) if n == step else one for n, one in enumerate(value)]


def bent(draw: st.DrawFn, part: Any, whole: Any) -> Any:
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
    return draw(values)


@st.composite
def variants(draw: st.DrawFn, honest: Any) -> Any:
    """An honest value, bent in one to three places."""
    value = honest
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(places(value)))
        value = put(value, path, bent(draw, at(value, path), honest))
    return value


@cache
def scene(name: str) -> Scene:
    return SCENES[name]()


@cache
def honest(name: str) -> Any:
    s = scene(name)
    return decode(s.teller.answer(s.asked), MAX_BUNDLE_BYTES)


def takes(parse: Callable[[bytes], Any], value: Any) -> None:
    """The parser gives a value that spells the same bytes, or refuses."""
    data = cbor2.dumps(value)
    try:
        found = parse(data)
    except MalformedInput:
        return
    assert found.encode() == data


SCENE_NAMES = ("new", "known", "nobody", "audited", "audited known", "pair")


@ROUNDS
@given(st.data())
def test_bundles(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(SCENE_NAMES))
    takes(Bundle.decode, data.draw(variants(honest(name))))


@ROUNDS
@given(st.data())
def test_what_is_proven_is_the_truth(data: st.DataObject) -> None:
    """Whatever is changed: it is refused, or it changes nothing of what is found."""
    name = data.draw(st.sampled_from(SCENE_NAMES))
    s, value = scene(name), data.draw(variants(honest(name)))
    truth = s.judge(cbor2.dumps(honest(name)))
    try:
        outcome = s.judge(cbor2.dumps(value))
    except (MalformedInput, LogMisbehaved):
        return
    assert outcome.found == truth.found[: len(outcome.found)]
    assert (outcome.view.size, outcome.view.root) == (truth.view.size, truth.view.root)


@ROUNDS
@given(st.data())
def test_requests(data: st.DataObject) -> None:
    asked = decode(scene("pair").asked.encode(), 10_000)
    takes(LookupRequest.decode, data.draw(variants(asked)))


@ROUNDS
@given(st.data())
def test_states(data: st.DataObject) -> None:
    told = data.draw(st.sampled_from(sorted(world().teller.told.items())))[1]
    takes(parse_state, data.draw(variants(decode(told.state, 10_000))))


@ROUNDS
@given(st.data())
def test_saved_lookups(data: st.DataObject) -> None:
    saved = Saved(world().log.log_id, ADA, b"bundle")
    takes(Saved.decode, data.draw(variants(decode(saved.encode(), 10_000))))


@ROUNDS
@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    for parse in (Bundle.decode, LookupRequest.decode, Saved.decode, parse_state):
        with pytest.raises(MalformedInput):
            parse(data)


@pytest.mark.parametrize("name", SCENE_NAMES)
def test_every_bit_counts(name: str) -> None:
    """One byte changed, here and there all over the bundle: refused, always."""
    s = scene(name)
    # Whoever asks no auditor ignores their lines, and what is in them.
    auditors = s.teller.auditors if s.policy.auditors else ()
    data = s.teller.lying(auditors=auditors).answer(s.asked)
    s.judge(data)
    for where in range(0, len(data), 41):
        with pytest.raises(KeyrollError):
            s.judge(data[:where] + bytes([data[where] ^ 0x10]) + data[where + 1 :])
