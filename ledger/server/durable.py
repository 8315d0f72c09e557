"""Small files that are there whole, or not at all, whatever happens meanwhile.

>>> write_durably(Path("mylog/covered"), note)              # doctest: +SKIP
"""

from __future__ import annotations

import os
from pathlib import Path

from ledger.store.files import sync_directory


def write_durably(path: Path, data: bytes) -> None:
    """Make `data` the contents of a file, in a directory that is there. Raises `OSError`."""
    draft = path.with_name(f".{path.name}.new")
    with draft.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)
    sync_directory(path.parent)
