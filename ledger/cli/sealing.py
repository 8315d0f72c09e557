"""What `keyroll encrypt`, `decrypt` and `share` have in common: readers, files, a bar."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from ledger.cli.groups import find_group
from ledger.cli.person import Person
from ledger.client.documents import Documents
from ledger.client.service import RecoveryService
from ledger.client.transport import HttpTransport
from ledger.client.user.user import User
from ledger.errors import StoreError, UsageError


@asynccontextmanager
async def documents(
    person: Person, at: str | None = None
) -> AsyncIterator[tuple[User, Documents, HttpTransport]]:
    """The person, what they seal and open, and the log's server.

    With the recovery service at `at`, things can be left for people who are not registered yet.
    """
    settings, policy = person.settings, person.policy()
    async with (
        person.user() as user,
        person.home.light_log(settings, policy) as light,
        HttpTransport(settings.url) as server,
        RecoveryService.at(person.home, at) if at else nullcontext() as service,
    ):
        room = service.room(user, server) if service else None
        yield user, Documents(user, light, server, room=room), server


def readers(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that name who may read."""
    people = click.option(
        "-r", "--recipient", "people", multiple=True, metavar="PERSON", help="An identifier."
    )
    groups = click.option(
        "-g", "--group", "groups", multiple=True, metavar="GROUP", help="A label, or its beginning."
    )
    return people(groups(command))


def labels_of(user: User, prefixes: tuple[str, ...]) -> list[bytes]:
    """The groups that these are the beginnings of."""
    return [find_group(user, prefix).label for prefix in prefixes]


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The file at `path`; standard input for `-`."""
    if str(path) == "-":
        yield sys.stdin.buffer
        return
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error


@contextmanager
def created(path: Path) -> Iterator[BinaryIO]:
    """A new file at `path`, gone again after an error; standard output for `-`."""
    if str(path) == "-":
        yield sys.stdout.buffer
        return
    try:
        with path.open("xb") as file:
            try:
                yield file
                file.flush()
                os.fsync(file.fileno())
            except BaseException:
                path.unlink()
                raise
    except FileExistsError:
        raise UsageError(f"{path} is there already, and is not written over") from None
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}") from error


@contextmanager
def bar(what: str, path: Path) -> Iterator[Callable[[int], None]]:
    """Shows how far a long file is."""
    total = path.stat().st_size if path.is_file() else None
    columns = (TextColumn(what), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=total)
        yield lambda done: progress.update(task, completed=done)
