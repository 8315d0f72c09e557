"""Snapshots that are kept: they prove what was, however far the writer has gone on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from ledger.errors import StoreError
from ledger.store.port import Held, Standing, Store
from tests.store.test_lookup import STRANGERS, check
from tests.store.world import Crowd, Engine, grow


def check_all(
    held: Held, labels: list[bytes], note: bytes = b"another note"
) -> dict[bytes, Standing]:
    with held.lookup(labels, note) as reader:
        assert (reader.head, reader.note) == (held.head, note)
        return {label: check(reader, label) for label in labels}


def test_it_does_not_move(store: Store, crowd: Crowd) -> None:
    """Old labels change, new ones come between them, buckets of the trie split: all beside it."""
    kept: list[tuple[Held, list[bytes], dict[bytes, Standing]]] = []
    for count in (1, 30, 200, 30):
        grow(store, crowd, count)
        labels = [*crowd.labels, *STRANGERS]
        with store.reader() as reader:
            head, note = reader.head, reader.note
        held = store.hold()
        assert (held.head, held.note) == (head, note)
        kept.append((held, labels, check_all(held, labels)))
    for held, labels, before in kept:
        assert check_all(held, labels) == before
    for held, labels, _ in kept[::2]:
        held.close()
        held.close()
        with pytest.raises(StoreError, match="let go"), held.lookup(labels, b"note"):
            pass
    grow(store, crowd, 100)
    for held, labels, before in kept[1::2]:
        assert check_all(held, labels) == before
        held.close()


def test_many_threads_ask_while_the_writer_writes(store: Store, crowd: Crowd) -> None:
    grow(store, crowd, 1)
    grow(store, crowd, 100)
    labels = [*crowd.labels, *STRANGERS]
    held = store.hold()
    before = check_all(held, labels)
    with ThreadPoolExecutor(5) as threads:
        writing = threads.submit(lambda: [grow(store, crowd, 20) for _ in range(20)])
        asking = [threads.submit(check_all, held, labels[n::4]) for n in range(4) for _ in range(3)]
        for done in asking:
            assert done.result().items() <= before.items()
        writing.result()
    held.close()


def test_one_that_is_open_when_the_store_closes(engine: Engine, store: Store, crowd: Crowd) -> None:
    grow(store, crowd, 1)
    grow(store, crowd, 10)
    held = store.hold()
    store.close()
    with pytest.raises(StoreError), held.lookup(crowd.labels, b"note"):
        pass
    held.close()
    engine.open().close()
