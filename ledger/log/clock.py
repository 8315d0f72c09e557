"""The time a batch is admitted at, and when a clock is too wrong to sign by (R-73.1, R-73.3)."""

from __future__ import annotations

import time
from collections.abc import Callable

from ledger.errors import ClockError

MAX_BEHIND_MS = 10_000
MAX_JUMP_MS = 60_000
MAX_IDLE_MS = 30 * 86_400_000


def wall_ms() -> int:
    """Milliseconds since 1970 by this machine's clock."""
    return time.time_ns() // 1_000_000


class Clock:
    """A wall clock that is watched by a monotonic one.

    >>> Clock(lambda: 5_000, lambda: 0.0).now(last=1_000)
    5000
    """

    def __init__(
        self,
        wall: Callable[[], int] = wall_ms,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._offset = wall() - monotonic() * 1000

    def check_start(self, last: int, *, idle_confirmed: bool = False) -> None:
        """Raise `ClockError` unless the log, whose last entry is of `last`, can be taken up now."""
        if self.now(last) - last > MAX_IDLE_MS and last and not idle_confirmed:
            raise ClockError(
                "the clock is more than 30 days after the log's last entry: set it, or confirm "
                "that the log was idle so long"
            )

    def read(self) -> int:
        """The time now, in ms, for what is not signed."""
        return self._wall()

    def now(self, last: int) -> int:
        """The time now, in ms. Raises `ClockError` if it is before `last`, or has jumped."""
        now = self._wall()
        if now < last - MAX_BEHIND_MS:
            raise ClockError(f"the clock is {last - now} ms behind the log's last entry: set it")
        offset = now - self._monotonic() * 1000
        jump = offset - self._offset
        if abs(jump) > MAX_JUMP_MS:
            raise ClockError(f"the clock jumped by {jump / 1000:.0f} s: set it and start again")
        # Slow slewing is no jump, however long it goes on.
        self._offset = offset
        return now
