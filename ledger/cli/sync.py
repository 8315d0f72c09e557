"""`keyroll sync`: fetch what is new in the log, and verify all of it."""

from __future__ import annotations

import click

from ledger.cli.mail_words import warn_of_releases
from ledger.cli.person import Person, person_command
from ledger.cli.words import example, time_of


@click.command(epilog=example("keyroll sync --url https://log.example.com --log-id 6f2c…"))
@person_command
async def sync(person: Person) -> None:
    """Fetch what is new in the log and verify all of it.

    Every entry, signature, rule and directory root is checked on this machine. If the log is caught
    misbehaving, the evidence is kept in your home directory. If you can recover by e-mail, you are
    warned of whatever its service gave out since you last looked.
    """
    async with person.log() as log:
        covered = await log.covered() if log.policy.asks_auditors(log.replica.log) else 0
        await warn_of_releases(person, log)
        head = log.replica.head
        words = f"verified {head.size} entries to {time_of(head.time)}, root {head.root.hex()}"
        person.tell(
            f"{words}; auditors cover {covered} of them" if covered else words,
            size=head.size,
            root=head.root.hex(),
            time=head.time,
            log_id=log.log_id.hex(),
            covered=covered,
        )
