"""Who asks over HTTP, and whether they ask too often.

>>> windows = Windows("2/minute")
>>> [windows.take("192.0.2.1") for _ in range(3)]
[0, 0, 60]
"""

from __future__ import annotations

from collections import OrderedDict
from math import ceil
from time import monotonic

from aiohttp import web
from limits import parse


class Windows:
    """A rate such as "600/minute", for each of many, kept in this process's memory.

    Windows begin with who asks first, so they end in the order in which they stand here, and it
    costs the same however many there are.
    """

    def __init__(self, rate: str) -> None:
        self.limit = parse(rate)
        self._windows: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def take(self, key: str, cost: int = 1) -> int:
        """Count `cost` for `key`: 0. Or nothing, if it has not as much left: seconds to wait."""
        now, windows = monotonic(), self._windows
        while windows and next(iter(windows.values()))[0] <= now:
            windows.popitem(last=False)
        end, taken = windows.get(key, (now + self.limit.get_expiry(), 0))
        if taken + cost > self.limit.amount:
            return ceil(end - now)
        windows[key] = end, taken + cost
        return 0


def peer(request: web.Request, forwarded: bool) -> str:
    """Who asks, by address: what the proxy in front appended, if there is one.

    It may do so in a header of its own, behind those that the peer made up.
    """
    named = request.headers.getall("X-Forwarded-For", []) if forwarded else []
    last = named[-1].rpartition(",")[2].strip() if named else ""
    return last or request.remote or ""
