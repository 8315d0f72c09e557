"""How often somebody may ask: so many times in each window, then 429 until it ends."""

from __future__ import annotations

from limits import parse
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import FixedWindowRateLimiter

from ledger.server.problems import Problem


class Rate:
    """A rate such as "600/minute", for each of `whom`, kept in this server's memory.

    >>> rate = Rate("2/minute", "peer")
    >>> await rate.take("127.0.0.1")                        # doctest: +SKIP
    """

    def __init__(self, rate: str, whom: str) -> None:
        self._limit = parse(rate)
        self._whom = whom
        self._limiter = FixedWindowRateLimiter(MemoryStorage())

    async def take(self, key: str, cost: int = 1) -> None:
        """Count `cost` for `key`. Raises `Problem` (429) if that is more than it has left."""
        if not await self._limiter.hit(self._limit, key, cost=cost):
            headers = {"Retry-After": str(self._limit.get_expiry())}
            raise Problem(
                "too-many", f"at most {self._limit} for one {self._whom}", headers=headers
            )
