"""The directory against a rebuild from nothing: any labels, any batches, any moment of failure."""

from __future__ import annotations

import doctest
from collections.abc import Iterable, Mapping
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import StoreError
from ledger.tree import directory as module
from ledger.tree.directory import (
    BUCKET,
    EMPTY,
    LABEL_BITS,
    Directory,
    Update,
    leaf,
    node,
)
from tests.support import naive
from tests.support.actors import seed
from tests.support.naive import directory_root

Values = dict[bytes, bytes]

COMMON = seed("a label that others are ground towards")
ROUNDS = settings(max_examples=70, deadline=None)


def diverging(depth: int, tail: bytes) -> bytes:
    """A label that agrees with `COMMON` on exactly `depth` bits, and then goes its own way."""
    number, other = int.from_bytes(COMMON), int.from_bytes(tail)
    low = LABEL_BITS - depth
    kept = number >> low << low
    flipped = (number >> (low - 1) & 1 ^ 1) << (low - 1)
    return (kept | flipped | other & ((1 << (low - 1)) - 1)).to_bytes(32)


tails = st.binary(min_size=32, max_size=32)
depths = st.integers(0, LABEL_BITS - 1)
ground = st.builds(lambda tail: COMMON[:25] + tail[:7], tails)
labels = tails | st.builds(diverging, depths, tails) | ground | st.just(COMMON)
values = st.binary(min_size=32, max_size=32)
batches = st.lists(st.dictionaries(labels, values, max_size=12), max_size=6)


class Store:
    """A directory and the records that a store keeps for it."""

    def __init__(self) -> None:
        self.directory = Directory()
        self.records: dict[int, bytes] = {}
        self.values: Values = {}

    def plan(self, changes: Mapping[bytes, bytes]) -> Update:
        return self.directory.plan(changes.items(), self.records.__getitem__)

    def commit(self, changes: Mapping[bytes, bytes]) -> Update:
        update = self.plan(changes)
        self.records |= update.writes
        self.directory.apply(update)
        self.values |= changes
        return update

    def reload(self) -> None:
        ascending = [self.records[number] for number in range(len(self.records))]
        self.directory = Directory.load(ascending)

    def nodes(self) -> int:
        """How many the trie has, buckets among them."""
        return len(self.directory._below)

    def buckets(self) -> list[list[bytes]]:
        """The labels in each bucket."""
        read, below = self.records.__getitem__, self.directory._below
        ends = (number for number, first in enumerate(below) if first < 0)
        return [[one[0] for one in self.directory._leaves(number, read)] for number in ends]


def filled(changes: Iterable[Mapping[bytes, bytes]]) -> Store:
    store = Store()
    for batch in changes:
        store.commit(batch)
    return store


def check(store: Store) -> None:
    """Root and labels are those of a rebuild from nothing; each label has a number and a bucket."""
    assert store.directory.root == directory_root(store.values)
    expected = {label: leaf(label, value) for label, value in store.values.items()}
    assert {record[:32]: record[32:] for record in store.records.values()} == expected
    assert sorted(store.records) == list(range(len(expected)))
    buckets = store.buckets()
    assert all(len(bucket) <= BUCKET for bucket in buckets)
    assert sorted(label for bucket in buckets for label in bucket) == sorted(expected)


def test_small_ones_by_hand() -> None:
    zero, one, top = bytes(32), bytes(31) + b"\x01", b"\x80" + bytes(31)
    a, b, c = (leaf(label, label) for label in (zero, one, top))
    assert directory_root({}) == EMPTY == Directory().root
    assert directory_root({zero: zero}) == a
    assert directory_root({zero: zero, top: top}) == node(a, c)
    deep = node(a, b)
    for _ in range(LABEL_BITS - 2):
        deep = node(deep, EMPTY)
    both = {zero: zero, one: one, top: top}
    assert directory_root(both) == node(deep, c)
    check(filled([both]))


