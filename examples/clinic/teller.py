"""Who tells the story: what was said so far, and what stops it.

>>> story = Story(town, Console())                               # doctest: +SKIP
>>> story.chapter("A clinic opens")                              # doctest: +SKIP
>>> await refused(NotForYou, device.open(sealed, author))        # doctest: +SKIP
"""

from __future__ import annotations

import time
from collections.abc import Awaitable
from typing import TypeVar

from rich.console import Console
from rich.table import Table

from examples.clinic.device import Device
from examples.clinic.town import Town
from ledger import RecoveryCode
from ledger.client.lookups.pins import Pin
from ledger.errors import NotAccepted
from ledger.rules.users import LoudEvent

E = TypeVar("E", bound=Exception)


class Story:
    """What is known from one chapter to the next."""

    def __init__(self, town: Town, console: Console) -> None:
        self.town = town
        self.codes: dict[str, RecoveryCode] = {}
        """On paper, at people's homes."""
        self.elsewhere: set[bytes] = set()
        """Secrets that no device keeps: what a recovery service locks away, and what opens it."""
        self._console = console

    def chapter(self, title: str) -> None:
        """A new one begins."""
        self._console.print()
        self._console.rule(f"[bold]{title}", align="left")

    def tell(self, *words: str) -> None:
        """What happened, in a paragraph."""
        self._console.print(" ".join(words), highlight=False, markup=False)

    def show(self, table: Table) -> None:
        """What was counted."""
        self._console.print(table)

    def of(self, name: str) -> Device:
        """A device."""
        return self.town.devices[name]

    async def first(self, name: str, identifier: str) -> Device:
        """Somebody registers, and writes a recovery code down."""
        device = await self.town.device(name, identifier)
        await device.me.register(await device.portal.token())
        self.codes[identifier] = await device.me.recovery_code()
        return device

    async def second(self, name: str, first: Device) -> Device:
        """Somebody adds another device, which they hold beside the first."""
        device = await self.town.device(name, first.identifier)
        request = device.me.request()  # a person compares what both show: request.fingerprint
        await device.me.join(await first.me.offer(request))
        return device

    async def another(self, name: str, identifier: str) -> Device:
        """Somebody who has lost their devices goes on with another, by their code."""
        device = await self.town.device(name, identifier)
        await device.me.recover(await device.portal.token(), self.codes[identifier])
        return device


def why(error: NotAccepted) -> str:
    """What happened to people, in words."""
    events = [one for pin in error.people if isinstance(pin, Pin) for one in pin.events]
    names = [LoudEvent(event.kind).name for event in events]
    return ", ".join(name.lower().replace("_", " ") for name in names)


def same(found: bytes, expected: bytes) -> None:
    """Stop the story where somebody read something else than was written."""
    if found != expected:
        raise RuntimeError(f"{found[:60]!r} was read, {expected[:60]!r} was written")


async def refused(kind: type[E], attempt: Awaitable[object]) -> E:
    """The error that an attempt must end with."""
    try:
        await attempt
    except kind as error:
        return error
    raise RuntimeError(f"this should have ended with {kind.__name__}")


def now() -> int:
    """Ms since 1970."""
    return time.time_ns() // 1_000_000
