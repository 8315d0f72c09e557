"""`keyroll recover`: begin on a new machine, with a recovery code or by e-mail."""

from __future__ import annotations

from typing import TextIO

import click

from ledger.cli.mail_words import ask_for_code, secret_line, service_at, service_option
from ledger.cli.person import Person, person_command
from ledger.cli.register import MAX_TOKEN
from ledger.cli.words import example
from ledger.client.user.recovery import RecoveryCode
from ledger.client.user.recovery import recover as begin_again
from ledger.client.user.user import User
from ledger.errors import UsageError
from ledger.format.identity import IdentityToken


@click.command(
    epilog=example(
        "keyroll recover token.txt words.txt --url https://log.example.com --log-id 6f2c…",
        "keyroll recover token.txt --service https://recovery.example.net --url … --log-id 6f2c…",
    )
)
@click.argument("token", type=click.File("r"))
@click.argument("code", type=click.File("r"), required=False)
@service_option("The recovery service's address, instead of CODE.")
@click.option("--with", "known", type=click.File("r"), help="Has the record's own passphrase.")
@person_command
async def recover(
    person: Person, token: TextIO, code: TextIO | None, at: str | None, known: TextIO | None
) -> None:
    """Begin on a new machine after every device was lost.

    TOKEN is a file with an identity token from your application, CODE one with the ten words of a
    recovery code; one of them may be - for standard input. Both are secrets, so they are never
    arguments. With --service you are asked for the code that the service sends to your address; if
    your recovery is to wait, do the same again when it says. What was sealed to you before stays
    readable. All contacts are told that a recovery device added this one. After an error, do the
    same again.
    """
    if (code is None) == (at is None):
        raise UsageError("name either the file with the words, or --service with its address")
    found = IdentityToken.parse(token.read(MAX_TOKEN))
    words = RecoveryCode.parse(code.read(MAX_TOKEN)) if code else None
    async with person.log() as log:
        user: User
        if words:
            user = await begin_again(log, found, words, person.home.vault)
        else:
            async with service_at(person.home, at) as service:
                secret = secret_line(known)
                user = await service.recover(log, found, ask_for_code, passphrase=secret)
        person.tell(
            f"{user.identifier} goes on with this device\n"
            "revoke the devices that were lost: keyroll devices",
            identifier=user.identifier,
            label=user.label.hex(),
            device=user.devices[-1].signing.public.hex(),
        )
