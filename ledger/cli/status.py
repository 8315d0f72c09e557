"""`keyroll status`: how a log is, from its directory or its server."""

from __future__ import annotations

import click
from rich.console import Console
from rich.table import Table

from ledger.cli.source import open_source
from ledger.cli.words import example, print_json, time_of
from ledger.log.clock import wall_ms


@click.command(epilog=example("keyroll status http://127.0.0.1:8480", "keyroll status log --json"))
@click.argument("place")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
def status(place: str, as_json: bool) -> None:
    """Say how the log at PLACE is: a server's URL, or a directory that is not being served."""
    with open_source(place) as source:
        facts = source.facts()
    if as_json:
        print_json(facts)
        return
    table = Table(show_header=False, title=f"{facts['origin']}", title_justify="left")
    table.add_column()
    table.add_column(overflow="fold")
    for name, value in _rows(facts):
        table.add_row(name, value)
    Console().print(table)


def _rows(facts: dict[str, object]) -> list[tuple[str, str]]:
    time = facts["time"]
    assert isinstance(time, int)
    seconds = max(0, wall_ms() - time) / 1000
    return [
        ("log id", str(facts["log_id"])),
        ("vkey", str(facts["vkey"])),
        ("tree size", f"{facts['size']:,}"),
        ("root", str(facts["root"])),
        ("last entry", f"{time_of(time)}, {seconds:,.0f} s ago"),
        ("limits", _pairs(facts["limits"])),
        ("demands", _pairs(facts["demands"])),
    ]


def _pairs(values: object) -> str:
    assert isinstance(values, dict)
    return ", ".join(f"{name} {value:,}" for name, value in values.items())
