"""Groups as one user may read them: their statements, fetched, verified, and kept in the replica.

What was verified once costs nothing again: only the statements of new blocks are asked for. They
are asked for every time, though, because wishes to leave stand in no block.

>>> view = await Archive(user).view(group)                       # doctest: +SKIP
>>> view.membership.entries, view.members, view.reasons          # doctest: +SKIP

A server that withholds a statement, or admitted one that breaks a rule, is told by `LogMisbehaved`
with the bytes. One that withholds a wish to leave goes unnoticed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ledger.client.group import groups
from ledger.client.group.groups import Deed, Member, Resolved
from ledger.client.history import Step
from ledger.client.known import Copy
from ledger.client.user.account import DeviceSecret
from ledger.client.user.user import User
from ledger.errors import LogMisbehaved, NotAMember, Refused, UsageError
from ledger.format import block as blocks
from ledger.format import cose
from ledger.format.statement import Role
from ledger.format.wire import StatementAnswer, StatementRequest
from ledger.rules import stale
from ledger.rules.membership import Kind, Membership, live_key
from ledger.rules.stale import Reason
from ledger.rules.state import Chain, GroupState

_FORBIDDEN = 403


@dataclass(frozen=True, slots=True)
class Reading:
    """A group at its newest block, and the users whose wish to leave it counts."""

    resolved: Resolved
    leaving: frozenset[bytes]


@dataclass(frozen=True, slots=True)
class View:
    """A group as it stands now: who is in it, and why nobody may encrypt to it, if so.

    `nested` are the memberships of the flat groups in a compound one.
    """

    resolved: Resolved
    nested: Mapping[bytes, Membership]
    members: tuple[Member, ...]
    reasons: tuple[Reason, ...]

    @property
    def state(self) -> GroupState:
        return self.resolved.state

    @property
    def membership(self) -> Membership:
        return self.resolved.membership


class Source(Protocol):
    """Where statements are asked for."""

    @property
    def log_id(self) -> bytes:
        """Of which log."""

    @property
    def replica(self) -> Copy:
        """What is known of it here."""

    async def statements(self, request: StatementRequest, signer: cose.Signer) -> StatementAnswer:
        """A run of a group's statements, and wishes to leave it; unchecked."""

    async def statement_proof(self, group: bytes, statements: Sequence[bytes]) -> bytes | None:
        """The evidence file against the last of these, a group's from its first block on."""

    async def want(self, labels: Iterable[bytes], *, after: bytes | None = None) -> None:
        """See to it that the chains of `labels` are known, as of `after`'s chain or later."""


class Reader(Protocol):
    """Who reads."""

    @property
    def label(self) -> bytes:
        """Their label."""

    @property
    def log(self) -> Source:
        """Their log."""

    def author(self) -> DeviceSecret:
        """A device of theirs that is live."""

    async def confirm(self) -> None:
        """Raise `DeviceGone` if none is live any more."""


