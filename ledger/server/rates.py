"""How often somebody may ask: so many times in each window, then 429 until it ends."""

from __future__ import annotations

from ledger.rates import Windows
from ledger.server.problems import Problem


class Rate:
    """A rate such as "600/minute", for each of `whom`.

    >>> rate = Rate("2/minute", "peer")
    >>> rate.take("127.0.0.1")
    """

    def __init__(self, rate: str, whom: str) -> None:
        self._windows = Windows(rate)
        self._whom = whom

    def take(self, key: str, cost: int = 1) -> None:
        """Count `cost` for `key`. Raises `Problem` (429) if that is more than it has left."""
        wait = self._windows.take(key, cost)
        if wait:
            detail = f"at most {self._windows.limit} for one {self._whom}"
            raise Problem("too-many", detail, headers={"Retry-After": str(wait)})
