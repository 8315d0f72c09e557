"""A damaged file: a clear sentence, or what it said before, and never a wrong answer."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from ledger.errors import StoreError
from ledger.format import entry
from ledger.log.commit import NO_LINK, Head
from ledger.store import layout
from ledger.store.environment import META, Environment, Transaction
from ledger.store.layout import encode_head, piece_key, u64
from ledger.store.lmdb import LmdbStore
from tests.store import damage
from tests.store.world import Crowd, grow, head_of, planned

ROOT = Path(__file__).resolve().parents[2]
PAGE = 4_096


def answers(path: Path, lines: list[str]) -> list[str]:
    """What became of each damage."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.store.damage", str(path)],
        input="".join(f"{line}\n" for line in lines),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    found = done.stdout.splitlines()
    assert done.returncode == 0, f"'{lines[len(found)]}' ended it: {done.stderr[-400:]}"
    return found


def test_a_file_cut_short(tmp_path: Path) -> None:
    size = damage.build(tmp_path)
    lengths = [0, 1, PAGE - 1, PAGE, 2 * PAGE, 3 * PAGE, size // 2, size - PAGE, size - 1]
    lengths += [Random(1).randrange(size) for _ in range(20)]
    found = answers(tmp_path, [f"cut {length}" for length in lengths])
    assert all("no database" in answer or "damaged" in answer for answer in found), found


def test_a_file_cut_short_and_not_checked(tmp_path: Path) -> None:
    size = damage.build(tmp_path)
    os.truncate(tmp_path / "sound" / "data.mdb", size - PAGE)
    with pytest.raises(StoreError, match="seems cut short"):
        LmdbStore(tmp_path / "sound", check=False)


def test_a_file_cut_short_and_asked_for_its_mark(tmp_path: Path) -> None:
    """In a process of its own: LMDB would end it where a page is missing."""
    size = damage.build(tmp_path)
    path = tmp_path / "sound"
    script = "import sys; from pathlib import Path; from ledger.store.backup import is_unconfirmed"
    for cut in (PAGE, 2 * PAGE, size // 2):
        os.truncate(path / "data.mdb", size - cut)
        done = subprocess.run(
            [sys.executable, "-c", f"{script}; is_unconfirmed(Path(sys.argv[1]))", str(path)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert "StoreError" in done.stderr.splitlines()[-1]
        assert "damaged" in done.stderr.splitlines()[-1]


def flips(size: int, seed: int) -> list[str]:
    """LMDB's choice of head, and in every page a bit of its head and one anywhere."""
    random = Random(seed)
    places = [*range(144, 152), *range(PAGE + 144, PAGE + 152)]
    places += [at + random.randrange(64) for at in range(0, size, PAGE)]
    places += [at + random.randrange(PAGE) for at in range(0, size, PAGE)]
    return [f"flip {place} {random.randrange(8)}" for place in places]


def check_flips(path: Path, lines: list[str]) -> Counter[str]:
    found = answers(path, lines)
    wrong = [line for line, answer in zip(lines, found, strict=True) if answer == "WRONG"]
    assert wrong == []
    return Counter(answer.split()[0] for answer in found)


def test_flipped_bits(tmp_path: Path) -> None:
    counts = check_flips(tmp_path, flips(damage.build(tmp_path), seed=1))
    assert counts["refused"] > 50
    assert counts["same"] > 10


@pytest.mark.soak
def test_many_flipped_bits(tmp_path: Path) -> None:
    size = damage.build(tmp_path)
    for seed in range(50):
        check_flips(tmp_path, flips(size, seed))


def test_bits_that_flip_later(tmp_path: Path) -> None:
    """In the file of a store that is open: it sees them at once, in what it reads next."""
    store, crowd = LmdbStore(tmp_path, create=True), Crowd()
    size = [grow(store, crowd, 20).after.size for _ in range(5)][-1]
    with store.reader() as reader:
        data = reader.entries(5, 6)[0]
    file = tmp_path / "data.mdb"
    descriptor = os.open(file, os.O_WRONLY)
    for found in re.finditer(re.escape(data), file.read_bytes()):  # in free pages too
        os.pwrite(descriptor, bytes([data[30] ^ 1]), found.start() + 30)
    os.close(descriptor)
    with store.reader() as reader:
        assert len(reader.entries(6, size)) == size - 6
        for start in range(6):
            with pytest.raises(StoreError, match="'entries' is damaged"):
                reader.entries(start, size)
    store.close()


# Records that are whole by their checksums, and don't fit the others.

Tamper = Callable[[Transaction, Head], None]
Key = Callable[[Head], bytes]


def set_meta(name: bytes, change: Callable[[bytes], bytes]) -> Tamper:
    return set_record(META, lambda _: name, change)


def set_record(table: str, key: Key, change: Callable[[bytes], bytes]) -> Tamper:
    def tamper(transaction: Transaction, head: Head) -> None:
        value = transaction.get(table, key(head))
        assert value is not None
        transaction.put(table, [(key(head), change(value))])

    return tamper


def remove(table: str, key: Key) -> Tamper:
    def tamper(transaction: Transaction, head: Head) -> None:
        assert transaction.take(table, key(head)) is not None

    return tamper


def remove_first(table: str) -> Tamper:
    def tamper(transaction: Transaction, head: Head) -> None:
        key, _ = next(iter(transaction.scan(table)))
        transaction.take(table, key)

    return tamper


def set_time(transaction: Transaction, head: Head) -> None:
    """Another time, wherever the last batch's time stands; only the tree knows better."""
    later = replace(head, time=head.time + 1)
    last = u64(NO_LINK) + entry.directory_root(later.time, head.directory)
    transaction.put(META, [(layout.HEAD, encode_head(later) + b"note")])
    transaction.put(layout.ENTRIES, [(u64(head.size - 1), last)])
    transaction.put(layout.BATCHES, [(u64(head.size), head.root + u64(later.time))])


def flipped(at: int) -> Callable[[bytes], bytes]:
    """A change of the lowest bit of byte `at`."""

    def change(value: bytes) -> bytes:
        changed = bytearray(value)
        changed[at] ^= 1
        return bytes(changed)

    return change


def entry_key(offset: int) -> Key:
    return lambda head: u64(head.size + offset)


def last_piece(head: Head) -> bytes:
    return piece_key(0, (head.size - 1) // layout.PIECE)


def first_group(head: Head) -> bytes:
    return u64(0)


WRONG_COUNT = "the number of entries is not the head's"
WRONG_LAST = "the last entry is not the head's"
WRONG_BATCH = "the last batch is not the head's"
WRONG_STAGED = "the staged entries do not lead to the staged root"

TAMPERED: dict[str, tuple[Tamper, str]] = {
    "time": (set_meta(layout.HEAD, flipped(15)), WRONG_LAST),
    "root": (set_meta(layout.HEAD, flipped(16)), "hashes do not lead to the head's root"),
    "directory": (set_meta(layout.HEAD, flipped(48)), WRONG_LAST),
    "note": (set_meta(layout.HEAD, lambda value: value[:80]), WRONG_BATCH),
    "head": (remove(META, lambda _: layout.HEAD), "the directory is not the head's"),
    "log id": (set_meta(layout.LOG, flipped(0)), "the first block is not the log's"),
    "staged root": (set_meta(layout.STAGED, flipped(16)), WRONG_STAGED),
    "staged size": (set_meta(layout.STAGED, flipped(7)), WRONG_COUNT),
    "staged": (remove(META, lambda _: layout.STAGED), WRONG_COUNT),
    "staged entry": (set_record(layout.ENTRIES, entry_key(0), flipped(99)), WRONG_STAGED),
    "no staged entry": (remove(layout.ENTRIES, entry_key(0)), WRONG_COUNT),
    "first entry": (
        set_record(layout.ENTRIES, lambda _: u64(0), flipped(99)),
        "the first block is not the log's",
    ),
    "last entry": (set_record(layout.ENTRIES, entry_key(-1), flipped(20)), WRONG_LAST),
    "time everywhere": (set_time, "the last entry is not the tree's"),
    "hash": (
        set_record(layout.HASHES, last_piece, flipped(0)),
        "hashes do not lead to the head's root",
    ),
    "piece": (remove(layout.HASHES, last_piece), "has lost tile/0/000"),
    "batch": (set_record(layout.BATCHES, lambda head: u64(head.size), flipped(0)), WRONG_BATCH),
    "leaves": (remove_first(layout.LEAVES), "has lost the directory's leaf 0"),
    "a leaf": (set_record(layout.LEAVES, first_group, flipped(32)), "the directory is not the"),
    "no leaf": (
        set_record(layout.LEAVES, first_group, lambda group: group[64:]),
        "has lost the directory's leaf 6",
    ),
    "half a leaf": (
        set_record(layout.LEAVES, first_group, lambda group: group[:-1]),
        "a leaf of the directory is damaged",
    ),
    "a leaf twice": (
        set_record(layout.LEAVES, first_group, lambda group: group[:64] + group[:-64]),
        "holds a label twice",
    ),
}


@pytest.mark.parametrize("part", TAMPERED)
def test_parts_that_do_not_fit(tmp_path: Path, part: str) -> None:
    tamper, sentence = TAMPERED[part]
    store, crowd = LmdbStore(tmp_path, create=True), Crowd()
    for count in (1, 5, 40):
        grow(store, crowd, count)
    store.stage(planned(store, [item.raw for item in crowd.write(head_of(store), 3)]))
    head = head_of(store)
    store.close()
    LmdbStore(tmp_path).close()
    environment = Environment(tmp_path, layout.KIND, layout.TABLES)
    with environment.write() as transaction:
        tamper(transaction, head)
    environment.close()
    with pytest.raises(StoreError, match=sentence):
        LmdbStore(tmp_path)


def test_an_older_database_in_its_place(tmp_path: Path) -> None:
    """What was signed since would be signed anew."""
    store, crowd = LmdbStore(tmp_path, create=True), Crowd()
    grow(store, crowd, 1)
    store.close()
    older = (tmp_path / "data.mdb").read_bytes()
    store = LmdbStore(tmp_path)
    store.stage(planned(store, []))
    store.close()
    newer = (tmp_path / "data.mdb").read_bytes()
    (tmp_path / "data.mdb").write_bytes(older)
    with pytest.raises(StoreError, match="held 3 entries and now holds 2"):
        LmdbStore(tmp_path)
    (tmp_path / "data.mdb").write_bytes(newer)
    LmdbStore(tmp_path).close()


@pytest.mark.parametrize("content", [b"", b"9", b"99999999999999999999 00000000\n", b"x" * 40])
def test_a_high_water_mark_that_says_nothing(tmp_path: Path, content: bytes) -> None:
    store, crowd = LmdbStore(tmp_path, create=True), Crowd()
    grow(store, crowd, 1)
    store.close()
    (tmp_path / "highwater").write_bytes(content)
    LmdbStore(tmp_path).close()
    assert (tmp_path / "highwater").read_bytes().startswith(b"00000000000000000002 ")
