"""A clock that tests put forward."""

from __future__ import annotations

import time
from dataclasses import dataclass

from ledger.log.clock import Clock, wall_ms


@dataclass
class Shift:
    """A clock that tests can put forward, by milliseconds."""

    by: int = 0

    def clock(self) -> Clock:
        return Clock(self.now, lambda: time.monotonic() + self.by / 1000)

    def now(self) -> int:
        return wall_ms() + self.by
