"""Groups, written as `tests.support.actors` writes people: values that give real blocks.

A group's actor holds all its secrets, whoever of its admins acts. Its boxes need the members' keys
as they are now, so what writes takes the people concerned.

>>> from tests.support.actors import LogActor, User
>>> log, anchor = LogActor.make().after, Anchor(2, bytes(32))
>>> ada, bob = (User.create(log, name, anchor).after for name in ("ada", "bob"))
>>> team = Group.create("team", anchor, ada, {ada: Role.ADMIN, bob: Role.MEMBER})
>>> len(team.boxes), len(team.after.membership.entries)
(3, 2)
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TypeAlias

from ledger.format import block
from ledger.format.block import Anchor
from ledger.format.bodies import ZERO_HASH, BlockType, Body, GroupClose, GroupCreate, GroupUpdate
from ledger.format.keys import EncryptionKey, SigningKey
from ledger.format.statement import (
    Action,
    Grant,
    Leave,
    Put,
    Role,
    Stay,
    Terms,
    commitment,
    sign_grant,
    sign_leave,
    sign_statement,
)
from ledger.rules.groups import label_of
from ledger.rules.membership import Entry, Kind, Membership
from ledger.seal.boxes import box_root
from tests.support.actors import User, Written, encryption_key, sealed, seed, signing_key

Member: TypeAlias = "User | Group"


@dataclass(frozen=True, slots=True)
class Group:
    """A group with its keys. `seq` and `head` are the next block's."""

    log_id: bytes
    label: bytes
    signing: SigningKey
    encryption: EncryptionKey
    membership: Membership
    rotated: int
    seq: int = 0
    head: bytes = ZERO_HASH

    @classmethod
    def create(
        cls,
        name: str,
        anchor: Anchor,
        author: User,
        members: Mapping[Member, Role],
        *,
        kind: Kind = Kind.FLAT,
        device: int = 0,
    ) -> Written[Group]:
        """A group.create by a device of `author`."""
        signing, encryption = signing_key("group", name, 0), encryption_key("group", name, 0)
        nobody = Membership(kind, ())
        label = label_of(signing.public)
        group = cls(author.log_id, label, signing, encryption, nobody, anchor.size)
        action = Action.CREATE_COMPOUND if kind == Kind.COMPOUND else Action.CREATE_FLAT
        return group._write(BlockType.GROUP_CREATE, anchor, author, action, members, device=device)

    def update(
        self,
        anchor: Anchor,
        author: User,
        put: Mapping[Member, Role] | None = None,
        *,
        removed: Iterable[Member] = (),
        rotate: Collection[Member] | None = None,
        device: int = 0,
    ) -> Written[Group]:
        """A group.update. `rotate` names everybody who may be a member after it, if it rotates."""
        after = self
        if rotate is not None:
            after = replace(
                self,
                signing=signing_key(self.label.hex(), self.seq),
                encryption=encryption_key(self.label.hex(), self.seq),
                rotated=anchor.size,
            )
        return after._write(
            BlockType.GROUP_UPDATE,
            anchor,
            author,
            Action.UPDATE,
            put or {},
            removed=[member.label for member in removed],
            before=self,
            people=rotate or (),
            device=device,
        )

    def close(self, anchor: Anchor, author: User, *, device: int = 0) -> Written[Group]:
        """A group.close."""
        return self._write(
            BlockType.GROUP_CLOSE, anchor, author, Action.CLOSE, {}, before=self, device=device
        )

    def stay(self, user: User) -> Stay:
        """The stay of a user who is in the group."""
        entry = self.membership.entry(user.label)
        assert entry
        return Stay(self.label, user.label, entry.epoch, entry.joined)

    def leave(self, user: User, device: int = 0) -> Leave:
        """A wish of `user` to leave."""
        signing = user.devices[device].signing
        return Leave.parse(sign_leave(signing, self.log_id, self.stay(user)))

    def grant(self, user: User, sender: User, expiry: int, device: int = 0) -> Grant:
        """A grant by `user`, a member, to `sender`."""
        signing = user.devices[device].signing
        raw = sign_grant(signing, self.log_id, self.stay(user), sender.label, expiry)
        return Grant.parse(raw)

    def _write(
        self,
        kind: BlockType,
        anchor: Anchor,
        author: User,
        action: Action,
        put: Mapping[Member, Role],
        *,
        removed: Sequence[bytes] = (),
        before: Group | None = None,
        people: Collection[Member] = (),
        device: int = 0,
    ) -> Written[Group]:
        """A block by the keys of `self`, that turns `before` into `self` with its new members."""
        puts = [Put(m.label, epoch_of(m), int(role)) for m, role in put.items()]
        after = replace(self, membership=changed(self.membership, puts, removed, anchor.size))
        sealing = after._sealing(before, puts, {m.label: key_of(m) for m in (*put, *people)})
        recipients = [recipient for recipient, _ in sealing]
        boxes = tuple(sealed(secret, recipient) for recipient, secret in sealing)
        closes = action == Action.CLOSE
        terms = Terms(
            seed("salt", self.label.hex(), self.seq),
            self.label,
            self.seq,
            self.head,
            anchor,
            author.label,
            self.signing.public,
            self.encryption.public,
            ZERO_HASH if closes else box_root(recipients, boxes),
            int(action),
            tuple(sorted(removed)),
            tuple(sorted(puts, key=lambda entry: entry.label)),
            after.membership.hash,
        )
        statement = sign_statement(author.devices[device].signing, self.log_id, terms)
        raw = after.block(kind, terms, statement, before)
        after = replace(after, seq=self.seq + 1, head=sha256(raw).digest())
        return Written(raw, after, () if closes else boxes, statement=statement)

    def block(self, kind: BlockType, terms: Terms, statement: bytes, before: Group | None) -> bytes:
        """The block around a statement, right or wrong, signed by the group's keys."""
        body: Body
        if kind == BlockType.GROUP_CLOSE:
            body = GroupClose(commitment(statement))
        else:
            shape = GroupCreate if kind == BlockType.GROUP_CREATE else GroupUpdate
            body = shape(
                commitment(statement), self.signing.public, self.encryption.public, terms.box_root
            )
        keys = [before.signing, self.signing] if before else [self.signing]
        signers = keys[:1] if before and before.signing == self.signing else keys
        return block.write(
            kind,
            self.label,
            self.seq,
            self.head,
            terms.anchor,
            body,
            signers=signers,
            log_id=self.log_id,
        )

    def _sealing(
        self, before: Group | None, puts: Sequence[Put], keys: Mapping[bytes, bytes]
    ) -> list[tuple[bytes, bytes]]:
        """(recipient, secret) of each box, as 56-groups lists them."""
        rotates = before is None or before.signing != self.signing
        if rotates:
            to_open: list[Entry | Put] = list(self.membership.entries)
            to_sign: list[Entry | Put] = list(self.membership.entries)
        else:
            assert before
            to_sign = sorted(puts, key=lambda entry: entry.label)
            to_open = [entry for entry in to_sign if not before.membership.entry(entry.label)]
        to_sign = [entry for entry in to_sign if entry.role == Role.ADMIN]
        sealing = [(keys[e.label], self.encryption.secret) for e in to_open if e.label in keys]
        sealing += [(keys[e.label], self.signing.seed) for e in to_sign if e.label in keys]
        if rotates and before:
            sealing.append((self.encryption.public, before.encryption.secret))
        return sealing


def changed(
    before: Membership, puts: Iterable[Put], removed: Iterable[bytes], joined: int
) -> Membership:
    """The membership after some changes."""
    gone = set(removed)
    entries = {e.label: e for e in before.entries if e.label not in gone}
    for put in puts:
        old = entries.get(put.label)
        since = old.joined if old and old.epoch == put.epoch else joined
        entries[put.label] = Entry(put.label, put.epoch, put.role, since)
    return Membership(before.kind, tuple(entries[label] for label in sorted(entries)))


def epoch_of(member: Member) -> int:
    return member.epoch if isinstance(member, User) else 0


def key_of(member: Member) -> bytes:
    """The public key that stands for a member now."""
    return member.user_key.public if isinstance(member, User) else member.encryption.public
