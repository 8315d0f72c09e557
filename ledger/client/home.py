"""A person's directory on one machine: which log, its replica, their account, their contacts.

    HOME/settings.json   the server's address and the log id
    HOME/replica.db      the log, replayed: may be deleted, and is fetched again
    HOME/account         secret keys: see `ledger.client.user.account`
    HOME/contacts.db     pins, for who replays: see `ledger.client.lookups.contacts`
    HOME/trust.db        pins, for who looks up: see `ledger.client.lookups.trust`
    HOME/witnesses.policy, HOME/auditors.policy
                         whom this person asks to cosign (62-witnesses), if they are there
    HOME/sessions.db     secrets of sessions, for when no server answers: may be deleted
    HOME/recovery        a recovery by e-mail that was begun and waits
    HOME/claim           what was begun to read what was left for this person
    HOME/service.json    see `ledger.client.user.releases`
    HOME/evidence/       what proves that the log lied (80-evidence), if it was caught

>>> home = Home(Path("~/.keyroll").expanduser())                 # doctest: +SKIP
>>> async with home.log(home.settings(), home.policy()) as log:
...     await log.sync()

One process at a time: who opens the replica holds the directory until they close it. Lookups need
no replica, and any number of processes may do them.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from ledger.client import kept, ties
from ledger.client.asking import Asking
from ledger.client.evidence import of_lookups
from ledger.client.evidence.gossip import Accepted
from ledger.client.kept import KeptSessions
from ledger.client.known import Known
from ledger.client.lookups import light
from ledger.client.lookups.contacts import Contacts
from ledger.client.lookups.session import LightLog
from ledger.client.lookups.trust import Trust
from ledger.client.policy import NOBODY, Policy
from ledger.client.replay.replica import Replica
from ledger.client.replay.session import Log
from ledger.client.replay.tree import ReplicaTree
from ledger.client.text import parse_log_id
from ledger.client.user.account import FileVault
from ledger.client.user.releases import Memory
from ledger.durable import write_secretly
from ledger.errors import LogMisbehaved, MalformedInput, StoreError, UsageError
from ledger.format.evidence import Evidence
from ledger.format.lookup import Link, Mode
from ledger.format.policy import MAX_POLICY_BYTES, TrustPolicy, parse_policy
from ledger.seal.lock import Lock


@dataclass(frozen=True, slots=True)
class Settings:
    """Which log, and where it is served."""

    url: str
    log_id: bytes


@dataclass(frozen=True, slots=True)
class Home:
    """The directory at `path`, whose account is under `lock`, if it is (94-at-rest)."""

    path: Path
    lock: Lock | None = None

    @property
    def vault(self) -> FileVault:
        """Where the account is kept."""
        return FileVault(self.path / "account", self.lock)

    def sessions(self) -> KeptSessions:
        """The secrets of sessions that were begun or opened here."""
        self.make()
        return KeptSessions.open(self._sessions_file, self.lock)

    def relock(self, lock: Lock | None) -> None:
        """Put the account under another lock, or under none. Raises `UsageError` without one."""
        account = self.vault.load()
        if account is None:
            raise UsageError(f"there is no account in {self.path}: register or join first")
        try:
            kept.delete(self._sessions_file)
        except OSError as error:
            raise StoreError(f"{self._sessions_file}: {error.strerror}") from error
        replace(self, lock=lock).vault.save(account)

    @property
    def recovery(self) -> Path:
        """Where a recovery by e-mail that was begun here is kept."""
        return self.path / "recovery"

    @property
    def claim(self) -> Path:
        """Where a claim that was begun here is kept (98-pending)."""
        return self.path / "claim"

    @property
    def service(self) -> Memory:
        """Which recovery service has records of this person."""
        return Memory(self.path / "service.json")

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
            raise UsageError("which log? Name it once, by --url and --log-id")
        return Settings(url, log_id)

    def remember(self, settings: Settings) -> None:
        """Keep `settings` for later."""
        fields = {"url": settings.url, "log_id": settings.log_id.hex()}
        if settings != self._remembered():
            try:
                write_secretly(self._settings_file, json.dumps(fields, indent=2).encode() + b"\n")
            except OSError as error:
                raise StoreError(f"{self._settings_file}: {error.strerror}") from error

    def policy(
        self,
        witnesses: Path | None = None,
        auditors: Path | None = None,
        mode: Mode = Mode.REPLAY,
    ) -> Policy:
        """Whose cosignatures this person asks for: by the files named, else by those kept here.

        Raises `UsageError` for a file that is no policy.
        """
        return Policy(
            mode,
            witnesses=_read_policy(witnesses, self.path / "witnesses.policy"),
            auditors=_read_policy(auditors, self.path / "auditors.policy"),
        )

    @asynccontextmanager
    async def log(self, settings: Settings, policy: Policy) -> AsyncIterator[Log]:
        """The log, with its replica here. What worked is remembered."""
        self.make()
        url, log_id, path = settings.url, settings.log_id, self.path / "replica.db"

        def admitted(label: bytes, link: Link) -> None:
            with self.trust(log_id) as trust:
                trust.admit(label, link)

        def wrote(raw: bytes) -> None:
            with self.trust(log_id) as trust:
                trust.wrote(raw)

        async with Log.connect(
            url, log_id, path, policy=policy, admitted=admitted, wrote=wrote
        ) as log:
            yield log
            self.remember(settings)

    def contacts(self, log: Asking[Known]) -> Contacts:
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
            ties.compare(self.vault, log.trust)
            yield log
            ties.tie(self.vault, log.trust)
            self.remember(settings)

    def accepted(self, log_id: bytes) -> list[Accepted]:
        """The newest checkpoints that were accepted here: of the replica, of lookups; ascending."""
        found: list[Accepted] = []
        if (self.path / "replica.db").exists():
            with Replica.open(self.path / "replica.db", log_id) as replica:
                claim = ReplicaTree(replica).accepted()
                if claim:
                    found.append(Accepted(replica.entry(0), replica.log, claim))
        if (self.path / "trust.db").exists():
            with self.trust(log_id) as trust:
                view = trust.view()
                if view.size:
                    log = light.founding(None, view)
                    found.append(Accepted(view.first, log, of_lookups.claim_of(view)))
        return sorted(found, key=lambda one: one.claim.size)

    def keep_evidence(self, error: LogMisbehaved, now: int) -> Path:
        """Keep what an error holds against the log, found at `now` (ms); the path of the file.

        `evidence/<kind>-<hash>.cbor` convinces others (80-evidence). What the log said and never
        signed does not: it is kept as `evidence/unproven-<now>.json`.
        """
        folder = self.path / "evidence"
        if error.proof:
            kind, digest = Evidence.decode(error.proof).kind, sha256(error.proof).hexdigest()
            path, data = folder / f"{kind.name.lower()}-{digest[:16]}.cbor", error.proof
        else:
            told = {name: data.hex() for name, data in error.evidence.items()}
            document = {"rule": error.rule, "detail": error.detail, "time": now, "evidence": told}
            path = folder / f"unproven-{now}.json"
            data = json.dumps(document, indent=2).encode() + b"\n"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_secretly(path, data)
        except OSError as failure:
            raise StoreError(f"{path}: {failure.strerror}") from failure
        return path

    def trust(self, log_id: bytes) -> Trust:
        """What was looked up here."""
        self.make()
        return Trust.open(self.path / "trust.db", log_id)

    @property
    def _sessions_file(self) -> Path:
        return self.path / "sessions.db"

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


def _read_policy(given: Path | None, kept: Path) -> TrustPolicy:
    """The policy in the file that was given, else in the one that is kept, else none."""
    path = given or kept
    try:
        with path.open("rb") as file:
            return parse_policy(file.read(MAX_POLICY_BYTES + 1))
    except FileNotFoundError as error:
        if given is None:
            return NOBODY
        raise UsageError(f"there is no file {given}") from error
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from error
    except MalformedInput as error:
        raise UsageError(f"{path} is no policy: {error}") from error
