"""The one writer of a log: blocks in, verdicts out when they are durable and published.

A block's way, with what runs where:

    submit            event loop     room in the queue?
      parse           event loop     what is malformed goes no further
      check           worker         signatures, key points, the VRF label of a user.create
      wait            event loop     until the writer is free
      plan            event loop     rules, boxes, directory: a batch of all that waits
      keep            keeper thread  boxes and openings are durable before what refers to them
      stage           writer thread  the batch is durable, beyond the head        (with a cosigner)
      sign, cosign                   a checkpoint; nothing has left the process yet
      publish         writer thread  the rest is durable; the head moves
    verdict           event loop     the same block again? then its first place

Planning is done in the event loop, a portion at a time, as blocks come back from their checks: a
thread would wait for the interpreter at each of its reads. Without a cosigner, stage and publish
are one transaction, and while the disk is busy with it, the next batch is planned ahead, up to its
directory root, which waits for the batch before. (Only then: the writer's thread, as it fills the
transaction, would wait for the interpreter at each record.) If that one can't be written, those
that were planned ahead of it wait for the next.

Once staged, a batch is never dropped or changed: it waits for cosigners and for space as long as it
takes, and after a crash `run` plans it again from disk, where it must reach the root that was
recorded. After an error that leaves unknown what is durable, the sequencer is dead, and says so.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import structlog

from ledger.errors import (
    Busy,
    ClockError,
    KeyrollError,
    MalformedInput,
    RuleViolation,
    StaleHead,
    StoreError,
    StoreFull,
    TransportError,
    UsageError,
)
from ledger.format import block as blocks
from ledger.format import entry, wire
from ledger.format.block import LOG_LABEL, Block
from ledger.format.bodies import BlockType
from ledger.format.keys import SigningKey
from ledger.log.admission import Submission, VettedBatch
from ledger.log.clock import Clock
from ledger.log.commit import Commit, Head, sign_head
from ledger.log.cosigning import Cosign, SignedTree, staged_nodes
from ledger.log.planner import Admission, Plan, View, plan
from ledger.log.pool import MAX_JOBS, CheckPool, Failure, Job
from ledger.log.receipts import Receipts
from ledger.log.waiting import Admitted, Draft, Request, Verdict, Waiting, take_portion
from ledger.rules.state import LogState
from ledger.store.port import PrivateStore, Staged, Store

T = TypeVar("T")

_PAUSE = 1.0
"""Seconds before trying again with a full disk, a wrong clock or missing cosigners."""

_PATIENCE = 0.04
"""Seconds that a batch waits, at most, for blocks whose checks are under way."""

_MOST = 0.9
"""A batch waits for so much of what was taken. With a half, 64 clients with a block each came in
two batches in turn, which was a seventh more of a server's time for each block.
"""

_logger = structlog.get_logger("keyroll.sequencer")


@dataclass(frozen=True, slots=True)
class Settings:
    """How the sequencer batches: blocks queued at most, blocks a batch, seconds to gather them."""

    max_queue: int = 8_192
    max_batch: int = 1_000
    linger: float = 0.002


@dataclass(frozen=True, slots=True)
class Written:
    """For whoever counts: a batch of so many blocks was published, and took so many seconds."""

    blocks: int
    seconds: float
    head: Head


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
        observe: Callable[[Written], None] | None = None,
        overdue: bool = False,
    ) -> None:
        """`overdue`: publish once at the start, whatever the last entry's age (R-62.15)."""
        self._store = store
        self._private = private
        self._log_key = log_key
        self._pool = pool
        self._clock = clock or Clock()
        self._cosign = cosign
        self._settings = settings or Settings()
        self._observe = observe
        self._overdue = overdue
        self._taken: set[Waiting] = set()
        self._ready: list[Waiting] = []
        self._draft: Draft | None = None
        self._wake = asyncio.Event()
        self._syncing = False
        self._stopping = False
        self._ended = False
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="writer")
        self._keeper = ThreadPoolExecutor(1, thread_name_prefix="keeper")
        self.dead: KeyrollError | None = None
        with store.reader() as reader:
            log = reader.chain(LOG_LABEL)
            self._log_id = reader.log_id
            self._head = reader.head
        if log is None or not isinstance(log.state, LogState):
            raise UsageError("this log has no first block yet: keyroll init makes it")
        self._origin = log.state.origin
        self._heartbeat = log.state.heartbeat
        if log.state.log_key != log_key.public:
            raise UsageError("this is not the log's key")

    @property
    def queued(self) -> int:
        """Blocks that were taken and have no verdict yet."""
        return len(self._taken)

    async def submit(self, submissions: Sequence[wire.Submission]) -> list[Verdict]:
        """A verdict for each, in order, once all are known. Raises `Busy` before taking any.

        What was taken is carried through even if the caller goes away.
        """
        if self.dead:
            raise self.dead
        room = self._settings.max_queue - self.queued
        if self._stopping or self._ended or len(submissions) > room:
            raise Busy(1.0)
        request = Request(len(submissions), asyncio.get_running_loop().create_future())
        for start in range(0, len(submissions), MAX_JOBS):
            self._take(request, start, submissions[start : start + MAX_JOBS])
        if submissions:
            await request.done
        return [request.verdicts[place] for place in range(request.count)]

    async def run(self) -> None:
        """Write batches until `stop`, and a heartbeat when nothing else came for so long."""
        try:
            await self._recover()
            while self._taken or not self._stopping:
                await self._gather()
                await self._write_batch()
        except Exception as error:
            # What is durable now is unknown: only the disk can tell, after a restart.
            self.dead = error if isinstance(error, KeyrollError) else StoreError(repr(error))
            _logger.critical("the log is dead: restart it", error=str(self.dead), exc_info=error)
        finally:
            self._ended = True
            self._refuse(list(self._taken), self.dead or StoreError("the log stopped"))
            self._keeper.shutdown()
            self._writer.shutdown()

    def stop(self) -> None:
        """Take no more blocks, and let `run` return when those that were taken are answered."""
        self._stopping = True
        self._wake.set()

    def _take(self, request: Request, start: int, raws: Sequence[wire.Submission]) -> None:
        """Take blocks in from place `start` on, those that are well-formed, and have them checked
        (R-15.1, R-40.4, R-52.5, R-56.4, R-71).
        """
        items = []
        for place, raw in enumerate(raws, start):
            try:
                items.append(Waiting(Submission.parse(raw), request, place))
            except (MalformedInput, RuleViolation) as failure:
                request.settle(place, failure)
        if not items:
            return
        self._taken.update(items)
        found = self._pool.check([self._job(item.submission) for item in items])
        found.add_done_callback(partial(self._checked, items))

    def _job(self, submission: Submission) -> Job:
        block, opening = submission.block, submission.opening
        identifier = opening.identifier if opening else None
        return Job(submission.checks(self._log_id), identifier, block.label)

    def _checked(
        self, items: Sequence[Waiting], found: asyncio.Future[list[Failure | None]]
    ) -> None:
        for item, failure in zip(items, found.result(), strict=True):
            if failure:
                self._settle(item, failure)
            elif item in self._taken:
                self._ready.append(item)
        self._wake.set()

    def _settle(self, item: Waiting, verdict: Verdict) -> None:
        if item in self._taken:
            self._taken.remove(item)
            item.request.settle(item.place, verdict)
            # The last one that a stopping log waits for may have been refused early.
            self._wake.set()

    async def _gather(self) -> None:
        """Wait for blocks, or until a heartbeat is due."""
        timeout = self._until_heartbeat()
        at_hand = self._ready or self._draft
        if not at_hand and timeout and not (self._stopping and not self._taken):
            self._wake.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await self._wake.wait()

    async def _fill(self, draft: Draft) -> None:
        """Plan what is ready, until that is most of what was taken.

        A few large batches cost less than many small ones. So one that was not begun ahead, when
        others came while the disk was busy, lets others come for a moment.
        """
        moment = 0.0 if draft.items else self._settings.linger
        end = time.monotonic() + moment
        await self._admit_ready(draft)
        if draft.items and not self._ready:
            await asyncio.sleep(end - time.monotonic())
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                while not await self._is_filled(draft):
                    await self._wake.wait()
        await self._admit_ready(draft)

    async def _is_filled(self, draft: Draft) -> bool:
        """Plan what is ready; whether that is enough."""
        self._wake.clear()
        await self._admit_ready(draft)
        enough = min(len(self._taken) * _MOST, self._settings.max_batch)
        return bool(self._ready) or len(draft.items) >= enough

    def _until_heartbeat(self) -> float:
        """Seconds until the log has been silent for too long, 0 if it has."""
        if self._overdue:
            return 0.0
        return max(0.0, (self._head.time + self._heartbeat - self._clock.read()) / 1000)

    async def _write_batch(self) -> None:
        """Write what is ready, and answer for it; a heartbeat if nothing is and one is due."""
        started = time.perf_counter()
        draft, self._draft = self._draft, None
        receipts = None
        try:
            with self._store.view() as view:
                draft = self._begun(draft, view)
                await self._fill(draft)
                keeping = self._keeper.submit(self._private.put, draft.planning.items)
                planned = draft.close()
                if len(planned.commit.entries) > 1 or not self._until_heartbeat():
                    receipts = await self._finish_and_go_on(draft, planned.commit, keeping)
                    self._report(planned.commit, time.perf_counter() - started)
        except (StoreFull, ClockError) as error:
            _logger.error("nothing was written, trying again", error=str(error))
            self._refuse(draft.items if draft else self._ready, error)
            self._ready = [item for item in self._ready if item in self._taken]
            await asyncio.sleep(_PAUSE)
        else:
            self._answer(draft.items, planned, receipts)

    def _report(self, commit: Commit, seconds: float) -> None:
        if self._observe:
            self._observe(Written(len(commit.entries) - 1, seconds, commit.after))

    def _begun(self, draft: Draft | None, view: View) -> Draft:
        """The draft that was begun ahead, or another, on what is published now."""
        now = self._clock.now(view.head.time)
        if draft is None:
            return Draft(VettedBatch(view, now, self._private.membership))
        draft.planning.follow(view)
        return draft

    async def _admit_ready(self, draft: Draft, go: Callable[[], bool] = lambda: True) -> None:
        """Plan what is ready now, a portion at a time, as long as it may `go` on."""
        most = self._settings.max_batch
        while go() and (portion := take_portion(self._ready, len(draft.items), most)):
            draft.admit(portion)
            await asyncio.sleep(0)

    async def _finish_and_go_on(
        self, draft: Draft, commit: Commit, keeping: Future[None]
    ) -> Receipts:
        """Finish a batch, and plan the next one ahead while the disk is busy with it."""
        if self._cosign is not None:
            # A batch's time is that of its beginning, and who knows how long cosigners take.
            return await self._finish(commit, keeping)
        ahead = Draft(draft.planning.next(commit, self._clock.now(commit.after.time)))
        finishing = asyncio.create_task(self._finish(commit, keeping))
        try:
            await self._plan_ahead(ahead, finishing)
            receipts = await finishing
        except BaseException:
            finishing.cancel()
            self._ready[:0] = ahead.items
            raise
        self._draft = ahead if ahead.items else None
        return receipts

    async def _plan_ahead(self, ahead: Draft, finishing: asyncio.Task[Receipts]) -> None:
        finishing.add_done_callback(lambda _: self._wake.set())
        while not finishing.done():
            self._wake.clear()
            await self._admit_ready(ahead, lambda: self._syncing)
            if not finishing.done():
                await self._wake.wait()

    async def _finish(self, commit: Commit, keeping: Future[None]) -> Receipts:
        """Make a planned batch durable, signed and published, in the order that is safe."""
        if self._cosign is None:
            note = self._sign(commit)
            await self._call(self._perform, commit, note, keeping, asyncio.get_running_loop())
            self._head, self._overdue = commit.after, False
        else:
            await asyncio.wrap_future(keeping)
            await self._call(self._store.stage, commit)
            note = await self._publish(commit)
        return Receipts.of(note, commit.extension)

    def _perform(
        self,
        commit: Commit,
        note: bytes,
        keeping: Future[None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        try:
            self._store.perform(commit, note, partial(self._start_syncing, keeping, loop))
        finally:
            self._syncing = False

    def _start_syncing(self, keeping: Future[None], loop: asyncio.AbstractEventLoop) -> None:
        """Called in the writer thread: for a while, it needs the disk and not the interpreter.

        What the batch refers to is durable first, or nothing of it will be.
        """
        self._syncing = True
        loop.call_soon_threadsafe(self._wake.set)
        keeping.result()

    async def _publish(self, commit: Commit) -> bytes:
        """Publish a staged batch, however long cosigners or space for it take."""
        note = self._sign(commit)
        tree = SignedTree(note, commit.after.size, staged_nodes(self._store, commit))
        while True:
            try:
                cosigned = await self._cosign(tree) if self._cosign else note
                await self._call(self._store.publish, commit, cosigned)
            except (StoreFull, TransportError) as error:
                _logger.error("the batch is staged, not published yet", error=str(error))
                await asyncio.sleep(_PAUSE)
            else:
                self._head, self._overdue = commit.after, False
                return cosigned

    async def _recover(self) -> None:
        """Publish what was staged before a crash, as it was staged."""
        staged = self._store.staged()
        if staged is not None:
            await self._publish(await self._call(self._plan_again, staged))

    def _plan_again(self, staged: Staged) -> Commit:
        bodies = [entry.parse(data).body for data in staged.entries[:-1]]
        with self._store.view() as view:
            commit = plan(view, [blocks.parse(raw) for raw in bodies], staged.time).commit
        if (commit.after.size, commit.after.root) != (staged.size, staged.root):
            raise StoreError("the staged batch does not lead to its root: restore from a backup")
        return commit

    def _sign(self, commit: Commit) -> bytes:
        return sign_head(self._origin, commit.after, self._log_key)

    def _answer(self, batch: Sequence[Waiting], planned: Plan, receipts: Receipts | None) -> None:
        time = planned.commit.after.time
        for item, result in zip(batch, planned.results, strict=True):
            if isinstance(result, Admission):
                self._settle(item, Admitted(result.index, time, receipts))
            else:
                self._settle(item, self._published(item.submission.block, result) or result)

    def _published(self, block: Block, refusal: RuleViolation) -> Admitted | None:
        """Where a block that came too late already stands (R-71.3)."""
        if not isinstance(refusal, StaleHead) and block.type != BlockType.LOG_CREATE:
            return None
        with self._store.reader() as reader:
            chain = reader.chain(block.label)
            if chain is None or block.seq >= chain.length:
                return None
            (index,) = reader.blocks_of(block.label, block.seq, 1)
            (data,) = reader.entries(index, index + 1)
        found = entry.parse(data)
        return Admitted(index, found.time) if found.body == block.raw else None

    def _refuse(self, batch: Sequence[Waiting], error: KeyrollError) -> None:
        for item in batch:
            self._settle(item, error)

    async def _call(self, function: Callable[..., T], *args: object) -> T:
        """Run in the writer thread."""
        return await asyncio.get_running_loop().run_in_executor(self._writer, function, *args)
