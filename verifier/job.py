"""From a URL to outcomes: faults of any kind become outcomes, and evidence is kept.

job = Job(url, log_id, state, processes=2, crosscheck=True)
job.run(now, None, progress).code       # 0 verified, 1 misbehaviour, 2 undecided
for outcome in job.rounds(wall_clock, None, progress): ...      # until misbehaviour
"""

from __future__ import annotations

import contextlib
import gc
import sqlite3
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from verifier.audit import Audit, Progress
from verifier.cosign import Cosigning
from verifier.errors import AuditError, Misbehaviour, Undecided
from verifier.fetch import Served, Source, open_source
from verifier.keyfile import Cosigner
from verifier.policy import Policy
from verifier.report import MISBEHAVIOUR, UNDECIDED, VERIFIED, Outcome, save_evidence
from verifier.state import State
from verifier.statements import Statements, poster, read_seed
from verifier.trust import Trust
from verifier.workers import Workers

_GC_THRESHOLDS = (100_000, 50, 100)
COSIGNED = "cosigned.note"

Clock = Callable[[], int]


class Opened(NamedTuple):
    """An audit under way, and what it needs."""

    state: State
    audit: Audit
    cosigning: Cosigning | None


@dataclass(frozen=True, slots=True)
class Job:
    """What to audit and how. Times are in milliseconds."""

    url: str
    log_id: bytes
    state: Path
    processes: int
    crosscheck: bool
    key_file: Path | None = None  # a mandated auditor's, to check statements too
    witnesses: Policy | None = None
    cosigner: Cosigner | None = None

    def run(self, now: int, max_age: int | None, progress: Progress) -> Outcome:
        """Audits once."""
        try:
            with contextlib.closing(self.rounds(lambda: now, max_age, progress)) as rounds:
                return next(rounds)
        except KeyboardInterrupt:
            return self._outcome(UNDECIDED, reason="interrupted")

    def rounds(
        self, clock: Clock, max_age: int | None, progress: Progress
    ) -> Generator[Outcome, None, None]:
        """Audits again for each outcome that is asked for; the last one is misbehaviour.

        What is in memory is kept from round to round, but after an undecided one, which may have
        left it ahead of the state, all is opened anew.
        """
        # Replaying makes many small objects and no cycles: look for those less often.
        gc.set_threshold(*_GC_THRESHOLDS)
        outcome = self._outcome(UNDECIDED)
        while outcome.code != MISBEHAVIOUR:
            started = time.perf_counter()
            try:
                with self._open(progress) as opened:
                    while outcome.code != MISBEHAVIOUR:
                        outcome = self._round(opened, clock, max_age)
                        yield replace(outcome, seconds=time.perf_counter() - started)
                        started = time.perf_counter()
            except (AuditError, OSError, sqlite3.Error) as error:
                outcome = self._outcome(UNDECIDED, reason=str(error))
                yield replace(outcome, seconds=time.perf_counter() - started)

    def _outcome(self, code: int, **found: Any) -> Outcome:
        return Outcome(code, self.url, self.log_id, 0.0, **found)

    @contextlib.contextmanager
    def _open(self, progress: Progress) -> Iterator[Opened]:
        seed = None if self.key_file is None else read_seed(self.key_file)
        own = None if self.cosigner is None else self.cosigner.public
        with (
            State.open(self.state, self.log_id, statements=seed is not None) as state,
            Workers(self.processes) as workers,
            open_source(self.url) as source,
        ):
            audit = Audit(
                Served(source),
                state,
                workers,
                self.log_id,
                check=self.crosscheck,
                statements=self._statements(source, seed),
                trust=Trust(self.witnesses, own),
                progress=progress,
            )
            yield Opened(state, audit, self._cosigning(state, source))

    def _statements(self, source: Source, seed: bytes | None) -> Statements | None:
        return None if seed is None else Statements(poster(source), seed, self.log_id)

    def _cosigning(self, state: State, source: Source) -> Cosigning | None:
        if self.cosigner is None:
            return None
        return Cosigning(self.cosigner, state, source, self.state / COSIGNED)

    def _round(self, opened: Opened, clock: Clock, max_age: int | None) -> Outcome:
        state, audit, cosigning = opened
        if state.verdict is not None:
            return self._outcome(
                MISBEHAVIOUR,
                reason="misbehaviour was proven before; remove the state to audit again",
                evidence=Path(state.verdict.decode()),
            )
        try:
            target = None if cosigning is None else cosigning.target()
            report = audit.run(clock(), max_age, target)
        except Misbehaviour as error:
            return self._convict(state, audit, error)
        if report.doubt is not None:
            return self._outcome(UNDECIDED, reason=report.doubt, report=report)
        outcome = self._outcome(VERIFIED, report=report)
        if cosigning is None or audit.key is None:
            return outcome
        try:
            return replace(outcome, cosigned=cosigning.cosign(report, audit.key, clock() // 1_000))
        except Undecided as error:
            return replace(outcome, code=UNDECIDED, reason=str(error))

    def _convict(self, state: State, audit: Audit, error: Misbehaviour) -> Outcome:
        """Misbehaviour it is, even if its evidence cannot be kept."""
        place, reason = None, error.sentence
        try:
            place = save_evidence(self.state, error, self.url, self.log_id, audit.key)
            if error.transferable:
                state.convict(str(place).encode())
        except (OSError, Undecided) as fault:
            reason += f" (but the evidence could not be saved: {fault})"
        return self._outcome(MISBEHAVIOUR, reason=reason, misbehaviour=error, evidence=place)
