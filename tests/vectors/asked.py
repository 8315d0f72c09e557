"""Saved lookups for cases of kind `lookup`: honest ones, bent ones, and those of a log that lies.

Who lies tells another thing of a chain, from which state, directory, tree and signatures follow as
whoever forgot the rule would have it (`relinked`). What is bent is changed in an honest bundle,
field by field (`bent`); the places of fields are named below.

>>> town = Town.make()
>>> case = town.given(town.teller)
>>> sorted(case)
['auditors', 'identifier', 'log_id', 'lookup', 'now']
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import cbor2

from ledger.format import block as blocks
from ledger.format import entry
from ledger.format.bodies import Limits
from ledger.format.lookup import Link, LookupRequest, Mode, Query, Saved
from ledger.rules.state import Chain
from tests.support.actors import NOW, User
from tests.support.lookups import Auditor, Teller
from tests.support.variants import at, put
from tests.vectors import lenient
from tests.vectors.case import Json
from tests.vectors.world import ADA, BOB, World

VERSION, MODE, CHECKPOINT, FIRST, LAST, INCLUSION, CONSISTENCY, LOG, ANSWERS = range(9)
ANSWER = (ANSWERS, 0)
LABEL, VRF_PROOF, OPENING, CHAIN, STATE, ANCHORED = ((*ANSWER, at) for at in range(6))
LENGTH, ACCUMULATOR, DIGEST, PROOF, LINKS = ((*CHAIN, at) for at in range(5))
"""Places in a bundle."""

AUDITORS = tuple(map(Auditor.make, ("first", "second", "third")))
FIRST_TWO = AUDITORS[:2]
POLICY = b"".join(
    [
        *(b"witness %d %s\n" % (n, one.verifier.vkey.encode()) for n, one in enumerate(AUDITORS)),
        b"group auditors 2 0 1 2\nquorum auditors\n",
    ]
)
"""Two of three auditors."""

Change = tuple[tuple[int, ...], Any]


@dataclass(frozen=True, slots=True)
class Town:
    """A log with Ada, who has two devices, Bob, and a policy between Ada's blocks.

    `early` tells of the log before the policy and Ada's second block, when she was `young`.
    """

    world: World
    young: User
    ada: User
    bob: User
    early: Teller
    teller: Teller

    @classmethod
    def make(cls) -> Town:
        world = World()
        young, bob = world.create(ADA), world.create(BOB)
        early = teller_of(world, young, bob)
        world.admit_policy(world.actor.policy(world.anchor, limits=Limits(max_devices=3)))
        ada = world.admit(young.add(world.anchor))
        return cls(world, young, ada, bob, early, teller_of(world, ada, bob))

    @property
    def links(self) -> tuple[Link, ...]:
        """Ada's two blocks."""
        return self.teller.told[self.ada.label].links

    def given(
        self,
        told: Teller | bytes,
        identifier: str = ADA,
        *changes: Change,
        mode: int = Mode.REPLAY,
        auditors: bytes | None = None,
        now: int = NOW,
    ) -> dict[str, Json]:
        """The input of a case: a lookup, or a bundle, and who judges it."""
        data = asked(told, identifier, mode) if isinstance(told, Teller) else told
        saved = Saved(self.world.actor.log_id, identifier, bent(data, *changes)).encode()
        return {
            "lookup": saved.hex(),
            "log_id": self.world.actor.log_id.hex(),
            "identifier": identifier,
            "auditors": None if auditors is None else auditors.hex(),
            "now": now,
        }

    def audited(
        self, told: Teller | bytes, identifier: str = ADA, *changes: Change
    ) -> dict[str, Json]:
        """The same in audited mode, cosigned by two of three auditors."""
        if isinstance(told, Teller):
            told = told.lying(auditors=FIRST_TWO)
        mode = Mode.AUDITED
        return self.given(told, identifier, *changes, mode=mode, auditors=POLICY)


@cache
def town() -> Town:
    return Town.make()


def teller_of(world: World, *users: User) -> Teller:
    """Who tells the truth about a log."""
    return Teller.honest(world.actor, world.log, {user.label: user.opening for user in users})


def asked(teller: Teller, of: str | bytes, mode: int = Mode.REPLAY) -> bytes:
    """What is answered to somebody who holds nothing."""
    return teller.answer(LookupRequest(bytes(32), mode, 0, 0, (Query(of),)))


def bent(bundle: bytes, *changes: Change) -> bytes:
    """A bundle with other values at these places."""
    value = cbor2.loads(bundle)
    for path, to in changes:
        value = put(value, path, to)
    return cbor2.dumps(value) if changes else bundle


def field(bundle: bytes, path: tuple[int, ...]) -> Any:
    """What stands at a place of a bundle."""
    return at(cbor2.loads(bundle), path)


def relinked(teller: Teller, label: bytes, *links: Link) -> Teller:
    """Another chain, with the state that a careless reader makes of it."""
    chains: dict[bytes, Chain] = {}
    for link in links:
        item = entry.parse(link.entry)
        block = replace(blocks.parse(item.body), label=label)
        lenient.advance(chains, block, link.index, item.time, link.entry)
    return teller.telling(label, links=links, state=chains[label].encoded)


def with_block(link: Link, raw: bytes) -> Link:
    """Another block at the same leaf."""
    return Link(link.index, entry.block(entry.parse(link.entry).time, raw))
