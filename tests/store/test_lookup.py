"""Proofs in the directory, out of each engine: right ones for the snapshot's head, or none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from threading import Event, Thread

import pytest

from ledger.errors import StoreError
from ledger.format import entry
from ledger.format.block import LOG_LABEL
from ledger.log.commit import Commit
from ledger.rules.state import Chain
from ledger.store import layout
from ledger.store.environment import Environment, Transaction
from ledger.store.lmdb import LmdbStore
from ledger.store.port import Lookup, Standing, Store
from ledger.tree.directory_proof import Nothing, Other, verify_absent, verify_present
from tests.store.world import Crowd, Engine, grow
from tests.support.actors import seed

STRANGERS = [seed("stranger", number) for number in range(40)]


def check(reader: Lookup, label: bytes) -> Standing:
    """What stands for a label, by a proof for the root that the last entry is."""
    size = reader.head.size
    root = entry.parse(reader.entries(size - 1, size)[0]).body
    found = reader.standing(label)
    assert found.chain == reader.chain(label)
    if found.chain:
        verify_present(label, found.chain.value, found.proof, root)
    else:
        verify_absent(label, found.proof, root)
    return found


def check_all(store: Store, labels: list[bytes]) -> dict[bytes, Standing]:
    with store.lookup(labels) as reader:
        return {label: check(reader, label) for label in labels}


def test_whatever_stands_for_a_label_is_proven(engine: Engine, store: Store, crowd: Crowd) -> None:
    labels: list[bytes] = []
    found: dict[bytes, Standing] = {}
    for count in (1, 1, 5, 60, 300):
        grow(store, crowd, count)
        labels = [*crowd.labels, *STRANGERS]
        found = check_all(store, labels)
        assert all(found[label].chain for label in crowd.labels)
        assert all(found[label].chain is None for label in STRANGERS)
    assert {type(found[label].proof.end) for label in STRANGERS} == {Nothing, Other}
    store.close()
    again = engine.open()
    assert check_all(again, labels) == found
    grow(again, crowd, 50)
    check_all(again, [*crowd.labels, *STRANGERS])
    again.close()


def test_only_what_it_was_opened_for(store: Store, crowd: Crowd) -> None:
    grow(store, crowd, 1)
    with store.lookup([LOG_LABEL]) as reader, pytest.raises(KeyError):
        reader.standing(STRANGERS[0])


def test_a_lookup_does_not_move(store: Store, crowd: Crowd) -> None:
    """Its paths are those of its snapshot, however long the writer has gone on since."""
    grow(store, crowd, 1)
    grow(store, crowd, 30)
    labels = [*crowd.labels, *STRANGERS]
    with store.lookup(labels) as reader:
        before = {label: check(reader, label) for label in labels}
        for count in (1, 30, 200):
            grow(store, crowd, count)
            assert {label: check(reader, label) for label in labels} == before
    assert check_all(store, labels) != before


def test_lookups_beside_a_writer(store: Store, crowd: Crowd) -> None:
    """Two threads, and commits all the time: every proof leads to its own head's root."""
    grow(store, crowd, 1)
    grow(store, crowd, 40)
    labels = [*crowd.labels, *STRANGERS]
    sizes: set[int] = set()
    failures: list[BaseException] = []
    stop = Event()

    def look() -> None:
        try:
            while not stop.is_set():
                with store.lookup(labels) as reader:
                    for label in labels:
                        check(reader, label)
                    sizes.add(reader.head.size)
        except BaseException as error:  # noqa: BLE001 - told below
            failures.append(error)

    threads = [Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(40):
        grow(store, crowd, 20)
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(sizes) > 3


@pytest.fixture
def log(tmp_path: Path, crowd: Crowd) -> Iterator[LmdbStore]:
    """LMDB in particular: its directory is in memory, and moves on after the commit."""
    store = LmdbStore(tmp_path / "lmdb", create=True)
    for count in (1, 30, 30):
        grow(store, crowd, count)
    yield store
    store.close()


def test_a_commit_that_is_durable_but_not_yet_in_memory(
    log: LmdbStore, crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lookup waits for memory, and answers for the new head."""
    labels = [*crowd.labels, *STRANGERS]
    durable, go_on, advance, size = Event(), Event(), LmdbStore._advance, _size(log)

    def late(store: LmdbStore, commit: Commit) -> None:
        durable.set()
        assert go_on.wait(10)
        advance(store, commit)

    monkeypatch.setattr(LmdbStore, "_advance", late)
    writer = Thread(target=grow, args=(log, crowd, 30))
    writer.start()
    assert durable.wait(10)
    assert _size(log) > size
    seen: list[int] = []

    def look() -> None:
        with log.lookup(labels) as reader:
            for label in labels:
                check(reader, label)
            seen.append(reader.head.size)

    looker = Thread(target=look)
    looker.start()
    looker.join(0.2)
    assert seen == []
    go_on.set()
    for thread in (looker, writer):
        thread.join()
    assert seen == [_size(log)]


def test_a_commit_between_snapshot_and_paths(
    log: LmdbStore, crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory has moved on: the lookup begins anew, and answers for the new head."""
    labels = [*crowd.labels, *STRANGERS]
    read, between = Environment.read, [True]

    @contextmanager
    def reading(environment: Environment) -> Iterator[Transaction]:
        with read(environment) as transaction:
            if between:
                between.clear()
                writer = Thread(target=grow, args=(log, crowd, 30))
                writer.start()
                writer.join()
            yield transaction

    before = _size(log)
    monkeypatch.setattr(Environment, "read", reading)
    with log.lookup(labels) as reader:
        for label in labels:
            check(reader, label)
        assert reader.head.size > before


def test_a_directory_that_is_not_the_heads(log: LmdbStore, crowd: Crowd) -> None:
    """It would be a bug of ours; no proof is made of it."""
    with log.view() as view:
        update = view.directory.plan([(STRANGERS[0], bytes(32))], view.leaf)
    log._memory.directory.apply(update)
    with pytest.raises(StoreError, match="not the head's"), log.lookup([LOG_LABEL]):
        pass


def test_records_that_do_not_fit_the_directory(log: LmdbStore, crowd: Crowd) -> None:
    """Another chain, a lost chain, a lost leaf: sentences, and no proofs."""
    label = crowd.users[0].label
    chain = log_chain(log, label)
    key = _leaves_key(log, label)
    spoilt = {
        layout.CHAINS: (label, Chain(9, sha256(b"").digest(), chain.state, chain.encoded).record()),
        layout.LEAVES: (key, None),
    }
    for table, (where, record) in spoilt.items():
        with log._environment.write() as transaction:
            whole = transaction.take(table, where)
            assert whole
            if record:
                transaction.put(table, [(where, record)])
        with pytest.raises(StoreError, match=r"damaged|lost"), log.lookup([label]) as reader:
            reader.standing(label)
        with log._environment.write() as transaction:
            transaction.put(table, [(where, whole)])
        check_all(log, [label])


def log_chain(log: LmdbStore, label: bytes) -> Chain:
    with log.reader() as reader:
        chain = reader.chain(label)
    assert chain
    return chain


def _leaves_key(log: LmdbStore, label: bytes) -> bytes:
    with log.view() as view:
        update = view.directory.plan([(label, bytes(32))], view.leaf)
    (number,) = update.writes
    return layout.u64(number // layout.LEAF_GROUP)


def _size(log: LmdbStore) -> int:
    with log.reader() as reader:
        return reader.head.size
