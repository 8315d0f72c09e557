"""Whom a person knows in a log, and what of them they have seen: pins.

A pin's accumulator stands for every block that was seen (R-30.5), so it notices another history
even when the replica was fetched anew. `look` tells how a contact stands now and what was loud
since the pin. What is quiet moves the pin; what is loud leaves it until `accept`: until then,
encrypt nothing to this person.

>>> with Contacts.open("contacts.db", log_id) as contacts:       # doctest: +SKIP
...     contact = contacts.look(log.replica, label)
...     if contact.events and ask(contact):
...         contacts.accept(contact)

Who is looked at for the first time need not be the right person: `known` is False then, and
`state.born` says since when the chain is there. Show both.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ledger.client.history import Event, Step, events
from ledger.client.known import Known
from ledger.errors import LogMisbehaved, UsageError
from ledger.localfile import LocalFile, open_file, told
from ledger.rules.state import UserState

_VERSION = 1
_SCHEMA = (
    "CREATE TABLE meta (log_id BLOB NOT NULL)",
    """CREATE TABLE pins (
        label BLOB PRIMARY KEY, length INTEGER NOT NULL, accumulator BLOB NOT NULL,
        epoch INTEGER NOT NULL, leaf INTEGER NOT NULL
    ) WITHOUT ROWID""",
)


@dataclass(frozen=True, slots=True)
class Pin:
    """A chain as it was seen: its length, accumulator, epoch, its newest block's leaf index."""

    label: bytes
    length: int
    accumulator: bytes
    epoch: int
    index: int


@dataclass(frozen=True, slots=True)
class Contact:
    """A person as the replica shows them now, and what was loud since they were last accepted."""

    label: bytes
    state: UserState
    known: bool
    events: tuple[Event, ...]
    pin: Pin


class Contacts(LocalFile):
    """The pins of one person, on disk. One process uses a file at a time."""

    @classmethod
    def open(cls, path: str | Path, log_id: bytes) -> Contacts:
        """The pins in the file `path`, of people in the log `log_id`."""
        contacts = cls(open_file(path, _SCHEMA, _VERSION))
        with told():
            contacts._db.execute(
                "INSERT INTO meta SELECT ? WHERE NOT EXISTS (SELECT * FROM meta)", (log_id,)
            )
            (found,) = contacts._db.execute("SELECT log_id FROM meta").fetchone()
        if found != log_id:
            contacts.close()
            raise UsageError(f"these contacts are of another log: {found.hex()}")
        return contacts

    def pins(self) -> list[Pin]:
        """All pins, by label."""
        with told():
            return [Pin(*row) for row in self._db.execute("SELECT * FROM pins ORDER BY label")]

    def look(self, replica: Known, label: bytes) -> Contact:
        """How this person stands. Raises `LogMisbehaved` if it is not what was pinned, gone on."""
        pin = self._pin(label)
        steps = replica.history(label)
        state = replica.user(label)
        if pin:
            _check(pin, steps, replica)
        if state is None:
            raise UsageError(f"there is no user {label.hex()}")
        newest = steps[-1].chain
        now = Pin(label, newest.length, newest.accumulator, state.epoch, state.index)
        loud = tuple(events(steps[pin.length :])) if pin else ()
        contact = Contact(label, state, pin is not None, loud, now)
        if not loud and pin != now:
            self.accept(contact)
        return contact

    def accept(self, contact: Contact) -> None:
        """Pin this person as they were looked at."""
        pin = contact.pin
        values = (pin.label, pin.length, pin.accumulator, pin.epoch, pin.index)
        with told():
            self._db.execute("INSERT OR REPLACE INTO pins VALUES (?, ?, ?, ?, ?)", values)

    def _pin(self, label: bytes) -> Pin | None:
        with told():
            row = self._db.execute("SELECT * FROM pins WHERE label = ?", (label,)).fetchone()
        return Pin(*row) if row else None


def _check(pin: Pin, steps: list[Step], replica: Known) -> None:
    """R-61.2 for one chain: what was pinned is a beginning of what is there."""
    if replica.head.size <= pin.index:
        raise UsageError(
            "the replica ends before what was seen of this contact: sync; if that does not help, "
            "the log shows less than it did"
        )
    if len(steps) >= pin.length:
        seen = steps[pin.length - 1].chain.accumulator
        if seen == pin.accumulator:
            return
    evidence = {"checkpoint": replica.note, "label": pin.label, "accumulator": pin.accumulator}
    raise LogMisbehaved("R-61.2", f"the chain is not the one seen to leaf {pin.index}", evidence)
