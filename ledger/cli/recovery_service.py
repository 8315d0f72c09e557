"""`keyroll recovery init`, `serve`: the recovery service, a process of its own (96-recovery)."""

from __future__ import annotations

import asyncio
import signal
import sys
from dataclasses import replace
from pathlib import Path

import click

from ledger.cli.serve import let_go, log_to_stderr
from ledger.cli.words import example
from ledger.recovery import runtime
from ledger.recovery.config import Config
from ledger.server.config import LoggingConfig

_DIRECTORY = click.Path(file_okay=False, path_type=Path)


@click.command(epilog=example("keyroll recovery init recovery"))
@click.argument("directory", type=_DIRECTORY)
def init(directory: Path) -> None:
    """Make a recovery service in DIRECTORY: its key, and config.toml, to be looked at."""
    runtime.make(directory)
    click.echo(f"now say in {directory / 'config.toml'} which mail server takes its mails")


@click.command(epilog=example("keyroll recovery serve recovery --port 8490"))
@click.argument("directory", type=_DIRECTORY)
@click.option("--host", help="Where to listen. [default: config.toml, else 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65_535), help="0 picks one, and says which.")
def serve(directory: Path, host: str | None, port: int | None) -> None:
    """Serve the recovery service in DIRECTORY: by e-mail, people get back into their accounts.

    Whoever runs it must be neither the application nor the log's operator: with the application's
    master secret, its records can be opened. Prints its address when it is ready, and runs until
    SIGTERM or SIGINT. Put a proxy with TLS in front of it.
    """
    config = runtime.config_of(directory)
    server = config.server
    server = replace(server, host=server.host if host is None else host)
    server = replace(server, port=server.port if port is None else port)
    log_to_stderr(LoggingConfig(level=config.logging.level))
    try:
        asyncio.run(_serve(directory, replace(config, server=server)))
    finally:
        let_go(sys.stderr)


async def _serve(directory: Path, config: Config) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with runtime.serving(directory, config) as url:
        click.echo(url)
        await stopping.wait()
