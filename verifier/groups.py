"""Who is in a group: statements, and what members sign beside the log (specs/56-groups).

Pure functions. A statement's bytes are opened anywhere, by what its block commits to; what it may
change depends on its place in the log.

    statement, checks = open_statement(data, block.body[0], log_id)     # or Invalid
    membership = apply(before, block, statement, Scene(group, author, max_members))

`removed` is a tuple of labels, `put` one of (label, epoch, role).
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from itertools import pairwise
from typing import Any, NamedTuple

from verifier import cbor
from verifier.blocks import GROUP_CLOSE, GROUP_CREATE, GROUP_UPDATE, SIZE, TIME, ZERO, Block
from verifier.cbor import Field, Many, Shape
from verifier.envelope import GRANT, LEAVE, STATEMENT, open_envelope, signature_checks
from verifier.errors import BrokenRule, Malformed
from verifier.keys import Check
from verifier.states import GroupState, State, UserState

MAX_STATEMENT = 524_288
MAX_WISH = 1_024  # a leave or a grant
MAX_CHANGES = 4_096

FLAT, COMPOUND = range(2)
MEMBER, ADMIN, GROUP = range(3)
ACTIONS = {GROUP_CREATE: (FLAT, COMPOUND), GROUP_UPDATE: (2,), GROUP_CLOSE: (3,)}  # by block type

EPOCH = range(2**32)
LABELS: Shape = Many(32, range(MAX_CHANGES + 1))
ENTRIES: Shape = Many((32, EPOCH, range(3)), range(MAX_CHANGES + 1))
PLACE: tuple[Shape, ...] = (32, range(2**32), 32, (SIZE, 32))  # group, seq, prev, anchor
STATED: Shape = (32, *PLACE, 32, 32, 32, 32, range(4), LABELS, ENTRIES, 32)
STAY: tuple[Shape, ...] = (32, 32, EPOCH, SIZE)


class Statement(NamedTuple):
    """What a device of `author`, its `kid`, says that a group's block does."""

    salt: bytes
    group: bytes
    seq: int
    prev: bytes
    anchor_size: int
    anchor_root: bytes
    author: bytes
    signing: bytes
    encryption: bytes
    box_root: bytes
    action: int
    removed: tuple[bytes, ...]
    put: tuple[tuple[bytes, int, int], ...]
    membership: bytes
    kid: bytes


class Entry(NamedTuple):
    """A member's epoch and role, and the anchor's size of the statement that brought it in."""

    epoch: int
    role: int
    joined: int


class Membership(NamedTuple):
    """The entries of a group by their labels; flat or compound for ever."""

    kind: int
    entries: dict[bytes, Entry]

    def content(self) -> bytes:
        """Its CBOR."""
        rows = [(label, *entry) for label, entry in sorted(self.entries.items())]
        return cbor.encode((self.kind, rows))

    def digest(self) -> bytes:
        return sha256(b"\x09" + self.content()).digest()

    @classmethod
    def restore(cls, content: bytes) -> Membership:
        kind, rows = cbor.restore(content)
        return cls(kind, {label: Entry(*entry) for label, *entry in rows})


class Scene(NamedTuple):
    """The states of the group and of the statement's author just before the block, and how many
    entries a membership may have there."""

    group: State | None
    author: State | None
    max_members: int


def open_statement(data: bytes, commitment: bytes, log_id: bytes) -> tuple[Statement, list[Check]]:
    """The statement that is committed to (R-56.1, R-56.2), and the check of its signature."""
    if sha256(b"\x08" + data).digest() != commitment:
        raise BrokenRule("R-56.2", "the statement is not the one that the block commits to")
    if len(data) > MAX_STATEMENT:
        raise Malformed("R-56.1", f"a statement of {len(data)} bytes")
    fields, checks = _signed(data, log_id, STATEMENT, STATED, ("R-56.1", "R-56.4"))
    statement = Statement._make(fields)
    put = [label for label, *_ in statement.put]
    if not _ascends(statement.removed) or not _ascends(put):
        raise Malformed("R-56.1", "the labels of a statement do not strictly ascend")
    if not set(put).isdisjoint(statement.removed):
        raise Malformed("R-56.1", "a statement removes a label and puts it")
    return statement, checks


