"""A user's chain as a person would keep it in mind: what each operation does, and what it may not.

It knows nothing of bytes, trees or hashes, and predicts which rule refuses an honest operation.

>>> model = Model()
>>> model.advance("create", {"s0", "e0", "u0"}, day=1)
>>> model.refusal(Limits(max_devices=1), day=1, adding=True)
'R-53.4'
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from ledger.format.bodies import Limits

Key = TypeVar("Key")


@dataclass(slots=True)
class Model(Generic[Key]):
    """`live` are the devices' keys and the user key, `gone` those that were."""

    length: int = 0
    devices: int = 0
    epoch: int = 0
    generation: int = 0
    live: set[Key] = field(default_factory=set)
    gone: set[Key] = field(default_factory=set)
    day: int = 0
    count: int = 0

    @property
    def closed(self) -> bool:
        return not self.devices

    def refusal(
        self, limits: Limits, day: int, *, adding: bool = False, revoking: bool = False
    ) -> str:
        """The rule that refuses an honest block, the one that the rules ask first. Else ''."""
        if adding and self.devices >= limits.max_devices:
            return "R-53.4"
        if revoking and len(self.gone) > limits.max_retired:
            return "R-53.6"
        if day == self.day and self.count >= limits.max_blocks_per_day:
            return "R-53.7"
        return ""

    def advance(
        self, what: str, entering: Collection[Key], day: int, leaving: Collection[Key] = ()
    ) -> None:
        """Takes over an admitted block. `leaving` are a revocation's keys, the user key too."""
        out = set(self.live) if what in ("reset", "close") else set(leaving)
        self.gone |= out
        self.live = (self.live - out) | set(entering)
        self.devices = {
            "create": 1,
            "add": self.devices + 1,
            "revoke": self.devices - len(leaving) // 2,
            "reset": 1,
            "close": 0,
        }[what]
        self.epoch += what == "reset"
        self.generation += what in ("reset", "revoke")
        self.length += 1
        self.count = self.count + 1 if day == self.day else 1
        self.day = day
