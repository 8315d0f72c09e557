"""Where the demo plays: a directory, an application's keys, a log, and a real server process.

>>> with Stage.build(Path("demo")) as stage:         # doctest: +SKIP
...     stage.serve()
...     print(stage.url, stage.log_id.hex())
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

from ledger.app import keys
from ledger.app.enrolment import Register
from ledger.app.keys import Role
from ledger.demo.keyring import MAX_DEVICES
from ledger.errors import UsageError
from ledger.format.bodies import Limits
from ledger.format.keys import SigningKey
from ledger.server.founding import AppKeys, Terms, found_home
from ledger.server.home import Home

ORIGIN = "demo.example/debian-keyring"
_LIMITS = Limits(max_devices=MAX_DEVICES, max_blocks_per_day=65_535, max_retired=65_535)
_CONFIG = """
[rates]
labels = "100000/minute"
boxes = "100000/minute"
statements = "100000/minute"
[logging]
level = "warning"
"""
_URL = re.compile(r"http://\S+")
_STOP_SECONDS = 30


@dataclass(slots=True)
class Stage:
    """The application's keys, the log's directory, and the server while it runs."""

    home: Home
    log_id: bytes
    enrolment: SigningKey
    master: bytes = field(repr=False)
    authority: SigningKey
    register: Register
    url: str = ""
    port: int = 0
    _server: subprocess.Popen[str] | None = field(default=None, repr=False)

    @classmethod
    def build(cls, path: Path) -> Stage:
        """Make keys and a log with four years' worth of blocks a day."""
        app, home = path / "app", Home(path / "log")
        keys.make(app)
        log_id = found_home(home, Terms(ORIGIN, limits=_LIMITS), AppKeys.read(app))
        home.config_file.write_text(_CONFIG, "utf-8")
        enrolment, authority = keys.load(app, Role.ENROLMENT), keys.load(app, Role.AUTHORITY)
        register = Register.open(app / "register.db")
        return cls(home, log_id, enrolment, keys.master(app), authority, register)

    def __enter__(self) -> Stage:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        self.register.close()

    def serve(self) -> None:
        """Start `keyroll serve` as a process of its own, and wait until it is ready.

        The next one serves at the same place.
        """
        command = "from ledger.cli import main; main()"
        arguments = ["serve", str(self.home.path), "--port", str(self.port)]
        self._server = subprocess.Popen(
            [sys.executable, "-c", command, *arguments], stdout=subprocess.PIPE, text=True
        )
        assert self._server.stdout
        for line in self._server.stdout:
            if found := _URL.search(line):
                self.url = found.group()
                self.port = urlsplit(self.url).port or 0
                return
        raise UsageError("the demo's server did not start")

    def stop(self) -> None:
        """Stop the server as an operator would."""
        if self._server:
            self._server.send_signal(signal.SIGTERM)
            self._server.wait(_STOP_SECONDS)
            self._server = None
