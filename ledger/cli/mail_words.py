"""What the commands that use a recovery service have in common: option, code, warnings."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TextIO

import click

from ledger.cli.person import Person
from ledger.cli.words import time_of
from ledger.client.home import Home
from ledger.client.replay.session import Log
from ledger.client.service import RecoveryService
from ledger.client.user.user import User
from ledger.errors import UsageError
from ledger.format.recovery import Event, What

Command = Callable[..., Any]

_MAX_PASSPHRASE = 4_096

FOR_ABSENT = "A recovery service, for people who are not registered yet."

WORDS = {
    What.ASKED: "somebody asked for a code",
    What.FAILED: "five wrong codes came back: somebody guesses",
    What.BEGUN: "a code came back, and a recovery began",
    What.GIVEN: "your keys were given out",
    What.CANCELLED: "a device of yours stopped what was begun",
}


def service_option(help: str) -> Callable[[Command], Command]:  # noqa: A002  # click's own word
    """The option that names a recovery service."""
    return click.option("--service", "at", metavar="URL", help=help)


@asynccontextmanager
async def service_at(home: Home, url: str | None) -> AsyncIterator[RecoveryService]:
    """The service at `url`, else the one that has records of this person. Raises `UsageError`."""
    known = home.service.load()
    chosen = url or (known.url if known else None)
    if chosen is None:
        raise UsageError("which recovery service? Name its address, with --service")
    async with RecoveryService.at(home, chosen) as service:
        yield service


async def ask_for_code() -> str:
    """The code that came by mail: asked on the terminal, or a line of standard input."""
    return str(click.prompt("the code that came by mail", err=True))


def secret_line(file: TextIO | None) -> str | None:
    """A passphrase, the first line of a file."""
    return file.readline(_MAX_PASSPHRASE).rstrip("\n") if file else None


def line(event: Event) -> str:
    """An event, for people."""
    return f"{time_of(event.time)}  {WORDS[event.what]}"


async def warn_of_releases(person: Person, log: Log) -> None:
    """Tell, where errors are told, what the service did since this person last looked (R-96.9)."""
    known, account = person.home.service.load(), person.home.vault.load()
    if known is None or account is None or account.identity is None:
        return
    async with RecoveryService.at(person.home, known.url) as service:
        found = await service.releases(User(log, person.home.vault))
    if found.failure:
        click.echo(f"the recovery service was not asked: {found.failure}", err=True)
    if found.is_gone:
        click.echo(f"ALARM: {known.url} has no record of yours any more", err=True)
    for event in found.events:
        click.echo(f"ALARM: recovery by e-mail: {line(event)}", err=True)
    if found.events:
        click.echo("if that was not you: keyroll recovery mail stop, then status", err=True)
