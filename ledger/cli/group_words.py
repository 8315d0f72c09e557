"""How groups are told: to machines as facts, to people as lines and tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import click
from rich.console import Console
from rich.table import Table

from ledger.cli.words import time_of
from ledger.client.group.archive import View
from ledger.client.group.group import Because, Group
from ledger.client.group.groups import Deed
from ledger.client.user.user import User
from ledger.format.statement import Role
from ledger.rules.membership import Kind
from ledger.rules.stale import Reason

_SHORT = 16


class Reader(Protocol):
    """Who is told."""

    @property
    def label(self) -> bytes: ...

    @property
    def identifier(self) -> str: ...


def name_of(user: Reader, label: bytes) -> str:
    """How to call somebody: only one's own identifier is known for sure."""
    return user.identifier if label == user.label else label.hex()[:_SHORT]


def facts(label: bytes, view: View) -> dict[str, object]:
    """A group for JSON."""
    entries = [
        {"label": e.label.hex(), "epoch": e.epoch, "role": Role(e.role).name.lower()}
        for e in view.membership.entries
    ]
    members = [
        {
            "label": m.label.hex(),
            "role": Role(m.role).name.lower(),
            "through": m.through.hex() if m.through else None,
        }
        for m in view.members
    ]
    return {
        "group": label.hex(),
        "kind": Kind(view.membership.kind).name.lower(),
        "born": view.state.born,
        "closed": view.state.closed,
        "generation": view.state.generation,
        "encryption_key": view.state.encryption.hex() if view.state.encryption else None,
        "entries": entries,
        "members": members,
        "stale": [_reason_facts(reason) for reason in view.reasons],
    }


def deed_facts(deed: Deed) -> dict[str, object]:
    """A deed for JSON."""
    return {
        "seq": deed.step.block.seq,
        "index": deed.step.index,
        "time": deed.step.time,
        "block": deed.step.block.hash.hex(),
        "author": deed.terms.author.hex(),
        "rotated": deed.rotates,
        "removed": [label.hex() for label in deed.terms.removed],
        "put": [
            {"label": put.label.hex(), "epoch": put.epoch, "role": Role(put.role).name.lower()}
            for put in deed.terms.put
        ],
    }


def _reason_facts(reason: Reason) -> dict[str, object]:
    return {
        "label": reason.label.hex(),
        "cause": reason.cause.name.lower(),
        "index": reason.index,
        "within": [_reason_facts(one) for one in reason.within],
    }


def way_facts(way: Because) -> dict[str, object]:
    return {
        "through": way.through.hex() if way.through else None,
        "deeds": [deed_facts(deed) for deed in way.deeds],
        "within": [deed_facts(deed) for deed in way.within],
    }


def print_group(user: Reader, label: bytes, view: View) -> None:
    """A group for people."""
    state = view.state
    kind = Kind(view.membership.kind).name.lower()
    closed = ", closed" if state.closed else ""
    click.echo(f"{label.hex()}\n{kind}, since {time_of(state.born)}{closed}")
    table = Table("who", "role", "by way of")
    for member in view.members:
        through = name_of(user, member.through) if member.through else ""
        table.add_row(name_of(user, member.label), Role(member.role).name.lower(), through)
    Console().print(table if view.members else "nobody")
    print_reasons(user, view.reasons)


def print_reasons(user: Reader, reasons: Iterable[Reason]) -> None:
    found = list(_lines(user, reasons))
    for line in found:
        click.echo(line)
    if found:
        click.echo("encrypt nothing to it until an admin acts, such as: keyroll groups rotate")


def _lines(user: Reader, reasons: Iterable[Reason], indent: str = "") -> Iterable[str]:
    for reason in reasons:
        yield f"{indent}stale: {name_of(user, reason.label)} {reason.cause.value}"
        yield from _lines(user, reason.within, indent + "  ")


def print_way(user: User, way: Because, label: bytes) -> None:
    for deed in way.deeds:
        click.echo(_told(user, deed, way.through or label))
    for deed in way.within:
        click.echo("  " + _told(user, deed, label))


def _told(user: User, deed: Deed, label: bytes) -> str:
    """What a deed did with an entry, and where that stands."""
    put = deed.put(label)
    what = f"{name_of(user, label)} as {Role(put.role).name.lower()}" if put else "removed"
    place = f"block {deed.step.block.seq}, leaf {deed.step.index}"
    return f"{time_of(deed.step.time)}  {place}: {what}, by {name_of(user, deed.terms.author)}"


def not_in(user: User, group: Group, label: bytes) -> str:
    """That somebody is not in, and since when."""
    removed = [deed for deed in group.deeds() if label in deed.terms.removed]
    since = f"\n{_told(user, removed[-1], label)}" if removed else ""
    return f"{name_of(user, label)} is not in the group{since}"
