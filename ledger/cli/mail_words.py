"""What the commands of recovery by e-mail have in common: the service, the code, the warnings.

HOME/service.json   {"url": …, "seen": …}: until when (ms) its events were looked at
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TextIO

import click

from ledger.cli.person import Person
from ledger.cli.words import time_of
from ledger.client.home import Home
from ledger.client.replay.session import Log
from ledger.client.transport import HttpTransport
from ledger.client.user.mail_recovery import MailRecovery
from ledger.client.user.user import User
from ledger.durable import write_secretly
from ledger.errors import StoreError, TransportError, UsageError
from ledger.format.recovery import Event, Watched, What

_MAX_PASSPHRASE = 4_096

WORDS = {
    What.ASKED: "somebody asked for a code",
    What.FAILED: "five wrong codes came back: somebody guesses",
    What.BEGUN: "a code came back, and a recovery began",
    What.GIVEN: "your keys were given out",
    What.CANCELLED: "a device of yours stopped what was begun",
}


@dataclass(frozen=True, slots=True)
class Service:
    """Where this person's records are, and until when (ms) their events were looked at."""

    url: str
    seen: int

    @classmethod
    def load(cls, home: Home) -> Service | None:
        """The one that is remembered. Raises `StoreError`."""
        path = home.path / "service.json"
        try:
            found = json.loads(path.read_bytes())
            return cls(str(found["url"]), int(found["seen"]))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{path} is damaged: delete it") from error

    def save(self, home: Home) -> None:
        """Remember it."""
        path = home.path / "service.json"
        try:
            write_secretly(path, json.dumps(asdict(self), indent=2).encode() + b"\n")
        except OSError as error:
            raise StoreError(f"{path}: {error.strerror}") from error

    @classmethod
    def chosen(cls, home: Home, url: str | None) -> Service:
        """The service at `url`, else the one that is remembered. Raises `UsageError`."""
        known = cls.load(home)
        if url is None and known is None:
            raise UsageError("which recovery service? Name its address once, with --service")
        if known and url in (None, known.url):
            return known
        return cls(url or "", 0)


async def ask_for_code() -> str:
    """The code that came by mail: asked on the terminal, or a line of standard input."""
    return str(click.prompt("the code that came by mail", err=True))


def secret_line(file: TextIO | None) -> str | None:
    """A passphrase, the first line of a file."""
    return file.readline(_MAX_PASSPHRASE).rstrip("\n") if file else None


def line(event: Event) -> str:
    """An event, for people."""
    return f"{time_of(event.time)}  {WORDS[event.what]}"


def unseen(found: list[Watched], since: int) -> list[Event]:
    """What happened after `since` (ms)."""
    events = [event for one in found for event in one.events]
    return [event for event in events if event.time > since]


async def warn_of_releases(person: Person, log: Log) -> None:
    """Tell, where errors are told, what the service did since this person last looked (R-96.9)."""
    known, account = Service.load(person.home), person.home.vault.load()
    if known is None or account is None or account.identity is None:
        return
    try:
        async with HttpTransport(known.url) as service:
            found = await MailRecovery(User(log, person.home.vault), service).watch()
    except (TransportError, UsageError) as error:
        click.echo(f"the recovery service was not asked: {error}", err=True)
        return
    if not found:
        click.echo(f"ALARM: {known.url} has no record of yours any more", err=True)
    for event in unseen(found, known.seen):
        click.echo(f"ALARM: recovery by e-mail: {line(event)}", err=True)
    if unseen(found, known.seen):
        click.echo("if that was not you: keyroll recovery mail stop, then status", err=True)
