"""What a batch gives back to those who wrote it: the checkpoint, and proofs for its own leaves.

The batch's `Extension` holds every node that these proofs are made of, so they cost no reading and
one hash a peak for all of them together.

>>> receipts = Receipts.of(note, commit.extension)      # doctest: +SKIP
>>> receipts.proof(17)                                  # doctest: +SKIP
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from ledger.tree.merkle import Extension, Node, node_hash, perfect_nodes

Peaks: TypeAlias = tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Receipts:
    """`peaks` are the perfect subtrees of the new tree, left to right; `tails` the hash of all that
    lies right of each.
    """

    note: bytes
    extension: Extension
    peaks: Peaks
    tails: tuple[bytes | None, ...]

    @classmethod
    def of(cls, note: bytes, extension: Extension) -> Receipts:
        """The receipts of a batch that was published under `note`."""
        after = extension.after
        tails: list[bytes | None] = [None]
        for root in after.roots[:0:-1]:
            tails.append(root if tails[-1] is None else node_hash(root, tails[-1]))
        peaks = tuple(perfect_nodes(range(after.size)))
        return cls(note, extension, peaks, tuple(reversed(tails)))

    def proof(self, index: int) -> list[bytes]:
        """The inclusion proof of a leaf of this batch (RFC 9162 §2.1.3.1), hash by hash up."""
        number, peak = self._peak_of(index)
        before, rows, roots = self.extension.before, self.extension.rows, self.extension.after.roots
        proof = []
        for level in range(peak.level):
            place = (index >> level ^ 1) - (before.size >> level)
            if place >= 0:
                proof.append(rows[level][place])
            else:
                # Left of a new subtree and not new itself: one of the old tree's peaks.
                proof.append(self.extension.read(Node(level, index >> level ^ 1)))
        tail = self.tails[number]
        return [*proof, *([tail] if tail else []), *roots[:number][::-1]]

    def _peak_of(self, index: int) -> tuple[int, Node]:
        for number, peak in enumerate(self.peaks):
            if index >> peak.level == peak.index:
                return number, peak
        raise IndexError(f"no leaf {index} in a tree of {self.extension.after.size}")
