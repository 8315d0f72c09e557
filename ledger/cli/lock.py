"""`keyroll lock`: put the account under a passphrase, or under another one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from ledger.cli.person import Person, person_command, read_passphrase
from ledger.cli.words import example
from ledger.errors import UsageError
from ledger.seal.lock import Lock


@click.command(epilog=example("keyroll lock", "keyroll lock --new-passphrase-file secret.txt"))
@click.option(
    "--new-passphrase-file",
    "new",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Its first line is the new passphrase; you are asked if this is not given.",
)
@person_command
async def lock(person: Person, new: Path | None) -> None:
    """Put your account, with all its secret keys, under a passphrase; or under another one.

    Whoever forgets it has lost this device. Copies of the file from before are not locked by it.
    """
    account = person.home.vault.load()
    if account is None:
        raise UsageError(f"there is no account in {person.home.path}: register or join first")
    chosen = read_passphrase(new) if new else Lock.by_passphrase(_asked())
    replace(person.home, lock=chosen).vault.save(account)
    person.tell("your account is locked", locked=True)


def _asked() -> str:
    asked: str = click.prompt(
        "New passphrase", hide_input=True, confirmation_prompt="Once more", err=True
    )
    return asked
