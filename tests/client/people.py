"""People of one log at the real server, and what is asked of their groups."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ledger.client.group.group import Group
from ledger.client.group.groups import Member
from ledger.client.replay.replica import Replica
from ledger.client.replay.session import Log
from ledger.client.user.account import Account, MemoryVault
from ledger.client.user.user import User
from ledger.format.statement import Role
from ledger.rules.stale import Cause

if TYPE_CHECKING:
    from tests.client.conftest import Live

ADMIN, MEMBER, GROUP = Role.ADMIN, Role.MEMBER, Role.GROUP


@dataclass
class People:
    """Three people of one log, who share a replica."""

    live: Live
    ada: User
    bob: User
    eve: User

    @classmethod
    async def register(cls, live: Live, log: Log) -> People:
        names = ("ada", "bob", "eve")
        tokens = (live.token(f"{name}@example.org") for name in names)
        return cls(live, *[await User.register(log, token) for token in tokens])

    async def another(self, name: str) -> User:
        return await User.register(self.ada.log, self.live.token(f"{name}@example.org"))

    async def reset(self, user: User) -> User:
        token = self.live.token(user.identifier, reset_of=user.state.epoch)
        return await User.reset(user.log, token, self.live.authority)


async def change_key(user: User) -> None:
    """Give a user a new user key."""
    phone = await user.add_device()
    await user.revoke_devices(phone.signing.public)


def twin(user: User, log: Log | None = None) -> User:
    """The same device, on another machine: nothing but its own secrets is there."""
    vault = MemoryVault()
    vault.save(Account(user.log.log_id, user.identity, devices=tuple(user.devices)))
    return User(log or user.log, vault)


def replica_of(user: User) -> Replica:
    """The replica of a user who replays the log."""
    replica = user.log.replica
    assert isinstance(replica, Replica)
    return replica


def roles(members: Iterable[Member]) -> dict[bytes, int]:
    return {member.label: member.role for member in members}


async def causes(group: Group) -> set[tuple[bytes, Cause]]:
    return {(reason.label, reason.cause) for reason in await group.stale()}
