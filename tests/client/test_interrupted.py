"""Registering, devices, recovery, groups, sealing: cut off at each point, and taken up again."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from dataclasses import asdict
from json import dumps
from pathlib import Path

import pytest
from aiosmtpd.smtp import SMTP

from examples.clinic.post import Post
from ledger.recovery.config import Config, MailConfig, ServerConfig
from ledger.recovery.runtime import make, serving
from tests.client.conftest import Live
from tests.client.steps import STEPS, World

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
async def world(live: Live, tmp_path: Path) -> AsyncIterator[World]:
    post, place = tmp_path / "post", tmp_path / "place"
    post.mkdir()
    place.mkdir()
    make(tmp_path / "service")
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(Post(post), hostname="post.example"), "127.0.0.1", 0
    )
    port = server.sockets[0].getsockname()[1]
    config = Config(ServerConfig(port=0, rate="10000/minute"), MailConfig(port=port))
    async with server, serving(tmp_path / "service", config) as url:
        yield World(live.url, live.log_id.hex(), str(live.app), url, str(post), str(place))


SOME, ALL = (4, 20), (1, 1)
"""At every which point the line is cut, and a process killed."""

QUICK = ("Registering", "EnrollingMail", "RecoveringByCode", "RevokingADevice", "CreatingAGroup")


@pytest.mark.parametrize("step", QUICK)
async def test_taken_up_again(world: World, step: str) -> None:
    await taken_up_again(world, step, SOME)


@pytest.mark.soak
@pytest.mark.parametrize("step", STEPS)
async def test_taken_up_again_wherever_it_was(world: World, step: str) -> None:
    await taken_up_again(world, step, ALL)


async def taken_up_again(world: World, step: str, strides: tuple[int, int]) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.client.interrupted"),
        *(dumps(asdict(world)), step, *map(str, strides)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    cuts, kills = map(int, out.split())
    assert min(cuts // 2, kills // 4) >= (strides == ALL)
