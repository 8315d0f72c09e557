"""What a chain resolves to: the states of 50-rules, and the chain around them.

    log  = [0, head, index, born, origin, app root, enrolment, log key, VRF key, authority,
            limits, heartbeat, demands, retired]
    user = [1, head, index, born, commitment, epoch, generation, user key or null, user key index,
            [* [signing, encryption, kind, added by, index]], retired, day, count]

`state.encode()` gives these bytes, SHA-256 of which is the state digest (R-30.6). `Chain` adds what
the directory binds beside it: the length and the accumulator.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Any, TypeAlias

import cbor2

from ledger.format.bodies import KEY_BYTES, Demands, DeviceKeys, Limits
from ledger.format.cbor import Value

LOG_STATE = 0
USER_STATE = 1


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
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


State: TypeAlias = LogState | UserState


def decode_state(data: bytes) -> State:
    """The state that `encode` wrote. For bytes of our own store: it is no strict decoder."""
    fields: Any = cbor2.loads(data)
    if fields[0] == USER_STATE:
        fields[9] = tuple(Device(*device) for device in fields[9])
        return UserState(*fields[1:])
    fields[10], fields[12] = Limits.parse(fields[10]), Demands.parse(fields[12])
    return LogState(*fields[1:])


def is_retired(retired: bytes, key: bytes) -> bool:
    """Whether `key` (32 bytes) is one of the keys that `retired` concatenates."""
    at = retired.find(key)
    while at >= 0 and at % KEY_BYTES:
        at = retired.find(key, at + 1)
    return at >= 0


@dataclass(frozen=True, slots=True)
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
        """What the directory holds for this chain (R-30.4, R-30.6)."""
        digest = sha256(self.encoded).digest()
        return sha256(b"\x04" + self.length.to_bytes(8) + self.accumulator + digest).digest()

    def record(self) -> bytes:
        """For a store: u64(length) ‖ accumulator ‖ state."""
        return self.length.to_bytes(8) + self.accumulator + self.encoded

    @classmethod
    def from_record(cls, data: bytes) -> Chain:
        """The chain that `record` wrote."""
        encoded = data[40:]
        return cls(int.from_bytes(data[:8]), data[8:40], decode_state(encoded), encoded)


def accumulate(accumulator: bytes, index: int, leaf_hash: bytes) -> bytes:
    """The accumulator after one more block, at leaf `index` (R-30.5)."""
    return sha256(b"\x05" + accumulator + index.to_bytes(8) + leaf_hash).digest()
