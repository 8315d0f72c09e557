"""A log as a user writes to it who does not replay it: every chain that counts is looked up.

>>> async with LookupLog.connect(url, log_id, "trust.db", vault) as log:      # doctest: +SKIP
...     ada = await User.register(log, token, vault)
...     team = await Group.create(ada, {bob: Role.MEMBER})

It stands where a `Log` stands: `User` and `Group` take either. `sync` looks up again what was
looked up before, `want` what was not. Before the user has a live device nobody answers their
lookups (R-72.7): then `sync` takes no more than the newest checkpoint, as the first block's anchor.

Errors: those of `LightLog`; `DeviceGone` if no device here is live any more. To join by an offer,
and to reset, takes a replay.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from ledger.client import history as histories
from ledger.client import verify as replays
from ledger.client.asking import Asking, Progress
from ledger.client.lookups import light
from ledger.client.lookups.greeting import Greeting, Shown, greeted
from ledger.client.lookups.groups import LightCopy
from ledger.client.lookups.session import LightLog
from ledger.client.lookups.trust import Trust
from ledger.client.policy import Policy
from ledger.client.transport import HttpTransport
from ledger.client.user.account import Account, Vault
from ledger.errors import DeviceGone, Refused, UsageError
from ledger.format import block as blocks
from ledger.format import entry, wire
from ledger.format.block import Anchor
from ledger.format.bodies import BlockType
from ledger.format.lookup import Link, Mode
from ledger.format.wire import Admitted, Submission
from ledger.log.clock import wall_ms
from ledger.log.commit import Head
from ledger.rules.state import Chain, GroupState, LogState, UserState
from ledger.tree.tiles import WIDTH, Bundle, decode_bundle

_FORBIDDEN = 403


class Looked(LightCopy):
    """What was looked up, as users and groups read a replica."""

    def __init__(self, trust: Trust) -> None:
        super().__init__(trust)
        self._trust = trust
        self._turns: dict[bytes, int] = {}
        self._turn = 0

    def took(self, label: bytes, chain: Chain | None) -> None:
        """Show this chain, or that there is none."""
        self._turn += 1
        self._turns[label] = self._turn
        if chain:
            self.take(label, chain)

    def due(self, labels: Iterable[bytes], after: bytes | None) -> list[bytes]:
        """Those that were not looked up; or not since `after` was, which may build on them."""
        since = self._turns.get(after, 0) if after else 1
        return [one for one in dict.fromkeys(labels) if self._turns.get(one, 0) < since]

    @property
    def watched(self) -> list[bytes]:
        """All that was looked up, groups first: what their authors did must not be older."""
        return sorted(self._turns, key=lambda label: not self._is_group(label))

    def _is_group(self, label: bytes) -> bool:
        chain = self.chain(label)
        return chain is not None and isinstance(chain.state, GroupState)

    @property
    def log_id(self) -> bytes:
        return self._trust.log_id

    @property
    def head(self) -> Head:
        view = self._trust.view()
        return Head(view.size, view.root, view.time)

    @property
    def anchor(self) -> Anchor:
        """What a block that is written now commits to."""
        view = self._trust.view()
        return Anchor(view.size, view.root)

    @property
    def log(self) -> LogState:
        """The log's own state, as it was seen last."""
        view = self._trust.view()
        if not view.first:
            raise UsageError("nothing of this log was fetched yet: sync first")
        return view.states[-1] if view.states else light.founding(None, view)

    def user(self, label: bytes) -> UserState | None:
        """Who stands behind a label that was looked up."""
        chain = self.chain(label)
        return chain.state if chain and isinstance(chain.state, UserState) else None

    def labels(self) -> list[bytes]:
        """The labels that were looked up and found, ascending."""
        return sorted(label for label in self._turns if self.chain(label))

    def holds(self, raw: bytes) -> bool:
        """Whether the block `raw` is in its chain."""
        block = blocks.parse(raw)
        chain = self.chain(block.label)
        if chain is None or block.seq >= chain.length:
            return False
        _, data = self._trust.links(block.label)[block.seq]
        return entry.parse(data).body == raw


class LookupLog(Asking[Looked]):
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
        super().__init__(Looked(trust), transport, clock)
        self.policy = policy or Policy()
        if self.policy.mode != Mode.REPLAY:
            raise UsageError("who writes replays the chains that count: use the replay mode")
        self.trust = trust
        self._server = transport
        self._vault = vault
        self._light: tuple[Account, LightLog] | None = None
        self._looking = asyncio.Lock()

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

    # --- reading

    async def sync(self, *, beyond: int = -1, progress: Progress | None = None) -> Head:
        """Look up again all that counts, oneself and the log's own chain first of all."""
        async with self._looking:
            own = self.light
            if own is None or not await self._look(own, [*self.replica.watched, own.label]):
                if own and self.trust.pin(own.label):
                    raise DeviceGone("no device that is here is live any more: it was revoked")
                await self._greet()
        head = self.replica.head
        if progress:
            progress(head.size, head.size)
        return head

    async def want(self, labels: Iterable[bytes], *, after: bytes | None = None) -> None:
        """Look up what was not; with `after`, also what was looked up before that label was."""
        async with self._looking:
            own, due = self.light, self.replica.due(labels, after)
            if own and due:
                await self._look(own, due)

    async def _look(self, own: LightLog, labels: Iterable[bytes]) -> bool:
        """Whether the server answers; it does not before there is a live device."""
        try:
            found = await own.lookup(*dict.fromkeys(labels))
        except Refused as error:
            if error.status == _FORBIDDEN:
                return False
            raise
        for one in found:
            self.replica.took(one.label, one.pin.chain if one.pin else None)
        return True

    async def statement_proof(self, group: bytes, statements: Sequence[bytes]) -> bytes | None:
        """The evidence file against the last of these, a group's from its first block on."""
        own = self.light
        return await own.statement_proof(group, statements) if own else None

    # --- before there is a device

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
        number, place = divmod(index, WIDTH)
        width = min(WIDTH, size - number * WIDTH)
        entries = decode_bundle(await self._transport.bundle(Bundle(number, width)), width)
        path = wire.decode_proof(await self._transport.inclusion(index, size))
        return Shown(entries[place], path)

    # --- writing

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
