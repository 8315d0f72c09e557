"""`keyroll status`: how a log is, from its directory or its server; or what answers are worth."""

from __future__ import annotations

import click
from rich.console import Console
from rich.table import Table

from ledger.cli.person import Person, person_command
from ledger.cli.source import open_source
from ledger.cli.words import example, print_json, time_of
from ledger.cli.worth_words import asked, overdue_facts, overdue_words, worth
from ledger.client.lookups import light
from ledger.client.lookups.trust import Trust, size_of
from ledger.client.policy import Policy
from ledger.errors import TransportError
from ledger.log.clock import wall_ms
from ledger.rules.state import LogState

Rows = list[tuple[str, str]]


@click.command(
    epilog=example(
        "keyroll status http://127.0.0.1:8480", "keyroll status log --json", "keyroll status"
    )
)
@click.argument("place", required=False)
@person_command
async def status(person: Person, place: str | None) -> None:
    """Say how the log at PLACE is: a server's URL, or a directory that is not being served.

    Without PLACE, say what the answers that you got are worth: whose cosignatures you ask for, what
    auditors cover by now, and which answers they left uncovered for too long.
    """
    if place is None:
        await _own_status(person)
        return
    with open_source(place) as source:
        facts = source.facts()
    if person.as_json:
        print_json(facts)
    else:
        _print(str(facts["origin"]), _rows(facts))


def _print(title: str, rows: Rows) -> None:
    table = Table(show_header=False, title=title, title_justify="left")
    table.add_column()
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, value)
    Console().print(table)


def _rows(facts: dict[str, object]) -> Rows:
    time = facts["time"]
    assert isinstance(time, int)
    seconds = max(0, wall_ms() - time) / 1000
    return [
        ("log id", str(facts["log_id"])),
        ("vkey", str(facts["vkey"])),
        ("tree size", f"{facts['size']:,}"),
        ("root", str(facts["root"])),
        ("last entry", f"{time_of(time)}, {seconds:,.0f} s ago"),
        ("limits", _pairs(facts["limits"])),
        ("demands", _pairs(facts["demands"])),
    ]


def _pairs(values: object) -> str:
    assert isinstance(values, dict)
    return ", ".join(f"{name} {value:,}" for name, value in values.items())


# --- of answers


async def _own_status(person: Person) -> None:
    settings, policy = person.settings, person.policy()
    if person.home.vault.load():
        try:
            async with person.home.light_log(settings, policy) as log:
                await log.settle()
        except TransportError as error:
            click.echo(f"not asked what auditors cover: {error}", err=True)
    with person.home.trust(settings.log_id) as trust:
        view = trust.view()
        if not view.size:
            person.tell("nobody was looked up yet: keyroll lookup", size=0)
            return
        log_state = light.founding(None, view)
        policy.check(log_state)
        if person.as_json:
            print_json(_own_facts(trust, policy, log_state))
            return
        _print(log_state.origin, _own_rows(trust, policy, log_state))
        overdue = trust.overdue(wall_ms())
    if overdue:
        click.echo(overdue_words(overdue))


def _own_facts(trust: Trust, policy: Policy, log: LogState) -> dict[str, object]:
    view = trust.view()
    return {
        "log_id": trust.log_id.hex(),
        "size": view.size,
        "root": view.root.hex(),
        "time": view.time,
        "witnesses": [one.name for one in policy.witnesses.verifiers],
        "auditors": [one.name for one in policy.auditors.verifiers],
        "covered": size_of(trust.covered()),
        "unsettled": overdue_facts(trust.unsettled()),
        "overdue": overdue_facts(trust.overdue(wall_ms())),
        "worth": worth(policy, log),
        "doubts": [
            {"cause": doubt.cause.name.lower(), "about": doubt.about.hex()}
            for doubt in trust.doubts()
        ],
    }


def _own_rows(trust: Trust, policy: Policy, log: LogState) -> Rows:
    view, unsettled = trust.view(), trust.unsettled()
    since = f", since {time_of(unsettled[0].time)}" if unsettled else ""
    return [
        ("log id", trust.log_id.hex()),
        ("newest seen", f"size {view.size:,}, {time_of(view.time)}"),
        ("witnesses", asked(policy.witnesses, log.demands.witnesses)),
        ("auditors", asked(policy.auditors, log.demands.auditors)),
        ("covered", f"up to size {size_of(trust.covered()):,}"),
        ("yet to be covered", f"{len(unsettled)} answers{since}"),
        *(("worth", words) for words in worth(policy, log)),
        *(("in doubt", doubt.advice) for doubt in trust.doubts()),
    ]
