"""A log as a client sees it: a replica, a server to ask, and everything checked in between.

>>> async with Log.connect(url, log_id, "replica.db") as log:      # doctest: +SKIP
...     await log.sync()
...     log.replica.user(label).devices

`sync` fetches the entries beyond the replica's head, a few bundles at a time, and replays them.
What was replayed is kept as soon as it is proven to lie under a checkpoint that the log signed, so
a sync that was interrupted goes on where it stopped, and memory holds a few bundles at most. Replay
runs in the event loop, up to a bundle at a time (some 100 ms).

One `Log` may serve any number of users and tasks at once: who calls `sync` while one is running
shares the next.

Errors: `LogMisbehaved` with the evidence; `NotCosigned` if too few witnesses have signed, by the
client's own policy or the log's demand, and `UnusablePolicy`; `TransportError` (or `Refused`,
`Busy`) when the server could not be asked; `StoreError` for the replica's disk.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path

from ledger.client import verify
from ledger.client.asking import Asking, Progress
from ledger.client.evidence.charge import Charge
from ledger.client.evidence.inquiry import in_time
from ledger.client.evidence.of_lookups import proof_of_fork
from ledger.client.evidence.of_replays import Trial, of_rollback, of_statement
from ledger.client.policy import Policy
from ledger.client.replay.replica import Replica
from ledger.client.replay.tree import ReplicaTree
from ledger.client.transport import HttpTransport, Transport
from ledger.client.verify import Claim
from ledger.errors import (
    KeyrollError,
    LogMisbehaved,
    NotCosigned,
    NotFresh,
    Refused,
)
from ledger.format import block as blocks
from ledger.format import entry, wire
from ledger.format.evidence import Evidence, Kind
from ledger.format.lookup import Link
from ledger.format.wire import Admitted, Submission
from ledger.log.clock import wall_ms
from ledger.log.commit import Head
from ledger.log.planner import MAX_BATCH
from ledger.rules.state import LogState
from ledger.tree.tiles import WIDTH, Bundle, decode_bundle, new_bundles

KeepAdmitted = Callable[[bytes, Link], None]
"""Told the label, the leaf index and the entry of a block that was admitted."""

KeepWritten = Callable[[bytes], None]
"""Told of each block that is signed here, before it leaves."""

_WINDOW = 4
"""Bundles that are fetched ahead."""


class Log(Asking[Replica]):
    """One log, followed through one server. `policy` may tighten the log's own demands.

    `wrote` is told of each block before it leaves, `admitted` once the log admits it: lookups can
    be held to it.
    """

    def __init__(
        self,
        replica: Replica,
        transport: Transport,
        *,
        policy: Policy | None = None,
        admitted: KeepAdmitted | None = None,
        wrote: KeepWritten | None = None,
        clock: Callable[[], int] = wall_ms,
    ) -> None:
        super().__init__(replica, transport, clock)
        self.policy = policy or Policy()
        self._admitted = admitted
        self._wrote = wrote
        self._syncing = asyncio.Lock()
        self._begun = 0
        self._ended = 0
        self._newest: Claim | None = None
        """The newest checkpoint that an admission was proven under."""

    @classmethod
    @asynccontextmanager
    async def connect(
        cls,
        url: str,
        log_id: bytes,
        path: str | Path = ":memory:",
        *,
        policy: Policy | None = None,
        admitted: KeepAdmitted | None = None,
        wrote: KeepWritten | None = None,
    ) -> AsyncIterator[Log]:
        """The log `log_id` as the server at `url` shows it, with its replica in the file `path`."""
        with Replica.open(path, log_id) as replica:
            async with HttpTransport(url) as transport:
                yield cls(replica, transport, policy=policy, admitted=admitted, wrote=wrote)

    # --- reading

    async def sync(self, *, beyond: int = -1, progress: Progress | None = None) -> Head:
        """Replay what is new; at the end the replica is the newest tree that the server shows.

        With `beyond`, a leaf index, it may be any tree that holds that leaf.
        """
        if self._holds(beyond):
            return self.replica.head
        ticket = self._begun
        async with self._syncing:
            if self._ended > ticket or self._holds(beyond):
                return self.replica.head
            if self._newest and -1 < beyond < self._newest.size:
                await self._sync(await self._against(self._newest), progress)
            else:
                self._begun += 1
                await self._sync(await self._claim(), progress)
                self._ended = self._begun
        return self.replica.head

    def _holds(self, index: int) -> bool:
        return -1 < index < self.replica.head.size

    async def _claim(self) -> Claim:
        """The newest checkpoint that the server shows, if it may be believed."""
        note = await self._transport.checkpoint()
        log = await self._log_state(note)
        self.policy.check(log, replays=True)
        claim = verify.signed_claim(note, log, self.policy, self.clock())
        claim = await self._against(claim)
        self.policy.quorum_time(claim.cosigned, log)  # before anything is fetched for it
        return claim

    async def _against(self, claim: Claim) -> Claim:
        """A claim that does not contradict what was accepted before; if it does, prove it."""
        try:
            return verify.against(claim, self.replica.head, self.replica.note)
        except LogMisbehaved as error:
            error.proof = await of_rollback(self.replica, claim)
            raise

    async def _sync(self, claim: Claim, progress: Progress | None) -> None:
        waiting: list[bytes] = []
        async with aclosing(self._entries(self.replica.head.size, claim.size)) as bundles:
            async for entries in bundles:
                waiting += entries
                complete = await self._complete(waiting, claim)
                if complete:
                    await self._adopt(claim, waiting[:complete])
                    del waiting[:complete]
                if progress:
                    progress(self.replica.head.size, claim.size)
                await asyncio.sleep(0)  # so that others have their turn
        head, now, time = self.replica.head, self.clock(), self._quorum_time(claim)
        verify.check_not_ahead(head, now, claim.note, time)
        self._accept(claim)
        max_age = self.policy.max_age_for(self.replica.log)
        verify.check_age(head, now, max_age, claim.note, time)

    def _quorum_time(self, claim: Claim) -> int | None:
        return self.policy.quorum_time(claim.cosigned, self.replica.log)

    async def _log_state(self, note: bytes) -> LogState:
        """Who must have signed. At first only the log id says so, through the first entry."""
        if self.replica.head.size:
            return self.replica.log
        size = verify.size_claimed(note)
        (first, *_) = await self._bundle(Bundle(0, min(size, WIDTH)))
        return verify.first_block(first, self.log_id)

    async def _complete(self, waiting: list[bytes], claim: Claim) -> int:
        """How many entries to replay now: whole batches, or all that are left."""
        if self.replica.head.size + len(waiting) == claim.size:
            return len(waiting)
        complete = verify.whole(waiting)
        if not complete and len(waiting) > MAX_BATCH:
            detail = f"a batch of more than {MAX_BATCH} blocks"
            error = LogMisbehaved("R-42.2", detail, {"checkpoint": claim.note})
            trial = self._trial(claim, waiting)
            error.proof = await in_time(trial.of_batch(Charge.of(self.replica, waiting)))
            raise error
        return complete

    async def _adopt(self, claim: Claim, entries: list[bytes]) -> None:
        """Replay `entries` and keep them, once they are proven to lie under the claim."""
        size = self.replica.head.size + len(entries)
        proof: tuple[bytes, ...] = ()
        if size < claim.size:
            proof = wire.decode_proof(await self._transport.consistency(size, claim.size))
        charge: Charge | None = None
        start = self.replica.head.size
        try:
            with self.replica.transaction():
                try:
                    for commit in verify.follow(self.replica, claim, entries, proof):
                        self.replica.apply(commit)
                except LogMisbehaved:
                    done = self.replica.head.size - start
                    charge = Charge.of(self.replica, entries[done:])
                    raise
                time = self._quorum_time(claim)
                verify.check_not_ahead(self.replica.head, self.clock(), claim.note, time)
        except NotFresh:
            raise
        except LogMisbehaved as error:
            # Before the log is blamed: is it our own copy that is wrong?
            self.replica.check()
            last = (start + len(entries) - 1, entries[-1])
            error.proof = await in_time(self._trial(claim, entries).proof(charge, *last))
            if error.proof and Evidence.decode(error.proof).kind == Kind.FORK:
                raise _forked(error) from error
            raise

    def _trial(self, claim: Claim, entries: list[bytes]) -> Trial:
        """What is asked of the server, unless these entries are all that its tree has beyond."""
        first = self.replica.entry(0) if self.replica.head.size else entries[0]
        own = ReplicaTree(self.replica, entries)
        whole = own.size == claim.size and own.root(own.size) == claim.root
        server = own if whole else self._transport
        return Trial(first, self.replica, server, claim, self.policy)

    def _accept(self, claim: Claim) -> None:
        if self.replica.note != claim.note:
            with self.replica.transaction():
                self.replica.accept(claim.note)

    async def _entries(self, start: int, size: int) -> AsyncGenerator[list[bytes], None]:
        """The entries from `start` to `size`, a bundle at a time, a few fetched ahead."""
        window: deque[asyncio.Task[list[bytes]]] = deque()
        skip = start % WIDTH
        try:
            for bundle in new_bundles(start, size):
                window.append(asyncio.create_task(self._bundle(bundle)))
                if len(window) == _WINDOW:
                    yield (await window.popleft())[skip:]
                    skip = 0
            while window:
                yield (await window.popleft())[skip:]
                skip = 0
        finally:
            for task in window:
                task.cancel()
            await asyncio.gather(*window, return_exceptions=True)

    async def _bundle(self, bundle: Bundle) -> list[bytes]:
        """The bundle's entries. The partial one may be gone once there is a full one (R-20.7)."""
        try:
            return decode_bundle(await self._transport.bundle(bundle), bundle.width)
        except Refused as error:
            if error.status != 404 or bundle.width == WIDTH:
                raise
        full = await self._transport.bundle(Bundle(bundle.index))
        return decode_bundle(full, WIDTH)[: bundle.width]

    async def covered(self) -> int:
        """Up to which size auditors cover what was replayed here; 0 if they cover nothing (R-63.5).

        Who replays needs no auditors, but has to see the tree that they see: `LogMisbehaved` else.
        """
        try:
            note = await self._transport.covered()
        except Refused as error:
            if error.status == 404:
                return 0
            raise
        claim = verify.signed_claim(note, self.replica.log, self.policy, self.clock())
        await self.sync(beyond=claim.size - 1)
        end = self.replica.batch_end(claim.size)
        if end is None or end[0] != claim.root:
            evidence = {"checkpoint": self.replica.note, "covered": note}
            caught = LogMisbehaved("R-61.2", "auditors cover a tree that is not this one", evidence)
            caught.proof = await of_rollback(self.replica, claim)
            raise caught
        return claim.size if self.policy.covers(claim.cosigned, self.replica.log) else 0

    # --- writing

    def wrote(self, raw: bytes) -> None:
        """Tell whoever asked to be told."""
        if self._wrote:
            self._wrote(raw)

    async def want(self, labels: Iterable[bytes], *, after: bytes | None = None) -> None:
        """Nothing to do: the replica holds all chains of its tree."""

    async def visit(self, label: bytes) -> None:
        """Sync: the replica holds all chains of its tree."""
        await self.sync()

    async def submit(self, submission: Submission) -> Admitted:
        """Hand in a block; on return the replica holds it. See `Asking.submit`."""
        note, admitted = await self.hand_in(submission)
        index, time = admitted.index, admitted.time
        log = self.replica.log
        claim = verify.check_admission(
            note, log, submission.block, index, time, admitted.proof, self.policy, self.clock()
        )
        if self._admitted:
            label = blocks.parse(submission.block).label
            self._admitted(label, Link(index, entry.block(time, submission.block)))
        self._learn(claim)
        try:
            await self.sync(beyond=index)
        except LogMisbehaved as caught:
            caught.proof = caught.proof or await in_time(self._two_shown(claim))
            raise
        if self.replica.entry(index) != entry.block(time, submission.block):
            evidence = {"checkpoint": note, "shown": self.replica.note, "block": submission.block}
            detail = "an admitted block is not in the tree shown"
            error = LogMisbehaved("R-61.2", detail, evidence)
            error.proof = await of_rollback(self.replica, claim)
            raise error
        return admitted

    async def _two_shown(self, claim: Claim) -> bytes | None:
        """The evidence file, if the checkpoint of an admission is not of the tree shown to all."""
        try:
            note, log = await self._transport.checkpoint(), self.replica.log
            shown = verify.signed_claim(note, log, self.policy, self.clock())
        except KeyrollError:
            return None
        return await proof_of_fork(claim, shown, self.replica.entry(0), self._transport)

    def _learn(self, claim: Claim) -> None:
        """Remember a claim that may be synced to: one that enough witnesses have cosigned."""
        if self._newest is None or claim.size > self._newest.size:
            with suppress(NotCosigned):
                self._quorum_time(claim)
                self._newest = claim

    async def statement_proof(self, group: bytes, statements: Sequence[bytes]) -> bytes | None:
        """The evidence file against the last of these, a group's from its first block on."""
        return of_statement(self.replica, group, statements)


def _forked(error: LogMisbehaved) -> LogMisbehaved:
    """What an error is, if it came of another history than the one that was accepted (R-61.2)."""
    detail = f"the log shows another history than before ({error})"
    found = LogMisbehaved("R-61.2", detail, error.evidence)
    found.proof = error.proof
    return found
