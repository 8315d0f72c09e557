"""The people of a log, who write real blocks: signed, boxed, anchored, and the same in every run.

Actors are values. What one writes comes as `Written`: the block, what is handed in beside it, and
the actor after it. So a block that is not admitted, or two on one head, need no undoing.

>>> log = LogActor.make().after
>>> anchor = Anchor(2, bytes(32))  # of the newest checkpoint: `MemoryLog.anchor` gives live ones
>>> ada = User.create(log, "ada@example.org", anchor).after
>>> phone = ada.add(anchor)
>>> len(phone.boxes), len(phone.after.devices)
(1, 2)

Keys come from `seed`, a hash of names, so that vectors and failures can be repeated. Boxes are real
sealed boxes whose ephemeral keys come from there too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b, sha256
from typing import Generic, TypeVar

from nacl.bindings import crypto_box

from ledger.format import block, checkpoint
from ledger.format.block import LOG_LABEL, NO_LOG_ID, Anchor, Block
from ledger.format.bodies import (
    MAX_TIME,
    ZERO_HASH,
    BlockType,
    Body,
    Delegation,
    Demands,
    DeviceAdd,
    DeviceKeys,
    DeviceKind,
    DeviceRevoke,
    Limits,
    LogCreate,
    LogPolicy,
    Purpose,
    UserClose,
    UserCreate,
    UserReset,
    delegate,
)
from ledger.format.identity import Opening
from ledger.format.keys import EncryptionKey, SigningKey
from ledger.format.statement import Statement
from ledger.log.admission import Submission
from ledger.log.commit import Head
from ledger.seal.boxes import box_root
from ledger.tree import vrf
from ledger.tree.merkle import EMPTY_ROOT

NOW = 1_800_000_000_000
"""A time in ms at which tests may take place."""

T = TypeVar("T")


def seed(*names: str | int) -> bytes:
    """32 bytes that these names, in this order, always give."""
    return sha256("\0".join(map(str, ("keyroll tests", *names))).encode()).digest()


def signing_key(*names: str | int) -> SigningKey:
    return SigningKey(seed("signing", *names))


def encryption_key(*names: str | int) -> EncryptionKey:
    return EncryptionKey(seed("encryption", *names))


def sealed(secret: bytes, recipient: bytes) -> bytes:
    """The sealed box (80 bytes) of `secret` to an X25519 key, as crypto_box_seal writes it."""
    ephemeral = EncryptionKey(sha256(b"box" + secret + recipient).digest())
    nonce = blake2b(ephemeral.public + recipient, digest_size=24).digest()
    return ephemeral.public + crypto_box(secret, nonce, recipient, ephemeral.secret)


@dataclass(frozen=True, slots=True)
class Written(Generic[T]):
    """A block, what is handed in with it (boxes, opening, statement), and its author after it."""

    raw: bytes
    after: T
    boxes: tuple[bytes, ...] = ()
    opening: Opening | None = None
    statement: bytes | None = None

    @property
    def block(self) -> Block:
        return block.parse(self.raw)

    @property
    def submission(self) -> Submission:
        statement = None if self.statement is None else Statement.parse(self.statement)
        return Submission(self.block, self.boxes, self.opening, statement)


@dataclass(frozen=True, slots=True)
class LogActor:
    """Whoever runs a log: all of its keys, and its own chain so far."""

    origin: str
    app_root: SigningKey
    enrolment: SigningKey
    log_key: SigningKey
    vrf_secret: bytes = field(repr=False)
    authority: SigningKey
    limits: Limits
    log_id: bytes = NO_LOG_ID
    seq: int = 0
    head: bytes = ZERO_HASH

    @classmethod
    def make(
        cls,
        origin: str = "example.com/log",
        *,
        limits: Limits | None = None,
        heartbeat: int = 60_000,
        demands: Demands | None = None,
    ) -> Written[LogActor]:
        """The log's first block. All keys follow from `origin`."""
        roles = ("app root", "enrolment", "log key", "authority")
        root, enrolment, log_key, authority = (signing_key(origin, role) for role in roles)
        limits = limits or Limits()
        log = cls(origin, root, enrolment, log_key, seed(origin, "vrf"), authority, limits)
        body = LogCreate(
            origin,
            seed(origin, "nonce"),
            root.public,
            enrolment.public,
            log_key.public,
            log.vrf_public,
            authority.public,
            limits,
            heartbeat,
            demands or Demands(),
        )
        anchor = Anchor(0, EMPTY_ROOT)
        raw = log._write(BlockType.LOG_CREATE, anchor, body, [root, log_key])
        after = log._moved(raw)
        return Written(raw, replace(after, log_id=after.head))

    def policy(
        self,
        anchor: Anchor,
        *,
        app_root: SigningKey | None = None,
        enrolment: SigningKey | None = None,
        limits: Limits | None = None,
    ) -> Written[LogActor]:
        """A log.policy that changes what is named."""
        body = LogPolicy(
            (app_root or self.app_root).public,
            (enrolment or self.enrolment).public,
            limits or self.limits,
        )
        incoming = [key for key in (app_root, enrolment) if key]
        signers = [self.app_root, self.log_key, *incoming]
        raw = self._write(BlockType.LOG_POLICY, anchor, body, signers)
        after = replace(
            self._moved(raw),
            app_root=app_root or self.app_root,
            enrolment=enrolment or self.enrolment,
            limits=limits or self.limits,
        )
        return Written(raw, after)

    @property
    def vrf_public(self) -> bytes:
        return vrf.public_key(self.vrf_secret)

    def label(self, identifier: str) -> bytes:
        """The label of an identifier (R-36.4). Takes half a millisecond."""
        return vrf.label(vrf.evaluate(self.vrf_secret, identifier.encode()))

    def note(self, head: Head) -> bytes:
        """The signed checkpoint of `head`."""
        return checkpoint.sign_checkpoint(
            checkpoint.Checkpoint(self.origin, head.size, head.root), self.log_key
        )

    def delegate(
        self,
        purpose: Purpose,
        commitment: bytes,
        ephemeral: bytes,
        *,
        epoch: int = 0,
        expiry: int = MAX_TIME,
    ) -> Delegation:
        """A delegation by the enrolment key."""
        raw = delegate(
            self.enrolment,
            self.log_id,
            purpose,
            commitment,
            ephemeral,
            epoch=epoch,
            expiry=expiry,
        )
        return Delegation.parse(raw)

    def _write(
        self, kind: BlockType, anchor: Anchor, body: Body, signers: Sequence[SigningKey]
    ) -> bytes:
        return block.write(
            kind,
            LOG_LABEL,
            self.seq,
            self.head,
            anchor,
            body,
            signers=signers,
            log_id=self.log_id,
        )

    def _moved(self, raw: bytes) -> LogActor:
        return replace(self, seq=self.seq + 1, head=sha256(raw).digest())


