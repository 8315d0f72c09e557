"""Opens and reads damaged copies of a log in a process of its own, which damage might end.

    python -m tests.store.damage PATH < LINES

PATH holds a sound log and what its reader shows. A line names one damage: `cut LENGTH` of the file
or `flip POSITION BIT`. Each is answered by a line: `refused SENTENCE` when opening or reading
raised `StoreError`, `same` when all that is read is as before, `WRONG` otherwise.
"""

from __future__ import annotations

import pickle
import shutil
import sys
from pathlib import Path

from ledger.errors import StoreError
from ledger.store.highwater import FILE
from ledger.store.lmdb import LmdbStore
from tests.store.world import Crowd, contents_of, grow

CONTENTS = "contents.pickle"


def build(path: Path) -> int:
    """A sound log at `path`; its file's size."""
    store, crowd = LmdbStore(path / "sound", create=True), Crowd()
    for count in (1, 5, 40, 7, 60):
        grow(store, crowd, count)
    found = contents_of(store, crowd)
    store.close()
    (path / CONTENTS).write_bytes(pickle.dumps((crowd, found)))
    return (path / "sound" / "data.mdb").stat().st_size


def damaged(sound: bytes, what: str) -> bytes:
    kind, *numbers = what.split()
    if kind == "cut":
        return sound[: int(numbers[0])]
    changed = bytearray(sound)
    changed[int(numbers[0])] ^= 1 << int(numbers[1])
    return bytes(changed)


def judge(path: Path, expected: object, crowd: Crowd) -> str:
    try:
        store = LmdbStore(path)
    except StoreError as error:
        return f"refused {error}"
    try:
        if contents_of(store, crowd) != expected:
            return "WRONG"
        grow(store, crowd, 10)
        return "same"
    except StoreError as error:
        return f"refused {error}"
    finally:
        store.close()


def main(path: Path) -> None:
    sound = (path / "sound" / "data.mdb").read_bytes()
    for line in sys.stdin:
        crowd, expected = pickle.loads((path / CONTENTS).read_bytes())
        copy = path / "damaged"
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        shutil.copyfile(path / "sound" / FILE, copy / FILE)
        (copy / "data.mdb").write_bytes(damaged(sound, line))
        print(judge(copy, expected, crowd).replace("\n", " "), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
