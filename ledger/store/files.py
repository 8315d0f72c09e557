"""The files of an environment, before and beside LMDB: held, found whole, made durable.

    <path>/data.mdb       LMDB's file
    <path>/lock.mdb       LMDB's table of readers
    <path>/writer.lock    held by the process that has the environment open; its id

Errors: `StoreError`.
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile

import lmdb
from lmdb import verify

from ledger.errors import StoreError, StoreInUse

DATA_FILE = "data.mdb"
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""How a system says that there is no room."""

_LOCK_FILE = "writer.lock"
_ROOM = 1 << 26
"""More than any batch writes."""


def has_room(path: Path) -> bool:
    """Whether a file beside LMDB's could be as long as that, and a batch longer."""
    size = (path / DATA_FILE).stat().st_size
    try:
        with TemporaryFile(dir=path) as file:
            os.posix_fallocate(file.fileno(), size, _ROOM)
    except OSError as error:
        return error.errno not in FULL
    return True


def is_missing(path: Path) -> bool:
    """Whether LMDB would begin anew; an empty file counts as none."""
    file = path / DATA_FILE
    return not file.exists() or not file.stat().st_size


def require_directory(path: Path, create: bool) -> None:
    """Make the directory, or refuse one that holds nothing."""
    if create:
        try:
            path.mkdir(0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{path} cannot be made: {error.strerror}") from error
    elif is_missing(path):
        raise StoreError(f"there is no database at {path}")


def lock(path: Path) -> int:
    """Hold the environment's lock file, or say who does."""
    try:
        lock = os.open(path / _LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StoreError(f"{path} cannot be opened: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.pread(lock, 20, 0).decode("ascii", "replace")
        os.close(lock)
        raise StoreInUse(f"{path} is in use by process {holder}") from error
    with suppress(OSError):  # a full disk, say: the lock holds all the same
        os.truncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
    return lock


def check_pages(path: Path) -> None:
    """Check how pages hang together, without LMDB, which what is damaged could make crash."""
    file = path / DATA_FILE
    try:
        problems = verify.verify(str(file), subdir=False)  # type: ignore[no-untyped-call]
    except verify.VerifyError as error:
        problems = [str(error)]
    if problems:
        raise StoreError(f"{file} is damaged, restore from a backup: {problems[0]}")


def is_short(path: Path, env: lmdb.Environment) -> bool:
    """Whether the file ends before the pages that LMDB counts. Rarely, a whole one does too."""
    pages = env.info()["last_pgno"] + 1
    return (path / DATA_FILE).stat().st_size < pages * env.stat()["psize"]
