"""What is published, as one read transaction shows it (fills the port's `Reader` and `View`).

Everything comes out of that transaction, so commits meanwhile change nothing. `Planning` adds the
frontier and the directory, which the writer holds in memory; `Proving` paths that were taken from
that directory while it was the transaction's.

Errors: `MalformedInput` (R-20.2) for what lies beyond the head; `StoreError` for what is damaged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import NoReturn

from ledger.errors import MalformedInput, StoreError
from ledger.format.block import NO_LOG_ID
from ledger.log.commit import Head
from ledger.rules.state import Chain
from ledger.store import layout
from ledger.store.environment import META, Transaction
from ledger.store.layout import decode_head, piece_key, u64
from ledger.store.port import Standing
from ledger.tree.directory import RECORD_BYTES, Directory, Path
from ledger.tree.directory_proof import prove, verify_absent, verify_present
from ledger.tree.merkle import HASH_SIZE, Frontier
from ledger.tree.tiles import WIDTH, Tile, tile_width


class Snapshot:
    """The port's `Reader`."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self.log_id = transaction.get(META, layout.LOG) or NO_LOG_ID
        stored = transaction.get(META, layout.HEAD)
        self.head, self.note = decode_head(stored) if stored else (Head(), b"")

    def chain(self, label: bytes) -> Chain | None:
        record = self._transaction.get(layout.CHAINS, label)
        return None if record is None else Chain.from_record(record)

    def batch_end(self, size: int) -> tuple[bytes, int] | None:
        value = self._transaction.get(layout.BATCHES, u64(size)) if size >= 0 else None
        return None if value is None else (value[:HASH_SIZE], int.from_bytes(value[HASH_SIZE:]))

    def entries(self, start: int, stop: int) -> list[bytes]:
        if not 0 <= start <= stop <= self.head.size:
            raise MalformedInput("R-20.2", f"no entries {start} to {stop} in {self.head.size}")
        return self._entries(start, stop)

    def tile(self, tile: Tile) -> bytes:
        if tile.width > tile_width(tile.level, tile.index, self.head.size):
            raise MalformedInput("R-20.2", f"no {tile.path()} in a tree of {self.head.size}")
        first = tile.index * WIDTH // layout.PIECE
        count = -(-tile.width // layout.PIECE)
        found = self._transaction.scan(layout.HASHES, piece_key(tile.level, first))
        contents = b""
        for number, (key, piece) in enumerate(islice(found, count)):
            if key != piece_key(tile.level, first + number):
                self._lost(tile.path())
            contents += piece
        if len(contents) < tile.width * HASH_SIZE:
            self._lost(tile.path())
        return contents[: tile.width * HASH_SIZE]

    def blocks_of(self, label: bytes, start: int, limit: int) -> list[int]:
        chain = self.chain(label)
        if chain is None:
            return []
        indices = []
        index = chain.state.index
        for seq in range(chain.length - 1, start - 1, -1):
            if seq < start + limit:
                indices.append(index)
            index = self._link(index)
        return indices[::-1]

    def leaf(self, number: int) -> bytes:
        """The record of a label in the directory."""
        group, place = divmod(number, layout.LEAF_GROUP)
        at = place * RECORD_BYTES
        record = (self._transaction.get(layout.LEAVES, u64(group)) or b"")[at : at + RECORD_BYTES]
        if len(record) != RECORD_BYTES:
            self._lost(f"the directory's leaf {number}")
        return record

    def leaves(self) -> Iterator[bytes]:
        """The records of all labels in the directory, by ascending number."""
        count = 0
        for key, group in self._transaction.scan(layout.LEAVES):
            if count % layout.LEAF_GROUP or key != u64(count // layout.LEAF_GROUP):
                self._lost(f"the directory's leaf {count}")
            for at in range(0, len(group), RECORD_BYTES):
                yield group[at : at + RECORD_BYTES]
                count += 1

    def staged(self) -> Head | None:
        """The head that the entries beyond this one lead to."""
        stored = self._transaction.get(META, layout.STAGED)
        return decode_head(stored)[0] if stored else None

    def staged_entries(self, staged: Head) -> list[bytes]:
        """The entries beyond this head."""
        return self._entries(self.head.size, staged.size)

    def _entries(self, start: int, stop: int) -> list[bytes]:
        found = self._transaction.scan(layout.ENTRIES, u64(start))
        entries = []
        for index, (key, value) in zip(range(start, stop), found, strict=False):
            if key != u64(index):
                self._lost(f"entry {index}")
            entries.append(value[layout.LINK_BYTES :])
        if len(entries) < stop - start:
            self._lost(f"entry {start + len(entries)}")
        return entries

    def _link(self, index: int) -> int:
        value = self._transaction.get(layout.ENTRIES, u64(index))
        if value is None:
            self._lost(f"entry {index}")
        return int.from_bytes(value[: layout.LINK_BYTES])

    def _lost(self, what: str) -> NoReturn:
        raise StoreError(f"the store has lost {what}: restore from a backup")


class Planning(Snapshot):
    """The planner's `View`."""

    def __init__(self, transaction: Transaction, frontier: Frontier, directory: Directory) -> None:
        super().__init__(transaction)
        self.frontier = frontier
        self.directory = directory


class Proving(Snapshot):
    """The port's `Lookup`. `paths` are of the directory that this snapshot's head has."""

    def __init__(
        self, transaction: Transaction, paths: Mapping[bytes, Path], note: bytes = b""
    ) -> None:
        super().__init__(transaction)
        self._paths = paths
        self.note = note or self.note

    def standing(self, label: bytes) -> Standing:
        chain = self.chain(label)
        proof = prove(label, self._paths[label], self._value)
        try:
            if chain:
                verify_present(label, chain.value, proof, self.head.directory)
            else:
                verify_absent(label, proof, self.head.directory)
        except MalformedInput as error:
            raise StoreError(f"the directory is damaged, restore from a backup: {error}") from error
        return Standing(chain, proof)

    def _value(self, label: bytes) -> bytes:
        """What the directory holds for a label that stands in it."""
        chain = self.chain(label)
        if chain is None:
            self._lost(f"the chain of {label.hex()}")
        return chain.value
