"""`keyroll sync`: fetch what is new in the log, and verify all of it."""

from __future__ import annotations

import click

from ledger.cli.person import Person, person_command
from ledger.cli.words import example, time_of


@click.command(epilog=example("keyroll sync --url https://log.example.com --log-id 6f2c…"))
@person_command
async def sync(person: Person) -> None:
    """Fetch what is new in the log and verify all of it.

    Every entry, signature, rule and directory root is checked on this machine. If the log is caught
    misbehaving, the evidence is kept in your home directory.
    """
    async with person.log() as log:
        head = log.replica.head
        person.tell(
            f"verified {head.size} entries to {time_of(head.time)}, root {head.root.hex()}",
            size=head.size,
            root=head.root.hex(),
            time=head.time,
            log_id=log.log_id.hex(),
        )
