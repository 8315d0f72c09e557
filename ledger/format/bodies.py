"""What the block types carry: one dataclass a type, read from and written to a positional array.

The shapes are those of `specs/keyroll.cddl`; R-10.4 refuses any other. Bodies hold values, not
meaning: `ledger.rules` says what they may do.

>>> parse_body(BlockType.USER_CLOSE, [bytes(32)]) == UserClose(author=bytes(32))
True
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

from ledger.errors import MalformedInput
from ledger.format import cose, keys
from ledger.format.cbor import Value, array, blob, bstr, decode, encode, items, text, uint
from ledger.value import value

KEY_BYTES = 32
HASH_BYTES = 32
ZERO_HASH = bytes(HASH_BYTES)
MAX_TIME = 2**53 - 1
MAX_SEQ = 2**32 - 1
MAX_DELEGATION_BYTES = 1_024
MAX_DEVICES = 64
MAX_MEMBERS = 4_096
DAY_MS = 86_400_000


class BlockType(IntEnum):
    """The block types of 40-blocks."""

    LOG_CREATE = 0
    LOG_POLICY = 1
    USER_CREATE = 2
    DEVICE_ADD = 3
    DEVICE_REVOKE = 4
    USER_RESET = 5
    USER_CLOSE = 6
    GROUP_CREATE = 7
    GROUP_UPDATE = 8
    GROUP_CLOSE = 9

    @property
    def spelling(self) -> str:
        """The name that specs, CLI and JSON use, such as `device.add`."""
        return self.name.lower().replace("_", ".")


class Purpose(IntEnum):
    """What a delegation allows (R-52.2)."""

    CREATE = 0
    RESET = 1


class DeviceKind(IntEnum):
    """R-53.2. To the rules whatever is not ordinary is a recovery device."""

    ORDINARY = 0
    RECOVERY = 1
    MAIL_RECOVERY = 2


@dataclass(frozen=True, slots=True)
class Limits:
    """The log's limits: block bytes, devices, members, blocks of a chain a day, retired keys."""

    max_block_bytes: int = 4_096
    max_devices: int = 16
    max_members: int = 1_000
    max_blocks_per_day: int = 100
    max_retired: int = 4_096

    RANGES = ((1_024, 16_384), (1, MAX_DEVICES), (1, MAX_MEMBERS), (1, 65_535), (16, 65_535))

    @classmethod
    def parse(cls, value: Value) -> Limits:
        fields = array(value, len(cls.RANGES), "limits")
        pairs = zip(fields, cls.RANGES, strict=True)
        return cls(*(_within(field, low, high, "limit") for field, (low, high) in pairs))

    def to_value(self) -> Value:
        counts: list[Value] = [self.max_devices, self.max_members, self.max_blocks_per_day]
        return [self.max_block_bytes, *counts, self.max_retired]


@dataclass(frozen=True, slots=True)
class Demands:
    """The least that the log asks its clients to demand: cosignatures, and freshness in ms."""

    witnesses: int = 0
    auditors: int = 0
    max_age: int = DAY_MS

    RANGES = ((0, 32), (0, 32), (1_000, 604_800_000))

    @classmethod
    def parse(cls, value: Value) -> Demands:
        fields = array(value, len(cls.RANGES), "demands")
        pairs = zip(fields, cls.RANGES, strict=True)
        return cls(*(_within(field, low, high, "demand") for field, (low, high) in pairs))

    def to_value(self) -> Value:
        return [self.witnesses, self.auditors, self.max_age]


@dataclass(frozen=True, slots=True)
class LogCreate:
    """The first block: who runs the log, under which keys and terms (R-51.1)."""

    origin: str
    nonce: bytes
    app_root: bytes
    enrolment: bytes
    log_key: bytes
    vrf_key: bytes
    authority: bytes
    limits: Limits
    heartbeat: int
    demands: Demands

    @classmethod
    def parse(cls, value: Value) -> LogCreate:
        f = array(value, 10, "log.create")
        app_root, enrolment, log_key, vrf_key, authority = (
            bstr(key, KEY_BYTES, "key of the log") for key in f[2:7]
        )
        return cls(
            text(f[0], 16_384, "origin"),  # bounds it
            bstr(f[1], 32, "nonce"),
            app_root,
            enrolment,
            log_key,
            vrf_key,
            authority,
            Limits.parse(f[7]),
            _within(f[8], 1_000, DAY_MS, "heartbeat"),
            Demands.parse(f[9]),
        )

    def to_value(self) -> Value:
        five: list[Value] = [
            self.app_root,
            self.enrolment,
            self.log_key,
            self.vrf_key,
            self.authority,
        ]
        rest: list[Value] = [self.limits.to_value(), self.heartbeat, self.demands.to_value()]
        return [self.origin, self.nonce, *five, *rest]


