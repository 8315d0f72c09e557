"""The one writer of a log: blocks in, verdicts out when they are durable and published.

A block's way, with what runs where:

    submit            event loop     the same block again? room in the queue?
      check           worker         signatures, key points, the VRF label of a user.create
      wait            event loop     until the writer is free
      plan            writer thread  rules, boxes, directory: a batch of all that waits
      private         writer thread  boxes and openings are durable before what refers to them
      stage           writer thread  the batch is durable, beyond the head        (with a cosigner)
      sign, cosign                   a checkpoint; nothing has left the process yet
      publish         writer thread  the rest is durable; the head moves
    verdict           event loop

Without a cosigner, stage and publish are one transaction. Once staged, a batch is never dropped or
changed: `recover` plans it again from disk, and it must reach the root that was recorded. After an
error that leaves unknown what is durable, the sequencer is dead, and says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from ledger.errors import (
    Busy,
    ClockError,
    KeyrollError,
    RuleViolation,
    StoreError,
    StoreFull,
    UsageError,
)
from ledger.format import block as blocks
from ledger.format import entry
from ledger.format.block import LOG_LABEL, Block
from ledger.format.bodies import LogCreate
from ledger.format.checkpoint import Checkpoint, sign_checkpoint
from ledger.format.keys import SigningKey
from ledger.log.admission import Submission, check_boxes, check_opening
from ledger.log.clock import Clock
from ledger.log.commit import Commit, Head
from ledger.log.planner import Admission, Plan, plan
from ledger.log.pool import CheckPool, Job
from ledger.rules.context import Outcome
from ledger.rules.state import LogState
from ledger.store.port import PrivateStore, Store

T = TypeVar("T")

_PAUSE = 1.0
"""Seconds before trying again with a full disk or a wrong clock."""

Cosign: TypeAlias = Callable[[bytes], Awaitable[bytes]]
"""Takes the signed checkpoint, gives it back with cosignatures; takes as long as it takes."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How the sequencer batches: blocks queued at most, blocks a batch, seconds to gather them."""

    max_queue: int = 8_192
    max_batch: int = 1_000
    linger: float = 0.002


@dataclass(frozen=True, slots=True)
class Admitted:
    """A block is durable and published, as leaf `index`, at `time` (ms)."""

    index: int
    time: int


Verdict: TypeAlias = Admitted | KeyrollError


@dataclass(frozen=True, slots=True)
class _Waiting:
    submission: Submission
    done: asyncio.Future[Verdict]


