"""A log as it shows itself to somebody whom nobody there knows yet. Pure.

Who has no device is answered no lookups, and needs no more than a tree to anchor their first block
in: the newest checkpoint, with the first entry and the last one under it.

>>> view = greeted(greeting, LogView(log_id), policy, now)       # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ledger.client import verify as replays
from ledger.client.lookups.pins import LogView
from ledger.client.policy import Policy
from ledger.errors import LogMisbehaved, MalformedInput
from ledger.format import entry
from ledger.log.commit import Head
from ledger.tree.merkle import leaf_hash, verify_consistency, verify_inclusion


@dataclass(frozen=True, slots=True)
class Shown:
    """An entry, and the path that shows it at its leaf."""

    entry: bytes
    path: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Greeting:
    """A checkpoint, entry 0 and the last one under it, and how it goes on from the one held."""

    note: bytes
    first: Shown
    last: Shown
    consistency: Sequence[bytes]


def greeted(greeting: Greeting, view: LogView, policy: Policy, now: int) -> LogView:
    """What is held of the log from now on, at `now` (ms): R-61, R-62.8, R-62.9.

    Raises `LogMisbehaved`, `NotFresh`, `NotCosigned`, `UnusablePolicy`.
    """
    log = replays.first_block(greeting.first.entry, view.log_id)
    policy.check(log)
    claim = replays.signed_claim(greeting.note, log, policy, now)
    claim = replays.against(claim, Head(view.size, view.root), view.note)
    size, root, time = claim.size, claim.root, 0
    try:
        verify_consistency(view.size, size, greeting.consistency, view.root, root)
        for index, shown in ((0, greeting.first), (size - 1, greeting.last)):
            verify_inclusion(leaf_hash(shown.entry), index, size, shown.path, root)
        time = _time_of_root(greeting.last.entry, view)
    except MalformedInput as error:
        raise LogMisbehaved(error.rule, error.detail, claim.evidence) from error
    quorum_time = policy.quorum_time(claim.cosigned, log)
    head = Head(size, root, time)
    replays.check_not_ahead(head, now, claim.note, quorum_time)
    replays.check_age(head, now, policy.max_age_for(log), claim.note, quorum_time)
    first = greeting.first.entry
    return replace(view, first=first, note=claim.note, size=size, root=root, time=time)


def _time_of_root(data: bytes, view: LogView) -> int:
    """R-61.4, R-42.3: the time of the directory root that the tree ends with."""
    last = entry.parse(data)
    if last.kind != entry.DIRECTORY_ROOT:
        raise MalformedInput("R-61.4", "the tree does not end with a directory root")
    if last.time < view.time:
        raise MalformedInput("R-42.3", f"time goes back from {view.time} to {last.time}")
    return last.time
