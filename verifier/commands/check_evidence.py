"""`keyroll-verifier check-evidence`: judges an evidence file, offline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from verifier.commands.options import LogId, PolicyFile
from verifier.evidence import NOTHING, PROVEN, UNDECIDED, Verdict, judge
from verifier.evidence.judging import MEANINGS
from verifier.evidence.parse import MAX_EVIDENCE, NAMES, STATEMENT
from verifier.policy import Policy

CODES = {PROVEN: 0, NOTHING: 1, UNDECIDED: 2}
LEADS = {
    PROVEN: "PROVEN: this log broke its own rules",
    NOTHING: "This proves nothing",
    UNDECIDED: "This can't be judged by itself",
}
_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(
    "check-evidence",
    epilog="Example: keyroll-verifier check-evidence fork-5c1f….cbor --log-id 5c1f…",
    short_help="Judges a file that is to prove that a log lied.",
)
@click.argument("file", type=_FILE)
@click.option("--log-id", type=LogId(), help="The log that it has to be about.")
@click.option("--witnesses", type=PolicyFile(), help="Your own policy, to judge times ahead by.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
def command(file: Path, log_id: bytes | None, witnesses: Policy | None, as_json: bool) -> int:
    """Judges evidence that a log lied: does FILE prove it to whoever reads it?

    Asks nobody. Exit codes: 0 proven, 1 it proves nothing, 2 that can't be said.
    """
    try:
        verdict = judge(_read(file), log_id, witnesses)
    except OSError as error:
        verdict = Verdict(UNDECIDED, None, "", f"{file} can't be read: {error.strerror}", None)
    answer = fields(verdict)
    click.echo(json.dumps(answer, indent=2, ensure_ascii=False) if as_json else _told(verdict))
    return int(answer["exit_code"])


def fields(verdict: Verdict) -> dict[str, Any]:
    """For machines."""
    log, kind = verdict.log, verdict.kind
    return {
        "verdict": verdict.outcome,
        "exit_code": CODES[verdict.outcome],
        "kind": kind,
        "rule": verdict.rule,
        "sentence": verdict.sentence,
        "means": MEANINGS.get(kind or "") if verdict.outcome == PROVEN else None,
        "log_id": log and log.id.hex(),
        "origin": log and log.key.name,
        "log_key": log and log.key.key.hex(),
    }


def _told(verdict: Verdict) -> str:
    rule = f" ({verdict.rule})" if verdict.rule else ""
    sentence = verdict.sentence[:1].upper() + verdict.sentence[1:]
    lines = [f"{LEADS[verdict.outcome]}.", f"{sentence}{rule}."]
    if verdict.outcome == PROVEN:
        lines.append(MEANINGS[verdict.kind or ""])
    if verdict.kind == NAMES[STATEMENT]:
        lines.append("This file shows who is in that group: hand it on with care.")
    if verdict.log is not None:
        log = verdict.log
        lines += [f"log id  {log.id.hex()}", f"origin  {log.key.name}"]
        lines.append(f"key     {log.key.key.hex()}, which signed all that this rests on")
    return "\n".join(lines)


def _read(path: Path) -> bytes:
    """A file, up to one byte more than evidence may have: whoever parses it refuses that."""
    with path.open("rb") as file:
        return file.read(MAX_EVIDENCE + 1)
