"""`keyroll decrypt`: open a sealed file, and say who wrote it."""

from __future__ import annotations

from pathlib import Path

import click

from ledger.cli.person import Person, person_command
from ledger.cli.sealing import bar, documents, opened
from ledger.cli.words import example
from ledger.client.documents import Document
from ledger.errors import UsageError

_PATH = click.Path(dir_okay=False, allow_dash=True, path_type=Path)


@click.command(
    epilog=example(
        "keyroll decrypt findings.sealed -o findings.pdf",
        "keyroll decrypt findings.sealed --from ada@example.org -o findings.pdf",
    )
)
@click.argument("file", type=_PATH)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="Where to. It is there only if all of FILE is in order.",
)
@click.option("--from", "author", metavar="PERSON", help="Refuse it if somebody else wrote it.")
@person_command
async def decrypt(person: Person, file: Path, output: Path, author: str | None) -> None:
    """Open FILE (- for standard input), which was sealed to you or to a group of yours."""
    if str(output) == "-":
        raise UsageError("name a file: it is put there only once all of it was in order")
    async with documents(person) as (_, papers, _):
        if author:
            await papers.light.lookup(author)
        with opened(file) as source, bar("opening", file) as progress:
            found = await papers.decrypt_file(source, output, author=author, progress=progress)
    who = found.author.identifier or f"somebody you never looked up ({found.author.label.hex()})"
    gone = "" if found.author.live else ", by a device that is revoked since"
    person.tell(f"{output}: written by {who}{gone}", **_facts(output, found))


def _facts(output: Path, found: Document) -> dict[str, object]:
    author = found.author
    return {
        "file": str(output),
        "author": author.identifier,
        "label": author.label.hex(),
        "device": author.device.hex(),
        "live": author.live,
        "bytes": found.length,
    }