def apply(
    before: Membership | None, block: Block, statement: Statement, scene: Scene
) -> Membership:
    """The membership after the block: R-56.3 to R-56.9. It is None before group.create only."""
    _check_place(block, statement, scene.group)
    epoch = _author_epoch(statement, scene.author)
    old = Membership(statement.action, {}) if before is None else before
    after = _changed(old, statement)
    for membership in (after,) if before is None else (before, after):
        entry = membership.entries.get(statement.author)
        if entry is None or (entry.epoch, entry.role) != (epoch, ADMIN):
            raise BrokenRule("R-56.5", "the author is not an admin, before and after")
    _check_changes(old, statement)
    _check_entries(old, statement)
    _check_action(old, block, statement, scene.group)
    if len(after.entries) > scene.max_members and not after.entries.keys() <= old.entries.keys():
        raise BrokenRule("R-56.9", f"more than {scene.max_members} members")
    if after.digest() != statement.membership:
        raise BrokenRule("R-56.9", "the statement names another membership")
    return after


def _check_place(block: Block, statement: Statement, group: State | None) -> None:
    """R-56.3. Label, seq, prev, anchor size and anchor root are fields 1 to 5 of either."""
    if statement[1:6] != block[1:6]:
        raise BrokenRule("R-56.3", "group, seq, prev or anchor is not the block's")
    keys = block.body[1:]
    if block.kind == GROUP_CLOSE:
        assert isinstance(group, GroupState)
        keys = (group.signing, group.encryption, ZERO)
    if (statement.signing, statement.encryption, statement.box_root) != keys:
        raise BrokenRule("R-56.3", "keys or box root are not the block's")
    if statement.action not in ACTIONS[block.kind]:
        raise BrokenRule("R-56.3", "the action does not fit the block's type")


def _author_epoch(statement: Statement, author: State | None) -> int:
    """The epoch of the author, whose device signed: R-56.4."""
    if not isinstance(author, UserState) or not _has(author, statement.kid):
        raise BrokenRule("R-56.4", "the kid is not a device that the author has")
    return author.epoch


def _changed(before: Membership, statement: Statement) -> Membership:
    """`joined` stays with an epoch."""
    entries = dict(before.entries)
    for label in statement.removed:
        entries.pop(label, None)
    for label, epoch, role in statement.put:
        old = entries.get(label)
        stays = old is not None and old.epoch == epoch
        entries[label] = Entry(epoch, role, old.joined if old and stays else statement.anchor_size)
    return Membership(before.kind, entries)


def _check_changes(before: Membership, statement: Statement) -> None:
    """R-56.6."""
    if not before.entries.keys() >= set(statement.removed):
        raise BrokenRule("R-56.6", "a label is removed that is not in the membership")
    for label, *new in statement.put:
        old = before.entries.get(label)
        if old is not None and [old.epoch, old.role] == new:
            raise BrokenRule("R-56.6", "an entry is put that is there already")


def _check_entries(before: Membership, statement: Statement) -> None:
    """R-56.7."""
    for label, epoch, role in statement.put:
        old = before.entries.get(label)
        if label == statement.group:
            raise BrokenRule("R-56.7", "a group cannot be in itself")
        if role == GROUP and (before.kind != COMPOUND or epoch != 0):
            raise BrokenRule("R-56.7", "groups stand in compound groups, with epoch 0")
        if old is not None and (old.role == GROUP) != (role == GROUP):
            raise BrokenRule("R-56.7", "an entry changes between a user and a group")


