"""Whether the files of a place still are what they were: data, for a person to look at. Pure.

A place has its account (secret keys) and what it saw of the log. Each remembers a little of the
other, so that losing one, or an older copy of it, is noticed; and of each block that a device here
signed, what was seen remembers that, before the block leaves. So when the log shows one of which it
does not, then either all files are an older copy, or somebody else has the keys.

What is remembered is written after what it is about: a crash between the two, or another process at
work, makes no doubt. Nothing here accuses the log.

>>> for doubt in me.doubts:                                      # doctest: +SKIP
...     print(doubt.advice)
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import IntEnum

STORE_ID_BYTES = 16


class Cause(IntEnum):
    """What is in doubt."""

    SEEN_LOST = 0
    SEEN_OLDER = 1
    KEYS_LOST = 2
    WRITTEN_ELSEWHERE = 3


_ADVICE = {
    Cause.SEEN_LOST: "what was seen of the log here is gone: look at your contacts again before you"
    " seal anything, and compare the checkpoint with somebody else's",
    Cause.SEEN_OLDER: "what was seen of the log here is an older copy: look again at what you"
    " accepted since, and compare the checkpoint with somebody else's",
    Cause.KEYS_LOST: "a device's keys that were here are gone, the account being an older copy:"
    " revoke that device, unless you can put the newer file back",
    Cause.WRITTEN_ELSEWHERE: "a device of this place signed a block that this place never wrote: if"
    " the files here were not put back from a copy, somebody else has its keys: revoke it from"
    " another device",
}


@dataclass(frozen=True, slots=True)
class Doubt:
    """Something that does not fit. `about` is the device's signing key, the entry, or empty."""

    cause: Cause
    about: bytes = b""

    @property
    def advice(self) -> str:
        """What it may mean, and what to do next."""
        return _ADVICE[self.cause]


@dataclass(frozen=True, slots=True)
class Mark:
    """How far the log was seen: in which file (its random id), the tree's size and root."""

    store: bytes
    size: int
    root: bytes


def newer(mark: Mark | None, seen: Mark) -> Mark:
    """What to remember from now on: another process may have remembered more."""
    ahead = mark and mark.store == seen.store and mark.size >= seen.size
    return mark if mark and ahead else seen


def compared(mark: Mark | None, seen: Mark) -> list[Doubt]:
    """Whether what is seen now, read after the mark, is less than what the mark remembers."""
    if mark is None or mark == seen:
        return []
    if mark.store != seen.store:
        return [Doubt(Cause.SEEN_LOST)]
    if mark.size < seen.size:
        return []
    return [Doubt(Cause.SEEN_OLDER)]


def missing(remembered: Collection[bytes], keys: Collection[bytes]) -> list[Doubt]:
    """Devices that were here when it was remembered, and whose keys, read after that, are not."""
    return [Doubt(Cause.KEYS_LOST, key) for key in sorted(set(remembered) - set(keys))]
