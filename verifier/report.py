"""Tells people and machines what an audit came to, and keeps the evidence.

Outcomes and exit codes: verified 0, misbehaviour 1, undecided 2.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from verifier.audit import Report
from verifier.cosign import Cosigned
from verifier.errors import Misbehaviour
from verifier.evidence import judge
from verifier.evidence.parse import REPLAYABLE
from verifier.note import NoteKey

VERIFIED, MISBEHAVIOUR, UNDECIDED = range(3)
OUTCOMES = ("verified", "misbehaviour", "undecided")
STYLES = ("bold green", "bold red", "bold yellow")
TYPES = (
    "log.create",
    "log.policy",
    "user.create",
    "device.add",
    "device.revoke",
    "user.reset",
    "user.close",
    "group.create",
    "group.update",
    "group.close",
)
EVIDENCE_FORMAT = "keyroll-verifier report on evidence 1"
OBSERVATIONS_FORMAT = "keyroll-verifier observations 1"
EVIDENCE, OBSERVATIONS, SUFFIX = "evidence", "observations", ".evidence"


@dataclass(frozen=True, slots=True)
class Outcome:
    """`code` is the exit code, `reason` a sentence unless all was verified."""

    code: int
    url: str
    log_id: bytes
    seconds: float
    reason: str | None = None
    report: Report | None = None
    misbehaviour: Misbehaviour | None = None
    evidence: Path | None = None
    cosigned: Cosigned | None = None

    def fields(self) -> dict[str, Any]:
        """For machines: what stands in the `--json` report."""
        found: dict[str, Any] = {
            "outcome": OUTCOMES[self.code],
            "exit_code": self.code,
            "log_id": self.log_id.hex(),
            "url": self.url,
            "seconds": round(self.seconds, 3),
            "reason": self.reason,
        }
        if self.report is not None:
            found |= _report_fields(self.report)
        if self.misbehaviour is not None:
            found |= {
                "kind": self.misbehaviour.kind,
                "rule": self.misbehaviour.rule,
                "transferable": self.misbehaviour.transferable,
            }
        if self.evidence is not None:
            found[self.shown] = str(self.evidence)
        if self.cosigned is not None:
            found["cosigned"] = self.cosigned._asdict()
        return found

    @property
    def shown(self) -> str:
        """Whether there is evidence, which convinces anybody, or observations."""
        file = self.evidence is not None and self.evidence.suffix == SUFFIX
        return EVIDENCE if file else OBSERVATIONS

    def line(self) -> str:
        """For people who watch: the outcome in one line."""
        words = [OUTCOMES[self.code]]
        if self.report is not None:
            new = self.report.size - self.report.resumed_from
            words.append(f"{self.report.size:,} entries ({new:,} new)")
        if self.cosigned is not None:
            words.append("cosigned")
        if self.reason is not None:
            words.append(self.reason)
        if self.evidence is not None:
            words.append(f"{self.shown} in {self.evidence}")
        return ", ".join(words)


def _report_fields(report: Report) -> dict[str, Any]:
    return {
        "origin": report.origin,
        "size": report.size,
        "root": report.root.hex(),
        "time": report.time,
        "resumed_from": report.resumed_from,
        "entries": report.size - report.resumed_from,
        "blocks": sum(report.blocks.values()),
        "blocks_by_type": {TYPES[kind]: n for kind, n in sorted(report.blocks.items())},
        "batches": report.batches,
        "signatures": report.signatures,
        "statements": report.statements,
        "quorum_time": report.quorum_time,
        "crosscheck": "merkletools" if report.crosschecked else None,
    }


def save_evidence(
    directory: Path, error: Misbehaviour, url: str, log_id: bytes, key: NoteKey | None
) -> Path:
    """Writes an evidence file, and a report beside it; or, where nothing can be shown to others, a
    directory with what this auditor was served. The path of the file, or of the directory.

    Only its owner can read there, for a statement is private.
    """
    data = error.evidence
    if data is None:
        return _save_observations(directory / OBSERVATIONS, error, url, log_id, key)
    place = directory / EVIDENCE
    place.mkdir(0o700, parents=True, exist_ok=True)
    verdict = judge(data, log_id)
    name = f"{verdict.kind}-{sha256(data).hexdigest()[:16]}"
    report = _described(error, url, log_id, key) | {
        "format": EVIDENCE_FORMAT,
        "file": f"{name}{SUFFIX}",
        "sha256": sha256(data).hexdigest(),
        "evidence": {
            "kind": verdict.kind,
            "verdict": verdict.outcome,
            "rule": verdict.rule,
            "sentence": verdict.sentence,
        },
    }
    file = place / f"{name}{SUFFIX}"
    file.touch(0o600)
    file.write_bytes(data)
    _write_json(place / f"{name}.json", report)
    return file


def _save_observations(
    directory: Path, error: Misbehaviour, url: str, log_id: bytes, key: NoteKey | None
) -> Path:
    exhibits = error.exhibits
    digest = sha256(b"".join(exhibits[name] for name in sorted(exhibits))).hexdigest()
    place = directory / f"{error.kind}-{digest[:16]}"
    place.mkdir(0o700, parents=True, exist_ok=True)
    for name, data in exhibits.items():
        (place / name).write_bytes(data)
    report = _described(error, url, log_id, key) | {
        "format": OBSERVATIONS_FORMAT,
        "convinces": "who has the log" if error.transferable else "only who was served it",
        "files": {name: sha256(data).hexdigest() for name, data in sorted(exhibits.items())},
    }
    _write_json(place / f"{OBSERVATIONS}.json", report)
    return place


def _described(error: Misbehaviour, url: str, log_id: bytes, key: NoteKey | None) -> dict[str, Any]:
    return {
        "log_id": log_id.hex(),
        "origin": key and key.name,
        "log_key": key and key.key.hex(),
        "kind": error.kind,
        "rule": error.rule,
        "sentence": error.sentence,
        "transferable": error.transferable,
        "url": url,
        "found_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _write_json(path: Path, found: dict[str, Any]) -> None:
    path.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def show(outcome: Outcome) -> None:
    """A table for people, on standard output."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False, title=f"Audit of {outcome.url}", title_justify="left")
    table.add_row("outcome", Text(OUTCOMES[outcome.code], STYLES[outcome.code]))
    for name, value in _rows(outcome):
        table.add_row(name, Text(value, overflow="fold"))
    Console().print(table)


