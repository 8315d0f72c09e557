"""Whoever holds evidence against a log, honest or lying: files of any kind, and what is in them.

An `Accuser` has all entries, and of each directory root what it tells (`Told`): by itself what a
careless reader makes of the entries before it, or what somebody who lies put there.

>>> from tests.support.actors import LogActor
>>> from tests.support.memory import MemoryLog
>>> founding = LogActor.make()
>>> accuser = Accuser(founding.after, MemoryLog(founding.raw).entries)
>>> accuser.file(Replayable(accuser.note(), accuser.leaf(1))).kind.name
'REPLAYABLE'
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

from ledger.errors import MalformedInput
from ledger.format import block as blocks
from ledger.format import entry as entries_
from ledger.format.block import LOG_LABEL, Block
from ledger.format.bodies import ZERO_HASH
from ledger.format.checkpoint import Checkpoint
from ledger.format.entry import BLOCK, Entry
from ledger.format.evidence import (
    Body,
    BrokenRule,
    Evidence,
    Fork,
    Leaf,
    Replayable,
    ShownChain,
    WrongAnchor,
    WrongChain,
    WrongDirectory,
    WrongEntry,
    WrongStatement,
    WrongTime,
)
from ledger.format.lookup import ChainPart, Link
from ledger.format.note import Note, Signer, cosign
from ledger.log.commit import Head
from ledger.rules.state import Chain
from ledger.tree.directory import Directory
from ledger.tree.directory_proof import Proof, prove
from ledger.tree.merkle import (
    Extension,
    Frontier,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root_of,
)
from tests.support.actors import LogActor
from tests.support.lookups import Auditor, Told
from tests.vectors import lenient


class Accuser:
    """`said`: what the directory roots at these leaves tell, where it isn't what follows."""

    def __init__(
        self,
        actor: LogActor,
        entries: Sequence[bytes],
        said: Mapping[int, Mapping[bytes, Told]] | None = None,
    ) -> None:
        self.actor = actor
        self.entries = list(entries)
        self.said = dict(said or {})

    # The tree.

    @property
    def size(self) -> int:
        return len(self.entries)

    @cached_property
    def tree(self) -> Extension:
        return Frontier().extend([leaf_hash(data) for data in self.entries])

    def root(self, size: int) -> bytes:
        return root_of([leaf_hash(data) for data in self.entries[:size]])

    def note(self, size: int | None = None, *auditors: Auditor, seconds: int = 0) -> bytes:
        """The checkpoint of a size, signed by the log's key, cosigned at a time."""
        size = size or self.size
        if not auditors:
            return self.actor.note(Head(size, self.root(size), 0))
        text = Checkpoint(self.actor.origin, size, self.root(size)).encode()
        own = Signer(self.actor.origin, self.actor.log_key).sign(text)
        cosigned = [cosign(text, one.name, one.key, seconds) for one in auditors]
        return Note(text, (own, *cosigned)).encode()

    def leaf(self, index: int, size: int | None = None) -> Leaf:
        proof = inclusion_proof(index, size or self.size, self.tree.read)
        return Leaf(index, self.entries[index], tuple(proof))

    def consistency(self, old: int, new: int | None = None) -> tuple[bytes, ...]:
        return tuple(consistency_proof(old, new or self.size, self.tree.read))

    def entry(self, index: int) -> Entry:
        return entries_.parse(self.entries[index])

    def block(self, index: int) -> Block:
        return blocks.parse(self.entry(index).body)

    # The directory.

    def told(self, at: int) -> Mapping[bytes, Told]:
        """What the directory root at a leaf tells of each label."""
        if at in self.said:
            return self.said[at]
        chains: dict[bytes, Chain] = {}
        links: dict[bytes, list[Link]] = {}
        for index, data in enumerate(self.entries[:at]):
            try:
                found = entries_.parse(data)
                block = blocks.parse(found.body)
            except MalformedInput:
                continue
            lenient.advance(chains, block, index, found.time, data)
            links.setdefault(block.label, []).append(Link(index, data))
        return {
            label: Told(tuple(links[label]), chain.encoded, accumulator_told=chain.accumulator)
            for label, chain in chains.items()
        }

    def shown(self, label: bytes, at: int, *, linked: bool = True) -> ShownChain:
        """What the directory root at a leaf shows of a label."""
        told = self.told(at)
        proof = _proof(label, told)
        mine = told.get(label)
        if mine is None:
            return ShownChain(label, ChainPart(0, ZERO_HASH, ZERO_HASH, proof))
        links = mine.links if linked else ()
        part = ChainPart(mine.length, mine.accumulator, mine.digest, proof, links)
        return ShownChain(label, part)

    def chains(self, at: int, *labels: bytes) -> tuple[ShownChain, ...]:
        """The log's chain and others."""
        return tuple(self.shown(label, at) for label in (LOG_LABEL, *labels))

    def last_root(self, index: int) -> int | None:
        """The leaf of the newest directory root before a leaf."""
        roots = (at for at in range(index) if self.entry(at).kind != BLOCK)
        return max(roots, default=None)

    # Files.

    def file(self, body: Body) -> Evidence:
        return Evidence(self.entries[0], body)

    def fork(self, older: bytes, size: int) -> Evidence:
        """Against a checkpoint of that size."""
        return self.file(Fork(older, self.note(), self.root(size), self.consistency(size)))

    def wrong_entry(self, index: int) -> Evidence:
        return self.file(WrongEntry(self.note(), self.leaf(index)))

    def broken_rule(self, index: int, *, chained: bool = True) -> Evidence:
        """The entry at a leaf, at its place; `chained` if it takes states to judge it."""
        before = self.last_root(index)
        chains: tuple[ShownChain, ...] = ()
        if before is not None and chained:
            label = self.block(index).label
            chains = self.chains(before, *[label] * (label != LOG_LABEL))
        start = 0 if before is None else before + 1
        return self.file(
            BrokenRule(
                self.note(),
                None if before is None else self.leaf(before, before + 1),
                chains,
                tuple(self.entries[start : index + 1]),
                self.consistency(index + 1),
            )
        )

    def wrong_chain(self, at: int, *labels: bytes) -> Evidence:
        return self.file(WrongChain(self.note(), self.leaf(at), self.chains(at, *labels)))

    def wrong_directory(self, at: int, label: bytes, other: int | None) -> Evidence:
        """What the root tells of a label, against what stands at a leaf."""
        told = self.told(at).get(label)
        leaves = [(link.index, leaf_hash(link.entry)) for link in told.links] if told else []
        shown = self.shown(label, at, linked=False)
        there = None if other is None else self.leaf(other)
        body = WrongDirectory(self.note(), self.leaf(at), shown, tuple(leaves), there)
        return self.file(body)

    def wrong_anchor(self, index: int, *, root: bool = False, end: bool = False) -> Evidence:
        """The anchor of a block against the tree's own root, or its last leaf, or by itself."""
        size = self.block(index).anchor.size
        note, leaf = self.note(), self.leaf(index)
        if root:
            body = WrongAnchor(note, leaf, self.root(size), self.consistency(size))
        else:
            body = WrongAnchor(note, leaf, end=self.leaf(size - 1) if end else None)
        return self.file(body)

    def wrong_time(self, index: int, later: int | None = None, note: bytes = b"") -> Evidence:
        behind = None if later is None else self.leaf(later)
        return self.file(WrongTime(note or self.note(), self.leaf(index), behind))

    def wrong_statement(
        self, at: int, group: bytes, authors: Iterable[bytes], statements: Sequence[bytes]
    ) -> Evidence:
        chains = self.chains(at, group, *sorted(authors))
        return self.file(WrongStatement(self.note(), self.leaf(at), chains, tuple(statements)))

    def replayable(self, at: int) -> Evidence:
        return self.file(Replayable(self.note(), self.leaf(at)))


def directory_of(told: Mapping[bytes, Told]) -> bytes:
    """The root of a directory that tells this."""
    return _planned(told)[0].root


def _planned(told: Mapping[bytes, Told]) -> tuple[Directory, dict[int, bytes]]:
    directory, nothing = Directory(), dict[int, bytes]()
    values = [(label, one.value) for label, one in told.items()]
    update = directory.plan(values, nothing.__getitem__)
    directory.apply(update)
    return directory, update.writes


def _proof(label: bytes, told: Mapping[bytes, Told]) -> Proof:
    directory, records = _planned(told)
    path = directory.path(label, records.__getitem__)
    return prove(label, path, lambda other: told[other].value)
