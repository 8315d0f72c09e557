"""A log that was put back to an older copy meets the witnesses of others (R-62.16)."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from ledger.errors import LogMisbehaved
from tests.http.world import Live
from tests.interop.test_witnesses import ACTOR, aics, cosigners, lite, witnessed
from tests.interop.witnesses import Peer
from verifier.evidence import judge

__all__ = ["aics", "lite"]


async def put_back(home: Path, peer: Peer) -> Path:
    """An older copy of a log that went on by a block, under the witness."""
    copy = home.with_name("copy")
    for name in ("ada", "lost"):
        async with witnessed(home, [peer]) as live:
            await live.http.admit(await live.http.user(name))
            assert await cosigners(live, [peer]) == {peer.name}
        if not copy.exists():
            shutil.copytree(home, copy)
    return copy


async def hand_in(live: Live, patience: float) -> bool:
    """Whether a block is admitted in time."""
    submitting = asyncio.create_task(live.http.submit(await live.http.user("eve")))
    done, _ = await asyncio.wait([submitting], timeout=patience)
    if not done:
        submitting.cancel()
        return False
    (verdict,) = submitting.result().verdicts
    return type(verdict).__name__ == "Admitted"


async def test_aics_witness_shows_the_fork(aics: Peer, tmp_path: Path) -> None:
    """It tells what it cosigned, and that is evidence."""
    copy = await put_back(tmp_path / "log", aics)
    async with witnessed(copy, [aics]) as live:
        before = await live.http.checkpoint()
        assert not await hand_in(live, 20)
        assert await live.http.checkpoint() == before
        error = live.served.service.sequencer.dead
    assert isinstance(error, LogMisbehaved)
    (file,) = (copy / "evidence").iterdir()
    verdict = judge(file.read_bytes(), ACTOR.log_id)
    assert (verdict.outcome, verdict.kind) == ("proven", "fork")


async def test_litewitness_stops_the_fork(lite: Peer, tmp_path: Path) -> None:
    """It shows nobody what it cosigned, so nothing is proven; and nothing is published."""
    copy = await put_back(tmp_path / "log", lite)
    async with witnessed(copy, [lite]) as live:
        before = await live.http.checkpoint()
        assert not await hand_in(live, 3)
        assert await live.http.checkpoint() == before
        assert (await live.http.get("/health")).json["status"] == "unwitnessed"
    assert not list((copy / "evidence").glob("*"))
