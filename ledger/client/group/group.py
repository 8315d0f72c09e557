"""A group as one of its members sees it: who is in it, its keys, and what its admins do.

>>> team = await Group.create(ada, {bob.label: Role.MEMBER})     # doctest: +SKIP
>>> await team.add(eve.label, role=Role.ADMIN)                   # doctest: +SKIP
>>> await team.stale(), (await team.key()).public                # doctest: +SKIP
>>> (because,) = await team.why(eve.label)                       # doctest: +SKIP
>>> [(deed.step.time, deed.terms.author) for deed in because.deeds]     # doctest: +SKIP

Everything is verified here (56-groups): by the statements, not by the word of a server or of those
who share the signing key. An admin's act is built on the newest state; where another admin was
faster, or a member's key changed, it is built again, if it still makes sense. When the group is
stale, the next act of an admin removes who is gone or asked to leave, and rotates.

Errors: `LogMisbehaved` with the statement, where one is wrong or withheld; `UsageError` if this
user can't do what was asked; and what `ledger.client.user.user` raises.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from ledger.client.group import compose_groups, groups
from ledger.client.group.archive import Archive, View
from ledger.client.group.compose_groups import Author, GroupSecret
from ledger.client.group.groups import Change, Deed, Member
from ledger.client.group.keys import GroupKeys
from ledger.client.user.compose import Place
from ledger.client.user.user import User
from ledger.errors import UsageError
from ledger.format.keys import EncryptionKey
from ledger.format.statement import Put, Role, Stay, sign_grant, sign_leave
from ledger.format.wire import Submission
from ledger.rules.groups import label_of
from ledger.rules.membership import Before, Entry, Kind, Membership
from ledger.rules.stale import Reason
from ledger.rules.state import GroupState, UserState

AGAIN = frozenset({"R-55.3", "R-56.4", "R-56.10"})
"""A member's key changed, or somebody, who may be the author's own device, is gone since what was
built on was seen: build again."""

Intent = Callable[[View], Change]
"""What an admin wants of a group as it stands now."""


@dataclass(frozen=True, slots=True)
class Because:
    """Why somebody is in a group, as deeds in their order.

    `deeds` put them in; or put the group `through` in, and then `within` put them into that.
    """

    through: bytes | None
    deeds: tuple[Deed, ...]
    within: tuple[Deed, ...] = ()


class Group:
    """The group `label`, for `user`."""

    def __init__(self, user: User, label: bytes) -> None:
        self.user = user
        self.label = label
        self._archive = Archive(user)
        self._replica = user.log.replica
        self.keys = GroupKeys(self._archive, label)
        """Beside `key`, older ones, and the signing key that admins share."""

    @classmethod
    async def create(
        cls, user: User, members: Mapping[bytes, Role] | None = None, *, kind: Kind = Kind.FLAT
    ) -> Group:
        """A new group, with `user` as an admin and `members`, by label.

        A compound group may hold flat groups beside users, as role GROUP or any. After a crash look
        at `founded` first: doing it again makes another group.
        """
        new = GroupSecret.generate()
        group = cls(user, label_of(new.signing.public))
        roles = {**(members or {}), user.label: Role.ADMIN}

        async def build() -> Submission:
            await user.log.want(roles)
            change = Change(tuple(group._put(label, role) for label, role in roles.items()))
            group._keep(new)
            place, author = group._place(), group._author()
            return compose_groups.create(place, author, kind, new, change, group._replica.chain)

        await user.writer.write(build, again=AGAIN)
        return group

    @classmethod
    def founded(cls, user: User) -> list[Group]:
        """The groups whose first keys are here, such as after a crash while one was created."""
        labels = (label_of(key.public) for key in user.account.group_signers)
        return [cls(user, label) for label in labels if user.log.replica.chain(label)]

    # --- looking

    @property
    def state(self) -> GroupState:
        """How the group stands in the replica."""
        return self._archive.state(self.label)

    async def view(self) -> View:
        """All of it, verified."""
        return await self._archive.view(self.label)

    async def members(self) -> tuple[Member, ...]:
        """Everybody who is a member now; who is in by several ways stands there for each."""
        return (await self.view()).members

    async def stale(self) -> tuple[Reason, ...]:
        """Why nobody may encrypt to the group now; empty if they may (R-56.11)."""
        return (await self.view()).reasons

    async def why(self, who: bytes | str) -> tuple[Because, ...]:
        """What put somebody (a label, or the user's own identifier) in; empty if they are not."""
        label, view = self._label_of(who), await self.view()
        deeds = self.deeds()
        found: list[Because] = []
        if view.membership.entry(label):
            found.append(Because(None, groups.why(deeds, label)))
        for group, membership in view.nested.items():
            if membership.entry(label):
                within = groups.why(self._archive.deeds(group), label)
                found.append(Because(group, groups.why(deeds, group), within))
        return tuple(found)

    def deeds(self) -> list[Deed]:
        """All that was done in this group, as far as it was read."""
        return self._archive.deeds(self.label)

    async def key(self, generation: int | None = None) -> EncryptionKey:
        """The secret of the group's encryption key, by default the newest: see `GroupKeys.key`."""
        return await self.keys.key(generation)

    def _label_of(self, who: bytes | str) -> bytes:
        if isinstance(who, bytes):
            return who
        if who == self.user.identifier:
            return self.user.label
        raise UsageError(f"whose label is not known here: name the label of {who}")

    # --- what admins do

    async def add(self, *labels: bytes, role: Role = Role.MEMBER) -> None:
        """Put users in, or flat groups into a compound group; who was reset, with their new epoch.

        Who is in already keeps their role.
        """

        def intend(view: View) -> Change:
            puts = [self._put(label, role) for label in labels]
            known = view.membership
            return Change(tuple(one for one in puts if _epoch(known, one.label) != one.epoch))

        await self._update(intend, named=labels)

    async def remove(self, *labels: bytes) -> None:
        """Take out users or groups, and rotate."""
        if self.user.label in labels:
            raise UsageError("nobody removes themselves: ask to leave, and another admin does it")

        def intend(view: View) -> Change:
            named = {one for deed in self.deeds() for one in deed.terms.removed}
            for label in labels:
                if label not in view.membership.labels | named:
                    raise UsageError(f"{label.hex()} is not in the group")
            return Change(removed=frozenset(labels))

        await self._update(intend, without=labels)

    async def set_role(self, label: bytes, role: Role) -> None:
        """Make a user an admin, or no admin any more; the latter rotates."""
        if label == self.user.label and role != Role.ADMIN:
            raise UsageError("nobody gives up their own role: another admin takes it")

        def intend(view: View) -> Change:
            entry = view.membership.entry(label)
            put = self._put(label, role)
            if entry is None or entry.role == Role.GROUP or entry.epoch != put.epoch:
                raise UsageError(f"{label.hex()} is no user in the group now: add them first")
            return Change((put,))

        await self._update(intend, named=[label])

    async def rotate(self) -> None:
        """Give the group new keys, unless another admin just did."""
        await self.user.log.want([self.label])
        begun = self.state.generation
        await self._update(lambda view: Change(rotate=view.state.generation == begun))

    async def close(self) -> None:
        """End the group for ever. What was encrypted to it stays readable to its last members."""

        async def build() -> Submission:
            view = await self._archive.view(self.label)
            self._check_admin(view)
            held = await self._held()
            place, author = self._place(), self._author()
            return compose_groups.close(place, author, view.membership, held)

        await self.user.log.want([self.label])
        await self.user.writer.write(build, unless=lambda: self.state.closed, again=AGAIN)

    async def _update(
        self, intend: Intent, *, without: Collection[bytes] = (), named: Collection[bytes] = ()
    ) -> None:
        """Have a change made by an admin, with what is due, unless nothing is left to do.

        `without` are about to go, `named` may come in.
        """
        new = GroupSecret.generate()

        async def build() -> Submission | None:
            await self.user.log.want(named)
            view = await self._archive.view(self.label, without)
            self._check_admin(view)
            known, own = view.membership, self.user.label
            change = groups.settled(known, view.reasons, intend(view), own)
            if not (change.put or change.removed or change.rotate):
                return None
            held, place = await self._held(), self._place()
            if place.prev != view.state.head:  # another task synced meanwhile
                return await build()
            if change.rotate:
                self._keep(new)
            rotated = new if change.rotate else None
            before, chains = Before(view.state, known), self._replica.chain
            author = self._author()
            return compose_groups.update(place, author, before, held, rotated, change, chains)

        await self.user.writer.write(build, again=AGAIN)

    # --- what any member does

    async def leave(self) -> None:
        """Ask to leave: the next act of another admin does it. Nobody can remove themselves."""
        stay = await self._stay()
        await self._check_admins()
        signing = self.user.author().signing
        leave = sign_leave(signing, self.user.log.log_id, stay)
        async with self.user.answered():
            await self.user.log.hand_in_leave(leave)

    async def grant(self, sender: bytes, expiry: int) -> None:
        """Let the user `sender`, no member, read who is in the group, until `expiry` (ms)."""
        stay = await self._stay()
        signing, log_id = self.user.author().signing, self.user.log.log_id
        async with self.user.answered():
            await self.user.log.hand_in_grant(sign_grant(signing, log_id, stay, sender, expiry))

    async def _stay(self) -> Stay:
        """The user's stay in the group, which has to be a direct one (R-56.12)."""
        view, own = await self.view(), self.user.label
        entry = view.membership.entry(own)
        if entry and entry.epoch == self.user.state.epoch:
            return Stay(self.label, own, entry.epoch, entry.joined)
        for member in view.members:
            if member.label == own and member.through:
                through = member.through.hex()
                raise UsageError(f"you are a member through the group {through}: ask that one")
        raise UsageError("you are no member of the group")

    async def _check_admins(self) -> None:
        """Raises `UsageError` if nobody could carry out the user's wish to leave."""
        own = self.user.label
        members = [m for m in await self.members() if m.through is None and m.label != own]
        if not any(member.role == Role.ADMIN for member in members):
            raise UsageError("nobody else is an admin: make somebody one first, or close the group")

    # --- in pieces

    def _check_admin(self, view: View) -> None:
        """Raises `UsageError` that says since when the user is no admin."""
        if view.state.closed:
            raise UsageError("the group is closed")
        own = self.user.label
        if view.membership.admits(own, self.user.state.epoch):
            return
        named = groups.naming(self.deeds(), own)
        since = f": see block {named[-1].step.block.seq} of its chain" if named else ""
        raise UsageError(f"you are no admin of the group now{since}")

    def _put(self, label: bytes, role: Role) -> Put:
        """What puts a user or a group as they are now."""
        chain = self._replica.chain(label)
        state = chain.state if chain else None
        if isinstance(state, GroupState) and not state.closed:
            return Put(label, 0, int(Role.GROUP))
        if isinstance(state, UserState) and not state.closed:
            return Put(label, state.epoch, int(role))
        raise UsageError(f"{label.hex()} is no user or group, or is closed")

    def _place(self) -> Place:
        return Place.after(self._replica, self.label)

    def _author(self) -> Author:
        return Author(self.user.label, self.user.author())

    async def _held(self) -> GroupSecret:
        return GroupSecret(await self.keys.signer(), await self.keys.key())

    def _keep(self, new: GroupSecret) -> None:
        """Keep new keys before the block that names them leaves."""
        self.user.writer.keep(group_keys=(new.encryption,), group_signers=(new.signing,))


def _epoch(membership: Membership, label: bytes) -> int | None:
    """The epoch of an entry, if there is one."""
    entry: Entry | None = membership.entry(label)
    return entry.epoch if entry else None
