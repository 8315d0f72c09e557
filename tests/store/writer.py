"""A process that writes batch after batch until it is killed, and tells what is done.

A line for each call that returned: `staged SIZE ROOT` or `published SIZE ROOT`. What is written
follows from the head alone, so a size has the same root however often writers were killed.

>>> with Running(home) as running:        # doctest: +SKIP
...     print(running.line(), running.kill())
published 2 5d0e... ['staged 4 11f2...']
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from ledger.format.block import Anchor
from ledger.log.commit import Commit, Head
from ledger.store.backup import LOG, PRIVATE
from ledger.store.lmdb import LmdbStore
from ledger.store.port import PrivateItem
from ledger.store.private import PrivateStore
from tests.store.world import head_of, planned, replanned
from tests.support.actors import LogActor, User, Written, seed

ROOT = Path(__file__).resolve().parents[2]
FOUNDING = LogActor.make()
ACTOR = FOUNDING.after


class Running:
    """A writer at work. Leaving its context ends it in any case."""

    def __init__(self, home: Path) -> None:
        command = [sys.executable, "-m", "tests.store.writer", str(home)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *error: object) -> None:
        with self._process:
            self._process.kill()

    def line(self) -> str:
        """The next thing that it says; waits for it."""
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def kill(self) -> list[str]:
        """End it as a power cut would, and give what it had said and nobody had read."""
        assert self._process.poll() is None, "the writer ended by itself"
        self._process.kill()
        rest, _ = self._process.communicate()
        return rest.splitlines()


def arrivals(head: Head) -> list[Written[User]]:
    """One to three people who arrive after `head`."""
    anchor = Anchor(head.size, head.root)
    names = [f"person {head.size}.{number}" for number in range(1 + head.size % 3)]
    return [User.create(ACTOR, name, anchor, label=seed("label", name)) for name in names]


def private_item(index: int, person: Written[User]) -> PrivateItem:
    opened = person.after.opening.nonce, person.after.opening.identifier
    return PrivateItem(index, person.block.hash, person.after.label, person.boxes, opened)


def write_next(store: LmdbStore, private: PrivateStore) -> None:
    """A batch after the head, staged first if the size is odd."""
    head = head_of(store)
    blocks = [FOUNDING.raw]
    if head.size:
        people = arrivals(head)
        blocks = [person.raw for person in people]
        private.put([private_item(at, person) for at, person in enumerate(people, head.size)])
    commit = planned(store, blocks)
    if head.size % 2:
        store.stage(commit)
        say("staged", commit)
        store.publish(commit, ACTOR.note(commit.after))
    else:
        store.perform(commit, ACTOR.note(commit.after))
    say("published", commit)


def recover(store: LmdbStore) -> None:
    """Publish what the writer before left staged."""
    staged = store.staged()
    if staged:
        commit = replanned(store, staged)
        store.publish(commit, ACTOR.note(commit.after))
        say("published", commit)


def say(what: str, commit: Commit) -> None:
    os.write(1, f"{what} {commit.after.size} {commit.after.root.hex()}\n".encode())


def main(home: Path) -> None:
    store = LmdbStore(home / LOG, create=True)
    private = PrivateStore(home / PRIVATE, create=True)
    recover(store)
    while True:
        write_next(store, private)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
