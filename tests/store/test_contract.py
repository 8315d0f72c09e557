"""What every engine of the port owes, run through each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import MalformedInput, StoreError
from ledger.format import entry
from ledger.format.block import LOG_LABEL, NO_LOG_ID
from ledger.log.commit import NO_LINK, Commit, Head
from ledger.store.port import Staged, Store
from ledger.tree.directory import Update
from ledger.tree.merkle import Extension, Frontier, leaf_hash, root_of
from ledger.tree.tiles import Tile, new_tiles
from tests.store.world import (
    Crowd,
    Engine,
    Lmdb,
    contents,
    contents_of,
    grow,
    head_of,
    planned,
    replanned,
)
from tests.support.actors import NOW
from tests.support.memory import MemoryLog

ENGINES: list[Callable[[Path], Engine]] = [Lmdb]


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    made: Engine = request.param(tmp_path / "log")
    return made


@pytest.fixture
def store(engine: Engine) -> Iterator[Store]:
    opened = engine.open(create=True)
    yield opened
    opened.close()


@pytest.fixture
def crowd() -> Crowd:
    return Crowd()


def next_commit(store: Store, crowd: Crowd, count: int = 3) -> Commit:
    return planned(store, [item.raw for item in crowd.write(head_of(store), count)])


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
        assert view.bucket(b"\0") is None
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


def blocks_in(commit: Commit) -> Iterator[bytes]:
    return (entry.parse(data).body for data in commit.entries[:-1])


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


def opaque(store: Store, count: int) -> Commit:
    """A batch of `count` entries of no meaning, the directory root included."""
    with store.view() as view:
        head, frontier, directory = view.head, view.frontier, view.directory
    data = [entry.block(NOW, b"%d" % number) for number in range(head.size, head.size + count - 1)]
    data.append(entry.directory_root(NOW, directory.root))
    extension = frontier.extend([leaf_hash(item) for item in data])
    after = Head(extension.after.size, extension.after.root(), NOW, directory.root)
    links = (NO_LINK,) * count
    return Commit(head, after, tuple(data), links, extension, {}, Update(directory.root))


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


def test_what_is_staged_is_not_seen(store: Store, crowd: Crowd) -> None:
    grow(store, crowd, 1)
    grow(store, crowd, 10)
    labels = crowd.labels
    with store.reader() as reader:
        before = contents(reader, labels)
    commit = next_commit(store, crowd)
    store.stage(commit)
    with store.reader() as reader:
        assert contents(reader, labels) == before
        with pytest.raises(MalformedInput, match=r"R-20\.2"):
            reader.entries(before.head.size, commit.after.size)
    with store.view() as view:
        assert (view.head, view.frontier.size) == (before.head, before.head.size)
        assert view.directory.root == before.head.directory
    after = commit.after
    assert store.staged() == Staged(commit.entries, after.size, after.root, after.time)
    store.publish(commit, crowd.log.note(after))
    assert store.staged() is None
    assert head_of(store) == after
    with store.reader() as reader:
        assert reader.entries(before.head.size, after.size) == list(commit.entries)


@pytest.mark.parametrize("size", [1, 300])
def test_a_crash_between_stage_and_publish(
    engine: Engine, store: Store, crowd: Crowd, size: int
) -> None:
    grow(store, crowd, 1)
    grow(store, crowd, 10)
    before = head_of(store)
    commit = next_commit(store, crowd, size)
    store.stage(commit)
    store.close()
    again = engine.open()
    assert head_of(again) == before
    staged = again.staged()
    assert staged is not None
    assert staged.entries == commit.entries
    recovered = replanned(again, staged)
    assert (recovered.after, recovered.entries) == (commit.after, commit.entries)
    again.stage(recovered)
    again.publish(recovered, crowd.log.note(recovered.after))
    assert (head_of(again), again.staged()) == (commit.after, None)
    grow(again, crowd, 5)
    again.close()


def test_the_first_batch_may_be_staged(engine: Engine, store: Store, crowd: Crowd) -> None:
    store.stage(planned(store, [crowd.founding]))
    store.close()
    again = engine.open()
    staged = again.staged()
    assert staged is not None
    commit = replanned(again, staged)
    again.publish(commit, crowd.log.note(commit.after))
    with again.reader() as reader:
        assert (reader.head, reader.log_id) == (commit.after, crowd.log.log_id)
    again.close()


def test_staging_twice(store: Store, crowd: Crowd) -> None:
    grow(store, crowd, 1)
    commit = next_commit(store, crowd)
    store.stage(commit)
    store.stage(commit)
    staged = store.staged()
    assert staged is not None
    assert staged.entries == commit.entries


def test_a_staged_batch_may_be_performed(store: Store, crowd: Crowd) -> None:
    grow(store, crowd, 1)
    commit = next_commit(store, crowd)
    store.stage(commit)
    store.perform(commit, crowd.log.note(commit.after))
    assert (head_of(store), store.staged()) == (commit.after, None)


@pytest.mark.parametrize("act", ["stage", "perform", "publish"])
@pytest.mark.parametrize("other", ["of the same size", "of another size", "of another time"])
def test_nothing_else_replaces_what_is_staged(
    store: Store, crowd: Crowd, act: str, other: str
) -> None:
    grow(store, crowd, 1)
    blocks = [item.raw for item in crowd.write(head_of(store), 3)]
    commit = planned(store, blocks)
    another = {
        "of the same size": lambda: planned(store, blocks[::-1]),
        "of another size": lambda: planned(store, blocks[:2]),
        "of another time": lambda: planned(store, blocks, commit.after.time + 1),
    }[other]()
    store.stage(commit)
    before = store.staged()
    with pytest.raises(StoreError, match="another batch is staged"):
        attempt(store, act, another, crowd)
    assert store.staged() == before
    store.publish(commit, crowd.log.note(commit.after))
    assert head_of(store) == commit.after


def attempt(store: Store, act: str, commit: Commit, crowd: Crowd) -> None:
    if act == "stage":
        store.stage(commit)
    else:
        getattr(store, act)(commit, crowd.log.note(commit.after))


def test_what_was_not_staged_is_not_published(store: Store, crowd: Crowd) -> None:
    grow(store, crowd, 1)
    before = head_of(store)
    commit = next_commit(store, crowd)
    with pytest.raises(StoreError, match="not staged"):
        store.publish(commit, crowd.log.note(commit.after))
    assert head_of(store) == before
    store.perform(commit, crowd.log.note(commit.after))


@pytest.mark.parametrize("act", ["stage", "perform", "publish"])
def test_a_batch_planned_from_an_old_head(store: Store, crowd: Crowd, act: str) -> None:
    grow(store, crowd, 1)
    blocks = [item.raw for item in crowd.write(head_of(store), 3)]
    first, rival, idle = (planned(store, part) for part in (blocks, blocks[:2], []))
    store.perform(first, crowd.log.note(first.after))
    for late in (first, rival, idle):
        with pytest.raises(StoreError, match="planned from a head"):
            attempt(store, act, late, crowd)
    assert (head_of(store), store.staged()) == (first.after, None)
    grow(store, crowd, 3)


CROOKED: dict[str, Callable[[Commit], Commit]] = {
    "root": lambda c: replace(c, after=replace(c.after, root=bytes(32))),
    "size": lambda c: replace(c, after=replace(c.after, size=c.after.size + 1)),
    "directory": lambda c: replace(c, after=replace(c.after, directory=bytes(32))),
    "links": lambda c: replace(c, links=c.links[1:]),
    "entries": lambda c: replace(c, entries=c.entries[1:], links=c.links[1:]),
    "tree": lambda c: replace(
        c, extension=Extension(Frontier(), c.extension.after, c.extension.rows)
    ),
}


@pytest.mark.parametrize("part", CROOKED)
def test_a_batch_whose_parts_do_not_fit(store: Store, crowd: Crowd, part: str) -> None:
    grow(store, crowd, 1)
    before = head_of(store)
    commit = next_commit(store, crowd)
    crooked = CROOKED[part](commit)
    for act in ("stage", "perform", "publish"):
        with pytest.raises(StoreError, match=r"is not that|are not those"):
            attempt(store, act, crooked, crowd)
    assert (head_of(store), store.staged()) == (before, None)
    store.perform(commit, crowd.log.note(commit.after))


def test_an_exception_in_a_reader_leaves_nothing_open(store: Store, crowd: Crowd) -> None:
    with suppress(ZeroDivisionError), store.reader():
        raise ZeroDivisionError
    grow(store, crowd, 1)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["perform", "stage", "publish", "reopen", "late", "heartbeat"]),
        st.integers(1, 12),
    ),
    max_size=25,
)


@pytest.mark.parametrize("engine_type", ENGINES)
@settings(max_examples=25, deadline=None)
@given(steps=STEPS)
def test_any_order_of_steps(
    engine_type: Callable[[Path], Engine], steps: list[tuple[str, int]]
) -> None:
    """The store follows a model: a log in memory, and at most one batch beside it."""
    with TemporaryDirectory() as directory:
        Walk(engine_type(Path(directory) / "log")).take(steps)


class Walk:
    """A store and its model; a step is a method."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.store = engine.open(create=True)
        self.crowd = Crowd()
        self.model = MemoryLog()
        self.staged: Commit | None = None
        self.last = planned(self.store, [self.crowd.founding])
        self._publish(self.last, self.store.perform)

    def take(self, steps: list[tuple[str, int]]) -> None:
        for step, count in steps:
            getattr(self, step)(count)
            assert head_of(self.store) == self.model.head
            assert self.store.staged() == self._expected()
        found = contents_of(self.store, self.crowd)
        assert found.entries == self.model.entries
        assert found.blocks == {label: self.model.blocks_of(label) for label in self.crowd.labels}
        self.store.close()

    def perform(self, count: int) -> None:
        if self.staged is None:
            self._publish(next_commit(self.store, self.crowd, count), self.store.perform)

    def heartbeat(self, count: int) -> None:
        if self.staged is None:
            self._publish(planned(self.store, []), self.store.perform)

    def stage(self, count: int) -> None:
        self.staged = self.staged or next_commit(self.store, self.crowd, count)
        self.store.stage(self.staged)

    def publish(self, count: int) -> None:
        if staged := self.store.staged():
            self._publish(replanned(self.store, staged), self.store.publish)

    def late(self, count: int) -> None:
        with pytest.raises(StoreError):
            self.store.perform(self.last, b"note")

    def reopen(self, count: int) -> None:
        self.store.close()
        self.store = self.engine.open()

    def _publish(self, commit: Commit, how: Callable[[Commit, bytes], None]) -> None:
        how(commit, self.crowd.log.note(commit.after))
        self.model.admit(blocks_in(commit))
        self.last, self.staged = commit, None

    def _expected(self) -> Staged | None:
        if self.staged is None:
            return None
        after = self.staged.after
        return Staged(self.staged.entries, after.size, after.root, after.time)
