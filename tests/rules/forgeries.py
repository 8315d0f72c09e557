"""Blocks that no honest admin writes, by somebody who holds the group's signing key.

Each forgery starts from a block that would be admitted, and breaks one rule. It says who must
notice: anyone (from the log alone), a reader of the statements, or the server only.

>>> sorted({forgery.notices for forgery in FORGERIES.values()})
['anyone', 'reader', 'server']
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ledger.format import cose
from ledger.format.statement import Role
from ledger.rules.membership import Membership
from tests.support.actors import User, Written, seed, signing_key
from tests.support.groups import Group, Member
from tests.vectors.draft import Draft, envelope
from tests.vectors.sayings import (
    ACTION,
    ANCHOR,
    AUTHOR,
    BOX_ROOT,
    ENCRYPTION,
    GROUP,
    MEMBERSHIP,
    PREV,
    PUT,
    REMOVED,
    SEQ,
    SIGNING,
    committed,
    recount,
    restate,
)
from tests.vectors.world import World

BODY = 6


@dataclass(frozen=True, slots=True)
class Scene:
    """An open group, one of its live admins, and all who live, who may be handed its keys.

    `choice` tells apart what a forgery leaves open.
    """

    world: World
    group: Group
    admin: User
    live: Sequence[Member]
    choice: int

    @property
    def rotation(self) -> Written[Group]:
        """A rotation that changes nobody: always allowed."""
        return self.group.update(self.world.anchor, self.admin, rotate=self.live)

    def said(self, written: Written[Group], place: int, to: Any) -> Written[Group]:
        """The block, where its statement says something else at one place."""
        return restate(self.world, written, self.world.said(written).at(place, to=to))

    def recounted(self, written: Written[Group], place: int, to: Any) -> Written[Group]:
        """The same, with the membership that a careless reader makes of it."""
        said = self.world.said(written).at(place, to=to)
        return restate(self.world, written, recount(said, self.group.membership))

    def by(self, written: Written[Group], draft: Draft) -> Written[Group]:
        """The block around a statement that is otherwise signed or spelled."""
        return restate(self.world, written, draft)


Make = Callable[[Scene], Written[Group] | None]
"""None where there is nothing to forge."""


@dataclass(frozen=True, slots=True)
class Forgery:
    """`rules` are those that may be named."""

    make: Make
    notices: str
    rules: frozenset[str]


FORGERIES: dict[str, Forgery] = {}


def forgery(notices: str, *rules: str) -> Callable[[Make], Make]:
    def register(make: Make) -> Make:
        FORGERIES[make.__name__] = Forgery(make, notices, frozenset(rules))
        return make

    return register


# What anyone notices.


@forgery("anyone", "R-54.2")
def one_new_key(s: Scene) -> Written[Group]:
    written, place = s.rotation, s.choice % 2
    old = (s.group.signing, s.group.encryption)[place]
    draft = s.world.draft(written).at(BODY, 1 + place, to=old.public)
    raw = (draft if place else draft.by(s.group.signing)).raw
    return replace(written, raw=raw)


@forgery("anyone", "R-54.3", "R-15.2")
def a_key_of_before(s: Scene) -> Written[Group] | None:
    former = [one for one in s.world.groups if one.label == s.group.label]
    before = [one for one in former if one.signing != s.group.signing]
    written = s.rotation
    draft = s.world.draft(written)
    if s.choice % 3 == 0:
        return replace(written, raw=draft.at(BODY, 2, to=s.group.signing.public).raw)
    if not before:
        return None
    old = before[s.choice % len(before)]
    if s.choice % 3 == 1:
        return replace(written, raw=draft.at(BODY, 2, to=old.encryption.public).raw)
    raw = draft.at(BODY, 1, to=old.signing.public).by(s.group.signing, old.signing).raw
    return replace(written, raw=raw)


@forgery("anyone", "R-54.3", "R-15.2")
def one_key_for_both(s: Scene) -> Written[Group]:
    draft = s.world.draft(s.rotation)
    return replace(s.rotation, raw=draft.at(BODY, 2, to=draft.value[BODY][1]).raw)


@forgery("anyone", "R-43.1")
def a_second_history(s: Scene) -> Written[Group] | None:
    former = [one for one in s.world.groups if one.label == s.group.label][:-1]
    if not former:
        return None
    old = former[s.choice % len(former)]
    return old.update(s.world.anchor, s.admin, rotate=s.live)


@forgery("anyone", "R-43.2")
def a_second_beginning(s: Scene) -> Written[Group]:
    first = next(one for one in s.world.groups if one.label == s.group.label)
    begin = Group.create("again", s.world.anchor, s.admin, {s.admin: Role.ADMIN})
    raw = s.world.draft(begin).field("label", first.label).raw
    return replace(begin, raw=raw)


@forgery("anyone", "R-50.2")
def other_signers(s: Scene) -> Written[Group]:
    written, stranger = s.rotation, signing_key("stranger")
    draft = s.world.draft(written)
    old, new = draft.signers
    device = s.admin.devices[0].signing
    several = ((new, old), (old,), (new,), (stranger, new), (old, stranger), (old, new, device))
    return replace(written, raw=draft.by(*several[s.choice % len(several)]).raw)


@forgery("anyone", "R-40.4")
def a_block_for_another_log(s: Scene) -> Written[Group]:
    draft = s.world.draft(s.rotation)
    contexts = ((cose.BLOCK, seed("log")), (cose.STATEMENT, None), (cose.DELEGATION, None))
    return replace(s.rotation, raw=draft.under(*contexts[s.choice % 3]).raw)


# What a reader notices.


@forgery("reader", "R-56.2")
def another_statement(s: Scene) -> Written[Group]:
    """The block of one statement with another, as good; or a commitment to something else."""
    written, other = s.rotation, s.said(s.rotation, 0, seed("salt"))
    if s.choice % 2:
        return replace(written, statement=other.statement)
    return committed(s.world, written, seed("nothing"))


@forgery("reader", "R-56.2", "R-40.1", "R-10.2", "R-56.4")
def an_old_statement(s: Scene) -> Written[Group]:
    statements = [raw for _, raw in s.world.statements]
    return replace(s.rotation, statement=statements[s.choice % len(statements)])


@forgery("reader", "R-56.1")
def two_signatures(s: Scene) -> Written[Group]:
    said = s.world.said(s.rotation)
    return s.by(s.rotation, said.by(*said.signers, signing_key("stranger")))


@forgery("reader", "R-56.1")
def unsorted(s: Scene) -> Written[Group]:
    labels = [bytes([2] * 32), bytes([1] * 32)]
    if s.choice % 3 == 0:
        labels = labels[:1] * 2
    if s.choice % 2:
        return s.recounted(s.rotation, REMOVED, labels)
    return s.recounted(s.rotation, PUT, [[label, 0, 0] for label in labels])


@forgery("reader", "R-56.1")
def put_and_removed(s: Scene) -> Written[Group]:
    some = s.group.membership.entries[s.choice % len(s.group.membership.entries)]
    said = s.world.said(s.rotation).at(REMOVED, to=[some.label])
    said = said.at(PUT, to=[[some.label, some.epoch + 1, 0]])
    return s.by(s.rotation, recount(said, s.group.membership))


@forgery("reader", "R-56.3")
def another_place(s: Scene) -> Written[Group]:
    """One thing in the statement that is the block's is another."""
    group, size = s.group, s.world.log.head.size
    others: list[tuple[int, Any]] = [
        (GROUP, s.admin.label),
        (SEQ, group.seq + 1),
        (SEQ, group.seq - 1),
        (PREV, seed("prev")),
        (PREV, bytes(32)),
        (ANCHOR, [size, seed("root")]),
        (SIGNING, group.signing.public),
        (ENCRYPTION, group.encryption.public),
        (BOX_ROOT, bytes(32)),
        (ACTION, 3),
        (ACTION, 0),
        (ACTION, 1),
    ]
    place, to = others[s.choice % len(others)]
    return s.said(s.rotation, place, to)


