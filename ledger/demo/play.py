"""Playing the keyring's history: every act a block that a device signs, through the client library.

>>> player = Player(log, stage)                       # doctest: +SKIP
>>> await player.play(events, progress)               # doctest: +SKIP
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

from ledger.app.enrolment import enrol
from ledger.client.replay.session import Log
from ledger.client.user.account import DeviceSecret
from ledger.client.user.user import User
from ledger.demo.keyring import Act, Event, Person, acts_of, releases
from ledger.demo.roles import Roles, UserAt
from ledger.demo.stage import Stage
from ledger.format.identity import IdentityToken

_HOUR_MS = 3_600_000
_AT_ONCE = 64


class Player:
    """All persons, sharing one replayed view of the log. `blocks` counts what they wrote.

    One more of them keeps the groups: the keyring's maintainers.
    """

    def __init__(self, log: Log, stage: Stage) -> None:
        self.users: dict[str, User] = {}
        self.blocks: Counter[str] = Counter()
        self.roles = Roles()
        self._log = log
        self._stage = stage
        self._devices: dict[str, DeviceSecret] = {}
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def play(self, events: list[Event], progress: Callable[[int], None]) -> None:
        """Play all events, release by release; within one, persons act side by side."""
        maintainer = await User.register(self._log, self._token("keyring-maintainers"))
        self.blocks["user.create"] += 1
        people: dict[str, Person] = {}
        for release in releases(events):
            acts: dict[str, list[Act]] = {}
            for event in release:
                for act in acts_of(event, people):
                    acts.setdefault(act.person, []).append(act)
            async with asyncio.TaskGroup() as group:
                for of_person in acts.values():
                    group.create_task(self._act_in_turn(of_person))
            self.blocks += await self.roles.follow(maintainer, self._wanted(people))
            progress(len(release))

    def of(self, role: str) -> list[User]:
        """The persons in a role's group."""
        inside = {user.label for user in self.roles.inside[role]}
        return [user for user in self.users.values() if user.label in inside]

    def _wanted(self, people: dict[str, Person]) -> dict[str, frozenset[UserAt]]:
        """Who is to be in which role's group, now."""
        wanted: dict[str, set[UserAt]] = {}
        for person in people.values():
            user = self.users[person.name]
            if person.role:
                wanted.setdefault(person.role, set()).add(UserAt(user.label, user.state.epoch))
        return {role: frozenset(users) for role, users in wanted.items()}

    async def _act_in_turn(self, acts: list[Act]) -> None:
        for act in acts:
            async with self._room:
                await self._act(act)

    async def _act(self, act: Act) -> None:
        match act.kind:
            case "enrol":
                user = await User.register(self._log, self._token(act.person))
                self._arrive(act, user)
            case "return":
                token = self._token(act.person, self.users[act.person].state.epoch)
                user = await User.reset(self._log, token, self._stage.authority)
                self._arrive(act, user)
            case "add":
                self._devices[act.devices[0]] = await self.users[act.person].add_device()
            case "revoke":
                leaving = [self._devices[name].signing.public for name in act.devices]
                await self.users[act.person].revoke_devices(*leaving)
            case "close":
                await self.users[act.person].close()
        self.blocks[_BLOCKS[act.kind]] += 1

    def _arrive(self, act: Act, user: User) -> None:
        self.users[act.person] = user
        self._devices[act.devices[0]] = user.devices[0]

    def _token(self, person: str, reset_of: int | None = None) -> IdentityToken:
        return enrol(
            f"{person.lower()}@debian.example",
            self._log.log_id,
            self._stage.enrolment,
            self._stage.master,
            self._stage.register,
            expiry=self._log.clock() + _HOUR_MS,
            reset_of=reset_of,
        )


_BLOCKS = {
    "enrol": "user.create",
    "return": "user.reset",
    "add": "device.add",
    "revoke": "device.revoke",
    "close": "user.close",
}
