"""`keyroll reset`: begin again after every device was lost."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

import click

from ledger import keyfile
from ledger.cli.person import Person, person_command
from ledger.cli.register import MAX_TOKEN
from ledger.cli.words import example
from ledger.client.user.user import User
from ledger.format.identity import IdentityToken
from ledger.format.keys import SigningKey


@click.command(
    epilog=example(
        "keyroll reset token.txt --authority app/authority.key --url https://… --log-id 6f2c…"
    )
)
@click.argument("token", type=click.File("r"))
@click.option(
    "--authority",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The key file of the log's recovery authority.",
)
@person_command
async def reset(person: Person, token: TextIO, authority: Path) -> None:
    """Begin again after every device was lost, with this device as the first.

    TOKEN is a file with an identity token for a reset, or - for standard input. The recovery
    authority has to sign too. All contacts are told. What was sealed to the old devices only can't
    be read any more.
    """
    found = IdentityToken.parse(token.read(MAX_TOKEN))
    signer = SigningKey(keyfile.read(authority))
    async with person.log() as log:
        user = await User.reset(log, found, signer, person.home.vault)
        person.tell(
            f"{user.identifier} begins again in epoch {user.state.epoch}, with this device",
            identifier=user.identifier,
            label=user.label.hex(),
            epoch=user.state.epoch,
            device=user.devices[-1].signing.public.hex(),
        )
