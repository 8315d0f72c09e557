"""An auditor's cosignatures: what it may sign, put down before it is, and where it goes (R-63.1).

cosigning = Cosigning(cosigner, state, source, file)
target = cosigning.target()                # the log's candidate, or None: the newest checkpoint
report = audit.run(now, target=target)     # every entry and root under it was replayed
cosigning.cosign(report, log, now)         # handed to the log, or in a file beside the state
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from verifier.audit import Report
from verifier.errors import Undecided
from verifier.fetch import MAX_CHECKPOINT, TEXT, HttpSource, Refused, Source
from verifier.keyfile import Cosigner
from verifier.note import NoteKey, parse_note
from verifier.state import State

CANDIDATE, COSIGNATURES = "v1/candidate", "v1/cosignatures"
MAX_ANSWER = 1 << 16
BACKWARDS = 60  # seconds that the clock may stand before the last cosignature


class Record(NamedTuple):
    """What was cosigned last; the time is in seconds."""

    size: int
    time: int
    root: bytes

    def encode(self) -> bytes:
        return self.size.to_bytes(8, "big") + self.time.to_bytes(8, "big") + self.root

    @classmethod
    def decode(cls, row: bytes) -> Record:
        return cls(int.from_bytes(row[:8], "big"), int.from_bytes(row[8:16], "big"), row[16:])


class Cosigned(NamedTuple):
    """A cosignature that was made, and where it went: a URL's path or a file."""

    size: int
    time: int
    place: str


class Cosigning:
    """One auditor's cosignatures for one log."""

    def __init__(self, cosigner: Cosigner, state: State, source: Source, file: Path) -> None:
        self._cosigner = cosigner
        self._state = state
        self._server = source if isinstance(source, HttpSource) else None
        self._file = file
        self._asked = False  # whether the log has a candidate

    def target(self) -> bytes | None:
        """The checkpoint that the log wants cosigned, if it says so."""
        found = None
        if self._server is not None:
            found = self._server.get(CANDIDATE, MAX_CHECKPOINT, fresh=True)
        self._asked = found is not None
        return found

    def cosign(self, report: Report, log: NoteKey, now: int) -> Cosigned | None:
        """Cosigns what was replayed and found good. None: a larger size was cosigned before.

        `now` is in seconds. Undecided: it was not signed, or not taken.
        """
        record = self._record(report, now)
        if record is None:
            return None
        self._state.cosign(record.encode())  # durable before there is a signature
        note = self._note(report.checkpoint, log, record.time)
        if self._server is not None and self._asked:
            place = self._hand_in(self._server, note)
        else:
            place = _write(self._file, note)
        return Cosigned(record.size, record.time, place)

    def _record(self, report: Report, now: int) -> Record | None:
        """R-63.1: never two roots of one size, never a smaller size; and time does not go back."""
        row = self._state.cosigned
        if row is None:
            return Record(report.size, now, report.root)
        last = Record.decode(row)
        if report.size < last.size:
            return None
        if report.size == last.size and report.root != last.root:
            raise Undecided("another root of this size was cosigned: the local state is damaged")
        if now < last.time - BACKWARDS:
            raise Undecided(f"the clock stands {last.time - now} s before the last cosignature")
        return Record(report.size, max(now, last.time), report.root)

    def _note(self, raw: bytes, log: NoteKey, time: int) -> bytes:
        """The text, the log's own signatures and this auditor's."""
        note = parse_note(raw)
        known = (log.name, log.id())
        lines = [one.line for one in note.signatures if (one.name, one.key_id) == known]
        lines.append(self._cosigner.cosign(note.text, time).line)
        return f"{note.text}\n{''.join(lines)}".encode()

    def _hand_in(self, server: HttpSource, note: bytes) -> str:
        try:
            server.post(COSIGNATURES, note, MAX_ANSWER, TEXT)
        except Refused as error:
            raise Undecided(f"{error}{self._hint(error.status)}") from error
        return f"/{COSIGNATURES}"

    def _hint(self, status: int) -> str:
        """What to do about a refusal (R-63.2)."""
        if status == 409:
            return ": the log asks for another checkpoint by now"
        if status == 403:
            return f": the log's operator has to name {self._cosigner.public.vkey} as an auditor"
        return ""


def _write(file: Path, note: bytes) -> str:
    """Replaces the file in one step, durably; its name."""
    draft = file.with_name(file.name + ".new")
    try:
        with draft.open("wb") as target:
            target.write(note)
            target.flush()
            os.fsync(target.fileno())
        draft.replace(file)
    except OSError as error:
        raise Undecided(f"{file} cannot be written: {error.strerror}") from error
    return str(file)
