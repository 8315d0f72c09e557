"""What a commit writes, inside one transaction of the store."""

from __future__ import annotations

from hashlib import sha256
from itertools import count

from ledger.errors import StoreError
from ledger.format import entry
from ledger.log.commit import Commit
from ledger.store import layout
from ledger.store.environment import META, Transaction
from ledger.store.layout import encode_head, u64
from ledger.store.snapshot import Snapshot
from ledger.tree.directory import RECORD_BYTES
from ledger.tree.merkle import HASH_SIZE
from ledger.tree.tiles import HEIGHT


def begin(transaction: Transaction, commit: Commit) -> bool:
    """Whether `commit` is staged already.

    Refuses one that was planned from another head than the published one, or while another is
    staged, and anything at all in an unconfirmed copy (R-73.2).
    """
    if transaction.get(META, layout.UNCONFIRMED) is not None:
        raise StoreError("this is an unconfirmed copy of a log: nothing is written to it")
    _check_whole(commit)
    found = Snapshot(transaction)
    if commit.before != found.head:
        raise StoreError(
            f"the batch was planned from a head of size {commit.before.size}, "
            f"which is not the log's, of size {found.head.size}"
        )
    staged = found.staged()
    if staged is None:
        return False
    if staged != commit.after or found.staged_entries(staged) != [*commit.entries]:
        raise StoreError(f"another batch is staged for size {staged.size}, and has to be published")
    return True


def stage(transaction: Transaction, commit: Commit) -> None:
    """Entries beyond the head, and the one head that they may ever lead to."""
    append(transaction, commit)
    transaction.put(META, [(layout.STAGED, encode_head(commit.after))])


def append(transaction: Transaction, commit: Commit) -> None:
    """The entries, with their links."""
    rows = zip(count(commit.before.size), commit.links, commit.entries, strict=False)
    pairs = ((u64(index), u64(link) + data) for index, link, data in rows)
    transaction.put(layout.ENTRIES, pairs, append=True)


def publish(transaction: Transaction, commit: Commit, note: bytes) -> None:
    """All else, and with it the head."""
    _put_hashes(transaction, commit)
    _put_leaves(transaction, commit)
    chains = ((label, chain.record()) for label, chain in sorted(commit.chains.items()))
    transaction.put(layout.CHAINS, chains)
    after = commit.after
    transaction.put(layout.BATCHES, [(u64(after.size), after.root + u64(after.time))], append=True)
    transaction.take(META, layout.STAGED)
    transaction.put(META, [(layout.HEAD, encode_head(after) + note)])
    if not commit.before.size:
        log_id = sha256(entry.parse(commit.entries[0]).body).digest()
        transaction.put(META, [(layout.LOG, log_id)])


def _check_whole(commit: Commit) -> None:
    """Refuse a commit whose parts are not of one batch, before any of them is on disk."""
    before, after = commit.before, commit.after
    parts = (commit.extension.before.size, commit.frontier.size, commit.frontier.root())
    size = before.size + len(commit.entries)
    if (after.size, *parts) != (size, before.size, size, after.root):
        raise StoreError("the batch's tree is not that of its entries")
    if commit.directory.root != after.directory or len(commit.links) != len(commit.entries):
        raise StoreError("the batch's directory or links are not those of its entries")


def _put_hashes(transaction: Transaction, commit: Commit) -> None:
    """New hashes. Of what was there, only the last piece of a level is written again."""
    for level, row in layout.tile_rows(commit.extension.rows):
        first, begun = divmod(commit.before.size >> HEIGHT * level, layout.PIECE)
        last = transaction.take(layout.HASHES, layout.piece_key(level, first)) if begun else b""
        if last is None or len(last) != begun * HASH_SIZE:
            raise StoreError(f"the store has lost hashes of level {level}: restore from a backup")
        pieces = layout.pieces(level, first, last + b"".join(row))
        transaction.put(layout.HASHES, pieces, append=not level)


def _put_leaves(transaction: Transaction, commit: Commit) -> None:
    """What the directory keeps of labels: in their groups those it has, behind them the new."""
    groups: dict[int, bytearray] = {}
    for number, record in sorted(commit.directory.writes.items()):
        group, place = divmod(number, layout.LEAF_GROUP)
        if group not in groups:
            groups[group] = bytearray(transaction.get(layout.LEAVES, u64(group)) or b"")
        at = place * RECORD_BYTES
        if len(groups[group]) < at:
            raise StoreError("the store has lost the directory's leaves: restore from a backup")
        groups[group][at : at + RECORD_BYTES] = record
    there = transaction.count(layout.LEAVES)
    pairs = [(u64(group), bytes(records)) for group, records in groups.items()]
    changed = sum(group < there for group in groups)
    transaction.put(layout.LEAVES, pairs[:changed])
    transaction.put(layout.LEAVES, pairs[changed:], append=True)