@dataclass(frozen=True, slots=True)
class LogPolicy:
    """New app root, enrolment key or limits; what stays is repeated (R-51.2)."""

    app_root: bytes
    enrolment: bytes
    limits: Limits

    @classmethod
    def parse(cls, value: Value) -> LogPolicy:
        f = array(value, 3, "log.policy")
        app_root = bstr(f[0], KEY_BYTES, "app root")
        return cls(app_root, bstr(f[1], KEY_BYTES, "enrolment"), Limits.parse(f[2]))

    def to_value(self) -> Value:
        return [self.app_root, self.enrolment, self.limits.to_value()]


@value
class DeviceKeys:
    """A device as it enters a chain: what it signs with, what is sealed to it, what it is for."""

    signing: bytes
    encryption: bytes
    kind: int

    @classmethod
    def parse(cls, value: Value) -> DeviceKeys:
        f = array(value, 3, "device")
        signing = bstr(f[0], KEY_BYTES, "signing key")
        return cls(
            signing, _x25519(f[1], "encryption key"), uint(f[2], "device kind", max(DeviceKind))
        )

    def to_value(self) -> Value:
        return [self.signing, self.encryption, self.kind]


@value
class Delegation:
    """The enrolment key's statement that an ephemeral key may enrol or reset an identifier."""

    raw: bytes
    envelope: cose.Envelope
    log_id: bytes
    purpose: int
    commitment: bytes
    ephemeral: bytes
    epoch: int
    expiry: int

    @classmethod
    def parse(cls, raw: bytes) -> Delegation:
        envelope = cose.parse(raw, MAX_DELEGATION_BYTES)
        if len(envelope.signers) != 1:
            raise MalformedInput("R-52.1", "a delegation has exactly one signature")
        f = array(decode(envelope.payload, MAX_DELEGATION_BYTES), 6, "delegation")
        return cls(
            raw,
            envelope,
            bstr(f[0], HASH_BYTES, "log id"),
            uint(f[1], "purpose", 1),
            bstr(f[2], HASH_BYTES, "commitment"),
            bstr(f[3], KEY_BYTES, "ephemeral key"),
            uint(f[4], "epoch", MAX_SEQ),
            uint(f[5], "expiry", MAX_TIME),
        )


def delegate(
    signer: cose.Signer,
    log_id: bytes,
    purpose: Purpose,
    commitment: bytes,
    ephemeral: bytes,
    *,
    epoch: int,
    expiry: int,
) -> bytes:
    """A delegation by the enrolment key, as `Delegation.parse` reads it. `expiry` is in ms."""
    payload = encode([log_id, int(purpose), commitment, ephemeral, epoch, expiry])
    return cose.sign(payload, [signer], cose.DELEGATION, log_id)


@value
class UserCreate:
    """Also the shape of `UserReset`."""

    delegation: Delegation
    device: DeviceKeys
    user_key: bytes
    box_root: bytes

    @classmethod
    def parse(cls, value: Value) -> UserCreate:
        f = array(value, 4, "user.create or user.reset")
        return cls(
            Delegation.parse(blob(f[0], MAX_DELEGATION_BYTES, "delegation")),
            DeviceKeys.parse(f[1]),
            _x25519(f[2], "user key"),
            bstr(f[3], HASH_BYTES, "box root"),
        )

    def to_value(self) -> Value:
        return [self.delegation.raw, self.device.to_value(), self.user_key, self.box_root]


@value
class UserReset(UserCreate):
    """All devices are lost: out with them, in with a new first one, in the next epoch."""