def _rows(outcome: Outcome) -> list[tuple[str, str]]:
    rows = []
    if outcome.reason is not None:
        rows.append(("reason", outcome.reason))
    if outcome.misbehaviour is not None:
        rows.append(("rule", outcome.misbehaviour.rule))
        rows.append(("convinces", _convinced(outcome.misbehaviour)))
    if outcome.evidence is not None:
        rows.append((outcome.shown, str(outcome.evidence)))
    rows.append(("log id", outcome.log_id.hex()))
    if outcome.report is not None:
        rows += _report_rows(outcome.report)
    if outcome.cosigned is not None:
        rows.append(("cosigned", f"size {outcome.cosigned.size:,}, to {outcome.cosigned.place}"))
    rows.append(("seconds", f"{outcome.seconds:.1f}"))
    return rows


def _convinced(error: Misbehaviour) -> str:
    if not error.transferable:
        return "only who was served it"
    data = error.evidence
    shows = data is not None and data[2] != REPLAYABLE
    return "anybody, by check-evidence" if shows else "whoever replays the log"


def _report_rows(report: Report) -> list[tuple[str, str]]:
    blocks = ", ".join(f"{n:,} {TYPES[kind]}" for kind, n in sorted(report.blocks.items()))
    last = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(report.time / 1000))
    return [
        ("origin", report.origin),
        ("tree size", f"{report.size:,}"),
        ("root", report.root.hex()),
        ("last entry", last),
        ("new entries", f"{report.size - report.resumed_from:,}"),
        ("blocks", blocks or "none"),
        ("batches", f"{report.batches:,}"),
        ("signatures", f"{report.signatures:,}"),
        (
            "statements of groups",
            "not asked for" if report.statements is None else f"{report.statements:,}",
        ),
        ("witnesses", _witnessed(report)),
        ("cross-check", "merkletools agrees" if report.crosschecked else "not done"),
    ]


def _witnessed(report: Report) -> str:
    if report.quorum_time is None:
        return "not asked for, or no quorum"
    return f"a quorum, at {time.strftime('%Y-%m-%d %H:%M:%S UTC', time.gmtime(report.quorum_time))}"
