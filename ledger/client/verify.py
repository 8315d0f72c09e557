"""What a client that replays everything believes of a log. Pure: R-61, and replay (40-, 50-).

A log proves what it says in this order:

    first_block(entry, log_id)            the first block is the one that the log id names
    open_claim(note, log, head, held)     a checkpoint, signed by that log, not behind `held`
    follow(view, claim, entries, proof)   every entry, by every rule, to a tree that it covers
    check_not_ahead, check_age            its time, against this machine's clock

Whoever gets past all of it holds a tree that continues the one held before: the new root was
reached by appending to the old tree, which is the strongest consistency proof there is. What fails
raises `LogMisbehaved`, with the bytes that contradict each other.

>>> claim = open_claim(note, log, view.head, held)               # doctest: +SKIP
>>> for commit in follow(view, claim, entries):                  # doctest: +SKIP
...     replica.apply(commit)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from ledger.errors import BadSignature, LogMisbehaved, MalformedInput, NotFresh, RuleViolation
from ledger.format import block as blocks
from ledger.format import checkpoint as checkpoints
from ledger.format import entry
from ledger.format.note import ED25519, Verifier, parse_note
from ledger.log.commit import Commit, Head
from ledger.log.planner import View
from ledger.log.replay import Check, batches, replay
from ledger.rules import table
from ledger.rules.state import LogState
from ledger.tree.merkle import leaf_hash, verify_consistency, verify_inclusion

MAX_AHEAD = 300_000
"""R-61.3: how far, in ms, a log's time may be ahead of this machine's."""

MIN_SIZE = 2
"""R-61.4: a first block, and the directory root that ends its batch."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A checkpoint that the log signed: `note` as it was received, and what it says.

    `accepted` is the one that was held when it came, for the evidence.
    """

    note: bytes
    size: int
    root: bytes
    accepted: bytes = b""

    @property
    def evidence(self) -> dict[str, bytes]:
        """The notes that show what the log said, should it contradict itself."""
        held = {"accepted": self.accepted} if self.accepted else {}
        return {"checkpoint": self.note, **held}


def first_block(data: bytes, log_id: bytes) -> LogState:
    """What the entry of leaf 0 founds, if its block is the one that `log_id` names (R-61.1)."""
    evidence = {"entry": data}
    try:
        item = entry.parse(data)
        block = blocks.parse(item.body)
        if block.hash != log_id:
            raise LogMisbehaved("R-61.1", "the first block is not this log's", evidence)
        return table.found(block, item.time)
    except (MalformedInput, RuleViolation) as error:
        raise LogMisbehaved(error.rule, error.detail, evidence) from error


def size_claimed(note: bytes) -> int:
    """The size in a checkpoint whose signature can't be judged yet: enough to fetch leaf 0."""
    try:
        size = checkpoints.parse(parse_note(note).text).size
    except MalformedInput as error:
        raise LogMisbehaved("R-61.1", str(error), {"checkpoint": note}) from error
    if size < MIN_SIZE:
        raise too_small(size, note)
    return size


def too_small(size: int, note: bytes) -> LogMisbehaved:
    """What a checkpoint of less than a batch is (R-61.4)."""
    return LogMisbehaved("R-61.4", f"a tree of size {size} was published", {"checkpoint": note})


def open_claim(note: bytes, log: LogState, head: Head, held: bytes = b"") -> Claim:
    """The checkpoint in `note`, judged by the log's keys and by what was accepted before.

    `head` is the end of the tree accepted before, `held` its checkpoint (for the evidence).
    """
    return against(_signed(note, log), head, held)


def against(claim: Claim, head: Head, held: bytes) -> Claim:
    """`claim`, if it does not contradict what was accepted before (R-61.2)."""
    claim = replace(claim, accepted=held)
    if claim.size < head.size:
        detail = f"rollback: the tree had {head.size} entries, now {claim.size}"
        raise LogMisbehaved("R-61.2", detail, claim.evidence)
    if claim.size == head.size and claim.root != head.root:
        raise LogMisbehaved("R-61.2", f"two roots for a tree of size {head.size}", claim.evidence)
    return claim


