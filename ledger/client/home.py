"""A person's directory on one machine: which log, its replica, their account, their contacts.

    HOME/settings.json   the server's address and the log id
    HOME/replica.db      the log, replayed: may be deleted, and is fetched again
    HOME/account         secret keys: see `ledger.client.account`
    HOME/contacts.db     pins, for who replays: see `ledger.client.contacts`
    HOME/trust.db        pins, for who looks up: see `ledger.client.trust`

>>> home = Home(Path("~/.keyroll").expanduser())                 # doctest: +SKIP
>>> async with home.log(home.settings()) as log:
...     await log.sync()

One process at a time: who opens the replica holds the directory until they close it. Lookups need
no replica, and any number of processes may do them.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from ledger.client.account import FileVault, write_secretly
from ledger.client.contacts import Contacts
from ledger.client.light_session import LightLog
from ledger.client.pins import Policy
from ledger.client.session import Log
from ledger.client.text import parse_log_id
from ledger.client.trust import Trust
from ledger.errors import StoreError, UsageError


@dataclass(frozen=True, slots=True)
class Settings:
    """Which log, and where it is served."""

    url: str
    log_id: bytes


@dataclass(frozen=True, slots=True)
class Home:
    """The directory at `path`."""

    path: Path

    @property
    def vault(self) -> FileVault:
        """Where the account is kept."""
        return FileVault(self.path / "account")

    def make(self) -> None:
        """Make the directory, for its owner only."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{self.path} cannot be made: {error.strerror}") from error

    def settings(self, url: str | None = None, log_id: bytes | None = None) -> Settings:
        """What is remembered, with what is given in its place. Raises `UsageError` if unknown."""
        known = self._remembered()
        if known and log_id not in (None, known.log_id):
            raise UsageError(f"{self.path} is of another log: {known.log_id.hex()}")
        url = url or (known.url if known else None)
        log_id = log_id or (known.log_id if known else None)
        if not url or not log_id:
            raise UsageError("which log? Name its address and its log id once")
        return Settings(url, log_id)

    def remember(self, settings: Settings) -> None:
        """Keep `settings` for later."""
        fields = {"url": settings.url, "log_id": settings.log_id.hex()}
        if settings != self._remembered():
            try:
                write_secretly(self._settings_file, json.dumps(fields, indent=2).encode() + b"\n")
            except OSError as error:
                raise StoreError(f"{self._settings_file}: {error.strerror}") from error

    @asynccontextmanager
    async def log(self, settings: Settings) -> AsyncIterator[Log]:
        """The log, with its replica here. What worked is remembered."""
        self.make()
        async with Log.connect(settings.url, settings.log_id, self.path / "replica.db") as log:
            yield log
            self.remember(settings)

    def contacts(self, log: Log) -> Contacts:
        """The pins of this person."""
        return Contacts.open(self.path / "contacts.db", log.log_id)

    @asynccontextmanager
    async def light_log(self, settings: Settings, policy: Policy) -> AsyncIterator[LightLog]:
        """The log, for lookups. What worked is remembered."""
        account = self.vault.load()
        if account is None:
            raise UsageError("lookups are for users: register or join first")
        path = self.path / "trust.db"
        async with LightLog.connect(
            settings.url, settings.log_id, path, account, policy=policy
        ) as log:
            yield log
            self.remember(settings)

    def trust(self, log_id: bytes) -> Trust:
        """What was looked up here."""
        self.make()
        return Trust.open(self.path / "trust.db", log_id)

    @property
    def _settings_file(self) -> Path:
        return self.path / "settings.json"

    def _remembered(self) -> Settings | None:
        try:
            fields = json.loads(self._settings_file.read_bytes())
            return Settings(str(fields["url"]), parse_log_id(fields["log_id"]))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, UsageError) as error:
            raise StoreError(f"{self._settings_file} is damaged: delete it") from error
