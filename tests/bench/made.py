"""What the named workload is made of: blocks with what comes along, and who writes them."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from ledger.format import block, wire
from ledger.format.bodies import ZERO_HASH
from ledger.format.identity import IdentityToken, Opening
from ledger.format.keys import SigningKey
from ledger.format.statement import Statement
from ledger.log.admission import Submission


@dataclass(frozen=True, slots=True)
class Made:
    """A block with what comes along, and how many signatures it takes to check it."""

    raw: bytes
    boxes: tuple[bytes, ...]
    signatures: int
    token: IdentityToken | None = None
    statement: bytes | None = None

    @property
    def opening(self) -> Opening | None:
        return self.token.opening if self.token else None

    def submission(self) -> wire.Submission:
        """What the sequencer takes."""
        return wire.Submission(self.raw, self.boxes, self.opening, self.statement)

    def parsed(self) -> Submission:
        """What is planned."""
        statement = None if self.statement is None else Statement.parse(self.statement)
        return Submission(block.parse(self.raw), self.boxes, self.opening, statement)


@dataclass(slots=True)
class Person:
    """A user, all of whose devices sit on one desk: signing key, public encryption key."""

    label: bytes
    user_key: bytes
    head: bytes = ZERO_HASH
    seq: int = 0
    devices: list[tuple[SigningKey, bytes]] = field(default_factory=list)


def x25519(source: random.Random) -> bytes:
    """A public key that nobody holds the secret of."""
    return source.randbytes(31) + b"\x01"
