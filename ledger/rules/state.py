"""What a chain resolves to: the states of 50-rules, and the chain around them.

    log  = [0, head, index, born, origin, app root, enrolment, log key, VRF key, authority,
            limits, heartbeat, demands, retired]
    user = [1, head, index, born, commitment, epoch, generation, user key or null, user key index,
            [* [signing, encryption, kind, added by, index]], retired, day, count]
    group = [2, head, index, born, generation, signing key or null, encryption key or null,
             key index, rotated, retired, day, count]

`state.encode()` gives these bytes, SHA-256 of which is the state digest (R-30.6). `parse_state`
reads a stranger's, strictly. `Chain` adds what the directory binds beside it: the length and the
accumulator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, TypeAlias

import cbor2

from ledger.errors import MalformedInput
from ledger.format.bodies import (
    DAY_MS,
    HASH_BYTES,
    KEY_BYTES,
    MAX_DEVICES,
    MAX_TIME,
    Demands,
    DeviceKeys,
    DeviceKind,
    Limits,
)
from ledger.format.cbor import Value, array, blob, bstr, decode, items, text, uint
from ledger.value import value

LOG_STATE = 0
USER_STATE = 1
GROUP_STATE = 2

MAX_STATE_BYTES = 4 * 1_048_576
"""More than any state has: `retired` alone may have 2 MiB and some."""

_MAX_INDEX = 2**63 - 1


@value
class Device:
    """A live device. `added_by` is the signing key of the device that added it, `index` where."""

    signing: bytes
    encryption: bytes
    kind: int
    added_by: bytes
    index: int

    @classmethod
    def enter(cls, keys: DeviceKeys, added_by: bytes, index: int) -> Device:
        return cls(keys.signing, keys.encryption, keys.kind, added_by, index)


@dataclass(frozen=True, slots=True)
class LogState:
    """The log's own chain, resolved. `retired` concatenates the keys that were replaced."""

    head: bytes
    index: int
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

    @property
    def keys(self) -> tuple[bytes, ...]:
        return (self.app_root, self.enrolment, self.log_key, self.vrf_key, self.authority)

    def encode(self) -> bytes:
        place: list[Value] = [LOG_STATE, self.head, self.index, self.born, self.origin]
        terms: list[Value] = [self.limits.to_value(), self.heartbeat, self.demands.to_value()]
        return cbor2.dumps([*place, *self.keys, *terms, self.retired])


@value
class UserState:
    """A user's chain, resolved. A closed user has no devices and no user key."""

    head: bytes
    index: int
    born: int
    commitment: bytes
    epoch: int
    generation: int
    user_key: bytes | None
    user_key_index: int
    devices: tuple[Device, ...]
    retired: bytes
    day: int
    count: int

    @property
    def closed(self) -> bool:
        return self.user_key is None

    def device(self, signing: bytes) -> Device | None:
        """The live device that signs with this key."""
        for device in self.devices:
            if device.signing == signing:
                return device
        return None

    def encode(self) -> bytes:
        devices = [[d.signing, d.encryption, d.kind, d.added_by, d.index] for d in self.devices]
        return cbor2.dumps(
            [
                USER_STATE,
                self.head,
                self.index,
                self.born,
                self.commitment,
                self.epoch,
                self.generation,
                self.user_key,
                self.user_key_index,
                devices,
                self.retired,
                self.day,
                self.count,
            ]
        )


@value
class GroupState:
    """A group's chain, resolved. A closed group has no keys.

    `key_index` is the leaf index of the block that brought the keys, `rotated` the size of its
    anchor.
    """

    head: bytes
    index: int
    born: int
    generation: int
    signing: bytes | None
    encryption: bytes | None
    key_index: int
    rotated: int
    retired: bytes
    day: int
    count: int

    @property
    def closed(self) -> bool:
        return self.signing is None

    def encode(self) -> bytes:
        place: list[Value] = [GROUP_STATE, self.head, self.index, self.born, self.generation]
        keys: list[Value] = [self.signing, self.encryption, self.key_index, self.rotated]
        return cbor2.dumps([*place, *keys, self.retired, self.day, self.count])


State: TypeAlias = LogState | UserState | GroupState


def decode_state(data: bytes) -> State:
    """The state that `encode` wrote. For bytes of our own store: it is no strict decoder."""
    fields: Any = cbor2.loads(data)
    if fields[0] == USER_STATE:
        fields[9] = tuple(Device(*device) for device in fields[9])
        return UserState(*fields[1:])
    if fields[0] == GROUP_STATE:
        return GroupState(*fields[1:])
    fields[10], fields[12] = Limits.parse(fields[10]), Demands.parse(fields[12])
    return LogState(*fields[1:])


def parse_state(data: bytes) -> State:
    """The state that `data` spells, from anybody. Raises `MalformedInput` (R-10, R-65.9).

    Strict in bytes and shape. Whether it follows from a chain, only that chain or an auditor tells.
    """
    fields = items(decode(data, MAX_STATE_BYTES), 12, 14, "state")
    kind = uint(fields[0], "kind of state", GROUP_STATE)
    return (_parse_log, _parse_user, _parse_group)[kind](fields)


