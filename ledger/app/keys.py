"""The application's keys, one file each in a directory of its own.

    DIR/app-root.key    cold: signs the log's first block, and names a new enrolment key
    DIR/enrolment.key   hot: the application's server signs identity tokens with it
    DIR/authority.key   the recovery authority: agrees to resets; best kept by somebody else
    DIR/master.key      hot: makes everybody's token secret (R-96.3); whoever loses it loses those

`make` puts all of them in one place, as one-machine set-ups have them. Move the cold ones away, and
nothing but enrolling goes on working there.

>>> make(Path("app"))                                            # doctest: +SKIP
>>> load(Path("app"), Role.ENROLMENT).public.hex()               # doctest: +SKIP
"""

from __future__ import annotations

import os
from enum import Enum
from pathlib import Path

from ledger import keyfile
from ledger.format.keys import SigningKey


class Role(Enum):
    """What a key is for; the value is its file's name without `.key`."""

    ROOT = "app-root"
    ENROLMENT = "enrolment"
    AUTHORITY = "authority"


_MASTER = "master"


def key_file(directory: Path, role: Role) -> Path:
    """Where the key of `role` lies."""
    return directory / f"{role.value}.key"


def master_file(directory: Path) -> Path:
    """Where the master secret lies."""
    return directory / f"{_MASTER}.key"


def make(directory: Path) -> None:
    """Make all keys. Raises `UsageError` if one is there already."""
    keyfile.make_directory(directory)
    for role in Role:
        keyfile.create(key_file(directory, role), os.urandom(keyfile.SEED_BYTES))
    keyfile.create(master_file(directory), os.urandom(keyfile.SEED_BYTES))


def load(directory: Path, role: Role) -> SigningKey:
    """The key of `role`. Raises `UsageError`."""
    return SigningKey(keyfile.read(key_file(directory, role)))


def master(directory: Path) -> bytes:
    """The master secret, 32 bytes. Raises `UsageError`."""
    return keyfile.read(master_file(directory))
