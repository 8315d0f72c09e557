"""States and chains: their CBOR, their records, the keys that were retired (50-rules)."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.format.bodies import Demands, Limits
from ledger.format.cbor import decode
from ledger.rules.state import (
    Chain,
    Device,
    LogState,
    State,
    UserState,
    accumulate,
    decode_state,
    is_retired,
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
    st.integers(1, 10_000),
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
states = log_states | user_states


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