@forgery("reader", "R-56.3")
def another_end(s: Scene) -> Written[Group]:
    """The same for a close, whose keys stand in the state only."""
    close = s.group.close(s.world.anchor, s.admin)
    others = [(SIGNING, bytes(32)), (ENCRYPTION, bytes(32)), (BOX_ROOT, seed("root")), (ACTION, 2)]
    return s.said(close, *others[s.choice % len(others)])


@forgery("reader", "R-56.4")
def a_revoked_device(s: Scene) -> Written[Group] | None:
    now = {device.signing.public for device in s.admin.devices}
    former = [user for user in s.world.users if user.label == s.admin.label]
    gone = [d for user in former for d in user.devices if d.signing.public not in now]
    if not gone:
        return None
    author = replace(s.admin, devices=(gone[s.choice % len(gone)],))
    return s.group.update(s.world.anchor, author, rotate=s.live)


@forgery("reader", "R-56.4")
def a_foreign_device(s: Scene) -> Written[Group]:
    others = [user for user in s.world.users if user.label != s.admin.label and user.devices]
    keys = [user.devices[0].signing for user in others]
    keys += [s.group.signing, signing_key("stranger")]
    return s.by(s.rotation, s.world.said(s.rotation).by(keys[s.choice % len(keys)]))


@forgery("reader", "R-56.4")
def another_author(s: Scene) -> Written[Group]:
    """The admin's device speaks in another name."""
    others = [user.label for user in s.world.users if user.label != s.admin.label]
    others += [s.group.label, bytes(32), seed("nobody")]
    return s.said(s.rotation, AUTHOR, others[s.choice % len(others)])


@forgery("reader", "R-56.4")
def for_another_purpose(s: Scene) -> Written[Group]:
    contexts = (
        (cose.BLOCK, None),
        (cose.LEAVE, None),
        (cose.GRANT, None),
        (cose.STATEMENT, seed("log")),
    )
    said = s.world.said(s.rotation).under(*contexts[s.choice % len(contexts)])
    return s.by(s.rotation, said)


