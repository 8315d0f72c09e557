"""What attacks are written with: `attack` says which row of 85-attacks a function carries out.

>>> @attack("ghost device")                                      # doctest: +SKIP
... async def ghost(stage: Stage) -> list[Catch]:
...     liar = stage.liar()
...     liar.admit(stage.thief.add(liar.anchor))
...     return await stage.all_meet(liar)

It returns who met the lie, and what came of it: a `Catch` each. One who believed the lie is a
`Catch` without a rule, so nobody's silence goes unnoticed.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from tests.attacks.stage import Stage

BELIEVED = "believed"
"""Stands for the rule where somebody was taken in."""

RULE = re.compile(r"R-\d+\.\d+")


@dataclass(frozen=True, slots=True)
class Catch:
    """Who met a lie (client, auditor, …), by which rule it was caught, and the words.

    `evidence` is the file that was written, if one was; `witnesses` the policy to judge it by.
    """

    who: str
    rule: str
    says: str = ""
    evidence: Path | None = None
    witnesses: Path | None = None

    @property
    def is_mute(self) -> bool:
        """Whether a rule was broken and no file was written."""
        return self.rule.startswith("R-") and self.evidence is None


Act: TypeAlias = "Callable[[Stage], Awaitable[list[Catch]]]"

ATTACKS: dict[str, Act] = {}
"""By the name of the row."""


def attack(name: str) -> Callable[[Act], Act]:
    """Register what carries out the row `name` of 85-attacks."""

    def register(act: Act) -> Act:
        assert name not in ATTACKS, f"two attacks are called {name}"
        ATTACKS[name] = act
        return act

    return register