@value
class DeviceAdd:
    """A live device brings in another."""

    author: bytes
    device: DeviceKeys
    box_root: bytes

    @classmethod
    def parse(cls, value: Value) -> DeviceAdd:
        f = array(value, 3, "device.add")
        author = bstr(f[0], KEY_BYTES, "author")
        return cls(author, DeviceKeys.parse(f[1]), bstr(f[2], HASH_BYTES, "box root"))

    def to_value(self) -> Value:
        return [self.author, self.device.to_value(), self.box_root]


@value
class DeviceRevoke:
    """A live device takes others out, and rotates the user key (R-53.5)."""

    author: bytes
    revoked: tuple[bytes, ...]
    user_key: bytes
    box_root: bytes

    @classmethod
    def parse(cls, value: Value) -> DeviceRevoke:
        f = array(value, 4, "device.revoke")
        revoked = items(f[1], 1, MAX_DEVICES, "revoked")
        return cls(
            bstr(f[0], KEY_BYTES, "author"),
            tuple(bstr(key, KEY_BYTES, "revoked key") for key in revoked),
            _x25519(f[2], "user key"),
            bstr(f[3], HASH_BYTES, "box root"),
        )

    def to_value(self) -> Value:
        return [self.author, list(self.revoked), self.user_key, self.box_root]


@dataclass(frozen=True, slots=True)
class UserClose:
    """A live device ends the chain until a reset."""

    author: bytes

    @classmethod
    def parse(cls, value: Value) -> UserClose:
        return cls(bstr(array(value, 1, "user.close")[0], KEY_BYTES, "author"))

    def to_value(self) -> Value:
        return [self.author]


@value
class GroupCreate:
    """A group's keys, and the commitment to who has them. Also the shape of `GroupUpdate`."""

    commitment: bytes
    signing: bytes
    encryption: bytes
    box_root: bytes

    @classmethod
    def parse(cls, value: Value) -> GroupCreate:
        f = array(value, 4, "group.create or group.update")
        return cls(
            bstr(f[0], HASH_BYTES, "commitment"),
            bstr(f[1], KEY_BYTES, "signing key"),
            _x25519(f[2], "encryption key"),
            bstr(f[3], HASH_BYTES, "box root"),
        )

    def to_value(self) -> Value:
        return [self.commitment, self.signing, self.encryption, self.box_root]


@value
class GroupUpdate(GroupCreate):
    """Members change; with both keys anew it is a rotation (R-54.2)."""


@dataclass(frozen=True, slots=True)
class GroupClose:
    """An admin ends the group for ever."""

    commitment: bytes

    @classmethod
    def parse(cls, value: Value) -> GroupClose:
        return cls(bstr(array(value, 1, "group.close")[0], HASH_BYTES, "commitment"))

    def to_value(self) -> Value:
        return [self.commitment]


Body: TypeAlias = (
    LogCreate
    | LogPolicy
    | UserCreate
    | DeviceAdd
    | DeviceRevoke
    | UserReset
    | UserClose
    | GroupCreate
    | GroupUpdate
    | GroupClose
)

_PARSERS: dict[int, Callable[[Value], Body]] = {
    BlockType.LOG_CREATE: LogCreate.parse,
    BlockType.LOG_POLICY: LogPolicy.parse,
    BlockType.USER_CREATE: UserCreate.parse,
    BlockType.DEVICE_ADD: DeviceAdd.parse,
    BlockType.DEVICE_REVOKE: DeviceRevoke.parse,
    BlockType.USER_RESET: UserReset.parse,
    BlockType.USER_CLOSE: UserClose.parse,
    BlockType.GROUP_CREATE: GroupCreate.parse,
    BlockType.GROUP_UPDATE: GroupUpdate.parse,
    BlockType.GROUP_CLOSE: GroupClose.parse,
}


def parse_body(kind: int, value: Value) -> Body:
    """The body of a block of type `kind`. Raises `MalformedInput` (R-41.2 for another type)."""
    parser = _PARSERS.get(kind)
    if parser is None:
        raise MalformedInput("R-41.2", f"block type {kind} is unknown")
    return parser(value)


def _within(value: Value, low: int, high: int, what: str) -> int:
    number = uint(value, what, high)
    if number < low:
        raise MalformedInput("R-10.4", f"{what} is below {low}")
    return number


def _x25519(value: Value, what: str) -> bytes:
    key = bstr(value, KEY_BYTES, what)
    keys.check_encryption_key(key)
    return key
