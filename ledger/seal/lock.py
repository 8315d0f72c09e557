"""Secrets at rest: a file's content under a passphrase, or under another secret (R-94).

    locked = "keyroll" 02 ‖ [1, how, salt[16], cost[3], nonce[24]] ‖ sealed

`how` is 0 for a passphrase (Argon2id, RFC 9106) and 1 for a secret of 32 bytes; `cost` is a byte of
passes and two of MiB of memory. XChaCha20-Poly1305 binds what is sealed to all that stands before.

>>> lock = Lock.by_secret(bytes(32))
>>> lock.open(lock.seal(b"an account"))
b'an account'
>>> Lock.by_secret(b"1" * 32).open(lock.seal(b"an account"))
Traceback (most recent call last):
    ...
ledger.errors.WrongSecret: this does not open it: another passphrase, or the file is damaged
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from hashlib import sha256
from unicodedata import normalize

from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
)
from nacl.exceptions import CryptoError
from nacl.pwhash import argon2id

from ledger.errors import MalformedInput, UsageError, WrongSecret
from ledger.format.cbor import array, bstr, decode, encode, uint

MAGIC = b"keyroll\x02"

_VERSION = 1
_SALT_BYTES, _NONCE_BYTES, _KEY_BYTES = 16, 24, 32
_HEAD_BYTES = 50
_BOUND_BYTES = len(MAGIC) + _HEAD_BYTES
_PASSPHRASE, _SECRET = 0, 1
_MIB = 1_048_576


@dataclass(frozen=True, slots=True)
class Cost:
    """What one guess at a passphrase costs: passes over so many MiB."""

    passes: int
    mib: int


MODERATE = Cost(3, 256)
"""Half a second of a desktop (RFC 9106 section 4 asks 64 MiB of those who have little memory)."""

_LEAST, _MOST = Cost(2, 64), Cost(16, 1_024)
"""A file that asks for less was not made here; for more, it may be meant to exhaust its reader."""

_NO_COST = Cost(0, 0)


@dataclass(frozen=True, slots=True)
class _Head:
    how: int
    salt: bytes
    cost: Cost
    nonce: bytes

    def encode(self) -> bytes:
        cost = bytes([self.cost.passes]) + self.cost.mib.to_bytes(2)
        return MAGIC + encode([_VERSION, self.how, self.salt, cost, self.nonce])

    @classmethod
    def decode(cls, data: bytes) -> _Head:
        """R-94.1, R-94.2."""
        f = array(decode(data, _HEAD_BYTES), 5, "head")
        if uint(f[0], "version") != _VERSION:
            raise MalformedInput("R-94.1", "this file was locked by another version")
        passes, *mib = bstr(f[3], 3, "cost")
        head = cls(
            uint(f[1], "how", _SECRET),
            bstr(f[2], _SALT_BYTES, "salt"),
            Cost(passes, int.from_bytes(mib)),
            bstr(f[4], _NONCE_BYTES, "nonce"),
        )
        if not head.is_usual():
            raise MalformedInput("R-94.2", "the cost of a guess is out of bounds")
        return head

    def is_usual(self) -> bool:
        """R-94.2."""
        if self.how == _SECRET:
            return self.cost == _NO_COST
        passes, mib = self.cost.passes, self.cost.mib
        return _LEAST.passes <= passes <= _MOST.passes and _LEAST.mib <= mib <= _MOST.mib


def is_locked(data: bytes) -> bool:
    """Whether a file's content begins as a locked one does."""
    return data.startswith(MAGIC)


@dataclass(slots=True)
class Lock:
    """A passphrase, or another secret. Holds the keys that were made of it, for the next time."""

    how: int
    secret: bytes = field(repr=False)
    cost: Cost
    _keys: dict[tuple[bytes, Cost], bytes] = field(default_factory=dict, repr=False)

    @classmethod
    def by_passphrase(cls, passphrase: str, cost: Cost = MODERATE) -> Lock:
        """What a person knows. Its spelling is normalised (NFC); it is not empty."""
        if not passphrase:
            raise UsageError("a passphrase is not empty")
        return cls(_PASSPHRASE, normalize("NFC", passphrase).encode(), cost)

    @classmethod
    def by_secret(cls, secret: bytes) -> Lock:
        """What another program keeps: 32 random bytes."""
        if len(secret) != _KEY_BYTES:
            raise UsageError(f"a lock's secret is {_KEY_BYTES} bytes, not {len(secret)}")
        return cls(_SECRET, secret, _NO_COST)

    def seal(self, data: bytes) -> bytes:
        """`data`, locked."""
        salt = next((salt for salt, cost in self._keys if cost == self.cost), None)
        head = _Head(self.how, salt or os.urandom(_SALT_BYTES), self.cost, os.urandom(_NONCE_BYTES))
        bound = head.encode()
        key = self._key(head)
        return bound + crypto_aead_xchacha20poly1305_ietf_encrypt(data, bound, head.nonce, key)

    def open(self, locked: bytes) -> bytes:
        """What was locked.

        Raises `MalformedInput` (R-94.1, R-94.2) and `WrongSecret`, which is a wrong passphrase or a
        damaged file: nobody can tell.
        """
        bound, sealed = locked[:_BOUND_BYTES], locked[_BOUND_BYTES:]
        if not is_locked(bound):
            raise MalformedInput("R-94.1", "this is no locked file")
        head = _Head.decode(bound[len(MAGIC) :])
        if head.how != self.how:
            raise WrongSecret
        try:
            key = self._key(head)
            return crypto_aead_xchacha20poly1305_ietf_decrypt(sealed, bound, head.nonce, key)
        except CryptoError as error:
            raise WrongSecret from error

    def _key(self, head: _Head) -> bytes:
        made = (head.salt, head.cost)
        if made not in self._keys:
            self._keys[made] = self._derived(head)
        return self._keys[made]

    def _derived(self, head: _Head) -> bytes:
        if self.how == _SECRET:
            return sha256(b"\x0c" + head.salt + self.secret).digest()
        passes, memory = head.cost.passes, head.cost.mib * _MIB
        return argon2id.kdf(_KEY_BYTES, self.secret, head.salt, opslimit=passes, memlimit=memory)
