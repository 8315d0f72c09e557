"""What members sign about a group: statements, wishes to leave, grants to read (56-groups).

They stand beside the log. A block of the group commits to its statement, H(08 ‖ statement), and the
statement repeats the block, so that each fits the other only.

>>> Put(bytes(32), 0, Role.ADMIN).to_value() == [bytes(32), 0, 1]
True
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha256
from itertools import pairwise

from ledger.errors import BadSignature, MalformedInput
from ledger.format import cose
from ledger.format.block import LABEL_BYTES, MAX_TREE_SIZE, Anchor
from ledger.format.bodies import HASH_BYTES, KEY_BYTES, MAX_MEMBERS, MAX_SEQ, MAX_TIME
from ledger.format.cbor import Value, array, bstr, decode, encode, items, uint
from ledger.format.templates import StatementFields, read_statement
from ledger.value import value

MAX_STATEMENT_BYTES = 524_288
MAX_REQUEST_BYTES = 1_024
SALT_BYTES = 32


class Action(IntEnum):
    """What a statement does."""

    CREATE_FLAT = 0
    CREATE_COMPOUND = 1
    UPDATE = 2
    CLOSE = 3


class Role(IntEnum):
    """What an entry of a membership is. A group is a member like others, never an admin."""

    MEMBER = 0
    ADMIN = 1
    GROUP = 2


@value
class Put:
    """An entry that comes in, or that gets another epoch or role."""

    label: bytes
    epoch: int
    role: int

    @classmethod
    def parse(cls, value: Value) -> Put:
        f = array(value, 3, "entry")
        label = bstr(f[0], LABEL_BYTES, "label")
        return cls(label, uint(f[1], "epoch", MAX_SEQ), uint(f[2], "role", max(Role)))

    def to_value(self) -> Value:
        return [self.label, self.epoch, int(self.role)]


@value
class Terms:
    """What a statement says: its payload, field by field."""

    salt: bytes
    group: bytes
    seq: int
    prev: bytes
    anchor: Anchor
    author: bytes
    signing: bytes
    encryption: bytes
    box_root: bytes
    action: int
    removed: tuple[bytes, ...]
    put: tuple[Put, ...]
    membership: bytes

    @classmethod
    def of(cls, fields: StatementFields) -> Terms:
        """What a template has read."""
        _, (salt, group, seq, prev), anchor, said, puts, membership = fields
        author, signing, encryption, box_root, action, removed = said
        put = tuple([Put(*one) for one in puts])
        keys = author, signing, encryption, box_root
        terms = cls(
            salt, group, seq, prev, Anchor(*anchor), *keys, action, removed, put, membership
        )
        _check_ascending(terms)
        return terms

    @classmethod
    def parse(cls, value: Value) -> Terms:
        f = array(value, 13, "statement")
        place = array(f[4], 2, "anchor")
        size = uint(place[0], "anchor size", MAX_TREE_SIZE)
        terms = cls(
            bstr(f[0], SALT_BYTES, "salt"),
            bstr(f[1], LABEL_BYTES, "group"),
            uint(f[2], "seq", MAX_SEQ),
            bstr(f[3], HASH_BYTES, "prev"),
            Anchor(size, bstr(place[1], HASH_BYTES, "anchor root")),
            bstr(f[5], LABEL_BYTES, "author"),
            bstr(f[6], KEY_BYTES, "signing key"),
            bstr(f[7], KEY_BYTES, "encryption key"),
            bstr(f[8], HASH_BYTES, "box root"),
            uint(f[9], "action", max(Action)),
            tuple(bstr(x, LABEL_BYTES, "label") for x in items(f[10], 0, MAX_MEMBERS, "removed")),
            tuple(Put.parse(x) for x in items(f[11], 0, MAX_MEMBERS, "put")),
            bstr(f[12], HASH_BYTES, "membership"),
        )
        _check_ascending(terms)
        return terms

    def to_value(self) -> Value:
        place: list[Value] = [self.anchor.size, self.anchor.root]
        header: list[Value] = [self.salt, self.group, self.seq, self.prev, place, self.author]
        keys: list[Value] = [self.signing, self.encryption, self.box_root]
        put: list[Value] = [entry.to_value() for entry in self.put]
        return [*header, *keys, int(self.action), list(self.removed), put, self.membership]


def _check_ascending(terms: Terms) -> None:
    put = [entry.label for entry in terms.put]
    for labels in (put, list(terms.removed)):
        if any(low >= high for low, high in pairwise(labels)):
            raise MalformedInput("R-56.1", "labels do not strictly ascend")
    if not set(put).isdisjoint(terms.removed):
        raise MalformedInput("R-56.1", "a label is put and removed at once")


@value
class Statement:
    """A well-formed statement; its signature is unchecked."""

    raw: bytes
    envelope: cose.Envelope
    terms: Terms

    @property
    def commitment(self) -> bytes:
        return commitment(self.raw)

    @property
    def signer(self) -> bytes:
        """The kid."""
        return self.envelope.signers[0]

    @classmethod
    def parse(cls, raw: bytes) -> Statement:
        """The statement that `raw` spells, or `MalformedInput`: R-10, R-40, R-56.1."""
        found = read_statement(raw) if len(raw) <= MAX_STATEMENT_BYTES else None
        if found:
            return cls(raw, found[0], Terms.of(found))
        envelope = _open(raw, MAX_STATEMENT_BYTES, "R-56.1")
        return cls(raw, envelope, Terms.parse(decode(envelope.payload, MAX_STATEMENT_BYTES)))


def commitment(raw: bytes) -> bytes:
    """What a group's block says of its statement (R-56.2)."""
    return sha256(b"\x08" + raw).digest()


