"""What a person's device keeps to itself: whose it is, its keys, and a block on its way.

    account  = [2, log id, identity / null, [* device], [* user key], pending / null,
                [* group's encryption key], [* group's signing key], mark / null]
    identity = [label, opening, VRF proof]
    mark     = [id of what was seen, size, root]
    device   = [seed of the signing key, secret encryption key, kind]

An account is a value; a `Vault` keeps it. New keys are kept before the block that names them
leaves, together with that block: so no crash can lose a key that others come to rely on, and what
became of the block can be found out later.

>>> vault = FileVault(Path("home/account"))               # doctest: +SKIP
>>> vault.save(Account(log_id, devices=(DeviceSecret.generate(),)))

`FileVault` writes one file of mode 0600, whole or not at all, and locked if it was given a lock
(94-at-rest). Any number of processes may use it: each sees what another wrote, `change` loses
nothing of it, and who has a block on its way does so in their `turn`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, TypeVar

from ledger.client.doubts import STORE_ID_BYTES, Mark
from ledger.durable import alone, write_secretly
from ledger.errors import MalformedInput, StoreError, UsageError
from ledger.format.bodies import DeviceKeys, DeviceKind
from ledger.format.cbor import Value, array, bstr, decode, encode, items, uint
from ledger.format.identity import Opening
from ledger.format.keys import EncryptionKey, SigningKey
from ledger.format.wire import Submission
from ledger.seal.lock import Lock, is_locked
from ledger.tree import vrf

T = TypeVar("T")

MAX_ACCOUNT_BYTES = 4 * 1_048_576
_MAX_FILE_BYTES = MAX_ACCOUNT_BYTES + 1_024
_VERSION = 2
_MAX_KEYS = 65_536
_LONGEST_WAIT = 120.0
_PAUSE = 0.02

Edit = Callable[["Account | None"], "Account"]
"""Makes another account of the one that is there."""


@dataclass(frozen=True, slots=True)
class DeviceSecret:
    """A device: the secrets of its two keys, and what it is for (R-53.2)."""

    signing: SigningKey
    encryption: EncryptionKey
    kind: int = DeviceKind.ORDINARY

    @classmethod
    def generate(cls, kind: DeviceKind = DeviceKind.ORDINARY) -> DeviceSecret:
        """A new device."""
        return cls(SigningKey(os.urandom(32)), new_encryption_key(), int(kind))

    @property
    def keys(self) -> DeviceKeys:
        """The public halves, as they enter a chain."""
        return DeviceKeys(self.signing.public, self.encryption.public, self.kind)

    @classmethod
    def parse(cls, value: Value) -> DeviceSecret:
        f = array(value, 3, "device")
        signing = SigningKey(bstr(f[0], 32, "seed"))
        return cls(
            signing,
            EncryptionKey(bstr(f[1], 32, "secret")),
            uint(f[2], "device kind", max(DeviceKind)),
        )

    def to_value(self) -> Value:
        return [self.signing.seed, self.encryption.secret, self.kind]


@dataclass(frozen=True, slots=True)
class Identity:
    """Who somebody is in a log: label, identifier with its nonce, the VRF's proof of the label."""

    label: bytes
    opening: Opening
    proof: bytes = field(repr=False)

    def check(self, vrf_key: bytes) -> None:
        """Refuse unless the label is the identifier's. Raises `MalformedInput` (R-36.3, R-36.4)."""
        beta = vrf.verify(vrf_key, self.opening.identifier.encode(), self.proof)
        if vrf.label(beta) != self.label:
            raise MalformedInput("R-36.4", "the label is not the one that is proven")

    @classmethod
    def parse(cls, value: Value) -> Identity:
        f = array(value, 3, "identity")
        label, opening = bstr(f[0], 32, "label"), Opening.parse(f[1])
        return cls(label, opening, bstr(f[2], vrf.PROOF_SIZE, "VRF proof"))

    def to_value(self) -> Value:
        return [self.label, self.opening.to_value(), self.proof]


