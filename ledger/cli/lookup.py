"""`keyroll lookup`: which keys stand for somebody, proven by a few kilobytes."""

from __future__ import annotations

from pathlib import Path

import click

from ledger.cli import group_lookup
from ledger.cli.person import Person, person_command
from ledger.cli.pin_words import STANDINGS, found_facts, pin_facts, tell_pin
from ledger.cli.words import example, print_json
from ledger.cli.worth_words import overdue_words
from ledger.client.lookups.pins import Found
from ledger.client.lookups.session import LightLog
from ledger.durable import write_secretly
from ledger.errors import StoreError, UsageError
from ledger.format.lookup import Mode


@click.command(
    epilog=example(
        "keyroll lookup bob@example.org",
        "keyroll lookup bob@example.org eve@example.org --json",
        "keyroll lookup bob@example.org --save bob.lookup",
        "keyroll lookup --group 90ab...",
    )
)
@click.argument("identifiers", nargs=-1, metavar="[IDENTIFIER]...")
@click.option(
    "--group",
    "groups",
    multiple=True,
    metavar="LABEL",
    help="A group: may it be encrypted to, and who is in it; several times.",
)
@click.option("--accept", is_flag=True, help="Accept what was loud since you last accepted.")
@click.option(
    "--save",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Keep the answer: keyroll-verifier verify-lookup judges it, offline, for anybody.",
)
@click.option("--audited", is_flag=True, help="Believe auditors instead of replaying chains.")
@person_command
async def lookup(
    person: Person,
    identifiers: tuple[str, ...],
    groups: tuple[str, ...],
    accept: bool,
    save: Path | None,
    audited: bool,
) -> None:
    """Ask which keys stand for each IDENTIFIER, or how groups stand.

    Nothing is replayed but the chains of those whom you ask for. What you see is held to what you
    saw before. Who is seen for the first time need not be the right person: compare.
    """
    if bool(identifiers) == bool(groups):
        raise UsageError("name identifiers, or groups by --group")
    if groups and (accept or save):
        raise UsageError("--accept and --save are about people, not about groups")
    if save and len(identifiers) != 1:
        raise UsageError("one answer is saved at a time")
    policy = person.policy(Mode.AUDITED if audited else Mode.REPLAY)
    async with person.home.light_log(person.settings, policy) as log:
        await log.settle()
        if groups:
            await group_lookup.look(person, log, groups)
            return
        found = await _look(log, identifiers, save)
        overdue = log.overdue()
        for one in found if accept else ():
            if one.pin:
                log.accept(one.pin)
    if overdue:
        click.echo(overdue_words(overdue), err=True)
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
    facts: dict[str, object] = {"identifier": identifier, **found_facts(found)}
    return facts | (pin_facts(found.pin) if found.pin else {})


def _tell(identifier: str, found: Found) -> None:
    if found.pin is None:
        click.echo(f"{identifier}  nobody ({STANDINGS[found.standing]})")
        return
    tell_pin(found.pin, identifier)
    if not found.known:
        click.echo("seen for the first time: make sure that this is the right person")
    click.echo(STANDINGS[found.standing])
