"""`keyroll lock`: put the account under a passphrase, or under another one."""

from __future__ import annotations

from pathlib import Path

import click

from ledger.cli.person import Person, person_command, read_passphrase
from ledger.cli.words import example
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
    person.home.vault.load()  # before anything is asked
    person.home.relock(read_passphrase(new) if new else Lock.by_passphrase(_asked()))
    person.tell("your account is locked", locked=True)


def _asked() -> str:
    asked: str = click.prompt(
        "New passphrase", hide_input=True, confirmation_prompt="Once more", err=True
    )
    return asked
