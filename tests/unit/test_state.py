"""States and chains: their CBOR, their records, the keys that were retired (50-rules)."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import MalformedInput
from ledger.format.bodies import Demands, Limits
from ledger.format.cbor import decode, encode
from ledger.rules.state import (
    Chain,
    Device,
    GroupState,
    LogState,
    State,
    UserState,
    accumulate,
    decode_state,
    is_retired,
    parse_state,
)

ROUNDS = settings(max_examples=100, deadline=None)

keys = st.binary(min_size=32, max_size=32)
indices = st.integers(0, 2**63 - 1)
times = st.integers(0, 2**53 - 1)
counts = st.integers(0, 2**32)
retired = st.lists(keys, max_size=4).map(b"".join)
limits = st.builds(
    Limits,
    st.integers(1_024, 16_384),
    st.integers(1, 64),
    st.integers(1, 4_096),
    st.integers(1, 65_535),
)
demands = st.builds(
    Demands, st.integers(0, 32), st.integers(0, 32), st.integers(1_000, 604_800_000)
)
devices = st.builds(Device, keys, keys, st.integers(0, 1), keys, indices)
origins = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=128)
log_states = st.builds(
    LogState,
    *(keys, indices, times, origins, keys, keys, keys, keys, keys),
    *(limits, st.integers(1_000, 86_400_000), demands, retired),
)
user_states = st.builds(
    UserState,
    *(keys, indices, times, keys, counts, counts, keys | st.none(), indices),
    *(st.lists(devices, max_size=4).map(tuple), retired, counts, counts),
)
group_states = st.builds(
    GroupState,
    *(keys, indices, times, counts, keys | st.none(), keys | st.none(), indices, indices),
    *(retired, counts, counts),
)
states = log_states | user_states | group_states


@ROUNDS
@given(states)
def test_a_state_survives(state: State) -> None:
    data = state.encode()
    assert decode_state(data) == state
    assert decode_state(data).encode() == data


@ROUNDS
@given(states)
def test_its_bytes_are_canonical_and_as_specified(state: State) -> None:
    value: Any = decode(state.encode(), 1 << 20)
    if isinstance(state, LogState):
        assert value == [
            *(0, state.head, state.index, state.born, state.origin, *state.keys),
            [*state.limits.to_value()],  # type: ignore[misc]
            state.heartbeat,
            [*state.demands.to_value()],  # type: ignore[misc]
            state.retired,
        ]
        return
    if isinstance(state, GroupState):
        assert value == [
            *(2, state.head, state.index, state.born, state.generation),
            *(state.signing, state.encryption, state.key_index, state.rotated),
            *(state.retired, state.day, state.count),
        ]
        return
    listed = [[d.signing, d.encryption, d.kind, d.added_by, d.index] for d in state.devices]
    assert value == [
        *(1, state.head, state.index, state.born, state.commitment, state.epoch),
        *(state.generation, state.user_key, state.user_key_index, listed),
        *(state.retired, state.day, state.count),
    ]


@ROUNDS
@given(counts, keys, states)
def test_a_chain_survives(length: int, accumulator: bytes, state: State) -> None:
    chain = Chain.of(length, accumulator, state)
    assert Chain.from_record(chain.record()) == chain
    parts = length.to_bytes(8) + accumulator + sha256(state.encode()).digest()
    assert chain.value == sha256(b"\x04" + parts).digest()


@given(keys, indices, keys)
def test_the_accumulator(before: bytes, index: int, leaf: bytes) -> None:
    assert (
        accumulate(before, index, leaf)
        == sha256(b"\x05" + before + index.to_bytes(8) + leaf).digest()
    )


@ROUNDS
@given(st.lists(st.binary(min_size=32, max_size=32), max_size=5), keys, st.integers(0, 31))
def test_a_key_is_retired_only_at_its_own_place(gone: list[bytes], key: bytes, at: int) -> None:
    """Concatenated keys hold many other strings of 32 bytes between them."""
    assert is_retired(b"".join(gone), key) == (key in gone)
    split = b"".join([*gone, key[at:].rjust(32, b"\0"), key[:at].ljust(32, b"\0")])
    whole = [split[start : start + 32] for start in range(0, len(split), 32)]
    for start in range(len(split) - 31):
        between = split[start : start + 32]
        assert is_retired(split, between) == (between in whole)


# --- states of strangers


@ROUNDS
@given(states)
def test_a_strangers_state_is_read_as_it_was_written(state: State) -> None:
    state = well_shaped(state)
    assert parse_state(state.encode()) == state


def well_shaped(state: State) -> State:
    """Both keys or none; devices and a key, or neither."""
    if isinstance(state, GroupState) and state.closed != (state.encryption is None):
        return replace(state, signing=None, encryption=None)
    if isinstance(state, UserState) and state.closed != (not state.devices):
        return replace(state, user_key=None, devices=())
    return state


KEY = b"k" * 32
DEVICE = Device(KEY, KEY, 0, KEY, 7)
USER = UserState(KEY, 7, 8, KEY, 0, 0, KEY, 7, (DEVICE,), b"", 1, 1)
GROUP = GroupState(KEY, 7, 8, 0, KEY, KEY, 7, 2, b"", 1, 1)
LOG = LogState(KEY, 0, 8, "log", KEY, KEY, KEY, KEY, KEY, Limits(), 1_000, Demands(), b"")

BENT: list[tuple[State, str]] = [
    (replace(USER, head=KEY[1:]), "R-10.4"),
    (replace(USER, index=2**63), "R-10.4"),
    (replace(USER, born=2**53), "R-10.4"),
    (replace(USER, commitment=b""), "R-10.4"),
    (replace(USER, epoch=-1), "R-10.3"),
    (replace(USER, generation=True), "R-10.4"),
    (replace(USER, user_key=KEY[1:]), "R-10.4"),
    (replace(USER, user_key_index=2**63), "R-10.4"),
    (replace(USER, user_key=None), "R-65.9"),
    (replace(USER, devices=()), "R-65.9"),
    (replace(USER, devices=(DEVICE,) * 65), "R-10.4"),
    (replace(USER, devices=(replace(DEVICE, kind=3),)), "R-10.4"),
    (replace(USER, devices=(replace(DEVICE, signing=b""),)), "R-10.4"),
    (replace(USER, devices=(replace(DEVICE, encryption=b""),)), "R-10.4"),
    (replace(USER, devices=(replace(DEVICE, added_by=b""),)), "R-10.4"),
    (replace(USER, devices=(replace(DEVICE, index=2**63),)), "R-10.4"),
    (replace(USER, retired=KEY[1:]), "R-65.9"),
    (replace(USER, day=-1), "R-10.3"),
    (replace(GROUP, signing=None), "R-65.9"),
    (replace(GROUP, encryption=None), "R-65.9"),
    (replace(GROUP, encryption=KEY[1:]), "R-10.4"),
    (replace(GROUP, key_index=2**63), "R-10.4"),
    (replace(GROUP, rotated=2**63), "R-10.4"),
    (replace(GROUP, retired=KEY + b"k"), "R-65.9"),
    (replace(LOG, origin="x" * 129), "R-10.4"),
    (replace(LOG, vrf_key=KEY[1:]), "R-10.4"),
    (replace(LOG, limits=Limits(max_devices=0)), "R-10.4"),
    (replace(LOG, heartbeat=86_400_001), "R-10.4"),
    (replace(LOG, heartbeat=999), "R-10.4"),
    (replace(LOG, demands=Demands(auditors=33)), "R-10.4"),
    (replace(LOG, retired=b"k"), "R-65.9"),
]


@pytest.mark.parametrize(("state", "rule"), BENT)
def test_a_bent_state_is_refused(state: State, rule: str) -> None:
    with pytest.raises(MalformedInput) as caught:
        parse_state(state.encode())
    assert caught.value.rule == rule
    for honest in (USER, GROUP, LOG):
        assert parse_state(honest.encode()) == honest


def test_states_that_are_none() -> None:
    values: list[Any] = [decode(state.encode(), 10_000) for state in (USER, GROUP, LOG)]
    for value in values:
        for other in (value[:-1], [*value, 0], [3, *value[1:]], [(value[0] + 1) % 3, *value[1:]]):
            with pytest.raises(MalformedInput):
                parse_state(encode(other))
        with pytest.raises(MalformedInput, match=r"R-10\.2"):
            parse_state(encode(value) + b"\0")
