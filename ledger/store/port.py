"""The store's port: what the sequencer and the server ask of an engine.

One writer; readers see published state only. A batch reaches the store in one of two ways:

    perform(commit, note)                   one transaction, when nobody has to cosign
    stage(commit), publish(commit, note)    two, with whatever takes time in between

`stage` keeps the entries beyond the head and records (size, root, time): the one root that this log
will ever sign for that size. After a crash `staged()` gives them back, to be planned again and
published as they are. Each call is one atomic, durable transaction, refuses a commit planned from
another head (`StoreError`), and advances what is in memory only after it.

`StoreFull` means the transaction was rolled back whole, and the store goes on. After any other
`StoreError` from a write, what is durable is unknown: close, open again, and believe the disk. What
is found damaged, in a read too, is a `StoreError`, and never an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from ledger.format.sessions import SessionBox
from ledger.log.commit import Commit, Head
from ledger.log.planner import View
from ledger.rules.state import Chain
from ledger.tree.directory_proof import Proof
from ledger.tree.tiles import Tile
from ledger.value import value


@dataclass(frozen=True, slots=True)
class Staged:
    """A batch that was staged and not published: its entries, and the head they must lead to."""

    entries: tuple[bytes, ...]
    size: int
    root: bytes
    time: int


class Reader(Protocol):
    """One consistent snapshot of what is published, for any thread. Open, read, close: not to keep.

    All of it is of one moment. So it has no frontier and no directory, which are the writer's and
    move on with it: whoever needs a hash of this tree reads its tiles, and whoever needs a proof in
    the directory says so beforehand (`Store.lookup`).
    """

    @property
    def log_id(self) -> bytes:
        """SHA-256 of the first block; 32 zero bytes while the log is empty."""

    @property
    def head(self) -> Head: ...

    @property
    def note(self) -> bytes:
        """The signed checkpoint of the head; empty while the log is."""

    def chain(self, label: bytes) -> Chain | None:
        """The chain of a label."""

    def batch_end(self, size: int) -> tuple[bytes, int] | None:
        """Root and time of the tree of `size`, if a batch ended there."""

    def entries(self, start: int, stop: int) -> list[bytes]:
        """The entries of leaves `start` to `stop` (exclusive).

        Raises `MalformedInput` (R-20.2) beyond the head's size, as `tile` does.
        """

    def tile(self, tile: Tile) -> bytes:
        """A hash tile, at exactly the width asked for."""

    def blocks_of(self, label: bytes, start: int, limit: int) -> list[int]:
        """Leaf indices of a chain's blocks from `start` on, at most `limit`, ascending."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What the directory holds for a label: a chain or none, and the proof of either."""

    chain: Chain | None
    proof: Proof


class Lookup(Reader, Protocol):
    """A snapshot that also proves what the directory holds for the labels it was opened for."""

    def standing(self, label: bytes) -> Standing:
        """What stands for a label, by a proof that leads to `head.directory`."""


class Held(Protocol):
    """A snapshot that is kept, whatever is published meanwhile, until it is closed.

    While it is, the engine may not use again what later commits give free.
    """

    @property
    def head(self) -> Head: ...

    @property
    def note(self) -> bytes:
        """The signed checkpoint of the head, as it was published."""

    def lookup(self, labels: Collection[bytes], note: bytes) -> AbstractContextManager[Lookup]:
        """As `Store.lookup`, of this snapshot; `note` is its checkpoint with more signatures."""

    def close(self) -> None: ...


