"""The keyring's roles as groups, kept by one admin: who retires is removed, and the keys rotate.

>>> roles = Roles()                                              # doctest: +SKIP
>>> await roles.follow(maintainer, {"DD": frozenset({UserAt(ada.label, epoch=0)})})
...                                                              # doctest: +SKIP
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from ledger.client.group.group import Group
from ledger.client.user.user import User
from ledger.format.statement import Role


class UserAt(NamedTuple):
    """A user in an epoch: what a group's entry stands for."""

    label: bytes
    epoch: int


class Roles:
    """A group for each role, and who was put into it."""

    def __init__(self) -> None:
        self.groups: dict[str, Group] = {}
        self.inside: dict[str, frozenset[UserAt]] = {}

    async def follow(self, admin: User, wanted: Mapping[str, frozenset[UserAt]]) -> Counter[str]:
        """Bring the groups to where the keyring is; what was written for it."""
        written: Counter[str] = Counter()
        for role in sorted(wanted.keys() | self.groups.keys()):
            written += await self._follow(admin, role, wanted.get(role, frozenset()))
        return written

    async def _follow(self, admin: User, role: str, wanted: frozenset[UserAt]) -> Counter[str]:
        joining = [user.label for user in wanted - self.inside.get(role, frozenset())]
        leaving = {user.label for user in self.inside.get(role, frozenset()) - wanted}
        self.inside[role] = wanted
        group = self.groups.get(role)
        if group is None:
            members = dict.fromkeys(joining, Role.MEMBER)
            self.groups[role] = await Group.create(admin, members)
            return Counter({"group.create": 1})
        before = admin.log.replica.chain(group.label)
        if gone := leaving.difference(joining):
            await group.remove(*gone)
        if joining:
            await group.add(*joining)
        after = admin.log.replica.chain(group.label)
        assert before
        assert after
        return Counter({"group.update": after.length - before.length})
