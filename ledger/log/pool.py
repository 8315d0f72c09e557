"""Signatures and VRF labels, checked in worker processes.

They are most of the work and need no state, so they run beside the planner, on other cores.
(Threads that overlap the planner contend with it for the interpreter.) Blocks that wait while all
workers are busy go to the next free one together, so one block a request costs little more than
many.

>>> async with CheckPool(workers=2, vrf_seed=seed) as pool:       # doctest: +SKIP
...     error = await pool.check(Job(checks(block, log_id)))
"""

from __future__ import annotations

import asyncio
import multiprocessing
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import TypeAlias

from ledger.errors import BadSignature, MalformedInput, RuleViolation
from ledger.format import block as blocks
from ledger.format.block import Checks
from ledger.tree import vrf

MAX_CHUNK = 256
"""Jobs that one worker takes at a time: about 40 ms of work."""

Failure: TypeAlias = MalformedInput | RuleViolation

_vrf_seed = b""
"""A worker's own, set as it starts."""


@dataclass(frozen=True, slots=True)
class Job:
    """Signatures to check and, for a user.create, the identifier whose label it must be."""

    checks: Checks
    identifier: str | None = None
    label: bytes = b""


def _start_worker(vrf_seed: bytes) -> None:
    global _vrf_seed  # noqa: PLW0603 - an initialiser has no other way to leave something
    _vrf_seed = vrf_seed


def _run(jobs: list[Job]) -> list[tuple[str, str, str] | None]:
    """In a worker: for each job none, or the failure as (class, rule, detail)."""
    return [_run_one(job) for job in jobs]


def _run_one(job: Job) -> tuple[str, str, str] | None:
    try:
        blocks.perform(job.checks)
        if job.identifier is not None:
            _check_label(job.identifier, job.label)
    except BadSignature as error:
        return "signature", error.rule, error.detail
    except RuleViolation as error:
        return "rule", error.rule, error.detail
    except MalformedInput as error:
        return "malformed", error.rule, error.detail
    return None


def _check_label(identifier: str, label: bytes) -> None:
    if vrf.label(vrf.evaluate(_vrf_seed, identifier.encode())) != label:
        raise RuleViolation("R-71.4", "the label is not the identifier's")


_FAILURES: dict[str, type[Failure]] = {
    "signature": BadSignature,
    "rule": RuleViolation,
    "malformed": MalformedInput,
}


class CheckPool:
    """Worker processes that check jobs; `workers=0` checks in one thread of this process."""

    def __init__(self, workers: int, vrf_seed: bytes) -> None:
        self._workers = max(1, workers)
        self._executor = _executor(workers, vrf_seed)
        self._waiting: asyncio.Queue[tuple[Job, asyncio.Future[Failure | None]]] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> CheckPool:
        self._tasks = [asyncio.create_task(self._dispatch()) for _ in range(self._workers)]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def check(self, job: Job) -> Failure | None:
        """What is wrong with the job, if anything."""
        done: asyncio.Future[Failure | None] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((job, done))
        return await done

    async def _dispatch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            chunk = [await self._waiting.get()]
            while not self._waiting.empty() and len(chunk) < MAX_CHUNK:
                chunk.append(self._waiting.get_nowait())
            try:
                jobs = [job for job, _ in chunk]
                results = await loop.run_in_executor(self._executor, _run, jobs)
            except Exception as error:  # noqa: BLE001 - whatever it was, its callers must hear
                _fail(chunk, error)
                continue
            for (_, done), result in zip(chunk, results, strict=True):
                if not done.done():
                    done.set_result(result and _FAILURES[result[0]](*result[1:]))


def _fail(chunk: list[tuple[Job, asyncio.Future[Failure | None]]], error: Exception) -> None:
    for _, done in chunk:
        if not done.done():
            done.set_exception(error)


def _executor(workers: int, vrf_seed: bytes) -> Executor:
    if not workers:
        return ThreadPoolExecutor(1, initializer=_start_worker, initargs=(vrf_seed,))
    # Not fork: the parent has threads, and an LMDB environment must not cross a fork.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=(vrf_seed,))
