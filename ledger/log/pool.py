"""Signatures, key points and VRF labels, checked in worker processes.

They are most of the work and need no state, so they run beside the planner, on other cores.
(Threads that overlap the planner contend with it for the interpreter, and so do the threads of
`concurrent.futures`: these workers hang on pipes of the event loop.) What waits while a worker is
busy goes to it together, so one block a request costs little more than many; a few frames wait at
its door, so that it never idles.

>>> async with CheckPool(workers=2, vrf_seed=seed) as pool:       # doctest: +SKIP
...     (failure,) = await pool.check([Job(checks(block, log_id))])
...     label, proof = await pool.prove("ada@example.org")
"""

from __future__ import annotations

import asyncio
import fcntl
import marshal
import sys
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, TypeAlias, TypeVar

import structlog

from ledger.errors import BadSignature, KeyrollError, MalformedInput, RuleViolation, StoreError
from ledger.format.block import Checks
from ledger.log.worker import CHECK, LENGTH_BYTES, PROVE, Result, Task, frame, perform
from ledger.value import value

MAX_JOBS = 64
"""Jobs that one worker gets at a time: about 10 ms of work."""

_LEAST_FRAME = 8
"""Tasks that are worth a frame while more are to be expected."""

_FRAMES_AHEAD = 3
_PIPE_BYTES = 1_048_576
"""Room for whole frames: what does not fit has to wait for the event loop, which may be busy."""

_logger = structlog.get_logger("keyroll.pool")
_REMEMBERED = 65_536
_REMEMBERED_PROOFS = 16_384
_PAUSE = 1.0

T = TypeVar("T")

Failure: TypeAlias = MalformedInput | RuleViolation | StoreError

_FAULTS: dict[str, type[MalformedInput | RuleViolation]] = {
    "signature": BadSignature,
    "rule": RuleViolation,
    "malformed": MalformedInput,
}


@value
class Job:
    """Signatures to check and, for a user.create, the identifier whose label it must be."""

    checks: Checks
    identifier: str | None = None
    label: bytes = b""


@dataclass(slots=True)
class _Waiting:
    """Tasks that came together, and are answered together: by a result or an error for each."""

    tasks: list[Task]
    done: asyncio.Future[list[Any]]

    def settle(self, answers: list[Any]) -> None:
        if not self.done.done():
            self.done.set_result(answers)


@dataclass(slots=True)
class _Desk:
    """A worker, and the frames that lie before it, the oldest first."""

    worker: _Worker
    sent: deque[list[_Waiting]] = field(default_factory=deque)

    @property
    def ahead(self) -> int:
        return len(self.sent)

    def takes(self, waiting: int) -> bool:
        """Whether so many tasks are worth another frame now: the more lies there, the larger."""
        return self.ahead < _FRAMES_AHEAD and waiting >= self.ahead * _LEAST_FRAME

    def send(self, items: list[_Waiting]) -> None:
        self.sent.append(items)
        self.worker.send([task for item in items for task in item.tasks])

    async def receive(self) -> None:
        """Wait for the oldest frame's results, and hand them on."""
        results = iter(await self.worker.receive())
        for item in self.sent.popleft():
            item.settle([_answer(next(results)) for _ in item.tasks])


class _Worker(Protocol):
    """Takes frames of tasks, answers them in order. An `OSError` or `EOFError` means it died."""

    def send(self, tasks: list[Task]) -> None: ...

    async def receive(self) -> list[Result]: ...

    async def close(self) -> None: ...


class CheckPool:
    """Worker processes that check jobs; `workers=0` checks in one thread of this process.

    The labels of identifiers that were proved here are remembered, the latest 65,536: whoever
    registers has asked for its label a moment before. So are proofs, the latest 16,384: people look
    each other up.
    """

    def __init__(self, workers: int, vrf_seed: bytes) -> None:
        self._count = workers
        self._vrf_seed = vrf_seed
        self._waiting: deque[_Waiting] = deque()
        self._waiting_tasks = 0
        self._desks: list[_Desk] = []
        self._labels: OrderedDict[str, bytes] = OrderedDict()
        self._proofs: OrderedDict[str, tuple[bytes, bytes]] = OrderedDict()
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

    def check(self, jobs: Sequence[Job]) -> asyncio.Future[list[Failure | None]]:
        """What is wrong with each of up to `MAX_JOBS` jobs, if anything.

        `StoreError` if no worker could say.
        """
        return self._put([self._task(job) for job in jobs])

    async def prove(self, identifier: str) -> tuple[bytes, bytes]:
        """The label of an identifier (32 bytes), and the VRF proof of that (80 bytes)."""
        known = self._proofs.get(identifier)
        if known is None:
            (found,) = await self._put([(PROVE, identifier)])
            if isinstance(found, KeyrollError):
                raise found
            known = label, _ = found
            self.remember(identifier, label)
        _keep(self._proofs, identifier, known, _REMEMBERED_PROOFS)
        return known

    def remember(self, identifier: str, label: bytes) -> None:
        """Take it as known that `identifier` has this label."""
        _keep(self._labels, identifier, label, _REMEMBERED)

    def _task(self, job: Job) -> Task:
        identifier, checks = job.identifier, job.checks
        if identifier is not None and self._labels.get(identifier) == job.label:
            identifier = None
        return CHECK, checks.signatures, checks.inner, checks.entering, identifier, job.label

    def _put(self, tasks: list[Task]) -> asyncio.Future[list[Any]]:
        loop = asyncio.get_running_loop()
        item = _Waiting(tasks, loop.create_future())
        self._waiting.append(item)
        self._waiting_tasks += len(tasks)
        if self._waiting_tasks >= _LEAST_FRAME:
            # At once: the loop may be busy with more requests for a while.
            self._feed()
        elif len(self._waiting) == 1:
            loop.call_soon(self._feed)
        return item.done

    def _feed(self) -> None:
        """Send what waits, to whoever has least before it."""
        while self._waiting and self._desks:
            desk = min(self._desks, key=lambda desk: desk.ahead)
            if not desk.takes(self._waiting_tasks):
                return
            desk.send(self._next_frame())

    def _next_frame(self) -> list[_Waiting]:
        items: list[_Waiting] = []
        count = 0
        while self._waiting and (not items or count + len(self._waiting[0].tasks) <= MAX_JOBS):
            items.append(self._waiting.popleft())
            count += len(items[-1].tasks)
        self._waiting_tasks -= count
        return items

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
            await desk.receive()


def _keep(known: OrderedDict[str, T], key: str, value: T, maximum: int) -> None:
    """Remember `value` as the latest, and forget the oldest of more than `maximum`."""
    known[key] = value
    known.move_to_end(key)
    if len(known) > maximum:
        known.popitem(last=False)


def _answer(result: Result) -> Any:
    """What a worker found out; its failures as the errors that they are."""
    if result is None or len(result) == 2:
        return result
    fault, rule, detail = result
    if failure := _FAULTS.get(fault):
        return failure(rule, detail)
    return StoreError(f"the check did not run: {detail}")


def _fail(items: Iterable[_Waiting], error: StoreError) -> None:
    for item in items:
        item.settle([error] * len(item.tasks))


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
        if sys.platform == "linux":
            with suppress(OSError):  # a busy machine's limits leave it as it is
                pipe_in = worker._stdin.get_extra_info("pipe")
                fcntl.fcntl(pipe_in, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        worker._stdin.write(frame(vrf_seed))
        return worker

    def send(self, tasks: list[Task]) -> None:
        # Only a few frames are on their way, so nothing piles up without `drain`.
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
