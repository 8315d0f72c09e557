"""The tree that the newest checkpoint signs, down to the roots of its tiles.

A checkpoint counts once three things hold: the log's key signed it, the hash tiles rebuild its
root, and every tree accepted before is the beginning of it (R-61.2). From then on each tile has a
root that the log signed.

    signed = Follower(served, state, key, own_tiles).follow(served.checkpoint())
    signed.tiles[number]        # the root over the leaves of that tile
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import NamedTuple

from verifier.errors import Invalid, Misbehaviour, Undecided
from verifier.fetch import Served
from verifier.merkle import EMPTY_ROOT, WIDTH, Frontier, prefix_root, tile_levels, tree_root
from verifier.note import Checkpoint, NoteKey, open_checkpoint
from verifier.proving import ProvenTree
from verifier.state import State
from verifier.tiles import split_hashes


class SignedTree(NamedTuple):
    """A checkpoint, its bytes, and the roots of its tiles: the full ones, then the partial one."""

    raw: bytes
    checkpoint: Checkpoint
    tiles: list[bytes]

    def width(self, number: int) -> int:
        """How many leaves the tile has."""
        return min(WIDTH, self.checkpoint.size - WIDTH * number)

    def contradicted(self, what: str, exhibits: Mapping[str, bytes]) -> Misbehaviour:
        """`what` is served and does not rebuild the root that was signed."""
        return contradiction(self.raw, self.tiles, what, exhibits)


class Contradiction(NamedTuple):
    """Two notes, and what proves that they can't both be true (R-80.3)."""

    older: bytes
    newer: bytes
    root: bytes
    proof: list[bytes]


class Forked(Misbehaviour):
    """Two signed checkpoints of which no one tree can be."""

    contradiction: Contradiction | None = None


