"""What lookups brought, as users and groups read it; a replica's place is taken by it.

>>> seen = Seen(trust)                                           # doctest: +SKIP
>>> for found in await light.lookup(*seen.due([group])):         # doctest: +SKIP
...     seen.took(found.label, found.pin and found.pin.chain)
>>> seen.chain(group)                                            # doctest: +SKIP

A `Seen` shows what it was told of, whatever others look up meanwhile. `StoreError` for a file that
does not hold what was kept in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ledger.client import history as histories
from ledger.client.group.groups import Resolved
from ledger.client.history import Step
from ledger.client.lookups import light
from ledger.client.lookups.trust import Trust
from ledger.client.lookups.visits import Visited
from ledger.errors import MalformedInput, RuleViolation, StoreError, UsageError
from ledger.format import block as blocks
from ledger.format import entry
from ledger.format.block import Anchor
from ledger.log.commit import Head
from ledger.rules.state import Chain, GroupState, LogState, UserState


class Seen:
    """Chains that lookups brought, in their order, as `Records` reads them.

    Whoever wrote in a group has to be looked up after it was: its statements build on their chains.
    """

    def __init__(self, trust: Trust) -> None:
        self._trust = trust
        self._chains: dict[bytes, Chain] = {}
        self._turns: dict[bytes, int] = {}
        self._turn = 0
        self._visited: dict[bytes, Visited] = {}

    def took(self, label: bytes, chain: Chain | None) -> None:
        """Show this chain from now on, or that there is none."""
        self._turn += 1
        self._turns[label] = self._turn
        self._visited.pop(label, None)
        if chain:
            self._chains[label] = chain

    def recall(self, label: bytes, chain: Chain) -> None:
        """Show a chain as it was seen once, unless it was looked up since."""
        self._chains.setdefault(label, chain)

    def visited(self, label: bytes, visited: Visited) -> None:
        """Show a chain that was seen without a lookup, until there is one."""
        self._chains[label] = visited.chain
        self._visited[label] = visited

    def due(self, labels: Iterable[bytes], after: bytes | None = None) -> list[bytes]:
        """Those that were not looked up yet, or not since `after` was."""
        since = self._turns.get(after, 1) if after else 1
        return [one for one in dict.fromkeys(labels) if self._turns.get(one, 0) < since]

    @property
    def note(self) -> bytes:
        return self._trust.view().note

    def chain(self, label: bytes) -> Chain | None:
        """The chain of a label."""
        return self._chains.get(label)

    def history(self, label: bytes, after: Chain | None = None) -> list[Step]:
        """What each block of a chain did, or each one `after`, by the rules."""
        chain = self._chains.get(label)
        start = after.length if after else 0
        links = self._links(label)[start : chain.length if chain else 0]
        log_id = self._trust.log_id
        try:
            steps = list(histories.history(self.log_history(), log_id, links, after))
        except (MalformedInput, RuleViolation) as error:
            raise _damaged() from error
        if (steps[-1].chain if steps else after) != chain:
            raise _damaged()
        return steps

    def log_history(self) -> list[LogState]:
        """The log's own states."""
        states = self._trust.view().states
        visited = (one.states for one in self._visited.values())
        return list(states or next(visited, ()))

    def _links(self, label: bytes) -> list[tuple[int, bytes]]:
        visited = self._visited.get(label)
        if visited:
            return [(one.index, one.entry) for one in visited.links]
        return self._trust.links(label)

    def resolved(self, group: bytes) -> Resolved | None:
        """What was last verified of a group's statements, if that is not beyond its chain here."""
        known, chain = self._trust.resolved(group), self.chain(group)
        return known if known and chain and known.chain.length <= chain.length else None

    def statements(self, group: bytes) -> list[bytes]:
        """The statements that led to the group's chain here."""
        chain = self.chain(group)
        return self._trust.statements(group)[: chain.length if chain else 0]

    def keep(self, group: bytes, resolved: Resolved, statements: Sequence[bytes]) -> None:
        self._trust.keep_group(group, resolved, statements)

    def check_group(self, group: bytes) -> None:
        if self.resolved(group):
            self._trust.check_group(group, self.history(group))


class SeenLog(Seen):
    """The same with what a user's own writing takes, as from a replica."""

    @property
    def watched(self) -> list[bytes]:
        """All that was looked up, groups first: what their authors did must not be older."""
        return sorted(self._turns, key=lambda label: not self._is_group(label))

    def _is_group(self, label: bytes) -> bool:
        chain = self.chain(label)
        return chain is not None and isinstance(chain.state, GroupState)

    @property
    def log_id(self) -> bytes:
        return self._trust.log_id

    @property
    def head(self) -> Head:
        view = self._trust.view()
        return Head(view.size, view.root, view.time)

    @property
    def anchor(self) -> Anchor:
        """What a block that is written now commits to."""
        view = self._trust.view()
        return Anchor(view.size, view.root)

    @property
    def log(self) -> LogState:
        """The log's own state, as it was seen last."""
        view = self._trust.view()
        if not view.first:
            raise UsageError("nothing of this log was fetched yet: sync first")
        states = self.log_history()
        return states[-1] if states else light.founding(None, view)

    def user(self, label: bytes) -> UserState | None:
        """Who stands behind a label that was looked up."""
        chain = self.chain(label)
        return chain.state if chain and isinstance(chain.state, UserState) else None

    def labels(self) -> list[bytes]:
        """The labels that were looked up and found, ascending."""
        return sorted(label for label in self._turns if self.chain(label))

    def holds(self, raw: bytes) -> bool:
        """Whether the block `raw` is in its chain."""
        block = blocks.parse(raw)
        chain = self.chain(block.label)
        if chain is None or block.seq >= chain.length:
            return False
        _, data = self._links(block.label)[block.seq]
        return entry.parse(data).body == raw


def _damaged() -> StoreError:
    return StoreError("what is held of this log is damaged: its file can't be relied upon")
