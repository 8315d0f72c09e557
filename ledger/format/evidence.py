"""Evidence that a log lied, as bytes (specs/80-evidence): who reads one needs nothing else.

    evidence    = [1, kind, first, body]
    leaf        = [index, entry, inclusion]
    shown-chain = [label, length, accumulator, digest, directory-proof, [* [leaf index, entry]]]

| kind | body |
| --- | --- |
| `Fork` | [older, newer, root, consistency] |
| `WrongEntry`, `Replayable` | [note, leaf] |
| `BrokenRule` | [note, before, [* chain], [+ entry], consistency] |
| `WrongChain` | [note, leaf, [+ chain]] |
| `WrongDirectory` | [note, leaf, chain, [* [index, leaf hash]], leaf / null] |
| `WrongAnchor` | [note, leaf, root / null, consistency, leaf / null] |
| `WrongTime` | [note, leaf, leaf / null] |
| `WrongStatement` | [note, leaf, [+ chain], [+ statement]] |

Whoever meets a lie writes a file from what they hold. Decoding takes exactly these shapes; what a
file proves, the verifier says (`keyroll-verifier check-evidence`).

>>> note, leaf = b"a checkpoint", Leaf(3, b"an entry", (bytes(32),))
>>> found = Evidence(b"entry 0", WrongEntry(note, leaf))
>>> found.kind.name, Evidence.decode(found.encode()) == found
('ENTRY', True)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Self, TypeAlias

from ledger.errors import MalformedInput
from ledger.format.bodies import HASH_BYTES
from ledger.format.cbor import Value, array, blob, bstr, decode, encode, items, uint
from ledger.format.entry import MAX_ENTRY_BYTES
from ledger.format.lookup import ChainPart
from ledger.format.note import MAX_NOTE_BYTES
from ledger.format.wire import proof_hashes

MAX_EVIDENCE_BYTES = 16 * 1_048_576
MAX_ENTRIES = 4_097
"""Of one batch: the largest, and the block that is one too many (R-42.2)."""

VERSION = 1

_MAX_INDEX = 2**63 - 1
_MANY = MAX_EVIDENCE_BYTES
"""Of chains, leaves and statements: only the size of the file bounds them."""

Proof: TypeAlias = tuple[bytes, ...]


class Kind(IntEnum):
    """What a file proves of the log."""

    FORK = 0
    ENTRY = 1
    RULE = 2
    CHAIN = 3
    DIRECTORY = 4
    ANCHOR = 5
    TIME = 6
    STATEMENT = 7
    REPLAYABLE = 8


@dataclass(frozen=True, slots=True)
class Leaf:
    """An entry and the proof that it stands at `index`; as `before` of a rule, of that size + 1."""

    index: int
    entry: bytes
    inclusion: Proof

    @classmethod
    def parse(cls, value: Value) -> Leaf:
        f = array(value, 3, "leaf")
        index = uint(f[0], "index", _MAX_INDEX)
        return cls(index, blob(f[1], MAX_ENTRY_BYTES, "entry"), proof_hashes(f[2]))

    def to_value(self) -> Value:
        return [self.index, self.entry, [*self.inclusion]]


@dataclass(frozen=True, slots=True)
class ShownChain:
    """What a directory root shows of a label, with all its blocks where the kind asks for them."""

    label: bytes
    part: ChainPart

    @classmethod
    def parse(cls, value: Value) -> ShownChain:
        f = array(value, 6, "shown-chain")
        return cls(bstr(f[0], HASH_BYTES, "label"), ChainPart.parse(f[1:]))

    def to_value(self) -> Value:
        part = self.part.to_value()
        assert isinstance(part, list)
        return [self.label, *part]


@dataclass(frozen=True, slots=True)
class Fork:
    """Two checkpoints that can't both be true: `consistency` leads from `root` at the size of the
    older, the smaller, to the newer one, and `root` is not the older's (R-80.3).
    """

    kind: ClassVar[Kind] = Kind.FORK
    older: bytes
    newer: bytes
    root: bytes
    consistency: Proof = ()

    @classmethod
    def parse(cls, value: Value) -> Self:
        f = array(value, 4, "fork")
        notes = _note(f[0]), _note(f[1])
        return cls(*notes, bstr(f[2], HASH_BYTES, "root"), proof_hashes(f[3]))

    def to_value(self) -> Value:
        return [self.older, self.newer, self.root, [*self.consistency]]


@dataclass(frozen=True, slots=True)
class _OneLeaf:
    kind: ClassVar[Kind]
    note: bytes
    leaf: Leaf

    @classmethod
    def parse(cls, value: Value) -> Self:
        f = array(value, 2, "evidence about one leaf")
        return cls(_note(f[0]), Leaf.parse(f[1]))

    def to_value(self) -> Value:
        return [self.note, self.leaf.to_value()]


@dataclass(frozen=True, slots=True)
class WrongEntry(_OneLeaf):
    """An entry that is wrong wherever it stands, or a block as a tree's last leaf (R-80.4)."""

    kind: ClassVar[Kind] = Kind.ENTRY


