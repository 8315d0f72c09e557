"""The named workload, `groups`: 20 % user.create, 40 % device.add, 20 % device.revoke, 10 %
group.create, 10 % group.update, live anchors. The one before there were groups, `users`: 30 %
user.create, 50 % device.add, 20 % device.revoke.

Users and their groups write real blocks, really signed. Labels are random instead of the VRF's, and
boxes and encryption keys are random bytes: whoever admits them can't tell, and does the same work.

>>> people = Population(LogActor.make().after)
>>> made = people.round(10, anchor)               # doctest: +SKIP
>>> sum(m.signatures for m in made)               # doctest: +SKIP
20
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from ledger.format import block
from ledger.format.block import Anchor
from ledger.format.bodies import (
    MAX_TIME,
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
from tests.bench.made import Made, Person, x25519
from tests.bench.teams import MEMBERS, Teams
from tests.support.actors import LogActor

MAX_DEVICES = 12


@dataclass(frozen=True, slots=True)
class Mix:
    """A workload's shares, but for user.create, which has the rest."""

    adds: float
    revokes: float
    groups: float = 0.0
    updates: float = 0.0


MIXES = {"groups": Mix(0.40, 0.20, 0.10, 0.10), "users": Mix(0.50, 0.20)}


class Population:
    """Users who write blocks in rounds; nobody writes twice in a round."""

    def __init__(
        self,
        log: LogActor,
        mix: Mix = MIXES["groups"],
        *,
        seed: int = 1,
        identifiers: bool = False,
    ) -> None:
        self._log = log
        self._mix = mix
        self._random = random.Random(seed)
        self.identifiers = identifiers
        self._people: list[Person] = []
        self._teams = Teams(log, self._random)

    def __len__(self) -> int:
        return len(self._people)

    def creates(self, count: int, anchor: Anchor) -> list[Made]:
        """`count` new users."""
        return [self._create(anchor) for _ in range(count)]

    def round(self, count: int, anchor: Anchor) -> list[Made]:
        """`count` blocks in the workload's shares, of distinct chains, all with this anchor.

        Early on, when there are no devices to revoke and no groups yet, users are created instead.
        """
        writers = self._random.sample(self._people, min(len(self._people), 3 * count))
        revoking = [p for p in writers if len(p.devices) > 1][: round(count * self._mix.revokes)]
        busy = {person.label for person in revoking}
        rest = [p for p in writers if p.label not in busy]
        adding = [p for p in rest if len(p.devices) < MAX_DEVICES][: round(count * self._mix.adds)]
        made = self._teams.updates(round(count * self._mix.updates), rest, busy, anchor)
        created = round(count * self._mix.groups) if rest else 0
        made += [self._team(rest, anchor) for _ in range(created)]
        made += [self._revoke(person, anchor) for person in revoking]
        made += [self._add(person, anchor) for person in adding]
        made += self.creates(count - len(made), anchor)
        self._random.shuffle(made)
        return made

    def _team(self, people: list[Person], anchor: Anchor) -> Made:
        return self._teams.create(self._random.sample(people, min(MEMBERS, len(people))), anchor)

    def _create(self, anchor: Anchor) -> Made:
        nonce, identifier = self._bytes(32), f"user-{len(self._people)}@example.org"
        opening = Opening(nonce, identifier)
        label = self._log.label(identifier) if self.identifiers else self._bytes(32)
        person = Person(label, x25519(self._random))
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
        body = UserCreate(Delegation.parse(raw_delegation), keys, person.user_key, root)
        raw = self._write(BlockType.USER_CREATE, person, anchor, body, [ephemeral, signing])
        token = IdentityToken(self._log.log_id, opening, body.delegation, ephemeral, bytes(32))
        return Made(raw, boxes, 3, token)

    def _add(self, person: Person, anchor: Anchor) -> Made:
        signing, keys = self._device()
        root, boxes = self._boxes([keys.encryption])
        author = person.devices[0][0]
        person.devices.append((signing, keys.encryption))
        body = DeviceAdd(author.public, keys, root)
        raw = self._write(BlockType.DEVICE_ADD, person, anchor, body, [author, signing])
        return Made(raw, boxes, 2)

    def _revoke(self, person: Person, anchor: Anchor) -> Made:
        leaving, _ = person.devices.pop(0)
        author, person.user_key = person.devices[0][0], x25519(self._random)
        root, boxes = self._boxes([*(key for _, key in person.devices), person.user_key])
        body = DeviceRevoke(author.public, (leaving.public,), person.user_key, root)
        raw = self._write(BlockType.DEVICE_REVOKE, person, anchor, body, [author])
        return Made(raw, boxes, 1)

    def _write(
        self,
        kind: BlockType,
        person: Person,
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
        return signing, DeviceKeys(signing.public, x25519(self._random), 0)

    def _boxes(self, recipients: Sequence[bytes]) -> tuple[bytes, tuple[bytes, ...]]:
        boxes = tuple(self._bytes(BOX_BYTES) for _ in recipients)
        return box_root(recipients, boxes), boxes

    def _bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)
