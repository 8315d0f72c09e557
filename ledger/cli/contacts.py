"""`keyroll contacts`: who was looked up here, and what waits to be accepted."""

from __future__ import annotations

import click

from ledger.cli.person import Person, person_command
from ledger.cli.pin_words import pin_facts, tell_pin
from ledger.cli.words import example, print_json, time_of
from ledger.cli.worth_words import overdue_facts, overdue_words
from ledger.log.clock import wall_ms


@click.command(epilog=example("keyroll contacts", "keyroll contacts --json"))
@person_command
async def contacts(person: Person) -> None:
    """List whom you looked up, as you last saw them. No server is asked.

    Answers that auditors have yet to cover are counted: those that stay so for a day are an alarm.
    """
    with person.home.trust(person.settings.log_id) as trust:
        names: dict[bytes, list[str]] = {}
        for identifier, label in trust.names().items():
            names.setdefault(label, []).append(identifier)
        pins = [pin for label in trust.labels() if (pin := trust.pin(label))]
        view, unsettled = trust.view(), trust.unsettled()
        overdue = trust.overdue(wall_ms())
    if person.as_json:
        print_json(
            {
                "size": view.size,
                "root": view.root.hex(),
                "time": view.time,
                "unsettled": overdue_facts(unsettled),
                "overdue": overdue_facts(overdue),
                "contacts": [
                    {"identifiers": names.get(pin.label, []), **pin_facts(pin)} for pin in pins
                ],
            }
        )
        return
    for pin in pins:
        tell_pin(pin, ", ".join(names.get(pin.label, [])))
    if unsettled:
        since = time_of(unsettled[0].time)
        click.echo(f"answers that auditors have yet to cover: {len(unsettled)}, since {since}")
    if overdue:
        click.echo(overdue_words(overdue))
