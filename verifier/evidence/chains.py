"""Lies that take a replay of chains: an entry at its place, a chain shown, a statement.

A directory root shows chains whole, so what they resolve to is the log's word. Links that it does
not bind are the finder's, and prove nothing.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from verifier import groups, shown
from verifier.blocks import ZERO, Block, Entry, open_block, open_entry, parse_block
from verifier.errors import Invalid, Malformed
from verifier.evidence.ground import Finding, Log, proven, require_root, required
from verifier.evidence.parse import MAX_BATCH, Batch, Chains, Leaf, Said, Shown
from verifier.groups import Membership, Scene, Statement
from verifier.keys import Check, run_check
from verifier.merkle import Frontier, check_consistency, leaf_hash
from verifier.shown import Link, Step
from verifier.states import Chain, GroupState, LogState, State

Steps = Sequence[Step]


class Root(NamedTuple):
    """A directory root, where it stands and of which time."""

    at: int
    time: int
    root: bytes


# A chain that a directory root shows.


def chain(body: Chains, log: Log) -> Finding:
    """R-80.6."""
    entry = log.tree(body.note).directory(body.leaf)
    root = Root(body.leaf.at, entry.time, entry.content)
    labels = [one.label for one in body.chains]
    if labels != [ZERO, *labels[1:2]] or labels[1:] == [ZERO]:
        raise Malformed("R-80.6", "not the log's chain and one other")
    for one in body.chains:
        with required("R-80.6"):
            shown.check_held(one.part, one.label, root.root)
            shown.check_bound(one.part)
    *before, accused = body.chains
    own = _replayed(before[0], log, root, (), "R-80.6") if before else []
    what = f"by the directory root at leaf {root.at}, {_name(accused.label)}"
    if not accused.part.length:
        if accused.label == ZERO:
            return proven("R-30.7", f"{what} has no blocks")
        raise Malformed("R-80.6", "a chain that is absent breaks no rule")
    try:
        _replay(accused, log, root, own)
    except Invalid as error:
        return proven(error.rule, f"{what} is none that may be: {error.why}")
    raise Malformed("R-80.6", "the chain breaks no rule and leads to the state shown")


def _replayed(one: Shown, log: Log, root: Root, own: Steps, rule: str) -> list[Step]:
    """What a chain's blocks did, all of which has to be in order; the log's own is there."""
    with required(rule):
        shown.check_held(one.part, one.label, root.root)
        shown.check_bound(one.part)
        if one.label == ZERO and not one.part.length:
            raise Malformed("R-30.7", "the log's own chain is absent")
        return _replay(one, log, root, own)


def _replay(one: Shown, log: Log, root: Root, own: Steps) -> list[Step]:
    shown.check_places(one.part, root.at + 1)
    steps = shown.replay(one.part, one.label, log.id, root.time, own)
    shown.check_digest(one.part, steps)
    return steps


# An entry at its place.


def rule(body: Batch, log: Log) -> Finding:
    """R-80.5."""
    root = _before(body.before)
    _require_place(body, log)
    entries = _opened(body)
    accused, index = entries[-1], root.at + len(entries)
    broken = _breaks_batch(entries, root)
    if broken is not None:
        if body.chains:
            raise Malformed("R-80.5", "chains are given that this takes no look at")
        return proven(broken, f"leaf {index} can't follow the leaves before it in its batch")
    if accused.kind != 0:
        raise Malformed("R-80.5", f"the directory root at leaf {index} breaks no rule by its place")
    with required("R-80.5"):
        block = open_block(accused.content, log.id)
    chains = _chains_before(body, block.label, root, log)
    with required("R-80.5"):
        _apply_batch(chains, body.entries[:-1], root.at + 1, log)
    try:
        _follow(chains, block.label, Link(index, body.entries[-1]), log)
    except Invalid as error:
        return proven(error.rule, f"the block at leaf {index} may not stand there: {error.why}")
    raise Malformed("R-80.5", f"the block at leaf {index} breaks no rule")


def _before(leaf: Leaf | None) -> Root:
    """The directory root that the batch follows; at -1 there is none."""
    if leaf is None:
        return Root(-1, 0, ZERO)
    with required("R-80.2"):
        entry = open_entry(leaf.entry)
    require_root(leaf, entry)
    return Root(leaf.at, entry.time, entry.content)


def _require_place(body: Batch, log: Log) -> None:
    """The entries follow `before`, and their tree is the beginning of the note's (R-20.4)."""
    newest = log.tree(body.note).checkpoint
    frontier, size, before = Frontier(), 0, body.before
    if before is not None:
        with required("R-80.2"):
            hash_ = leaf_hash(before.entry)
            frontier = Frontier.behind(hash_, before.at, before.inclusion)
        size = before.at + 1
    elif body.entries[0] != log.first or len(body.entries) < 2:
        raise Malformed("R-80.5", "without what stands before, the first leaf is entry 0")
    for entry in body.entries:
        frontier.push(leaf_hash(entry))
    size += len(body.entries)
    with required("R-80.5"):
        check_consistency(size, newest.size, frontier.root(), newest.root, body.consistency)


def _opened(body: Batch) -> list[Entry]:
    """The entries of the batch, where all but the last are blocks of one time."""
    with required("R-80.2"):
        entries = [open_entry(data) for data in body.entries]
    least = 0 if body.before is None else open_entry(body.before.entry).time
    others = entries[:-1]
    if any(one.kind != 0 or one.time != others[0].time or one.time < least for one in others):
        raise Malformed("R-80.5", "what stands before the last entry is no batch of one time")
    return entries


