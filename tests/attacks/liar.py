"""A malicious log: the true one as far as it went, all of its keys, and no rule that binds it.

Whoever runs a log can append any entry, close a batch with any directory root, give entries any
time, sign any tree, and show each caller another one. `Liar` does all of that, and is careful
beside: what follows from a lie (chains, directory, proofs, signatures) follows as the ledger's own
code computes it, so that each lie is broken in one place only.

>>> from tests.vectors.world import World
>>> world = World()
>>> liar = Liar.of(world)
>>> liar.note() == world.actor.note(world.log.head)
True
>>> other = liar.twin()
>>> other.admit()
>>> (len(other.entries), len(liar.entries))
(3, 2)
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from ledger.errors import MalformedInput
from ledger.format import block as blocks
from ledger.format import entry
from ledger.format.block import Anchor
from ledger.format.identity import Opening
from ledger.format.lookup import Link
from ledger.format.note import Note, NoteSignature, parse_note
from ledger.log.commit import Head
from ledger.rules.state import Chain
from ledger.tree.merkle import Extension, Frontier, leaf_hash
from tests.support.actors import LogActor, Written
from tests.support.lookups import Teller, Told
from tests.support.memory import MemoryLog
from tests.support.naive import directory_root
from tests.vectors import lenient
from tests.vectors.world import World


@dataclass
class Liar:
    """A log that lies. `claims` are what its directory says of labels in place of the truth.

    A label that is `forgotten` is not in the directory at all. `beside` are statements of groups,
    by leaf index, `handed` likewise recipients and boxes.
    """

    actor: LogActor
    entries: list[bytes]
    chains: dict[bytes, Chain]
    links: dict[bytes, tuple[Link, ...]]
    time: int
    openings: dict[bytes, Opening]
    beside: dict[int, bytes]
    handed: dict[int, list[tuple[bytes, bytes]]] = field(default_factory=dict)
    claims: dict[bytes, Told] = field(default_factory=dict)
    forgotten: set[bytes] = field(default_factory=set)
    cosignatures: list[NoteSignature] = field(default_factory=list)

    @classmethod
    def of(cls, world: World, log: MemoryLog | None = None) -> Liar:
        """The operator of the log of `world`, who has said nothing wrong yet.

        `log` is that log at an earlier time.
        """
        log = log or world.log
        links = {
            label: tuple(Link(index, log.entries[index]) for index in log.blocks_of(label))
            for label in log.chains
        }
        openings = {user.label: user.opening for user in world.users}
        chains, beside = dict(log.chains), dict(world.statements)
        return cls(world.actor, list(log.entries), chains, links, log.head.time, openings, beside)

    def twin(self) -> Liar:
        """The same, to be led another way: a fork."""
        return replace(
            self,
            entries=list(self.entries),
            chains=dict(self.chains),
            links=dict(self.links),
            openings=dict(self.openings),
            beside=dict(self.beside),
            handed=dict(self.handed),
            claims=dict(self.claims),
            forgotten=set(self.forgotten),
            cosignatures=list(self.cosignatures),
        )

    # --- writing, without rules

    @property
    def anchor(self) -> Anchor:
        """What an author who has just synced anchors in."""
        return Anchor(len(self.entries), self.root(len(self.entries)))

    def admit(
        self, *given: bytes | Written[Any], time: int | None = None, root: bytes | None = None
    ) -> None:
        """A batch of these blocks, right or wrong, a second later, and any directory root."""
        self.write(*given, time=time)
        self.close(root)

    def write(self, *given: bytes | Written[Any], time: int | None = None) -> None:
        """Blocks, for a batch that is still open."""
        self.time = self.time + 1_000 if time is None else time
        for one in given:
            raw = one if isinstance(one, bytes) else one.raw
            self.append(entry.block(self.time, raw))
            if isinstance(one, Written) and one.statement:
                self.beside[len(self.entries) - 1] = one.statement
            if isinstance(one, Written) and one.opening:
                self.openings[one.block.label] = one.opening

    def append(self, data: bytes) -> None:
        """Any entry. A block does to its chain what it does where nobody asks for rules."""
        self.cosignatures.clear()
        index = len(self.entries)
        self.entries.append(data)
        try:
            item = entry.parse(data)
            block = blocks.parse(item.body)
        except MalformedInput:
            return
        before = self.chains.get(block.label)
        lenient.advance(self.chains, block, index, item.time, data)
        if self.chains.get(block.label) != before:
            known = self.links.get(block.label, ())
            self.links[block.label] = (*known, Link(index, data))

    def close(self, root: bytes | None = None) -> None:
        """End the batch with the directory's root, or with any other."""
        self.cosignatures.clear()
        if root is None:
            root = directory_root({label: one.value for label, one in self.told.items()})
        self.entries.append(entry.directory_root(self.time, root))

    def claim(self, label: bytes, **changes: object) -> None:
        """From now on, the directory says something else of `label`: see `Told`."""
        self.claims[label] = replace(self.told[label], **changes)  # type: ignore[arg-type]

    def forget(self, label: bytes) -> None:
        """From now on, the directory has not got `label`."""
        self.forgotten.add(label)

    @property
    def told(self) -> dict[bytes, Told]:
        """What the directory says of each label."""
        true = {label: Told(self.links[label], c.encoded) for label, c in self.chains.items()}
        told = true | self.claims
        return {label: one for label, one in told.items() if label not in self.forgotten}

    # --- signing and answering

    def tree(self, size: int | None = None) -> Extension:
        """The tree of the first `size` entries."""
        return Frontier().extend([leaf_hash(data) for data in self.entries[:size]])

    def root(self, size: int) -> bytes:
        return self.tree(size).after.root()

    def note(self) -> bytes:
        """The signed checkpoint, with what cosignatures it got."""
        size = len(self.entries)
        signed = parse_note(self.actor.note(Head(size, self.root(size), self.time)))
        return Note(signed.text, (*signed.signatures, *self.cosignatures)).encode()

    @property
    def teller(self) -> Teller:
        """Who answers lookups: its directory is what was claimed, whatever the entries are."""
        last = self.entries[-1]
        return Teller(
            self.actor,
            self.entries[:-1],
            self.told,
            self.time,
            self.openings,
            last_told=last,
        )
