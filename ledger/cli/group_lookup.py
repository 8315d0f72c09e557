"""`keyroll lookup --group`: how groups stand, for who replays no log."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import click

from ledger.cli.group_words import Reader, facts, print_group
from ledger.cli.person import Person
from ledger.cli.pin_words import STANDINGS, found_facts
from ledger.cli.words import print_json, time_of
from ledger.client.group.archive import View
from ledger.client.lookups.groups import LightGroups
from ledger.client.lookups.pins import Found
from ledger.client.lookups.session import LightLog
from ledger.errors import UsageError
from ledger.rules.state import GroupState

_LABEL_BYTES = 32


async def look(person: Person, log: LightLog, names: Sequence[str]) -> None:
    """Tell how the groups with these labels stand."""
    groups = LightGroups(log)
    seen = [await groups.look(_label(log, name)) for name in names]
    if person.as_json:
        print_json([_facts(*one) for one in seen])
        return
    for found, view in seen:
        _tell(log, found, view)


def _label(log: LightLog, name: str) -> bytes:
    """A label: all of it, or how that of a group that was seen before begins."""
    with suppress(ValueError):
        if len(label := bytes.fromhex(name)) == _LABEL_BYTES:
            return label
    pins = {label: log.trust.pin(label) for label in log.trust.labels()}
    seen = [label for label, pin in pins.items() if pin and isinstance(pin.chain.state, GroupState)]
    found = [label for label in seen if label.hex().startswith(name.lower())]
    if not name or len(found) != 1:
        raise UsageError(f"{len(found)} groups that you have seen have a label like '{name}'")
    return found[0]


def _facts(found: Found, view: View | None) -> dict[str, object]:
    """A group for JSON. Who is in it, and whether it is stale, is null if one may not see it."""
    told, state = found_facts(found), found.state
    if not isinstance(state, GroupState):
        return told | {"found": False}
    told |= {
        "group": found.label.hex(),
        "born": state.born,
        "closed": state.closed,
        "generation": state.generation,
        "encryption_key": state.encryption.hex() if state.encryption else None,
        "readable": view is not None,
        "encryptable": bool(view and not view.state.closed and not view.reasons),
    }
    hidden = {"kind": None, "entries": None, "members": None, "stale": None}
    return told | (facts(found.label, view) if view else hidden)


def _tell(reader: Reader, found: Found, view: View | None) -> None:
    state = found.state
    if not isinstance(state, GroupState):
        click.echo(f"{found.label.hex()}  no group ({STANDINGS[found.standing]})")
        return
    if view:
        print_group(reader, found.label, view)
    else:
        closed = ", closed" if state.closed else ""
        click.echo(f"{found.label.hex()}\na group, since {time_of(state.born)}{closed}")
        click.echo(f"keys of generation {state.generation}")
        click.echo("who is in it, and whether it is stale, is for its members to see")
    click.echo(STANDINGS[found.standing])
