"""The named workload: 30 % user.create, 50 % device.add, 20 % device.revoke, live anchors.

A population of users writes real blocks, really signed. Labels are random instead of the VRF's, and
boxes and encryption keys are random bytes: whoever admits them can't tell, and does the same work.

>>> people = Population(LogActor.make().after)
>>> made = people.round(10, anchor)               # doctest: +SKIP
>>> sum(m.signatures for m in made)               # doctest: +SKIP
21
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from ledger.format import block
from ledger.format.block import Anchor
from ledger.format.bodies import (
    MAX_TIME,
    ZERO_HASH,
    BlockType,
    Body,
    Delegation,
    DeviceAdd,
    DeviceKeys,
    DeviceRevoke,
    Purpose,
    UserCreate,
    delegate,
)
from ledger.format.identity import IdentityToken, Opening
from ledger.format.keys import SigningKey
from ledger.seal.boxes import BOX_BYTES, box_root
from tests.support.actors import LogActor

CREATES, ADDS = 0.30, 0.50
MAX_DEVICES = 12


@dataclass(frozen=True, slots=True)
class Made:
    """A block with what comes along, and how many signatures it takes to check it."""

    raw: bytes
    boxes: tuple[bytes, ...]
    signatures: int
    token: IdentityToken | None = None

    @property
    def opening(self) -> Opening | None:
        return self.token.opening if self.token else None


@dataclass(slots=True)
class _Person:
    label: bytes
    head: bytes = ZERO_HASH
    seq: int = 0
    devices: list[tuple[SigningKey, bytes]] = field(default_factory=list)


class Population:
    """Users who write blocks in rounds; nobody writes twice in a round."""

    def __init__(self, log: LogActor, seed: int = 1, identifiers: bool = False) -> None:
        self._log = log
        self._random = random.Random(seed)
        self.identifiers = identifiers
        self._people: list[_Person] = []

    def __len__(self) -> int:
        return len(self._people)

    def creates(self, count: int, anchor: Anchor) -> list[Made]:
        """`count` new users."""
        return [self._create(anchor) for _ in range(count)]

    def round(self, count: int, anchor: Anchor) -> list[Made]:
        """`count` blocks in the workload's shares, of distinct users, all with this anchor."""
        writers = self._random.sample(self._people, min(len(self._people), 3 * count))
        adds, creates = round(count * ADDS), round(count * CREATES)
        revoking = [p for p in writers if len(p.devices) > 1][: count - adds - creates]
        made = [self._revoke(person, anchor) for person in revoking]
        busy = {person.label for person in revoking}
        adding = [p for p in writers if p.label not in busy and len(p.devices) < MAX_DEVICES]
        made += [self._add(person, anchor) for person in adding[: count - creates - len(made)]]
        made += self.creates(count - len(made), anchor)
        self._random.shuffle(made)
        return made

    def _create(self, anchor: Anchor) -> Made:
        nonce, identifier = self._bytes(32), f"user-{len(self._people)}@example.org"
        opening = Opening(nonce, identifier)
        person = _Person(self._log.label(identifier) if self.identifiers else self._bytes(32))
        ephemeral = SigningKey(self._bytes(32))
        raw_delegation = delegate(
            self._log.enrolment,
            self._log.log_id,
            Purpose.CREATE,
            opening.commitment,
            ephemeral.public,
            epoch=0,
            expiry=MAX_TIME,
        )
        signing, keys = self._device()
        root, boxes = self._boxes([keys.encryption])
        person.devices.append((signing, keys.encryption))
        self._people.append(person)
        body = UserCreate(Delegation.parse(raw_delegation), keys, self._x25519(), root)
        raw = self._write(BlockType.USER_CREATE, person, anchor, body, [ephemeral, signing])
        token = IdentityToken(self._log.log_id, opening, body.delegation, ephemeral)
        return Made(raw, boxes, 3, token)

    def _add(self, person: _Person, anchor: Anchor) -> Made:
        signing, keys = self._device()
        root, boxes = self._boxes([keys.encryption])
        author = person.devices[0][0]
        person.devices.append((signing, keys.encryption))
        body = DeviceAdd(author.public, keys, root)
        raw = self._write(BlockType.DEVICE_ADD, person, anchor, body, [author, signing])
        return Made(raw, boxes, 2)

    def _revoke(self, person: _Person, anchor: Anchor) -> Made:
        leaving, _ = person.devices.pop(0)
        author, user_key = person.devices[0][0], self._x25519()
        root, boxes = self._boxes([*(key for _, key in person.devices), user_key])
        body = DeviceRevoke(author.public, (leaving.public,), user_key, root)
        raw = self._write(BlockType.DEVICE_REVOKE, person, anchor, body, [author])
        return Made(raw, boxes, 1)

    def _write(
        self,
        kind: BlockType,
        person: _Person,
        anchor: Anchor,
        body: Body,
        signers: Sequence[SigningKey],
    ) -> bytes:
        raw = block.write(
            kind,
            person.label,
            person.seq,
            person.head,
            anchor,
            body,
            signers=signers,
            log_id=self._log.log_id,
        )
        person.seq, person.head = person.seq + 1, block.parse(raw).hash
        return raw

    def _device(self) -> tuple[SigningKey, DeviceKeys]:
        signing = SigningKey(self._bytes(32))
        return signing, DeviceKeys(signing.public, self._x25519(), 0)

    def _boxes(self, recipients: Sequence[bytes]) -> tuple[bytes, tuple[bytes, ...]]:
        boxes = tuple(self._bytes(BOX_BYTES) for _ in recipients)
        return box_root(recipients, boxes), boxes

    def _x25519(self) -> bytes:
        return self._bytes(31) + b"\x01"

    def _bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)
