"""A log, its witnesses and its auditor, each a process: what is published gets covered."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from aiohttp import ClientSession

from ledger.format.bodies import Demands
from ledger.format.note import ED25519, Verifier, open_note
from tests.http.world import make_home
from tests.server.process import Load, serving
from tests.support.actors import LogActor
from tests.support.witnesses import keygen, policy_of, verifier_command, witnesses

DEMANDS = Demands(1, 1, 86_400_000)
LOG = LogActor.make(heartbeat=3_600_000, demands=DEMANDS).after
LOG_KEY = Verifier(LOG.origin, ED25519, LOG.log_key.public)
CONFIG = """\
[witnesses]
policy = "witnesses.policy"
[auditors]
policy = "auditors.policy"
"""


@asynccontextmanager
async def auditing(
    url: str, place: Path, *more: str | Path
) -> AsyncIterator[asyncio.subprocess.Process]:
    """An auditor that follows the log, and is stopped at the end as its operator would."""
    process = await asyncio.create_subprocess_exec(
        *verifier_command("audit", url, "--log-id", LOG.log_id.hex(), "--state", place / "state"),
        *("--follow", "--every", "0.2", "--json", "--processes", "1", *map(str, more)),
        stdout=subprocess.PIPE,
    )
    try:
        yield process
        process.terminate()
        assert process.stdout
        rest = (await process.stdout.read()).splitlines()
        assert {json.loads(line)["outcome"] for line in rest} <= {"verified"}
        assert await process.wait() == 0
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def next_round(process: asyncio.subprocess.Process) -> dict[str, Any]:
    assert process.stdout
    async with asyncio.timeout(60):
        line = await process.stdout.readline()
    found: dict[str, Any] = json.loads(line)
    return found


async def get(session: ClientSession, url: str) -> bytes:
    async with session.get(url) as answer:
        return await answer.read() if answer.status == 200 else b""


def size_of(note: bytes) -> int:
    return int(note.split(b"\n")[1]) if note else 0


async def test_what_is_published_gets_covered(tmp_path: Path) -> None:
    home = make_home(tmp_path / "log", heartbeat=3_600_000, demands=DEMANDS).path
    auditor = await asyncio.to_thread(keygen, tmp_path / "auditor.key", "auditor.example/1")
    policy = f"witness a {auditor.vkey}\nquorum a\n"
    (home / "auditors.policy").write_text(policy)
    (home / "config.toml").write_text(CONFIG)
    async with witnesses(tmp_path, LOG_KEY.vkey, 2) as everyone:
        (home / "witnesses.policy").write_text(policy_of(everyone, "1"))
        options: list[str | Path] = [
            "--cosign",
            tmp_path / "auditor.key",
            "--witnesses",
            home / "witnesses.policy",
        ]
        async with (
            serving(home) as server,
            ClientSession() as session,
            auditing(server.url, tmp_path, *options) as process,
        ):
            assert (await next_round(process))["cosigned"]["place"] == "/v1/cosignatures"
            load = Load()
            pressing = asyncio.create_task(load.press(server.url, LOG))
            await load.hear(20, pressing)
            pressing.cancel()
            newest = size_of(await get(session, f"{server.url}/checkpoint"))
            while size_of(covered := await get(session, f"{server.url}/v1/covered")) < newest:
                found = await next_round(process)
                assert (found["outcome"], found["reason"]) == ("verified", None)
                assert found["quorum_time"]
        keys = [LOG_KEY, auditor, *(one.verifier for one in everyone)]
        _, signers = open_note(covered, keys)
        names = {signer.verifier.name for signer in signers}
        assert {LOG_KEY.name, auditor.name} < names


async def test_an_auditor_whom_the_log_does_not_know(tmp_path: Path) -> None:
    """R-63.2: it is told what its operator has to do."""
    demands = Demands(0, 1, 86_400_000)
    log = LogActor.make(heartbeat=3_600_000, demands=demands).after
    home = make_home(tmp_path / "log", heartbeat=3_600_000, demands=demands).path
    known = await asyncio.to_thread(keygen, tmp_path / "known.key", "auditor.example/1")
    other = await asyncio.to_thread(keygen, tmp_path / "other.key", "auditor.example/2")
    (home / "auditors.policy").write_text(f"witness a {known.vkey}\nquorum a\n")
    (home / "config.toml").write_text('[auditors]\npolicy = "auditors.policy"\n')
    async with serving(home) as server:
        for key, code in (("other", 2), ("known", 0)):
            audit = ["audit", server.url, "--log-id", log.log_id.hex(), "--json"]
            options: list[str | Path] = [
                "--state",
                tmp_path / key,
                "--cosign",
                tmp_path / f"{key}.key",
            ]
            process = await asyncio.create_subprocess_exec(
                *verifier_command(*audit, *options), stdout=subprocess.PIPE
            )
            told, _ = await process.communicate()
            assert process.returncode == code, told
            assert (other.vkey in json.loads(told)["reason"]) if code else True