class Sequencer:
    """One log's writer. `run` is its life; `submit` and `dead` are all that others need."""

    def __init__(
        self,
        store: Store,
        private: PrivateStore,
        log_key: SigningKey,
        pool: CheckPool,
        *,
        clock: Clock | None = None,
        cosign: Cosign | None = None,
        settings: Settings | None = None,
    ) -> None:
        self._store = store
        self._private = private
        self._log_key = log_key
        self._pool = pool
        self._clock = clock or Clock()
        self._cosign = cosign
        self._settings = settings or Settings()
        self._in_flight: dict[bytes, asyncio.Future[Verdict]] = {}
        self._ready: list[_Waiting] = []
        self._wake = asyncio.Event()
        self._stopping = False
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="writer")
        self.dead: KeyrollError | None = None
        with store.reader() as reader:
            log = reader.chain(LOG_LABEL)
            self._log_id = reader.log_id
        if log is None or not isinstance(log.state, LogState):
            raise UsageError("this log has no first block yet: keyroll init makes it")
        self._origin = log.state.origin
        self._heartbeat = log.state.heartbeat
        if log.state.log_key != log_key.public:
            raise UsageError("this is not the log's key")

    @property
    def queued(self) -> int:
        """Blocks that were taken and have no verdict yet."""
        return len(self._in_flight)

    async def submit(self, submissions: Sequence[Submission]) -> list[Verdict]:
        """A verdict for each, in order, once all are known. Raises `Busy` before taking any."""
        if self.dead:
            raise self.dead
        if self._stopping or self.queued + len(submissions) > self._settings.max_queue:
            raise Busy(1.0)
        return await asyncio.gather(*(self._submit(item) for item in submissions))

    async def run(self) -> None:
        """Write batches until `stop`, and a heartbeat when nothing else came for so long."""
        try:
            await self._recover()
            while not self.dead and not (self._stopping and not self._in_flight):
                await self._gather()
                await self._write_batch()
        finally:
            self._refuse(self._ready, self.dead or StoreError("the log stopped: send it again"))
            self._writer.shutdown()

    def stop(self) -> None:
        """Take no more blocks, and let `run` return when those that were taken are answered."""
        self._stopping = True
        self._wake.set()

    async def _submit(self, item: Submission) -> Verdict:
        block = item.block
        if pending := self._in_flight.get(block.hash):
            return await asyncio.shield(pending)
        done: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        self._in_flight[block.hash] = done
        done.add_done_callback(lambda _: self._in_flight.pop(block.hash))
        verdict = self._published(block) or await self._check(item)
        if verdict:
            done.set_result(verdict)
        else:
            self._ready.append(_Waiting(item, done))
            self._wake.set()
        # Shielded: a caller that goes away takes nothing back.
        return await asyncio.shield(done)

    def _published(self, block: Block) -> Admitted | None:
        """Where `block` already stands (R-71.3)."""
        with self._store.reader() as reader:
            chain = reader.chain(block.label)
            if chain is None or block.seq >= chain.length:
                return None
            (index,) = reader.blocks_of(block.label, block.seq, 1)
            (data,) = reader.entries(index, index + 1)
        found = entry.parse(data)
        return Admitted(index, found.time) if found.body == block.raw else None

    async def _check(self, item: Submission) -> KeyrollError | None:
        """What a worker, or the opening, says against `item` (R-15.1, R-40.4, R-52.5, R-71.4)."""
        try:
            check_opening(item)
            identifier = item.opening.identifier if item.opening else None
            checks = blocks.checks(item.block, self._log_id)
            return await self._pool.check(Job(checks, identifier, item.block.label))
        except RuleViolation as violation:
            return violation
        except Exception as error:  # noqa: BLE001 - the block is not at fault
            return StoreError(f"the check did not run, send it again: {error}")

    async def _gather(self) -> None:
        """Wait for blocks, or until a heartbeat is due; let a batch fill up for a moment."""
        if not self._ready and not self._stopping:
            self._wake.clear()
            try:
                async with asyncio.timeout(self._until_heartbeat()):
                    await self._wake.wait()
            except TimeoutError:
                return
        if len(self._ready) < self._settings.max_batch:
            await asyncio.sleep(self._settings.linger)

    def _until_heartbeat(self) -> float:
        with self._store.reader() as reader:
            return max(0.0, (reader.head.time + self._heartbeat - self._clock.read()) / 1000)

    async def _write_batch(self) -> None:
        batch = self._ready[: self._settings.max_batch]
        del self._ready[: len(batch)]
        try:
            planned = await self._call(self._plan, batch)
            if planned.commit.entries[1:] or not self._until_heartbeat():
                await self._finish(planned.commit)
        except (StoreFull, ClockError) as error:
            self._refuse(batch, error)
            await asyncio.sleep(_PAUSE)
        except Exception as error:  # noqa: BLE001
            # What is durable now is unknown: only the disk can tell, after a restart.
            self.dead = error if isinstance(error, KeyrollError) else StoreError(repr(error))
            self._refuse(batch, self.dead)
        else:
            self._answer(batch, planned)

    def _plan(self, batch: Sequence[_Waiting]) -> Plan:
        submissions = {item.submission.block.hash: item.submission for item in batch}

        def vet(block: Block, outcome: Outcome) -> None:
            check_boxes(submissions[block.hash].boxes, outcome)

        with self._store.view() as view:
            now = self._clock.now(view.head.time)
            planned = plan(view, [item.submission.block for item in batch], now, vet)
        pairs = zip(batch, planned.results, strict=True)
        admitted = [item.submission for item, result in pairs if isinstance(result, Admission)]
        self._private.put([submission.private for submission in admitted])
        return planned

    async def _finish(self, commit: Commit) -> None:
        """Make a planned batch durable, signed and published, in the order that is safe."""
        if self._cosign is None:
            await self._call(self._store.perform, commit, self._sign(commit))
            return
        await self._call(self._store.stage, commit)
        note = await self._cosign(self._sign(commit))
        await self._call(self._store.publish, commit, note)

    async def _recover(self) -> None:
        """Publish what was staged before a crash, as it was staged."""
        staged = self._store.staged()
        if staged is None:
            return
        bodies = [entry.parse(data).body for data in staged.entries[:-1]]
        with self._store.view() as view:
            commit = plan(view, [blocks.parse(raw) for raw in bodies], staged.time).commit
        if (commit.after.size, commit.after.root) != (staged.size, staged.root):
            raise StoreError("the staged batch does not lead to its root: restore from a backup")
        await self._finish(commit)

    def _sign(self, commit: Commit) -> bytes:
        return sign_head(self._origin, commit.after, self._log_key)

    def _answer(self, batch: Sequence[_Waiting], planned: Plan) -> None:
        time = planned.commit.after.time
        for item, result in zip(batch, planned.results, strict=True):
            if isinstance(result, Admission):
                item.done.set_result(Admitted(result.index, time))
            else:
                item.done.set_result(result)

    def _refuse(self, batch: Sequence[_Waiting], error: KeyrollError) -> None:
        for item in batch:
            if not item.done.done():
                item.done.set_result(error)

    async def _call(self, function: Callable[..., T], *args: object) -> T:
        """Run in the writer thread."""
        return await asyncio.get_running_loop().run_in_executor(self._writer, function, *args)


def sign_head(origin: str, head: Head, log_key: SigningKey) -> bytes:
    """The signed checkpoint of `head`."""
    return sign_checkpoint(Checkpoint(origin, head.size, head.root), log_key)


def found(store: Store, raw: bytes, log_key: SigningKey, now: int) -> Head:
    """Begin a log with its first block: the first batch, published.

    Raises what is wrong with it.
    """
    block = blocks.parse(raw)
    blocks.verify(block, block.hash)
    with store.view() as view:
        if view.head.size:
            raise UsageError("this log has begun already")
        planned = plan(view, [block], now)
    if isinstance(planned.results[0], RuleViolation):
        raise planned.results[0]
    body = block.body
    assert isinstance(body, LogCreate)
    after = planned.commit.after
    store.perform(planned.commit, sign_head(body.origin, after, log_key))
    return after
