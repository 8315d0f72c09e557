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

Errors: `LogMisbehaved` with the evidence; `TransportError` (or `Refused`, `Busy`) when the server
could not be asked; `StoreError` for the replica's disk.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

from ledger.client import verify
from ledger.client.account import Identity
from ledger.client.replica import Replica
from ledger.client.text import printable
from ledger.client.transport import HttpTransport, Transport
from ledger.client.verify import Claim
from ledger.errors import (
    BadSignature,
    KeyrollError,
    LogMisbehaved,
    MalformedInput,
    NotFresh,
    Refused,
    RuleViolation,
    StaleAnchor,
    StaleHead,
    TransportError,
)
from ledger.format import cose, entry, wire
from ledger.format.identity import IdentityToken
from ledger.format.wire import Admitted, BoxAnswer, StatementAnswer, Submission
from ledger.log.clock import wall_ms
from ledger.log.commit import Head
from ledger.log.planner import MAX_BATCH
from ledger.rules.state import LogState
from ledger.tree.tiles import WIDTH, Bundle, decode_bundle, new_bundles

Progress = Callable[[int, int], None]
"""Told how many entries are replayed, and how many there are."""

_WINDOW = 4
"""Bundles that are fetched ahead."""

_ATTEMPTS = 4
_PAUSE = 0.5


