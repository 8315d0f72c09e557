"""`keyroll claim`: read what was sealed to you before you registered."""

from __future__ import annotations

import click

from ledger.cli.mail_words import ask_for_code, service_at, service_option
from ledger.cli.person import Person, person_command
from ledger.cli.sealing import documents
from ledger.cli.words import example


@click.command(epilog=example("keyroll claim --service https://recovery.example.net"))
@service_option("The recovery service that senders named. [default: the one with your records]")
@person_command
async def claim(person: Person, at: str | None) -> None:
    """Have what was sealed to you before you registered.

    If something waits for you, the service sends a code to your address, and you are asked for it.
    After that keyroll decrypt opens those files, like any others. After an error, do the same
    again.
    """
    async with (
        service_at(person.home, at) as service,
        documents(person) as (user, papers, server),
    ):
        found = await service.claim(papers, user, server, ask_for_code)
    waits = f"{len(found)} sessions can be read now" if found else "nothing waits for you"
    person.tell(waits, sessions=[one.id.hex() for one in found])
