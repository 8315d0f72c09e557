"""How the commands speak: times, JSON, examples."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import click


def example(*lines: str) -> str:
    """The epilog of a command's help."""
    # The backspace alone on a line keeps click from wrapping what follows.
    return "\n".join(("\b", "Example:", *(f"    {line}" for line in lines)))


def time_of(milliseconds: int) -> str:
    """A time of the log, for people."""
    return datetime.fromtimestamp(milliseconds // 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def print_json(document: object) -> None:
    """For machines."""
    click.echo(json.dumps(document, indent=2))
