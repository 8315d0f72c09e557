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
from tests.support.variants import variants

ROUNDS = settings(max_examples=300, deadline=None)


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
    auditors = s.teller.auditors if s.policy.verifiers else ()
    data = s.teller.lying(auditors=auditors).answer(s.asked)
    s.judge(data)
    for where in range(0, len(data), 41):
        with pytest.raises(KeyrollError):
            s.judge(data[:where] + bytes([data[where] ^ 0x10]) + data[where + 1 :])
