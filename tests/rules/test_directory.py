"""The directory of both sides, rebuilt from nothing by its definition: R-30.1 to R-30.3.

Labels that are absent stand beside every depth of the tree, and come in there, one by one.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.tree import directory as ledger
from tests.support.actors import seed
from tests.support.naive import bits, directory_root
from verifier import directory as verifier
from verifier.judge import judge_directory

BITS = 256
HERE = seed("a label that is there")

Values = Mapping[bytes, bytes]


def beside(label: bytes, depth: int, tail: bytes = bytes(32)) -> bytes:
    """A label that parts from `label` at bit `depth`, and goes on like `tail`."""
    number, low = int.from_bytes(label), BITS - 1 - depth
    parted = (number >> low ^ 1) << low
    return (parted | int.from_bytes(tail) & ((1 << low) - 1)).to_bytes(32)


class Both:
    """The directories of ledger and verifier, as they grow."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self._ledger = ledger.Directory()
        self._records: dict[int, bytes] = {}
        self._slots: dict[str, bytes] = {}
        self._verifier = verifier.Directory(self._slots)

    def set(self, changes: Values) -> None:
        """Both take these in, and have the root of a rebuild from nothing."""
        self.values |= changes
        update = self._ledger.plan(changes.items(), self._records.__getitem__)
        self._records |= update.writes
        self._ledger.apply(update)
        leaves = {label: verifier.leaf(label, value) for label, value in changes.items()}
        expected = directory_root(self.values)
        assert self._ledger.root == expected
        assert self._verifier.update(leaves) == expected

    def check_rebuilt(self) -> None:
        """From nothing at once, and from the rows that were kept: the same root."""
        expected = directory_root(self.values)
        records = self._records
        again = ledger.Directory().plan(self.values.items(), records.__getitem__)
        ascending = [records[number] for number in range(len(records))]
        assert again.root == ledger.Directory.load(ascending).root == expected
        rows = [(key, row) for key, row in self._slots.items() if len(key) == 4]
        assert verifier.Directory(self._slots, rows).root() == expected
        assert judge_directory(self.values.items()) == expected


@pytest.mark.parametrize("depth", range(BITS))
def test_an_absent_label_beside_each_depth(depth: int) -> None:
    """It is beside a lone leaf, then beside a node that holds its neighbour deeper down."""
    absent, deeper = beside(HERE, depth, seed("tail", depth)), beside(HERE, BITS - 1)
    assert bits(absent)[:depth] == bits(HERE)[:depth]
    assert bits(absent)[depth] != bits(HERE)[depth]
    both = Both()
    for changes in ({HERE: seed(1)}, {deeper: seed(2)}, {absent: seed(3)}, {absent: seed(4)}):
        before = directory_root(both.values)
        both.set(changes)
        assert directory_root(both.values) != before
    both.check_rebuilt()


def test_a_label_beside_every_depth_at_once() -> None:
    """256 neighbours of one label, the deepest first, the shallowest first, or all at once."""
    neighbours = [beside(HERE, depth, seed("tail", depth)) for depth in range(BITS)]
    for order in (neighbours, neighbours[::-1]):
        both = Both()
        both.set({HERE: seed(1)})
        for number in range(0, BITS, 32):
            both.set({label: seed(2) for label in order[number : number + 32]})
        both.check_rebuilt()
    assert len(set(neighbours)) == BITS


labels = st.builds(
    beside,
    st.just(HERE) | st.binary(min_size=32, max_size=32),
    st.integers(0, BITS - 1),
    st.binary(min_size=32, max_size=32),
)
batches = st.lists(st.dictionaries(labels, st.binary(min_size=32, max_size=32), max_size=9))


@settings(deadline=None, max_examples=60)
@given(batches)
def test_trees_rebuilt_from_nothing(split: list[dict[bytes, bytes]]) -> None:
    both = Both()
    for changes in split:
        both.set(changes)
    both.check_rebuilt()
