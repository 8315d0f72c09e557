"""What a place remembers of itself, as rows beside what it saw of a log (R-94.6).

Which devices the account had, which blocks they signed, and what did not fit: what for, says
`ledger.client.doubts`. Part of `ledger.client.lookups.trust.Trust`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256

from ledger.client.doubts import Cause, Doubt
from ledger.client.lookups.pins import Found, Own
from ledger.client.lookups.tidings import signed_here
from ledger.format import block as blocks
from ledger.format import entry
from ledger.format.statement import Statement
from ledger.localfile import LocalFile, told

SCHEMA = (
    "CREATE TABLE wrote (digest BLOB PRIMARY KEY) WITHOUT ROWID",
    "CREATE TABLE here (device BLOB PRIMARY KEY) WITHOUT ROWID",
    """CREATE TABLE doubts (
        cause INTEGER NOT NULL, about BLOB NOT NULL, PRIMARY KEY (cause, about)
    ) WITHOUT ROWID""",
)


class Remembered(LocalFile):
    """These rows of one file."""

    def devices(self) -> list[bytes]:
        """The signing keys of devices that the account held when they were told here."""
        with told():
            return [key for (key,) in self._db.execute("SELECT device FROM here")]

    def remember(self, devices: Iterable[bytes]) -> None:
        """Remember, instead of what was there, devices that the account holds."""
        keys = set(devices)
        if keys != set(self.devices()):
            with self.transaction():
                self._db.execute("DELETE FROM here")
                rows = [(key,) for key in keys]
                self._db.executemany("INSERT OR IGNORE INTO here VALUES (?)", rows)

    def wrote(self, raw: bytes) -> None:
        """Remember that a device here signed the block `raw`, which has yet to leave."""
        with self.transaction():
            self._db.execute("INSERT OR IGNORE INTO wrote VALUES (?)", (_signed(raw),))

    def doubts(self) -> list[Doubt]:
        """What did not fit, and was not dismissed."""
        with told():
            rows = self._db.execute("SELECT cause, about FROM doubts ORDER BY cause, about")
            return [Doubt(Cause(cause), about) for cause, about in rows]

    def doubt(self, doubts: Iterable[Doubt]) -> None:
        """Keep these until they are dismissed."""
        rows = [(int(one.cause), one.about) for one in doubts]
        if rows:
            with self.transaction():
                self._db.executemany("INSERT OR IGNORE INTO doubts VALUES (?, ?)", rows)

    def dismiss(self, doubt: Doubt) -> None:
        """Forget a doubt that a person looked at."""
        values = (int(doubt.cause), doubt.about)
        with self.transaction():
            self._db.execute("DELETE FROM doubts WHERE cause = ? AND about = ?", values)

    def keep_doubts(self, found: Found, own: Own) -> None:
        """Blocks that a device here signed, and that are new to this place, are in doubt."""
        for step in signed_here(found, own):
            self._keep_doubt(entry.block(step.time, step.block.raw))

    def keep_doubts_of(self, entries: Sequence[bytes], statements: Sequence[bytes]) -> None:
        """Likewise the `entries` of a group's new blocks, whose authors their statements name."""
        here = set(self.devices())
        for data, statement in zip(entries, statements, strict=False):
            if Statement.parse(statement).signer in here:
                self._keep_doubt(data)

    def _keep_doubt(self, data: bytes) -> None:
        """Doubt the entry of a block that a device here signed, unless it was written here."""
        digest = _signed(entry.parse(data).body)
        query = "SELECT 1 FROM wrote WHERE digest = ?"
        if not self._db.execute(query, (digest,)).fetchone():
            row = (int(Cause.WRITTEN_ELSEWHERE), data)
            self._db.execute("INSERT OR IGNORE INTO doubts VALUES (?, ?)", row)


def _signed(raw: bytes) -> bytes:
    """What stands for a block, whoever else has signed it."""
    return sha256(blocks.parse(raw).envelope.payload).digest()