class Store(Protocol):
    """An engine. Opened by its own constructor; used by one process, written by one thread."""

    def reader(self) -> AbstractContextManager[Reader]:
        """A snapshot of what is published now."""

    def lookup(self, labels: Collection[bytes]) -> AbstractContextManager[Lookup]:
        """A snapshot of what is published now, with the directory's paths of `labels`.

        In any thread, of a log that has begun: an empty directory proves nothing. It may wait until
        a commit that is under way is published.
        """

    def hold(self) -> Held:
        """A snapshot of what is published now, to be kept. As `lookup` does, it may wait."""

    def view(self) -> AbstractContextManager[View]:
        """For the writer to plan by: what is published, with frontier and directory at hand.

        These two are what the last commit left in memory. A view belongs to the one who writes. It
        may be read on while the batch that was planned on it is being written: what it reads from
        disk stays as it was, while frontier and directory move on.
        """

    def perform(
        self, commit: Commit, note: bytes, syncing: Callable[[], None] | None = None
    ) -> None:
        """Stage and publish in one transaction.

        `syncing` is called, in this thread, when only the disk is left to be waited for; if it
        raises, nothing is written.
        """

    def stage(self, commit: Commit) -> None:
        """Record a batch beyond the head, before anything about it is signed.

        The same batch may be staged again. While one is staged, no other is staged or performed.
        """

    def publish(self, commit: Commit, note: bytes) -> None:
        """Publish the staged batch, which `commit` must equal."""

    def staged(self) -> Staged | None:
        """What was staged and not published."""

    def close(self) -> None: ...


@value
class PrivateItem:
    """What came along with the block at leaf `index` and is not for everybody.

    Its boxes, in order; the opening `(nonce, identifier)` of a user.create; the statement of a
    group's block and the membership that it led to, both encoded.
    """

    index: int
    block_hash: bytes
    label: bytes
    boxes: tuple[bytes, ...]
    opening: tuple[bytes, str] | None
    statement: tuple[bytes, bytes] | None = None


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """Who began a session (92-sessions), and the commitment to its secret."""

    creator: bytes
    commitment: bytes


@dataclass(frozen=True, slots=True)
class Left:
    """A half of a session's secret, and who left it (98-pending)."""

    session: bytes
    sender: bytes
    half: bytes = field(repr=False)


class PrivateStore(Protocol):
    """Boxes, statements and memberships by block, openings by label; leaves and grants by group;
    what is shared by session; what waits for somebody by label. What no published block refers to
    is harmless. A block is named by its leaf index and its hash: another one may have been meant
    for that leaf, and never published.
    """

    def put(self, items: Sequence[PrivateItem]) -> None:
        """Keep all of `items`, durably, in one transaction, in place of all that stands at their
        first leaf or behind it. Their leaves ascend.
        """

    def boxes(self, index: int, block_hash: bytes) -> tuple[bytes, ...] | None:
        """The boxes that came with a block."""

    def opening(self, label: bytes) -> tuple[bytes, str] | None:
        """Nonce and identifier behind a user's label."""

    def statement(self, index: int, block_hash: bytes) -> bytes | None:
        """The statement that came with a group's block."""

    def membership(self, index: int, block_hash: bytes) -> bytes | None:
        """What a group's block led to, encoded."""

    def put_leave(self, group: bytes, user: bytes, leave: bytes) -> None:
        """Keep a user's wish to leave a group, durably, in place of an older one."""

    def leaves(self, group: bytes) -> list[bytes]:
        """The wishes to leave a group."""

    def put_grant(self, group: bytes, sender: bytes, user: bytes, grant: bytes) -> None:
        """Keep what a user grants to a sender, durably, in place of an older one."""

    def grants(self, group: bytes, sender: bytes = b"") -> list[bytes]:
        """What was granted for a group, to one sender or to all."""

    def session(self, session: bytes) -> SessionRecord | None:
        """Whose session it is, if it has begun."""

    def session_boxes(self, session: bytes) -> list[SessionBox]:
        """All boxes of a session."""

    def share(
        self, session: bytes, record: SessionRecord, boxes: Sequence[SessionBox], by: bytes
    ) -> bool:
        """Keep boxes of a session, durably, which begins with `record` if it has not begun.

        What is there already stays, unless `by` is the creator or its holder (R-92.1); with a box
        for themself, what of the session waits for them is removed (R-98.8). False, and nothing is
        kept, if the session has another record or would have more than `MAX_SESSION_BOXES`.
        """

    def leave(
        self,
        session: bytes,
        record: SessionRecord,
        halves: Sequence[tuple[bytes, bytes]],
        by: bytes,
        now: int,
    ) -> bool | None:
        """Keep halves, each for its label, durably, of a session that may begin so (R-98.2).

        None, and nothing is kept, if it has another record; False, if too many wait already.
        """

    def waiting(self, label: bytes, now: int, session: bytes = b"") -> list[Left]:
        """What waits for a label: all, or of one session."""

    def close(self) -> None: ...
