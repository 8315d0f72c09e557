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
from verifier.errors import Misbehaviour
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
EVIDENCE_FORMAT = "keyroll-verifier evidence 1"


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
            found["evidence"] = str(self.evidence)
        return found


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
        "crosscheck": "merkletools" if report.crosschecked else None,
    }


def save_evidence(
    directory: Path, error: Misbehaviour, url: str, log_id: bytes, key: NoteKey | None
) -> Path:
    """Writes the exhibits and a JSON that describes them, last; the directory they are in.

    Only its owner can read there, for a statement is private.
    """
    digest = sha256(b"".join(error.exhibits[name] for name in sorted(error.exhibits))).hexdigest()
    place = directory / "evidence" / f"{error.kind}-{digest[:16]}"
    place.mkdir(0o700, parents=True, exist_ok=True)
    for name, data in error.exhibits.items():
        (place / name).write_bytes(data)
    description = {
        "format": EVIDENCE_FORMAT,
        "log_id": log_id.hex(),
        "origin": key and key.name,
        "log_key": key and key.key.hex(),
        "kind": error.kind,
        "rule": error.rule,
        "sentence": error.sentence,
        "transferable": error.transferable,
        "url": url,
        "found_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "files": {name: sha256(data).hexdigest() for name, data in sorted(error.exhibits.items())},
    }
    text = json.dumps(description, indent=2, ensure_ascii=False) + "\n"
    (place / "evidence.json").write_text(text, encoding="utf-8")
    return place


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
        convinces = "anybody" if outcome.misbehaviour.transferable else "only who was served it"
        rows.append(("convinces", convinces))
    if outcome.evidence is not None:
        rows.append(("evidence", str(outcome.evidence)))
    rows.append(("log id", outcome.log_id.hex()))
    if outcome.report is not None:
        rows += _report_rows(outcome.report)
    rows.append(("seconds", f"{outcome.seconds:.1f}"))
    return rows


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
        ("cross-check", "merkletools agrees" if report.crosschecked else "not done"),
    ]
