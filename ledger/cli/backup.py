"""`keyroll backup`: a consistent copy, while the log is served."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from ledger.cli.words import example, print_json
from ledger.server.home import Home
from ledger.store import backup as backups

DIRECTORY = click.Path(file_okay=False, path_type=Path)


@click.command(epilog=example("keyroll backup log /mnt/backup/2026-11-22"))
@click.argument("directory", type=DIRECTORY)
@click.argument("target", type=DIRECTORY)
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
def backup(directory: Path, target: Path, as_json: bool) -> None:
    """Copy the log in DIRECTORY to TARGET, also while it is served, and check the copy.

    The keys in DIRECTORY/keys are secrets and stay out of it: keep a copy of theirs elsewhere.
    """
    home = Home(directory).check()
    head = backups.backup(directory, target)
    shutil.copyfile(home.config_file, target / home.config_file.name)
    if as_json:
        print_json({"size": head.size, "root": head.root.hex(), "target": str(target)})
        return
    click.echo(f"copied and checked: {head.size:,} entries, root {head.root.hex()}")