def new_encryption_key() -> EncryptionKey:
    """A new X25519 key, for a device, a user or a group."""
    return EncryptionKey(os.urandom(32))


@dataclass(frozen=True, slots=True)
class Account:
    """One person's devices in this place. Who it is may be unknown until they have joined.

    `devices` and `user_keys` may hold some that never entered the chain, or have left it. What a
    group's members share is in `group_keys` (to decrypt) and `group_signers` (of its admins). How
    far the log was seen here is in `mark`.
    """

    log_id: bytes
    identity: Identity | None = None
    devices: tuple[DeviceSecret, ...] = ()
    user_keys: tuple[EncryptionKey, ...] = field(default=(), repr=False)
    pending: Submission | None = field(default=None, repr=False)
    group_keys: tuple[EncryptionKey, ...] = field(default=(), repr=False)
    group_signers: tuple[SigningKey, ...] = field(default=(), repr=False)
    mark: Mark | None = None

    def user_key(self, public: bytes) -> EncryptionKey | None:
        """The user key with this public half."""
        return next((key for key in self.user_keys if key.public == public), None)

    def group_key(self, public: bytes | None) -> EncryptionKey | None:
        """The encryption key of a group with this public half."""
        return next((key for key in self.group_keys if key.public == public), None)

    def group_signer(self, public: bytes | None) -> SigningKey | None:
        """The signing key of a group with this public half."""
        return next((key for key in self.group_signers if key.public == public), None)

    def with_keys(
        self,
        devices: Iterable[DeviceSecret] = (),
        user_keys: Iterable[EncryptionKey] = (),
        group_keys: Iterable[EncryptionKey] = (),
        group_signers: Iterable[SigningKey] = (),
    ) -> Account:
        """This account with those of the secrets that it did not hold."""
        return replace(
            self,
            devices=_joined(self.devices, devices),
            user_keys=_joined(self.user_keys, user_keys),
            group_keys=_joined(self.group_keys, group_keys),
            group_signers=_joined(self.group_signers, group_signers),
        )

    @classmethod
    def decode(cls, data: bytes) -> Account:
        f = array(decode(data, MAX_ACCOUNT_BYTES), 9, "account")
        if uint(f[0], "version") != _VERSION:
            raise MalformedInput("R-41.2", "this version of accounts is unknown")
        return cls(
            bstr(f[1], 32, "log id"),
            None if f[2] is None else Identity.parse(f[2]),
            tuple(map(DeviceSecret.parse, items(f[3], 0, _MAX_KEYS, "devices"))),
            _encryption_keys(f[4]),
            None if f[5] is None else Submission.parse(f[5]),
            _encryption_keys(f[6]),
            tuple(SigningKey(bstr(k, 32, "seed")) for k in items(f[7], 0, _MAX_KEYS, "seeds")),
            None if f[8] is None else _mark(f[8]),
        )

    def encode(self) -> bytes:
        identity = self.identity.to_value() if self.identity else None
        devices: list[Value] = [device.to_value() for device in self.devices]
        keys: list[Value] = [key.secret for key in self.user_keys]
        pending = self.pending.to_value() if self.pending else None
        group_keys: list[Value] = [key.secret for key in self.group_keys]
        seeds: list[Value] = [key.seed for key in self.group_signers]
        header: list[Value] = [_VERSION, self.log_id, identity, devices, keys, pending]
        mark: Value = [self.mark.store, self.mark.size, self.mark.root] if self.mark else None
        return encode([*header, group_keys, seeds, mark])


def _joined(held: tuple[T, ...], more: Iterable[T]) -> tuple[T, ...]:
    return held + tuple(one for one in more if one not in held)


def _encryption_keys(value: Value) -> tuple[EncryptionKey, ...]:
    found = items(value, 0, _MAX_KEYS, "keys")
    return tuple(EncryptionKey(bstr(key, 32, "secret")) for key in found)


