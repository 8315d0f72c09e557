"""A log that meets a checkpoint of its own that it does not hold: it says so, and ends (R-62.16).

That comes of two copies that both served, or of an older backup put in the place of what was newer.
If both checkpoints can be held against each other, a file of evidence is written (80-evidence, kind
0); if not, both of them as they are. While such a file lies there, the log is not served.

    DIR/evidence/fork-<hash>.cbor      proven: keyroll-verifier check-evidence
    DIR/evidence/lost-<hash>.notes     the larger checkpoint, and the one this log was to publish
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from ledger.durable import sync_directory, write_durably
from ledger.errors import LogMisbehaved, UsageError
from ledger.format.evidence import Evidence, Fork
from ledger.log.cosigning import SignedTree
from ledger.server.witness import Contradicted


@dataclass(frozen=True, slots=True)
class Cabinet:
    """Where a log's evidence against itself lies. `first` is its entry 0."""

    path: Path
    first: bytes

    def check_empty(self) -> None:
        """Refuse to serve a log that has contradicted itself. Raises `UsageError`."""
        found = sorted(self.path.glob("[!.]*")) if self.path.is_dir() else []
        if found:
            raise UsageError(
                f"R-62.16: this log signed what is not in its tree, see {found[0]}: find out what "
                "became of the rest, or restore it; only then move that file away"
            )

    def keep(self, tree: SignedTree, found: Contradicted) -> LogMisbehaved:
        """Write down, durably, what was found beside `tree`. Gives the error to end with."""
        name, data = self._record(tree, found)
        path = self.path / name
        try:
            self.path.mkdir(0o700, exist_ok=True)
            write_durably(path, data)
            sync_directory(self.path.parent)
            where = f"see {path}"
        except OSError as error:
            where = f"{path} could not be written: {error.strerror}"
        size = found.checkpoint.size
        return LogMisbehaved(
            "R-62.16",
            f"a checkpoint of size {size}, signed by this log, is not in its tree: {where}",
            {"theirs": found.note, "ours": tree.note},
        )

    def _record(self, tree: SignedTree, found: Contradicted) -> tuple[str, bytes]:
        """A file's name and contents."""
        size = found.checkpoint.size
        if size > tree.size:  # ours may be a part of it: only who holds that tree could tell
            data, kind, suffix = found.note + b"\n" + tree.note, "lost", "notes"
        else:
            fork = Fork(found.note, tree.note, tree.root(size), tuple(tree.proof(size)))
            data, kind, suffix = Evidence(self.first, fork).encode(), "fork", "cbor"
        return f"{kind}-{sha256(data).hexdigest()[:16]}.{suffix}", data