@dataclass(frozen=True, slots=True)
class Device:
    """A device with its secret keys."""

    signing: SigningKey
    encryption: EncryptionKey
    kind: DeviceKind = DeviceKind.ORDINARY

    @classmethod
    def make(cls, *names: str | int, kind: DeviceKind = DeviceKind.ORDINARY) -> Device:
        return cls(signing_key(*names), encryption_key(*names), kind)

    @property
    def keys(self) -> DeviceKeys:
        return DeviceKeys(self.signing.public, self.encryption.public, int(self.kind))


@dataclass(frozen=True, slots=True)
class User:
    """A person, all of whose devices sit on one desk. `seq` and `head` are the next block's."""

    log_id: bytes
    opening: Opening
    label: bytes
    user_key: EncryptionKey
    devices: tuple[Device, ...]
    epoch: int = 0
    seq: int = 0
    head: bytes = ZERO_HASH

    @classmethod
    def create(
        cls, log: LogActor, identifier: str, anchor: Anchor, *, label: bytes | None = None
    ) -> Written[User]:
        """A user.create. `label` spares the VRF where nobody checks it."""
        names = (log.origin, identifier)
        user = cls(
            log.log_id,
            Opening(seed(*names, "nonce"), identifier),
            label or log.label(identifier),
            encryption_key(*names, "user", 0),
            (Device.make(*names, "device", 0),),
        )
        ephemeral = signing_key(*names, "ephemeral", 0)
        delegation = log.delegate(Purpose.CREATE, user.opening.commitment, ephemeral.public)
        root, boxes = user._boxes()
        body = UserCreate(delegation, user.devices[0].keys, user.user_key.public, root)
        signers = [ephemeral, user.devices[0].signing]
        written = user._write(BlockType.USER_CREATE, anchor, body, signers, boxes)
        return replace(written, opening=user.opening)

    def device(self, *, kind: DeviceKind = DeviceKind.ORDINARY) -> Device:
        """The device that the next block would bring in."""
        return Device.make(self.label.hex(), "device", self.seq, kind=kind)

    def add(
        self, anchor: Anchor, device: Device | None = None, *, author: int = 0
    ) -> Written[User]:
        """A device.add by the device at place `author`."""
        device = device or self.device()
        box = sealed(self.user_key.secret, device.encryption.public)
        root = box_root([device.encryption.public], [box])
        signing = self.devices[author].signing
        body = DeviceAdd(signing.public, device.keys, root)
        after = replace(self, devices=(*self.devices, device))
        signers = [signing, device.signing]
        return after._write(BlockType.DEVICE_ADD, anchor, body, signers, (box,))

    def revoke(self, anchor: Anchor, *places: int, author: int = 0) -> Written[User]:
        """A device.revoke of the devices at `places` by the one at `author`."""
        signing = self.devices[author].signing
        leaving = tuple(self.devices[place].signing.public for place in places)
        remaining = tuple(d for d in self.devices if d.signing.public not in leaving)
        after = replace(self, devices=remaining, user_key=self._next_user_key())
        root, boxes = after._boxes(before=self.user_key)
        body = DeviceRevoke(signing.public, leaving, after.user_key.public, root)
        return after._write(BlockType.DEVICE_REVOKE, anchor, body, [signing], boxes)

    def reset(self, log: LogActor, anchor: Anchor) -> Written[User]:
        """A user.reset, all devices being lost."""
        device = self.device()
        after = replace(
            self, devices=(device,), user_key=self._next_user_key(), epoch=self.epoch + 1
        )
        ephemeral = signing_key(self.label.hex(), "ephemeral", self.seq)
        delegation = log.delegate(
            Purpose.RESET, self.opening.commitment, ephemeral.public, epoch=self.epoch
        )
        root, boxes = after._boxes()
        body = UserReset(delegation, device.keys, after.user_key.public, root)
        signers = [ephemeral, log.authority, device.signing]
        return after._write(BlockType.USER_RESET, anchor, body, signers, boxes)

    def close(self, anchor: Anchor, *, author: int = 0) -> Written[User]:
        """A user.close."""
        signing = self.devices[author].signing
        after = replace(self, devices=())
        return after._write(BlockType.USER_CLOSE, anchor, UserClose(signing.public), [signing])

    def _next_user_key(self) -> EncryptionKey:
        return encryption_key(self.label.hex(), "user", self.seq)

    def _boxes(self, before: EncryptionKey | None = None) -> tuple[bytes, tuple[bytes, ...]]:
        """Root and boxes that hand the user key to every device, and the one `before` to it."""
        sealing = [(device.encryption.public, self.user_key.secret) for device in self.devices]
        if before:
            sealing.append((self.user_key.public, before.secret))
        boxes = tuple(sealed(secret, recipient) for recipient, secret in sealing)
        return box_root([recipient for recipient, _ in sealing], boxes), boxes

    def _write(
        self,
        kind: BlockType,
        anchor: Anchor,
        body: Body,
        signers: Sequence[SigningKey],
        boxes: tuple[bytes, ...] = (),
    ) -> Written[User]:
        raw = block.write(
            kind,
            self.label,
            self.seq,
            self.head,
            anchor,
            body,
            signers=signers,
            log_id=self.log_id,
        )
        after = replace(self, seq=self.seq + 1, head=sha256(raw).digest())
        return Written(raw, after, boxes)
