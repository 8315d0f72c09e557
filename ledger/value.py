"""Values: frozen, slotted dataclasses that are made by the hundred thousand.

>>> @value
... class Place:
...     size: int
...     root: bytes
>>> Place(5, b"r") == Place(5, b"r")
True
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def value(cls: type[T]) -> type[T]:
    """Make `cls` a dataclass that mypy takes for frozen, and whose instances are cheap to make.

    To whoever checks types it is `@dataclass(frozen=True, slots=True)`. At runtime nothing stops an
    assignment: what does so makes each field of a new instance cost 0.15 us, which was 15 us a
    block on its way through the sequencer.
    """
    return dataclass(slots=True, unsafe_hash=True)(cls)