def _mark(value: Value) -> Mark:
    f = array(value, 3, "mark")
    return Mark(bstr(f[0], STORE_ID_BYTES, "store id"), uint(f[1], "size"), bstr(f[2], 32, "root"))


class Vault(Protocol):
    """Where an account is kept."""

    def load(self) -> Account | None:
        """The account that was saved last."""

    def save(self, account: Account) -> None:
        """Keep `account` instead of what was there: durably, all of it or nothing."""

    def change(self, edit: Edit) -> Account:
        """Keep what `edit` makes of what is there, while nobody else writes; what that is."""

    def turn(self) -> AbstractAsyncContextManager[None]:
        """Wait until no other has a block on its way, and have it so until the end."""


class MemoryVault:
    """Keeps an account as long as the process lives."""

    def __init__(self) -> None:
        self._account: Account | None = None
        self._turn = asyncio.Lock()

    def load(self) -> Account | None:
        return self._account

    def save(self, account: Account) -> None:
        self._account = account

    def change(self, edit: Edit) -> Account:
        self._account = edit(self._account)
        return self._account

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        async with self._turn:
            yield


class FileVault:
    """Keeps an account in a file that its owner alone can read, under a `lock` if there is one."""

    def __init__(self, path: Path, lock: Lock | None = None) -> None:
        self._path = path
        self._lock = lock
        self._read_before: tuple[tuple[int, ...], Account] | None = None

    @property
    def is_locked(self) -> bool:
        """Whether what is there needs a lock to be read."""
        return is_locked(self._read() or b"")

    def load(self) -> Account | None:
        """The account. Raises `WrongSecret`, `StoreError`; `UsageError` (R-94.4)."""
        version = self._version()
        if self._read_before and self._read_before[0] == version:
            return self._read_before[1]
        data = self._read()
        if data is None:
            return None
        try:
            account = Account.decode(self._unlocked(data))
        except MalformedInput as error:
            raise StoreError(f"{self._path} is damaged: {error}") from error
        self._read_before = (version, account) if version else None
        return account

    def save(self, account: Account) -> None:
        data = account.encode()
        try:
            write_secretly(self._path, self._lock.seal(data) if self._lock else data)
        except OSError as error:
            raise StoreError(f"{self._path} cannot be written: {error.strerror}") from error

    def change(self, edit: Edit) -> Account:
        with ExitStack() as held:
            self._hold(held, "lock")
            before = self.load()
            account = edit(before)
            if account != before:
                self.save(account)
        return account

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        for _ in range(int(_LONGEST_WAIT / _PAUSE)):
            with ExitStack() as held:
                if self._hold(held, "turn", wait=False):
                    yield
                    return
            await asyncio.sleep(_PAUSE)
        raise UsageError("another process is changing this account: let it end first")

    def _hold(self, held: ExitStack, name: str, *, wait: bool = True) -> bool:
        """Hold a file beside it as nobody else does, until `held` ends; whether that is so."""
        try:
            path = self._path.with_name(f".{self._path.name}.{name}")
            return held.enter_context(alone(path, wait=wait))
        except OSError as error:
            raise StoreError(f"{self._path} cannot be written: {error.strerror}") from error

    def _version(self) -> tuple[int, ...]:
        """Tells one file's content from the next: each is a file of its own. Empty if none is."""
        try:
            found = self._path.stat()
        except OSError:
            return ()
        return found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size

    def _read(self) -> bytes | None:
        try:
            with self._path.open("rb") as file:
                return file.read(_MAX_FILE_BYTES)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"{self._path} cannot be read: {error.strerror}") from error

    def _unlocked(self, data: bytes) -> bytes:
        if is_locked(data) != bool(self._lock):
            raise UsageError(f"{self._path} is {'not ' if self._lock else ''}locked (R-94.4)")
        return self._lock.open(data) if self._lock else data
