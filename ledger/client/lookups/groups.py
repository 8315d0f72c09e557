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

from ledger.client.group.archive import Records, View
from ledger.client.group.groups import Deed
from ledger.client.lookups.pins import Found
from ledger.client.lookups.seen import Seen
from ledger.client.lookups.session import LightLog
from ledger.client.user.account import DeviceSecret
from ledger.errors import NotAMember, UsageError
from ledger.format import cose
from ledger.format.lookup import Mode
from ledger.format.wire import StatementAnswer, StatementRequest
from ledger.rules.state import GroupState


class LightGroups:
    """The groups that the user of `log` may read."""

    def __init__(self, log: LightLog) -> None:
        if log.policy.mode != Mode.REPLAY:
            raise UsageError("statements are judged by replayed chains: use the replay mode")
        self._light = log
        self._seen = Seen(log.trust)

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
        # Of its own: what others look up meanwhile must not mix with what is judged here.
        self._seen = Seen(self._light.trust)
        return await Records(_Reader(self._light, self._seen)).view(group)

    def deeds(self, group: bytes) -> list[Deed]:
        """What was done in a group, as far as it was viewed."""
        return Records(_Reader(self._light, self._seen)).deeds(group)


class _Reader:
    """The user of a `LightLog`, for `Records`."""

    def __init__(self, log: LightLog, seen: Seen) -> None:
        self._light = log
        self.log = _Source(log, seen)

    @property
    def label(self) -> bytes:
        return self._light.label

    def author(self) -> DeviceSecret:
        return self._light.signers()[0]

    async def confirm(self) -> None:
        await self._light.refresh()


class _Source:
    """Where their statements come from."""

    def __init__(self, log: LightLog, seen: Seen) -> None:
        self._light = log
        self.log_id = log.log_id
        self.replica = seen

    async def statements(self, request: StatementRequest, signer: cose.Signer) -> StatementAnswer:
        return await self._light.statements(request, signer)

    async def statement_proof(self, group: bytes, statements: Sequence[bytes]) -> bytes | None:
        return await self._light.statement_proof(group, statements)

    async def want(self, labels: Iterable[bytes], *, after: bytes | None = None) -> None:
        due = self.replica.due(labels, after)
        for found in await self._light.lookup(*due):
            self.replica.took(found.label, found.pin.chain if found.pin else None)