def _signed(note: bytes, log: LogState) -> Claim:
    """R-61.1, R-61.4. An unsigned note is no more this log's word than another log's."""
    try:
        found = checkpoints.open_checkpoint(note, verifier_of(log))
    except (MalformedInput, BadSignature) as error:
        raise LogMisbehaved("R-61.1", str(error), {"checkpoint": note}) from error
    if found.size < MIN_SIZE:
        raise too_small(found.size, note)
    return Claim(note, found.size, found.root)


def verifier_of(log: LogState) -> Verifier:
    """The key that signs a log's checkpoints. Raises `MalformedInput` (R-60.5, R-15.1)."""
    return _verifier(log.origin, log.log_key)


@lru_cache(8)
def _verifier(origin: str, log_key: bytes) -> Verifier:
    return Verifier(origin, ED25519, log_key)


def whole(entries: Sequence[bytes]) -> int:
    """How many of `entries` make whole batches (R-42.2). `follow` takes no others."""
    for count in range(len(entries), 0, -1):
        if entries[count - 1][:2] == b"\x83\x01":  # an array of three, of kind 1
            return count
    return 0


def follow(
    view: View,
    claim: Claim,
    entries: Iterable[bytes],
    proof: Sequence[bytes] = (),
    check: Check = blocks.verify,
) -> Iterator[Commit]:
    """Replay `entries`, which follow the head of `view`, towards the tree of `claim`.

    Each commit must be applied to `view` before the next is asked for, and all of them undone if
    the iteration ends in an error: only its regular end says that they lie under the checkpoint.
    For that, `proof` is the consistency proof from the last batch to the claim's tree, and empty if
    they reach it.
    """
    try:
        for batch in batches(entries):
            yield replay(view, batch, check)
        _confirm(view.head, claim, proof)
    except LogMisbehaved as error:
        evidence = claim.evidence | error.evidence
        raise LogMisbehaved(error.rule, error.detail, evidence) from error


def _confirm(head: Head, claim: Claim, proof: Sequence[bytes]) -> None:
    """R-61.2: the replayed tree is the claimed one, or a proven beginning of it."""
    try:
        verify_consistency(head.size, claim.size, proof, head.root, claim.root)
    except MalformedInput as error:
        detail = f"the entries do not lead to the checkpoint: {error.detail}"
        raise LogMisbehaved("R-61.2", detail) from error


def check_not_ahead(head: Head, now: int, note: bytes) -> None:
    """R-61.3: the time of the last entry under `note` is at most 5 minutes after `now` (ms)."""
    if head.time - now > MAX_AHEAD:
        detail = f"the last entry is {_seconds(head.time - now)} ahead of this machine's clock"
        raise NotFresh("R-61.3", detail, {"checkpoint": note})


def check_age(head: Head, now: int, max_age: int, note: bytes) -> None:
    """R-61.3: the time of the last entry under `note` is at most `max_age` before `now` (ms)."""
    if now - head.time > max_age:
        detail = (
            f"the last entry is {_seconds(now - head.time)} old by this machine's clock, "
            f"{_seconds(max_age)} allowed: the log stands still, or is being withheld"
        )
        raise NotFresh("R-61.3", detail, {"checkpoint": note})


def _seconds(duration: int) -> str:
    return f"{duration / 1000:.0f} s"


def check_admission(
    note: bytes, log: LogState, raw: bytes, index: int, time: int, proof: Sequence[bytes]
) -> Claim:
    """The checkpoint in `note`, if the log proves under it that `raw` is its leaf `index`."""
    claim = _signed(note, log)
    try:
        leaf = leaf_hash(entry.block(time, raw))
        verify_inclusion(leaf, index, claim.size, proof, claim.root)
    except MalformedInput as error:
        evidence = {"checkpoint": note, "block": raw}
        raise LogMisbehaved(error.rule, error.detail, evidence) from error
    return claim
