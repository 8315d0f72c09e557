"""What auditors have replayed, held out to them and to whoever asks (63-auditors).

The *candidate* is a published checkpoint with a snapshot of the directory: auditors replay the log
up to it, and hand in their cosignatures. Once they are a quorum it is the *covered* checkpoint, out
of whose snapshot audited lookups are answered. The next candidate is taken when one is asked for.

>>> coverage = Coverage.open(terms, store, home.covered_file, patience, now)    # doctest: +SKIP
>>> coverage.candidate()                                                        # doctest: +SKIP

A snapshot makes the log's file grow by all that is written meanwhile (see `ledger.store.held`). So
once something newer has been published for `patience` seconds, a candidate is let go; the covered
one after two times that. The covered checkpoint itself stands in a file, its snapshot does not:
after a restart, audited lookups wait for the next coverage, unless nothing newer was published.

For any thread. Each method may wait for the disk.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import TypeGuard

from ledger.durable import write_durably
from ledger.errors import BadSignature, MalformedInput, RuleViolation, StoreError
from ledger.format.checkpoint import open_checkpoint
from ledger.format.checkpoint import parse as parse_checkpoint
from ledger.format.note import Note, NoteSignature, Verified, open_note, parse_note
from ledger.format.policy import counting
from ledger.server.policies import Terms
from ledger.server.problems import Problem
from ledger.store.port import Held, Lookup, Reader, Store
from ledger.tree.merkle import Frontier
from ledger.tree.tiles import node_reader

_RETRY_AFTER = "10"


@dataclass(frozen=True, slots=True)
class _Cosigned:
    signature: NoteSignature
    time: int


@dataclass(frozen=True, slots=True)
class _Shown:
    """A checkpoint: its text, the signatures of others than auditors, and theirs by public key.

    `snapshot` is what it was taken from. Something newer is published `since` then, by the
    monotonic clock, as far as was noticed.
    """

    text: bytes
    size: int
    signatures: tuple[NoteSignature, ...]
    cosigned: Mapping[bytes, _Cosigned] = field(default_factory=dict)
    snapshot: Held | None = None
    since: float | None = None

    @property
    def note(self) -> bytes:
        """All of it, signed."""
        theirs = (one.signature for one in self.cosigned.values())
        return Note(self.text, (*self.signatures, *theirs)).encode()

    def let_go(self) -> None:
        """Close the snapshot."""
        if self.snapshot:
            self.snapshot.close()


class Coverage:
    """The candidate and the covered checkpoint of one log."""

    def __init__(
        self,
        terms: Terms,
        store: Store,
        path: Path,
        patience: float,
        now: Callable[[], int],
        covered: _Shown | None = None,
    ) -> None:
        self.terms = terms
        self._store = store
        self._path = path
        self._patience = patience
        self._now = now
        self._lock = Lock()
        self._candidate: _Shown | None = None
        self._covered = covered

    @classmethod
    def open(
        cls, terms: Terms, store: Store, path: Path, patience: float, now: Callable[[], int]
    ) -> Coverage:
        """With what was covered before, if that is in the log. Raises `StoreError`."""
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return cls(terms, store, path, patience, now)
        except OSError as error:
            raise StoreError(f"{path} cannot be read: {error.strerror}") from error
        try:
            open_checkpoint(data, terms.log)
            found = _shown(*open_note(data, terms.verifiers))
        except (MalformedInput, BadSignature) as error:
            raise StoreError(f"{path} is damaged, remove it: {error}") from error
        with store.reader() as reader:
            if not _is_within(found, reader):
                raise StoreError(f"{path} is not of this log as it stands: restore what is newer")
            newest = found.size == reader.head.size
        if newest:
            found = replace(found, snapshot=store.hold())
        return cls(terms, store, path, patience, now, found)

    def candidate(self) -> bytes:
        """The checkpoint to be cosigned: that of the candidate, or what is covered already."""
        with self._lock:
            if self._candidate is None or _is_old(self._candidate, self._patience):
                self._renew()
            shown = self._candidate or self._covered
            assert shown  # one of both there is, after that
            return shown.note

    def covered(self) -> bytes | None:
        """The covered checkpoint, with the auditors' cosignatures."""
        with self._lock:
            return self._covered.note if self._covered else None

    def size(self) -> int:
        """Of the covered checkpoint; 0 before the first."""
        covered = self._covered
        return covered.size if covered else 0

    def take(self, data: bytes) -> None:
        """Take the cosignatures in a note (R-63.2).

        Raises `MalformedInput`, `Problem` (`candidate`), `RuleViolation` (403), `StoreError`.
        """
        note = parse_note(data)
        with self._lock:
            candidate, covered = self._candidate, self._covered
            if candidate and candidate.text == note.text:
                self._cosign_candidate(self._merged(candidate, note))
            elif covered and covered.text == note.text:
                self._cover(self._merged(covered, note))
            else:
                raise Problem(
                    "candidate",
                    "this is neither the candidate nor the covered checkpoint: ask for a new one",
                    rule="R-63.2",
                )

    @contextmanager
    def lookup(self, labels: Collection[bytes], old: int) -> Iterator[Lookup]:
        """The covered snapshot, for somebody who has seen a tree of size `old` (R-63.4)."""
        with ExitStack() as stack:
            with self._lock:
                covered = self._covered
                if covered is None or covered.snapshot is None or covered.size < old:
                    raise Problem(
                        "not-covered",
                        "auditors have not cosigned what you ask for yet",
                        rule="R-63.4",
                        headers={"Retry-After": _RETRY_AFTER},
                    )
                reader = stack.enter_context(covered.snapshot.lookup(labels, covered.note))
            yield reader

    def tidy(self) -> None:
        """Let go of snapshots that have been kept for too long. To be called now and then."""
        with self._lock:
            self._candidate, self._covered = map(self._aged, (self._candidate, self._covered))
            if _is_old(self._candidate, self._patience):
                self._candidate.let_go()
                self._candidate = None
            if _is_old(self._covered, 2 * self._patience):
                self._covered.let_go()
                self._covered = replace(self._covered, snapshot=None, since=None)

    def close(self) -> None:
        """Let go of both snapshots."""
        with self._lock:
            for shown in (self._candidate, self._covered):
                if shown:
                    shown.let_go()

    def _aged(self, shown: _Shown | None) -> _Shown | None:
        """The same, noticing whether something newer is published."""
        if shown is None or shown.snapshot is None or shown.since is not None:
            return shown
        return replace(shown, since=time.monotonic()) if shown.size < self._published() else shown

    def _published(self) -> int:
        with self._store.reader() as reader:
            return reader.head.size

    def _renew(self) -> None:
        """Take the newest as the candidate, unless that is covered, snapshot and all."""
        covered = self._covered
        if covered and covered.snapshot and covered.size == self._published():
            return
        held = self._store.hold()
        found = _shown(parse_note(held.note), snapshot=held)
        if self._candidate:
            self._candidate.let_go()
        self._candidate = found

    def _merged(self, shown: _Shown, note: Note) -> _Shown:
        """With a note's cosignatures; of one key's, the latest."""
        try:
            _, verified = open_note(note.encode(), self.terms.policy.verifiers)
        except BadSignature as error:
            raise RuleViolation("R-63.2", error.detail) from error
        added = _by_key(note, [one for one in verified if counting([one], self._now())])
        if not added:
            raise RuleViolation("R-63.2", "the time of the cosignature is ahead, or 0")
        newer = {
            key: one
            for key, one in added.items()
            if key not in shown.cosigned or one.time >= shown.cosigned[key].time
        }
        return replace(shown, cosigned={**shown.cosigned, **newer})

    def _cosign_candidate(self, candidate: _Shown) -> None:
        """Keep its cosignatures; cover it, once they are a quorum."""
        if not self.terms.suffice(candidate.cosigned):
            self._candidate = candidate
            return
        before = self._covered
        self._cover(candidate)
        self._candidate = None
        if before:
            before.let_go()

    def _cover(self, shown: _Shown) -> None:
        """Durable, and only then served (R-63.3)."""
        try:
            write_durably(self._path, shown.note)
        except OSError as error:
            raise StoreError(f"{self._path} cannot be written: {error.strerror}") from error
        self._covered = shown


