"""The points where what somebody does can be cut off: see `tests.client.interrupted`.

>>> points = Points(Path("begun"), 3, cut)                       # doctest: +SKIP
>>> with points.at_requests():                                   # doctest: +SKIP
...     await me.register(token)
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from ledger.client.transport import HttpTransport
from ledger.errors import TransportError
from ledger.format import recovery as wire
from ledger.format.sessions import SHARE_PATH
from ledger.format.wire import BLOCKS_PATH
from ledger.localfile import LocalFile

_CHANGING = frozenset(
    {
        *(BLOCKS_PATH, SHARE_PATH),
        *(wire.RECORDS_PATH, wire.RELEASES_PATH, wire.CODES_PATH, wire.CLAIMS_PATH),
    }
)
"""Of other paths a lost answer is to both sides as if the request had been lost."""


class Points:
    """Counts the points that are passed, and does something at the nth."""

    def __init__(self, begun: Path, nth: int, act: Callable[[], None]) -> None:
        """A byte for each attempt that was begun at the recovery service is added to `begun`."""
        self._begun = begun
        self._nth = nth
        self._act = act
        self.passed = 0

    def point(self) -> None:
        self.passed += 1
        if self.passed == self._nth:
            self._act()

    @contextmanager
    def at_requests(self) -> Iterator[None]:
        ask = HttpTransport._ask

        async def asked(
            transport: HttpTransport, path: str, limit: int, body: bytes | None = None
        ) -> bytes:
            self.point()
            answer = await ask(transport, path, limit, body)
            if path in (wire.RECORDS_PATH, wire.RELEASES_PATH):
                with self._begun.open("ab") as begun:
                    begun.write(b".")
            if path in _CHANGING:
                self.point()
            return answer

        HttpTransport._ask = asked  # type: ignore[method-assign, assignment]
        try:
            yield
        finally:
            HttpTransport._ask = ask  # type: ignore[method-assign]

    def at_writes(self) -> None:
        """For good: this process ends."""
        replace, transaction = os.replace, LocalFile.transaction

        def replaced(source: str, target: str) -> None:
            self.point()
            replace(source, target)
            self.point()

        @contextmanager
        def told(file: LocalFile) -> Iterator[None]:
            with transaction(file):
                yield
                self.point()
            self.point()

        os.replace = replaced  # type: ignore[assignment]
        LocalFile.transaction = told  # type: ignore[method-assign, assignment]


class Cut(TransportError):
    """The line was cut."""


def cut() -> NoReturn:
    raise Cut("the line was cut here")


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