@ROUNDS
@given(batches)
def test_any_split_into_batches_gives_one_root(split: list[Values]) -> None:
    store = Store()
    for batch in split:
        update = store.commit(batch)
        assert update.root == store.directory.root
        check(store)
    assert filled([store.values]).directory.root == store.directory.root


@ROUNDS
@given(st.dictionaries(labels, values, min_size=1, max_size=20), st.randoms())
def test_the_order_within_a_batch_is_no_matter(batch: Values, random: Random) -> None:
    shuffled = list(batch.items())
    random.shuffle(shuffled)
    assert filled([dict(shuffled)]).records == filled([dict(sorted(batch.items()))]).records


@pytest.mark.parametrize("depth", range(0, LABEL_BITS, 5))
def test_two_labels_that_part_at_each_depth(depth: int) -> None:
    other = diverging(depth, seed("tail", depth))
    store = filled([{COMMON: seed("one")}, {other: seed("two")}])
    check(store)
    many = {diverging(depth, seed("tail", depth, number)): seed(number) for number in range(6)}
    store.commit(many)
    check(store)


def test_ground_labels_split_and_stay_few() -> None:
    """Nine labels of 200 common bits split one bucket 200 times: one chain of nodes, not a tree."""
    batch = {COMMON[:25] + seed("ground", number)[:7]: seed(number) for number in range(9)}
    for split in ([batch], [{label: value} for label, value in batch.items()]):
        store = filled(split)
        check(store)
        assert 2 * 200 < store.nodes() <= 2 * (256 + len(batch))
        assert len(store.buckets()) <= len(batch)


@ROUNDS
@given(batches, st.dictionaries(labels, values, max_size=12))
def test_a_reloaded_directory_goes_on_alike(split: list[Values], more: Values) -> None:
    store = filled(split)
    twin = filled(split)
    twin.reload()
    assert twin.directory.root == store.directory.root
    assert store.nodes() == twin.nodes()
    assert store.commit(more).root == twin.commit(more).root
    assert store.records == twin.records
    check(twin)


@ROUNDS
@given(batches, st.dictionaries(labels, values, min_size=1, max_size=12))
def test_a_plan_changes_nothing(split: list[Values], more: Values) -> None:
    store = filled(split)
    before, kept = store.directory.root, dict(store.records)
    first = store.plan(more)
    assert (store.directory.root, store.records) == (before, kept)
    assert store.plan(more) == first
    check(store)


@ROUNDS
@given(batches, st.dictionaries(labels, values, max_size=12), st.dictionaries(labels, values))
def test_after_a_failed_commit_another_succeeds(
    split: list[Values], lost: Values, kept: Values
) -> None:
    store = filled(split)
    store.plan(lost)  # the store's transaction failed: neither records nor memory moved
    store.commit(kept)
    check(store)
    store.commit(lost)
    check(store)


def test_records_of_a_damaged_store_are_refused() -> None:
    store = filled([{seed(number): seed("value", number) for number in range(40)}])
    record = store.records[7]
    store.records[40] = record
    with pytest.raises(StoreError, match="twice"):
        store.reload()
    for damaged in (record[:-1], record + b"x", b""):
        store.records[40] = damaged
        with pytest.raises(StoreError, match="damaged"):
            store.reload()


@pytest.mark.parametrize("example", [module, naive])
def test_examples(example: object) -> None:
    assert doctest.testmod(example).failed == 0  # type: ignore[arg-type]


def test_a_change_planned_on_another_state_is_refused() -> None:
    directory = Directory()
    nothing: dict[int, bytes] = {}
    first = directory.plan([(bytes(32), b"v" * 32)], nothing.__getitem__)
    second = directory.plan([(b"\x01" * 32, b"v" * 32)], nothing.__getitem__)
    directory.apply(first)
    for stale in (first, second):
        with pytest.raises(StoreError):
            directory.apply(stale)
    with pytest.raises(StoreError):
        Directory().apply(second)