class Follower:
    """Follows a log from checkpoint to checkpoint. `own_tiles` are the roots that were replayed."""

    def __init__(self, served: Served, state: State, key: NoteKey, own_tiles: list[bytes]) -> None:
        self._served = served
        self._state = state
        self._key = key
        self._own_tiles = own_tiles
        self._accepted = None if state.accepted is None else self._open(state.accepted)

    def follow(self, raw: bytes) -> SignedTree:
        """The tree of this checkpoint, or of a newer one where this came from a cache."""
        signed = self._rebuilt(*self._newest(raw))
        self._check_continuity(signed)
        self._state.accept(signed.raw)
        return signed

    def replayed(self, raw: bytes) -> Checkpoint:
        """A checkpoint that may be older than the newest: all under it was replayed."""
        checkpoint = self._open(raw)
        if not 0 < checkpoint.size <= self._state.size:
            raise Undecided(f"only {self._state.size} of {checkpoint.size} entries were replayed")
        if checkpoint.root != self._replayed_root(checkpoint.size):
            raise self._other(raw, checkpoint.size)
        return checkpoint

    def _open(self, raw: bytes) -> Checkpoint:
        try:
            return open_checkpoint(raw, self._key)
        except Invalid as error:
            raise Undecided(f"the checkpoint is not one of this log's: {error}") from error

    def _newest(self, raw: bytes) -> tuple[bytes, Checkpoint]:
        """The checkpoint if it is not older than the accepted one; else asks once past caches."""
        checkpoint, accepted = self._open(raw), self._accepted
        if accepted is None or self._is_newer(raw, checkpoint, accepted):
            return raw, checkpoint
        raw = self._served.checkpoint(fresh=True)
        checkpoint = self._open(raw)
        if self._is_newer(raw, checkpoint, accepted):
            return raw, checkpoint
        raise Misbehaviour(
            "rollback",
            "R-61.2",
            f"size {checkpoint.size} is served after a signed size of {accepted.size}",
            self._checkpoints(raw),
            transferable=False,
        )

    def _is_newer(self, raw: bytes, checkpoint: Checkpoint, accepted: Checkpoint) -> bool:
        """Not older, that is; a fork is noticed at every size that was replayed."""
        size = checkpoint.size
        if size == accepted.size and checkpoint.root != accepted.root:
            own = self._state.accepted or b""
            both = Contradiction(own, raw, checkpoint.root, [])
            raise self._fork(raw, f"two signed roots for size {size}", both)
        if size <= self._state.size and checkpoint.root != self._replayed_root(size):
            raise self._other(raw, size)
        return size >= accepted.size

    def _replayed_root(self, size: int) -> bytes | None:
        """The root at the end of a batch."""
        if size == 0:
            return EMPTY_ROOT
        bound = self._state.bounds.get(size)
        return bound and bound[8:]

    def _rebuilt(self, raw: bytes, checkpoint: Checkpoint) -> SignedTree:
        """The tiles that rebuild the root: on top of the own ones if they fit, else all served."""
        tiles: list[bytes] = []
        full = checkpoint.size // WIDTH
        for fresh in (False, True):
            for own in [self._own_tiles, []] if self._own_tiles else [[]]:
                tiles = self._fetch_tiles(checkpoint.size, own, fresh=fresh)
                if Frontier(tiles[:full]).root(*tiles[full:]) == checkpoint.root:
                    return SignedTree(raw, checkpoint, tiles)
        raise contradiction(raw, tiles, "the hash tiles", {})

    def _fetch_tiles(self, size: int, own: list[bytes], *, fresh: bool) -> list[bytes]:
        """The own tile roots, the rest as served at level 1, and the root of the partial tile."""
        full, rest = divmod(size, WIDTH)
        tiles = own[:full]
        while len(tiles) < full:
            number, known = divmod(len(tiles), WIDTH)
            width = min(WIDTH, full - number * WIDTH)
            tiles += self._served.hashes(1, number, width, fresh=fresh)[known:]
        if rest:
            tiles.append(tree_root(self._served.hashes(0, full, rest, fresh=fresh)))
        return tiles

    def _check_continuity(self, signed: SignedTree) -> None:
        """The accepted tree is the beginning of the signed one (R-20.4), and so is the own one."""
        if self._accepted is None:
            return
        size, tiles = self._accepted.size, signed.tiles
        found, leaves = self._root_at(signed, size)
        if found != self._accepted.root:
            exhibits = {"tiles": b"".join(tiles), "leaves": b"".join(leaves)}
            larger = signed.checkpoint.size
            sentence = f"the tree of size {larger} does not continue that of {size}"
            both = self._discontinued(signed, size, found)
            raise self._fork(signed.raw, sentence, both, exhibits)
        if tiles[: len(self._own_tiles)] != self._own_tiles:
            raise Undecided("the local state is damaged: its tiles are not the accepted tree's")

    def _root_at(self, signed: SignedTree, size: int) -> tuple[bytes, list[bytes]]:
        """The root of the signed tree's first `size` leaves, and the leaves of its last tile."""
        full, rest = divmod(size, WIDTH)
        frontier = Frontier(signed.tiles[:full])
        leaves: list[bytes] = []
        if not rest:
            return frontier.root(), leaves
        for fresh in (False, True):
            leaves = self._served.hashes(0, full, signed.width(full), fresh=fresh)
            levels = tile_levels(leaves)
            if prefix_root(levels, len(leaves)) == signed.tiles[full]:
                return frontier.root(prefix_root(levels, rest)), leaves
        raise signed.contradicted(f"hash tile {full}", {"leaves": b"".join(leaves)})

    def _checkpoints(self, raw: bytes) -> dict[str, bytes]:
        accepted = self._state.accepted
        return {"checkpoint": raw} | ({"checkpoint-accepted": accepted} if accepted else {})

    def _other(self, raw: bytes, size: int) -> Forked:
        """A signed tree of a size that was replayed, and not of this log."""
        both = None
        with contextlib.suppress(Undecided, Invalid):
            tree = self._own_tree()
            newer = self._state.accepted or b""
            both = Contradiction(raw, newer, tree.root(size), tree.consistency(size))
        return self._fork(raw, f"a signed tree of size {size} that is not this log's", both)

    def _own_tree(self) -> ProvenTree:
        """The accepted tree, all of which was replayed."""
        size, last = self._state.size, self._state.leaves
        if self._state.accepted is None or self._open(self._state.accepted).size != size:
            raise Undecided("not all of the accepted tree was replayed")
        rest = split_hashes(last, size % WIDTH)
        tiles = [*self._own_tiles, *([tree_root(rest)] if rest else [])]

        def leaves(number: int) -> list[bytes]:
            return rest if number * WIDTH + len(rest) == size else self._hashes(number, WIDTH)

        return ProvenTree(tiles, size, leaves)

    def _discontinued(self, signed: SignedTree, size: int, root: bytes) -> Contradiction | None:
        """That a signed tree has another root at the size of the accepted one."""
        with contextlib.suppress(Undecided):
            larger = signed.checkpoint.size
            tree = ProvenTree(signed.tiles, larger, lambda at: self._hashes(at, signed.width(at)))
            older = self._state.accepted or b""
            return Contradiction(older, signed.raw, root, tree.consistency(size))
        return None

    def _hashes(self, number: int, width: int) -> list[bytes]:
        return self._served.hashes(0, number, width)

    def _fork(
        self,
        raw: bytes,
        sentence: str,
        both: Contradiction | None,
        exhibits: Mapping[str, bytes] | None = None,
    ) -> Forked:
        whole = self._checkpoints(raw) | dict(exhibits or {})
        found = Forked("fork", "R-61.2", sentence, whole, transferable=True)
        found.contradiction = both
        return found


def contradiction(
    raw: bytes, tiles: list[bytes], what: str, exhibits: Mapping[str, bytes]
) -> Misbehaviour:
    """What is served contradicts the checkpoint; who garbled it, nobody else can tell."""
    return Misbehaviour(
        "served-data-contradicts-checkpoint",
        "R-20.1",
        f"what is served does not rebuild the signed root: {what}",
        {"checkpoint": raw, "tiles": b"".join(tiles)} | dict(exhibits),
        transferable=False,
    )
