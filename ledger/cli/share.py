"""`keyroll share`: let more people read what was sealed."""

from __future__ import annotations

from pathlib import Path

import click

from ledger.cli.mail_words import FOR_ABSENT, service_option
from ledger.cli.person import Person, person_command
from ledger.cli.sealing import documents, labels_of, opened, readers
from ledger.cli.words import example
from ledger.client.documents import HEAD_BYTES, parse_preamble


@click.command(
    epilog=example(
        "keyroll share findings.sealed -r eve@example.org",
        "keyroll share findings.sealed -g 5f2c90ab",
    )
)
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
@readers
@service_option(FOR_ABSENT)
@person_command
async def share(
    person: Person, file: Path, people: tuple[str, ...], groups: tuple[str, ...], at: str | None
) -> None:
    """Let more people and groups read FILE, and all that its session holds.

    FILE stays as it is; whoever may read it can let others read. See encrypt for people who are not
    registered yet.
    """
    async with documents(person, at) as (user, papers, _):
        with opened(file) as source:
            session = await papers.session(parse_preamble(source.read(HEAD_BYTES)))
        await papers.share(session, people, labels_of(user, groups))
    person.tell(f"shared with {len(people) + len(groups)} more: {file}", file=str(file))
