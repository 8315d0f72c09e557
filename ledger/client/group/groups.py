"""What a group's statements resolve to, and why: who is in it, and who put them there. Pure.

A group's blocks say that its keys changed, its statements for whom (56-groups). `resolve` applies
one to the other, block by block, and believes nobody: each statement is the one that its block
commits to, by a device that its author had just before, an admin. A statement that is withheld or
breaks a rule stops it, with `LogMisbehaved` and the bytes.

    resolve(known, steps, statements, log, log_id, author)   a `Deed` for each new block
    retell(steps, statements)                                the same, verified before
    why(deeds, label)                                        the deeds that put an entry there
    roster(membership, chains, nested)                       all members, and by which way
    settled(membership, reasons, change, author)             a change, and what must go with it

>>> for deed in resolve(None, steps, statements, log, log_id, author):     # doctest: +SKIP
...     print(deed.step.time, deed.terms.author.hex(), deed.after.entries)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain, repeat

from ledger.client.history import Step, log_before
from ledger.errors import KeyrollError, LogMisbehaved, MalformedInput, RuleViolation
from ledger.format import cose
from ledger.format.bodies import GroupClose, GroupCreate
from ledger.format.statement import Leave, Put, Role, Statement, Terms, commitment, verify
from ledger.rules import membership as memberships
from ledger.rules.context import Context
from ledger.rules.membership import Before, Entry, Membership, Shares, live_key
from ledger.rules.stale import Cause, Reason
from ledger.rules.state import Chain, GroupState, LogState, ReadChain, UserState

ReadBefore = Callable[[bytes, int], "Chain | None"]
"""The chain of a label just before a leaf index."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """A group after one of its blocks: its chain, and who is in it."""

    chain: Chain
    membership: Membership

    @property
    def state(self) -> GroupState:
        assert isinstance(self.chain.state, GroupState)  # of no other chain is one made
        return self.chain.state


@dataclass(frozen=True, slots=True)
class Deed:
    """One block of a group: the step of its chain, what was stated, and the group around it."""

    step: Step
    terms: Terms
    before: Before
    after: Membership

    @property
    def resolved(self) -> Resolved:
        return Resolved(self.step.chain, self.after)

    @property
    def rotates(self) -> bool:
        """Whether the block brought the group's keys (the first one does)."""
        state = self.before.state
        return isinstance(self.step.block.body, GroupCreate) and (
            state is None or state.signing != self.terms.signing
        )

    def put(self, label: bytes) -> Put | None:
        """What it says of an entry that came in or changed."""
        return next((put for put in self.terms.put if put.label == label), None)

    def shares(self, chains: ReadChain) -> Shares:
        """Whom its boxes are for, `chains` being as they were just before it."""
        return memberships.shares(self.terms, self.before, self.after, chains)


# --- resolving


def resolve(
    known: Resolved | None,
    steps: Iterable[Step],
    statements: Iterable[bytes],
    log: Sequence[LogState],
    log_id: bytes,
    author: ReadBefore,
) -> Iterator[Deed]:
    """Apply the statements of the blocks that follow `known`, the first ones if it is None.

    `steps` are those blocks, `statements` what was given for each, in order. Raises `LogMisbehaved`
    at the first that is missing (R-56.2) or breaks a rule: the log admitted it (R-56.10).
    """
    before = Before(known.state, known.membership) if known else Before()
    for step, raw in zip(steps, chain(statements, repeat(None)), strict=False):
        statement = _committed(step, raw)
        at = Context(step.block, step.index, step.time, log_before(log, step.index), log_id)
        try:
            parsed = Statement.parse(statement)
            writer = author(parsed.terms.author, step.index)
            after = memberships.apply(at, parsed, before, writer)
        except (MalformedInput, RuleViolation) as error:
            raise _refused(step, statement, error) from error
        yield Deed(step, parsed.terms, before, after)
        before = Before(_group_state(step), after)


