"""What chains resolve to: the states of specs/50-rules, field by field, in the order of their CBOR.

state = restore(cbor.restore(content))
content == cbor.encode(tuple(state))
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Limits(NamedTuple):
    """What no block may exceed; sizes in bytes."""

    block_bytes: int
    devices: int
    members: int
    blocks_per_day: int
    retired: int


class Demands(NamedTuple):
    """The least that the log asks its clients to demand; max_age in ms."""

    witnesses: int
    auditors: int
    max_age: int


class LogState(NamedTuple):
    """What the log's own chain resolves to."""

    tag: int
    head: bytes
    leaf_index: int
    born: int
    origin: str
    app_root: bytes
    enrolment: bytes
    log_key: bytes
    vrf_key: bytes
    authority: bytes
    limits: Limits
    heartbeat: int
    demands: Demands
    retired: bytes


# Signing and encryption key, kind (0 ordinary, 1 recovery), the signing key of the device that
# added it, leaf index. A plain tuple, as it is encoded with every new state.
Device = tuple[bytes, bytes, int, bytes, int]


class UserState(NamedTuple):
    """What a user's chain resolves to."""

    tag: int
    head: bytes
    leaf_index: int
    born: int
    commitment: bytes
    epoch: int
    generation: int
    user_key: bytes | None
    user_key_index: int
    devices: list[Device]
    retired: bytes
    day: int
    day_count: int


class GroupState(NamedTuple):
    """What a group's chain resolves to. A closed group has no keys."""

    tag: int
    head: bytes
    leaf_index: int
    born: int
    generation: int
    signing: bytes | None
    encryption: bytes | None
    key_index: int
    rotated: int
    retired: bytes
    day: int
    day_count: int


State = LogState | UserState | GroupState


class Chain(NamedTuple):
    """All that is kept of a chain."""

    length: int
    accumulator: bytes
    state: State


def restore(fields: Any) -> State:
    """A state from its decoded CBOR array."""
    if fields[0] == 0:
        state = LogState(*fields)
        return state._replace(limits=Limits(*state.limits), demands=Demands(*state.demands))
    return UserState(*fields) if fields[0] == 1 else GroupState(*fields)


class Place(NamedTuple):
    """Where a block stands, and the log's own state before it."""

    leaf_index: int
    time: int
    log_id: bytes
    log: LogState
