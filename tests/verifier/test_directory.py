"""The directory against R-30.3 as it is written, however labels come and whatever they share."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.verifier.builder import ZERO, prefix_tree, u64
from verifier.directory import (
    CAPACITY,
    EMPTY,
    LEAF,
    NODE,
    Cell,
    Directory,
    accumulate,
    fold,
    join,
    leaf,
    value,
)
from verifier.errors import Malformed
from verifier.judge import judge_directory

RANDOM = st.binary(min_size=32, max_size=32)
# Labels that part anywhere: bits flipped in one label, or short tails behind a shared prefix.
FLIPPED = st.integers(0, 255).map(lambda bit: (1 << bit).to_bytes(32, "big"))
GROUND = st.binary(min_size=2, max_size=2).map(lambda tail: bytes(30) + tail)
LABELS = st.sets(RANDOM | FLIPPED | GROUND, max_size=90)


def leaves_of(labels: set[bytes]) -> dict[bytes, bytes]:
    return {label: sha256(label).digest() for label in sorted(labels)}


@settings(deadline=None)
@given(LABELS, st.integers(1, 40))
def test_the_root_is_that_of_the_definition(labels: set[bytes], step: int) -> None:
    leaves = leaves_of(labels)
    expected = prefix_tree(sorted(leaves.items()))
    assert fold(sorted(leaves.items()), 0).hash == expected
    rows: dict[str, bytes] = {}
    directory = Directory(rows)
    pending = sorted(leaves.items(), key=lambda item: item[1])
    for at in range(0, len(pending), step):
        root = directory.update(dict(pending[at : at + step]))
        assert root == prefix_tree(sorted(pending[: at + step]))
    assert directory.root() == expected
    slots = [(key, row) for key, row in rows.items() if len(key) == 4]
    assert Directory(rows, slots).root() == expected


@settings(deadline=None, max_examples=20)
@given(st.sets(GROUND, min_size=CAPACITY + 1, max_size=200), st.data())
def test_ground_labels_split_and_change(labels: set[bytes], data: st.DataObject) -> None:
    leaves = leaves_of(labels)
    directory = Directory({})
    directory.update(leaves)
    label = data.draw(st.sampled_from(sorted(labels)))
    leaves[label] = sha256(b"new").digest()
    assert directory.update({label: leaves[label]}) == prefix_tree(sorted(leaves.items()))


def test_a_root_of_one_label_is_its_leaf_and_of_none_zero() -> None:
    assert Directory({}).root() == ZERO == EMPTY.hash
    assert Directory({}).update({b"l" * 32: b"h" * 32}) == b"h" * 32


def test_join() -> None:
    one, other = Cell(LEAF, b"a" * 32), Cell(NODE, b"b" * 32)
    assert join(EMPTY, EMPTY) == EMPTY
    assert join(one, EMPTY) == join(EMPTY, one) == one
    assert join(EMPTY, other) == Cell(NODE, sha256(b"\x03" + ZERO + b"b" * 32).digest())
    assert join(other, EMPTY) == Cell(NODE, sha256(b"\x03" + b"b" * 32 + ZERO).digest())
    assert join(one, other) == Cell(NODE, sha256(b"\x03" + b"a" * 32 + b"b" * 32).digest())


def test_tagged_hashes() -> None:
    held = value(7, b"a" * 32, b"d" * 32)
    assert held == sha256(b"\x04" + u64(7) + b"a" * 32 + b"d" * 32).digest()
    assert leaf(b"l" * 32, held) == sha256(b"\x02" + b"l" * 32 + held).digest()
    assert accumulate(ZERO, 9, b"h" * 32) == sha256(b"\x05" + ZERO + u64(9) + b"h" * 32).digest()


def test_judge_directory_takes_each_label_once() -> None:
    pairs = [(b"a" * 32, b"1" * 32), (b"b" * 32, b"2" * 32)]
    assert judge_directory(pairs) == judge_directory(pairs[::-1])
    for wrong in ([*pairs, (b"a" * 32, b"3" * 32)], [(b"a" * 31, b"1" * 32)]):
        with pytest.raises(Malformed):
            judge_directory(wrong)


def test_many_labels_leave_few_rows_to_touch() -> None:
    """One change among ground labels reads and writes a page for each digit shared, no more."""

    class Counting(dict[str, bytes]):
        writes = 0

        def __setitem__(self, key: str, row: bytes) -> None:
            self.writes += 1
            super().__setitem__(key, row)

    rows = Counting()
    directory = Directory(rows)
    labels = [bytes(8) + sha256(b"%d" % number).digest()[:24] for number in range(3_000)]
    directory.update({label: label for label in labels})
    rows.writes = 0
    directory.update({labels[0]: b"x" * 32})
    assert rows.writes <= 16  # 12 digits shared beyond the slot, 3,000 labels below them
    assert max(map(len, rows.values())) <= 34 + 64 * CAPACITY
