"""A small log with people in it, for cases of kind `log`.

`admit` moves the log on; `judged` leaves it as it is, and gives the input of a case: the log so far
and one more batch, good or bad.

>>> world = World()
>>> ada = world.create("ada@example.org")
>>> case = world.ok("add", "A device brings in another.", ada.add(world.anchor).raw)
>>> len(case.input["entries"])
6
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from ledger.format.block import Anchor
from tests.support.actors import NOW, LogActor, User, Written
from tests.support.memory import MemoryLog
from tests.vectors import lenient
from tests.vectors.case import Case, Json, bad, ok
from tests.vectors.draft import Draft, Keyring

ADA, BOB = "ada@example.org", "bob@example.org"


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

    @property
    def anchor(self) -> Anchor:
        """What an author who has just synced anchors in."""
        return self.log.anchor

    @property
    def keys(self) -> Keyring:
        """Everybody's keys."""
        return Keyring(self.actor, *self.users)

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

    def admit(self, written: Written[User], now: int | None = None) -> User:
        """Admits one user's block, alone in its batch. The user after it."""
        self.now = now or self.now
        self.log.admit([written.raw], self.now)
        self.users.append(written.after)
        return written.after

    def admit_policy(self, written: Written[LogActor]) -> None:
        """Admits a log.policy."""
        self.log.admit([written.raw], self.now)
        self.actor = written.after

    def heartbeat(self, now: int | None = None) -> None:
        """Admits an empty batch."""
        self.now = now or self.now
        self.log.admit([], self.now)

    def draft(self, written: Written[User] | Written[LogActor]) -> Draft:
        """A block taken apart. Its signers are this log's people, as they were or will be."""
        keys = self.keys
        after = written.after
        keys.update(Keyring(after) if isinstance(after, LogActor) else Keyring(self.actor, after))
        return Draft.of(written.raw, keys)

    def batch(self, *raws: bytes, now: int | None = None) -> list[bytes]:
        """The next batch's entries. Bad blocks have the effects that a careless reader sees."""
        return lenient.batch(self.log.chains, self.log.head.size, list(raws), now or self.now)

    def given(self, batch: Sequence[bytes]) -> dict[str, Json]:
        """The input of a case: the log so far and these entries."""
        entries = [data.hex() for data in (*self.log.entries, *batch)]
        return {"log_id": self.actor.log_id.hex(), "entries": entries}

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
