"""What a batch does to a log, as data: planned by the planner, performed by a store.

A `Commit` says everything that one transaction writes. It carries the head that it was planned
from, so that a store can refuse one that was planned from another.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ledger.format.checkpoint import Checkpoint, sign_checkpoint
from ledger.format.keys import SigningKey
from ledger.rules.state import Chain
from ledger.tree.directory import EMPTY, Update
from ledger.tree.merkle import EMPTY_ROOT, Extension, Frontier

NO_LINK = 2**64 - 1
"""Stands for "no block of this chain before" in `Commit.links`."""


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a published tree: size, root, its last batch's time (ms), directory root."""

    size: int = 0
    root: bytes = EMPTY_ROOT
    time: int = 0
    directory: bytes = EMPTY


def sign_head(origin: str, head: Head, log_key: SigningKey) -> bytes:
    """The signed checkpoint of `head`."""
    return sign_checkpoint(Checkpoint(origin, head.size, head.root), log_key)


@dataclass(frozen=True, slots=True)
class Commit:
    """One batch. `entries` and `links` run from leaf `before.size` on.

    A link is the leaf index of the chain's previous block (`NO_LINK` for a first block or a
    directory root). `chains` are the new resolutions by label.
    """

    before: Head
    after: Head
    entries: tuple[bytes, ...]
    links: tuple[int, ...]
    extension: Extension
    chains: dict[bytes, Chain] = field(repr=False)
    directory: Update = field(repr=False)

    @property
    def frontier(self) -> Frontier:
        return self.extension.after