def _breaks_batch(entries: Sequence[Entry], root: Root) -> str | None:
    """The rule of batches that the last entry breaks, if it does."""
    *others, accused = entries
    if accused.time != others[0].time if others else accused.time < root.time:
        return "R-42.3"
    return "R-42.2" if accused.kind == 0 and len(others) >= MAX_BATCH else None


def _chains_before(body: Batch, label: bytes, root: Root, log: Log) -> dict[bytes, Chain | None]:
    """The chains of the log and of a label as they are before the batch."""
    labels = [] if body.before is None else list(dict.fromkeys([ZERO, label]))
    if [one.label for one in body.chains] != labels:
        raise Malformed("R-80.5", "not the chains of the log and of the block's label")
    chains: dict[bytes, Chain | None] = {ZERO: None, label: None}
    own: Steps = []
    for one in body.chains:
        steps = _replayed(one, log, root, own, "R-80.5")
        own = own or steps
        chains[one.label] = steps[-1].chain if steps else None
    return chains


def _apply_batch(
    chains: dict[bytes, Chain | None], entries: Sequence[bytes], start: int, log: Log
) -> None:
    """What the blocks of the batch do to these chains; the others are of no matter."""
    for index, data in enumerate(entries, start):
        label = Block._make(parse_block(open_entry(data).content, log.id)[0]).label
        if label in chains:
            chains[label] = _follow(chains, label, Link(index, data), log)


def _follow(chains: Mapping[bytes, Chain | None], label: bytes, link: Link, log: Log) -> Chain:
    own = chains[ZERO]
    return shown.follow(chains[label], label, link, log.id, _log_state(own and own.state)).chain


# A statement of a group.


def statement(body: Said, log: Log) -> Finding:
    """R-80.10."""
    entry = log.tree(body.note).directory(body.leaf)
    root = Root(body.leaf.at, entry.time, entry.content)
    court = _Court(log, _shown_steps(body.chains, log, root), body.chains[1].label)
    *before, accused = body.statements
    membership = None
    authors: set[bytes] = set()
    for at, data in enumerate(before):
        authors |= court.author(at, data)
        with required("R-80.10"):
            membership = court.apply(at, membership, data)
    at = len(before)
    court.require_authors(authors | court.author(at, accused))
    what = f"the statement of the block at leaf {court.group[at].leaf_index}"
    try:
        court.apply(at, membership, accused)
    except Invalid as error:
        return proven(error.rule, f"{what} is against the group's rules: {error.why}")
    raise Malformed("R-80.10", f"{what} breaks no rule")


def _shown_steps(chains: Sequence[Shown], log: Log, root: Root) -> dict[bytes, list[Step]]:
    """What the blocks of all chains did: the log's, a group's, and then users', ascending."""
    labels = [one.label for one in chains]
    others = labels[2:]
    if len(labels) < 2 or labels[0] != ZERO or others != sorted(set(others) - {*labels[:2]}):
        raise Malformed("R-80.10", "not the log's chain, the group's and its authors', in order")
    steps: dict[bytes, list[Step]] = {}
    for one in chains:
        steps[one.label] = _replayed(one, log, root, steps.get(ZERO, []), "R-80.10")
    return steps


class _Court:
    """A group's blocks and what is known of those who signed its statements."""

    def __init__(self, log: Log, steps: Mapping[bytes, list[Step]], label: bytes) -> None:
        self.log = log
        self.steps = steps
        self.group = steps[label]
        self.label = label
        if not self.group or not isinstance(self.group[-1].chain.state, GroupState):
            raise Malformed("R-80.10", "the second chain is no group's")

    def author(self, at: int, data: bytes) -> set[bytes]:
        """Who says to have made the statement of the group's block number `at`, if it can be read.

        It is the one that the block commits to (R-56.2).
        """
        if at >= len(self.group):
            raise Malformed("R-80.10", "more statements than the group has blocks")
        try:
            return {self._open(at, data)[0].author}
        except Invalid as error:
            if error.rule == "R-56.2":
                raise Malformed("R-80.10", str(error)) from error
            return set()

    def apply(self, at: int, before: Membership | None, data: bytes) -> Membership:
        """R-56.1, R-56.3 to R-56.9."""
        told, checks = self._open(at, data)
        for check in checks:
            run_check(check)
        step = self.group[at]
        own = _log_state(self._state(ZERO, step.leaf_index))
        assert own is not None
        scene = Scene(step.before, self._state(told.author, step.leaf_index), own.limits.members)
        return groups.apply(before, step.block, told, scene)

    def require_authors(self, authors: set[bytes]) -> None:
        """Their chains are there, and no others."""
        if authors - {ZERO, self.label} != self.steps.keys() - {ZERO, self.label}:
            raise Malformed("R-80.10", "the chains are not those of the statements' authors")

    def _open(self, at: int, data: bytes) -> tuple[Statement, list[Check]]:
        return groups.open_statement(data, self.group[at].block.body[0], self.log.id)

    def _state(self, label: bytes, index: int) -> State | None:
        """A chain's state just before a leaf."""
        steps = self.steps.get(label, [])
        count = bisect_left(steps, index, key=lambda step: step.leaf_index)
        return steps[count - 1].chain.state if count else None


def _log_state(state: State | None) -> LogState | None:
    assert state is None or isinstance(state, LogState)
    return state


def _name(label: bytes) -> str:
    return "the log's own chain" if label == ZERO else f"the chain of {label.hex()[:16]}…"
