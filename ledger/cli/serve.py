"""`keyroll serve`: the server, until it is told to stop."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TextIO, cast

import click
import structlog

from ledger.cli.words import example
from ledger.log.collector import calm_collector
from ledger.server.config import Config, LoggingConfig
from ledger.server.home import Home
from ledger.server.runtime import serving
from ledger.store.backup import confirm


@click.command(
    epilog=example("keyroll serve log", "keyroll serve log --host 0.0.0.0 --port 8480 --workers 3")
)
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--host", help="Where to listen. [default: config.toml, else 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65_535), help="0 picks one, and says which.")
@click.option("--workers", type=click.IntRange(0, 64), help="Processes that check signatures.")
@click.option(
    "--confirm-restored", is_flag=True, help="Nothing newer than the backup was published."
)
@click.option("--confirm-idle", is_flag=True, help="The log was idle for over 30 days.")
def serve(
    directory: Path,
    host: str | None,
    port: int | None,
    workers: int | None,
    confirm_restored: bool,
    confirm_idle: bool,
) -> None:
    """Serve the log in DIRECTORY.

    Prints its address when it is ready, and runs until SIGTERM or SIGINT; what was taken by then is
    answered. Put a proxy with TLS in front of it. Witnesses, without whom nothing is published, and
    auditors are named in policies beside DIRECTORY/config.toml, which says how.
    """
    home = Home(directory).check()
    if confirm_restored:
        confirm(home.log)
    config = _chosen(home.config(), host, port, workers)
    log_to_stderr(config.logging)
    calm_collector()
    try:
        asyncio.run(_serve(home, config, confirm_idle))
    finally:
        let_go(sys.stderr)


async def _serve(home: Home, config: Config, confirm_idle: bool) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with serving(home, config, confirm_idle=confirm_idle) as served:
        # What is there by now stays: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        click.echo(served.url)
        await stopping.wait()


def _chosen(config: Config, host: str | None, port: int | None, workers: int | None) -> Config:
    server = config.server
    if host is not None:
        server = replace(server, host=host)
    if port is not None:
        server = replace(server, port=port)
    if workers is not None:
        server = replace(server, workers=workers)
    return replace(config, server=server)


def log_to_stderr(chosen: LoggingConfig) -> None:
    """Have structlog write there, as it was chosen."""
    level = logging.getLevelNamesMapping()[chosen.level.upper()]
    renderer: list[structlog.typing.Processor] = [
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(),
    ]
    if chosen.format == "console":
        # Plain: the richer tracebacks show variables, and keys are among them.
        plain = structlog.dev.plain_traceback
        colours = sys.stderr.isatty()
        renderer = [structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=plain)]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            *renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, _Unfailing(sys.stderr))),
    )


def let_go(stream: TextIO) -> None:
    """What can't be written any more must not turn a good end into a bad exit code."""
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class _Unfailing:
    """A stream whose failures are nobody's: a full disk must not stop the log that reports it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()
