"""What a worker sends is what it parsed."""

from __future__ import annotations

import marshal
from collections.abc import Iterator
from typing import Any

from ledger.format.bodies import BlockType
from ledger.format.statement import Role, Statement
from ledger.log.parcel import CLASSES, pack, unpack
from tests.support.actors import LogActor, User, Written
from tests.support.groups import Group, Member
from tests.support.memory import MemoryLog

FOUNDING = LogActor.make()
LOG = FOUNDING.after
ANCHOR = MemoryLog(FOUNDING.raw).anchor


def written() -> Iterator[Written[Any]]:
    """A block of every type, some with a statement."""
    ada, bob = User.create(LOG, "ada", ANCHOR), User.create(LOG, "bob", ANCHOR)
    two = ada.after.add(ANCHOR)
    team = Group.create("team", ANCHOR, ada.after, {ada.after: Role.ADMIN})
    people: dict[Member, Role] = {bob.after: Role.MEMBER, two.after: Role.ADMIN}
    yield from (FOUNDING, LOG.policy(ANCHOR), ada, two, two.after.revoke(ANCHOR, 1))
    yield from (ada.after.reset(LOG, ANCHOR), ada.after.close(ANCHOR))
    yield from (team, team.after.update(ANCHOR, ada.after, people))
    yield team.after.close(ANCHOR, ada.after)


def test_every_block_and_statement_comes_out_as_it_went_in() -> None:
    seen: set[int] = set()
    for one in written():
        seen.add(one.block.type)
        assert unpack(marshal.loads(marshal.dumps(pack(one.block)))) == one.block
        if one.statement:
            statement = Statement.parse(one.statement)
            assert unpack(marshal.loads(marshal.dumps(pack(statement)))) == statement
    assert seen == set(BlockType)


def test_the_classes_are_all_that_blocks_are_made_of() -> None:
    """None too many: each is met."""
    met: set[type] = set()
    for one in written():
        met |= classes_in(one.block)
        met |= classes_in(Statement.parse(one.statement)) if one.statement else set()
    assert met == set(CLASSES)


def classes_in(value: Any) -> set[type]:
    if isinstance(value, tuple):
        return set().union(*map(classes_in, value))
    names = getattr(type(value), "__dataclass_fields__", {})
    inside = set().union(*(classes_in(getattr(value, name)) for name in names))
    return inside | {type(value)} if names else inside
