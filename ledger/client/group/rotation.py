"""New keys for groups that are stale, given by an admin who happens to be at work (R-56.11).

>>> await renew(ada, team)                                       # doctest: +SKIP
[b'...', b'...']

A compound group is stale while a group in it is: that one comes first. What this user may not
rotate stays as it is, for its own admins.
"""

from __future__ import annotations

from ledger.client.group.archive import View
from ledger.client.group.group import Group
from ledger.client.user.user import User
from ledger.errors import NotAMember
from ledger.rules.stale import Cause


async def renew(user: User, label: bytes) -> list[bytes]:
    """Rotate a group if it is stale, the groups in it first; the labels of all that were."""
    group = Group(user, label)
    try:
        view = await group.view()
    except NotAMember:
        return []
    within = [reason.label for reason in view.reasons if reason.cause == Cause.STALE]
    renewed = [one for inner in within for one in await renew(user, inner)]
    if renewed:
        view = await group.view()
    if _is_due(view) and view.membership.admits(user.label, user.state.epoch):
        await group.rotate()
        renewed.append(label)
    return renewed


def _is_due(view: View) -> bool:
    """Whether new keys of this very group would help."""
    stale = any(reason.cause != Cause.STALE for reason in view.reasons)
    return stale and not view.state.closed
