"""The Debian keyring's history as acts of users (pure).

A person is a user, a key or subkey is a device, a replacement is an add and a revoke, a retirement
is a close:

| event | acts |
| --- | --- |
| a key's first sight, in whatever event | `Enrol` |
| subkeys, count n | n times `Add`; at 8 devices the oldest goes first: `Revoke`, then `Add` |
| replace | `Add` the new key, `Revoke` all that belonged to the old one |
| emeritus, removed | `Close`, unless they had left |
| add of somebody who had left | `Return` (a reset) |
| add of somebody who is there | none: only their role changes |

Roles are groups (`ledger.demo.roles`): a person's is the one of their `add`, and `DD` for whoever
joined before the file begins; who left has none.

>>> [act.kind for act in acts_of(read_events()[1], people := {})]
['enrol']
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.resources import files
from itertools import groupby
from typing import Literal

MAX_DEVICES = 8
FILE = "debian-keyring-events.csv"

Kind = Literal["enrol", "add", "revoke", "close", "return"]


@dataclass(frozen=True, slots=True)
class Event:
    """A row of the file; `new_key`, `role` and `count` are empty (0) where they mean nothing."""

    time: str
    event: str
    key: str
    new_key: str
    role: str
    count: int


@dataclass(frozen=True, slots=True)
class Act:
    """What a person does. `devices` names the devices that come in, or go."""

    kind: Kind
    person: str
    devices: tuple[str, ...] = ()


@dataclass(slots=True)
class Person:
    """A user in the making: the devices they have, the oldest first."""

    name: str
    devices: list[str] = field(default_factory=list)
    made: int = 0
    left: bool = False
    role: str = ""

    def next_device(self) -> str:
        self.made += 1
        return f"{self.name}/{self.made}"


def read_events() -> list[Event]:
    """All 1,323 events, in order."""
    with files(__package__).joinpath(FILE).open(encoding="ascii") as file:
        return [
            Event(r["time"], r["event"], r["key"], r["new_key"], r["role"], int(r["count"] or 0))
            for r in csv.DictReader(file)
        ]


def releases(events: list[Event]) -> Iterator[list[Event]]:
    """The events of each keyring release."""
    for _, group in groupby(events, key=lambda event: event.time):
        yield list(group)


def acts_of(event: Event, people: dict[str, Person]) -> list[Act]:
    """What one event makes a person do. `people` (by key) is changed accordingly."""
    person = people.get(event.key)
    leaves = event.event in ("emeritus", "removed")
    acts = []
    if person is None:
        person = people[event.key] = Person(event.key)
        acts.append(_arrive("enrol", person))
    elif person.left and leaves:
        return []
    elif person.left:
        person.left = False
        acts.append(_arrive("return", person))
    person.role = "" if leaves else event.role or person.role or "DD"
    if event.event == "subkeys":
        for _ in range(event.count):
            acts += _add(person)
    elif event.event == "replace":
        people[event.new_key] = person
        acts += _replace(person)
    elif leaves:
        person.left, person.devices = True, []
        acts.append(Act("close", person.name))
    return acts


def _arrive(kind: Kind, person: Person) -> Act:
    person.devices = [person.next_device()]
    return Act(kind, person.name, tuple(person.devices))


def _add(person: Person) -> list[Act]:
    acts = []
    if len(person.devices) >= MAX_DEVICES:
        acts.append(Act("revoke", person.name, (person.devices.pop(0),)))
    person.devices.append(person.next_device())
    return [*acts, Act("add", person.name, (person.devices[-1],))]


def _replace(person: Person) -> list[Act]:
    room = _add(person)
    new = person.devices[-1]
    old, person.devices = tuple(person.devices[:-1]), [new]
    return [*room, Act("revoke", person.name, old)]
