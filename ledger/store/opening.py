"""What a log's writer holds in memory, and how it is read from disk: only if all of it fits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256

from ledger.errors import MalformedInput, StoreError
from ledger.format import entry
from ledger.log.commit import Commit, Head
from ledger.store import layout
from ledger.store.environment import Transaction
from ledger.store.snapshot import Snapshot
from ledger.tree.directory import Directory
from ledger.tree.merkle import Frontier, Node, leaf_hash
from ledger.tree.tiles import node_reader


@dataclass(frozen=True, slots=True)
class Memory:
    """Frontier and directory of the published head."""

    frontier: Frontier
    directory: Directory

    def after(self, commit: Commit) -> Memory:
        """Once `commit` is durable. The directory is the same one, moved on."""
        self.directory.apply(commit.directory)
        return replace(self, frontier=commit.frontier)


def load(transaction: Transaction) -> Memory:
    """The memory of the log on disk. Raises `StoreError` where its parts contradict each other."""
    snapshot = Snapshot(transaction)
    staged = snapshot.staged()
    if transaction.count(layout.ENTRIES) != (staged or snapshot.head).size:
        _refuse("the number of entries is not the head's")
    try:
        frontier = _load_frontier(snapshot)
        if snapshot.head.size:
            _check_ends(snapshot)
        if staged:
            _check_staged(snapshot, frontier, staged)
    except MalformedInput as error:
        raise StoreError(f"the store is damaged, restore from a backup: {error}") from error
    directory = Directory.load(snapshot.leaves())
    if directory.root != snapshot.head.directory:
        _refuse("the directory is not the head's")
    return Memory(frontier, directory)


def _load_frontier(snapshot: Snapshot) -> Frontier:
    head = snapshot.head
    frontier = Frontier.load(head.size, node_reader(head.size, snapshot.tile))
    if frontier.root() != head.root:
        _refuse("the tree's hashes do not lead to the head's root")
    return frontier


def _check_ends(snapshot: Snapshot) -> None:
    """The first entry is the log's, and the last is the head's directory root (R-42.4, R-42.5)."""
    head = snapshot.head
    (first,), (last,) = snapshot.entries(0, 1), snapshot.entries(head.size - 1, head.size)
    if sha256(entry.parse(first).body).digest() != snapshot.log_id:
        _refuse("the first block is not the log's")
    if last != entry.directory_root(head.time, head.directory):
        _refuse("the last entry is not the head's")
    read = node_reader(head.size, snapshot.tile)
    if read(Node(0, head.size - 1)) != leaf_hash(last):
        _refuse("the last entry is not the tree's")
    if snapshot.batch_end(head.size) != (head.root, head.time) or not snapshot.note:
        _refuse("the last batch is not the head's")


def _check_staged(snapshot: Snapshot, frontier: Frontier, staged: Head) -> None:
    entries = snapshot.staged_entries(staged)
    if frontier.append([leaf_hash(data) for data in entries]).root() != staged.root:
        _refuse("the staged entries do not lead to the staged root")


def _refuse(what: str) -> None:
    raise StoreError(f"{what}: the store is damaged, restore from a backup")
