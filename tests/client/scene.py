"""A small log with a group in it, whose operator asks nothing of statements."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ledger.client.group.groups import (
    Deed,
    Resolved,
    resolve,
)
from ledger.client.history import Step, history, log_history
from ledger.format.block import LOG_LABEL
from ledger.format.statement import Role
from ledger.rules.state import Chain
from tests.support.actors import LogActor, User, Written
from tests.support.groups import Group
from tests.support.memory import MemoryLog

ADMIN, MEMBER, GROUP = Role.ADMIN, Role.MEMBER, Role.GROUP


@dataclass
class Scene:
    """A log that takes any block with good signatures, and the statements that came along."""

    actor: LogActor
    log: MemoryLog
    ada: User
    bob: User
    eve: User
    team: Group
    statements: dict[bytes, list[bytes]] = field(default_factory=dict)

    @classmethod
    def make(cls) -> Scene:
        """Ada, an admin; Bob, a member; Eve, who is not in."""
        founding = LogActor.make()
        actor, log = founding.after, MemoryLog(founding.raw)
        people = [
            User.create(actor, name, log.anchor, label=name[:1].encode() * 32)
            for name in ("ada", "bob", "eve")
        ]
        log.admit([written.raw for written in people])
        ada, bob, eve = (written.after for written in people)
        team = Group.create("team", log.anchor, ada, {ada: ADMIN, bob: MEMBER})
        scene = cls(actor, log, ada, bob, eve, team.after)
        scene.admit(team)
        return scene

    def admit(self, written: Written[Any]) -> Any:
        """Let a block into the log; who wrote it, after it."""
        self.log.admit([written.raw])
        if written.statement:
            self.statements.setdefault(written.block.label, []).append(written.statement)
        return written.after

    def update(self, author: User, put: dict[Any, Role] | None = None, **more: Any) -> None:
        """An update of the team by `author`, whether or not they may."""
        self.team = self.admit(self.team.update(self.log.anchor, author, put, **more))

    def steps(self, label: bytes) -> list[Step]:
        return list(history(self.log_states, self.log.log_id, self._entries(label)))

    @property
    def log_states(self) -> list[Any]:
        return log_history(self.log.log_id, self._entries(LOG_LABEL))

    def before(self, label: bytes, index: int) -> Chain | None:
        chains = [step.chain for step in self.steps(label) if step.index < index]
        return chains[-1] if chains else None

    def deeds(self, known: Resolved | None = None, statements: Any = None) -> list[Deed]:
        """What the team's statements, or others, resolve to."""
        start = known.chain.length if known else 0
        given = self.statements[self.team.label] if statements is None else statements
        steps = self.steps(self.team.label)[start:]
        states, log_id = self.log_states, self.log.log_id
        return list(resolve(known, steps, given[start:], states, log_id, self.before))

    def _entries(self, label: bytes) -> list[tuple[int, bytes]]:
        return [(index, self.log.entries[index]) for index in self.log.blocks_of(label)]
