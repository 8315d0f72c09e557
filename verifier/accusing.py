"""What an audit that met a lie has to show for it: an evidence file (specs/80-evidence), if it can.

    accuser = Accuser(served, log_id, directory)
    accuser.of_leaf(signed, replay, index)      # bytes, or None
    accuser.of_statement(signed, replay, label, index, statement_of)
    accuser.of_fork(contradiction)

To prove what a log did, chains are read again from their first blocks, from the same server: one
that goes silent then has been caught, and yet there is nothing to show to others.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from hashlib import sha256

from verifier.blocks import open_entry
from verifier.directory import Directory
from verifier.errors import Invalid, Misbehaviour, Undecided
from verifier.evidence import NOTHING, PROVEN, judge
from verifier.evidence.making import Maker, Root, fork
from verifier.fetch import Served
from verifier.merkle import WIDTH, leaf_hash, tree_root
from verifier.note import Checkpoint, parse_checkpoint, parse_note
from verifier.policy import Policy
from verifier.proving import ProvenTree
from verifier.replay import Replay
from verifier.signed import Contradiction, SignedTree
from verifier.tiles import Bundle
from verifier.workers import Job

KEPT_TILES = 32  # of entries: a batch and what stands around it

StatementOf = Callable[[int], bytes]


class Accuser:
    """Makes the files of one audit. `directory` is the one that it replays into."""

    def __init__(self, served: Served, log_id: bytes, directory: Directory) -> None:
        self._served = served
        self._log_id = log_id
        self._directory = directory

    def of_leaf(self, signed: SignedTree, replay: Replay, index: int) -> bytes | None:
        """About the leaf at which the replay broke off."""
        with contextlib.suppress(Invalid, Undecided):
            maker = self._maker(signed, replay)
            return maker.about(index) or self._by_replay(maker, signed, index)
        return None

    def of_statement(
        self, signed: SignedTree, replay: Replay, label: bytes, index: int, of: StatementOf
    ) -> bytes | None:
        """About the statement of a group's block at `index`, whose batch was replayed since."""
        with contextlib.suppress(Invalid, Undecided):
            maker = self._maker(signed, replay)
            leaves = [leaf for leaf in maker.leaves_of(label) if leaf <= index]
            return maker.about_statement(label, {leaf: of(leaf) for leaf in leaves})
        return None

    def of_fork(self, found: Contradiction | None) -> bytes | None:
        """About two checkpoints."""
        if found is None:
            return None
        for note in (found.newer, found.older):  # one of these trees is served now
            with contextlib.suppress(Invalid, Undecided):
                return self._worth(fork(self._first(note), *found))
        return None

    def of_time(
        self, signed: SignedTree, raw: bytes, checkpoint: Checkpoint, witnesses: Policy | None
    ) -> bytes | None:
        """About the last entry under a checkpoint, whose time is ahead of that policy's quorum."""
        with contextlib.suppress(Invalid, Undecided):
            maker = self._maker(signed, None)
            data = maker.ahead(raw, checkpoint.size)
            return data if judge(data, self._log_id, witnesses).outcome == PROVEN else None
        return None

    def _by_replay(self, maker: Maker, signed: SignedTree, index: int) -> bytes | None:
        """What only a replay shows: up to this directory root, or else the tree's last."""
        last = signed.checkpoint.size - 1
        return self._worth(maker.replayable(index)) or self._worth(maker.replayable(last))

    def _worth(self, data: bytes) -> bytes | None:
        """The file, unless it proves nothing."""
        return None if judge(data, self._log_id).outcome == NOTHING else data

    def _maker(self, signed: SignedTree, replay: Replay | None) -> Maker:
        @lru_cache(KEPT_TILES)
        def entries(number: int) -> Sequence[bytes]:
            return self._entries(signed, number)

        def leaves(number: int) -> list[bytes]:
            return [leaf_hash(entry) for entry in entries(number)]

        tree = ProvenTree(signed.tiles, signed.checkpoint.size, leaves)
        root = Root(replay.batch_start - 1 if replay else -1, self._directory)
        return Maker(self._log_id, signed.raw, tree, entries, root)

    def _entries(self, signed: SignedTree, number: int) -> Sequence[bytes]:
        """The entries of a tile, as they were signed."""
        for fresh in (False, True):
            entries = self._served.bundle(number, signed.width(number), fresh=fresh).entries()
            if tree_root([leaf_hash(entry) for entry in entries]) == signed.tiles[number]:
                return entries
        raise Undecided(f"bundle {number} is not served as it was signed")

    def _first(self, note: bytes) -> bytes:
        """Entry 0, as the tree of this note has it."""
        size = parse_checkpoint(parse_note(note).text).size
        entry = self._served.bundle(0, min(size, WIDTH)).entries()[0]
        if sha256(open_entry(entry).content).digest() != self._log_id:
            raise Undecided("the first entry is another log's")
        return entry


def broken(signed: SignedTree, number: int, job: Job | None, error: Invalid) -> Misbehaviour:
    """A rule that signed entries break, met in a tile. What is no statement was only served."""
    exhibits = {"checkpoint": signed.raw, "tiles": b"".join(signed.tiles)}
    index = error.index or 0
    if job is not None:
        exhibits[exhibit_of(job.bundle)] = job.bundle.data
        statement = job.statements.get(index - number * WIDTH)
        if statement is not None:
            exhibits[f"statement-{index}"] = statement
    sentence = f"entry {index}: {error.why}"
    if error.rule == "R-56.2":
        kind = "served-data-contradicts-checkpoint"
        return Misbehaviour(kind, error.rule, sentence, exhibits, transferable=False)
    return Misbehaviour("rule-broken", error.rule, sentence, exhibits, transferable=True)


def exhibit_of(bundle: Bundle) -> str:
    """The name under which a bundle is kept."""
    return bundle.path.replace("/", "-")
