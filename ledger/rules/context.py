"""What a rule is given, and what it gives back."""

from __future__ import annotations

from dataclasses import dataclass

from ledger.format.block import Block
from ledger.rules.state import LogState, State


@dataclass(frozen=True, slots=True)
class Context:
    """One block at its place: leaf `index`, its entry's `time` (ms), the log's state before it."""

    block: Block
    index: int
    time: int
    log: LogState
    log_id: bytes


@dataclass(frozen=True, slots=True)
class Outcome:
    """The chain's new state, box root and its recipients' keys in order, codes of loud events.

    A block that hands over no key has no box root and no recipients.
    """

    state: State
    box_root: bytes | None = None
    recipients: tuple[bytes, ...] = ()
    events: tuple[int, ...] = ()