@dataclass(frozen=True, slots=True)
class BrokenRule:
    """The last of `entries` breaks a rule at its place (R-80.5).

    `before` ends the batch before (None: there is none), in the tree that ends with it; the
    entries follow it. `chains`, the log's and the block's, are as `before` shows them.
    """

    kind: ClassVar[Kind] = Kind.RULE
    note: bytes
    before: Leaf | None
    chains: tuple[ShownChain, ...]
    entries: tuple[bytes, ...]
    consistency: Proof

    @classmethod
    def parse(cls, value: Value) -> Self:
        f = array(value, 5, "evidence about a rule")
        entries = items(f[3], 1, MAX_ENTRIES, "entries")
        return cls(
            _note(f[0]),
            _optional_leaf(f[1]),
            _chains(f[2], 0),
            tuple(blob(entry, MAX_ENTRY_BYTES, "entry") for entry in entries),
            proof_hashes(f[4]),
        )

    def to_value(self) -> Value:
        before = _leaf_value(self.before)
        chains = [chain.to_value() for chain in self.chains]
        return [self.note, before, chains, [*self.entries], [*self.consistency]]


@dataclass(frozen=True, slots=True)
class WrongChain:
    """A chain under the directory root `leaf` breaks a rule, or leads to another state (R-80.6).

    `chains` are the log's and that of another label, or the log's alone, with all their links.
    """

    kind: ClassVar[Kind] = Kind.CHAIN
    note: bytes
    leaf: Leaf
    chains: tuple[ShownChain, ...]

    @classmethod
    def parse(cls, value: Value) -> Self:
        f = array(value, 3, "evidence about a chain")
        return cls(_note(f[0]), Leaf.parse(f[1]), _chains(f[2], 1))

    def to_value(self) -> Value:
        return [self.note, self.leaf.to_value(), [chain.to_value() for chain in self.chains]]


@dataclass(frozen=True, slots=True)
class WrongDirectory:
    """The directory root `leaf` hides or misstates `other`, or shows an impossible list (R-80.7).

    `blocks` are leaf index and leaf hash of each block that its accumulator for the chain holds.
    """

    kind: ClassVar[Kind] = Kind.DIRECTORY
    note: bytes
    leaf: Leaf
    chain: ShownChain
    blocks: tuple[tuple[int, bytes], ...]
    other: Leaf | None

    @classmethod
    def parse(cls, value: Value) -> Self:
        f = array(value, 5, "evidence about a directory root")
        blocks = items(f[3], 0, _MANY, "blocks")
        return cls(
            _note(f[0]),
            Leaf.parse(f[1]),
            ShownChain.parse(f[2]),
            tuple(map(_listed, blocks)),
            _optional_leaf(f[4]),
        )

    def to_value(self) -> Value:
        blocks: list[Value] = [[index, leaf] for index, leaf in self.blocks]
        other = _leaf_value(self.other)
        return [self.note, self.leaf.to_value(), self.chain.to_value(), blocks, other]


@dataclass(frozen=True, slots=True)
class WrongAnchor:
    """The anchor inside a block contradicts the tree (R-80.8).

    By its size alone; or by `root`, which the tree has there, with `consistency`; or by `end`, the
    leaf that its tree ends with.
    """

    kind: ClassVar[Kind] = Kind.ANCHOR
    note: bytes
    leaf: Leaf
    root: bytes | None = None
    consistency: Proof = ()
    end: Leaf | None = None

    @classmethod
    def parse(cls, value: Value) -> Self:
        f = array(value, 5, "evidence about an anchor")
        root = None if f[2] is None else bstr(f[2], HASH_BYTES, "root")
        proof, end = proof_hashes(f[3]), _optional_leaf(f[4])
        return cls(_note(f[0]), Leaf.parse(f[1]), root, proof, end)

    def to_value(self) -> Value:
        end = _leaf_value(self.end)
        return [self.note, self.leaf.to_value(), self.root, [*self.consistency], end]


