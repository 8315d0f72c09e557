"""What the commands of a person's device have in common: options, the log, words for people.

    keyroll sync --home DIR --url https://log.example.com --log-id HEX

Address and log id are remembered in the home directory after the first use.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ledger.cli.words import print_json
from ledger.client.account import write_secretly
from ledger.client.history import Event
from ledger.client.home import Home, Settings
from ledger.client.session import Log
from ledger.client.text import parse_log_id
from ledger.client.user import User
from ledger.errors import LogMisbehaved, MalformedInput, RuleViolation, UsageError
from ledger.log.clock import wall_ms
from ledger.rules.state import Device

Command = Callable[..., Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class Person:
    """Who runs a command: their directory, which log they mean, how they want to be answered."""

    home: Home
    url: str | None
    log_id: bytes | None
    as_json: bool

    @property
    def settings(self) -> Settings:
        """Which log: as given now, else as remembered."""
        return self.home.settings(self.url, self.log_id)

    @asynccontextmanager
    async def log(self) -> AsyncIterator[Log]:
        """The log, synced, with a bar for long syncs."""
        async with self.home.log(self.settings) as log:
            columns = (TextColumn("syncing"), BarColumn(), MofNCompleteColumn())
            console = Console(stderr=True)
            with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as bar:
                task = bar.add_task("", total=None)
                await log.sync(
                    progress=lambda done, size: bar.update(task, completed=done, total=size)
                )
            yield log

    @asynccontextmanager
    async def user(self) -> AsyncIterator[User]:
        """The person's account at the log; what became of a block on its way is found out."""
        async with self.log() as log:
            user = User(log, self.home.vault)
            try:
                await user.resume()
            except (MalformedInput, RuleViolation) as error:
                click.echo(f"a block from before was refused: {error}", err=True)
            yield user

    def tell(self, sentence: str, **facts: object) -> None:
        """Answer: the sentence for people, or the facts as JSON."""
        if self.as_json:
            print_json(facts)
        else:
            click.echo(sentence)


def person_command(command: Command) -> Callable[..., None]:
    """Make a coroutine function a command's callback, with the options of a person."""

    @click.option(
        "--home",
        type=click.Path(file_okay=False, path_type=Path),
        default=Path("~/.keyroll"),
        envvar="KEYROLL_HOME",
        help="Your directory: keys, replica, contacts. [default: ~/.keyroll]",
    )
    @click.option("--url", help="The server's address; remembered.")
    @click.option("--log-id", help="The log's id, 64 hexadecimal digits; remembered.")
    @click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
    @wraps(command)
    def callback(**options: Any) -> None:
        person = _person(options)
        try:
            asyncio.run(command(person, **options))
        except LogMisbehaved as error:
            click.echo(f"evidence: {_keep_evidence(person.home, error)}", err=True)
            raise

    return callback


def _keep_evidence(home: Home, error: LogMisbehaved) -> Path:
    """Write down what the log contradicted itself with."""
    document = {
        "rule": error.rule,
        "detail": error.detail,
        "time": wall_ms(),
        "evidence": {name: data.hex() for name, data in error.evidence.items()},
    }
    path = home.path / f"evidence-{document['time']}.json"
    write_secretly(path, json.dumps(document, indent=2).encode() + b"\n")
    return path


def _person(options: dict[str, Any]) -> Person:
    """Take the common options out of a command's own."""
    home = Home(options.pop("home").expanduser())
    url, log_id = options.pop("url"), options.pop("log_id")
    as_json = options.pop("as_json")
    return Person(home, url, parse_log_id(log_id) if log_id else None, as_json)


def find_device(user: User, prefix: str) -> Device:
    """The user's live device whose signing key begins with `prefix` (hexadecimal)."""
    found = [device for device in user.state.devices if device.signing.hex().startswith(prefix)]
    if not prefix or len(found) != 1:
        raise UsageError(f"{len(found)} live devices have a signing key that begins '{prefix}'")
    return found[0]


def event_words(event: Event) -> str:
    """A loud event, in words."""
    return event.kind.name.lower().replace("_", " ")


def event_facts(event: Event) -> dict[str, object]:
    """A loud event, for JSON."""
    return {"event": event_words(event), "index": event.index, "time": event.time}
