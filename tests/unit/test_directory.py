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
    bucket_key,
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
    """A directory and the buckets that a store keeps for it."""

    def __init__(self) -> None:
        self.directory = Directory()
        self.buckets: dict[bytes, bytes] = {}
        self.values: Values = {}

    def plan(self, changes: Mapping[bytes, bytes]) -> Update:
        return self.directory.plan(changes.items(), self.buckets.get)

    def commit(self, changes: Mapping[bytes, bytes]) -> Update:
        update = self.plan(changes)
        for key, record in update.writes.items():
            if record is None:
                self.buckets.pop(key, None)
            else:
                self.buckets[key] = record
        self.directory.apply(update)
        self.values |= changes
        return update

    def reload(self) -> None:
        self.directory = Directory.load(self.buckets.items())


def filled(changes: Iterable[Mapping[bytes, bytes]]) -> Store:
    store = Store()
    for batch in changes:
        store.commit(batch)
    return store


def check(store: Store) -> None:
    """Root, buckets and labels are those of a rebuild from nothing."""
    assert store.directory.root == directory_root(store.values)
    kept = {
        record[at : at + 32]: record[at + 32 : at + 64]
        for record in store.buckets.values()
        for at in range(32, len(record), 64)
    }
    assert kept == {label: leaf(label, value) for label, value in store.values.items()}
    for key, record in store.buckets.items():
        names = [record[at : at + 32] for at in range(32, len(record), 64)]
        assert names == sorted(names)
        assert 1 <= len(names) <= BUCKET
        assert {bucket_key(name, key[-1]) for name in names} == {key}


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
    assert filled([dict(shuffled)]).buckets == filled([dict(sorted(batch.items()))]).buckets


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
        assert all(key[-1] > 200 for key in store.buckets)
        assert len(store.buckets) <= len(batch)


@ROUNDS
@given(batches, st.dictionaries(labels, values, max_size=12))
def test_a_reloaded_directory_goes_on_alike(split: list[Values], more: Values) -> None:
    store = filled(split)
    twin = filled(split)
    twin.reload()
    assert twin.directory.root == store.directory.root
    assert store.commit(more).root == twin.commit(more).root
    assert store.buckets == twin.buckets
    check(twin)


@ROUNDS
@given(batches, st.dictionaries(labels, values, min_size=1, max_size=12))
def test_a_plan_changes_nothing(split: list[Values], more: Values) -> None:
    store = filled(split)
    before, kept = store.directory.root, dict(store.buckets)
    first = store.plan(more)
    assert (store.directory.root, store.buckets) == (before, kept)
    assert store.plan(more) == first
    check(store)


@ROUNDS
@given(batches, st.dictionaries(labels, values, max_size=12), st.dictionaries(labels, values))
def test_after_a_failed_commit_another_succeeds(
    split: list[Values], lost: Values, kept: Values
) -> None:
    store = filled(split)
    store.plan(lost)  # the store's transaction failed: neither buckets nor memory moved
    store.commit(kept)
    check(store)
    store.commit(lost)
    check(store)


def test_records_of_a_damaged_store_are_refused() -> None:
    store = filled([{seed(number): seed("value", number) for number in range(40)}])
    key, record = next(iter(store.buckets.items()))
    inside = bucket_key(record[32:64], key[-1] + 1)
    for more in ((inside, record), (bytes((0,)), record)):
        with pytest.raises(StoreError, match="overlap"):
            Directory.load([*store.buckets.items(), more])
    label, store.buckets[key] = record[32:64], record[:-1]
    with pytest.raises(StoreError, match="damaged"):
        store.plan({label: seed("new")})


@given(labels, st.integers(0, LABEL_BITS - 1))
def test_bucket_keys_are_prefixes(label: bytes, depth: int) -> None:
    key = bucket_key(label, depth)
    assert key[-1] == depth
    spelled = naive.bits(key[:-1])
    assert spelled[:depth] == naive.bits(label)[:depth]
    assert set(spelled[depth:]) <= {"0"}
    assert len(key) == (depth + 7) // 8 + 1


@pytest.mark.parametrize("example", [module, naive])
def test_examples(example: object) -> None:
    assert doctest.testmod(example).failed == 0  # type: ignore[arg-type]


def test_a_change_planned_on_another_state_is_refused() -> None:
    directory = Directory()
    first = directory.plan([(bytes(32), b"v" * 32)], lambda key: None)
    second = directory.plan([(b"\x01" * 32, b"v" * 32)], lambda key: None)
    directory.apply(first)
    for stale in (first, second):
        with pytest.raises(StoreError):
            directory.apply(stale)
    with pytest.raises(StoreError):
        Directory().apply(second)
