"""Boxes and openings: kept before the log commits, and for their owner's eyes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.errors import StoreError, StoreFull
from ledger.store import port
from ledger.store.port import PrivateItem
from ledger.store.private import PrivateStore

LABEL = b"l" * 32
ITEM = PrivateItem(7, b"h" * 32, LABEL, (b"one", b"two"), (b"n" * 32, "ada@example.org"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "private"


@pytest.fixture
def store(path: Path) -> Iterator[PrivateStore]:
    opened = PrivateStore(path, create=True)
    yield opened
    opened.close()


def test_it_fills_the_port(store: PrivateStore) -> None:
    as_port: port.PrivateStore = store
    assert as_port is store


def test_what_is_put_comes_back(store: PrivateStore, path: Path) -> None:
    store.put([ITEM, PrivateItem(9, b"H" * 32, b"L" * 32, (), None)])
    store.close()
    again = PrivateStore(path)
    assert again.boxes(7, ITEM.block_hash) == (b"one", b"two")
    assert again.opening(ITEM.label) == (b"n" * 32, "ada@example.org")
    assert again.boxes(9, b"H" * 32) == ()
    assert again.opening(b"L" * 32) is None
    assert again.boxes(8, b"?" * 32) is None
    assert again.opening(b"?" * 32) is None
    again.close()


def test_statements_and_memberships_stand_by_block(store: PrivateStore, path: Path) -> None:
    stated = PrivateItem(8, b"s" * 32, b"g" * 32, (), None, (b"statement", b"membership"))
    store.put([ITEM, stated])
    store.close()
    again = PrivateStore(path)
    assert again.statement(8, b"s" * 32) == b"statement"
    assert again.membership(8, b"s" * 32) == b"membership"
    assert again.statement(7, ITEM.block_hash) is None
    assert again.membership(7, ITEM.block_hash) is None
    again.close()


def test_leaves_and_grants_stand_by_group(store: PrivateStore) -> None:
    first, last, other = b"g" * 32, b"g" * 31 + b"h", b"\xff" * 32
    for group in (first, last, other):
        store.put_leave(group, b"u" * 32, b"an older leave")
        store.put_leave(group, b"u" * 32, group[-1:] + b" leaves")
        store.put_grant(group, b"s" * 32, b"u" * 32, b"granted to s")
        store.put_grant(group, b"t" * 32, b"u" * 32, b"granted to t")
    assert store.leaves(first) == [b"g leaves"]
    assert store.leaves(other) == [b"\xff leaves"]
    assert store.leaves(b"n" * 32) == []
    assert store.grants(last) == [b"granted to s", b"granted to t"]
    assert store.grants(last, b"t" * 32) == [b"granted to t"]
    assert store.grants(last, b"u" * 32) == []


def test_nothing_to_put(store: PrivateStore) -> None:
    store.put([])
    assert store.boxes(7, ITEM.block_hash) is None


def test_what_stands_at_a_leaf_is_only_for_the_block_that_came_there(store: PrivateStore) -> None:
    """A batch that was never published leaves nothing behind that the next one could be given."""
    lost = [
        PrivateItem(at, bytes([at]) * 32, b"l" * 32, (b"lost",), None, (b"lost", b"lost"))
        for at in (7, 8, 9)
    ]
    store.put([PrivateItem(6, b"p" * 32, b"l" * 32, (b"published",), None), *lost])
    store.put([ITEM])
    assert store.boxes(6, b"p" * 32) == (b"published",)
    assert store.boxes(7, ITEM.block_hash) == ITEM.boxes
    for item in lost:
        assert store.boxes(item.index, item.block_hash) is None
        assert store.statement(item.index, item.block_hash) is None
        assert store.membership(item.index, item.block_hash) is None
    assert store.statement(7, ITEM.block_hash) is None


def test_a_row_of_another_block_is_none(store: PrivateStore) -> None:
    store.put([PrivateItem(7, b"s" * 32, b"g" * 32, (b"box",), None, (b"statement", b"after"))])
    for read in (store.boxes, store.statement, store.membership):
        assert read(7, b"s" * 32)
        assert read(7, b"s" * 31 + b"t") is None
        assert read(8, b"s" * 32) is None


items = st.builds(
    partial(PrivateItem, 0),
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=32, max_size=32),
    st.lists(st.binary(max_size=200), max_size=20).map(tuple),
    st.none() | st.tuples(st.binary(min_size=32, max_size=32), st.text(min_size=1, max_size=250)),
)


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(batch=st.lists(items, max_size=12))
def test_any_items(store: PrivateStore, batch: list[PrivateItem]) -> None:
    batch = [replace(item, index=at) for at, item in enumerate(batch)]
    store.put(batch)
    openings = {item.label: item.opening for item in batch if item.opening}
    for item in batch:
        assert store.boxes(item.index, item.block_hash) == item.boxes
    assert {key: store.opening(key) for key in openings} == openings


def test_only_its_owner_may_read_it(path: Path, store: PrivateStore) -> None:
    store.put([ITEM])
    assert path.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in path.iterdir()} == {0o600}


def test_a_directory_that_others_may_read_is_closed(path: Path) -> None:
    path.mkdir(0o755)
    PrivateStore(path, create=True).close()
    assert path.stat().st_mode & 0o777 == 0o700


def test_twice(path: Path, store: PrivateStore) -> None:
    with pytest.raises(StoreError, match=f"in use by process {os.getpid()}"):
        PrivateStore(path)


def test_a_lost_one_is_not_made_anew(path: Path) -> None:
    with pytest.raises(StoreError, match="no database"):
        PrivateStore(path)


def test_a_full_one_keeps_what_it_has(path: Path) -> None:
    small = PrivateStore(path, create=True, map_size=1 << 16)
    small.put([ITEM])
    large = [
        PrivateItem(8 + n, bytes([n]) * 32, b"l" * 32, (bytes(4_000),), None) for n in range(20)
    ]
    with pytest.raises(StoreFull):
        small.put(large)
    assert small.boxes(8, large[0].block_hash) is None
    assert small.boxes(7, ITEM.block_hash) == ITEM.boxes
    small.close()
    larger = PrivateStore(path)
    larger.put(large)
    assert larger.boxes(27, large[-1].block_hash) == (bytes(4_000),)
    larger.close()


def test_a_flipped_bit(path: Path, store: PrivateStore) -> None:
    store.put([ITEM])
    store.close()
    file = path / "data.mdb"
    data = file.read_bytes()
    assert data.count(b"ada@example.org") == 1
    file.write_bytes(data.replace(b"ada@example.org", b"eve@example.org"))
    with pytest.raises(StoreError, match="'openings' is damaged"):
        PrivateStore(path)
    unchecked = PrivateStore(path, check=False)
    assert unchecked.boxes(7, ITEM.block_hash) == ITEM.boxes
    with pytest.raises(StoreError, match="'openings' is damaged"):
        unchecked.opening(ITEM.label)
    unchecked.close()
