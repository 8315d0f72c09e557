"""Who is in a group: what its statements resolve to, and the rules they obey (56-groups).

`apply` needs the group's and the author's chains, no others: who may read the statements can check
them all. Whether entries are live, and whom the boxes are for, needs the members' chains too:
`live_key`, `shares`.

>>> Membership(Kind.FLAT, ()).hash.hex()[:8]
'6d735079'
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from hashlib import sha256

import cbor2

from ledger.errors import RuleViolation
from ledger.format import cose
from ledger.format.block import Block
from ledger.format.bodies import ZERO_HASH, BlockType, GroupClose, GroupCreate
from ledger.format.statement import Action, Put, Role, Statement, Terms, verify
from ledger.rules.context import Context
from ledger.rules.state import Chain, GroupState, ReadChain, UserState
from ledger.value import value


class Kind(IntEnum):
    """For ever: a flat group holds users, a compound group users and flat groups."""

    FLAT = 0
    COMPOUND = 1


@value
class Entry:
    """A user with an epoch, or a flat group; `joined` is the anchor's size of when it came in."""

    label: bytes
    epoch: int
    role: int
    joined: int


@value
class Membership:
    """What the statements up to a block of the group resolve to. Entries ascend by label."""

    kind: int
    entries: tuple[Entry, ...]

    @property
    def hash(self) -> bytes:
        return sha256(b"\x09" + self.encode()).digest()

    def encode(self) -> bytes:
        return cbor2.dumps(
            [self.kind, [[e.label, e.epoch, e.role, e.joined] for e in self.entries]]
        )

    @classmethod
    def decode(cls, data: bytes) -> Membership:
        """The membership that `encode` wrote. For bytes of our own: it is no strict decoder."""
        kind, entries = cbor2.loads(data)
        return cls(kind, tuple(Entry(*entry) for entry in entries))

    @property
    def labels(self) -> frozenset[bytes]:
        return frozenset(entry.label for entry in self.entries)

    def entry(self, label: bytes) -> Entry | None:
        """The entry of this label."""
        return next((e for e in self.entries if e.label == label), None)

    def admits(self, label: bytes, epoch: int) -> bool:
        """Whether the user of this label and epoch is an admin."""
        entry = self.entry(label)
        return entry is not None and (entry.epoch, entry.role) == (epoch, Role.ADMIN)


@value
class Before:
    """What a group's block comes upon: nothing for a create, which makes the group."""

    state: GroupState | None = None
    membership: Membership | None = None


def apply(at: Context, statement: Statement, before: Before, author: Chain | None) -> Membership:
    """The membership after `at.block`, a block that passed R-54; `author` is the chain of the
    statement's author just before it. Raises `RuleViolation`, `BadSignature` (R-56.4).
    """
    verify(statement.envelope, cose.STATEMENT, at.log_id)
    return judge(at, statement, before, author)


def judge(at: Context, statement: Statement, before: Before, author: Chain | None) -> Membership:
    """`apply` for a statement whose signature was verified already."""
    block, terms = at.block, statement.terms
    _check_fits(block, statement, before.state)
    user = _check_author(statement, author)
    base = before.membership or Membership(_kind(terms), ())
    after = changed(terms, base)
    for known in filter(None, (before.membership, after)):
        if not known.admits(terms.author, user.epoch):
            raise RuleViolation("R-56.5", "the author is no admin before and after")
    _check_delta(terms, base)
    _check_rotation(terms, before)
    if len(after.entries) > at.log.limits.max_members and not after.labels <= base.labels:
        raise RuleViolation("R-56.9", f"{len(after.entries)} entries are more than the log allows")
    if after.hash != terms.membership:
        raise RuleViolation("R-56.9", "the statement names another membership: sync and rebuild")
    return after


def _kind(terms: Terms) -> Kind:
    return Kind.COMPOUND if terms.action == Action.CREATE_COMPOUND else Kind.FLAT


_ACTIONS = {
    BlockType.GROUP_CREATE: (Action.CREATE_FLAT, Action.CREATE_COMPOUND),
    BlockType.GROUP_UPDATE: (Action.UPDATE,),
    BlockType.GROUP_CLOSE: (Action.CLOSE,),
}


def _check_fits(block: Block, statement: Statement, state: GroupState | None) -> None:
    body, terms = block.body, statement.terms
    if not isinstance(body, GroupCreate | GroupClose) or statement.commitment != body.commitment:
        raise RuleViolation("R-56.2", "the block commits to another statement")
    place = (terms.group, terms.seq, terms.prev, terms.anchor)
    if place != (block.label, block.seq, block.prev, block.anchor):
        raise RuleViolation("R-56.3", "the statement was made for another place")
    if terms.action not in _ACTIONS[BlockType(block.type)]:
        raise RuleViolation("R-56.3", "the action is not of this block's type")
    if isinstance(body, GroupCreate):
        expected = (body.signing, body.encryption, body.box_root)
    else:
        assert state
        expected = (state.signing or b"", state.encryption or b"", ZERO_HASH)
    if (terms.signing, terms.encryption, terms.box_root) != expected:
        raise RuleViolation("R-56.3", "the statement was made for other keys or boxes")


