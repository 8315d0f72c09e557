"""How far a log has ever come, noted beside its database.

LMDB keeps two heads and believes the newer one, without a checksum: a flipped bit, or an older
`data.mdb` put in its place, takes a log back to a state that is whole and no longer the last. What
was signed since would be signed anew. So the greatest size that was staged or published stands in
a file of its own as well, and a log that holds less is refused.

The file is written after each commit and not synced: it may lag behind the log after a power cut,
and never leads. One that can't be read says nothing.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from zlib import crc32

from ledger.errors import StoreError

FILE = "highwater"


class HighWater:
    """The mark of the log in the directory `path`, at which `size` entries are durable now.

    Raises `StoreError` if there once were more.
    """

    def __init__(self, path: Path, size: int) -> None:
        try:
            self._file = os.open(path / FILE, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StoreError(f"{path} cannot be opened: {error.strerror}") from error
        known = _decode(os.pread(self._file, 64, 0))
        if known > size:
            os.close(self._file)
            raise StoreError(
                f"{path} held {known} entries and now holds {size}: what is lost may have been "
                "published, so this log must not go on; restore a newer backup"
            )
        self.rise(size)

    def rise(self, size: int) -> None:
        """Note that `size` entries are durable."""
        with suppress(OSError):  # the commit stands, whatever becomes of the note
            os.pwrite(self._file, _encode(size), 0)

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _encode(size: int) -> bytes:
    digits = b"%020d" % size
    return b"%b %08x\n" % (digits, crc32(digits))


def _decode(data: bytes) -> int:
    digits = data[:20]
    return int(digits) if digits.isdigit() and data == _encode(int(digits)) else 0
