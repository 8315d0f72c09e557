"""A log as a user writes to it who does not replay it: every chain that counts is looked up.

>>> async with LookupLog.connect(url, log_id, "trust.db", vault) as log:      # doctest: +SKIP
...     ada = await User.register(log, token, vault)
...     team = await Group.create(ada, {bob: Role.MEMBER})

It stands where a `Log` stands: `User` and `Group` take either. `sync` looks up again what was
looked up before, `want` what was not. Before the user has a live device nobody answers their
lookups (R-72.7): then `sync` takes no more than the newest checkpoint, as the first block's anchor,
and `visit` a chain as the server shows it to anybody. That is enough to join by an offer, and to
reset: each block is checked, and all of it is looked up, with proof that nothing is hidden, as soon
as the new device is in.

Errors: those of `LightLog`; `DeviceGone` if no device here is live any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from ledger.client import history as histories
from ledger.client import verify as replays
from ledger.client.asking import Asking, Progress
from ledger.client.evidence.inquiry import entry_at
from ledger.client.lookups.greeting import Greeting, Shown, greeted
from ledger.client.lookups.seen import SeenLog
from ledger.client.lookups.session import LightLog
from ledger.client.lookups.trust import Trust
from ledger.client.lookups.visits import visit
from ledger.client.policy import Policy
from ledger.client.transport import HttpTransport
from ledger.client.user.account import Account, Vault
from ledger.errors import DeviceGone, Refused, UsageError
from ledger.format import block as blocks
from ledger.format import entry, wire
from ledger.format.bodies import BlockType
from ledger.format.lookup import Link, Mode
from ledger.format.wire import Admitted, Submission
from ledger.log.clock import wall_ms
from ledger.log.commit import Head

_FORBIDDEN = 403


class LookupLog(Asking[SeenLog]):
    """One log, looked up and written to by the user whose account is in `vault`."""

    def __init__(
        self,
        trust: Trust,
        transport: HttpTransport,
        vault: Vault,
        *,
        policy: Policy | None = None,
        clock: Callable[[], int] = wall_ms,
    ) -> None:
        super().__init__(SeenLog(trust), transport, clock)
        self.policy = policy or Policy()
        if self.policy.mode != Mode.REPLAY:
            raise UsageError("who writes replays the chains that count: use the replay mode")
        self.trust = trust
        self._server = transport
        self._vault = vault
        self._light: tuple[Account, LightLog] | None = None
        self._looking = asyncio.Lock()
        self._visited: set[bytes] = set()

    @classmethod
    @asynccontextmanager
    async def connect(
        cls,
        url: str,
        log_id: bytes,
        path: str | Path,
        vault: Vault,
        *,
        policy: Policy | None = None,
    ) -> AsyncIterator[LookupLog]:
        """The log `log_id` as the server at `url` shows it; what is held is in the file `path`."""
        with Trust.open(path, log_id) as trust:
            async with HttpTransport(url) as transport:
                yield cls(trust, transport, vault, policy=policy)

    @property
    def light(self) -> LightLog | None:
        """The lookups of the account as it is now; None while nobody is in it."""
        account = self._vault.load()
        if account is None or account.identity is None or not account.devices:
            return None
        if self._light is None or self._light[0].devices != account.devices:
            clock, policy = self.clock, self.policy
            log = LightLog(self.trust, self._server, account, policy=policy, clock=clock)
            self._light = account, log
        return self._light[1]

    @property
    def is_gone(self) -> bool:
        """Whether no device that is here is answered any more."""
        return self.trust.is_gone()

    def recall(self) -> bool:
        """Show oneself as one was seen last, where no server answers. Whether one was."""
        own = self.light
        pin = self.trust.pin(own.label) if own else None
        if pin is None:
            return False
        self.replica.recall(pin.label, pin.chain)
        return True

    # --- reading

    async def sync(self, *, beyond: int = -1, progress: Progress | None = None) -> Head:
        """Look up again all that was: groups first, for those who wrote in them go on."""
        if -1 < beyond < self.replica.head.size:
            return self.replica.head
        async with self._looking:
            own = self.light
            if own is None or not await self._look(own, [*self.replica.watched, own.label]):
                await self._arrive()
        head = self.replica.head
        if progress:
            progress(head.size, head.size)
        return head

    async def want(self, labels: Iterable[bytes], *, after: bytes | None = None) -> None:
        """Look up what was not; with `after`, also what was looked up before that label was."""
        async with self._looking:
            own, due = self.light, self.replica.due(labels, after)
            # Without an answer nothing may go on: what is missing would look like the log's lie.
            if due and (own is None or not await self._look(own, due)):
                raise UsageError("nobody here is in the log yet: register first")

    async def visit(self, label: bytes) -> None:
        """Look a label up, or if nobody answers, take what the server shows of it to anybody."""
        async with self._looking:
            self._visited.add(label)
            own = self.light
            if own is None or not await self._look(own, [label, own.label]):
                await self._arrive()

    async def _look(self, own: LightLog, labels: Iterable[bytes]) -> bool:
        """Whether the server answers; it does not before there is a live device."""
        try:
            found = await own.lookup(*dict.fromkeys(labels))
        except Refused as error:
            if error.status != _FORBIDDEN:
                raise
            return False
        except DeviceGone:
            if own.label in self._visited:  # who was gone is about to begin again
                return False
            raise
        self._visited.clear()
        for one in found:
            self.replica.took(one.label, one.pin.chain if one.pin else None)
        return True

    async def statement_proof(self, group: bytes, statements: Sequence[bytes]) -> bytes | None:
        """The evidence file against the last of these, a group's from its first block on."""
        own = self.light
        return await own.statement_proof(group, statements) if own else None

    # --- before there is a device

    async def _arrive(self) -> None:
        """What can be seen of the log and of those who were visited, without a lookup."""
        await self._greet()
        for label in self._visited:
            view, now = self.trust.view(), self.clock()
            visited = await visit(self._transport, label, view, self.policy, now)
            if visited:
                self.replica.visited(label, visited)

    async def _greet(self) -> None:
        """The newest tree, held to what was seen."""
        view = self.trust.view()
        note = await self._transport.checkpoint()
        size = replays.size_claimed(note)
        first, last = await self._shown(0, size), await self._shown(size - 1, size)
        proof: tuple[bytes, ...] = ()
        if 0 < view.size < size:
            proof = wire.decode_proof(await self._transport.consistency(view.size, size))
        greeting = Greeting(note, first, last, proof)
        self.trust.see(view, greeted(greeting, view, self.policy, self.clock()))

    async def _shown(self, index: int, size: int) -> Shown:
        data = await entry_at(self._transport, index, size)
        return Shown(data, wire.decode_proof(await self._transport.inclusion(index, size)))

    # --- writing

    def wrote(self, raw: bytes) -> None:
        """Remember it with what was seen: what the log shows of this place's is held to it."""
        self.trust.wrote(raw)

    async def submit(self, submission: Submission) -> Admitted:
        """Hand in a block; on return it was seen in its chain. Raises what it was refused for."""
        note, admitted = await self.hand_in(submission)
        raw, index = submission.block, admitted.index
        log, now = self.replica.log, self.clock()
        proof, policy = admitted.proof, self.policy
        replays.check_admission(note, log, raw, index, admitted.time, proof, policy, now)
        block = blocks.parse(raw)
        label = block.label
        # From now on every answer for this label is held to it.
        self.trust.admit(label, Link(index, entry.block(admitted.time, raw)))
        if block.type == BlockType.USER_CLOSE:
            self._close(label, admitted, raw)
        else:
            await self.want([label])
            await self.sync()
        return admitted

    def _close(self, label: bytes, admitted: Admitted, raw: bytes) -> None:
        """Nobody answers whose devices are all gone; what the block does is known."""
        index, data = admitted.index, entry.block(admitted.time, raw)
        log, before = self.replica.log_history(), self.replica.chain(label)
        self.replica.took(label, histories.step(log, self.log_id, before, index, data).chain)
