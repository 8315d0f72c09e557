"""`keyroll register`: become a user of the log, with this device as the first."""

from __future__ import annotations

from typing import TextIO

import click

from ledger.cli.person import Person, person_command
from ledger.cli.words import example
from ledger.client.user.user import User
from ledger.format.identity import IdentityToken

MAX_TOKEN = 8_192


@click.command(
    epilog=example("keyroll register token.txt --url https://log.example.com --log-id 6f2c…")
)
@click.argument("token", type=click.File("r"))
@person_command
async def register(person: Person, token: TextIO) -> None:
    """Become a user of the log, with this device as the first.

    TOKEN is a file with the identity token that your application gave you, or - for standard
    input. It is a secret, so it is never an argument. After an error, do the same again.
    """
    found = IdentityToken.parse(token.read(MAX_TOKEN))
    async with person.log() as log:
        user = await User.register(log, found, person.home.vault)
        person.tell(
            f"{user.identifier} is registered, with this device\nlabel {user.label.hex()}",
            identifier=user.identifier,
            label=user.label.hex(),
            device=user.devices[-1].signing.public.hex(),
        )