def retell(steps: Iterable[Step], statements: Iterable[bytes]) -> Iterator[Deed]:
    """The deeds of a chain from its first block on, whose statements were verified before."""
    before = Before()
    for step, raw in zip(steps, statements, strict=False):
        terms = Statement.parse(raw).terms
        after = memberships.changed(terms, before.membership)
        yield Deed(step, terms, before, after)
        before = Before(_group_state(step), after)


def fits(known: Resolved, steps: Sequence[Step], statements: Sequence[bytes]) -> bool:
    """Whether `known` is what these statements lead to, and they are those of these steps."""
    pairs = list(zip(steps, statements, strict=False))
    if not len(pairs) == len(statements) == known.chain.length:
        return False
    deeds = list(retell(steps, statements))
    committed = all(_commitment(step) == commitment(raw) for step, raw in pairs)
    return committed and deeds[-1].resolved == known


def _commitment(step: Step) -> bytes:
    body = step.block.body
    assert isinstance(body, GroupCreate | GroupClose)  # what a group's chain is made of
    return body.commitment


def _committed(step: Step, raw: bytes | None) -> bytes:
    """The statement, if the block commits to it (R-56.2)."""
    where = f"block {step.block.seq} of the group {step.block.label.hex()}"
    evidence = {"block": step.block.raw}
    if raw is None:
        raise LogMisbehaved("R-56.2", f"the statement of {where} is withheld", evidence)
    if commitment(raw) != _commitment(step):
        evidence["statement"] = raw
        detail = f"what was given as the statement of {where} is another"
        raise LogMisbehaved("R-56.2", detail, evidence)
    return raw


def _refused(step: Step, raw: bytes, error: MalformedInput | RuleViolation) -> LogMisbehaved:
    where = f"block {step.block.seq} of the group {step.block.label.hex()}"
    evidence = {"block": step.block.raw, "statement": raw}
    return LogMisbehaved(error.rule, f"{where} was admitted, but {error.detail}", evidence)


def _group_state(step: Step) -> GroupState:
    state = step.chain.state
    assert isinstance(state, GroupState)
    return state


# --- wishes to leave


def leaving(
    group: bytes, membership: Membership, leaves: Iterable[bytes], chains: ReadChain, log_id: bytes
) -> frozenset[bytes]:
    """The users whose wish to leave counts (R-56.12). What does not count is passed over."""
    found = (_wish(group, membership, raw, chains, log_id) for raw in leaves)
    return frozenset(label for label in found if label)


def _wish(
    group: bytes, membership: Membership, raw: bytes, chains: ReadChain, log_id: bytes
) -> bytes | None:
    """The label of who wishes it, if it counts."""
    try:
        leave = Leave.parse(raw)
        stay = leave.stay
        entry = membership.entry(stay.user)
        user = chains(stay.user)
        state = user.state if user else None
        if not isinstance(state, UserState) or entry is None or stay.group != group:
            return None
        lasts = (entry.epoch, entry.joined, state.epoch) == (stay.epoch, stay.joined, stay.epoch)
        if not lasts or state.device(leave.envelope.signers[0]) is None:
            return None
        verify(leave.envelope, cose.LEAVE, log_id)
    except KeyrollError:
        return None
    return stay.user if entry.role != Role.GROUP else None


# --- why


def why(deeds: Iterable[Deed], label: bytes) -> tuple[Deed, ...]:
    """The deeds that put the entry `label` where it is, from when it came in; none if it is gone.

    An entry comes in anew with a new epoch.
    """
    found: list[Deed] = []
    for deed in deeds:
        entry = deed.before.membership.entry(label) if deed.before.membership else None
        put = deed.put(label)
        if label in deed.terms.removed or (put and (entry is None or entry.epoch != put.epoch)):
            found = []
        if put:
            found.append(deed)
    return tuple(found)


