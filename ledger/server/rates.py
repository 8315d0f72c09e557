"""How often somebody may ask: so many times in each window, then 429 until it ends."""

from __future__ import annotations

from collections import OrderedDict
from math import ceil
from time import monotonic

from limits import parse

from ledger.server.problems import Problem


class Rate:
    """A rate such as "600/minute", for each of `whom`, kept in this server's memory.

    Windows begin with who asks first, so they end in the order in which they stand here, and it
    costs the same however many there are.

    >>> rate = Rate("2/minute", "peer")
    >>> rate.take("127.0.0.1")
    """

    def __init__(self, rate: str, whom: str) -> None:
        self._limit = parse(rate)
        self._whom = whom
        self._windows: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def take(self, key: str, cost: int = 1) -> None:
        """Count `cost` for `key`. Raises `Problem` (429) if that is more than it has left."""
        now, windows = monotonic(), self._windows
        while windows and next(iter(windows.values()))[0] <= now:
            windows.popitem(last=False)
        end, taken = windows.get(key, (now + self._limit.get_expiry(), 0))
        if taken + cost > self._limit.amount:
            headers = {"Retry-After": str(ceil(end - now))}
            raise Problem(
                "too-many", f"at most {self._limit} for one {self._whom}", headers=headers
            )
        windows[key] = end, taken + cost