def _check_action(
    before: Membership, block: Block, statement: Statement, group: State | None
) -> None:
    """R-56.8."""
    removed, put = statement.removed, statement.put
    if removed and block.kind != GROUP_UPDATE:
        raise BrokenRule("R-56.8", "group.create and group.close remove nothing")
    if put and block.kind == GROUP_CLOSE:
        raise BrokenRule("R-56.8", "group.close puts nothing")
    rotates = isinstance(group, GroupState) and group.signing != statement.signing
    if block.kind != GROUP_UPDATE or rotates:
        return
    if removed or not put:
        raise BrokenRule("R-56.8", "without new keys nothing is removed and something put")
    for label, epoch, role in put:
        old = before.entries.get(label)
        if old is not None and (old.epoch, old.role, role) != (epoch, MEMBER, ADMIN):
            raise BrokenRule("R-56.8", "without new keys an entry can only be new or become admin")


class Leave(NamedTuple):
    """A member's wish to leave, signed by `kid`."""

    group: bytes
    user: bytes
    epoch: int
    joined: int
    kid: bytes


class Grant(NamedTuple):
    """A member's leave for `sender` to read the group's statements, until `expiry` (ms)."""

    group: bytes
    user: bytes
    epoch: int
    joined: int
    sender: bytes
    expiry: int
    kid: bytes


def open_leave(data: bytes, log_id: bytes) -> tuple[Leave, list[Check]]:
    """A leave of the right form (R-56.12), and the check of its signature."""
    fields, checks = _wish(data, log_id, LEAVE, STAY)
    return Leave._make(fields), checks


def open_grant(data: bytes, log_id: bytes) -> tuple[Grant, list[Check]]:
    """A grant of the right form (R-56.12), and the check of its signature."""
    fields, checks = _wish(data, log_id, GRANT, (*STAY, 32, TIME))
    return Grant._make(fields), checks


def check_counts(
    wish: Leave | Grant, membership: Membership | None, user: State | None, time: int
) -> None:
    """R-56.12: it counts at `time` (ms), by the membership of its group and its user's state."""
    if not isinstance(user, UserState) or not _has(user, wish.kid):
        raise BrokenRule("R-56.12", "it is not by a device that the user has")
    entry = membership.entries.get(wish.user) if membership else None
    stay = wish.epoch, wish.joined
    if entry is None or (entry.epoch, entry.joined) != stay or user.epoch != wish.epoch:
        raise BrokenRule("R-56.12", "the group has no such entry of the user, or its epoch passed")
    if isinstance(wish, Grant) and wish.expiry < time:
        raise BrokenRule("R-56.12", "the grant has expired")


def _wish(
    data: bytes, log_id: bytes, context: bytes, shape: Shape
) -> tuple[tuple[Any, ...], list[Check]]:
    if len(data) > MAX_WISH:
        raise Malformed("R-56.12", f"{len(data)} bytes are no leave or grant")
    return _signed(data, log_id, context, shape, ("R-56.12", "R-56.12"))


def _signed(
    data: bytes, log_id: bytes, context: bytes, shape: Shape, rules: tuple[str, str]
) -> tuple[tuple[Any, ...], list[Check]]:
    """The fields of an envelope's payload, then its one kid; and the check of its signature.

    `rules` are what asks for one signature, and for one that verifies.
    """
    envelope = open_envelope(data)
    if len(envelope.signed) != 1:
        raise Malformed(rules[0], "not exactly one signature")
    value = cbor.decode(envelope.payload, len(data))
    if not cbor.fits(value, shape):
        raise Malformed("R-10.4", f"not the payload of a {context.decode()}")
    fields: tuple[Field, ...] = cbor.flatten(value, shape)
    checks = signature_checks(envelope, context, log_id, rules[1])
    return (*fields, *envelope.kids), checks


def _has(user: UserState, kid: bytes) -> bool:
    """Whether it is the signing key of one of the user's devices."""
    return kid in [device[0] for device in user.devices]


def _ascends(labels: Sequence[bytes]) -> bool:
    return all(before < after for before, after in pairwise(labels))
