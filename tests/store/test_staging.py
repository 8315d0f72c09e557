"""What every engine owes of a batch on its way: staged, published, refused, in any order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import MalformedInput, StoreError
from ledger.log.commit import Commit
from ledger.store.port import Staged, Store
from ledger.tree.merkle import Extension, Frontier
from tests.store.world import (
    ENGINES,
    Crowd,
    Engine,
    blocks_in,
    contents,
    contents_of,
    grow,
    head_of,
    next_commit,
    planned,
    replanned,
)
from tests.support.memory import MemoryLog


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
