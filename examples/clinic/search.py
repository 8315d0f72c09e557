"""Looks for secrets in all that lies in a directory.

>>> search(Path("clinic"), [b"a finding"]).found                 # doctest: +SKIP
frozenset()

Files are read whole: databases, their journals and free pages, logs. SQLite cuts long values into
pages, so its tables are read row by row as well (LMDB never cuts one). Each secret is looked for as
it is, in hexadecimal and in base64, wherever that may begin.
"""

from __future__ import annotations

import sqlite3
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

_SQLITE = b"SQLite format 3\0"
_LONG = 48
_SHORT = 12
"""Less than so many bytes may be found by chance."""


@dataclass(frozen=True, slots=True)
class Searched:
    """What was looked through, and which of the secrets turned up."""

    files: int
    size: int
    found: frozenset[bytes]


def search(directory: Path, secrets: Iterable[bytes]) -> Searched:
    """Look for `secrets` in every file under `directory`, which nobody may write to meanwhile."""
    wanted = {secret: frozenset(spellings(secret)) for secret in secrets}
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    found: set[bytes] = set()
    size = 0
    for path in files:
        content = path.read_bytes()
        size += len(content)
        rows = _rows(path) if content.startswith(_SQLITE) else b""
        for secret, spelt in wanted.items():
            if any(one in content or one in rows for one in spelt):
                found.add(secret)
    return Searched(len(files), size, frozenset(found))


def spellings(secret: bytes) -> Iterator[bytes]:
    """What would be there if the secret was; of a long one its beginning, middle and end."""
    if len(secret) < _SHORT:
        raise ValueError(f"{len(secret)} bytes may be anywhere by chance")
    middle = (len(secret) - _LONG) // 2
    parts = (
        {secret}
        if len(secret) <= _LONG
        else {secret[:_LONG], secret[middle : middle + _LONG], secret[-_LONG:]}
    )
    for part in parts:
        yield from (part, part.hex().encode(), part.hex().upper().encode())
        for skipped in range(3):
            whole = part[skipped:]
            whole = whole[: len(whole) // 3 * 3]
            yield from (b64encode(whole), urlsafe_b64encode(whole))


def _rows(path: Path) -> bytes:
    """All that the tables of a SQLite file hold, one value after the other."""
    with closing(sqlite3.connect(path)) as database:
        names = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        return b"\0".join(
            value if isinstance(value, bytes) else str(value).encode()
            for (name,) in names
            for row in database.execute(f'SELECT * FROM "{name}"')
            for value in row
        )
