"""What the commands of a person's device have in common: options, the log, words for people.

    keyroll sync --home DIR --url https://log.example.com --log-id HEX

Address and log id are remembered in the home directory after the first use.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ledger.cli.words import print_json
from ledger.client.history import Event
from ledger.client.home import Home, Settings
from ledger.client.policy import Policy
from ledger.client.replay.session import Log
from ledger.client.text import parse_log_id
from ledger.client.user.user import User
from ledger.errors import LogMisbehaved, MalformedInput, RuleViolation, UsageError
from ledger.format.evidence import Evidence, Kind
from ledger.format.lookup import Mode
from ledger.log.clock import wall_ms
from ledger.rules.state import Device
from ledger.seal.lock import Lock

_FILE = click.Path(dir_okay=False, path_type=Path)
_MAX_PASSPHRASE = 4_096

Command = Callable[..., Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class Person:
    """Who runs a command: their directory, which log they mean, how they want to be answered."""

    home: Home
    url: str | None
    log_id: bytes | None
    as_json: bool
    witnesses: Path | None = None
    auditors: Path | None = None

    @property
    def settings(self) -> Settings:
        """Which log: as given now, else as remembered."""
        return self.home.settings(self.url, self.log_id)

    def policy(self, mode: Mode = Mode.REPLAY) -> Policy:
        """Whose cosignatures they ask for."""
        return self.home.policy(self.witnesses, self.auditors, mode)

    @asynccontextmanager
    async def log(self) -> AsyncIterator[Log]:
        """The log, synced, with a bar for long syncs."""
        async with self.home.log(self.settings, self.policy()) as log:
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
    @click.option("--witnesses", type=_FILE, help="A policy. [default: HOME/witnesses.policy]")
    @click.option("--auditors", type=_FILE, help="A policy. [default: HOME/auditors.policy]")
    @click.option(
        "--passphrase-file",
        type=_FILE,
        envvar="KEYROLL_PASSPHRASE_FILE",
        help="Has what locks your account; you are asked if it is locked and this is not given.",
    )
    @click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
    @wraps(command)
    def callback(**options: Any) -> None:
        person = _person(options)
        try:
            asyncio.run(command(person, **options))
        except LogMisbehaved as error:
            tell_evidence(person, error)
            raise

    return callback


def tell_evidence(person: Person, error: LogMisbehaved) -> Path:
    """Keep what an error holds against the log, and say what to do with it."""
    path = person.home.keep_evidence(error, wall_ms())
    click.echo(f"evidence: {path}", err=True)
    if error.proof is None:
        click.echo(
            "it convinces nobody but you, since the log signed none of it, or does not show its "
            "tree: believe this server no more, and compare with others: keyroll checkpoint",
            err=True,
        )
        return path
    click.echo(f"who doubts it: keyroll-verifier check-evidence {path}", err=True)
    if Evidence.decode(error.proof).kind == Kind.STATEMENT:
        click.echo("it shows who is in that group: hand it on with care", err=True)
    return path


def _person(options: dict[str, Any]) -> Person:
    """Take the common options out of a command's own."""
    home = _unlocked(Home(options.pop("home").expanduser()), options.pop("passphrase_file"))
    url, log_id = options.pop("url"), options.pop("log_id")
    as_json = options.pop("as_json")
    known = parse_log_id(log_id) if log_id else None
    return Person(home, url, known, as_json, options.pop("witnesses"), options.pop("auditors"))


def _unlocked(home: Home, passphrase: Path | None) -> Home:
    """The home, with what opens its account."""
    if passphrase:
        return replace(home, lock=read_passphrase(passphrase))
    if home.vault.is_locked:
        asked = click.prompt("Passphrase", hide_input=True, err=True)
        return replace(home, lock=Lock.by_passphrase(asked))
    return home


def read_passphrase(path: Path) -> Lock:
    """The passphrase in a file: its first line."""
    try:
        with path.open(encoding="utf-8") as file:
            return Lock.by_passphrase(file.readline(_MAX_PASSPHRASE).rstrip("\r\n"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error


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
