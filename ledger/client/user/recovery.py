"""A way back in, on paper: ten words that are a device (96-recovery).

>>> code = RecoveryCode(bytes(18))
>>> code.words
'babab-babab-babab-babab-babab-babab-babab-babab-babab-jadot'
>>> RecoveryCode.parse("BABAB babab babab babab babab babab babab babab babab jadot") == code
True

`add_code` makes one for a user, whom it is shown once; `recover` begins on a new machine with
nothing but the words and an identity token. Contacts see both: the device in the chain, and the one
that it added as a loud event.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from ledger.client.asking import Asking
from ledger.client.known import Known
from ledger.client.user.account import Account, DeviceSecret, Vault
from ledger.client.user.user import User, enter
from ledger.errors import DeviceGone, MalformedInput, UsageError
from ledger.format.bodies import DeviceKind
from ledger.format.identity import IdentityToken
from ledger.format.keys import EncryptionKey, SigningKey
from ledger.rules.state import UserState, is_retired

_CONSONANTS = "bdfghjklmnprstvz"
_VOWELS = "aiou"
_SECRET_BYTES, _CHECK_BYTES = 18, 2
_WORDS = (_SECRET_BYTES + _CHECK_BYTES) // 2
_LETTERS = 5
_BETWEEN = re.compile(r"[\s-]+")
_MAX_TEXT = 1_024


@dataclass(frozen=True, slots=True)
class RecoveryCode:
    """18 random bytes, and how people write them (R-96.1)."""

    secret: bytes = field(repr=False)

    @classmethod
    def generate(cls) -> RecoveryCode:
        """A new one."""
        return cls(os.urandom(_SECRET_BYTES))

    @classmethod
    def parse(cls, text: str) -> RecoveryCode:
        """The code that somebody wrote down. Raises `MalformedInput` (R-96.1)."""
        words = _BETWEEN.split(text[:_MAX_TEXT].strip().lower())
        if len(words) != _WORDS:
            raise MalformedInput("R-96.1", f"a recovery code is {_WORDS} words, not {len(words)}")
        data = b"".join(_spelt(word, place) for place, word in enumerate(words, 1))
        code = cls(data[:_SECRET_BYTES])
        if data[_SECRET_BYTES:] != code._check:
            raise MalformedInput("R-96.1", "a word is not the one that was written down")
        return code

    @property
    def words(self) -> str:
        """What to write down."""
        data = self.secret + self._check
        return "-".join(_word(data[at : at + 2]) for at in range(0, len(data), 2))

    @property
    def _check(self) -> bytes:
        return sha256(b"\x0d" + self.secret).digest()[:_CHECK_BYTES]

    def device(self, log_id: bytes) -> DeviceSecret:
        """The device that it is, at one log (R-96.2)."""
        signing = SigningKey(sha256(b"\x0e" + log_id + self.secret).digest())
        encryption = EncryptionKey(sha256(b"\x0f" + log_id + self.secret).digest())
        return DeviceSecret(signing, encryption, int(DeviceKind.RECOVERY))


def _word(pair: bytes) -> str:
    """A proquint: 4, 2, 4, 2 and 4 bits."""
    number = int.from_bytes(pair)
    consonants = [_CONSONANTS[number >> shift & 15] for shift in (12, 6, 0)]
    vowels = [_VOWELS[number >> shift & 3] for shift in (10, 4)]
    return consonants[0] + vowels[0] + consonants[1] + vowels[1] + consonants[2]


def _spelt(word: str, place: int) -> bytes:
    alphabets = (_CONSONANTS, _VOWELS) * 2 + (_CONSONANTS,)
    fits = len(word) == _LETTERS
    if not fits or any(letter not in of for letter, of in zip(word, alphabets, strict=True)):
        raise MalformedInput("R-96.1", f"word {place} is none of a recovery code's")
    number = 0
    for letter, of in zip(word, alphabets, strict=True):
        number = number * len(of) + of.index(letter)
    return number.to_bytes(2)


async def add_code(user: User, code: RecoveryCode | None = None) -> RecoveryCode:
    """Add a recovery device; its words are to be written down, and are kept nowhere.

    After an error do it again with the same `code`. After a crash there may be a device of a code
    that nobody has seen: revoke it, or leave it.
    """
    made = code or RecoveryCode.generate()
    device = made.device(user.log.log_id)
    await user.add_device(device)
    forget(user, device)
    return made


async def recover(
    log: Asking[Known], token: IdentityToken, code: RecoveryCode, vault: Vault
) -> User:
    """Begin on a new machine, as the person of `token` (for whatever purpose).

    After a crash, do the same again. Raises `UsageError` if the code is no live device of theirs.
    """
    return await recover_as(log, token, (code.device(log.log_id),), vault)


async def recover_as(
    log: Asking[Known], token: IdentityToken, rescuers: Sequence[DeviceSecret], vault: Vault
) -> User:
    """`recover`, by whichever of these recovery devices is live."""
    await log.sync(beyond=0)
    identity = await enter(log, token, vault.load())
    vault.change(lambda held: (held or Account(log.log_id, identity)).with_keys(rescuers))
    try:
        await log.sync()
    except DeviceGone as error:
        raise _dead() from error
    user = User(log, vault)
    state = log.replica.user(user.label)
    live = [one for one in rescuers if state and state.device(one.signing.public)]
    if state is None or not live:
        raise _dead()
    user.writer.keep(devices=(DeviceSecret.generate(),) if not _spare(user, state) else ())
    await user.add_device(_spare(user, state)[-1])
    forget(user, *rescuers)
    return user


def _spare(user: User, state: UserState) -> list[DeviceSecret]:
    """The ordinary devices that are here and did not leave the chain."""
    held = [device for device in user.account.devices if device.kind == DeviceKind.ORDINARY]
    return [device for device in held if not is_retired(state.retired, device.signing.public)]


def _dead() -> UsageError:
    return UsageError("this is no live recovery device of that person: was it revoked?")


def forget(user: User, *devices: DeviceSecret) -> None:
    """Let go of devices whose secrets are to lie elsewhere."""
    user.writer.forget(*devices)
