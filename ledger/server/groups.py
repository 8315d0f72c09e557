"""Who is in which group, by what is published and what was verified at admission (56-groups)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ledger.errors import RuleViolation
from ledger.format import cose
from ledger.format.statement import Grant, Leave, Role, Stay, verify
from ledger.rules.membership import Membership
from ledger.rules.state import GroupState, UserState
from ledger.store.port import PrivateStore, Reader


@dataclass(frozen=True, slots=True)
class Groups:
    """The groups of one published state."""

    reader: Reader
    private: PrivateStore

    def state(self, label: bytes) -> GroupState | None:
        """The state of a group."""
        chain = self.reader.chain(label)
        state = chain.state if chain else None
        return state if isinstance(state, GroupState) else None

    def membership(self, label: bytes) -> Membership | None:
        """The membership of a group, at its newest block."""
        state = self.state(label)
        stored = self.private.membership(state.index, state.head) if state else None
        return None if stored is None else Membership.decode(stored)

    def holds(self, label: bytes, user: bytes, epoch: int) -> bool:
        """Whether a user is a member: of the group itself, or of a flat group in it."""
        known = self.membership(label)
        if known is None:
            return False
        nested = (e.label for e in known.entries if e.role == Role.GROUP and self._is_open(e.label))
        return any(
            _lists(one, user, epoch) for one in (known, *(self.membership(n) for n in nested))
        )

    def _is_open(self, label: bytes) -> bool:
        state = self.state(label)
        return state is not None and not state.closed

    def lets_read(self, label: bytes, user: bytes, state: UserState, now: int) -> bool:
        """Whether a user is a member, or somebody granted them to read (R-72.4)."""
        return self.holds(label, user, state.epoch) or any(
            grant.expiry >= now for grant in self.grants(label, user)
        )

    def grants(self, group: bytes, sender: bytes) -> Iterator[Grant]:
        """What was granted to a sender and counts, were it not for its expiry (R-56.12)."""
        for raw in self.private.grants(group, sender):
            grant = Grant.parse(raw)
            if self.stands(grant.stay, grant.envelope):
                yield grant

    def leaves(self, group: bytes) -> list[bytes]:
        """The wishes to leave that count (R-56.12)."""
        found = (Leave.parse(raw) for raw in self.private.leaves(group))
        return [leave.raw for leave in found if self.stands(leave.stay, leave.envelope)]

    def stands(self, stay: Stay, envelope: cose.Envelope) -> bool:
        """Whether the stay lasts, and its user has the device that signed (R-56.12)."""
        known = self.membership(stay.group)
        entry = known.entry(stay.user) if known else None
        chain = self.reader.chain(stay.user)
        state = chain.state if chain else None
        if entry is None or entry.role == Role.GROUP or not isinstance(state, UserState):
            return False
        lasts = (entry.epoch, entry.joined, state.epoch) == (stay.epoch, stay.joined, stay.epoch)
        return lasts and state.device(envelope.signers[0]) is not None

    def check(self, stay: Stay, envelope: cose.Envelope, context: str) -> None:
        """Raise `RuleViolation` unless a leave or a grant counts now (R-56.12, R-72.6)."""
        if not self.stands(stay, envelope):
            raise RuleViolation("R-72.6", "no such stay, or not by a device of that member")
        verify(envelope, context, self.reader.log_id, "R-72.6")


def _lists(known: Membership | None, user: bytes, epoch: int) -> bool:
    entry = known.entry(user) if known else None
    return entry is not None and entry.role != Role.GROUP and entry.epoch == epoch
