"""`keyroll restore`: a log from a backup, to be confirmed before it serves."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from ledger.cli.words import example, print_json
from ledger.server.home import Home
from ledger.store import backup as backups

DIRECTORY = click.Path(file_okay=False, path_type=Path)


@click.command(epilog=example("keyroll restore /mnt/backup/2026-11-22 log"))
@click.argument("source", type=DIRECTORY)
@click.argument("directory", type=DIRECTORY)
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
def restore(source: Path, directory: Path, as_json: bool) -> None:
    """Make the log in DIRECTORY from the backup SOURCE, and check it.

    Put the log's own keys into DIRECTORY/keys. It serves only with keyroll serve
    --confirm-restored: if anything newer than the backup was published, serving it would fork the
    log.
    """
    head = backups.restore(source, directory)
    config = Home(directory).config_file
    if not config.exists():
        shutil.copyfile(source / config.name, config)
    if as_json:
        print_json({"size": head.size, "root": head.root.hex(), "directory": str(directory)})
        return
    click.echo(f"restored and checked: {head.size:,} entries, root {head.root.hex()}")
    click.echo("only if nothing newer was published:")
    click.echo(f"    keyroll serve {directory} --confirm-restored")
