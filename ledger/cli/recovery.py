"""`keyroll recovery`: ways back in, for the day when all devices are lost."""

from __future__ import annotations

import click

from ledger.cli.person import Person, person_command
from ledger.cli.recovery_mail import mail
from ledger.cli.recovery_service import init, serve
from ledger.cli.words import example
from ledger.client.user.recovery import add_code


@click.group()
def recovery() -> None:
    """Ways back in, for the day when all devices are lost."""


for command in (mail, init, serve):
    recovery.add_command(command)


@recovery.command(epilog=example("keyroll recovery code"))
@person_command
async def code(person: Person) -> None:
    """Make a recovery code: ten words to write down, shown once and kept nowhere.

    Whoever has them can add a device of yours (keyroll recover). Contacts see that you have one. To
    end it, revoke its device.
    """
    async with person.user() as user:
        made = await add_code(user)
        device = made.device(user.log.log_id).signing.public
    person.tell(
        f"write these words down, and keep them where nobody else reads them:\n\n"
        f"    {made.words.replace('-', ' ')}\n\ntheir device is {device.hex()[:16]}",
        words=made.words,
        device=device.hex(),
    )