@dataclass(frozen=True, slots=True)
class Stay:
    """One stay of a user in a group, from the `joined` of its entry (56-groups) to its end."""

    group: bytes
    user: bytes
    epoch: int
    joined: int

    @classmethod
    def parse(cls, f: Sequence[Value]) -> Stay:
        return cls(
            bstr(f[0], LABEL_BYTES, "group"),
            bstr(f[1], LABEL_BYTES, "user"),
            uint(f[2], "epoch", MAX_SEQ),
            uint(f[3], "joined", MAX_TREE_SIZE),
        )

    def to_values(self) -> list[Value]:
        return [self.group, self.user, self.epoch, self.joined]


@dataclass(frozen=True, slots=True)
class Leave:
    """A member's wish to leave (R-56.12); its signature is unchecked."""

    raw: bytes
    envelope: cose.Envelope
    stay: Stay

    @classmethod
    def parse(cls, raw: bytes) -> Leave:
        envelope = _open(raw, MAX_REQUEST_BYTES, "R-56.12")
        return cls(raw, envelope, Stay.parse(array(decode(envelope.payload, len(raw)), 4, "leave")))


@dataclass(frozen=True, slots=True)
class Grant:
    """A member's leave for `sender` to read the statements until `expiry` (ms) (R-56.12)."""

    raw: bytes
    envelope: cose.Envelope
    stay: Stay
    sender: bytes
    expiry: int

    @classmethod
    def parse(cls, raw: bytes) -> Grant:
        envelope = _open(raw, MAX_REQUEST_BYTES, "R-56.12")
        f = array(decode(envelope.payload, len(raw)), 6, "grant")
        sender = bstr(f[4], LABEL_BYTES, "sender")
        return cls(raw, envelope, Stay.parse(f), sender, uint(f[5], "expiry", MAX_TIME))


def sign_statement(signer: cose.Signer, log_id: bytes, terms: Terms) -> bytes:
    """A statement, as `Statement.parse` reads it."""
    return cose.sign(encode(terms.to_value()), [signer], cose.STATEMENT, log_id)


def sign_leave(signer: cose.Signer, log_id: bytes, stay: Stay) -> bytes:
    """A wish to leave, as `Leave.parse` reads it."""
    return cose.sign(encode(stay.to_values()), [signer], cose.LEAVE, log_id)


def sign_grant(signer: cose.Signer, log_id: bytes, stay: Stay, sender: bytes, expiry: int) -> bytes:
    """A grant, as `Grant.parse` reads it."""
    payload = encode([*stay.to_values(), sender, expiry])
    return cose.sign(payload, [signer], cose.GRANT, log_id)


def verify(envelope: cose.Envelope, context: str, log_id: bytes, rule: str = "R-56.4") -> None:
    """Check the one signature of a statement, leave or grant. Raises `BadSignature`."""
    try:
        cose.verify(envelope, cose.aad(context, log_id))
    except BadSignature as error:
        raise BadSignature(rule, error.detail) from error


def _open(raw: bytes, max_bytes: int, rule: str) -> cose.Envelope:
    envelope = cose.parse(raw, max_bytes)
    if len(envelope.signers) != 1:
        raise MalformedInput(rule, "not exactly one signature")
    return envelope
