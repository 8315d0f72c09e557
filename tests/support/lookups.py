"""Answers to lookups, honest ones and any that who holds the log's keys can make.

A `Teller` holds what it tells: the entries of a tree, and of each label its blocks and its state.
Directory, tree, proofs and signatures follow from that, so whoever changes what is told tells a lie
that is broken nowhere else.

>>> from tests.support.actors import LogActor
>>> founding = LogActor.make()
>>> teller = Teller.honest(founding.after, MemoryLog(founding.raw))
>>> teller.size
2
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256

from ledger.errors import MalformedInput
from ledger.format import block, entry
from ledger.format.block import LOG_LABEL
from ledger.format.bodies import ZERO_HASH
from ledger.format.checkpoint import Checkpoint
from ledger.format.identity import Opening
from ledger.format.keys import SigningKey
from ledger.format.lookup import Answer, Bundle, ChainPart, Link, LookupRequest, Mode, Query
from ledger.format.note import COSIGNATURE, Note, Signer, Verifier, cosign
from ledger.log.commit import Head
from ledger.rules.state import accumulate, chain_value
from ledger.tree import vrf
from ledger.tree.directory import Directory
from ledger.tree.directory_proof import Proof, prove
from ledger.tree.merkle import (
    Extension,
    Frontier,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
)
from tests.support.actors import LogActor, signing_key
from tests.support.memory import MemoryLog


@dataclass(frozen=True, slots=True)
class Auditor:
    """Somebody who cosigns."""

    name: str
    key: SigningKey

    @classmethod
    def make(cls, name: str) -> Auditor:
        return cls(name, signing_key("auditor", name))

    @property
    def verifier(self) -> Verifier:
        return Verifier(self.name, COSIGNATURE, self.key.public)


@dataclass(frozen=True, slots=True)
class Told:
    """What is told of a label. Length and accumulator are those of the links, or as told, and so is
    the digest that of the state.
    """

    links: tuple[Link, ...]
    state: bytes
    length_told: int | None = None
    accumulator_told: bytes | None = None
    digest_told: bytes | None = None

    @property
    def length(self) -> int:
        return len(self.links) if self.length_told is None else self.length_told

    @property
    def accumulator(self) -> bytes:
        if self.accumulator_told is not None:
            return self.accumulator_told
        accumulator = ZERO_HASH
        for link in self.links:
            accumulator = accumulate(accumulator, link.index, leaf_hash(link.entry))
        return accumulator

    @property
    def digest(self) -> bytes:
        return self.digest_told or sha256(self.state).digest()

    @property
    def value(self) -> bytes:
        return chain_value(self.length, self.accumulator, self.digest)


@dataclass
class Teller:
    """Who answers. `entries` are the tree's but for the last, which follows from what is `told`."""

    actor: LogActor
    entries: list[bytes]
    told: dict[bytes, Told]
    time: int
    openings: Mapping[bytes, Opening] = field(default_factory=dict)
    auditors: Sequence[Auditor] = ()
    last_told: bytes | None = None
    _records: dict[int, bytes] = field(default_factory=dict, init=False)

    @classmethod
    def honest(
        cls,
        actor: LogActor,
        log: MemoryLog,
        openings: Mapping[bytes, Opening] | None = None,
        auditors: Sequence[Auditor] = (),
    ) -> Teller:
        """What an honest log tells at its head."""
        told = {
            label: Told(
                tuple(Link(index, log.entries[index]) for index in log.blocks_of(label)),
                chain.encoded,
            )
            for label, chain in log.chains.items()
        }
        teller = cls(actor, log.entries[:-1], told, log.head.time, openings or {}, auditors)
        assert teller.last == log.entries[-1]
        return teller

    def lying(self, **changes: object) -> Teller:
        """The same, but for what is told otherwise."""
        fields = {
            "actor": self.actor,
            "entries": list(self.entries),
            "told": dict(self.told),
            "time": self.time,
            "openings": self.openings,
            "auditors": self.auditors,
            "last_told": self.last_told,
        }
        return Teller(**{**fields, **changes})  # type: ignore[arg-type]

    def telling(self, label: bytes, **changes: object) -> Teller:
        """The same, but another thing of one label."""
        told = replace(self.told[label], **changes)  # type: ignore[arg-type]
        return self.lying(told={**self.told, label: told})

    # --- the tree

    @property
    def last(self) -> bytes:
        return self.last_told or entry.directory_root(self.time, self.directory.root)

    @property
    def size(self) -> int:
        return len(self.entries) + 1

    @property
    def head(self) -> Head:
        return Head(self.size, self._extension.after.root(), self.time)

    @cached_property
    def directory(self) -> Directory:
        directory, nothing = Directory(), dict[int, bytes]()
        values = ((label, told.value) for label, told in self.told.items())
        update = directory.plan(values, nothing.__getitem__)
        directory.apply(update)
        self._records = update.writes
        return directory

    @cached_property
    def _extension(self) -> Extension:
        return Frontier().extend([leaf_hash(data) for data in (*self.entries, self.last)])

    def note(self) -> bytes:
        """The checkpoint, signed and cosigned."""
        return self.sign(self.head)

    def sign(self, head: Head) -> bytes:
        checkpoint = Checkpoint(self.actor.origin, head.size, head.root)
        text, signer = checkpoint.encode(), Signer(self.actor.origin, self.actor.log_key)
        cosigned = [cosign(text, one.name, one.key, self.time // 1000) for one in self.auditors]
        return Note(text, (signer.sign(text), *cosigned)).encode()

    def consistency(self, old: int) -> tuple[bytes, ...]:
        return tuple(consistency_proof(old, self.size, self._extension.read))

    def proof(self, label: bytes) -> Proof:
        directory = self.directory  # which fills the records
        path = directory.path(label, self._records.__getitem__)
        return prove(label, path, lambda other: self.told[other].value)

    # --- the answer

    def bundle(self, asked: LookupRequest) -> Bundle:
        """The answer, all queries in it."""
        replayed = asked.mode == Mode.REPLAY
        return Bundle(
            asked.mode,
            self.note(),
            None if asked.log_held else self.entries[0],
            self.last,
            tuple(inclusion_proof(self.size - 1, self.size, self._extension.read)),
            self.consistency(asked.old),
            self._part(LOG_LABEL, asked.log_held, replayed) if replayed else None,
            tuple(self._answer(query, replayed) for query in asked.queries),
        )

    def answer(self, asked: LookupRequest) -> bytes:
        return self.bundle(asked).encode()

    def _answer(self, query: Query, replayed: bool) -> Answer:
        label, proof = query.of, None
        if isinstance(label, str):
            proof = vrf.prove(self.actor.vrf_secret, label.encode())
            label = vrf.label(vrf.verify(self.actor.vrf_public, label.encode(), proof))
        told = self.told.get(label)
        opening = self.openings[label] if told and proof else None
        part = self._part(label, query.held, replayed)
        state = told.state if told and not replayed else None
        anchored = None
        if part.links:
            anchored = self.consistency(anchor_of(part.links[-1]))
        return Answer(label, proof, opening, part, state, anchored)

    def _part(self, label: bytes, held: int, replayed: bool) -> ChainPart:
        told = self.told.get(label)
        if told is None:
            return ChainPart(0, ZERO_HASH, ZERO_HASH, self.proof(label))
        links = told.links[held:] if replayed else ()
        return ChainPart(told.length, told.accumulator, told.digest, self.proof(label), links)


def anchor_of(link: Link) -> int:
    """The size of the anchor of a link's block, 0 if that is none."""
    try:
        return block.parse(entry.parse(link.entry).body).anchor.size
    except MalformedInput:
        return 0
