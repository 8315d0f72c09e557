"""A log and its witnesses: real ones, `keyroll-verifier witness` as processes, over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from time import time

import pytest

from tests.http.world import make_home
from tests.log.world import until
from tests.server.process import Auditor, Load, serving
from tests.server.witnessing import LOG, VERIFIER, admit, cosigners, failures, published, witnessed
from tests.support.witnesses import Door, Said, policy_of, witnesses


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledger.log.sequencer._PAUSE", 0.05)


async def test_a_quorum_cosigns_all_that_is_published(tmp_path: Path) -> None:
    """R-62.14, R-62.15: two of three suffice, and a third that is away is told of."""
    async with witnesses(tmp_path, VERIFIER.vkey, 3) as (a, b, c):
        everyone = [a, b, c]
        async with witnessed(tmp_path / "log", everyone, "2") as live:
            await published(live, 3)  # at once, so that nobody has to wait for the heartbeat
            assert len(await cosigners(live, everyone)) >= 2
            await c.stop()
            for name in ("ada", "bob"):
                await admit(live, name)
                assert await cosigners(live, everyone) == {"0", "1"}
            document = (await live.http.get("/health")).json
            assert document["status"] == "ok"
            assert [one["name"] for one in document["witnesses"]] == ["w0", "w1", "w2"]
            assert document["witnesses"][2]["failure"] == "unreachable"
            assert document["witnesses"][0]["size"] == document["size"]
            facts = (await live.http.get("/v1/log")).json
            assert facts["witnesses"] == [one.verifier.vkey for one in everyone]
            told = (await live.http.get("/metrics")).body.decode()
            assert "keyroll_unwitnessed 0.0" in told
            assert 'keyroll_witness_failures_total{kind="unreachable",witness="w2"}' in told
            assert 'keyroll_witness_age_seconds{witness="w0"}' in told
            await c.start()  # behind by two batches
            await until(lambda: c.door.behind)
            await admit(live, "carol")
            await until(lambda: failures(live)[2] is None)
            newest = await live.http.checkpoint()
            assert VERIFIER.name.encode() in await c.cosigned(LOG.origin)
        for one in everyone:
            assert all(len(roots) == 1 for roots in one.door.roots.values())
            assert max(one.door.roots) == newest.size


async def test_without_a_quorum_nothing_is_published_until_it_is_back(tmp_path: Path) -> None:
    """R-62.15."""
    async with (
        witnesses(tmp_path, VERIFIER.vkey, 2) as everyone,
        witnessed(tmp_path / "log", everyone) as live,
    ):
        await admit(live, "ada")
        before = await live.http.checkpoint()
        await everyone[1].stop()
        people = [await live.http.user(f"person {number}") for number in range(5)]
        asked = [asyncio.create_task(live.http.submit(one)) for one in people]
        await until(lambda: failures(live)[1] == "unreachable")
        await asyncio.sleep(0.2)
        assert await live.http.checkpoint() == before
        assert not any(task.done() for task in asked)
        answer = await live.http.get("/health")
        assert (answer.status, answer.json["status"]) == (503, "unwitnessed")
        await everyone[1].start()
        for one in await asyncio.gather(*asked):
            assert one.verdicts
        assert await cosigners(live, everyone) == {"0", "1"}
        assert (await live.http.get("/health")).json["status"] == "ok"
        await live.http.admit(*people)


async def test_an_operator_may_choose_to_go_without(tmp_path: Path) -> None:
    """R-62.15: after a while, and /health says so; a quorum that is back is used again."""
    async with witnesses(tmp_path, VERIFIER.vkey, 2) as everyone:
        await everyone[1].stop()
        async with witnessed(tmp_path / "log", everyone, without=0.3) as live:
            started = time()
            await admit(live, "ada")
            assert time() - started >= 0.2
            assert await cosigners(live, everyone) == {"0"}
            answer = await live.http.get("/health")
            assert (answer.status, answer.json["status"]) == (503, "unwitnessed")
            assert b"keyroll_unwitnessed 1.0" in (await live.http.get("/metrics")).body
            started = time()
            await admit(live, "bob")  # who waited once need not wait for each batch
            assert time() - started < 0.3
            await everyone[1].start()
            await admit(live, "carol")
            assert await cosigners(live, everyone) == {"0", "1"}
            assert (await live.http.get("/health")).status == 200


async def test_what_was_submitted_is_all_of_one_tree_after_kills(tmp_path: Path) -> None:
    """Killed before, while and after a witness cosigns: the same root is published afterwards.

    At each of these moments a batch is staged, and at the later two its checkpoint is cosigned.
    """
    home, load, random = make_home(tmp_path / "log"), Load(), Random(5)
    async with witnesses(tmp_path, VERIFIER.vkey, 1) as [witness]:
        (home.path / "witnesses.policy").write_text(policy_of([witness]))
        home.config_file.write_text('[witnesses]\npolicy = "witnesses.policy"\n')
        for moment in (before_it_signs, after_it_signed, while_it_is_published) * 2:
            async with serving(home.path) as server:
                await load.again(server.url)
                pressing = asyncio.create_task(load.press(server.url))
                await load.hear(2, pressing)
                struck = moment(witness.door, random)
                async with asyncio.timeout(20):
                    await struck()
                await server.kill()
                await pressing
            witness.door.answer = witness.door.listen = None
        async with serving(home.path) as server:
            await load.again(server.url)
            assert await server.stop() == 0
        assert all(len(roots) == 1 for roots in witness.door.roots.values())
        assert ("POST", 409) in witness.door.said or len(witness.door.roots) > 6
    auditor = Auditor(LOG.log_id)
    auditor.check(home.path, load)
    sizes = witness.door.roots
    assert sizes[auditor.log.head.size] == {auditor.log.head.root}
    assert len(load.told) >= 12


Moment = Callable[[Door, Random], Callable[[], Awaitable[object]]]


def before_it_signs(door: Door, random: Random) -> Callable[[], Awaitable[object]]:
    """Staged and signed; the witness has yet to hear of it."""
    struck = asyncio.Event()

    async def hold(path: str, body: bytes) -> Said | None:
        struck.set()
        await asyncio.sleep(2)
        return Said(503, b"")

    door.answer = hold
    return struck.wait


def after_it_signed(door: Door, random: Random) -> Callable[[], Awaitable[object]]:
    """The witness has cosigned; the log never hears it."""
    struck = asyncio.Event()

    async def hold(path: str, said: Said) -> Said:
        if said.status == 200 and path == "/add-checkpoint":
            struck.set()
            await asyncio.sleep(2)
        return said

    door.listen = hold
    return struck.wait


def while_it_is_published(door: Door, random: Random) -> Callable[[], Awaitable[object]]:
    """The log has the cosignature, some milliseconds ago."""
    struck = asyncio.Event()

    async def tell(path: str, said: Said) -> Said:
        if said.status == 200 and path == "/add-checkpoint":
            asyncio.get_running_loop().call_later(random.random() * 0.01, struck.set)
        return said

    door.listen = tell
    return struck.wait
