"""Opens tiles of entries in worker processes: decoding, hashing and every signature.

A tile is judged by its bytes and the log id alone, so tiles go to whichever process is free. They
come back as plain tuples in `marshal`'s form, which costs less than pickled objects and is only
ever read by the process that started the worker. Within a tile all decoding comes before all
verifying: each is faster in a row than in turns.

    with Workers(2) as workers:
        tiles = workers.open([Job(bundle)], log_id, check=True)
"""

from __future__ import annotations

import gc
import marshal
import os
import signal
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection, get_context, parent_process
from types import TracebackType
from typing import Any, NamedTuple, Self

from verifier import crosscheck
from verifier.blocks import GROUP_TYPES, Block, open_entry, parse_block
from verifier.errors import Invalid, Malformed, Undecided
from verifier.groups import open_statement
from verifier.keys import Check, run_check
from verifier.merkle import leaf_hash, prefix_root, tile_levels
from verifier.tiles import Bundle

BLOCK, ROOT, INVALID = range(3)

PLAIN = 2  # the version of marshal's form that does not look for shared objects


class Job(NamedTuple):
    """A bundle, the first of its entries to open, and statements by their blocks' places in it."""

    bundle: Bundle
    skip: int = 0
    statements: Mapping[int, bytes] = {}


class Tile(NamedTuple):
    """A tile's root and what its entries are.

    `items` begins at the entry that was asked for: `(BLOCK, time, leaf hash, block's fields,
    statement's fields or None)`, `(ROOT, time, directory root, tree root over the tile up to
    here)`, or, as the last one, `(INVALID, verdict, rule, why)`. `signatures` counts those that
    were checked.
    """

    root: bytes
    items: list[Any]
    signatures: int


def open_tile(job: Job, log_id: bytes, *, check: bool) -> Tile:
    """Hashes all entries, opens those from `skip` on."""
    bundle, skip, statements = job
    try:
        entries = bundle.entries()
    except Malformed as error:
        raise Undecided(f"{bundle.path}: {error.why}") from error
    leaves = [leaf_hash(entry) for entry in entries]
    levels = tile_levels(leaves)
    root = prefix_root(levels, len(leaves))
    if check:
        crosscheck.compare(leaves, root)
    items: list[Any] = []
    checks: list[Sequence[Check]] = []
    refusal = None
    try:
        for at in range(skip, len(entries)):
            kind, time, content = open_entry(entries[at])
            if kind == 0:
                fields, found = parse_block(content, log_id)
                told: tuple[Any, ...] | None = None
                if at in statements and fields[0] in GROUP_TYPES:
                    commitment = Block._make(fields).body[0]
                    statement, more = open_statement(statements[at], commitment, log_id)
                    told, found = tuple(statement), found + more
                items.append((BLOCK, time, leaves[at], fields, told))
                checks.append(found)
            else:
                items.append((ROOT, time, content, prefix_root(levels, at + 1)))
                checks.append(())
    except Invalid as error:
        refusal = error
    return Tile(root, *_verify(items, checks, refusal))


def _verify(
    items: list[Any], checks: Sequence[Sequence[Check]], refusal: Invalid | None
) -> tuple[list[Any], int]:
    """The items up to the first that is refused, and how many signatures were checked."""
    signatures = 0
    for at, found in enumerate(checks):
        try:
            for check in found:
                run_check(check)
                signatures += check[2] is not None
        except Invalid as error:
            refusal = error
            del items[at:]
            break
    if refusal is not None:
        items.append((INVALID, refusal.verdict, refusal.rule, refusal.why))
    return items, signatures


def _open_all(jobs: Sequence[Job], log_id: bytes, check: bool) -> bytes:
    tiles = [tuple(open_tile(job, log_id, check=check)) for job in jobs]
    return marshal.dumps(tiles, PLAIN)


class Workers:
    """`processes` workers; with one, the work is done here."""

    def __init__(self, processes: int) -> None:
        self.processes = processes
        self._pool = (
            ProcessPoolExecutor(processes, get_context("spawn"), initializer=_settle_in)
            if processes > 1
            else None
        )

    def open(self, jobs: Sequence[Job], log_id: bytes, *, check: bool) -> list[Tile]:
        """The tiles of these bundles. Blocks; call it from several threads to keep all busy."""
        if self._pool is None:
            return [open_tile(job, log_id, check=check) for job in jobs]
        try:
            packed = self._pool.submit(_open_all, jobs, log_id, check).result()
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
