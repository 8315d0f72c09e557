"""What a rule is given, and what it gives back."""

from __future__ import annotations

from ledger.errors import RuleViolation
from ledger.format.block import Block
from ledger.format.bodies import DAY_MS
from ledger.rules.state import GroupState, LogState, State, UserState
from ledger.value import value


@value
class Context:
    """One block at its place: leaf `index`, its entry's `time` (ms), the log's state before it."""

    block: Block
    index: int
    time: int
    log: LogState
    log_id: bytes

    @property
    def day(self) -> int:
        return self.time // DAY_MS

    def count(self, state: UserState | GroupState) -> int:
        """Blocks of the chain today, this one included (R-53.7)."""
        count = state.count + 1 if self.day == state.day else 1
        if count > self.log.limits.max_blocks_per_day:
            raise RuleViolation("R-53.7", f"this chain already has {state.count} blocks today")
        return count


@value
class Outcome:
    """The chain's new state, box root and its recipients' keys in order, codes of loud events.

    A block that hands over no key has no box root and no recipients.
    """

    state: State
    box_root: bytes | None = None
    recipients: tuple[bytes, ...] = ()
    events: tuple[int, ...] = ()
