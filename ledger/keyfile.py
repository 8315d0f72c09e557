"""Secret keys on disk: one file a key, one line a file, for its owner's eyes only.

    keyroll-key-1.<base64url of the 32-byte seed>

What the seed is for (an Ed25519 key, a VRF key) the file's name says. A key file is made once and
never written over; one that others can read is refused.

>>> create(Path("keys/log.key"), os.urandom(32))      # doctest: +SKIP
>>> SigningKey(read(Path("keys/log.key")))            # doctest: +SKIP

Errors: `UsageError`, whose sentence names the file and what to do, and never holds a secret.
"""

from __future__ import annotations

import os
import stat
from base64 import urlsafe_b64decode, urlsafe_b64encode
from pathlib import Path

from ledger.durable import sync_directory
from ledger.errors import UsageError

PREFIX = "keyroll-key-1."
SEED_BYTES = 32

_MAX_FILE_BYTES = 128
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def make_directory(path: Path) -> None:
    """Make a directory for keys, with its parents: readable by its owner only."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.chmod(0o700)
    except OSError as error:
        raise UsageError(f"{path} cannot be made: {error.strerror}") from error


def create(path: Path, seed: bytes) -> None:
    """Write a new key file, durably. There must be none of this name yet."""
    if len(seed) != SEED_BYTES:
        raise UsageError(f"{path}: a key is {SEED_BYTES} bytes, not {len(seed)}")
    line = PREFIX + urlsafe_b64encode(seed).decode() + "\n"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        sync_directory(path.parent)
    except FileExistsError:
        raise UsageError(f"{path} is there already; a key is never written over") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error


def read(path: Path) -> bytes:
    """The seed in a key file (32 bytes)."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(_MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise UsageError(f"there is no key file {path}") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    if mode & _OTHERS:
        raise UsageError(f"others can read {path}: run chmod 600 {path}")
    return _parse(path, data)


def _parse(path: Path, data: bytes) -> bytes:
    try:
        spelling = data.decode("ascii").rstrip("\n")
        seed = urlsafe_b64decode(spelling.removeprefix(PREFIX))
    except ValueError:
        seed, spelling = b"", ""
    if len(seed) != SEED_BYTES or PREFIX + urlsafe_b64encode(seed).decode() != spelling:
        raise UsageError(f"{path} is not a key file: restore it from where you keep its copy")
    return seed
