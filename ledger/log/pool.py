"""Signatures, key points and VRF labels, checked in worker processes.

They are most of the work and need no state, so they run beside the planner, on other cores.
(Threads that overlap the planner contend with it for the interpreter, and so do the threads of
`concurrent.futures`: these workers hang on pipes of the event loop.) What waits while a worker is
busy goes to it together, so one block a request costs little more than many; a few frames wait at
its door, so that it never idles.

>>> async with CheckPool(workers=2, vrf_seed=seed) as pool:       # doctest: +SKIP
...     failure = await pool.check(Job(checks(block, log_id)))
...     label, proof = await pool.prove("ada@example.org")
"""

from __future__ import annotations

import asyncio
import marshal
import sys
from collections import OrderedDict, deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, TypeAlias

import structlog

from ledger.errors import BadSignature, KeyrollError, MalformedInput, RuleViolation, StoreError
from ledger.format.block import Checks
from ledger.log.worker import CHECK, LENGTH_BYTES, PROVE, Result, Task, frame, perform

MAX_FRAME_TASKS = 256
"""Tasks that a worker takes at a time: about 10 ms of work."""

_LEAST_FRAME = 8
"""Tasks that are worth a frame while more are to be expected."""

_FRAMES_AHEAD = 4
_logger = structlog.get_logger("keyroll.pool")
_REMEMBERED = 65_536
_PAUSE = 1.0

Failure: TypeAlias = MalformedInput | RuleViolation

_FAILURES: dict[str, type[Failure]] = {
    "signature": BadSignature,
    "rule": RuleViolation,
    "malformed": MalformedInput,
}


@dataclass(frozen=True, slots=True)
class Job:
    """Signatures to check and, for a user.create, the identifier whose label it must be."""

    checks: Checks
    identifier: str | None = None
    label: bytes = b""


@dataclass(slots=True)
class _Waiting:
    task: Task
    done: asyncio.Future[Any]


@dataclass(slots=True)
class _Desk:
    """A worker, and the frames that lie before it, the oldest first."""

    worker: _Worker
    sent: deque[list[_Waiting]] = field(default_factory=deque)


class _Worker(Protocol):
    """Takes frames of tasks, answers them in order. An `OSError` or `EOFError` means it died."""

    def send(self, tasks: list[Task]) -> None: ...

    async def receive(self) -> list[Result]: ...

    async def close(self) -> None: ...


class CheckPool:
    """Worker processes that check jobs; `workers=0` checks in one thread of this process.

    The labels of identifiers that were proved here are remembered, the latest 65,536: whoever
    registers has asked for its label a moment before.
    """

    def __init__(self, workers: int, vrf_seed: bytes) -> None:
        self._count = workers
        self._vrf_seed = vrf_seed
        self._waiting: deque[_Waiting] = deque()
        self._desks: list[_Desk] = []
        self._labels: OrderedDict[str, bytes] = OrderedDict()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> CheckPool:
        lives = range(max(1, self._count))
        self._tasks = [asyncio.create_task(self._live()) for _ in lives]
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
        _fail(self._waiting, StoreError("the log is stopping"))

    def check(self, job: Job) -> asyncio.Future[Failure | None]:
        """What is wrong with the job, if anything. `StoreError` if no worker could say."""
        identifier = job.identifier
        if identifier is not None and self._labels.get(identifier) == job.label:
            identifier = None
        checks = job.checks
        task = (CHECK, checks.signatures, checks.delegation, checks.entering, identifier, job.label)
        return self._put(task)

    async def prove(self, identifier: str) -> tuple[bytes, bytes]:
        """The label of an identifier (32 bytes), and the VRF proof of that (80 bytes)."""
        found = await self._put((PROVE, identifier))
        if isinstance(found, KeyrollError):
            raise found
        label, proof = found
        self.remember(identifier, label)
        return label, proof

    def remember(self, identifier: str, label: bytes) -> None:
        """Take it as known that `identifier` has this label."""
        self._labels[identifier] = label
        self._labels.move_to_end(identifier)
        if len(self._labels) > _REMEMBERED:
            self._labels.popitem(last=False)

    def _put(self, task: Task) -> asyncio.Future[Any]:
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(task, done))
        if len(self._waiting) >= _LEAST_FRAME:
            # At once: the loop may be busy with more requests for a while.
            self._feed()
        elif len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self._feed)
        return done

    def _feed(self) -> None:
        """Send what waits to whoever has room."""
        for desk in self._desks:
            while self._waiting and len(desk.sent) < _FRAMES_AHEAD:
                count = min(len(self._waiting), MAX_FRAME_TASKS)
                items = [self._waiting.popleft() for _ in range(count)]
                desk.sent.append(items)
                desk.worker.send([item.task for item in items])

    async def _live(self) -> None:
        """Keep one worker, and start another when it dies."""
        while True:
            desk = _Desk(await self._start())
            self._desks.append(desk)
            try:
                await self._collect(desk)
            except (OSError, EOFError):
                _logger.error("a worker died, starting another")
            finally:
                self._desks.remove(desk)
                for items in desk.sent:
                    _fail(items, StoreError("a worker died; send it again"))
                await desk.worker.close()
            await asyncio.sleep(_PAUSE)

    async def _start(self) -> _Worker:
        if not self._count:
            return _Thread(self._vrf_seed)
        return await _Process.start(self._vrf_seed)

    async def _collect(self, desk: _Desk) -> None:
        while True:
            self._feed()
            results = await desk.worker.receive()
            items = desk.sent.popleft()
            self._feed()
            for item, result in zip(items, results, strict=True):
                _settle(item, result)


def _settle(item: _Waiting, result: Result) -> None:
    if item.done.done():
        return
    if result is None or len(result) == 2:
        item.done.set_result(result)
    elif failure := _FAILURES.get(result[0]):
        item.done.set_result(failure(*result[1:]))
    else:
        item.done.set_exception(StoreError(f"the check did not run: {result[2]}"))


def _fail(items: list[_Waiting] | deque[_Waiting], error: StoreError) -> None:
    for item in items:
        if not item.done.done():
            item.done.set_exception(error)


class _Process:
    """A worker in a process of its own, on a pair of pipes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin
        assert process.stdout
        self._process = process
        self._stdin = process.stdin
        self._stdout = process.stdout

    @classmethod
    async def start(cls, vrf_seed: bytes) -> _Process:
        # Not fork: the parent has threads, and an LMDB environment must not cross a fork. -P: what
        # lies in the working directory is no code of ours.
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "ledger.log.worker", stdin=pipe, stdout=pipe
        )
        worker = cls(process)
        worker._stdin.write(frame(vrf_seed))
        return worker

    def send(self, tasks: list[Task]) -> None:
        # At most two frames are on their way, so nothing piles up without `drain`.
        self._stdin.write(frame(tasks))

    async def receive(self) -> list[Result]:
        length = int.from_bytes(await self._stdout.readexactly(LENGTH_BYTES))
        results: list[Result] = marshal.loads(await self._stdout.readexactly(length))
        return results

    async def close(self) -> None:
        self._stdin.close()
        await self._process.wait()


class _Thread:
    """A worker in a thread: for tests, and for a machine with one core."""

    def __init__(self, vrf_seed: bytes) -> None:
        self._vrf_seed = vrf_seed
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="checks")
        self._results: asyncio.Queue[asyncio.Future[list[Result]]] = asyncio.Queue()

    def send(self, tasks: list[Task]) -> None:
        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(self._executor, perform, self._vrf_seed, tasks)
        self._results.put_nowait(running)

    async def receive(self) -> list[Result]:
        return await (await self._results.get())

    async def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)