def _parse_log(fields: list[Value]) -> LogState:
    f = array(fields, 14, "log state")
    origin = text(f[4], 128, "origin")
    heartbeat = uint(f[11], "heartbeat", DAY_MS)
    if heartbeat < 1_000:
        raise MalformedInput("R-10.4", f"a heartbeat of {heartbeat} ms")
    app_root, enrolment, log_key, vrf_key, authority = (_key(key) for key in f[5:10])
    keys = (app_root, enrolment, log_key, vrf_key, authority)
    limits, demands = Limits.parse(f[10]), Demands.parse(f[12])
    return LogState(*_place(f), origin, *keys, limits, heartbeat, demands, _retired(f[13]))


def _parse_user(fields: list[Value]) -> UserState:
    f = array(fields, 13, "user state")
    state = UserState(
        *_place(f),
        bstr(f[4], HASH_BYTES, "commitment"),
        uint(f[5], "epoch"),
        uint(f[6], "generation"),
        _key_or_none(f[7]),
        uint(f[8], "index", _MAX_INDEX),
        tuple(map(_parse_device, items(f[9], 0, MAX_DEVICES, "devices"))),
        _retired(f[10]),
        uint(f[11], "day"),
        uint(f[12], "count"),
    )
    if state.closed != (not state.devices):
        raise MalformedInput("R-65.9", "a closed user, and no other, has neither devices nor key")
    return state


def _parse_device(value: Value) -> Device:
    f = array(value, 5, "device state")
    kind = uint(f[2], "device kind", max(DeviceKind))
    return Device(_key(f[0]), _key(f[1]), kind, _key(f[3]), uint(f[4], "index", _MAX_INDEX))


def _parse_group(fields: list[Value]) -> GroupState:
    f = array(fields, 12, "group state")
    state = GroupState(
        *_place(f),
        uint(f[4], "generation"),
        _key_or_none(f[5]),
        _key_or_none(f[6]),
        uint(f[7], "index", _MAX_INDEX),
        uint(f[8], "anchor size", _MAX_INDEX),
        _retired(f[9]),
        uint(f[10], "day"),
        uint(f[11], "count"),
    )
    if state.closed != (state.encryption is None):
        raise MalformedInput("R-65.9", "a closed group has no keys, any other has both")
    return state


def _place(f: list[Value]) -> tuple[bytes, int, int]:
    """Head, index and born: what all states begin with."""
    index = uint(f[2], "index", _MAX_INDEX)
    return bstr(f[1], HASH_BYTES, "head"), index, uint(f[3], "born", MAX_TIME)


def _key(value: Value) -> bytes:
    return bstr(value, KEY_BYTES, "key")


def _key_or_none(value: Value) -> bytes | None:
    return None if value is None else _key(value)


def _retired(value: Value) -> bytes:
    keys = blob(value, MAX_STATE_BYTES, "retired keys")
    if len(keys) % KEY_BYTES:
        raise MalformedInput("R-65.9", "the retired keys are not whole")
    return keys


def is_retired(retired: bytes, key: bytes) -> bool:
    """Whether `key` (32 bytes) is one of the keys that `retired` concatenates."""
    at = retired.find(key)
    while at >= 0 and at % KEY_BYTES:
        at = retired.find(key, at + 1)
    return at >= 0


@value
class Chain:
    """A label's chain: its length, its accumulator (R-30.5) and the state it resolves to.

    `encoded` is the state's CBOR, kept because digest, store and proofs all need it.
    """

    length: int
    accumulator: bytes
    state: State
    encoded: bytes

    @classmethod
    def of(cls, length: int, accumulator: bytes, state: State) -> Chain:
        return cls(length, accumulator, state, state.encode())

    @property
    def value(self) -> bytes:
        """What the directory holds for this chain (R-30.4)."""
        return chain_value(self.length, self.accumulator, self.digest)

    @property
    def digest(self) -> bytes:
        """The state digest (R-30.6)."""
        return sha256(self.encoded).digest()

    def record(self) -> bytes:
        """For a store: u64(length) ‖ accumulator ‖ state."""
        return self.length.to_bytes(8) + self.accumulator + self.encoded

    @classmethod
    def from_record(cls, data: bytes) -> Chain:
        """The chain that `record` wrote."""
        encoded = data[40:]
        return cls(int.from_bytes(data[:8]), data[8:40], decode_state(encoded), encoded)


ReadChain: TypeAlias = Callable[[bytes], Chain | None]
"""The chain of a label, at the place in question."""


def chain_value(length: int, accumulator: bytes, digest: bytes) -> bytes:
    """What the directory holds for a chain: length, accumulator and state digest (R-30.4)."""
    return sha256(b"\x04" + length.to_bytes(8) + accumulator + digest).digest()


def accumulate(accumulator: bytes, index: int, leaf_hash: bytes) -> bytes:
    """The accumulator after one more block, at leaf `index` (R-30.5)."""
    return sha256(b"\x05" + accumulator + index.to_bytes(8) + leaf_hash).digest()