class Log:
    """One log, followed through one server. `max_age` (ms) may tighten the log's own demand."""

    def __init__(
        self,
        replica: Replica,
        transport: Transport,
        *,
        max_age: int | None = None,
        clock: Callable[[], int] = wall_ms,
    ) -> None:
        self.replica = replica
        self.clock = clock
        self._transport = transport
        self._max_age = max_age
        self._syncing = asyncio.Lock()
        self._begun = 0
        self._ended = 0
        self._newest: Claim | None = None
        """The newest checkpoint that an admission was proven under."""

    @classmethod
    @asynccontextmanager
    async def connect(
        cls, url: str, log_id: bytes, path: str | Path = ":memory:", *, max_age: int | None = None
    ) -> AsyncIterator[Log]:
        """The log `log_id` as the server at `url` shows it, with its replica in the file `path`."""
        with Replica.open(path, log_id) as replica:
            async with HttpTransport(url) as transport:
                yield cls(replica, transport, max_age=max_age)

    @property
    def log_id(self) -> bytes:
        return self.replica.log_id

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
                head, held = self.replica.head, self.replica.note
                await self._sync(verify.against(self._newest, head, held), progress)
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
        return verify.open_claim(note, log, self.replica.head, self.replica.note)

    async def _sync(self, claim: Claim, progress: Progress | None) -> None:
        waiting: list[bytes] = []
        async with aclosing(self._entries(self.replica.head.size, claim.size)) as bundles:
            async for entries in bundles:
                waiting += entries
                complete = self._complete(waiting, claim)
                if complete:
                    await self._adopt(claim, waiting[:complete])
                    del waiting[:complete]
                if progress:
                    progress(self.replica.head.size, claim.size)
                await asyncio.sleep(0)  # so that others have their turn
        self._accept(claim)
        demanded = self.replica.log.demands.max_age
        max_age = min(self._max_age or demanded, demanded)
        verify.check_age(self.replica.head, self.clock(), max_age, claim.note)

    async def _log_state(self, note: bytes) -> LogState:
        """Who must have signed. At first only the log id says so, through the first entry."""
        if self.replica.head.size:
            return self.replica.log
        size = verify.size_claimed(note)
        (first, *_) = await self._bundle(Bundle(0, min(size, WIDTH)))
        return verify.first_block(first, self.log_id)

    def _complete(self, waiting: list[bytes], claim: Claim) -> int:
        """How many entries to replay now: whole batches, or all that are left."""
        if self.replica.head.size + len(waiting) == claim.size:
            return len(waiting)
        complete = verify.whole(waiting)
        if not complete and len(waiting) > MAX_BATCH:
            detail = f"a batch of more than {MAX_BATCH} blocks"
            raise LogMisbehaved("R-42.2", detail, {"checkpoint": claim.note})
        return complete

    async def _adopt(self, claim: Claim, entries: list[bytes]) -> None:
        """Replay `entries` and keep them, once they are proven to lie under the claim."""
        size = self.replica.head.size + len(entries)
        proof: tuple[bytes, ...] = ()
        if size < claim.size:
            proof = wire.decode_proof(await self._transport.consistency(size, claim.size))
        try:
            with self.replica.transaction():
                for commit in verify.follow(self.replica, claim, entries, proof):
                    self.replica.apply(commit)
                verify.check_not_ahead(self.replica.head, self.clock(), claim.note)
        except NotFresh:
            raise
        except LogMisbehaved:
            # Before the log is blamed: is it our own copy that is wrong?
            self.replica.check()
            raise

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

    # --- writing

    async def submit(self, submission: Submission) -> Admitted:
        """Hand in a block; on return the replica holds it.

        Raises what it was refused for. After a `TransportError` it may still have been admitted:
        hand in the same again, or sync and look.
        """
        note, admitted = await self._submit(submission)
        index, time = admitted.index, admitted.time
        log = self.replica.log
        claim = verify.check_admission(note, log, submission.block, index, time, admitted.proof)
        if self._newest is None or claim.size > self._newest.size:
            self._newest = claim
        await self.sync(beyond=index)
        if self.replica.entry(index) != entry.block(time, submission.block):
            evidence = {"checkpoint": note, "shown": self.replica.note, "block": submission.block}
            raise LogMisbehaved("R-61.2", "an admitted block is not in the tree shown", evidence)
        return admitted

    async def _submit(self, submission: Submission) -> tuple[bytes, Admitted]:
        """The verdict, and the checkpoint it is given under. Asks again while it is open."""
        request = wire.SubmitRequest((submission,)).encode()
        detail = ""
        for attempt in range(_ATTEMPTS):
            await asyncio.sleep(_PAUSE * attempt)
            answer = wire.SubmitAnswer.decode(await self._transport.submit(request))
            (verdict, *others) = answer.verdicts
            if others:
                raise MalformedInput("R-71.1", "more verdicts than submissions")
            if isinstance(verdict, Admitted):
                return answer.checkpoint, verdict
            if verdict.kind != "unavailable":
                raise _refusal(verdict)
            detail = printable(verdict.detail)
        raise TransportError(f"the log could not decide: {detail}")

    async def identify(self, token: IdentityToken) -> Identity:
        """Who it is that `token` enrols: the label of their identifier, proven by the VRF."""
        request = wire.LabelRequest(token.delegation.raw, token.opening).encode()
        body = self._authenticate(request, wire.LABELS_PATH, token.ephemeral)
        answer = wire.LabelAnswer.decode(await self._transport.label(body))
        identity = Identity(answer.label, token.opening, answer.proof)
        try:
            identity.check(self.replica.log.vrf_key)
        except MalformedInput as error:
            evidence = {"label": answer.label, "proof": answer.proof}
            raise LogMisbehaved(error.rule, error.detail, evidence) from error
        return identity

    async def box(self, request: wire.BoxRequest, signer: cose.Signer) -> BoxAnswer:
        """A box that came with a block; unchecked (R-55.4). `signer` is a device of the user."""
        body = self._authenticate(request.encode(), wire.BOXES_PATH, signer)
        return BoxAnswer.decode(await self._transport.box(body))

    async def statements(
        self, request: wire.StatementRequest, signer: cose.Signer
    ) -> StatementAnswer:
        """A run of a group's statements, and wishes to leave it; unchecked (R-56)."""
        body = self._authenticate(request.encode(), wire.STATEMENTS_PATH, signer)
        return StatementAnswer.decode(await self._transport.statements(body))

    async def hand_in_leave(self, leave: bytes) -> None:
        """Have a wish to leave a group kept (R-56.12)."""
        await self._transport.leave(leave)

    async def hand_in_grant(self, grant: bytes) -> None:
        """Have a grant to read a group's statements kept (R-56.12)."""
        await self._transport.grant(grant)

    def _authenticate(self, request: bytes, path: str, signer: cose.Signer) -> bytes:
        return wire.authenticate(request, path, signer, self.log_id, self.clock())


def _refusal(refused: wire.Refused) -> KeyrollError:
    """The error that a verdict stands for."""
    rule, detail = printable(refused.rule), printable(refused.detail)
    if refused.kind == "malformed":
        return MalformedInput(rule, detail)
    if refused.kind == "signature":
        return BadSignature(rule, detail)
    if refused.kind == "stale-anchor":
        return StaleAnchor(rule, detail)
    if refused.kind == "stale-head" and (head := refused.head):
        return StaleHead(rule, detail, length=head.length, head=head.hash, index=head.index)
    return RuleViolation(rule, detail)
