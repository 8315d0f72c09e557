"""A small log with people in it, for cases of kind `log`, `group`, `leave` and `grant`.

`admit` moves the log on; `ok` and `bad` leave it as it is, and give the input of a case: the log so
far and one more batch, good or bad.

>>> world = World()
>>> ada = world.create("ada@example.org")
>>> case = world.ok("add", "A device brings in another.", ada.add(world.anchor).raw)
>>> len(case.input["entries"])
6
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

from ledger.format.block import Anchor
from ledger.format.statement import Role
from ledger.rules.membership import Kind
from tests.support.actors import NOW, LogActor, User, Written
from tests.support.groups import Group, Member
from tests.support.memory import MemoryLog
from tests.vectors import lenient
from tests.vectors.case import Case, Json, bad, ok
from tests.vectors.draft import Draft, Keyring

ADA, BOB, EVE = "ada@example.org", "bob@example.org", "eve@example.org"

Actor = TypeVar("Actor", User, Group)


@cache
def label_of(identifier: str) -> bytes:
    """The label in every log of these vectors: they share the VRF key."""
    return LogActor.make().after.label(identifier)


class World:
    """A log whose head is published; `now` is the time of the next batch."""

    def __init__(self, founding: Written[LogActor] | None = None, now: int = NOW) -> None:
        founding = founding or LogActor.make()
        self.actor = founding.after
        self.log = MemoryLog(founding.raw, now)
        self.now = now
        self.users: list[User] = []
        self.groups: list[Group] = []
        self.statements: list[tuple[int, bytes]] = []

    @property
    def anchor(self) -> Anchor:
        """What an author who has just synced anchors in."""
        return self.log.anchor

    @property
    def keys(self) -> Keyring:
        """Everybody's keys."""
        return Keyring(self.actor, *self.users, *self.groups)

    def create(self, identifier: str = ADA) -> User:
        """A new user, admitted."""
        written = User.create(self.actor, identifier, self.anchor, label=label_of(identifier))
        return self.admit(written)

    def with_devices(self, count: int, identifier: str = ADA) -> User:
        """A new user with `count` devices, each from its own batch."""
        user = self.create(identifier)
        for _ in range(count - 1):
            user = self.admit(user.add(self.anchor))
        return user

    def found(
        self, name: str, author: User, members: Mapping[Member, Role], *, kind: Kind = Kind.FLAT
    ) -> Group:
        """A new group, admitted."""
        return self.admit(Group.create(name, self.anchor, author, members, kind=kind))

    def admit(self, written: Written[Actor], now: int | None = None) -> Actor:
        """Admits one user's or group's block, alone in its batch. Its author after it."""
        self.now = now or self.now
        self.statements += self._beside([written])
        self.log.admit([written.raw], self.now)
        after = written.after
        if isinstance(after, User):
            self.users.append(after)
        else:
            self.groups.append(after)
        return after

    def admit_policy(self, written: Written[LogActor]) -> None:
        """Admits a log.policy."""
        self.log.admit([written.raw], self.now)
        self.actor = written.after

    def heartbeat(self, now: int | None = None) -> None:
        """Admits an empty batch."""
        self.now = now or self.now
        self.log.admit([], self.now)

    def draft(self, written: Written[User] | Written[LogActor] | Written[Group]) -> Draft:
        """A block taken apart. Its signers are this log's people, as they were or will be."""
        return Draft.of(written.raw, self._keys_with(written.after))

    def said(self, written: Written[Group]) -> Draft:
        """A group's statement taken apart."""
        assert written.statement is not None
        return Draft.of_statement(written.statement, self.keys)

    def _keys_with(self, after: User | LogActor | Group) -> Keyring:
        keys = self.keys
        keys.update(Keyring(after) if isinstance(after, LogActor) else Keyring(self.actor, after))
        return keys

    def batch(self, *raws: bytes, now: int | None = None) -> list[bytes]:
        """The next batch's entries. Bad blocks have the effects that a careless reader sees."""
        return lenient.batch(self.log.chains, self.log.head.size, list(raws), now or self.now)

    def given(self, batch: Sequence[bytes]) -> dict[str, Json]:
        """The input of a case: the log so far and these entries."""
        entries = [data.hex() for data in (*self.log.entries, *batch)]
        return {"log_id": self.actor.log_id.hex(), "entries": entries}

    def given_groups(self, *written: Written[Any]) -> dict[str, Json]:
        """The input of a case: the log so far and a batch, with all statements."""
        batch = self.batch(*(one.raw for one in written)) if written else []
        beside = [*self.statements, *self._beside(written)]
        statements: Json = [[index, statement.hex()] for index, statement in beside]
        return {**self.given(batch), "statements": statements}

    def _beside(self, written: Sequence[Written[Any]]) -> list[tuple[int, bytes]]:
        """The statements of the next batch, with their blocks' leaf indices."""
        numbered = enumerate(written, self.log.head.size)
        return [(index, one.statement) for index, one in numbered if one.statement is not None]

    def ok(self, name: str, shows: str, *raws: bytes, now: int | None = None) -> Case:
        """A case whose last batch holds these blocks and must pass."""
        return ok("log", name, shows, self.given(self.batch(*raws, now=now)))

    def bad(
        self,
        name: str,
        rule: str,
        nearest: str,
        shows: str,
        *raws: bytes,
        now: int | None = None,
        verdict: str = "",
        covers: tuple[str, ...] = (),
    ) -> Case:
        """A case whose last batch holds these blocks and must be refused."""
        given = self.given(self.batch(*raws, now=now))
        return bad("log", name, rule, nearest, shows, given, verdict=verdict, covers=covers)

    def says(self, name: str, shows: str, *written: Written[Any]) -> Case:
        """A case of kind `group` whose last batch is `written` and must pass."""
        return ok("group", name, shows, self.given_groups(*written))

    def missays(
        self,
        name: str,
        rule: str,
        nearest: str,
        shows: str,
        *written: Written[Any],
        verdict: str = "",
        covers: tuple[str, ...] = (),
    ) -> Case:
        """A case of kind `group` whose last batch is `written`, one of whose statements is bad."""
        given = self.given_groups(*written)
        return bad("group", name, rule, nearest, shows, given, verdict=verdict, covers=covers)
