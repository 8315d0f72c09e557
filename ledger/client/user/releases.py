"""What a recovery service did with this person's records, where their own devices look (R-96.9).

    HOME/service.json   {"url": …, "seen": …}: the service that has records of this person, and
                        until when (ms) what happened to them was looked at

>>> memory = Memory(home.path / "service.json")                  # doctest: +SKIP
>>> found = await look(memory, url, MailRecovery(user, service))
>>> found.events, found.is_gone, found.failure                   # an alarm each, but the last
((), False, '')

A service that does not answer is no error of the log's, and stops nothing: `failure` says why.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ledger.client.user.mail_recovery import MailRecovery
from ledger.durable import write_secretly
from ledger.errors import MalformedInput, StoreError, TransportError
from ledger.format.recovery import Event, Watched

_PATIENCE = 10.0
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Known:
    """A service that has records of this person, looked at until `seen` (ms)."""

    url: str
    seen: int


@dataclass(frozen=True, slots=True)
class Memory:
    """The file at `path`, in which it stands."""

    path: Path

    def load(self) -> Known | None:
        """What is remembered. Raises `StoreError`."""
        try:
            found = json.loads(self.path.read_bytes())
            return Known(str(found["url"]), int(found["seen"]))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{self.path} is damaged: delete it") from error

    def save(self, known: Known) -> None:
        """Remember it, for its owner's eyes only."""
        fields = {"url": known.url, "seen": known.seen}
        try:
            write_secretly(self.path, json.dumps(fields, indent=2).encode() + b"\n")
        except OSError as error:
            raise StoreError(f"{self.path}: {error.strerror}") from error

    def seen(self, url: str, found: Iterable[Watched]) -> None:
        """Remember the service, and that a person has seen what happened to these records."""
        times = [event.time for one in found for event in one.events]
        self.save(Known(url, max(times, default=0)))

    def forget(self) -> None:
        """There are no records any more, and that is right."""
        self.path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Releases:
    """What nobody here has seen yet: releases and what else happened; records that are gone.

    `failure` is why the service could not be asked; empty if it was.
    """

    events: tuple[Event, ...] = ()
    is_gone: bool = False
    failure: str = ""

    @property
    def alarming(self) -> bool:
        """Whether a person should look: somebody may be getting in, or have spoilt a way back."""
        return bool(self.events) or self.is_gone


def unseen(found: Iterable[Watched], since: int) -> tuple[Event, ...]:
    """What happened after `since` (ms)."""
    return tuple(event for one in found for event in one.events if event.time > since)


async def look(memory: Memory, url: str, way: MailRecovery) -> Releases:
    """Ask the service at `url`; records that are found there are remembered."""
    known = memory.load()
    known = known if known and known.url == url else None
    try:
        async with asyncio.timeout(_PATIENCE):
            found = await way.watch()
    except (TransportError, MalformedInput, TimeoutError) as error:
        return Releases(failure=str(error) or "it did not answer in time")
    if found and known is None:
        memory.seen(url, ())
    return Releases(unseen(found, known.seen if known else 0), known is not None and not found)
