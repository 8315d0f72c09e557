"""Evidence files made by who replayed the log: it has every entry, and its own directory.

    maker = Maker(log_id, note, tree, entries, Root(at, directory))
    maker.about(index)                      # the first that proves something, or None

A file is judged as anybody would judge it before it is handed on: what proves nothing is none.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from hashlib import sha256
from typing import Any, NamedTuple

from verifier.blocks import ZERO, Block, open_entry, parse_block
from verifier.cbor import encode
from verifier.directory import Directory, value
from verifier.errors import Invalid, Undecided
from verifier.evidence.judging import PROVEN, judge
from verifier.evidence.parse import (
    ANCHOR,
    ENTRY,
    FORK,
    MAX_EVIDENCE,
    REPLAYABLE,
    RULE,
    STATEMENT,
    TIME,
)
from verifier.groups import open_statement
from verifier.merkle import WIDTH
from verifier.prefix import Proof
from verifier.proving import ProvenTree, directory_proof
from verifier.shown import Link, Part, Step, replay

Value = Any
Entries = Callable[[int], Sequence[bytes]]
NO_PROOF = Proof([], (0, ZERO, ZERO))


class Root(NamedTuple):
    """The directory root at a leaf (-1: there is none yet), and the directory that it is of."""

    at: int
    directory: Directory


def fork(first: bytes, older: bytes, newer: bytes, root: bytes, proof: Sequence[bytes]) -> bytes:
    """R-80.3."""
    return encode([1, FORK, first, [older, newer, root, [*proof]]])


class Maker:
    """`entries` gives those of a tile, as they were signed; `root` is the newest directory root
    that was replayed and follows.
    """

    def __init__(
        self, log_id: bytes, note: bytes, tree: ProvenTree, entries: Entries, root: Root
    ) -> None:
        self._log_id = log_id
        self._note = note
        self._tree = tree
        self._entries = entries
        self._root = root
        self._first = entries(0)[0]

    def about(self, index: int) -> bytes | None:
        """A file that proves that the leaf behind what was replayed is against the rules."""
        makers = (self._entry, self._anchor, self._batch, self._place)
        return self._proven([partial(make, index) for make in makers])

    def about_statement(self, label: bytes, statements: Mapping[int, bytes]) -> bytes | None:
        """A file that proves that the last of a group's statements, by leaf, is."""
        return self._proven([partial(self._statement, label, statements)])

    def leaves_of(self, label: bytes) -> list[int]:
        """Where the blocks of a label stand."""
        return [link.leaf_index for link in self._links([label])[label]]

    def replayable(self, at: int) -> bytes:
        """R-80.11."""
        return self._file(REPLAYABLE, self._note, self._leaf(at))

    def ahead(self, note: bytes, size: int) -> bytes:
        """R-80.9: of the last leaf under a note of that size, which its cosigners saw before."""
        leaf = [size - 1, self._data(size - 1), self._tree.inclusion(size - 1, size)]
        return self._file(TIME, note, leaf, None)

    def _proven(self, makers: Iterable[Callable[[], bytes]]) -> bytes | None:
        for make in makers:
            with contextlib.suppress(Invalid, Undecided):
                data = make()
                if judge(data, self._log_id).outcome == PROVEN:
                    return data
        return None

    def _file(self, kind: int, *body: Value) -> bytes:
        data = encode([1, kind, self._first, [*body]])
        if len(data) > MAX_EVIDENCE:
            raise Undecided(f"evidence of {len(data)} bytes is more than a file may have")
        return data

    def _data(self, index: int) -> bytes:
        return self._entries(index // WIDTH)[index % WIDTH]

    def _leaf(self, index: int, size: int | None = None) -> Value:
        return [index, self._data(index), self._tree.inclusion(index, size)]

    def _entry(self, index: int) -> bytes:
        """R-80.4."""
        return self._file(ENTRY, self._note, self._leaf(index))

    def _anchor(self, index: int) -> bytes:
        """R-80.8: by the anchor's size, by what its tree ends with, or by its root."""
        size = _block(self._data(index)).anchor_size
        head = [self._note, self._leaf(index)]
        if not 1 <= size <= index:
            return self._file(ANCHOR, *head, None, [], None)
        ended = self._file(ANCHOR, *head, None, [], self._leaf(size - 1))
        if judge(ended, self._log_id).outcome == PROVEN:
            return ended
        proof = self._tree.consistency(size)
        return self._file(ANCHOR, *head, self._tree.root(size), proof, None)

    def _batch(self, index: int) -> bytes:
        """R-80.5, against the entries of the batch alone."""
        return self._placed(index, [])

    def _place(self, index: int) -> bytes:
        """R-80.5, against the chains before it."""
        label = _block(self._data(index)).label
        labels = list(dict.fromkeys([ZERO, label])) if self._root.at >= 0 else []
        return self._placed(index, self._shown(labels))

    def _placed(self, index: int, chains: list[Value]) -> bytes:
        at = self._root.at
        before = None if at < 0 else self._leaf(at, at + 1)
        entries = [self._data(leaf) for leaf in range(at + 1, index + 1)]
        proof = self._tree.consistency(index + 1)
        return self._file(RULE, self._note, before, chains, entries, proof)

    def _statement(self, label: bytes, statements: Mapping[int, bytes]) -> bytes:
        """R-80.10."""
        authors: set[bytes] = set()
        for index, data in statements.items():
            commitment = _block(self._data(index)).body[0]
            with contextlib.suppress(Invalid):
                authors.add(open_statement(data, commitment, self._log_id)[0].author)
        chains = self._shown([ZERO, label, *sorted(authors - {ZERO, label})])
        leaf = self._leaf(self._root.at)
        told = [data for _, data in sorted(statements.items())]
        return self._file(STATEMENT, self._note, leaf, chains, told)

    def _shown(self, labels: Sequence[bytes]) -> list[Value]:
        """What the directory root shows of these labels, the log's first."""
        links = self._links(labels)
        own: list[Step] = []
        shown = []

        def value_of(label: bytes) -> bytes:
            return value(*_held(self._steps(label, self._links([label])[label], own)))

        for label in labels:
            steps = self._steps(label, links[label], own)
            own = own or steps
            proof = directory_proof(self._root.directory, label, value_of)
            shown.append([label, *_held(steps), proof, [tuple(link) for link in links[label]]])
        return shown

    def _links(self, labels: Sequence[bytes]) -> dict[bytes, list[Link]]:
        """The blocks of these labels before the directory root: the log is read again for them."""
        links: dict[bytes, list[Link]] = {label: [] for label in labels}
        for link, label in self._blocks(labels):
            links[label].append(link)
        return links

    def _blocks(self, labels: Sequence[bytes]) -> Iterator[tuple[Link, bytes]]:
        """The blocks of these labels before the directory root."""
        for number in range(self._root.at // WIDTH + 1):
            for index, data in enumerate(self._entries(number), number * WIDTH):
                if index < self._root.at and any(label in data for label in labels):
                    entry = open_entry(data)
                    label = _block(data).label if entry.kind == 0 else None
                    if label is not None and label in labels:
                        yield Link(index, data), label

    def _steps(self, label: bytes, links: list[Link], own: Sequence[Step]) -> list[Step]:
        part = Part(len(links), ZERO, ZERO, NO_PROOF, links)
        return replay(part, label, self._log_id, open_entry(self._data(self._root.at)).time, own)


def _block(data: bytes) -> Block:
    """The block of an entry, its signatures unseen."""
    return Block._make(parse_block(open_entry(data).content, ZERO)[0])


def _held(steps: Sequence[Step]) -> tuple[int, bytes, bytes]:
    """Length, accumulator and state digest of a chain."""
    if not steps:
        return 0, ZERO, ZERO
    length, accumulator, state = steps[-1].chain
    return length, accumulator, sha256(encode(tuple(state))).digest()
