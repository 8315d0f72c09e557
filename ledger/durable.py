"""Small files that are there whole, or not at all, whatever happens meanwhile.

>>> write_durably(Path("mylog/covered"), note)              # doctest: +SKIP

Errors: `OSError`, as the system raises it; who calls knows what the file was for.
"""

from __future__ import annotations

import os
from pathlib import Path


def write_durably(path: Path, data: bytes, *, mode: int = 0o666) -> None:
    """Put `data` in place of the file `path`, in a directory that is there."""
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    sync_directory(path.parent)


def write_secretly(path: Path, data: bytes) -> None:
    """The same, for the owner's eyes only."""
    write_durably(path, data, mode=0o600)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
