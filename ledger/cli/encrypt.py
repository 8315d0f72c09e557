"""`keyroll encrypt`: seal a file to people and groups."""

from __future__ import annotations

from pathlib import Path

import click

from ledger.cli.mail_words import FOR_ABSENT, service_option
from ledger.cli.person import Person, person_command
from ledger.cli.sealing import bar, created, documents, labels_of, opened, readers
from ledger.cli.words import example

_PATH = click.Path(dir_okay=False, allow_dash=True, path_type=Path)


@click.command(
    epilog=example(
        "keyroll encrypt findings.pdf -r bob@example.org -o findings.sealed",
        "keyroll encrypt - -g 5f2c90ab -o note.sealed < note.txt",
        "keyroll encrypt x.pdf -r fay@example.org --service https://… -o x.sealed",
    )
)
@click.argument("file", type=_PATH)
@readers
@click.option("-o", "--output", type=_PATH, required=True, help="Where to; - for standard output.")
@click.option("--pad", is_flag=True, help="Hide how long it is: up to 12 % more bytes.")
@service_option(FOR_ABSENT)
@person_command
async def encrypt(
    person: Person,
    file: Path,
    people: tuple[str, ...],
    groups: tuple[str, ...],
    output: Path,
    pad: bool,
    at: str | None,
) -> None:
    """Seal FILE (- for standard input) to people and groups, and to yourself.

    Each is looked up now, and verified. Nothing is sealed to whom something loud happened, until
    you accept it (keyroll lookup PERSON --accept), nor to a stale group. For who is not registered
    yet it is left in two halves, if you name a recovery service: they claim it (keyroll claim)
    within 30 days.
    """
    async with documents(person, at) as (user, papers, _):
        with opened(file) as source, created(output) as target, bar("sealing", file) as progress:
            await papers.encrypt_file(
                source, target, people, labels_of(user, groups), padded=pad, progress=progress
            )
    if str(output) != "-":
        person.tell(f"sealed to {len(people) + len(groups)}: {output}", file=str(output))
