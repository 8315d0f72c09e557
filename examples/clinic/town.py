"""Where the story takes place: servers as real processes, the people, and their devices.

>>> async with Town.build(Path("town")) as town:                 # doctest: +SKIP
...     town.enter("ada@patients.example", Role.PATIENT)
...     phone = await town.device("Ada's phone", "ada@patients.example")

    PATH/log       the log, which `keyroll serve` serves; its operator is neither of the others
    PATH/clinic    the clinic's application server: its database, keys and log file
    PATH/recovery  the recovery service, which `keyroll recovery serve` serves; a third operator's
    PATH/post      the patients' mail provider: their mailboxes
    PATH/devices   a directory for each person's device
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from examples.clinic.device import Device
from examples.clinic.portal import Portal
from examples.clinic.post import next_code
from examples.clinic.records import Records, Role
from ledger import Keyroll, Lock
from ledger.app import keys
from ledger.recovery import runtime as recovery
from ledger.server.founding import AppKeys, Terms, found_home
from ledger.server.home import Home

_ROOT = Path(__file__).resolve().parents[2]
_PATIENCE = 30


@dataclass(slots=True)
class Town:
    """One log, one clinic, one recovery service, and everybody's devices."""

    path: Path
    log_id: bytes
    log_url: str
    clinic_url: str
    recovery_url: str
    devices: dict[str, Device] = field(default_factory=dict)
    _passwords: dict[str, str] = field(default_factory=dict, repr=False)
    _codes: Counter[str] = field(default_factory=Counter, repr=False)
    _open: AsyncExitStack = field(default_factory=AsyncExitStack, repr=False)

    @classmethod
    @asynccontextmanager
    async def build(cls, path: Path) -> AsyncIterator[Self]:
        """Found the log, and run all servers. They are stopped when this ends."""
        log, clinic = path / "log", path / "clinic"
        clinic.mkdir()
        keys.make(clinic / "keys")
        # `keyroll init`, in a line. The log's operator learns the application's public keys only.
        log_id = found_home(Home(log), Terms("log.example/clinics"), AppKeys.read(clinic / "keys"))
        at_clinic = ["examples.clinic.server", str(clinic), "--log-id", log_id.hex()]
        with (
            _running(["ledger.cli", "serve", str(log), "--port", "0"], log) as log_url,
            _running(at_clinic, clinic) as clinic_url,
            _recovering(path / "recovery", path / "post") as recovery_url,
        ):
            town = cls(path, log_id, log_url, clinic_url, recovery_url)
            async with town._open:
                yield town

    def enter(self, identifier: str, role: Role, guardian: str | None = None) -> None:
        """At the clinic's desk: somebody is let in, and gets a password on paper."""
        with Records.open(self.path / "clinic" / "clinic.db") as records:
            self._passwords[identifier] = records.enter(identifier, role, guardian)

    def dismiss(self, identifier: str) -> None:
        """At the clinic's desk: somebody is let in no more."""
        with Records.open(self.path / "clinic" / "clinic.db") as records:
            records.dismiss(identifier)

    async def device(self, name: str, identifier: str) -> Device:
        """A new device of somebody's, logged in at the clinic; unknown to the log so far."""
        home, lock = self.path / "devices" / name, Lock.by_secret(os.urandom(32))
        service = self.recovery_url
        opened = Keyroll.open(home, self.log_url, self.log_id, service=service, lock=lock, fresh=0)
        me = await self._open.enter_async_context(opened)
        password = self._passwords[identifier]
        login = Portal.login(self.clinic_url, identifier, password)
        portal = await self._open.enter_async_context(login)
        device = Device(name, identifier, home, lock, me, portal)
        self.devices[name] = device
        return device

    async def code(self, address: str) -> str:
        """Somebody looks into their mailbox for the next code."""
        code = await next_code(self.path / "post", address, self._codes[address])
        self._codes[address] += 1
        return code


@contextmanager
def _recovering(directory: Path, post: Path) -> Iterator[str]:
    """A recovery service, and the mail provider that it hands its mails to."""
    post.mkdir()
    recovery.make(directory)
    at_service = ["ledger.cli", "recovery", "serve", str(directory), "--port", "0"]
    with _running(["examples.clinic.post", str(post)], post) as port:
        (directory / "config.toml").write_text(f"[mail]\nport = {port}\n")
        with _running(at_service, directory) as url:
            yield url


@contextmanager
def _running(module: list[str], directory: Path) -> Iterator[str]:
    """What a server says first, its address, while it runs as a process of its own.

    What else it says is kept in its directory.
    """
    with (directory / "server.log").open("wb") as words:
        command = [sys.executable, "-m", *module]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=words, text=True, cwd=_ROOT
        )
        with process:
            try:
                assert process.stdout
                url = process.stdout.readline().strip()
                if not url:
                    raise RuntimeError(f"{module[0]} did not start: see {words.name}")
                yield url
            finally:
                process.terminate()
                process.wait(_PATIENCE)
