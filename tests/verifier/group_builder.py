"""Groups for logs built by hand, straight from specs 50 and 56.

    team = Group(log)
    log.batch(team.create(alice, {bob.label: [0, 0]}))       # epoch and role by label
    log.batch(team.update(alice, removed=[bob.label], rotates=True))
    log.statements                                           # by leaf index

Every draft takes overrides, to break one thing: `said`, fields of the statement by name; `body`,
those of the block; and what `BuiltLog.next` takes. A draft that is thrown away changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import cbor2
from nacl.signing import SigningKey

from tests.verifier.builder import (
    DAY,
    ZERO,
    BuiltLog,
    Device,
    Draft,
    State,
    User,
    day,
    envelope,
    public,
)

FLAT, COMPOUND = range(2)
MEMBER, ADMIN, GROUP = range(3)
CREATE, UPDATE, CLOSE = 7, 8, 9
CONTEXT = b"keyroll/v1/statement"
BODY = ("commitment", "signing", "encryption", "box_root")
TERMS = (
    *("salt", "group", "seq", "prev", "anchor", "author", "signing", "encryption", "box_root"),
    *("action", "removed", "put", "membership"),
)

Members = dict[bytes, list[int]]  # epoch, role, joined


def digest(kind: int, members: Members) -> bytes:
    rows = [[label, *members[label]] for label in sorted(members)]
    return sha256(b"\x09" + cbor2.dumps([kind, rows])).digest()


@dataclass(slots=True)
class Keys:
    signing: SigningKey
    encryption: bytes

    @property
    def public(self) -> list[bytes]:
        return [public(self.signing), self.encryption]


@dataclass(slots=True)
class Group:
    """An honest group. `keys` are those of its newest admitted block."""

    log: BuiltLog
    kind: int = FLAT
    keys: Keys = field(init=False)
    label: bytes = field(init=False)
    members: Members = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.keys = self.fresh()
        self.label = sha256(b"\x07" + public(self.keys.signing)).digest()

    def fresh(self) -> Keys:
        return Keys(self.log.keys.ed25519(), self.log.keys.x25519())

    def create(
        self, author: User, put: Mapping[bytes, list[int]] | None = None, **changes: Any
    ) -> Draft:
        """The author is an admin unless `put` says otherwise."""
        put = {author.label: [epoch(author), ADMIN]} | dict(put or {})
        return self._draft(CREATE, author, put, action=self.kind, **changes)

    def update(
        self, author: User, put: Mapping[bytes, list[int]] | None = None, **changes: Any
    ) -> Draft:
        return self._draft(UPDATE, author, put or {}, action=2, **changes)

    def close(self, author: User, **changes: Any) -> Draft:
        return self._draft(CLOSE, author, changes.pop("put", {}), action=3, **changes)

    def _draft(
        self,
        type_: int,
        author: User,
        put: Mapping[bytes, list[int]],
        *,
        action: int,
        removed: Collection[bytes] = (),
        rotates: bool = False,
        keys: Keys | None = None,
        device: Device | None = None,
        said: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        statement: bytes | None = None,
        signers: Sequence[SigningKey] | None = None,
        context: bytes = CONTEXT,
        **frame: Any,
    ) -> Draft:
        log, old, chain = self.log, self.keys, self.log.chains.get(self.label)
        keys = keys or (self.fresh() if rotates else old)
        anchor = frame.setdefault("anchor", log.anchor())
        members = changed(self.members, put, removed, anchor[0])
        shown = [*keys.public, ZERO if type_ == CLOSE else log.keys.raw()]
        change = [sorted(removed), [[label, *put[label]] for label in sorted(put)]]
        place = [
            self.label,
            chain.length if chain else 0,
            chain.state[1] if chain else ZERO,
            anchor,
        ]
        result = [action, *change, digest(self.kind, members)]
        terms = [log.keys.raw(), *place, author.label, *shown, *result]
        told = statement or envelope(
            cbor2.dumps(list((dict(zip(TERMS, terms, strict=True)) | dict(said or {})).values())),
            [(device or author.devices[0]).signing],
            context,
            log.log_id,
        )
        fields = dict(zip(BODY, [sha256(b"\x08" + told).digest(), *shown], strict=True))
        fields |= dict(body or {})
        honest = [old.signing] if keys.signing == old.signing else [old.signing, keys.signing]
        content = list(fields.values())[: 1 if type_ == CLOSE else 4]
        data = log.next(self.label, type_, content, signers or honest, frame)
        before = chain.state if chain else None

        def after(index: int, time: int) -> State:
            self.keys, self.members = keys, members
            log.statements[index] = told
            return state_after(type_, before, data, fields, (index, time, anchor[0]))

        return Draft(data, self.label, after)


def state_after(
    type_: int, old: State | None, data: bytes, body: Mapping[str, Any], at: tuple[int, int, int]
) -> State:
    """The group's state: specs 50."""
    index, time, anchor = at
    head, keys = sha256(data).digest(), [body["signing"], body["encryption"]]
    if old is None:
        return [2, head, index, time, 0, *keys, index, anchor, b"", *day(None, time)]
    count = old[11] + 1 if old[10] == time // DAY else 1
    now, retired = [time // DAY, count], old[9] + (old[5] or b"") + (old[6] or b"")
    if type_ == CLOSE:
        return [2, head, index, *old[3:5], None, None, *old[7:9], retired, *now]
    if keys == old[5:7]:
        return [2, head, index, *old[3:10], *now]
    return [2, head, index, old[3], old[4] + 1, *keys, index, anchor, retired, *now]


def changed(
    before: Members, put: Mapping[bytes, list[int]], removed: Collection[bytes], anchor: int
) -> Members:
    after = {label: entry for label, entry in before.items() if label not in removed}
    for label, (passed, role) in put.items():
        old = after.get(label)
        after[label] = [passed, role, old[2] if old and old[0] == passed else anchor]
    return after


def epoch(user: User) -> int:
    return int(user.state[5])
