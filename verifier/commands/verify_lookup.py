"""`keyroll-verifier verify-lookup`: judges a saved lookup, offline."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from verifier.commands.options import LogId, PolicyFile
from verifier.errors import Invalid, Malformed, Misbehaviour, Undecided
from verifier.lookup import AUDITED, SAVED_CAP, Found, judge_lookup
from verifier.policy import Policy
from verifier.rules import events

VERIFIED, REFUSED, UNDECIDED = range(3)
OUTCOMES = ("verified", "refused", "undecided")
STYLES = ("bold green", "bold red", "bold yellow")
LOUD = (
    "reset",
    "closed",
    "device added by a recovery device",
    "recovery device revoked",
    "all other devices revoked",
)
KINDS = ("ordinary", "recovery", "recovery by e-mail")
UNITS = ((86_400_000, "day"), (3_600_000, "hour"), (60_000, "minute"), (1_000, "second"))
SAID = "the log said so; auditors, or others who looked, must say whether it said so to everybody"
WITNESSED = "your witnesses saw one tree; auditors must say whether what stands in it is true"
COVERED = "your auditors replayed the log up to a tree that holds it: everybody is shown the same"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the file came to: `found`, or the `error`."""

    identifier: str
    log_id: bytes
    now: int
    found: Found | None = None
    error: Exception | None = None

    @property
    def code(self) -> int:
        if self.found:
            return VERIFIED
        return REFUSED if isinstance(self.error, Invalid | Misbehaviour) else UNDECIDED


@click.command(
    "verify-lookup",
    epilog="Example: keyroll-verifier verify-lookup bob.lookup --log-id 5c1f… --identifier "
    "bob@example.org",
    short_help="Judges a lookup that was saved.",
)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--log-id", required=True, type=LogId(), help="SHA-256 of the log's first block.")
@click.option("--identifier", required=True, help="Whom the answer is about.")
@click.option(
    "--auditors",
    type=PolicyFile(),
    help="The policy that names your auditors: an audited answer rests on them.",
)
@click.option("--witnesses", type=PolicyFile(), help="The policy of witnesses that you demand.")
@click.option("--json", "as_json", is_flag=True, help="Report as JSON.")
@click.option(
    "--as-of",
    type=click.IntRange(min=0),
    help="Judge at this time (ms since 1970) and not now.",
)
def command(
    file: Path,
    log_id: bytes,
    identifier: str,
    auditors: Policy | None,
    witnesses: Policy | None,
    as_json: bool,
    as_of: int | None,
) -> int:
    """Judges FILE, a lookup that was saved: which keys stood for somebody, as the log signed it.

    Offline, and with nothing but the file. How old it is, is told and not judged.

    Ends with 0 if the file is verified; 1 if it is refused, and says whether the log signed what
    is wrong with it, or anybody may have; 2 if it can't be judged.
    """
    now = time.time_ns() // 1_000_000 if as_of is None else as_of
    verdict = _judge(file, Verdict(identifier, log_id, now), auditors, witnesses)
    if as_json:
        click.echo(json.dumps(_fields(verdict), indent=2, ensure_ascii=False))
    else:
        _show(verdict)
    return verdict.code


def _judge(file: Path, asked: Verdict, *policies: Policy | None) -> Verdict:
    try:
        with file.open("rb") as opened:
            data = opened.read(SAVED_CAP + 1)
        found = judge_lookup(data, asked.log_id, asked.identifier, asked.now, *policies)
    except (Invalid, Misbehaviour, Undecided, OSError) as error:
        return replace(asked, error=error)
    return replace(asked, found=found)


# --- for machines


def _fields(verdict: Verdict) -> dict[str, Any]:
    error = verdict.error
    fields: dict[str, Any] = {
        "outcome": OUTCOMES[verdict.code],
        "exit_code": verdict.code,
        "identifier": verdict.identifier,
        "log_id": verdict.log_id.hex(),
    }
    if isinstance(error, Invalid | Misbehaviour):
        fields |= {"rule": error.rule, "signed_by_the_log": isinstance(error, Misbehaviour)}
    if error:
        fields["reason"] = _reason(error)
    return fields | (_found_fields(verdict.found, verdict.now) if verdict.found else {})


