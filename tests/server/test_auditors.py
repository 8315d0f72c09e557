"""A log with witnesses and auditors, all of them processes: what is published becomes covered."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import ClientSession

from ledger.format.lookup import Bundle, Mode
from ledger.format.note import open_note
from ledger.format.policy import counting, parse_policy
from ledger.log.clock import wall_ms
from tests.http.covering import size_of
from tests.http.lookups import Asker
from tests.http.world import PLAIN, Http, make_home
from tests.server.process import serving
from tests.server.witnessing import LOG, VERIFIER
from tests.support.witnesses import keygen, policy_of, verifier_command, witnesses

CONFIG = """
[witnesses]
policy = "witnesses.policy"
[auditors]
policy = "auditors.policy"
"""


@asynccontextmanager
async def auditor(path: Path, url: str) -> AsyncIterator[None]:
    """`keyroll-verifier audit --follow --cosign`, with a state of its own."""
    process = await asyncio.create_subprocess_exec(
        *verifier_command("audit", url, "--log-id", LOG.log_id.hex(), "--state", path / "state"),
        *("--processes", "1", "--no-crosscheck", "--follow", "--every", "0.2"),
        *("--cosign", str(path / "key"), "--witnesses", str(path / "witnesses")),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        assert process.returncode is None
        process.kill()
        await process.wait()


async def covered(log: Http, size: int) -> bytes:
    """The covered checkpoint, once it is as large."""
    async with asyncio.timeout(60):
        while True:
            answer = await log.get("/v1/covered")
            if answer.status == 200 and size_of(answer.body) >= size:
                return answer.body
            await asyncio.sleep(0.1)


async def test_what_is_published_is_replayed_cosigned_and_served(tmp_path: Path) -> None:
    """R-63.1 to R-63.4, and after a kill."""
    home = make_home(tmp_path / "log")
    home.config_file.write_text(CONFIG)
    paths = [tmp_path / f"auditor{number}" for number in range(2)]
    async with witnesses(tmp_path, VERIFIER.vkey, 2) as everyone:
        for path in paths:
            path.mkdir()
            (path / "witnesses").write_text(policy_of(everyone))
        keys = [keygen(path / "key", f"auditor.example/{path.name}") for path in paths]
        lines = [f"witness a{number} {key.vkey}" for number, key in enumerate(keys)]
        auditors = "\n".join([*lines, "group both all a0 a1", "quorum both", ""])
        (home.path / "witnesses.policy").write_text(policy_of(everyone))
        (home.path / "auditors.policy").write_text(auditors)
        policy = parse_policy(auditors.encode())
        async with ClientSession(headers=PLAIN) as session:
            async with serving(home.path) as server:
                log = Http(server.url, session)
                ada = await log.user("ada")
                await log.admit(ada)
                asker = Asker(log, ada.after, Mode.AUDITED, covers=False)
                async with auditor(paths[0], server.url), auditor(paths[1], server.url):
                    note = await covered(log, (await log.checkpoint()).size)
                    await log.admit(await log.user("bob"))
                    note = await covered(log, (await log.checkpoint()).size)
                (bob,) = await asker.ask("bob")
                assert bob.chain
                await server.kill()
            async with serving(home.path) as server:
                log = Http(server.url, session)
                assert (await log.get("/v1/covered")).body == note
                asker.http = log
                bundle = Bundle.decode((await asker.post(asker.request("bob"))).body)
                assert bundle.checkpoint == note
    _, verified = open_note(note, policy.verifiers)
    assert policy.quorum_time(counting(verified, wall_ms()), demanded=2)
    _, verified = open_note(note, [one.verifier for one in everyone])
    assert len(verified) == 2  # its witnesses' cosignatures are still there
