"""One service's directory, and the service while it runs.

    DIR/config.toml   see `ledger.recovery.config`
    DIR/service.key   hides codes and addresses in records.db; without it nobody finds their record
    DIR/records.db    what is kept

>>> make(Path("recovery"))                                               # doctest: +SKIP
>>> async with serving(Path("recovery")) as url:                         # doctest: +SKIP
...     ...
"""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from ledger import keyfile
from ledger.errors import UsageError
from ledger.recovery.attempts import Attempts
from ledger.recovery.config import TEMPLATE, Config, read
from ledger.recovery.halves import Halves
from ledger.recovery.mail import Mails
from ledger.recovery.records import Records
from ledger.recovery.web import Service, make_app, wall_ms

_CONFIG, _KEY, _RECORDS = "config.toml", "service.key", "records.db"
_MAX_PASSWORD = 1_024
_SHUTDOWN = 5.0


def make(directory: Path) -> None:
    """Make a service's directory. Raises `UsageError` if there is one already."""
    keyfile.make_directory(directory)
    keyfile.create(directory / _KEY, os.urandom(keyfile.SEED_BYTES))
    try:
        (directory / _CONFIG).write_text(TEMPLATE, "utf-8")
    except OSError as error:
        raise UsageError(f"{directory} cannot be written: {error.strerror}") from error


def config_of(directory: Path) -> Config:
    """How it is to run. Raises `UsageError`."""
    return read(directory / _CONFIG)


@asynccontextmanager
async def serving(
    directory: Path, config: Config | None = None, now: Callable[[], int] = wall_ms
) -> AsyncIterator[str]:
    """The service at `directory`, listening; its address. `now` is in ms."""
    chosen = config or config_of(directory)
    server = chosen.server
    mails = Mails(chosen.mail, server.name, _password(directory, chosen.mail.password_file))
    key = keyfile.read(directory / _KEY)
    with Attempts.open(directory / _RECORDS, key) as attempts:
        records, halves = Records(attempts, server.delay), Halves(attempts)
        service = Service(records, halves, mails, server, now)
        runner = web.AppRunner(make_app(service), access_log=None, shutdown_timeout=_SHUTDOWN)
        await runner.setup()
        try:
            yield await _listen(runner, server.host, server.port)
        finally:
            await runner.cleanup()
            await mails.close()


async def _listen(runner: web.AppRunner, host: str, port: int) -> str:
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        raise UsageError(f"{host} port {port} can't be listened on: {error.strerror}") from error
    (address, *_) = runner.addresses
    bound = address[1]
    return f"http://[{host}]:{bound}" if ":" in host else f"http://{host}:{bound}"


def _password(directory: Path, name: str) -> str:
    """The mail server's password, if there is one."""
    if not name:
        return ""
    path = directory / name
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(_MAX_PASSWORD)
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise UsageError(f"others can read {path}: run chmod 600 {path}")
        return data.decode().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {type(error).__name__}") from error
