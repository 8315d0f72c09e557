"""`python -m tests.bench`: measures, prints a table, writes JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from rich.console import Console
from rich.table import Table

from tests.bench.append import append_1m_figures, append_figures
from tests.bench.audit import audit_figures, storage_figures
from tests.bench.http import http_figures
from tests.bench.logs import BenchLog
from tests.bench.lookup import ALL, QUICK, lookup_figures
from tests.bench.measure import Figure
from tests.bench.seal import seal_figures
from tests.bench.thousand import thousand_figures
from tests.bench.witness import witness_figures
from tests.bench.workload import MIXES, Mix

LONG = 100_000
PARTS = ("append", "log", "lookup", "witness", "seal", "thousand", "append_1m")


def on_long_log(console: Console, mix: Mix) -> list[Figure]:
    """What is measured on a log of 100,000 blocks."""
    with TemporaryDirectory() as path:
        with console.status(f"building a log of {LONG:,} blocks"):
            bench = BenchLog.found(Path(path), mix)
            bench.grow(LONG)
        figures = storage_figures(bench)
        with console.status("audit"):
            figures += audit_figures(bench)
        bench.people.identifiers = True
        with console.status("http"):
            figures += http_figures(bench)
    return figures


def among_labels(console: Console, sizes: Sequence[int]) -> list[Figure]:
    """What is measured among ever more labels."""
    with console.status(f"looking up among {sizes[0]:,} to {sizes[-1]:,} labels"):
        return lookup_figures(sizes)


@click.command()
@click.option("--quick", is_flag=True, help="Leave out the log of a million labels.")
@click.option(
    "--mix",
    type=click.Choice(list(MIXES)),
    default="groups",
    help="What is written: with groups, or users and devices only.",
)
@click.option(
    "--only",
    type=click.Choice(PARTS),
    multiple=True,
    help="Measure this part of it; may be given several times.",
)
@click.option("--json", "target", type=click.Path(dir_okay=False, path_type=Path))
def main(quick: bool, mix: str, only: Sequence[str], target: Path | None) -> None:
    """Measure Keyroll against V, PyNaCl's signature checks a second on one thread.

    Example: ./run bench --quick --json bench.json
    """
    console = Console()
    sizes = QUICK if quick else ALL
    parts: dict[str, Callable[[], list[Figure]]] = {
        "append": lambda: append_figures(MIXES[mix]),
        "log": lambda: on_long_log(console, MIXES[mix]),
        "lookup": lambda: among_labels(console, sizes),
        "witness": witness_figures,
        "seal": seal_figures,
        "thousand": thousand_figures,
        "append_1m": lambda: append_1m_figures(MIXES[mix]),
    }
    chosen = only or [part for part in PARTS if not (quick and part == "append_1m")]
    figures = [figure for part in chosen for figure in parts[part]()]
    console.print(table(figures))
    if target:
        target.write_text(json.dumps({f.key: fields(f) for f in figures}, indent=2) + "\n")
    if any(figure.reached is False for figure in figures):
        raise SystemExit(1)


def table(figures: list[Figure]) -> Table:
    """For people."""
    shown = Table(title="ratios to V; medians of rounds", title_justify="left")
    for name in ("key", "median", "least", "most", "bar", "aim", "", ""):
        shown.add_column(name, justify="left" if name in ("key", "") else "right")
    for f in figures:
        numbers = (f"{x:.2f}" for x in (f.value, min(f.values), max(f.values)))
        bars = ("" if x is None else f"{x:g}" for x in (f.bar, f.aim))
        shown.add_row(f.key, *numbers, *bars, _WORDS[f.reached], f.note)
    return shown


def fields(figure: Figure) -> dict[str, object]:
    """For machines."""
    return {
        "value": round(figure.value, 4),
        "rounds": [round(value, 4) for value in figure.values],
        "bar": figure.bar,
        "aim": figure.aim,
        "reached": figure.reached,
        "note": figure.note,
    }


_WORDS = {True: "reached", False: "MISSED", None: ""}

if __name__ == "__main__":
    main()
