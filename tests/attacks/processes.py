"""`keyroll-verifier` as a process: audits, and judgements on evidence.

>>> done = await verifier("audit", url, "--log-id", log_id.hex(), "--json")   # doctest: +SKIP
>>> done.code, done.facts["rule"]
(1, 'R-42.5')
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.attacks.table import Verdict

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 60


@dataclass(frozen=True, slots=True)
class Done:
    """How a process ended. `facts` is its report, if it gave one in JSON."""

    code: int
    out: bytes
    err: bytes

    @property
    def facts(self) -> dict[str, Any]:
        return dict(json.loads(self.out)) if self.out.startswith(b"{") else {}


async def run(*command: str | Path) -> Done:
    """Run a command to its end, while this process goes on serving what it asks for."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        async with asyncio.timeout(SECONDS):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Done(process.returncode or 0, out, err)


async def verifier(*arguments: str | Path) -> Done:
    """`keyroll-verifier` with these arguments."""
    return await run(sys.executable, "-m", "verifier.cli", *arguments)


async def judge(file: Path, log_id: bytes, *options: str | Path) -> Verdict:
    """What `keyroll-verifier check-evidence` says of a file, offline."""
    named = ("--log-id", log_id.hex(), "--json", *options)
    done = await verifier("check-evidence", file, *named)
    assert b"Traceback" not in done.err, done.err
    facts = done.facts
    assert (done.code == 0) == (facts["verdict"] == "proven"), facts
    return Verdict(str(facts["kind"]), facts["verdict"], facts["rule"], facts["sentence"])
