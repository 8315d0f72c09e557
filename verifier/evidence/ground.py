"""What every kind of evidence stands on: the log's name and key, its notes, leaves under them.

    log = found(first, log_id)              # R-80.1
    tree = log.tree(note)                   # R-80.2
    entry = tree.entry(leaf)

Whatever does not hold here is `Invalid`, and the file proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256

from verifier.blocks import ZERO, Entry, open_entry
from verifier.errors import Invalid, Malformed
from verifier.evidence.parse import Leaf
from verifier.merkle import check_inclusion, leaf_hash
from verifier.note import Checkpoint, NoteKey, open_checkpoint
from verifier.policy import Policy
from verifier.shown import Link, follow
from verifier.states import LogState

PROVEN, NOTHING, UNDECIDED = "proven", "nothing", "undecided"


@dataclass(frozen=True, slots=True)
class Finding:
    """What evidence comes to that is in order: proven, by the rule that the log broke; or not to
    be decided.
    """

    outcome: str
    rule: str
    sentence: str


def proven(rule: str, sentence: str) -> Finding:
    return Finding(PROVEN, rule, sentence)


@contextmanager
def required(rule: str) -> Iterator[None]:
    """What is in here has to hold, or the file proves nothing, by this rule of 80-evidence."""
    try:
        yield
    except Invalid as error:
        raise Malformed(rule, str(error)) from error


@dataclass(frozen=True, slots=True)
class Tree:
    """A tree that the log signed."""

    checkpoint: Checkpoint

    def entry(self, leaf: Leaf) -> Entry:
        """The entry of a leaf of the tree, if it can be read at all (R-80.2)."""
        self.require(leaf)
        with required("R-80.2"):
            return open_entry(leaf.entry)

    def require(self, leaf: Leaf) -> None:
        """R-80.2: the leaf stands there."""
        size, root = self.checkpoint.size, self.checkpoint.root
        with required("R-80.2"):
            check_inclusion(leaf_hash(leaf.entry), leaf.at, size, leaf.inclusion, root)

    def directory(self, leaf: Leaf) -> Entry:
        """The directory root at a leaf (R-80.2)."""
        return require_root(leaf, self.entry(leaf))


def require_root(leaf: Leaf, entry: Entry) -> Entry:
    """The entry, which is a directory root and not the log's first (R-80.2)."""
    if entry.kind != 1 or leaf.at == 0:
        raise Malformed("R-80.2", f"leaf {leaf.at} is no directory root")
    return entry


@dataclass(frozen=True, slots=True)
class Log:
    """The log that is accused, by its entry 0, and the judge's own policy of witnesses."""

    id: bytes
    key: NoteKey
    first: bytes
    policy: Policy | None

    def tree(self, note: bytes) -> Tree:
        """The tree of a note that the log's key signed (R-80.2)."""
        with required("R-80.2"):
            checkpoint = open_checkpoint(note, self.key)
        if checkpoint.size < 2:
            raise Malformed("R-80.2", f"a tree of size {checkpoint.size} shows nothing")
        return Tree(checkpoint)


def found(first: bytes, log_id: bytes | None, policy: Policy | None) -> Log:
    """The log that entry 0 names, the judge's own if they named one (R-80.1)."""
    with required("R-80.1"):
        own = sha256(open_entry(first).content).digest()
        state = follow(None, ZERO, Link(0, first), own, None).chain.state
    assert isinstance(state, LogState)
    if log_id not in (None, own):
        raise Malformed("R-80.1", f"this is about another log, {own.hex()}")
    return Log(own, NoteKey(state.origin, state.log_key), first, policy)
