"""The verifier, run as its own process against what the server serves."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from ledger.demo.stage import Stage

VERIFIED, MISBEHAVIOUR = 0, 1
"""Exit codes of the verifier; 2 is neither."""


@dataclass(frozen=True, slots=True)
class Audited:
    """What an audit ended with: its exit code, and its report."""

    code: int
    report: dict[str, Any]

    @property
    def says(self) -> str:
        """The reason, where it did not verify."""
        return str(self.report.get("reason") or "")

    @property
    def rule(self) -> str:
        """The rule that was broken, if one was."""
        return str(self.report.get("rule") or "")


def audit(stage: Stage, name: str) -> Audited:
    """Audit the log from nothing. `name` keeps one audit's state from another's."""
    state = stage.home.path.parent / f"audit {name}"
    command = "from verifier.cli import main; main()"
    arguments = [
        "audit",
        stage.url,
        "--log-id",
        stage.log_id.hex(),
        "--state",
        str(state),
        "--json",
    ]
    done = subprocess.run(
        [sys.executable, "-c", command, *arguments], stdout=subprocess.PIPE, check=False
    )
    return Audited(done.returncode, json.loads(done.stdout))
