"""`keyroll init`: a new log, under fresh keys."""

from __future__ import annotations

from pathlib import Path

import click

from ledger.cli.words import example, print_json
from ledger.errors import UsageError
from ledger.format.bodies import Demands, Limits
from ledger.server.founding import AppKeys, Terms, found_home
from ledger.server.home import Home

DIRECTORY = click.Path(file_okay=False, path_type=Path)
_LIMITS, _DEMANDS = Limits(), Demands()
_COSIGNERS = click.IntRange(*Demands.RANGES[0])


@click.command(
    epilog=example("keyroll app init app", "keyroll init log --origin log.example.com --app app")
)
@click.argument("directory", type=DIRECTORY)
@click.option("--origin", required=True, help="The log's name for ever, such as log.example.com.")
@click.option(
    "--app", type=DIRECTORY, required=True, help="The application's keys: see keyroll app init."
)
@click.option("--heartbeat", default=60, show_default=True, help="Seconds between signs of life.")
@click.option("--max-devices", default=_LIMITS.max_devices, show_default=True)
@click.option("--max-members", default=_LIMITS.max_members, show_default=True)
@click.option("--max-blocks-per-day", default=_LIMITS.max_blocks_per_day, show_default=True)
@click.option("--max-block-bytes", default=_LIMITS.max_block_bytes, show_default=True)
@click.option("--max-retired", default=_LIMITS.max_retired, show_default=True)
@click.option("--max-age", default=_DEMANDS.max_age // 1000, show_default=True, help="Seconds.")
@click.option("--witnesses", type=_COSIGNERS, default=0, show_default=True, help="Must cosign.")
@click.option("--auditors", type=_COSIGNERS, default=0, show_default=True, help="Must cosign.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
def init(
    directory: Path,
    origin: str,
    app: Path,
    heartbeat: int,
    max_age: int,
    witnesses: int,
    auditors: int,
    as_json: bool,
    **rest: int,
) -> None:
    """Make a log in DIRECTORY, which is new or empty.

    Prints the log id: whoever knows it needs no other key. Limits and names stand in the first
    block; back up DIRECTORY/keys, without which the log ends.
    """
    limits = _within(rest)
    demands = Demands(witnesses, auditors, max_age * 1000)
    terms = Terms(origin, heartbeat * 1000, limits, demands)
    log_id = found_home(Home(directory), terms, AppKeys.read(app))
    if as_json:
        print_json({"log_id": log_id.hex(), "origin": origin, "directory": str(directory)})
        return
    click.echo(f"log id  {log_id.hex()}")
    click.echo(f"serve   keyroll serve {directory}")


def _within(options: dict[str, int]) -> Limits:
    """Limits in their ranges (R-10.4)."""
    limits = Limits(**options)
    names = Limits.__slots__
    for name, (low, high) in zip(names, Limits.RANGES, strict=True):
        if not low <= getattr(limits, name) <= high:
            option = name.replace("_", "-")
            raise UsageError(f"--{option} is {getattr(limits, name)}, not within {low} to {high}")
    return limits