def named(statements: Iterable[bytes]) -> list[bytes]:
    """All whom these, unchecked, name: their authors, and who comes in. Ascending.

    One that is no statement is told when it is judged.
    """
    found: set[bytes] = set()
    for raw in statements:
        with suppress(MalformedInput):
            terms = Statement.parse(raw).terms
            found |= {terms.author, *(put.label for put in terms.put)}
    return sorted(found)


def naming(deeds: Iterable[Deed], label: bytes) -> tuple[Deed, ...]:
    """All deeds that put or removed `label`."""
    return tuple(deed for deed in deeds if deed.put(label) or label in deed.terms.removed)


# --- keys


@dataclass(frozen=True, slots=True)
class Generation:
    """A group's keys: their number, their public halves, and the deed that brought them."""

    number: int
    signing: bytes
    encryption: bytes
    deed: Deed


def generations(deeds: Iterable[Deed]) -> list[Generation]:
    """The keys of a group, in their order: the number of each is its place."""
    found: list[Generation] = []
    for deed in deeds:
        if deed.rotates:
            terms = deed.terms
            found.append(Generation(len(found), terms.signing, terms.encryption, deed))
    return found


# --- who is a member


@dataclass(frozen=True, slots=True)
class Member:
    """A user who is a member: directly, or `through` a flat group that is an entry."""

    label: bytes
    epoch: int
    role: int
    through: bytes | None = None


def roster(
    membership: Membership, chains: ReadChain, nested: Mapping[bytes, Membership]
) -> tuple[Member, ...]:
    """Everybody of a live entry. `nested` are the memberships of the flat groups among them.

    A user who is in by several ways stands there for each.
    """
    found: list[Member] = []
    for entry in membership.entries:
        if live_key(entry, chains) is None:
            continue
        if entry.role == Role.GROUP:
            found += _through(entry.label, nested.get(entry.label), chains)
        else:
            found.append(Member(entry.label, entry.epoch, entry.role))
    return tuple(found)


def _through(group: bytes, membership: Membership | None, chains: ReadChain) -> Iterator[Member]:
    """The members that a flat group brings in, none if it is void."""
    for entry in membership.entries if membership else ():
        if live_key(entry, chains):
            yield Member(entry.label, entry.epoch, Role.MEMBER, group)


# --- what an admin does


@dataclass(frozen=True, slots=True)
class Change:
    """What a block is to do: entries that come in or change, labels that go, new keys."""

    put: tuple[Put, ...] = ()
    removed: frozenset[bytes] = field(default=frozenset())
    rotate: bool = False


def settled(
    membership: Membership, reasons: Iterable[Reason], change: Change, author: bytes
) -> Change:
    """`change`, as `author` can make it: only what differs, and with what is due (R-56.8, R-56.11).

    Who is gone or asked to leave is removed, unless the change puts them anew; the keys rotate
    where somebody loses something or the group was stale. Nobody can remove themselves, and a
    nested group that is stale does not get better by new keys here.
    """
    reasons = [
        reason
        for reason in reasons
        if reason.cause != Cause.STALE and (reason.label, reason.cause) != (author, Cause.LEAVES)
    ]
    put = tuple(one for one in change.put if _differs(membership.entry(one.label), one))
    kept = {one.label for one in put} | {author}
    going = {r.label for r in reasons if r.cause in (Cause.NOT_LIVE, Cause.LEAVES)} - kept
    removed = (change.removed & membership.labels) | going
    loses = any(_loses(membership.entry(one.label), one) for one in put)
    rotate = change.rotate or bool(removed) or bool(reasons) or loses
    return Change(tuple(sorted(put, key=lambda one: one.label)), frozenset(removed), rotate)


def _differs(entry: Entry | None, put: Put) -> bool:
    return entry is None or (entry.epoch, entry.role) != (put.epoch, put.role)


def _loses(entry: Entry | None, put: Put) -> bool:
    """Whether the put needs new keys: it takes the admin's role, or renews an epoch (R-56.8)."""
    return entry is not None and (entry.epoch != put.epoch or put.role == Role.MEMBER)