@forgery("reader", "R-56.4")
def a_flipped_bit(s: Scene) -> Written[Group]:
    said = s.world.said(s.rotation)
    ((kid, signature),) = said.pairs
    at = s.choice % 64
    flipped = signature[:at] + bytes([signature[at] ^ 1]) + signature[at + 1 :]
    raw = envelope(said.payload, [(kid, flipped)])
    return restate(s.world, s.rotation, raw)


@forgery("reader", "R-56.5")
def the_author_goes(s: Scene) -> Written[Group]:
    """Nobody removes or demotes themselves."""
    anchor, admin = s.world.anchor, s.admin
    if s.choice % 2:
        return s.group.update(anchor, admin, removed=[admin], rotate=s.live)
    return s.group.update(anchor, admin, {admin: Role.MEMBER}, rotate=s.live)


@forgery("reader", "R-56.6")
def nothing_changes(s: Scene) -> Written[Group]:
    some = s.group.membership.entries[s.choice % len(s.group.membership.entries)]
    if s.choice % 2:
        return s.recounted(s.rotation, REMOVED, [seed("nobody")])
    return s.recounted(s.rotation, PUT, [[some.label, some.epoch, some.role]])


@forgery("reader", "R-56.7")
def in_itself(s: Scene) -> Written[Group]:
    return s.recounted(s.rotation, PUT, [[s.group.label, 0, s.choice % 2]])


@forgery("reader", "R-56.7")
def a_group_in_the_wrong_place(s: Scene) -> Written[Group] | None:
    """In a flat group, with an epoch, or where a user was."""
    if s.group.membership.kind == 0:
        return s.recounted(s.rotation, PUT, [[seed("group"), 0, Role.GROUP]])
    users = [e for e in s.group.membership.entries if e.role != Role.GROUP]
    others = [e for e in users if e.label != s.admin.label]
    if others and s.choice % 2:
        return s.recounted(s.rotation, PUT, [[others[0].label, 0, Role.GROUP]])
    return s.recounted(s.rotation, PUT, [[seed("group"), 1 + s.choice, Role.GROUP]])


@forgery("reader", "R-56.8")
def without_new_keys(s: Scene) -> Written[Group] | None:
    """Removed, demoted, or put in with another epoch; or nothing at all."""
    others = [e for e in s.group.membership.entries if e.label != s.admin.label]
    kept = s.group.update(s.world.anchor, s.admin)
    if not others or s.choice % 4 == 0:
        return kept
    some = others[s.choice % len(others)]
    if s.choice % 4 == 1:
        return s.recounted(kept, REMOVED, [some.label])
    if some.role == Role.GROUP:
        return None
    if s.choice % 4 == 2:
        return s.recounted(kept, PUT, [[some.label, some.epoch + 1, some.role]])
    return s.recounted(kept, PUT, [[some.label, 0, 0]]) if some.role == Role.ADMIN else None


@forgery("reader", "R-56.8")
def an_end_that_changes(s: Scene) -> Written[Group]:
    close = s.group.close(s.world.anchor, s.admin)
    others = [e.label for e in s.group.membership.entries if e.label != s.admin.label]
    if others and s.choice % 2:
        return s.recounted(close, REMOVED, others[:1])
    return s.recounted(close, PUT, [[seed("nobody"), 0, 0]])


@forgery("reader", "R-56.9")
def another_membership(s: Scene) -> Written[Group]:
    known = s.group.membership
    joined = replace(known.entries[0], joined=known.entries[0].joined + 1)
    others = (
        Membership(1 - known.kind, known.entries).hash,
        Membership(known.kind, known.entries[1:]).hash,
        Membership(known.kind, (joined, *known.entries[1:])).hash,
        bytes(32),
    )
    return s.said(s.rotation, MEMBERSHIP, others[s.choice % len(others)])


@forgery("reader", "R-56.9")
def too_many(s: Scene) -> Written[Group]:
    most = s.world.actor.limits.max_members
    new = sorted(seed("member", number) for number in range(most))
    return s.recounted(s.rotation, PUT, [[label, 0, 0] for label in new])


# What the server notices.


@forgery("server", "R-56.10")
def nobody(s: Scene) -> Written[Group] | None:
    """A label without a chain, a user of another epoch, a user in place of a group."""
    if len(s.group.membership.entries) >= s.world.actor.limits.max_members:
        return None
    label = seed("nobody")
    role = Role.GROUP if s.group.membership.kind and s.choice % 2 else Role.MEMBER
    return s.recounted(s.rotation, PUT, [[label, 0, int(role)]])


@forgery("server", "R-55.3", "R-55.2")
def other_boxes(s: Scene) -> Written[Group]:
    boxes = s.rotation.boxes
    another = bytes([boxes[-1][0] ^ 1]) + boxes[-1][1:]
    others = (
        boxes[:-1],
        (*boxes, boxes[-1]),
        (*boxes[:-1], another),
        (*boxes[:-1], boxes[-1][:-1]),
        (boxes[1], boxes[0], *boxes[2:]),
    )
    return replace(s.rotation, boxes=others[s.choice % len(others)])
