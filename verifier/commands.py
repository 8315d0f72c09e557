"""The commands of `keyroll-verifier`. Each ends with the exit code of its outcome."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import sqlite3
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from verifier.audit import Audit, Progress
from verifier.errors import AuditError, Misbehaviour, Undecided
from verifier.fetch import Served, Source, default_state, open_source
from verifier.judge import JUDGES, verdict
from verifier.report import MISBEHAVIOUR, UNDECIDED, VERIFIED, Outcome, save_evidence, show
from verifier.state import State
from verifier.statements import Statements, poster, read_seed
from verifier.workers import Workers

_GC_THRESHOLDS = (100_000, 50, 100)


class LogId(click.ParamType[bytes]):
    """64 hexadecimal digits."""

    name = "hex"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> bytes:
        if isinstance(value, str) and len(value) == 64:
            with contextlib.suppress(ValueError):
                return bytes.fromhex(value)
        return self.fail("a log id is 64 hexadecimal digits", param, ctx)


def processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def commands() -> None:
    """Audits a Keyroll log: replays it all and believes nothing.

    Exit codes: 0 verified, 1 misbehaviour (its evidence is saved), 2 could not decide.
    """


@commands.command()
@click.argument("url")
@click.option("--log-id", required=True, type=LogId(), help="SHA-256 of the log's first block.")
@click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where to keep what was verified; by default a directory of the user's for each log.",
)
@click.option(
    "--processes",
    type=click.IntRange(1, 64),
    default=processors,
    show_default="all processors",
    help="How many processes check signatures.",
)
@click.option("--json", "as_json", is_flag=True, help="Report as JSON.")
@click.option(
    "--max-age",
    type=click.FloatRange(min=0),
    help="How old the last entry may be, in seconds; the log may demand less.",
)
@click.option(
    "--as-of",
    type=click.IntRange(min=0),
    help="Judge the age at this time (ms since 1970) and not now: for archived copies.",
)
@click.option(
    "--statements",
    metavar="KEYFILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Check the groups' statements too: the key file of a mandated auditor.",
)
@click.option("--no-crosscheck", is_flag=True, help="Do not rebuild the tree with merkletools too.")
def audit(
    url: str,
    log_id: bytes,
    state: Path | None,
    processes: int,
    as_json: bool,
    max_age: float | None,
    as_of: int | None,
    statements: Path | None,
    no_crosscheck: bool,
) -> int:
    """Verifies the log at URL (http, https, file, or a directory) up to its checkpoint.

    Goes on where the last audit with the same state stopped.
    """
    gc.set_threshold(50_000)  # an audit makes many tuples and hardly a cycle
    now = time.time_ns() // 1_000_000 if as_of is None else as_of
    age = None if max_age is None else round(max_age * 1000)
    place = state or default_state(log_id)
    job = Job(url, log_id, place, processes, not no_crosscheck, statements)
    with _progress(hidden=as_json) as progress:
        outcome = job.run(now, age, progress)
    if as_json:
        click.echo(json.dumps(outcome.fields(), indent=2, ensure_ascii=False))
    else:
        show(outcome)
    return outcome.code


@commands.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="A line for each file, and no comparison.")
def judge(files: tuple[Path, ...], as_json: bool) -> int:
    """Judges test vectors, FILES of `specs/vectors`; ends with 0 if it agrees with all."""
    if as_json:
        for file in files:
            click.echo(json.dumps(_judged(file)))
        return VERIFIED
    differing = skipped = 0
    for file in files:
        vector = json.loads(file.read_text(encoding="utf-8"))
        kind = file.parent.name
        if kind not in JUDGES:
            skipped += 1
            continue
        found = verdict(kind, vector["input"])
        told = (vector["verdict"], vector.get("rule", ""), vector.get("output"))
        if found[:2] != told[:2] or (told[2] is not None and found[2] != told[2]):
            differing += 1
            click.echo(f"{file}: {found}, not {told}")
    click.echo(f"{len(files) - skipped} judged, {differing} differ, {skipped} of other kinds")
    return UNDECIDED if differing else VERIFIED


def _judged(file: Path) -> dict[str, Any]:
    """What is made of a vector's input alone; the verdict is null for kinds of others."""
    found: dict[str, Any] = {"file": str(file), "verdict": None}
    if file.parent.name in JUDGES:
        given = json.loads(file.read_text(encoding="utf-8"))["input"]
        told, rule, output = verdict(file.parent.name, given)
        found |= {"verdict": told, "rule": rule, "output": output}
    return found


@dataclass(frozen=True, slots=True)
class Job:
    """What to audit and how."""

    url: str
    log_id: bytes
    state: Path
    processes: int
    crosscheck: bool
    key_file: Path | None = None  # a mandated auditor's, to check statements too

    def run(self, now: int, max_age: int | None, progress: Progress) -> Outcome:
        """Audits once; faults of any kind become outcomes."""
        # Replaying makes many small objects and no cycles: look for those less often.
        gc.set_threshold(*_GC_THRESHOLDS)
        started = time.perf_counter()
        try:
            outcome = self._audit(now, max_age, progress)
        except (AuditError, OSError, sqlite3.Error) as error:
            outcome = self._outcome(UNDECIDED, reason=str(error))
        except KeyboardInterrupt:
            outcome = self._outcome(UNDECIDED, reason="interrupted")
        return replace(outcome, seconds=time.perf_counter() - started)

    def _outcome(self, code: int, **found: Any) -> Outcome:
        return Outcome(code, self.url, self.log_id, 0.0, **found)

    def _audit(self, now: int, max_age: int | None, progress: Progress) -> Outcome:
        seed = None if self.key_file is None else read_seed(self.key_file)
        with (
            State.open(self.state, self.log_id, statements=seed is not None) as state,
            Workers(self.processes) as workers,
            open_source(self.url) as source,
        ):
            if state.verdict is not None:
                return self._outcome(
                    MISBEHAVIOUR,
                    reason="misbehaviour was proven before; remove the state to audit again",
                    evidence=Path(state.verdict.decode()),
                )
            audit = Audit(
                Served(source),
                state,
                workers,
                self.log_id,
                check=self.crosscheck,
                statements=self._statements(source, seed),
                progress=progress,
            )
            try:
                report = audit.run(now, max_age)
            except Misbehaviour as error:
                return self._convict(state, audit, error)
        code = VERIFIED if report.stale is None else UNDECIDED
        reason = None if report.stale is None else f"stale: {report.stale} (R-61.3)"
        return self._outcome(code, reason=reason, report=report)

    def _statements(self, source: Source, seed: bytes | None) -> Statements | None:
        return None if seed is None else Statements(poster(source), seed, self.log_id)

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


@contextlib.contextmanager
def _progress(*, hidden: bool) -> Iterator[Progress]:
    """A bar on standard error if that is a terminal."""
    if hidden or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("entries"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
