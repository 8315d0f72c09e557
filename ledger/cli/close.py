"""`keyroll close`: leave the log."""

from __future__ import annotations

import click

from ledger.cli.person import Person, person_command
from ledger.cli.words import example


@click.command(epilog=example("keyroll close"))
@click.option("--yes", is_flag=True, help="Don't ask.")
@person_command
async def close(person: Person, yes: bool) -> None:
    """Leave the log: no device stays, and only a reset begins again."""
    async with person.user() as user:
        if not yes:
            click.confirm(f"end {user.identifier} in this log?", abort=True, err=True)
        await user.close()
        person.tell(
            f"{user.identifier} is closed", identifier=user.identifier, label=user.label.hex()
        )
