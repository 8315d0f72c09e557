"""A group's blocks, their statements and boxes, written (50-rules, 56-groups).

`Place` says where a block goes, `Author` who answers for it, `Before` what it comes upon. What
comes out is what the server is handed: the block, its boxes in the order of 56-groups, the
statement.

>>> place = Place.after(replica, label)                              # doctest: +SKIP
>>> submission = write(place, author, before, held, change, chains)  # doctest: +SKIP

Salts and sealing draw random numbers; nothing else here does I/O. The rules are not asked: who
submits what they refuse is told so.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace

from ledger.client.group.groups import Change
from ledger.client.user.account import DeviceSecret, new_encryption_key
from ledger.client.user.compose import Boxes, Place, sealed
from ledger.format.bodies import ZERO_HASH, BlockType, Body, GroupClose, GroupCreate, GroupUpdate
from ledger.format.keys import EncryptionKey, SigningKey
from ledger.format.statement import SALT_BYTES, Action, Terms, commitment, sign_statement
from ledger.format.wire import Submission
from ledger.rules import membership as memberships
from ledger.rules.membership import Before, Kind, Membership
from ledger.rules.state import ReadChain


@dataclass(frozen=True, slots=True)
class Author:
    """The user, by label, and the device of theirs that signs the statement."""

    label: bytes
    device: DeviceSecret


@dataclass(frozen=True, slots=True)
class GroupSecret:
    """What an admin holds: the secrets of a group's two keys."""

    signing: SigningKey
    encryption: EncryptionKey = field(repr=False)

    @classmethod
    def generate(cls) -> GroupSecret:
        """New keys, for a new group or a rotation."""
        return cls(SigningKey(os.urandom(32)), new_encryption_key())


def create(
    place: Place, author: Author, kind: Kind, new: GroupSecret, change: Change, chains: ReadChain
) -> Submission:
    """group.create: the entries that `change` puts, its author among them."""
    action = Action.CREATE_COMPOUND if kind == Kind.COMPOUND else Action.CREATE_FLAT
    terms = _terms(place, author, action, new, change)
    terms, boxes = _boxed(terms, Before(), new, None, chains)
    statement = _signed(place, author, terms)
    body = GroupCreate(commitment(statement), terms.signing, terms.encryption, terms.box_root)
    raw = place.write(BlockType.GROUP_CREATE, body, [new.signing])
    return Submission(raw, boxes, statement=statement)


def update(
    place: Place,
    author: Author,
    before: Before,
    held: GroupSecret,
    new: GroupSecret | None,
    change: Change,
    chains: ReadChain,
) -> Submission:
    """group.update by who holds the keys `held`; with `new` it is a rotation."""
    keys = new or held
    terms = _terms(place, author, Action.UPDATE, keys, change)
    terms, boxes = _boxed(terms, before, keys, held, chains)
    statement = _signed(place, author, terms)
    body = GroupUpdate(commitment(statement), terms.signing, terms.encryption, terms.box_root)
    signers = [held.signing, new.signing] if new else [held.signing]
    raw = place.write(BlockType.GROUP_UPDATE, body, signers)
    return Submission(raw, boxes, statement=statement)


def close(place: Place, author: Author, before: Membership, held: GroupSecret) -> Submission:
    """group.close."""
    terms = _terms(place, author, Action.CLOSE, held, Change())
    statement = _signed(place, author, replace(terms, membership=before.hash))
    body: Body = GroupClose(commitment(statement))
    raw = place.write(BlockType.GROUP_CLOSE, body, [held.signing])
    return Submission(raw, statement=statement)


def _terms(
    place: Place, author: Author, action: Action, keys: GroupSecret, change: Change
) -> Terms:
    """What is stated, but for the boxes and the membership that it leads to."""
    return Terms(
        os.urandom(SALT_BYTES),
        place.label,
        place.seq,
        place.prev,
        place.anchor,
        author.label,
        keys.signing.public,
        keys.encryption.public,
        ZERO_HASH,
        int(action),
        tuple(sorted(change.removed)),
        tuple(sorted(change.put, key=lambda put: put.label)),
        ZERO_HASH,
    )


def _boxed(
    terms: Terms, before: Before, keys: GroupSecret, held: GroupSecret | None, chains: ReadChain
) -> tuple[Terms, tuple[bytes, ...]]:
    """The terms with box root and membership, and the boxes."""
    after = memberships.changed(terms, before.membership)
    shares = memberships.shares(terms, before, after, chains)
    secrets: list[tuple[bytes, EncryptionKey | SigningKey]] = [
        *((key, keys.encryption) for key in shares.opens),
        *((key, keys.signing) for key in shares.signs),
    ]
    if held:
        secrets += ((key, held.encryption) for key in shares.previous)
    boxes: Boxes = sealed(secrets)
    return replace(terms, box_root=boxes[0], membership=after.hash), boxes[1]


def _signed(place: Place, author: Author, terms: Terms) -> bytes:
    return sign_statement(author.device.signing, place.log_id, terms)
