"""A log with people and a group in it, and who answers lookups over it, honestly or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ledger.client.lookups.light import verify
from ledger.client.lookups.pins import Held, LogView, Outcome, Own, Pin
from ledger.client.policy import Policy
from ledger.format.bodies import Demands, Limits
from ledger.format.lookup import Mode
from ledger.format.statement import Role
from tests.support.actors import NOW, LogActor, User
from tests.support.groups import Group, Member
from tests.support.lookups import Auditor, Teller
from tests.support.memory import MemoryLog
from tests.support.policies import quorum

ADA, BOB, EVE, NOBODY = (f"{name}@example.org" for name in ("ada", "bob", "eve", "nobody"))
AUDITORS = tuple(map(Auditor.make, ("first", "second", "third")))
STRANGER = Auditor.make("stranger")
REPLAY = Policy()
AUDITED = Policy(Mode.AUDITED, auditors=quorum(2, *AUDITORS))
WATCHED = Policy(auditors=AUDITED.auditors)
LATER = NOW + 1_000


@dataclass
class LightWorld:
    """Ada with two devices, Bob, a group of theirs, and a policy between their blocks.

    `tellers` answer over the log as it was after each of its batches.
    """

    actor: LogActor
    log: MemoryLog
    ada: User
    bob: User
    team: Group
    tellers: list[Teller] = field(default_factory=list)

    @classmethod
    def make(cls, origin: str = "example.com/log", demands: Demands | None = None) -> LightWorld:
        founding = LogActor.make(origin, demands=demands)
        actor, log = founding.after, MemoryLog(founding.raw)
        ada = User.create(actor, ADA, log.anchor)
        bob = User.create(actor, BOB, log.anchor)
        log.admit([ada.raw, bob.raw])
        members: dict[Member, Role] = {ada.after: Role.ADMIN, bob.after: Role.MEMBER}
        team = Group.create("team", log.anchor, ada.after, members)
        world = cls(actor, log, ada.after, bob.after, team.after)
        world.admit(team.raw)  # 0: everybody has one block
        policy = actor.policy(log.anchor, limits=Limits(max_devices=9))
        world.admit(policy.raw)  # 1: the log's own chain has two
        world.actor = policy.after
        phone = world.ada.add(log.anchor)
        world.ada = phone.after
        world.admit(phone.raw)  # 2: ada's phone
        return world

    @property
    def teller(self) -> Teller:
        """Who tells the truth now."""
        return self.tellers[-1]

    def admit(self, *raws: bytes, now: int = NOW) -> None:
        self.log.admit(raws, now)
        openings = {user.label: user.opening for user in (self.ada, self.bob)}
        self.tellers.append(Teller.honest(self.actor, self.log, openings, AUDITORS[:2]))

    def held(self, *outcomes: Outcome, own: Own | None = None) -> Held:
        """What is held after these answers."""
        held = Held(LogView(self.log.log_id), own=own)
        for outcome in outcomes:
            held = keep(held, outcome)
        return held

    def ask(
        self,
        *of: str | bytes,
        held: Held | None = None,
        policy: Policy = REPLAY,
        teller: Teller | None = None,
        now: int = LATER,
    ) -> Outcome:
        """The outcome of a lookup, by default at first contact, of what is true now."""
        held = held or self.held()
        asked = held.ask(self.ada.label, policy, of)
        bundle = (teller or self.teller).answer(asked)
        return verify(bundle, asked, held, policy, now)


def keep(held: Held, outcome: Outcome, accept: Sequence[bytes] = ()) -> Held:
    """What is held after an answer, if nothing but these labels is accepted."""
    pins: dict[bytes, Pin] = dict(held.pins)
    absent = dict(held.absent)
    for found in outcome.found:
        if found.pin:
            pins[found.label] = found.pin.accept() if found.label in accept else found.pin
        else:
            absent[found.label] = outcome.view.size
    return Held(outcome.view, pins, held.own, absent=absent)
