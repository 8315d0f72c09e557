"""A log as a client sees it who does not replay it: ask for somebody, and check the answer.

>>> async with LightLog.connect(url, log_id, "trust.db", account) as log:     # doctest: +SKIP
...     (bob,) = await log.lookup("bob@example.org")
...     if bob.pin and bob.pin.quiet:
...         bob.state.devices

An answer of some 2 KB proves which keys stand for an identifier, that nothing newer is hidden, and
how fresh that is (`ledger.client.lookups.light`). Everything goes on from what was seen before, on
disk (`ledger.client.lookups.trust`). Who was seen is asked for by label from then on, and costs
less.

`found.standing` tells how far an answer goes. Where the policy names auditors, `settle` asks what
they cover by now, which lookups do themselves at times, and `overdue` tells which answers they left
uncovered for too long: an alarm. What is loud, or an alarm over one's own devices, is told in
`found.pin` until `accept`; `refresh` looks oneself up, which is to be done at times.

Tasks may share a `LightLog`, processes its file. Errors: those of `light.verify`; `TransportError`
(or `Refused`, `Busy`) when the server could not be asked; `DeviceGone` when it answers no device
that is here any more; `StoreError` for the disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

from ledger.client import verify as replays
from ledger.client.evidence import of_lookups
from ledger.client.evidence.inquiry import in_time
from ledger.client.evidence.of_lookups import claim_of
from ledger.client.lookups import light
from ledger.client.lookups.parts import Parts
from ledger.client.lookups.pins import Found, Held, LogView, Outcome, Own, Pin
from ledger.client.lookups.trust import OVERDUE, Trust, Unsettled
from ledger.client.policy import Policy
from ledger.client.transport import NOT_COVERED, HttpTransport, Lookups
from ledger.client.user.account import Account, DeviceSecret
from ledger.client.verify import Claim
from ledger.errors import (
    DeviceGone,
    KeyrollError,
    LogMisbehaved,
    MalformedInput,
    NotCosigned,
    NotFresh,
    Refused,
    TransportError,
    UsageError,
)
from ledger.format import cose, entry, wire
from ledger.format.identity import check_identifier
from ledger.format.login import authenticate
from ledger.format.lookup import (
    LOOKUP_PATH,
    MAX_BUNDLE_BYTES,
    MAX_QUERIES,
    MAX_WHOLE_BYTES,
    Bundle,
    Link,
    LookupRequest,
    Mode,
    Saved,
)
from ledger.log.clock import wall_ms
from ledger.log.commit import Head
from ledger.rules.state import UserState

_ATTEMPTS = 8
"""How often other processes may be faster before this one gives up."""

SETTLING = 300_000
"""How long (ms) an answer waits before it is asked whether auditors cover it, and between that."""

_MALFORMED, _FORBIDDEN, _NOT_FOUND = 400, 403, 404


class LightLog:
    """One log, seen through one server by the user whose `account` it is."""

    def __init__(
        self,
        trust: Trust,
        transport: Lookups,
        account: Account,
        *,
        policy: Policy | None = None,
        clock: Callable[[], int] = wall_ms,
    ) -> None:
        if account.identity is None or not account.devices:
            raise UsageError("lookups are for users: register or join first")
        if account.log_id != trust.log_id:
            raise UsageError(f"this account is at another log: {account.log_id.hex()}")
        self.trust = trust
        self.policy = policy or Policy()
        self.clock = clock
        self.label = account.identity.label
        self.identifier = account.identity.opening.identifier
        self._transport = transport
        self._devices = account.devices
        self._own = Own(self.label, frozenset(one.signing.public for one in account.devices))
        self._asking = asyncio.Lock()
        self._asked_covered = 0

    @classmethod
    @asynccontextmanager
    async def connect(
        cls,
        url: str,
        log_id: bytes,
        path: str | Path,
        account: Account,
        *,
        policy: Policy | None = None,
    ) -> AsyncIterator[LightLog]:
        """The log `log_id` as the server at `url` shows it; what is held is in the file `path`."""
        with Trust.open(path, log_id) as trust:
            async with HttpTransport(url) as transport:
                yield cls(trust, transport, account, policy=policy)

    @property
    def log_id(self) -> bytes:
        return self.trust.log_id

    @property
    def is_gone(self) -> bool:
        """Whether the server answered no device that is here when it was asked last."""
        return self.trust.is_gone()

    # --- asking

    async def lookup(self, *of: str | bytes) -> list[Found]:
        """What stands for identifiers (text) and labels (bytes), in their order.

        Of many, some may be answered over a newer tree than others.
        """
        for one in of:
            if isinstance(one, str):
                check_identifier(one)
        names = self.trust.names()
        waiting = [names.get(one, one) if isinstance(one, str) else one for one in of]
        found: list[Found] = []
        while waiting:
            outcome = await self._ask(waiting[:MAX_QUERIES])
            found += outcome.found
            waiting = waiting[len(outcome.found) :]
        await self._settle_at_times()
        return [self._named(one, asked) for one, asked in zip(found, of, strict=True)]

    async def refresh(self) -> Found:
        """How one's own chain stands: a device that nobody here added is among `pin.alarms`."""
        (found,) = await self.lookup(self.label)
        return found

    def names(self) -> dict[bytes, str]:
        """The identifier of each label that was looked up by one."""
        return {label: name for name, label in self.trust.names().items()}

    def accept(self, pin: Pin) -> None:
        """Accept what a pin tells, as it was shown. Raises `UsageError` if there is more now."""
        self.trust.accept(pin)

    async def save(self, identifier: str) -> tuple[Found, Saved]:
        """Look somebody up as who holds nothing would, for others to judge, also later (R-65.10).

        The answer is held to what was seen all the same.
        """
        check_identifier(identifier)
        async with self._asking:
            for _ in range(_ATTEMPTS):
                outcome = await self._judged(self._fresh(), [identifier])
                view = self.trust.view()
                if outcome.view.size < view.size:
                    continue  # somebody saw a newer one meanwhile
                proof = await self._consistency(view.size, outcome.view.size)
                async with self._against(view, claim_of(outcome.view)):
                    outcome = light.joined(outcome, view, proof)
                if self.trust.keep(self._held(view), outcome, self.clock()):
                    (found,) = outcome.found
                    return found, self._saved(identifier, outcome.bundle)
        raise _overtaken()

    async def settle(self) -> int:
        """Settle answers by what auditors cover now (R-63.5); up to which size, 0 if by nothing."""
        view = self.trust.view()
        if not view.size or not self.policy.asks_auditors(light.founding(None, view)):
            return 0
        try:
            note = await self._transport.covered()
        except Refused as error:
            if error.status == _NOT_FOUND:
                return 0
            raise
        return await self.settle_by(note)

    async def _settle_at_times(self) -> None:
        """Settle what has waited for a while. No answer is refused because that can't be asked."""
        now = self.clock()
        if now < self._asked_covered + SETTLING:
            return
        self._asked_covered = now
        waits_since = self.trust.unsettled_since()
        if waits_since is not None and waits_since + SETTLING <= now:
            with suppress(TransportError, MalformedInput):
                await self.settle()

    async def settle_by(self, note: bytes) -> int:
        """Settle answers by this cosigned checkpoint; up to which size, 0 if by none.

        One of a lookup does so by itself.
        """
        async with self._asking:
            for _ in range(_ATTEMPTS):
                view, now = self.trust.view(), self.clock()
                if not view.size:
                    return 0
                claim = light.signed(note, light.founding(None, view), self.policy, now)
                older, newer = sorted((view.size, claim.size))
                proof = await self._consistency(older, newer)
                async with self._against(view, claim):
                    covered = light.covered(note, view, self.policy, proof, now)
                if covered is None:
                    return 0
                if self.trust.settle(view, covered):
                    return covered.size
        raise _overtaken()

    async def statements(
        self, request: wire.StatementRequest, signer: cose.Signer
    ) -> wire.StatementAnswer:
        """A run of a group's statements, and wishes to leave it; unchecked (R-56)."""
        body = self._authenticate(request.encode(), wire.STATEMENTS_PATH, signer)
        return wire.StatementAnswer.decode(await self._transport.statements(body))

    async def statement_proof(self, group: bytes, statements: Sequence[bytes]) -> bytes | None:
        """The evidence file against the last of these, a group's from its first block on.

        All chains that it takes are asked for anew, as of one tree.
        """
        labels = [group, *of_lookups.authors(statements, group)]
        nothing = Held(LogView(self.log_id))
        try:
            asked = nothing.ask(self.label, self.policy, labels)
            data = await self._whole(asked)
            light.verify(data, asked, nothing, self.policy, self.clock())
        except KeyrollError:
            return None
        return of_lookups.of_statement(data, labels, statements)

    def overdue(self, within: int = OVERDUE) -> list[Unsettled]:
        """The answers that auditors left uncovered for more than `within` ms: an alarm each."""
        return self.trust.overdue(self.clock(), within)

    # --- one question

    async def _ask(self, of: list[str | bytes]) -> Outcome:
        """As many answers as the server gives at once, kept."""
        async with self._asking:
            for _ in range(_ATTEMPTS):
                held = self._held()
                try:
                    outcome = await self._judged(held, of)
                    await self._check_own_anchor(outcome)
                except LogMisbehaved as error:
                    if error.proof or self.trust.view() == held.view:
                        raise
                    continue  # judged by what another process had moved on from
                if self.trust.keep(held, outcome, self.clock()):
                    return outcome
        raise _overtaken()

    async def _judged(self, held: Held, of: Iterable[str | bytes]) -> Outcome:
        asked = held.ask(self.label, self.policy, of)
        try:
            data = await self._whole(asked)
        except Refused as error:
            if error.status == _MALFORMED:
                await self._check_rollback(held.view)
            if error.kind == NOT_COVERED:
                detail = "auditors have yet to cover it: ask again later, or without audited mode"
                raise NotCosigned("R-63.4", detail) from error
            raise
        now = self.clock()
        try:
            return light.verify(data, asked, held, self.policy, now)
        except LogMisbehaved as error:
            error.proof = await in_time(self._proof(data, held))
            if error.proof is None and not isinstance(error, NotFresh):
                error.proof = await in_time(self._proof_anew(data, held))
            raise

    async def _proof(self, data: bytes, held: Held) -> bytes | None:
        """The evidence file against an answer that was refused, or against what came before it."""
        trust, server = self.trust, self._transport
        links, now = trust.chain_links, self.clock()
        found = await of_lookups.proof(data, held, links, self.policy, server, now)
        first = held.view.first
        if found is None and first:
            return await of_lookups.proof_of_hiding(data, first, trust.root, links, server)
        return found

    async def _proof_anew(self, data: bytes, held: Held) -> bytes | None:
        """The same, by asking once more as who holds nothing: then all blocks are shown."""
        try:
            bundle = Bundle.decode(data, MAX_WHOLE_BYTES)
            labels = dict.fromkeys(one.label for one in bundle.answers)
            replaying = replace(self.policy, mode=Mode.REPLAY)
            asked = Held(LogView(self.log_id)).ask(self.label, replaying, labels)
            return await self._proof(await self._whole(asked), held)
        except KeyrollError:
            return None

    async def _check_own_anchor(self, outcome: Outcome) -> None:
        """Whether the tree holds what one's own devices had seen when they last wrote (R-44.2)."""
        step = light.own_step(outcome, self._own)
        if step is None:
            return
        anchor, view = step.block.anchor, outcome.view
        proof = await self._consistency(anchor.size, view.size)
        try:
            light.check_own_anchor(step, outcome, proof)
        except LogMisbehaved as error:
            link = Link(step.index, entry.block(step.time, step.block.raw))
            proof_of_anchor = of_lookups.proof_of_anchor(view, link, self._transport)
            error.proof = await in_time(proof_of_anchor)
            raise

    async def _whole(self, asked: LookupRequest) -> bytes:
        """The answer; if it comes in parts, all of them put together."""
        parts = Parts(asked)
        more: LookupRequest | None = asked
        while more:
            more = parts.take(await self._post(more))
        return parts.whole

    async def _post(self, asked: LookupRequest) -> bytes:
        """The answer, asked for in the name of a device that is live, as far as it is known."""
        devices = self.signers()
        for device in devices:
            try:
                answer = await self._post_as(device, asked)
            except Refused as error:
                if error.status != _FORBIDDEN:
                    raise
                if device is devices[-1]:
                    self._give_up(error)
            else:
                self.trust.set_gone(False)
                return answer
        raise DeviceGone

    def _give_up(self, refused: Refused) -> None:
        """Raise what it means that no device is answered."""
        if self.trust.pin(self.label) is None:
            raise refused
        self.trust.set_gone(True)
        raise DeviceGone from refused

    async def _post_as(self, device: DeviceSecret, asked: LookupRequest) -> bytes:
        body = self._authenticate(asked.encode(), LOOKUP_PATH, device.signing)
        return await self._transport.lookup(body)

    def _authenticate(self, request: bytes, path: str, signer: cose.Signer) -> bytes:
        return authenticate(request, path, signer, self.log_id, self.clock())

    def signers(self) -> list[DeviceSecret]:
        """The devices that are here, those first that were live when last seen, then the newest."""
        pin = self.trust.pin(self.label)
        state = pin.chain.state if pin else None
        live = {one.signing for one in state.devices} if isinstance(state, UserState) else set()
        newest = self._devices[::-1]
        return sorted(newest, key=lambda device: device.signing.public not in live)

    async def _check_rollback(self, view: LogView) -> None:
        """A server that does not know the tree that was seen may have signed an older one since."""
        if view.size:
            note = await self._transport.checkpoint()
            log = light.founding(None, view)
            claim = light.signed(note, log, self.policy, self.clock())
            async with self._against(view, claim):
                replays.against(claim, Head(view.size, view.root), view.note)

    @asynccontextmanager
    async def _against(self, view: LogView, claim: Claim) -> AsyncIterator[None]:
        """Judge a checkpoint by the one that was seen: if they contradict each other, prove it."""
        try:
            yield
        except LogMisbehaved as error:
            server, first = self._transport, view.first
            proof = of_lookups.proof_of_fork(claim_of(view), claim, first, server)
            error.proof = await in_time(proof)
            raise

    async def _consistency(self, old: int, new: int) -> tuple[bytes, ...]:
        """The proof between trees of these sizes."""
        if old in (0, new) or old > new:
            return ()
        return wire.decode_proof(await self._transport.consistency(old, new))

    def _held(self, view: LogView | None = None) -> Held:
        held = self.trust.held(self._own)
        return replace(held, view=view) if view else held

    def _fresh(self) -> Held:
        """The pins alone: what is asked by who has seen nothing of the log."""
        return self._held(LogView(self.log_id))

    def _saved(self, identifier: str, bundle: bytes) -> Saved:
        if len(bundle) > MAX_BUNDLE_BYTES:
            raise UsageError("this chain is too long for a saved lookup (R-65.10)")
        return Saved(self.log_id, identifier, bundle)

    def _named(self, found: Found, asked: str | bytes) -> Found:
        """With the opening that proved who it is, if that was before."""
        if found.opening or not isinstance(asked, str) or not found.pin:
            return found
        return replace(found, opening=self.trust.opening(asked))


def _overtaken() -> TransportError:
    return TransportError("other processes ask faster than this one: try again")
