"""The shape of an evidence file (specs/80-evidence, keyroll.cddl).

evidence = parse(data)          # or Malformed R-80.1
evidence.kind, evidence.body    # FORK, and its `Fork`; see `BODIES`
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from verifier import prefix, shown
from verifier.blocks import MAX_ENTRY, SIZE
from verifier.cbor import Either, Many, Shape, read
from verifier.errors import Invalid, Malformed
from verifier.shown import Part

MAX_EVIDENCE = 1 << 24
MAX_BATCH = 4_096
MANY = range(1 << 16)  # more would not fit into a file

FORK, ENTRY, RULE, CHAIN, DIRECTORY, ANCHOR, TIME, STATEMENT, REPLAYABLE = range(9)
NAMES = (
    *("fork", "entry", "rule", "chain", "directory", "anchor", "time", "statement"),
    "replayable",
)

PROOF: Shape = Many(32, range(65))
LEAF: Shape = (SIZE, bytes, PROOF)
IN_DIRECTORY: Shape = Either(tuple(prefix.SHAPES))
SHOWN: Shape = (32, range(2**32 + 1), 32, 32, IN_DIRECTORY, shown.LINKS)
SHOWN_MANY: Shape = Many(SHOWN, range(1, MANY.stop))
MAYBE_LEAF: Shape = Either((None, LEAF))
SHAPES: Mapping[int, Shape] = {
    FORK: (bytes, bytes, 32, PROOF),
    ENTRY: (bytes, LEAF),
    RULE: (bytes, MAYBE_LEAF, Many(SHOWN, MANY), Many(bytes, range(1, MAX_BATCH + 2)), PROOF),
    CHAIN: (bytes, LEAF, SHOWN_MANY),
    DIRECTORY: (bytes, LEAF, SHOWN, Many((SIZE, 32), range(MAX_EVIDENCE)), MAYBE_LEAF),
    ANCHOR: (bytes, LEAF, Either((None, 32)), PROOF, MAYBE_LEAF),
    TIME: (bytes, LEAF, MAYBE_LEAF),
    STATEMENT: (bytes, LEAF, SHOWN_MANY, Many(bytes, range(1, MANY.stop))),
    REPLAYABLE: (bytes, LEAF),
}


class Leaf(NamedTuple):
    """An entry at a leaf, and the path to it."""

    at: int
    entry: bytes
    inclusion: list[bytes]


class Shown(NamedTuple):
    """What a directory root shows of a label."""

    label: bytes
    part: Part


class Fork(NamedTuple):
    """Two notes, and the root that the newer one's tree has at the size of the older."""

    older: bytes
    newer: bytes
    root: bytes
    consistency: list[bytes]


class OneLeaf(NamedTuple):
    """An entry that is wrong by itself, or a root that has to be replayed."""

    note: bytes
    leaf: Leaf


class Batch(NamedTuple):
    """Leaves from the start of a batch on, the last of them accused."""

    note: bytes
    before: Leaf | None
    chains: list[Shown]
    entries: list[bytes]
    consistency: list[bytes]


class Chains(NamedTuple):
    """The log's chain, perhaps another, as a directory root shows them."""

    note: bytes
    leaf: Leaf
    chains: list[Shown]


class Listed(NamedTuple):
    """A chain, the leaves that its accumulator opens to, and one that it hides or misstates."""

    note: bytes
    leaf: Leaf
    chain: Shown
    leaves: list[tuple[int, bytes]]
    other: Leaf | None


class Anchored(NamedTuple):
    """A block, and what its anchor contradicts: nothing more, a root, or a leaf."""

    note: bytes
    leaf: Leaf
    root: bytes | None
    consistency: list[bytes]
    end: Leaf | None


class Times(NamedTuple):
    """A leaf, and one behind it, if it is that one which contradicts it."""

    note: bytes
    leaf: Leaf
    later: Leaf | None


class Said(NamedTuple):
    """Chains as a directory root shows them, and the first statements of a group."""

    note: bytes
    leaf: Leaf
    chains: list[Shown]
    statements: list[bytes]


Body = Fork | OneLeaf | Batch | Chains | Listed | Anchored | Times | Said


class Evidence(NamedTuple):
    """A file's kind, the log's entry 0 and what is held against the log."""

    kind: int
    first: bytes
    body: Body


def parse(data: bytes) -> Evidence:
    """R-80.1: the one value of these bytes, of the shape of its kind."""
    if len(data) > MAX_EVIDENCE:
        raise Malformed("R-80.1", f"{len(data)} bytes are more than evidence may have")
    kind = data[2] if data[:2] == b"\x84\x01" and len(data) > 2 else len(SHAPES)
    if kind not in SHAPES:
        raise Malformed("R-80.1", "not an evidence file of version 1")
    shape: Shape = (range(1, 2), range(kind, kind + 1), bytes, SHAPES[kind])
    try:
        _, _, first, fields = read(data, MAX_EVIDENCE, shape)
        return Evidence(kind, first, BODIES[kind](*fields))
    except Invalid as error:
        raise Malformed("R-80.1", f"not the shape of evidence: {error}") from error


def _leaf(fields: Any) -> Leaf:
    leaf = Leaf(*fields)
    if len(leaf.entry) > MAX_ENTRY:
        raise Malformed("R-42.1", f"an entry of {len(leaf.entry)} bytes")
    return leaf


def _maybe_leaf(fields: Any) -> Leaf | None:
    return None if fields is None else _leaf(fields)


def _shown(fields: Any) -> Shown:
    return Shown(fields[0], shown.parse(fields[1:]))


def _all_shown(many: Any) -> list[Shown]:
    return [_shown(fields) for fields in many]


def _listed(note: Any, leaf: Any, chain: Any, leaves: Any, other: Any) -> Listed:
    pairs = [(index, hash_) for index, hash_ in leaves]
    return Listed(note, _leaf(leaf), _shown(chain), pairs, _maybe_leaf(other))


def _one_leaf(note: Any, leaf: Any) -> OneLeaf:
    return OneLeaf(note, _leaf(leaf))


BODIES: Mapping[int, Callable[..., Body]] = {
    FORK: Fork,
    ENTRY: _one_leaf,
    RULE: lambda note, before, chains, *rest: Batch(
        note, _maybe_leaf(before), _all_shown(chains), *rest
    ),
    CHAIN: lambda note, leaf, chains: Chains(note, _leaf(leaf), _all_shown(chains)),
    DIRECTORY: _listed,
    ANCHOR: lambda note, leaf, root, proof, end: Anchored(
        note, _leaf(leaf), root, proof, _maybe_leaf(end)
    ),
    TIME: lambda note, leaf, later: Times(note, _leaf(leaf), _maybe_leaf(later)),
    STATEMENT: lambda note, leaf, chains, told: Said(note, _leaf(leaf), _all_shown(chains), told),
    REPLAYABLE: _one_leaf,
}
