"""`keyroll-verifier audit`: verifies a log."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click

from verifier.audit import Progress
from verifier.commands.options import LogId, PolicyFile
from verifier.fetch import default_state
from verifier.job import Job
from verifier.keyfile import Cosigner
from verifier.policy import Policy
from verifier.report import MISBEHAVIOUR, UNDECIDED, Outcome, show

KEY_FILE = click.Path(dir_okay=False, path_type=Path)
MAX_PAUSE = 900.0  # seconds between two undecided rounds


def processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@click.command(
    "audit",
    short_help="Replays a log and verifies all of it; can follow and cosign it.",
    epilog="Example: keyroll-verifier audit https://log.example --log-id 5c1f… --follow --cosign "
    "auditor.key --witnesses witnesses.policy",
)
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
@click.option("--json", "as_json", is_flag=True, help="Report as JSON; with --follow a line each.")
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
    type=KEY_FILE,
    help="Check the groups' statements too: the key file of a mandated auditor.",
)
@click.option(
    "--witnesses",
    type=PolicyFile(),
    help="A policy of witnesses: a checkpoint without their quorum decides nothing.",
)
@click.option(
    "--cosign",
    metavar="KEYFILE",
    type=KEY_FILE,
    help="Cosign what was verified, by this key of keygen's, and hand it to the log. Keep the "
    "state as well as the key: without it the auditor forgets what it signed.",
)
@click.option("--follow", is_flag=True, help="Go on until interrupted, or misbehaviour is found.")
@click.option(
    "--every",
    type=click.FloatRange(min=0.1),
    default=60.0,
    show_default=True,
    help="With --follow: seconds between rounds, more after undecided ones.",
)
@click.option("--no-crosscheck", is_flag=True, help="Do not rebuild the tree with merkletools too.")
def command(
    url: str,
    log_id: bytes,
    state: Path | None,
    processes: int,
    as_json: bool,
    max_age: float | None,
    as_of: int | None,
    statements: Path | None,
    witnesses: Policy | None,
    cosign: Path | None,
    follow: bool,
    every: float,
    no_crosscheck: bool,
) -> int:
    """Verifies the log at URL (http, https, file, or a directory) up to its checkpoint.

    Goes on where the last audit with the same state stopped.
    """
    if as_of is not None and (follow or cosign):
        raise click.UsageError("--as-of is for one look back, not for --follow or --cosign")
    age = None if max_age is None else round(max_age * 1000)
    job = Job(
        url,
        log_id,
        state or default_state(log_id),
        processes,
        not no_crosscheck,
        statements,
        witnesses,
        None if cosign is None else Cosigner.load(cosign),
    )
    if follow:
        return _follow(job.rounds(wall_clock, age, _silent), every, as_json=as_json)
    with _progress(hidden=as_json) as progress:
        outcome = job.run(wall_clock() if as_of is None else as_of, age, progress)
    if as_json:
        click.echo(json.dumps(outcome.fields(), indent=2, ensure_ascii=False))
    else:
        show(outcome)
    return outcome.code


def _follow(rounds: Iterator[Outcome], every: float, *, as_json: bool) -> int:
    """Tells of each round in a line; the code of the last that ended."""
    code, undecided = UNDECIDED, 0
    try:
        for outcome in rounds:
            code = outcome.code
            undecided = undecided + 1 if code == UNDECIDED else 0
            click.echo(_line(outcome, as_json=as_json))
            if code != MISBEHAVIOUR:
                time.sleep(_pause(every, undecided))
    except KeyboardInterrupt:
        pass
    return code


def _pause(every: float, undecided: int) -> float:
    """Seconds until the next round, after so many undecided ones in a row."""
    doubled: float = every * 2 ** min(max(0, undecided - 1), 16)
    return min(doubled, max(every, MAX_PAUSE))


def _line(outcome: Outcome, *, as_json: bool) -> str:
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    if as_json:
        return json.dumps({"at": at} | outcome.fields(), ensure_ascii=False)
    return f"{at} {outcome.line()}"


def wall_clock() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def _silent(done: int, total: int) -> None:
    """No progress is shown."""


@contextlib.contextmanager
def _progress(*, hidden: bool) -> Iterator[Progress]:
    """A bar on standard error if that is a terminal."""
    if hidden or not sys.stderr.isatty():
        yield _silent
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
