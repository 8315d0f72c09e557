"""Opens tiles of entries in worker processes: decoding, hashing and every signature.

A tile is judged by its bytes and the log id alone, so tiles go to whichever process is free. They
come back as plain tuples in `marshal`'s form, which costs less than pickled objects and is only
ever read by the process that started the worker.

    with Workers(2) as workers:
        for tile in workers.open([(entries, 0)], log_id, crosscheck=True): ...
"""

from __future__ import annotations

import gc
import marshal
import os
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection, get_context, parent_process
from types import TracebackType
from typing import Any, NamedTuple, Self

from verifier import crosscheck
from verifier.blocks import open_block, open_entry
from verifier.errors import Invalid, Undecided
from verifier.merkle import leaf_hash, prefix_root, tile_levels

BLOCK, ROOT, INVALID = range(3)


class Tile(NamedTuple):
    """A tile's root and what its entries are.

    `items` begins at the entry that was asked for: `(BLOCK, time, leaf hash, block's fields)`,
    `(ROOT, time, directory root, tree root over the tile up to here)`, or, as the last one,
    `(INVALID, verdict, rule, why)`. `signatures` counts those that were checked.
    """

    root: bytes
    items: list[Any]
    signatures: int


Bundle = tuple[Sequence[bytes], int]  # entries, and the first of them to open


def open_tile(entries: Sequence[bytes], skip: int, log_id: bytes, *, check: bool) -> Tile:
    """Hashes all entries, opens those from `skip` on."""
    leaves = [leaf_hash(entry) for entry in entries]
    levels = tile_levels(leaves)
    root = prefix_root(levels, len(leaves))
    if check:
        crosscheck.compare(leaves, root)
    items: list[Any] = []
    signatures = 0
    try:
        for at in range(skip, len(entries)):
            kind, time, content = open_entry(entries[at])
            if kind == 0:
                block = open_block(content, log_id)
                signatures += block.signatures()
                items.append((BLOCK, time, leaves[at], tuple(block)))
            else:
                items.append((ROOT, time, content, prefix_root(levels, at + 1)))
    except Invalid as error:
        items.append((INVALID, error.verdict, error.rule, error.why))
    return Tile(root, items, signatures)


def _open_all(bundles: Sequence[Bundle], log_id: bytes, check: bool) -> bytes:
    tiles = [tuple(open_tile(entries, skip, log_id, check=check)) for entries, skip in bundles]
    return marshal.dumps(tiles)


class Workers:
    """`processes` workers; with one, the work is done here."""

    def __init__(self, processes: int) -> None:
        self.processes = processes
        self._pool = (
            ProcessPoolExecutor(processes, get_context("spawn"), initializer=_settle_in)
            if processes > 1
            else None
        )

    def open(self, bundles: Sequence[Bundle], log_id: bytes, *, check: bool) -> list[Tile]:
        """The tiles of these bundles. Blocks; call it from several threads to keep all busy."""
        if self._pool is None:
            return [open_tile(entries, skip, log_id, check=check) for entries, skip in bundles]
        try:
            packed = self._pool.submit(_open_all, bundles, log_id, check).result()
        except BrokenProcessPool as error:
            raise Undecided("a worker process died") from error
        return [Tile(*tile) for tile in marshal.loads(packed)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


def _settle_in() -> None:
    """Leaves interrupts to the parent, and leaves with it even if it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.disable()  # nothing here makes cycles
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(2)

    threading.Thread(target=watch, daemon=True).start()
