"""Servers that prove trees of whatever entries, and the verifier's word on evidence."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from ledger.errors import Refused
from ledger.format.wire import encode_proof
from ledger.tree.merkle import Frontier, consistency_proof, inclusion_proof, leaf_hash
from ledger.tree.tiles import WIDTH, Bundle, encode_bundle
from verifier.evidence import Verdict, judge

VERIFIER = "from verifier.cli import main; main()"


class Prover:
    """Proves the trees that these entries make: of each size the last history that has it."""

    def __init__(self, *histories: list[bytes]) -> None:
        self._histories = histories

    def _entries(self, size: int) -> list[bytes]:
        for entries in reversed(self._histories):
            if len(entries) >= size:
                return entries[:size]
        raise Refused(400, "malformed", "the published tree is smaller")

    async def inclusion(self, index: int, size: int) -> bytes:
        read = Frontier().extend(list(map(leaf_hash, self._entries(size)))).read
        return encode_proof(inclusion_proof(index, size, read))

    async def consistency(self, old: int, new: int) -> bytes:
        read = Frontier().extend(list(map(leaf_hash, self._entries(new)))).read
        return encode_proof(consistency_proof(old, new, read))

    async def bundle(self, bundle: Bundle) -> bytes:
        start = bundle.index * WIDTH
        return encode_bundle(self._entries(start + bundle.width)[start:])


class Mute:
    """Proves nothing."""

    async def inclusion(self, index: int, size: int) -> bytes:
        raise Refused(404, "not-found", "no")

    async def consistency(self, old: int, new: int) -> bytes:
        raise Refused(404, "not-found", "no")

    async def bundle(self, bundle: Bundle) -> bytes:
        raise Refused(404, "no-tile", "no")


def proven(proof: bytes | None, log_id: bytes) -> tuple[str | None, str]:
    """Kind and rule of a file that convinces the verifier."""
    assert proof is not None
    verdict: Verdict = judge(proof, log_id)
    assert verdict.outcome == "proven", verdict
    return verdict.kind, verdict.rule


async def check_evidence(path: Path, *options: str) -> tuple[int, Any]:
    """The verdict of the real command: its exit code, and what it says in JSON."""
    return await _verifier("check-evidence", path, *options)


async def verify_lookup(path: Path, *options: str) -> tuple[int, Any]:
    """The same about a saved lookup."""
    return await _verifier("verify-lookup", path, *options)


async def _verifier(command: str, path: Path, *options: str) -> tuple[int, Any]:
    arguments = [command, str(path), "--json", *options]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", VERIFIER, *arguments),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, json.loads(out)