def _shown(
    note: Note,
    verified: Collection[Verified] = (),
    *,
    snapshot: Held | None = None,
) -> _Shown:
    """A checkpoint, and what is `verified` of the auditors' cosignatures among its signatures."""
    cosigned = _by_key(note, [one for one in verified if one.time is not None])
    theirs = [one.signature for one in cosigned.values()]
    others = tuple(one for one in note.signatures if one not in theirs)
    size = parse_checkpoint(note.text).size
    return _Shown(note.text, size, others, cosigned, snapshot)


def _is_old(shown: _Shown | None, patience: float) -> TypeGuard[_Shown]:
    """Whether something newer has been published for so long."""
    since = shown.since if shown else None
    return since is not None and time.monotonic() - since > patience


def _by_key(note: Note, verified: Collection[Verified]) -> dict[bytes, _Cosigned]:
    """The signature lines behind what verified, by public key."""
    lines = {(one.name, one.key_id): one for one in note.signatures}
    return {
        one.verifier.public: _Cosigned(lines[one.verifier.name, one.verifier.key_id], one.time or 0)
        for one in verified
    }


def _is_within(shown: _Shown, reader: Reader) -> bool:
    """Whether a checkpoint is of the published tree."""
    checkpoint, size = parse_checkpoint(shown.text), reader.head.size
    if checkpoint.size > size:
        return False
    read = node_reader(size, reader.tile)
    return Frontier.load(checkpoint.size, read).root() == checkpoint.root
