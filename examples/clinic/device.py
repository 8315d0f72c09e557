"""A person's device: their login with the clinic, and their place at the log.

>>> number = await phone.send(ADA, b"findings", users=[ADA])     # doctest: +SKIP
>>> await tablet.read(number, author=OKOYE)                      # doctest: +SKIP
b'findings'

The account lies under a secret that the device's own key store would keep; what was read is shown,
and kept nowhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from examples.clinic.portal import Portal
from ledger import Account, DeviceSecret, FileVault, Keyroll, Lock
from ledger.seal.stream import Session


@dataclass(frozen=True, slots=True)
class Device:
    """`name` is for the story, `home` the directory that `me` is kept in."""

    name: str
    identifier: str
    home: Path
    lock: Lock
    me: Keyroll
    portal: Portal
    shown: list[bytes] = field(default_factory=list)
    """All that its person wrote or read here."""

    async def send(
        self,
        folder: str,
        text: bytes,
        users: Iterable[str] = (),
        groups: Iterable[bytes] = (),
        *,
        session: Session | None = None,
    ) -> int:
        """Seal something, and have the clinic keep it in a patient's folder; its number."""
        self.shown.append(text)
        sealed = await self.me.encrypt(text, users, groups, session=session, padded=True)
        return await self.portal.put(folder, sealed)

    async def read(self, number: int, author: str) -> bytes:
        """What was sealed; refused if anybody but `author` wrote it."""
        return await self.open(await self.portal.get(number), author)

    async def open(self, sealed: bytes, author: str) -> bytes:
        """The same, of bytes that are here."""
        found = await self.me.decrypt(sealed, author=author)
        self.shown.append(found.data)
        return found.data

    async def label(self, identifier: str) -> bytes:
        """How the log calls somebody, proven."""
        (found,) = await self.me.lookup(identifier)
        return found.label

    @property
    def account(self) -> Account:
        """What is under the lock: secret keys."""
        account = FileVault(self.home / "account", self.lock).load()
        if account is None:
            raise RuntimeError(f"{self.name} has no account")
        return account

    @property
    def signing(self) -> bytes:
        """The public key by which this device is called in the log."""
        return self.account.devices[0].signing.public


def secrets_of(account: Account) -> Iterator[bytes]:
    """Every private key in an account."""
    for device in account.devices:
        yield from device_secrets(device)
    for key in (*account.user_keys, *account.group_keys):
        yield key.secret
    for signer in account.group_signers:
        yield signer.seed


def device_secrets(device: DeviceSecret) -> tuple[bytes, bytes]:
    """The private keys of one device."""
    return device.signing.seed, device.encryption.secret
