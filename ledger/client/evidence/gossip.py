"""Comparing checkpoints with others: who was shown another history finds out (60-checkpoints).

>>> own = home.accepted(log_id)[-1]                              # doctest: +SKIP
>>> other = checkpoint_of(data, own.log)
>>> found = await compare(own, other, transport)
>>> found.verdict, found.proof

Two checkpoints of an honest log always agree. Of two that don't, both signed by its key, an
evidence file convinces everybody (80-evidence). The proof between them is asked of one's own
server, in its own tree; one that gives none leaves it open.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from ledger.client import verify
from ledger.client.evidence.inquiry import Proofs, Tree
from ledger.client.policy import Policy
from ledger.client.verify import Claim
from ledger.errors import KeyrollError, UsageError
from ledger.format.evidence import Evidence
from ledger.format.note import MAX_NOTE_BYTES
from ledger.rules.state import LogState


class Verdict(Enum):
    """What two checkpoints say of each other."""

    CONSISTENT = "consistent"
    FORK = "fork"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Accepted:
    """The newest checkpoint that was accepted here, of the log whose entry 0 is `first`."""

    first: bytes
    log: LogState
    claim: Claim


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came of it. `own` may be newer than what was accepted; of a fork there is the proof."""

    verdict: Verdict
    own: Claim
    other: Claim
    reason: str
    proof: bytes | None = None


class Server(Proofs, Protocol):
    """Who is asked."""

    async def checkpoint(self) -> bytes:
        """The newest checkpoint that the server shows: a signed note."""


def checkpoint_of(data: bytes, log: LogState) -> Claim:
    """The checkpoint in `data`. Raises `UsageError` unless this log signed it."""
    try:
        return verify.signed(data[: MAX_NOTE_BYTES + 1], log, Policy(), 0)
    except KeyrollError as error:
        raise UsageError(f"this is no checkpoint of {log.origin}: {error}") from error


async def compare(own: Accepted, other: Claim, server: Server) -> Comparison:
    """Whether `other` and what was accepted here can both be true."""
    claim = own.claim
    try:
        if other.size > claim.size:
            newest = checkpoint_of(await server.checkpoint(), own.log)
            if newest.size > claim.size:
                found = await _judged(own, claim, newest, server)
                if found.verdict == Verdict.FORK:
                    return found
                claim = newest
        return await _judged(own, claim, other, server)
    except KeyrollError as error:
        return Comparison(Verdict.UNDECIDED, claim, other, _what_to_do(claim, other, error))


async def _judged(own: Accepted, claim: Claim, other: Claim, server: Server) -> Comparison:
    """The same, by a consistency proof in the tree of the larger one."""
    older, newer = sorted((claim, other), key=lambda one: (one.size, one.root))
    fork = await Tree(server, newer, own.first).fork_from(older)
    if fork is None:
        return Comparison(Verdict.CONSISTENT, claim, other, "both are of one history")
    reason = f"the log signed two histories: the trees differ within the first {older.size} entries"
    return Comparison(Verdict.FORK, claim, other, reason, Evidence(own.first, fork).encode())


def _what_to_do(own: Claim, other: Claim, error: KeyrollError) -> str:
    """A sentence for what could not be told."""
    if own.size < other.size:
        return (
            f"your server proves no tree of size {other.size} to you: compare again later, or have "
            "the other side compare yours (keyroll checkpoint export)"
        )
    return (
        f"your server does not prove how its tree began ({error}): try again; if it stays so, "
        "believe it no more, and have the other side compare yours (keyroll checkpoint export)"
    )
