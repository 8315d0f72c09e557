"""A client that is killed in the middle of a sync goes on where it was."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from ledger.app import keys
from ledger.client.replay.replica import Replica
from ledger.client.replay.session import Log
from ledger.log.commit import sign_head
from ledger.log.planner import plan
from ledger.server.config import AuditorsConfig
from ledger.server.founding import AppKeys, Terms, found_home
from ledger.server.home import Home
from ledger.server.runtime import Served, serving
from tests.client.conftest import CONFIG

CHILD = """
import asyncio, sys, time
from ledger.client.replay.session import Log

def progress(done, size):
    print(done, flush=True)
    time.sleep(0.5)

async def main(url, log_id, path):
    async with Log.connect(url, bytes.fromhex(log_id), path) as log:
        await log.sync(progress=progress)

asyncio.run(main(*sys.argv[1:]))
"""
BATCHES = 700


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[tuple[Served, bytes]]:
    """A log with several bundles of heartbeats."""
    app, home = tmp_path / "app", Home(tmp_path / "log")
    keys.make(app)
    log_id = found_home(home, Terms("example.com/log"), AppKeys.read(app))
    with home.stores() as (store, _):
        for _ in range(BATCHES):
            with store.view() as view:
                commit = plan(view, [], view.head.time + 1).commit
            store.perform(commit, sign_head("example.com/log", commit.after, home.log_key()))
    async with serving(home, replace(CONFIG, auditors=AuditorsConfig())) as served:
        yield served, log_id


async def test_a_killed_sync_is_resumed(served: tuple[Served, bytes], tmp_path: Path) -> None:
    server, log_id = served
    path = tmp_path / "replica.db"
    command = [sys.executable, "-c", CHILD, server.url, log_id.hex(), str(path)]
    # Not subprocess: the server runs in this process's event loop, and must answer meanwhile.
    child = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert child.stdout
    assert await child.stdout.readline() == b"256\n"
    child.kill()
    await child.wait()
    with Replica.open(path, log_id) as replica:
        assert 256 <= replica.head.size < BATCHES
        replica.check()
    async with Log.connect(server.url, log_id, path) as log:
        head = await log.sync()
        assert head.size >= BATCHES
        with server.service.store.reader() as reader:
            assert reader.head == head
        log.replica.check()
