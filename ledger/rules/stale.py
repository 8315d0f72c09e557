"""Which groups are stale, and why (R-56.11).

Whoever encrypts to a group's key encrypts to all who ever held it. So where an entry of the group
lost its place, wishes to lose it, or has another key than the one that the group's was handed to,
nobody encrypts to the group until an admin has rotated its keys.

>>> reasons(state, membership, leaving, chains, nested)          # doctest: +SKIP
(Reason(label=b'...', cause=<Cause.KEY_CHANGED: 'has a new key'>, index=41, within=()),)

Nothing here is stored: it is worked out from the chains as they are now.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from enum import Enum

from ledger.format.statement import Role
from ledger.rules.membership import Entry, Membership, live_key
from ledger.rules.state import GroupState, ReadChain, UserState


class Cause(Enum):
    """What makes an entry a reason."""

    NOT_LIVE = "is gone: closed, reset, or no flat group"
    LEAVES = "asked to leave"
    KEY_CHANGED = "has a new key"
    STALE = "is a stale group"


@dataclass(frozen=True, slots=True)
class Reason:
    """The entry `label` makes its group stale.

    `index` is the leaf that brought a new key, `within` says why an entry's group is stale.
    """

    label: bytes
    cause: Cause
    index: int | None = None
    within: tuple[Reason, ...] = ()


Nested = Callable[[bytes], "tuple[Reason, ...] | None"]
"""Why the flat group of a label is stale; None if it is no flat group."""


def reasons(
    state: GroupState,
    membership: Membership,
    leaving: Collection[bytes],
    chains: ReadChain,
    nested: Nested,
) -> tuple[Reason, ...]:
    """Why the group of this state and membership is stale; empty if it is not (R-56.11).

    `leaving` are the labels of users whose wish to leave counts (R-56.12). `chains` and `nested`
    show everybody as they are now.
    """
    return tuple(
        reason
        for entry in membership.entries
        for reason in _of(entry, max(state.rotated, entry.joined), leaving, chains, nested)
    )


def _of(
    entry: Entry, base: int, leaving: Collection[bytes], chains: ReadChain, nested: Nested
) -> Iterator[Reason]:
    """What one entry has against it. Who is gone needs no other reason."""
    within = nested(entry.label) if entry.role == Role.GROUP else ()
    if live_key(entry, chains) is None or within is None:
        yield Reason(entry.label, Cause.NOT_LIVE)
        return
    index = _key_index(entry, chains)
    if index >= base:
        yield Reason(entry.label, Cause.KEY_CHANGED, index)
    if entry.label in leaving:
        yield Reason(entry.label, Cause.LEAVES)
    if within:
        yield Reason(entry.label, Cause.STALE, within=within)


def _key_index(entry: Entry, chains: ReadChain) -> int:
    """The leaf index of the block that brought the key of a live entry."""
    chain = chains(entry.label)
    assert chain
    state = chain.state
    if isinstance(state, UserState):
        return state.user_key_index
    assert isinstance(state, GroupState)
    return state.key_index
