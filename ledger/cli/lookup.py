"""`keyroll lookup`: which keys stand for somebody, proven by a few kilobytes."""

from __future__ import annotations

from pathlib import Path

import click

from ledger.cli.person import Person, person_command
from ledger.cli.pin_words import pin_facts, tell_pin
from ledger.cli.words import example, print_json
from ledger.client.account import write_secretly
from ledger.client.light_session import LightLog
from ledger.client.pins import Found, Policy, Standing
from ledger.errors import StoreError, UsageError
from ledger.format.lookup import Mode
from ledger.format.note import parse_vkey

_STANDINGS = {
    Standing.SIGNED: "signed by the log; no auditor is asked for",
    Standing.PROVISIONAL: "signed by the log; auditors have yet to cover it",
    Standing.SETTLED: "covered by auditors",
}


@click.command(
    epilog=example(
        "keyroll lookup bob@example.org",
        "keyroll lookup bob@example.org eve@example.org --json",
        "keyroll lookup bob@example.org --save bob.lookup",
    )
)
@click.argument("identifiers", nargs=-1, required=True, metavar="IDENTIFIER...")
@click.option("--accept", is_flag=True, help="Accept what was loud since you last accepted.")
@click.option(
    "--save",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Keep the answer: keyroll-verifier verify-lookup judges it, offline, for anybody.",
)
@click.option("--auditor", "auditors", multiple=True, help="An auditor's vkey; several times.")
@click.option("--quorum", type=click.IntRange(0, 64), help="How many must cosign. [default: all]")
@click.option("--audited", is_flag=True, help="Believe auditors instead of replaying chains.")
@person_command
async def lookup(
    person: Person,
    identifiers: tuple[str, ...],
    accept: bool,
    save: Path | None,
    auditors: tuple[str, ...],
    quorum: int | None,
    audited: bool,
) -> None:
    """Ask which keys stand for each IDENTIFIER.

    Nothing is replayed but the chains of those whom you ask for. What you see is held to what you
    saw before. Who is seen for the first time need not be the right person: compare.
    """
    if save and len(identifiers) != 1:
        raise UsageError("one answer is saved at a time")
    verifiers = tuple(map(parse_vkey, auditors))
    mode = Mode.AUDITED if audited else Mode.REPLAY
    wanted = len(verifiers) if quorum is None else quorum
    policy = Policy(mode, auditors=verifiers, quorum=wanted)
    async with person.home.light_log(person.settings, policy) as log:
        found = await _look(log, identifiers, save)
        for one in found if accept else ():
            if one.pin:
                log.accept(one.pin)
    if person.as_json:
        print_json([_facts(*pair) for pair in zip(identifiers, found, strict=True)])
        return
    for identifier, one in zip(identifiers, found, strict=True):
        _tell(identifier, one)


async def _look(log: LightLog, identifiers: tuple[str, ...], save: Path | None) -> list[Found]:
    if save is None:
        return await log.lookup(*identifiers)
    found, saved = await log.save(identifiers[0])
    try:
        write_secretly(save, saved.encode())
    except OSError as error:
        raise StoreError(f"{save} cannot be written: {error.strerror}") from error
    return [found]


def _facts(identifier: str, found: Found) -> dict[str, object]:
    facts: dict[str, object] = {
        "identifier": identifier,
        "label": found.label.hex(),
        "found": found.pin is not None,
        "known": found.known,
        "standing": found.standing.value,
    }
    return facts | (pin_facts(found.pin) if found.pin else {})


def _tell(identifier: str, found: Found) -> None:
    if found.pin is None:
        click.echo(f"{identifier}  nobody ({_STANDINGS[found.standing]})")
        return
    tell_pin(found.pin, identifier)
    if not found.known:
        click.echo("seen for the first time: make sure that this is the right person")
    click.echo(_STANDINGS[found.standing])
