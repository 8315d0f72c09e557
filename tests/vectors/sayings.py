"""Statements that say something else than their author's actor would: `restate` changes one.

>>> from ledger.format.statement import Role
>>> world = World()
>>> ada = world.create()
>>> written = Group.create("team", world.anchor, ada, {ada: Role.ADMIN})
>>> restate(world, written, world.said(written).at(SALT, to=bytes(32))).raw == written.raw
False
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

from ledger.format.statement import Put, commitment
from ledger.rules.membership import Membership
from tests.support.actors import Written
from tests.support.groups import Group, changed
from tests.vectors.draft import Draft
from tests.vectors.world import World

SALT, GROUP, SEQ, PREV, ANCHOR, AUTHOR, SIGNING, ENCRYPTION, BOX_ROOT = range(9)
ACTION, REMOVED, PUT, MEMBERSHIP = range(9, 13)
"""The places of a statement's fields."""


def recount(draft: Draft, before: Membership) -> Draft:
    """The statement with the membership that a careless reader makes of it."""
    puts = [Put(*entry) for entry in draft.value[PUT]]
    size = draft.value[ANCHOR][0]
    after = changed(before, puts, draft.value[REMOVED], size)
    return draft.at(MEMBERSHIP, to=after.hash)


def restate(world: World, written: Written[Group], statement: Draft | bytes) -> Written[Group]:
    """The block around another statement, signed again by the group's keys."""
    raw = statement.raw if isinstance(statement, Draft) else statement
    return committed(world, replace(written, statement=raw), commitment(raw))


def committed(world: World, written: Written[Group], to: bytes) -> Written[Group]:
    """The block with another commitment."""
    raw = world.draft(written).at(6, 0, to=to).raw
    return replace(written, raw=raw, after=replace(written.after, head=sha256(raw).digest()))