@dataclass(frozen=True, slots=True)
class WrongTime:
    """`leaf` stands before `later` and has a later time; or is ahead of a quorum (R-80.9)."""

    kind: ClassVar[Kind] = Kind.TIME
    note: bytes
    leaf: Leaf
    later: Leaf | None = None

    @classmethod
    def parse(cls, value: Value) -> Self:
        f = array(value, 3, "evidence about times")
        return cls(_note(f[0]), Leaf.parse(f[1]), _optional_leaf(f[2]))

    def to_value(self) -> Value:
        return [self.note, self.leaf.to_value(), _leaf_value(self.later)]


@dataclass(frozen=True, slots=True)
class WrongStatement:
    """The last of `statements`, a group's from its first on, breaks a rule (R-80.10).

    `chains` are the log's, the group's, and that of each author of a statement, under the directory
    root `leaf`, with all their links.
    """

    kind: ClassVar[Kind] = Kind.STATEMENT
    note: bytes
    leaf: Leaf
    chains: tuple[ShownChain, ...]
    statements: tuple[bytes, ...]

    @classmethod
    def parse(cls, value: Value) -> Self:
        f = array(value, 4, "evidence about a statement")
        statements = items(f[3], 1, _MANY, "statements")
        return cls(
            _note(f[0]),
            Leaf.parse(f[1]),
            _chains(f[2], 1),
            tuple(blob(one, MAX_EVIDENCE_BYTES, "statement") for one in statements),
        )

    def to_value(self) -> Value:
        chains = [chain.to_value() for chain in self.chains]
        return [self.note, self.leaf.to_value(), chains, [*self.statements]]


@dataclass(frozen=True, slots=True)
class Replayable(_OneLeaf):
    """Nothing by itself: who replays the log finds that `leaf` does not follow (R-80.11)."""

    kind: ClassVar[Kind] = Kind.REPLAYABLE


Body: TypeAlias = (
    Fork
    | WrongEntry
    | BrokenRule
    | WrongChain
    | WrongDirectory
    | WrongAnchor
    | WrongTime
    | WrongStatement
    | Replayable
)

BODIES: Mapping[int, type[Body]] = {
    body.kind: body
    for body in (
        *(Fork, WrongEntry, BrokenRule, WrongChain, WrongDirectory),
        *(WrongAnchor, WrongTime, WrongStatement, Replayable),
    )
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """An evidence file: `first` is entry 0 of the log, whose block names it."""

    first: bytes
    body: Body

    @property
    def kind(self) -> Kind:
        return self.body.kind

    @classmethod
    def decode(cls, data: bytes) -> Evidence:
        """The evidence that these bytes spell, or `MalformedInput` (R-10, R-80.1)."""
        f = array(decode(data, MAX_EVIDENCE_BYTES), 4, "evidence")
        if uint(f[0], "version") != VERSION:
            raise MalformedInput("R-80.1", "this version of evidence is unknown")
        body = BODIES[uint(f[1], "kind", max(Kind))]
        return cls(blob(f[2], MAX_ENTRY_BYTES, "first entry"), body.parse(f[3]))

    def encode(self) -> bytes:
        """Raises `MalformedInput` (R-80.1) where it would be longer than a file may be."""
        data = encode([VERSION, int(self.kind), self.first, self.body.to_value()])
        if len(data) > MAX_EVIDENCE_BYTES:
            raise MalformedInput("R-80.1", f"evidence of {len(data)} bytes")
        return data


def _note(value: Value) -> bytes:
    return blob(value, MAX_NOTE_BYTES, "note")


def _optional_leaf(value: Value) -> Leaf | None:
    return None if value is None else Leaf.parse(value)


def _leaf_value(leaf: Leaf | None) -> Value:
    return leaf.to_value() if leaf else None


def _chains(value: Value, least: int) -> tuple[ShownChain, ...]:
    return tuple(map(ShownChain.parse, items(value, least, _MANY, "chains")))


def _listed(value: Value) -> tuple[int, bytes]:
    f = array(value, 2, "place of a block")
    return uint(f[0], "index", _MAX_INDEX), bstr(f[1], HASH_BYTES, "leaf hash")
