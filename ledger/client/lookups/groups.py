"""Groups without a replay: who is in one, and why nobody may encrypt to it, if so.

>>> found, view = await LightGroups(log).look(group)             # doctest: +SKIP
>>> found.state, view and view.members, view and view.reasons

The group's chain comes by a lookup, its statements from the server, the chains of those who wrote
them and of everybody in it by lookups again, all of them as they are now. Then the statements are
judged as by who replays (`ledger.client.group.archive`). A member is needed to read them, in
replay mode: an audited state does not tell who wrote.

Errors: those of `LightLog.lookup` and of `Archive`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ledger.client import history as histories
from ledger.client.group import groups
from ledger.client.group.archive import Records, View
from ledger.client.group.groups import Deed, Resolved
from ledger.client.history import Step
from ledger.client.lookups.pins import Found
from ledger.client.lookups.session import LightLog
from ledger.client.lookups.trust import Trust
from ledger.client.user.account import DeviceSecret
from ledger.errors import MalformedInput, NotAMember, RuleViolation, StoreError, UsageError
from ledger.format import cose
from ledger.format.lookup import Mode
from ledger.format.statement import Role
from ledger.format.wire import StatementAnswer, StatementRequest
from ledger.rules.state import Chain, GroupState, LogState


class LightGroups:
    """The groups that the user of `log` may read."""

    def __init__(self, log: LightLog) -> None:
        if log.policy.mode != Mode.REPLAY:
            raise UsageError("statements are judged by replayed chains: use the replay mode")
        self._light = log
        self._seen = LightCopy(log.trust)

    async def look(self, group: bytes) -> tuple[Found, View | None]:
        """What stands for a label, and if it is a group that one may read, who is in it."""
        (found,) = await self._light.lookup(group)
        if not isinstance(found.state, GroupState):
            return found, None
        try:
            return found, await self.view(group)
        except NotAMember:
            return found, None

    async def view(self, group: bytes) -> View:
        """A group and the flat groups in it, as they are now."""
        # A copy of its own: what others look up meanwhile must not mix with what is judged here.
        self._seen = seen = LightCopy(self._light.trust)
        records = Records(_Reader(self._light, seen))
        if not await self._gather(seen, group):
            raise UsageError(f"there is no group {group.hex()}")
        for label in await self._gather_people(seen, records, group, group):
            if await self._gather(seen, label):
                await self._gather_people(seen, records, label, group)
        return await records.view(group)

    def deeds(self, group: bytes) -> list[Deed]:
        """What was done in a group, as far as it was viewed."""
        return Records(_Reader(self._light, self._seen)).deeds(group)

    async def _gather(self, seen: LightCopy, group: bytes) -> bool:
        """Look a group up; whether there is one."""
        await self._look(seen, group)
        chain = seen.chain(group)
        return chain is not None and isinstance(chain.state, GroupState)

    async def _gather_people(
        self, seen: LightCopy, records: Records, group: bytes, through: bytes
    ) -> list[bytes]:
        """Look up all who wrote in a group, then all in it. The groups among the latter."""
        known = seen.resolved(group)
        start = known.chain.length if known else 0
        statements, _ = await records.fetch(group, through, start)
        await self._look(seen, *groups.named(statements))
        membership = (await records.read(group, through)).resolved.membership
        await self._look(seen, *sorted(membership.labels))
        return [entry.label for entry in membership.entries if entry.role == Role.GROUP]

    async def _look(self, seen: LightCopy, *labels: bytes) -> None:
        for found in await self._light.lookup(*labels):
            if found.pin:
                seen.take(found.label, found.pin.chain)


class _Reader:
    """The user of a `LightLog`, for `Records`."""

    def __init__(self, log: LightLog, seen: LightCopy) -> None:
        self._light = log
        self.log = _Source(log, seen)

    @property
    def label(self) -> bytes:
        return self._light.label

    def author(self) -> DeviceSecret:
        return self._light.signers()[0]


class _Source:
    """Where their statements come from."""

    def __init__(self, log: LightLog, seen: LightCopy) -> None:
        self._light = log
        self.log_id = log.log_id
        self.replica = seen

    async def statements(self, request: StatementRequest, signer: cose.Signer) -> StatementAnswer:
        return await self._light.statements(request, signer)

    async def statement_proof(self, group: bytes, statements: Sequence[bytes]) -> bytes | None:
        return await self._light.statement_proof(group, statements)

    async def want(self, labels: Iterable[bytes], *, after: bytes | None = None) -> None:
        """All that is read was gathered."""


class LightCopy:
    """The chains that lookups brought for one view of a group, as `Records` reads them.

    Chains of people only ever are newer than those of the groups that they wrote in.
    """

    def __init__(self, trust: Trust) -> None:
        self._trust = trust
        self._chains: dict[bytes, Chain] = {}

    def take(self, label: bytes, chain: Chain) -> None:
        """Show this chain from now on."""
        self._chains[label] = chain

    @property
    def note(self) -> bytes:
        return self._trust.view().note

    def chain(self, label: bytes) -> Chain | None:
        """The chain of a label."""
        return self._chains.get(label)

    def history(self, label: bytes, after: Chain | None = None) -> list[Step]:
        """What each block of a chain did, or each one `after`, by the rules."""
        chain = self._chains.get(label)
        start = after.length if after else 0
        links = self._trust.links(label)[start : chain.length if chain else 0]
        log_id = self._trust.log_id
        try:
            steps = list(histories.history(self.log_history(), log_id, links, after))
        except (MalformedInput, RuleViolation) as error:
            raise _damaged() from error
        if (steps[-1].chain if steps else after) != chain:
            raise _damaged()
        return steps

    def log_history(self) -> list[LogState]:
        """The log's own states."""
        return list(self._trust.view().states)

    def resolved(self, group: bytes) -> Resolved | None:
        """What was last verified of a group's statements, if that is not beyond its chain here."""
        known, chain = self._trust.resolved(group), self.chain(group)
        return known if known and chain and known.chain.length <= chain.length else None

    def statements(self, group: bytes) -> list[bytes]:
        """The statements that led to the group's chain here."""
        chain = self.chain(group)
        return self._trust.statements(group)[: chain.length if chain else 0]

    def keep(self, group: bytes, resolved: Resolved, statements: Sequence[bytes]) -> None:
        self._trust.keep_group(group, resolved, statements)

    def check_group(self, group: bytes) -> None:
        if self.resolved(group):
            self._trust.check_group(group, self.history(group))


def _damaged() -> StoreError:
    return StoreError("what is held of this log is damaged: its file can't be relied upon")
