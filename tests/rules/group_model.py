"""A group as its members keep it in mind: who is in, what a change may do, who can open what.

Like `model`, it knows nothing of bytes or hashes. `faults` names every rule of 56-groups that a
change would break; `readers` is who ends up with which keys.

>>> team = Circle("team")
>>> begin = Change("create", "ada", 0, {"ada": (0, ADMIN), "bob": (0, MEMBER)})
>>> team.faults(begin, max_members=4)
set()
>>> team.advance(begin, joined=4, day=1, holders={"ada": ("ada", 0), "bob": ("bob", 0)})
>>> team.faults(Change("update", "bob", 0, {"eve": (0, MEMBER)}), max_members=4)
{'R-56.5'}
>>> knows({"team": team}, ("bob", 0), ("team", 0)), team.signers
(True, {('ada', 0)})
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from ledger.format.bodies import Limits

MEMBER, ADMIN, GROUP = "member", "admin", "group"

Name = TypeVar("Name")


@dataclass(frozen=True, slots=True)
class Seat:
    """A place in a group, since the tree had the size `joined`."""

    epoch: int
    role: str
    joined: int


@dataclass(frozen=True, slots=True)
class Change(Generic[Name]):
    """What an author, who is in `epoch`, wants. `put` are epochs and roles."""

    what: str
    author: Name
    epoch: int
    put: Mapping[Name, tuple[int, str]] = field(default_factory=dict)
    removed: Collection[Name] = ()
    rotates: bool = False

    @property
    def new_keys(self) -> bool:
        return self.rotates or self.what == "create"


@dataclass(slots=True)
class Circle(Generic[Name]):
    """A group. `handed` are its encryption keys' generations, and to whom each was given:
    (user, epoch) or (flat group, generation of the key that it was given to). `signers` were given
    the signing key that is used now.
    """

    name: Name
    compound: bool = False
    seats: dict[Name, Seat] = field(default_factory=dict)
    length: int = 0
    generation: int = 0
    closed: bool = False
    rotated: int = 0
    gone: int = 0
    day: int = 0
    count: int = 0
    handed: list[tuple[int, tuple[Name, int]]] = field(default_factory=list)
    signers: set[tuple[Name, int]] = field(default_factory=set)

    def refusals(self, limits: Limits, day: int, *, rotates: bool) -> set[str]:
        """The rules by which everybody refuses a well-made block."""
        found = {"R-54.4"} if self.closed else set()
        if rotates and self.gone > limits.max_retired:
            found.add("R-54.5")
        if day == self.day and self.count >= limits.max_blocks_per_day:
            found.add("R-53.7")
        return found

    def faults(self, change: Change[Name], max_members: int) -> set[str]:
        """The rules that a change breaks, for whoever may read the statements."""
        before, after = self.seats, self.after(change, 0)
        found = set()
        sides = (after,) if change.what == "create" else (before, after)
        if not all(_admits(seats, change.author, change.epoch) for seats in sides):
            found.add("R-56.5")
        if not before.keys() >= set(change.removed) or any(
            name in before and (before[name].epoch, before[name].role) == new
            for name, new in change.put.items()
        ):
            found.add("R-56.6")
        if any(self._misplaced(name, *new) for name, new in change.put.items()):
            found.add("R-56.7")
        if self._takes_for_nothing(change):
            found.add("R-56.8")
        if len(after) > max_members and not after.keys() <= before.keys():
            found.add("R-56.9")
        return found

    def _misplaced(self, name: Name, epoch: int, role: str) -> bool:
        old = self.seats.get(name)
        if role == GROUP and (not self.compound or epoch):
            return True
        return name == self.name or (old is not None and (old.role == GROUP) != (role == GROUP))

    def _takes_for_nothing(self, change: Change[Name]) -> bool:
        """Whether the change needs new keys, or is none that a create or a close may make."""
        if change.what != "update":
            return bool(change.removed or (change.what == "close" and change.put))
        if change.rotates:
            return False
        gives = all(
            name not in self.seats
            or (self.seats[name].epoch, self.seats[name].role, role) == (epoch, MEMBER, ADMIN)
            for name, (epoch, role) in change.put.items()
        )
        return bool(change.removed) or not change.put or not gives

    def after(self, change: Change[Name], joined: int) -> dict[Name, Seat]:
        """Who is in after a change that is anchored in the tree of size `joined`."""
        seats = {name: seat for name, seat in self.seats.items() if name not in change.removed}
        for name, (epoch, role) in change.put.items():
            old = seats.get(name)
            since = old.joined if old and old.epoch == epoch else joined
            seats[name] = Seat(epoch, role, since)
        return seats

    def advance(
        self, change: Change[Name], joined: int, day: int, holders: Mapping[Name, tuple[Name, int]]
    ) -> None:
        """Takes over an admitted change. `holders` are the live of those who are in after it."""
        new = set(change.put) - set(self.seats)
        self.seats = self.after(change, joined)
        if change.rotates:
            self.generation += 1
        if change.new_keys:
            self.signers, self.rotated, new = set(), joined, set(self.seats)
        if change.rotates or change.what == "close":
            self.gone += 2
        if change.what != "close":
            self.handed += [(self.generation, holders[name]) for name in new & holders.keys()]
            raised = self.seats if change.new_keys else change.put
            admins = (name for name in raised if self.seats[name].role == ADMIN)
            self.signers |= {holders[name] for name in admins if name in holders}
        self.closed = change.what == "close"
        self.length += 1
        self.count = self.count + 1 if day == self.day else 1
        self.day = day


def _admits(seats: Mapping[Name, Seat], author: Name, epoch: int) -> bool:
    seat = seats.get(author)
    return seat is not None and (seat.epoch, seat.role) == (epoch, ADMIN)


def knows(
    circles: Mapping[Name, Circle[Name]], person: tuple[Name, int], key: tuple[Name, int]
) -> bool:
    """Whether `person` (a user and an epoch) can get at an encryption key (of a group, and its
    generation): it was handed to them, or one after it, or to a group whose key they get at.
    """
    name, generation = key
    return any(
        later >= generation
        and (holder == person or (holder[0] in circles and knows(circles, person, holder)))
        for later, holder in circles[name].handed
    )
