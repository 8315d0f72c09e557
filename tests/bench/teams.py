"""The groups of the named workload: they are created with some members, then grow and shrink.

Every other update is a rotation that takes out the newest member; the rest put somebody in. As in
`tests.bench.workload`, boxes are random bytes: whoever admits them can't tell.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from ledger.format import block
from ledger.format.block import Anchor
from ledger.format.bodies import ZERO_HASH, BlockType, GroupCreate, GroupUpdate
from ledger.format.keys import SigningKey
from ledger.format.statement import Action, Put, Role, Terms, commitment, sign_statement
from ledger.rules.groups import label_of
from ledger.rules.membership import Kind, Membership, changed
from ledger.seal.boxes import BOX_BYTES, box_root
from tests.bench.made import Made, Person, x25519
from tests.support.actors import LogActor

MEMBERS = 5


@dataclass(slots=True)
class Team:
    """A group, all of whose members are at hand. The first one is its admin."""

    signing: SigningKey
    encryption: bytes
    members: list[Person]
    label: bytes = b""
    membership: Membership = field(default_factory=lambda: Membership(Kind.FLAT, ()))
    head: bytes = ZERO_HASH
    seq: int = 0

    def is_free(self, busy: Collection[bytes]) -> bool:
        """Whether no member's keys change in this round."""
        return not any(member.label in busy for member in self.members)


class Teams:
    """Groups that write blocks, each once a round."""

    def __init__(self, log: LogActor, source: random.Random) -> None:
        self._log = log
        self._random = source
        self._teams: list[Team] = []

    def create(self, members: Sequence[Person], anchor: Anchor) -> Made:
        """A group.create; the first of `members` is the admin."""
        team = Team(self._signing(), x25519(self._random), list(members))
        team.label = label_of(team.signing.public)
        self._teams.append(team)
        return self._write(BlockType.GROUP_CREATE, team, anchor, self._puts(members), ())

    def updates(
        self, count: int, idle: Sequence[Person], busy: Collection[bytes], anchor: Anchor
    ) -> list[Made]:
        """At most `count` group.updates by groups whose members are not `busy`."""
        free = [team for team in self._teams if team.is_free(busy)]
        chosen = self._random.sample(free, min(count, len(free)))
        return [self._update(team, self._random.choice(idle), anchor) for team in chosen]

    def _update(self, team: Team, newcomer: Person, anchor: Anchor) -> Made:
        if team.seq % 2 and all(newcomer is not member for member in team.members):
            team.members.append(newcomer)
            put = (Put(newcomer.label, 0, Role.MEMBER),)
            return self._write(BlockType.GROUP_UPDATE, team, anchor, put, ())
        old = team.signing
        removed = (team.members.pop().label,) if len(team.members) > 1 else ()
        team.signing, team.encryption = self._signing(), x25519(self._random)
        return self._write(BlockType.GROUP_UPDATE, team, anchor, (), removed, old)

    def _write(
        self,
        kind: BlockType,
        team: Team,
        anchor: Anchor,
        put: tuple[Put, ...],
        removed: tuple[bytes, ...],
        old: SigningKey | None = None,
    ) -> Made:
        author = team.members[0].devices[0][0]
        rotates = kind == BlockType.GROUP_CREATE or old is not None
        recipients = self._recipients(team, put, rotates, again=old is not None)
        boxes = tuple(self._random.randbytes(BOX_BYTES) for _ in recipients)
        terms = Terms(
            self._random.randbytes(32),
            team.label,
            team.seq,
            team.head,
            anchor,
            team.members[0].label,
            team.signing.public,
            team.encryption,
            box_root(recipients, boxes),
            Action.CREATE_FLAT if kind == BlockType.GROUP_CREATE else Action.UPDATE,
            removed,
            put,
            ZERO_HASH,
        )
        team.membership = changed(terms, team.membership if team.seq else None)
        terms = replace(terms, membership=team.membership.hash)
        statement = sign_statement(author, self._log.log_id, terms)
        shape = GroupCreate if kind == BlockType.GROUP_CREATE else GroupUpdate
        body = shape(commitment(statement), terms.signing, terms.encryption, terms.box_root)
        signers = [old, team.signing] if old else [team.signing]
        raw = block.write(
            kind,
            team.label,
            team.seq,
            team.head,
            anchor,
            body,
            signers=signers,
            log_id=self._log.log_id,
        )
        team.seq, team.head = team.seq + 1, block.parse(raw).hash
        return Made(raw, boxes, len(signers) + 1, statement=statement)

    def _recipients(
        self, team: Team, put: tuple[Put, ...], rotates: bool, again: bool
    ) -> list[bytes]:
        """The keys that the boxes are for, as 56-groups lists them."""
        ascending = sorted(team.members, key=lambda member: member.label)
        named = {entry.label for entry in put}
        keys = [m.user_key for m in ascending if rotates or m.label in named]
        if rotates:
            keys.append(team.members[0].user_key)
        return [*keys, team.encryption] if again else keys

    def _puts(self, members: Sequence[Person]) -> tuple[Put, ...]:
        roles = [Role.ADMIN, *[Role.MEMBER] * (len(members) - 1)]
        puts = (Put(m.label, 0, role) for m, role in zip(members, roles, strict=True))
        return tuple(sorted(puts, key=lambda put: put.label))

    def _signing(self) -> SigningKey:
        return SigningKey(self._random.randbytes(32))