def _found_fields(found: Found, now: int) -> dict[str, Any]:
    head, state = found.head, found.state
    fields: dict[str, Any] = {
        "mode": "audited" if found.mode == AUDITED else "replay",
        "origin": found.origin,
        "label": found.label.hex(),
        "checkpoint": {"size": head.size, "root": head.root.hex(), "time": head.time},
        "age_ms": now - head.time,
        "covered_at": found.covered,
        "witnessed_at": found.witnessed,
        "found": state is not None,
        "length": found.part.length,
    }
    if state is None:
        return fields
    times = _times(found)
    return fields | {
        "born": state.born,
        "epoch": state.epoch,
        "user_key": state.user_key and state.user_key.hex(),
        "devices": [
            {
                "signing": signing.hex(),
                "encryption": encryption.hex(),
                "kind": KINDS[kind],
                "added_by": by.hex(),
                "leaf": leaf,
                "time": times.get(leaf),
            }
            for signing, encryption, kind, by, leaf in state.devices
        ],
        "events": [
            {"event": LOUD[code], "leaf": leaf, "time": at} for code, leaf, at in _events(found)
        ],
    }


def _times(found: Found) -> dict[int, int]:
    """When each block was admitted; of an audited answer nobody knows."""
    return {step.leaf_index: step.time for step in found.steps}


def _events(found: Found) -> Iterator[tuple[int, int, int]]:
    """Each loud event, its leaf and its time."""
    for step in found.steps:
        for code in events(step.before, step.chain.state):
            yield code, step.leaf_index, step.time


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.filename} cannot be read: {error.strerror}"
    return f"{error.rule}: {error.sentence}" if isinstance(error, Misbehaviour) else str(error)


# --- for people


def _show(verdict: Verdict) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    title = Text(f"Lookup of {verdict.identifier}")
    table = Table(show_header=False, title=title, title_justify="left")
    table.add_row("outcome", Text(OUTCOMES[verdict.code], STYLES[verdict.code]))
    rows = _found_rows(verdict.found, verdict.now) if verdict.found else _error_rows(verdict.error)
    for name, value in (*rows, ("log id", verdict.log_id.hex())):
        table.add_row(name, Text(value, overflow="fold"))
    Console().print(table)


def _error_rows(error: Exception | None) -> Iterator[tuple[str, str]]:
    if error is None:
        return
    yield "reason", _reason(error)
    if isinstance(error, Misbehaviour):
        yield "whose fault", "the log's: it signed this. Keep the file, and show it to others"
    elif isinstance(error, Malformed):
        yield "whose fault", "anybody's who had the file in hand: the log did not sign this"


def _found_rows(found: Found, now: int) -> Iterator[tuple[str, str]]:
    head, state = found.head, found.state
    yield "label", found.label.hex()
    if state is None:
        yield "who", "nobody was registered"
    else:
        yield "registered", _date(state.born)
        times = _times(found)
        for signing, _, kind, _, leaf in state.devices:
            since = _date(times[leaf]) if leaf in times else f"leaf {leaf:,}"
            yield f"{KINDS[kind]} device", f"{signing.hex()} since {since}"
        if not state.devices:
            yield "devices", "none: closed"
    for code, _, at in _events(found):
        yield "loud", f"{LOUD[code]}, {_date(at)}"
    yield "checkpoint", f"{head.size:,} entries of {found.origin}"
    yield "as of", f"{_date(head.time)}, {_age(now - head.time)} old"
    yield "worth", _worth(found)


def _worth(found: Found) -> str:
    """What a client may believe of it (specs/60)."""
    if found.covered is not None:
        return COVERED
    return SAID if found.witnessed is None else WITNESSED


def _date(ms: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(ms / 1000))


def _age(ms: int) -> str:
    for length, name in UNITS:
        if ms >= length:
            count = ms // length
            return f"{count:,} {name}{'s' if count > 1 else ''}"
    return "less than a second"
