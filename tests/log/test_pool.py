"""Checks beside the planner: the same in a thread, in a process, and after a worker died."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ledger.errors import BadSignature, MalformedInput, RuleViolation, StoreError
from ledger.format import block as blocks
from ledger.log.pool import MAX_JOBS, CheckPool, Failure, Job
from ledger.tree import vrf
from tests.log.world import until
from tests.support.actors import LogActor, User
from tests.support.memory import MemoryLog

FOUNDING = LogActor.make()
LOG = FOUNDING.after
ANCHOR = MemoryLog(FOUNDING.raw).anchor

# No point of the curve, and one of a small subgroup.
BAD_KEYS = [b"\x02" + bytes(31), bytes(32)]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledger.log.pool._PAUSE", 0.01)


def job(name: str) -> Job:
    block = User.create(LOG, name, ANCHOR).block
    return Job(blocks.checks(block, LOG.log_id), name, block.label)


async def check(pool: CheckPool, one: Job) -> Failure | None:
    (failure,) = await pool.check([one])
    return failure


def spoilt(good: Job) -> Iterator[tuple[Job, type[MalformedInput | RuleViolation], str]]:
    checks = good.checks
    (kid, signature, message), *others = checks.signatures
    forged = ((kid, signature, message + b"!"), *others)
    yield replace(good, checks=replace(checks, signatures=forged)), BadSignature, "R-40.4"
    (rule, kid, signature, message), *inner = checks.inner
    bent = ((rule, kid, signature[:-1] + bytes([signature[-1] ^ 1]), message), *inner)
    yield replace(good, checks=replace(checks, inner=bent)), BadSignature, "R-52.5"
    for key in BAD_KEYS:
        yield replace(good, checks=replace(checks, entering=(key,))), MalformedInput, "R-15.1"
    yield replace(good, label=b"x" * 32), RuleViolation, "R-71.4"
    yield replace(good, identifier="eve"), RuleViolation, "R-71.4"


@pytest.mark.parametrize("workers", [0, 2])
async def test_each_check_and_its_nearest_failure(workers: int) -> None:
    async with CheckPool(workers, LOG.vrf_secret) as pool:
        good = job("ada")
        assert await check(pool, good) is None
        for bad, kind, rule in spoilt(good):
            failure = await check(pool, bad)
            assert isinstance(failure, kind)
            assert type(failure) is kind
            assert failure.rule == rule


@pytest.mark.parametrize("workers", [0, 1])
async def test_many_at_once_are_answered_in_their_places(workers: int) -> None:
    async with CheckPool(workers, LOG.vrf_secret) as pool:
        good = job("ada")
        bad = replace(good, label=b"x" * 32)
        jobs = [bad if number % 7 == 3 else good for number in range(300)]
        expected = [one is bad for one in jobs]
        results = await asyncio.gather(*(check(pool, one) for one in jobs))
        assert [result is not None for result in results] == expected
        parts = [jobs[at : at + MAX_JOBS] for at in range(0, len(jobs), MAX_JOBS)]
        together = await asyncio.gather(*map(pool.check, parts))
        assert [result is not None for part in together for result in part] == expected


@pytest.mark.parametrize("workers", [0, 1])
async def test_labels_are_proved_and_remembered(
    workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledger.log.pool._REMEMBERED", 2)
    async with CheckPool(workers, LOG.vrf_secret) as pool:
        label, proof = await pool.prove("ada")
        assert vrf.label(vrf.verify(LOG.vrf_public, b"ada", proof)) == label
        good = job("ada")
        assert good.label == label
        assert await check(pool, good) is None
        # What is remembered is no licence for another label, and is forgotten in its turn.
        other = replace(good, label=b"x" * 32)
        assert isinstance(await check(pool, other), RuleViolation)
        await pool.prove("bob")
        await pool.prove("carol")
        assert list(pool._labels) == ["bob", "carol"]
        assert await check(pool, good) is None


async def test_an_identifier_without_utf8_is_no_end() -> None:
    async with CheckPool(1, LOG.vrf_secret) as pool:
        with pytest.raises(StoreError, match="did not run"):
            await pool.prove("\ud800")
        assert await check(pool, job("ada")) is None


async def test_a_worker_that_dies_is_replaced() -> None:
    async with CheckPool(1, LOG.vrf_secret) as pool:
        good = job("ada")
        assert await check(pool, good) is None
        (process,) = children()
        os.kill(process, signal.SIGKILL)
        results = await asyncio.gather(*(check(pool, good) for _ in range(100)))
        # Whatever was before the worker is handed back; what was not is checked by the next one.
        assert all(result is None or isinstance(result, StoreError) for result in results)
        await until(lambda: children() not in ([], [process]))
        assert await check(pool, good) is None


async def test_workers_end_with_the_pool_and_leave_no_work_unanswered() -> None:
    async with CheckPool(1, LOG.vrf_secret) as pool:
        await check(pool, job("ada"))
        late = [pool.check([job("ada")]) for _ in range(300)]
    results = [result for (result,) in await asyncio.gather(*late)]
    assert all(result is None or isinstance(result, StoreError) for result in results)
    assert any(isinstance(result, StoreError) for result in results)
    assert children() == []


def children() -> list[int]:
    """This process's workers, as the kernel lists them: other tests may have children too."""
    listed = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    commands = {int(word): Path(f"/proc/{word}/cmdline").read_bytes() for word in listed}
    return [process for process, command in commands.items() if b"ledger.log.worker" in command]
