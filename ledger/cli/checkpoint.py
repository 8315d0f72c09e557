"""`keyroll checkpoint`: what the log signed for you, held against what it signed for others."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import BinaryIO

import click

from ledger.cli.person import Person, person_command, tell_evidence
from ledger.cli.words import example, print_json
from ledger.client.evidence.gossip import Accepted, Comparison, Verdict, checkpoint_of, compare
from ledger.client.transport import HttpTransport
from ledger.durable import write_secretly
from ledger.errors import LogMisbehaved, StoreError, UsageError
from ledger.format.note import MAX_NOTE_BYTES

_CODES = {Verdict.CONSISTENT: 0, Verdict.FORK: 1, Verdict.UNDECIDED: 2}


@click.group()
def checkpoint() -> None:
    """Compare what the log signed for you with what it signed for others.

    A log that shows two histories is caught when two who were shown different ones compare.
    """


@checkpoint.command(epilog=example("keyroll checkpoint export -o mine.checkpoint"))
@click.option(
    "-o",
    "--output",
    "out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to; else to standard output.",
)
@person_command
async def export(person: Person, out: Path | None) -> None:
    """Give out the newest checkpoint that you accepted, as it was received.

    It says nothing about you, and nothing secret.
    """
    own = _accepted(person)[-1].claim
    if out:
        try:
            write_secretly(out, own.note)
        except OSError as error:
            raise StoreError(f"{out} cannot be written: {error.strerror}") from error
    if person.as_json:
        print_json({"size": own.size, "root": own.root.hex(), "checkpoint": own.note.decode()})
    elif not out:
        click.echo(own.note.decode(), nl=False)


@checkpoint.command("compare", epilog=example("keyroll checkpoint compare theirs.checkpoint"))
@click.argument("file", type=click.File("rb"))
@person_command
async def compare_(person: Person, file: BinaryIO) -> None:
    """Whether the checkpoint in FILE, somebody else's, and yours can both be true.

    Your server is asked for the proof. Exit codes: 0 they agree, 1 the log shows two histories (the
    evidence is kept), 2 it can't be told now.
    """
    accepted = _accepted(person)
    own = accepted[-1]
    others = [checkpoint_of(file.read(MAX_NOTE_BYTES + 1), own.log)]
    others += [one.claim for one in accepted[:-1]]  # one's own two copies have to agree, too
    async with HttpTransport(person.settings.url) as server:
        found = [await compare(own, other, server) for other in others]
    worst = max(found, key=lambda one: one.verdict == Verdict.FORK)
    _tell(person, worst)
    sys.exit(_CODES[worst.verdict])


def _accepted(person: Person) -> list[Accepted]:
    found = person.home.accepted(person.settings.log_id)
    if not found:
        raise UsageError("no checkpoint was accepted here yet: keyroll sync, or keyroll lookup")
    return found


def _tell(person: Person, found: Comparison) -> None:
    path = None
    if found.proof:
        error = LogMisbehaved("R-61.2", found.reason)
        error.proof = found.proof
        path = tell_evidence(person, error)
    person.tell(
        f"{found.verdict.value}: {found.reason} (yours of size {found.own.size}, theirs of "
        f"{found.other.size})",
        verdict=found.verdict.value,
        reason=found.reason,
        own={"size": found.own.size, "root": found.own.root.hex()},
        other={"size": found.other.size, "root": found.other.root.hex()},
        evidence=str(path) if path else None,
    )
