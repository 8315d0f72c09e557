"""A log kept in LMDB: the default engine, on one machine (fills `ledger.store.port.Store`).

>>> store = LmdbStore(path, create=True)                    # doctest: +SKIP
>>> with store.view() as view:                              # doctest: +SKIP
...     commit = plan(view, blocks, now).commit
>>> store.perform(commit, note)                             # doctest: +SKIP

Each write is one transaction: it compares the head that the commit was planned from, and is synced
to disk when it returns. Only then do frontier and directory, which are held in memory, move on. A
reader takes everything from its own transaction; only a view, which is the writer's, and a lookup
see memory. A lookup takes paths from it only while its root is that of the transaction's head.

Opening reads the directory's leaves (some µs a label) and believes nothing: pages, head, tree,
directory, last entry and what is staged have to fit each other, or `StoreError` says what does not.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Lock

from ledger.errors import StoreError
from ledger.log.commit import Commit
from ledger.store import layout, opening, writing
from ledger.store.environment import MAP_SIZE, META, Environment, Transaction
from ledger.store.held import HeldSnapshot
from ledger.store.highwater import HighWater
from ledger.store.port import Staged
from ledger.store.snapshot import Planning, Proving, Snapshot
from ledger.tree import directory


class LmdbStore:
    """A log in the directory `path`. `create` makes what is missing.

    `unconfirmed` opens a restored copy to be read and checked; nothing is written to it, and
    without it such a copy is refused (R-73.2). `check` reads the whole file first; without it,
    damage may show late, or end the process, or hide a record.
    """

    def __init__(
        self,
        path: Path,
        *,
        create: bool = False,
        unconfirmed: bool = False,
        check: bool = True,
        map_size: int = MAP_SIZE,
    ) -> None:
        self._lock = Lock()
        self._moving = Lock()  # held while memory moves on, not while a commit waits for the disk
        self._environment = Environment(
            path,
            layout.KIND,
            layout.TABLES,
            create=create,
            check=check,
            map_size=map_size,
        )
        try:
            with self._environment.read() as transaction:
                if transaction.get(META, layout.UNCONFIRMED) is not None and not unconfirmed:
                    raise StoreError(
                        f"{path} was restored: confirm that nothing newer was published"
                    )
                self._memory = opening.load(transaction)
                self._mark = HighWater(path, transaction.count(layout.ENTRIES))
        except BaseException:
            self._environment.close()
            raise

    @contextmanager
    def reader(self) -> Iterator[Snapshot]:
        with self._environment.read() as transaction:
            yield Snapshot(transaction)

    @contextmanager
    def lookup(self, labels: Collection[bytes]) -> Iterator[Proving]:
        with ExitStack() as stack:
            transaction = stack.enter_context(self._environment.read())
            paths = self._paths(transaction, labels)
            if paths is None:
                # A commit came between; beside the next one there is no telling what will.
                stack.pop_all().close()
                with self._lock:
                    transaction = stack.enter_context(self._environment.read())
                    paths = self._paths(transaction, labels)
            if paths is None:
                raise StoreError("the directory is not the head's: open the store again")
            yield Proving(transaction, paths)

    def hold(self) -> HeldSnapshot:
        with self._lock:  # so that transaction and memory are of one head
            return HeldSnapshot(self._environment.hold(), self._memory.directory.copy())

    @contextmanager
    def view(self) -> Iterator[Planning]:
        with ExitStack() as stack:
            with self._lock:  # so that transaction and memory are of one head
                transaction = stack.enter_context(self._environment.read())
                memory = self._memory
            yield Planning(transaction, memory.frontier, memory.directory)

    def perform(
        self, commit: Commit, note: bytes, syncing: Callable[[], None] | None = None
    ) -> None:
        with self._lock:
            with self._environment.write(syncing) as transaction:
                if not writing.begin(transaction, commit):
                    writing.append(transaction, commit)
                writing.publish(transaction, commit, note)
            self._advance(commit)

    def stage(self, commit: Commit) -> None:
        with self._lock:
            with self._environment.write() as transaction:
                if not writing.begin(transaction, commit):
                    writing.stage(transaction, commit)
            self._mark.rise(commit.after.size)

    def publish(self, commit: Commit, note: bytes) -> None:
        with self._lock:
            with self._environment.write() as transaction:
                if not writing.begin(transaction, commit):
                    raise StoreError("this batch is not staged")
                writing.publish(transaction, commit, note)
            self._advance(commit)

    def staged(self) -> Staged | None:
        with self._environment.read() as transaction:
            snapshot = Snapshot(transaction)
            head = snapshot.staged()
            if head is None:
                return None
            entries = tuple(snapshot.staged_entries(head))
            return Staged(entries, head.size, head.root, head.time)

    def live_bytes(self) -> int:
        """What the log takes on disk, without the pages that are free to be used again."""
        with self._environment.read() as transaction:
            return transaction.live_bytes()

    def close(self) -> None:
        self._environment.close()
        self._mark.close()

    def _advance(self, commit: Commit) -> None:
        """Once `commit` is durable."""
        with self._moving:
            self._memory = self._memory.after(commit)
        self._mark.rise(commit.after.size)

    def _paths(
        self, transaction: Transaction, labels: Collection[bytes]
    ) -> dict[bytes, directory.Path] | None:
        """The directory's paths of `labels`, if memory is what the transaction shows."""
        snapshot = Snapshot(transaction)
        with self._moving:
            trie = self._memory.directory
            if trie.root != snapshot.head.directory:
                return None
            return {label: trie.path(label, snapshot.leaf) for label in labels}
