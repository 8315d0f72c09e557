"""What was begun at a recovery service, and goes on once a code has come by mail (R-96.5).

A `Ticket` is kept in a file until what it is for is done: after a crash nobody is asked for a code
again that they gave before.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from ledger.client.transport import HttpTransport
from ledger.durable import write_secretly
from ledger.errors import MalformedInput, Refused, StoreError
from ledger.format import recovery as wire
from ledger.format.cbor import Value, array, bstr, decode, encode, uint
from ledger.format.recovery import Method

Ask = Callable[[], Awaitable[str]]
"""Asks a person for the code that came by mail."""

_VERSION = 1
_TRIES = 5
_CODE_LIFE = 15 * 60_000


@dataclass(frozen=True, slots=True)
class Ticket:
    """A release that was begun here: when (ms), and when it is due once the code is back."""

    attempt: bytes = field(repr=False)
    identifier: str
    method: Method
    made: int
    due: int | None = None

    @classmethod
    def load(cls, path: Path) -> Ticket | None:
        """The one that was kept. Raises `StoreError`."""
        try:
            f = array(decode(path.read_bytes(), wire.MAX_REQUEST_BYTES), 6, "ticket")
            if uint(f[0], "version") != _VERSION or not isinstance(f[2], str):
                raise StoreError(f"{path} is damaged: delete it")
            due = None if f[5] is None else uint(f[5], "due")
            method = Method(uint(f[3], "method", max(Method)))
            return cls(bstr(f[1], 32, "attempt"), f[2], method, uint(f[4], "made"), due)
        except FileNotFoundError:
            return None
        except (OSError, MalformedInput) as error:
            raise StoreError(f"{path} is damaged: delete it") from error

    def save(self, path: Path) -> None:
        """Keep it, for its owner's eyes only."""
        fields: list[Value] = [self.identifier, int(self.method), self.made, self.due]
        try:
            write_secretly(path, encode([_VERSION, self.attempt, *fields]))
        except OSError as error:
            raise StoreError(f"{path} cannot be written: {error.strerror}") from error

    def serves(self, identifier: str, method: Method, now: int) -> bool:
        """Whether to go on with it."""
        alive = self.due is not None or self.made <= now < self.made + _CODE_LIFE
        return alive and (self.identifier, self.method) == (identifier, method)


def forget_ticket(path: Path) -> None:
    """It is done, or nothing comes of it any more."""
    path.unlink(missing_ok=True)


async def answered(service: HttpTransport, ticket: Ticket, ask: Ask) -> int:
    """When it is due, by the code that a person was asked for, again if it was wrong."""
    for attempt in range(1, _TRIES + 1):
        code = (await ask()).strip()
        try:
            request = wire.CodeRequest(ticket.attempt, code).encode()
            answer = await service.post(wire.CODES_PATH, request, wire.MAX_ANSWER_BYTES)
            return wire.CodeAnswer.decode(answer).due
        except (MalformedInput, Refused) as error:
            wrong = isinstance(error, MalformedInput) or error.kind == "wrong-code"
            if not wrong or attempt == _TRIES:
                raise
    raise AssertionError("unreachable")