def _check_author(statement: Statement, author: Chain | None) -> UserState:
    """R-56.4: a live device of the author, whose state this gives."""
    state = author.state if author else None
    if not isinstance(state, UserState) or state.device(statement.signer) is None:
        raise RuleViolation("R-56.4", "the signer is no live device of the author")
    return state


def changed(terms: Terms, before: Membership | None) -> Membership:
    """The membership with the statement's changes, whether or not they are allowed."""
    before = before or Membership(_kind(terms), ())
    removed = set(terms.removed)
    entries = {e.label: e for e in before.entries if e.label not in removed}
    for put in terms.put:
        old = entries.get(put.label)
        stays = old is not None and old.epoch == put.epoch
        joined = old.joined if old and stays else terms.anchor.size
        entries[put.label] = Entry(put.label, put.epoch, int(put.role), joined)
    return Membership(before.kind, tuple(sorted(entries.values(), key=lambda e: e.label)))


def _check_delta(terms: Terms, before: Membership) -> None:
    """R-56.6, R-56.7: each change changes something, and may."""
    entries = {e.label: e for e in before.entries}
    if not before.labels.issuperset(terms.removed):
        raise RuleViolation("R-56.6", "who is removed is not in the group")
    for put in terms.put:
        old = entries.get(put.label)
        if old and (old.epoch, old.role) == (put.epoch, put.role):
            raise RuleViolation("R-56.6", "an entry is put that is there already")
        _check_role(terms, put, before, old)


def _check_role(terms: Terms, put: Put, before: Membership, old: Entry | None) -> None:
    if put.label == terms.group:
        raise RuleViolation("R-56.7", "a group does not hold itself")
    is_group = put.role == Role.GROUP
    if is_group and (before.kind != Kind.COMPOUND or put.epoch):
        raise RuleViolation("R-56.7", "only a compound group holds groups, and these have epoch 0")
    if old and (old.role == Role.GROUP) != is_group:
        raise RuleViolation("R-56.7", "a group does not become a user, nor a user a group")


def _check_rotation(terms: Terms, before: Before) -> None:
    """R-56.8: what may be done without new keys."""
    if terms.action != Action.UPDATE:
        if terms.removed or (terms.action == Action.CLOSE and terms.put):
            raise RuleViolation("R-56.8", "only an update removes, and a close changes nothing")
        return
    assert before.state
    assert before.membership
    if terms.signing != before.state.signing:
        return
    if terms.removed or not terms.put:
        raise RuleViolation("R-56.8", "without new keys an update adds or raises, no less")
    for put in terms.put:
        old = before.membership.entry(put.label)
        if old and (old.epoch, old.role, put.role) != (put.epoch, Role.MEMBER, Role.ADMIN):
            raise RuleViolation("R-56.8", "who loses something, or was reset, needs new keys")


def live_key(entry: Entry | Put, chains: ReadChain) -> bytes | None:
    """The public key that stands for an entry, none if it is not live.

    Whether a group is flat stands in its membership, which the caller has to look at.
    """
    chain = chains(entry.label)
    state = chain.state if chain else None
    if entry.role == Role.GROUP:
        return state.encryption if isinstance(state, GroupState) else None
    if isinstance(state, UserState) and state.epoch == entry.epoch:
        return state.user_key
    return None


@value
class Shares:
    """Whom a block's boxes are for: public keys, in the order of 56-groups.

    `opens` are handed the secret of the encryption key, `signs` the seed of the signing key,
    `previous` (the new encryption key, in a rotation) the secret of the encryption key before it.
    """

    opens: tuple[bytes, ...] = ()
    signs: tuple[bytes, ...] = ()
    previous: tuple[bytes, ...] = ()

    @property
    def recipients(self) -> tuple[bytes, ...]:
        return (*self.opens, *self.signs, *self.previous)


def shares(terms: Terms, before: Before, after: Membership, chains: ReadChain) -> Shares:
    """Who is handed what by the block with these terms; `chains` as they are just before it."""
    if terms.action == Action.CLOSE:
        return Shares()
    rotates = before.state is None or terms.signing != before.state.signing
    named: Sequence[Entry | Put] = after.entries if rotates else terms.put
    known = before.membership.labels if before.membership and not rotates else frozenset()
    opens = [live_key(entry, chains) for entry in named if entry.label not in known]
    signs = [live_key(entry, chains) for entry in named if entry.role == Role.ADMIN]
    return Shares(
        tuple(key for key in opens if key),
        tuple(key for key in signs if key),
        (terms.encryption,) if rotates and before.state else (),
    )


def recipients(
    block: Block, terms: Terms, before: Before, after: Membership, chains: ReadChain
) -> tuple[bytes, ...]:
    """The public keys that the block's boxes are for, in their order (56-groups)."""
    if isinstance(block.body, GroupClose):
        return ()
    return shares(terms, before, after, chains).recipients
