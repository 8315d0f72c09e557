"""`keyroll recover`: begin on a new machine with the words of a recovery code."""

from __future__ import annotations

from typing import TextIO

import click

from ledger.cli.person import Person, person_command
from ledger.cli.register import MAX_TOKEN
from ledger.cli.words import example
from ledger.client.recovery import RecoveryCode
from ledger.client.recovery import recover as begin_again
from ledger.format.identity import IdentityToken


@click.command(
    epilog=example("keyroll recover token.txt - --url https://log.example.com --log-id 6f2c…")
)
@click.argument("token", type=click.File("r"))
@click.argument("code", type=click.File("r"))
@person_command
async def recover(person: Person, token: TextIO, code: TextIO) -> None:
    """Begin on a new machine after every device was lost, with the words of a recovery code.

    TOKEN is a file with an identity token from your application, CODE one with the ten words; one
    of them may be - for standard input. Both are secrets, so they are never arguments. What was
    sealed to you before stays readable. All contacts are told that a recovery device added this
    one. After an error, do the same again.
    """
    found = IdentityToken.parse(token.read(MAX_TOKEN))
    words = RecoveryCode.parse(code.read(MAX_TOKEN))
    async with person.log() as log:
        user = await begin_again(log, found, words, person.home.vault)
        person.tell(
            f"{user.identifier} goes on with this device\n"
            "revoke the devices that were lost: keyroll devices",
            identifier=user.identifier,
            label=user.label.hex(),
            device=user.devices[-1].signing.public.hex(),
        )
