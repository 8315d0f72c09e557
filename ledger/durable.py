"""Small files that are there whole, or not at all, whatever happens meanwhile; turns at them.

>>> write_durably(Path("mylog/covered"), note)              # doctest: +SKIP
>>> with replacing(Path("letter")) as file:                 # doctest: +SKIP
...     file.writelines(parts)

Errors: `OSError`, as the system raises it; who calls knows what the file was for.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO


@contextmanager
def replacing(path: Path, *, mode: int = 0o666) -> Iterator[BinaryIO]:
    """A file that takes the place of `path` once the block is left without an error."""
    draft = path.with_name(f".{path.name}.{token_hex(8)}")  # others may write the same meanwhile
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(descriptor)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def write_durably(path: Path, data: bytes, *, mode: int = 0o666) -> None:
    """Put `data` in place of the file `path`, in a directory that is there."""
    with replacing(path, mode=mode) as file:
        file.write(data)


def write_secretly(path: Path, data: bytes) -> None:
    """The same, for the owner's eyes only."""
    write_durably(path, data, mode=0o600)


@contextmanager
def alone(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold the file `path`, which is made, as nobody else does until the block is left.

    Whether that is so: unless it is to `wait`, somebody else may hold it. A process that ends lets
    go. The file stays: whoever removed it would let two in.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield _held(descriptor, wait)
    finally:
        os.close(descriptor)


def _held(descriptor: int, wait: bool) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
