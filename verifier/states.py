"""What chains resolve to: the states of specs/50-rules, field by field, in the order of their CBOR.

state = restore(cbor.restore(content))
content == cbor.encode(tuple(state))
"""

from __future__ import annotations

from typing import Any, NamedTuple

from verifier.blocks import DEVICE_KINDS
from verifier.cbor import Many, Shape, decode, fits
from verifier.errors import Malformed

MAX_STATE = 4 * 1_048_576
UINT, INDEX = range(2**64), range(2**63)
DEVICE: Shape = (32, 32, DEVICE_KINDS, 32, INDEX)
# User key and devices: a closed user has neither, any other both.
OPEN: tuple[Shape, Shape] = (32, Many(DEVICE, range(1, 65)))
CLOSED: tuple[Shape, Shape] = (type(None), Many(DEVICE, range(1)))


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


# Signing and encryption key, kind (0 ordinary, else for recovery), signing key of the device that
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


def parse_user(data: bytes) -> UserState:
    """A stranger's user state, strict in bytes and shape (R-10, R-65.9)."""
    fields: Any = decode(data, MAX_STATE)
    if not any(fits(fields, _user_shape(*kind)) for kind in (OPEN, CLOSED)):
        raise Malformed("R-10.4", "not the state of a user")
    state = UserState(*fields)
    if len(state.retired) % 32:
        raise Malformed("R-65.9", "retired keys are 32 bytes each")
    return state._replace(devices=[(s, e, kind, by, at) for s, e, kind, by, at in state.devices])


def _user_shape(key: Shape, devices: Shape) -> Shape:
    place: tuple[Shape, ...] = (range(1, 2), 32, INDEX, range(2**53))
    return (*place, 32, UINT, UINT, key, INDEX, devices, bytes, UINT, UINT)


class Place(NamedTuple):
    """Where a block stands, and the log's own state before it."""

    leaf_index: int
    time: int
    log_id: bytes
    log: LogState
