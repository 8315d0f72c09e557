"""What every engine of the port owes, run through each of them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from threading import Event, Thread

import pytest

from ledger.errors import MalformedInput, StoreError
from ledger.format import entry
from ledger.format.block import LOG_LABEL, NO_LOG_ID
from ledger.log.commit import NO_LINK, Commit, Head
from ledger.store.port import Store
from ledger.tree.merkle import Frontier, leaf_hash, root_of
from ledger.tree.tiles import Tile, new_tiles
from tests.store.world import (
    Crowd,
    Engine,
    blocks_in,
    contents,
    contents_of,
    grow,
    head_of,
)
from tests.support.actors import NOW
from tests.support.memory import MemoryLog


def test_an_empty_log(store: Store) -> None:
    with store.reader() as reader:
        assert (reader.head, reader.note, reader.log_id) == (Head(), b"", NO_LOG_ID)
        assert reader.entries(0, 0) == []
        assert reader.chain(LOG_LABEL) is None
        assert reader.batch_end(0) is None
        assert reader.blocks_of(LOG_LABEL, 0, 10) == []
        with pytest.raises(MalformedInput, match=r"R-20\.2"):
            reader.tile(Tile(0, 0, 1))
    with store.view() as view:
        assert (view.head, view.frontier, view.directory.root) == (
            Head(),
            Frontier(),
            Head().directory,
        )
        with pytest.raises(StoreError):
            view.leaf(0)
    assert store.staged() is None


def test_the_first_batch(store: Store, crowd: Crowd) -> None:
    commit = grow(store, crowd, 1)
    with store.reader() as reader:
        assert reader.head == commit.after
        assert reader.head.size == 2
        assert reader.log_id == sha256(crowd.founding).digest() == crowd.log.log_id
        assert reader.note == crowd.log.note(commit.after)
        assert reader.entries(0, 2) == list(commit.entries)
        assert reader.chain(LOG_LABEL) == commit.chains[LOG_LABEL]
        assert reader.blocks_of(LOG_LABEL, 0, 10) == [0]
        assert reader.batch_end(2) == (commit.after.root, commit.after.time)


def test_many_batches_are_what_a_log_in_memory_holds(
    engine: Engine, store: Store, crowd: Crowd
) -> None:
    """Real blocks, planned by the real planner, here and on a model of the log."""
    model = MemoryLog()
    for count in (1, 1, 2, 30, 7, 60, 1, 120, 90):
        commit = grow(store, crowd, count)
        planned_there = model.admit(blocks_in(commit)).commit
        assert (commit.after, commit.entries) == (planned_there.after, planned_there.entries)
    before = contents_of(store, crowd)
    assert before.entries == model.entries
    assert before.chains == {label: model.chain(label) for label in crowd.labels}
    assert before.blocks == {label: model.blocks_of(label) for label in crowd.labels}
    assert before.ends == model.ends
    assert max(map(len, before.blocks.values())) > 3
    store.close()
    again = engine.open()
    assert contents_of(again, crowd) == before
    grow(again, crowd, 5)
    again.close()


def test_parts_of_a_chain(store: Store, crowd: Crowd) -> None:
    for _ in range(8):
        grow(store, crowd, 6)
    with store.reader() as reader:
        found = {label: reader.blocks_of(label, 0, 100) for label in crowd.labels}
        label, whole = max(found.items(), key=lambda item: len(item[1]))
        assert len(whole) >= 4
        for start in range(len(whole) + 2):
            for limit in range(len(whole) + 2):
                assert reader.blocks_of(label, start, limit) == whole[start : start + limit]
        assert reader.blocks_of(b"nobody".ljust(32), 0, 9) == []


def test_tiles_at_every_published_size(store: Store, crowd: Crowd) -> None:
    """At each size, every tile at its width there, cut from all leaves anew; and all narrower."""
    leaves: list[bytes] = []
    for count in (1, 3, 9, 20, 1, 200, 20, 18, 30, 250):
        leaves += [leaf_hash(data) for data in grow(store, crowd, count).entries]
        with store.reader() as reader:
            assert reader.head.root == root_of(leaves)
            for tile in new_tiles(0, len(leaves)):
                row = hashes_of_level(leaves, tile.level)
                whole = row[tile.index * 256 : tile.index * 256 + tile.width]
                assert reader.tile(tile) == b"".join(whole)
                narrow = replace(tile, width=max(1, tile.width * 2 // 3))
                assert reader.tile(narrow) == b"".join(whole[: narrow.width])
                if tile.width < 256:
                    with pytest.raises(MalformedInput, match=r"R-20\.2"):
                        reader.tile(replace(tile, width=tile.width + 1))
    assert len(leaves) > 512


def hashes_of_level(leaves: list[bytes], level: int) -> list[bytes]:
    step = 256**level
    return [root_of(leaves[at : at + step]) for at in range(0, len(leaves) - step + 1, step)]


def test_tiles_of_three_levels(engine: Engine, store: Store) -> None:
    """70,000 entries that no rule has seen."""
    leaves: list[bytes] = []
    for count in (2, 255, 4_096, 61_183, 4_000, 464):
        commit = opaque(store, count)
        store.perform(commit, b"note")
        leaves += map(leaf_hash, commit.entries)
    store.close()
    again = engine.open()
    grown = new_tiles(0, len(leaves))
    with again.reader() as reader:
        tiles = {tile: reader.tile(tile) for tile in grown}
    again.close()
    assert len(leaves) == 70_000
    widths = {(tile.level, tile.index): tile.width for tile in tiles}
    assert (widths[0, 273], widths[1, 0], widths[1, 1], widths[2, 0]) == (112, 256, 17, 1)
    for level in range(3):
        rows = b"".join(tiles[tile] for tile in tiles if tile.level == level)
        assert rows == b"".join(hashes_of_level(leaves, level))


def store_is_not_read(number: int) -> bytes:
    raise AssertionError(number)


def opaque(store: Store, count: int) -> Commit:
    """A batch of `count` entries of no meaning, the directory root included."""
    with store.view() as view:
        head, frontier, directory = view.head, view.frontier, view.directory
    data = [entry.block(NOW, b"%d" % number) for number in range(head.size, head.size + count - 1)]
    data.append(entry.directory_root(NOW, directory.root))
    extension = frontier.extend([leaf_hash(item) for item in data])
    after = Head(extension.after.size, extension.after.root(), NOW, directory.root)
    links = (NO_LINK,) * count
    update = directory.plan([], store_is_not_read)
    return Commit(head, after, tuple(data), links, extension, {}, update)


def test_nothing_beyond_the_head(store: Store, crowd: Crowd) -> None:
    size = grow(store, crowd, 1).after.size
    with store.reader() as reader:
        assert len(reader.entries(0, size)) == size
        for start, stop in ((0, size + 1), (size, size + 1), (-1, 1), (2, 1)):
            with pytest.raises(MalformedInput, match=r"R-20\.2"):
                reader.entries(start, stop)


def test_a_snapshot_does_not_move(store: Store, crowd: Crowd) -> None:
    grow(store, crowd, 1)
    grow(store, crowd, 20)
    labels = crowd.labels
    with store.reader() as reader:
        before = contents(reader, labels)
        for count in (5, 40, 300):
            grow(store, crowd, count)
            assert contents(reader, labels) == before
            with store.reader() as newer:
                assert newer.head.size > before.head.size
    assert contents_of(store, crowd) != before


def test_readers_in_other_threads_see_whole_batches(store: Store, crowd: Crowd) -> None:
    grow(store, crowd, 1)
    heads = {head_of(store)}
    seen: list[Head] = []
    failures: list[str] = []
    stop = Event()

    def read() -> None:
        while not stop.is_set():
            with store.reader() as reader:
                size, root = reader.head.size, reader.head.root
                frontier = Frontier().append([leaf_hash(x) for x in reader.entries(0, size)])
                if frontier.root() != root or reader.note != crowd.log.note(reader.head):
                    failures.append(f"a mixed snapshot at {size}")
                seen.append(reader.head)

    threads = [Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(25):
        heads.add(grow(store, crowd, 4).after)
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert set(seen) <= heads
    assert len(set(seen)) > 3


def test_an_exception_in_a_reader_leaves_nothing_open(store: Store, crowd: Crowd) -> None:
    with suppress(ZeroDivisionError), store.reader():
        raise ZeroDivisionError
    grow(store, crowd, 1)
