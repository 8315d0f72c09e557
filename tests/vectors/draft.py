"""Blocks, delegations and statements taken apart, changed at one place, and signed again.

>>> founding = LogActor.make()
>>> draft = Draft.of(founding.raw, Keyring(founding.after))
>>> draft.raw == founding.raw
True
>>> draft.field("seq", 1).raw == founding.raw
False
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import cbor2

from ledger.format import block, cose
from ledger.format.block import NO_LOG_ID
from ledger.format.bodies import BlockType, Delegation
from ledger.format.keys import SigningKey
from ledger.format.statement import MAX_STATEMENT_BYTES
from tests.support.actors import LogActor, User, signing_key
from tests.support.groups import Group
from tests.support.variants import put

FIELDS = ("version", "type", "label", "seq", "prev", "anchor", "body")


class Keyring(dict[bytes, cose.Signer]):
    """The secret keys of a log, its users and groups, by their public halves."""

    def __init__(self, log: LogActor, *people: User | Group) -> None:
        super().__init__()
        self.log_id = log.log_id
        self.hold(log.app_root, log.enrolment, log.log_key, log.authority)
        for one in people:
            self.hold(*(_of_group(one) if isinstance(one, Group) else _of_user(log, one)))

    def hold(self, *keys: cose.Signer) -> None:
        self.update((key.public, key) for key in keys)


def _of_user(log: LogActor, user: User) -> Iterator[SigningKey]:
    yield from (device.signing for device in user.devices)
    yield signing_key(log.origin, user.opening.identifier, "ephemeral", 0)
    yield from (signing_key(user.label.hex(), "ephemeral", seq) for seq in range(user.seq + 1))


def _of_group(group: Group) -> Iterator[SigningKey]:
    yield group.signing


@dataclass(frozen=True, slots=True)
class Draft:
    """An envelope before it is signed: any part of it may be wrong."""

    value: list[Any]
    signers: tuple[cose.Signer, ...]
    log_id: bytes
    context: str = cose.BLOCK
    payload_bytes: bytes | None = field(default=None)
    """Stands for the encoded payload, where that is what is wrong."""

    @classmethod
    def of(cls, raw: bytes, keys: Keyring) -> Draft:
        """The block `raw`, whose signers are all in `keys`."""
        envelope = cose.parse(raw, block.MAX_BLOCK_BYTES)
        value = cbor2.loads(envelope.payload)
        first = value[1] == BlockType.LOG_CREATE
        log_id = NO_LOG_ID if first else keys.log_id
        return cls(value, tuple(keys[kid] for kid in envelope.signers), log_id)

    @classmethod
    def of_delegation(cls, delegation: Delegation, keys: Keyring) -> Draft:
        """A delegation, whose signers are all in `keys`."""
        signers = tuple(keys[kid] for kid in delegation.envelope.signers)
        value = cbor2.loads(delegation.envelope.payload)
        return cls(value, signers, keys.log_id, cose.DELEGATION)

    @classmethod
    def of_statement(cls, raw: bytes, keys: Keyring) -> Draft:
        """A statement, whose signers are all in `keys`."""
        envelope = cose.parse(raw, MAX_STATEMENT_BYTES)
        signers = tuple(keys[kid] for kid in envelope.signers)
        return cls(cbor2.loads(envelope.payload), signers, keys.log_id, cose.STATEMENT)

    @property
    def payload(self) -> bytes:
        return cbor2.dumps(self.value) if self.payload_bytes is None else self.payload_bytes

    @property
    def pairs(self) -> list[tuple[bytes, bytes]]:
        """Each signer's kid and signature."""
        aad = cose.aad(self.context, self.log_id)
        return [
            (key.public, key.sign(cose.to_be_signed(self.payload, key.public, aad)))
            for key in self.signers
        ]

    @property
    def raw(self) -> bytes:
        return envelope(self.payload, self.pairs)

    def at(self, *path: int, to: Any) -> Draft:
        """The draft with another value at a place in the payload, such as `at(6, 0, to=b"")`."""
        return replace(self, value=put(self.value, path, to))

    def field(self, name: str, to: Any) -> Draft:
        """The draft with another payload field."""
        return self.at(FIELDS.index(name), to=to)

    def encoded(self, payload: bytes) -> Draft:
        """The draft with these bytes for a payload."""
        return replace(self, payload_bytes=payload)

    def by(self, *signers: cose.Signer) -> Draft:
        """The draft, signed by others."""
        return replace(self, signers=signers)

    def under(self, context: str = cose.BLOCK, log_id: bytes | None = None) -> Draft:
        """The draft, signed for another context or log."""
        return replace(self, context=context, log_id=log_id or self.log_id)


def envelope(payload: bytes, pairs: Sequence[tuple[bytes, bytes]]) -> bytes:
    """As `cose.build`, for any pairs: none, five, or two of one key."""
    one = cose.build(payload, [(bytes(32), bytes(64))])
    head, item = one[:-109], one[-108:]
    items = [item[:9] + kid + item[41:44] + signature for kid, signature in pairs]
    return head + bytes([0x80 + len(pairs)]) + b"".join(items)


def pairs_of(raw: bytes) -> list[tuple[bytes, bytes]]:
    """The kids and signatures of a block."""
    parsed = cose.parse(raw, block.MAX_BLOCK_BYTES)
    return list(zip(parsed.signers, parsed.signatures, strict=True))


def payload_of(raw: bytes) -> bytes:
    """The payload of a block."""
    return cose.parse(raw, block.MAX_BLOCK_BYTES).payload
