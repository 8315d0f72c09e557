"""A snapshot that outlives later commits, directory and all (fills the port's `Held`).

It is a read transaction that stays open, and a copy of the directory's hashes. Until it is closed
LMDB uses no page again that later commits give free, so the file grows by what these write.

>>> held = store.hold()                                     # doctest: +SKIP
>>> with held.lookup([label], note) as reader:              # doctest: +SKIP
...     reader.standing(label)
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from threading import Lock

import lmdb

from ledger.errors import StoreError
from ledger.store.environment import Transaction
from ledger.store.snapshot import Proving, Snapshot
from ledger.tree.directory import Directory


class HeldSnapshot:
    """The port's `Held`."""

    def __init__(self, transaction: Transaction, directory: Directory) -> None:
        self._transaction: Transaction | None = transaction
        self._directory = directory
        self._lock = Lock()  # one transaction is for one thread at a time
        snapshot = Snapshot(transaction)
        self.head, self.note = snapshot.head, snapshot.note
        if directory.root != self.head.directory:
            transaction.end()
            raise StoreError("the directory is not the head's: open the store again")

    @contextmanager
    def lookup(self, labels: Collection[bytes], note: bytes) -> Iterator[Proving]:
        with self._lock:
            if self._transaction is None:
                raise StoreError("this snapshot was let go")
            try:
                read = Snapshot(self._transaction).leaf
                paths = {label: self._directory.path(label, read) for label in labels}
                yield Proving(self._transaction, paths, note)
            except lmdb.Error as error:
                raise StoreError(f"a snapshot cannot be read: {error}") from error

    def close(self) -> None:
        with self._lock:
            if self._transaction is not None:
                self._transaction.end()
                self._transaction = None
