"""A log in memory: enough to plan real batches on, and to compare engines with.

>>> from tests.support.actors import LogActor, User
>>> founding = LogActor.make()
>>> log = MemoryLog(founding.raw)
>>> ada = User.create(founding.after, "ada@example.org", log.anchor)
>>> plan = log.admit([ada.raw])
>>> log.head.size
4
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from ledger.errors import RuleViolation
from ledger.format import block, entry
from ledger.format.block import NO_LOG_ID, Anchor
from ledger.log.commit import NO_LINK, Commit, Head
from ledger.log.planner import Admission, Plan, plan
from ledger.rules.state import Chain
from ledger.tree.directory import Directory
from ledger.tree.merkle import Frontier
from tests.support.actors import NOW


class MemoryLog:
    """Fills the planner's `View`. Give it the first block, or an empty log to `apply` to."""

    def __init__(self, first: bytes | None = None, now: int = NOW) -> None:
        self.log_id = NO_LOG_ID
        self.head = Head()
        self.frontier = Frontier()
        self.directory = Directory()
        self.entries: list[bytes] = []
        self.links: list[int] = []
        self.chains: dict[bytes, Chain] = {}
        self.leaves: dict[int, bytes] = {}
        self.ends: dict[int, tuple[bytes, int]] = {}
        if first is not None:
            self.admit([first], now)

    @property
    def anchor(self) -> Anchor:
        """What an author who has just synced anchors in."""
        return Anchor(self.head.size, self.head.root)

    def chain(self, label: bytes) -> Chain | None:
        return self.chains.get(label)

    def batch_end(self, size: int) -> tuple[bytes, int] | None:
        return self.ends.get(size)

    def leaf(self, number: int) -> bytes:
        return self.leaves[number]

    def blocks_of(self, label: bytes) -> list[int]:
        """The leaf indices of a chain's blocks, ascending."""
        chain = self.chains.get(label)
        index = chain.state.index if chain else NO_LINK
        indices = []
        while index != NO_LINK:
            indices.append(index)
            index = self.links[index]
        return indices[::-1]

    def plan(self, blocks: Iterable[bytes], now: int = NOW) -> Plan:
        """What admitting `blocks` would do; a refusal stands in its `results`."""
        return plan(self, [block.parse(raw) for raw in blocks], now)

    def admit(self, blocks: Iterable[bytes], now: int = NOW) -> Plan:
        """Plan and apply a batch, all of whose blocks must be admitted."""
        planned = self.plan(blocks, now)
        for result in planned.results:
            if isinstance(result, RuleViolation):
                raise result
        self.apply(planned.commit)
        return planned

    def offer(self, raw: bytes, now: int = NOW) -> Admission | RuleViolation:
        """Plan a batch of one block and apply it: its admission, or why it was refused."""
        planned = self.plan([raw], now)
        self.apply(planned.commit)
        return planned.results[0]

    def apply(self, commit: Commit) -> None:
        """Take over a batch that was planned from this head."""
        assert commit.before == self.head
        if not self.entries:
            self.log_id = sha256(entry.parse(commit.entries[0]).body).digest()
        self.entries += commit.entries
        self.links += commit.links
        self.chains |= commit.chains
        self.ends[commit.after.size] = commit.after.root, commit.after.time
        self.leaves |= commit.directory.writes
        self.head, self.frontier = commit.after, commit.frontier
        self.directory.apply(commit.directory)
