"""`keyroll-verifier judge`: judges test vectors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from verifier.report import UNDECIDED, VERIFIED
from verifier.vectors import JUDGES, verdict


@click.command(
    "judge",
    epilog="Example: keyroll-verifier judge specs/vectors/*/*.json",
    short_help="Judges test vectors.",
)
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="A line for each file, and no comparison.")
def command(files: tuple[Path, ...], as_json: bool) -> int:
    """Judges test vectors, FILES of `specs/vectors`; ends with 0 if it agrees with all."""
    if as_json:
        for file in files:
            click.echo(json.dumps(_judged(file)))
        return VERIFIED
    differing = skipped = 0
    for file in files:
        vector = json.loads(file.read_text(encoding="utf-8"))
        kind = file.parent.name
        if kind not in JUDGES:
            skipped += 1
            continue
        found = verdict(kind, vector["input"])
        told = (vector["verdict"], vector.get("rule", ""), vector.get("output"))
        if found[:2] != told[:2] or (told[2] is not None and found[2] != told[2]):
            differing += 1
            click.echo(f"{file}: {found}, not {told}")
    click.echo(f"{len(files) - skipped} judged, {differing} differ, {skipped} of other kinds")
    return UNDECIDED if differing else VERIFIED


def _judged(file: Path) -> dict[str, Any]:
    """What is made of a vector's input alone; the verdict is null for kinds of others."""
    found: dict[str, Any] = {"file": str(file), "verdict": None}
    if file.parent.name in JUDGES:
        given = json.loads(file.read_text(encoding="utf-8"))["input"]
        told, rule, output = verdict(file.parent.name, given)
        found |= {"verdict": told, "rule": rule, "output": output}
    return found
