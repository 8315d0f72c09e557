"""The ledger's judgement of what lies beside the log: statements, boxes, leaves and grants.

>>> sorted(JUDGES)
['grant', 'group', 'leave', 'stale', 'submission']
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

from ledger.errors import RuleViolation
from ledger.format import block, cose, entry
from ledger.format.statement import Grant, Leave, Statement, verify
from ledger.log.admission import Submission, check_private
from ledger.log.planner import Batch
from ledger.log.replay import batches, replay
from ledger.rules import membership, stale
from ledger.rules.context import Context, Outcome
from ledger.rules.membership import Before, Kind, Membership
from ledger.rules.state import Chain, GroupState
from ledger.server.groups import Groups
from ledger.store.port import PrivateStore, Reader
from tests.support.memory import MemoryLog
from tests.support.vetting import plan_vetted
from tests.vectors.case import Given, Output

_hex = bytes.fromhex


def _hashes(values: Sequence[str]) -> list[bytes]:
    return [_hex(value) for value in values]


@dataclass(frozen=True, slots=True)
class Resolved:
    """A log, and the membership after each of its groups' blocks, by the block's hash."""

    log: MemoryLog
    memberships: dict[bytes, Membership] = field(default_factory=dict)

    def stored(self, index: int, head: bytes) -> bytes | None:
        """A membership, encoded. It is the only one with this hash."""
        known = self.memberships.get(head)
        return known.encode() if known else None

    def of(self, chain: Chain | None) -> Before:
        """A group's state and membership, before its next block."""
        state = chain.state if chain else None
        if not isinstance(state, GroupState):
            return Before()
        return Before(state, self.memberships[state.head])

    @property
    def groups(self) -> dict[bytes, Before]:
        """State and membership of every group, by its label."""
        chains = self.log.chains.items()
        return {k: self.of(chain) for k, chain in chains if isinstance(chain.state, GroupState)}

    @property
    def served(self) -> Groups:
        """What the server makes of them."""
        private = cast("PrivateStore", _Private(self))
        return Groups(cast("Reader", self.log), private)


@dataclass(frozen=True, slots=True)
class _Private:
    """As much of a private store as memberships need."""

    found: Resolved

    def membership(self, index: int, head: bytes) -> bytes | None:
        return self.found.stored(index, head)


def resolved(given: Given) -> Resolved:
    """The log of a case, and what its statements come to."""
    found = Resolved(MemoryLog())
    found.log.log_id = _hex(given["log_id"])
    statements = {index: _hex(data) for index, data in given["statements"]}

    for entries in batches(_hashes(given["entries"])):
        commit = replay(found.log, entries)
        batch = Batch(found.log, commit.after.time)

        def vet(at: Context, outcome: Outcome, batch: Batch = batch) -> None:
            if isinstance(outcome.state, GroupState):
                statement = Statement.parse(statements[at.index])
                before = found.of(batch.chain(at.block.label))
                after = membership.apply(at, statement, before, batch.chain(statement.terms.author))
                found.memberships[at.block.hash] = after

        for data in entries[:-1]:
            result = batch.admit(block.parse(entry.parse(data).body), vet)
            if isinstance(result, RuleViolation):
                raise result
        found.log.apply(commit)
    return found


def _group(given: Given) -> Output:
    found = resolved(given)
    head = found.log.head
    known = {
        k.hex(): one.membership.hash.hex() for k, one in found.groups.items() if one.membership
    }
    return {"directory": head.directory.hex(), "memberships": known, "tree": head.root.hex()}


def _submission(given: Given) -> Output:
    """What R-55.3, R-56.10 and R-71.6 ask; the block itself is right."""
    found = resolved(given)
    parsed = block.parse(_hex(given["block"]))
    said = given["statement"]
    statement = Statement.parse(_hex(said)) if said is not None else None
    submission = Submission(parsed, tuple(_hashes(given["boxes"])), statement=statement)
    check_private(submission)
    planned, items = plan_vetted(found.log, [submission], given["time"], found.stored)
    (result,) = planned.results
    if isinstance(result, RuleViolation):
        raise result
    return {"recipients": [box[:32].hex() for box in items[0].boxes]}


def _check_wish(found: Resolved, wish: Leave | Grant, context: str) -> None:
    """R-56.12, at the log's end."""
    if not found.served.stands(wish.stay, wish.envelope):
        raise RuleViolation("R-56.12", "no such stay, or not by a device of that user")
    verify(wish.envelope, context, found.log.log_id, "R-56.12")


def _leave(given: Given) -> None:
    _check_wish(resolved(given), Leave.parse(_hex(given["leave"])), cose.LEAVE)


def _grant(given: Given) -> None:
    grant = Grant.parse(_hex(given["grant"]))
    _check_wish(resolved(given), grant, cose.GRANT)
    if grant.expiry < given["time"]:
        raise RuleViolation("R-56.12", "the grant has expired")


def _stale(given: Given) -> Output:
    found = resolved(given)
    leaves = [Leave.parse(data) for data in _hashes(given["leaves"])]
    standing = [one.stay for one in leaves if found.served.stands(one.stay, one.envelope)]
    groups = found.groups

    def reasons(label: bytes) -> tuple[stale.Reason, ...]:
        state, known = groups[label].state, groups[label].membership
        assert state
        assert known
        leaving = {stay.user for stay in standing if stay.group == label}
        return stale.reasons(state, known, leaving, found.log.chain, nested)

    def nested(label: bytes) -> tuple[stale.Reason, ...] | None:
        known = groups[label].membership if label in groups else None
        return reasons(label) if known and known.kind == Kind.FLAT else None

    is_open = (label for label, one in groups.items() if one.state and not one.state.closed)
    return {"stale": sorted(label.hex() for label in is_open if reasons(label))}


JUDGES: dict[str, Callable[[Given], Output | None]] = {
    "grant": _grant,
    "group": _group,
    "leave": _leave,
    "stale": _stale,
    "submission": _submission,
}
