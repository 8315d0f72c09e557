"""`keyroll unlock`: take the passphrase off the account."""

from __future__ import annotations

import click

from ledger.cli.person import Person, person_command
from ledger.cli.words import example
from ledger.errors import UsageError


@click.command(epilog=example("keyroll unlock --yes"))
@click.option("--yes", is_flag=True, help="Don't ask.")
@person_command
async def unlock(person: Person, yes: bool) -> None:
    """Take the passphrase off your account: whoever reads its file then has your keys."""
    account = person.home.vault.load()
    if account is None or person.home.lock is None:
        raise UsageError("your account is not locked")
    if not yes:
        click.confirm("Keep your keys where everything you run can read them?", abort=True)
    person.home.relock(None)
    person.tell("your account is not locked any more", locked=False)
