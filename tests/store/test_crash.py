"""A writer that is killed at any moment: what it was told to be done is there, whole."""

from __future__ import annotations

import time
from pathlib import Path
from random import Random

import pytest

from ledger.format import block, entry
from ledger.store.backup import LOG
from ledger.store.lmdb import LmdbStore
from ledger.store.port import Reader
from ledger.tree.merkle import Frontier, leaf_hash
from tests.store.writer import Running


class Told:
    """What writers said was staged and published, over all their lives."""

    def __init__(self) -> None:
        self.roots: dict[int, str] = {}
        self.published = 0

    def hear(self, line: str) -> None:
        what, size, root = line.split()
        assert self.roots.setdefault(int(size), root) == root, "a second root for one size"
        if what == "published":
            self.published = int(size)

    def check(self, home: Path) -> None:
        store = LmdbStore(home / LOG)
        staged = store.staged()
        with store.reader() as reader:
            check_whole(reader)
            size = reader.head.size
            assert size >= self.published
            for at, root in self.roots.items():
                if at <= size:
                    end = reader.batch_end(at)
                    assert end is not None
                    assert end[0].hex() == root
                else:
                    assert staged is not None
                    assert (staged.size, staged.root.hex()) == (at, root)
        store.close()


def check_whole(reader: Reader) -> None:
    """The entries give the root; every block is the next of its chain."""
    entries = reader.entries(0, reader.head.size)
    assert Frontier().append([leaf_hash(data) for data in entries]).root() == reader.head.root
    for index, data in enumerate(entries):
        found = entry.parse(data)
        if found.kind == entry.BLOCK:
            parsed = block.parse(found.body)
            assert reader.blocks_of(parsed.label, parsed.seq, 1) == [index]


def kill_often(home: Path, times: int) -> Told:
    told, random = Told(), Random(times)
    for _ in range(times):
        with Running(home) as running:
            for _ in range(random.randrange(1, 40)):
                told.hear(running.line())
            time.sleep(random.random() * 0.005)
            for line in running.kill():
                told.hear(line)
        told.check(home)
    return told


def test_killed_at_any_moment(tmp_path: Path) -> None:
    assert kill_often(tmp_path, 20).published > 200


@pytest.mark.soak
def test_killed_very_often(tmp_path: Path) -> None:
    assert kill_often(tmp_path, 300).published > 1_000