class Records:
    """What `reader` may read of groups' statements."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._log = reader.log
        self._replica = reader.log.replica

    def state(self, group: bytes) -> GroupState:
        """How a group stands in the replica. Raises `UsageError` if there is none."""
        chain = self._replica.chain(group)
        if chain is None or not isinstance(chain.state, GroupState):
            raise UsageError(f"there is no group {group.hex()}")
        return chain.state

    async def view(self, group: bytes, without: Collection[bytes] = ()) -> View:
        """A group and the flat groups in it, but for those `without`, which are about to go."""
        reading = await self.read(group)
        membership, chains = reading.resolved.membership, self._replica.chain
        nested: dict[bytes, Membership] = {}
        within: dict[bytes, tuple[Reason, ...]] = dict.fromkeys(without, ())
        for entry in membership.entries:
            looked_at = entry.role == Role.GROUP and entry.label not in without
            if looked_at and live_key(entry, chains):
                inner = await self.read(entry.label, group)
                if inner.resolved.membership.kind == Kind.FLAT:
                    nested[entry.label] = inner.resolved.membership
                    within[entry.label] = self._reasons(inner, {})
        members = groups.roster(membership, chains, nested)
        return View(reading.resolved, nested, members, self._reasons(reading, within))

    async def read(self, group: bytes, through: bytes | None = None) -> Reading:
        """The group as the replica has it, without what is in the groups in it.

        The user is a member of it, or of the compound group `through` that holds it.
        """
        await self._log.want([group])
        self.state(group)
        resolved, leaves = await self._read_on(group, through or group)
        log_id, chains = self._log.log_id, self._replica.chain
        leaving = groups.leaving(group, resolved.membership, leaves, chains, log_id)
        return Reading(resolved, leaving)

    def deeds(self, group: bytes) -> list[Deed]:
        """What was done in a group, as far as it was read."""
        statements = self._replica.statements(group)
        return list(groups.retell(self._replica.history(group), statements))

    def before(self) -> groups.ReadBefore:
        """Reads the chains of users and groups as they were; each is replayed once at most."""
        told: dict[bytes, list[Step]] = {}

        def before(label: bytes, index: int) -> Chain | None:
            chain = self._replica.chain(label)
            if chain is None or chain.state.index < index:
                return chain
            if label not in told:
                told[label] = self._replica.history(label)
            earlier = [step.chain for step in told[label] if step.index < index]
            return earlier[-1] if earlier else None

        return before

    async def fetch(
        self, group: bytes, through: bytes, start: int
    ) -> tuple[list[bytes], tuple[bytes, ...]]:
        """The statements from seq `start` on that the server gives, and the wishes to leave.

        Unchecked, and none beyond the group's chain as it is known here.
        """
        found: list[bytes] = []
        signer = self._reader.author().signing
        while True:
            asked = StatementRequest(self._reader.label, through, group, start + len(found))
            try:
                answer = await self._log.statements(asked, signer)
            except Refused as error:
                if error.status == _FORBIDDEN:
                    await self._reader.confirm()
                    raise _no_member(group) from error
                raise
            found += answer.statements
            missing = self._length(group) - start - len(found)
            if missing <= 0 or not answer.statements:
                return found[: len(found) + min(missing, 0)], answer.leaves

    async def _read_on(self, group: bytes, through: bytes) -> tuple[Resolved, tuple[bytes, ...]]:
        """The group by all its statements, and the wishes to leave it."""
        while True:
            known = self._replica.resolved(group)
            start = known.chain.length if known else 0
            statements, leaves = await self.fetch(group, through, start)
            length = self._length(group)
            people = known.membership.labels if known else frozenset()
            await self._log.want(sorted(people.union(groups.named(statements))), after=group)
            if length == self._length(group):
                break  # else it went on meanwhile: nobody withholds what was not asked for
        try:
            return self._resolve(group, known, statements), leaves
        except LogMisbehaved as error:
            error.proof = await self._proof(group, statements, error)
            raise

    def _resolve(self, group: bytes, known: Resolved | None, statements: list[bytes]) -> Resolved:
        """Verify the statements that follow `known`, and keep them."""
        steps = self._replica.history(group, known.chain if known else None)
        log, log_id = self._replica.log_history(), self._log.log_id
        try:
            found = groups.resolve(known, steps, statements, log, log_id, self.before())
            deeds = list(found)
        except LogMisbehaved as error:
            # Before the log is blamed: is it our own copy that is wrong?
            self._replica.check_group(group)
            evidence = error.evidence | {"checkpoint": self._replica.note}
            raise LogMisbehaved(error.rule, error.detail, evidence) from error
        if deeds:
            known = deeds[-1].resolved
            self._replica.keep(group, known, statements)
        assert known  # a chain has a first block
        return known

    async def _proof(
        self, group: bytes, statements: list[bytes], error: LogMisbehaved
    ) -> bytes | None:
        """The evidence file against a statement. One that is withheld can't be proven to others."""
        if "statement" not in error.evidence or error.rule == "R-56.2":
            return None
        seq = blocks.parse(error.evidence["block"]).seq
        told = [*self._replica.statements(group), *statements]
        return await self._log.statement_proof(group, told[: seq + 1])

    def _reasons(
        self, reading: Reading, within: Mapping[bytes, tuple[Reason, ...]]
    ) -> tuple[Reason, ...]:
        """Why the group is stale, given why those in it are."""
        resolved, chains = reading.resolved, self._replica.chain
        return stale.reasons(
            resolved.state, resolved.membership, reading.leaving, chains, within.get
        )

    def _length(self, group: bytes) -> int:
        chain = self._replica.chain(group)
        return chain.length if chain else 0


class Archive(Records):
    """What `user`, who replays the log, may read."""

    def __init__(self, user: User) -> None:
        super().__init__(user)
        self.user = user


def _no_member(group: bytes) -> NotAMember:
    who = f"only its members, and those whom one lets, read who is in the group {group.hex()}"
    return NotAMember(f"{who}; by what the server says, you are none of them now")
