"""What tests of stores share: a crowd that writes real blocks, engines, all that can be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Protocol

from ledger.format import block, entry
from ledger.format.block import LOG_LABEL, Anchor
from ledger.format.bodies import Limits
from ledger.log.commit import Commit, Head
from ledger.log.planner import Admission, plan
from ledger.rules.state import Chain
from ledger.store.lmdb import LmdbStore
from ledger.store.port import Reader, Staged, Store
from ledger.tree.tiles import Tile, new_tiles
from tests.support.actors import NOW, LogActor, User, Written, seed


class Engine(Protocol):
    """A place where a store lies, to be opened, closed and opened again."""

    def open(self, *, create: bool = False) -> Store: ...


@dataclass(frozen=True, slots=True)
class Lmdb:
    path: Path

    def open(self, *, create: bool = False) -> Store:
        return LmdbStore(self.path, create=create)


ENGINES: list[Callable[[Path], Engine]] = [Lmdb]


class Crowd:
    """People who write what the rules admit, each at most once in a batch; the same every time."""

    def __init__(self, start: int = 0) -> None:
        founding = LogActor.make(limits=Limits(max_blocks_per_day=65_535))
        self.founding = founding.raw
        self.log = founding.after
        self.users: list[User] = []
        self._random = Random(start)

    @property
    def labels(self) -> list[bytes]:
        return [LOG_LABEL, *(user.label for user in self.users)]

    def write(self, head: Head, count: int) -> list[Written[User]]:
        """`count` blocks for one batch after `head`: newcomers, and what the others feel like."""
        anchor = Anchor(head.size, head.root)
        places = self._random.sample(range(len(self.users)), min(count * 2 // 3, len(self.users)))
        written = [self._act(self.users[place], anchor) for place in places]
        for place, item in zip(places, written, strict=True):
            self.users[place] = item.after
        for number in range(count - len(written)):
            name = f"person {head.size}.{number}"
            item = User.create(self.log, name, anchor, label=seed("label", name))
            self.users.append(item.after)
            written.append(item)
        return written

    def _act(self, user: User, anchor: Anchor) -> Written[User]:
        if not user.devices or self._random.random() < 0.05:
            return user.reset(self.log, anchor)
        if self._random.random() < 0.05:
            return user.close(anchor)
        if len(user.devices) > 1 and self._random.random() < 0.4:
            return user.revoke(anchor, 1)
        return user.add(anchor) if len(user.devices) < 16 else user.close(anchor)


def planned(store: Store, blocks: Sequence[bytes], now: int = NOW) -> Commit:
    """The commit of these blocks, all of which are admitted, as the store's writer plans it."""
    with store.view() as view:
        result = plan(view, [block.parse(raw) for raw in blocks], now)
    assert all(isinstance(item, Admission) for item in result.results), result.results
    return result.commit


def head_of(store: Store) -> Head:
    with store.reader() as reader:
        return reader.head


def grow(store: Store, crowd: Crowd, count: int) -> Commit:
    """Perform a batch of `count` blocks; the first one begins the log."""
    head = head_of(store)
    blocks = [item.raw for item in crowd.write(head, count)] if head.size else [crowd.founding]
    commit = planned(store, blocks)
    store.perform(commit, crowd.log.note(commit.after))
    return commit


def replanned(store: Store, staged: Staged) -> Commit:
    """The staged batch, planned again as after a crash."""
    return planned(store, [entry.parse(data).body for data in staged.entries[:-1]], staged.time)


def next_commit(store: Store, crowd: Crowd, count: int = 3) -> Commit:
    return planned(store, [item.raw for item in crowd.write(head_of(store), count)])


def blocks_in(commit: Commit) -> Iterator[bytes]:
    return (entry.parse(data).body for data in commit.entries[:-1])


@dataclass(frozen=True, slots=True)
class Contents:
    """All that a reader shows of some labels' chains and of the tree."""

    log_id: bytes
    head: Head
    note: bytes
    entries: list[bytes]
    ends: dict[int, tuple[bytes, int]]
    tiles: dict[Tile, bytes]
    chains: dict[bytes, Chain | None]
    blocks: dict[bytes, list[int]]


def contents(reader: Reader, labels: Sequence[bytes]) -> Contents:
    size = reader.head.size
    ends = {at: reader.batch_end(at) for at in range(size + 2)}
    return Contents(
        reader.log_id,
        reader.head,
        reader.note,
        reader.entries(0, size),
        {at: end for at, end in ends.items() if end},
        {tile: reader.tile(tile) for tile in new_tiles(0, size)},
        {label: reader.chain(label) for label in labels},
        {label: reader.blocks_of(label, 0, size) for label in labels},
    )


def contents_of(store: Store, crowd: Crowd) -> Contents:
    with store.reader() as reader:
        return contents(reader, crowd.labels)
