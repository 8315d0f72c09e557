"""What a client that replays everything believes of a log. Pure: R-61, and replay (40-, 50-).

A log proves what it says in this order:

    first_block(entry, log_id)            the first block is the one that the log id names
    open_claim(note, log, head, held)     a checkpoint, signed by that log, not behind `held`
    policy.quorum_time(cosigned, log)     and cosigned by as many as are asked for
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

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ledger.client.policy import Policy, verifier_of
from ledger.errors import BadSignature, LogMisbehaved, MalformedInput, NotFresh, RuleViolation
from ledger.format import block as blocks
from ledger.format import checkpoint as checkpoints
from ledger.format import entry
from ledger.format.note import open_note, parse_note
from ledger.format.policy import MAX_AHEAD_MS, counting
from ledger.log.commit import Commit, Head
from ledger.log.planner import View
from ledger.log.replay import Check, batches, replay
from ledger.rules import table
from ledger.rules.state import LogState
from ledger.tree.merkle import leaf_hash, verify_consistency, verify_inclusion

MAX_AHEAD = MAX_AHEAD_MS
"""R-61.3, R-62.9: how far a log's time may be ahead of this machine's, or of its witnesses'."""

NO_POLICY = Policy()

MIN_SIZE = 2
"""R-61.4: a first block, and the directory root that ends its batch."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A checkpoint that the log signed: `note` as it was received, and what it says.

    `accepted` is the one that was held when it came, for the evidence. `cosigned` are those of the
    client's policy whose cosignatures count: public keys, and times in seconds.
    """

    note: bytes
    size: int
    root: bytes
    accepted: bytes = b""
    cosigned: Mapping[bytes, int] = field(default_factory=dict)

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


def open_claim(
    note: bytes,
    log: LogState,
    head: Head,
    held: bytes = b"",
    policy: Policy = NO_POLICY,
    now: int = 0,
) -> Claim:
    """The checkpoint in `note`, judged by the log's keys and by what was accepted before.

    `head` is the end of the tree accepted before, `held` its checkpoint (for the evidence). What
    was cosigned beyond `now` (ms) does not count.
    """
    return against(signed_claim(note, log, policy, now), head, held)


def against(claim: Claim, head: Head, held: bytes) -> Claim:
    """`claim`, if it does not contradict what was accepted before (R-61.2)."""
    claim = replace(claim, accepted=held)
    if claim.size < head.size:
        detail = f"rollback: the tree had {head.size} entries, now {claim.size}"
        raise LogMisbehaved("R-61.2", detail, claim.evidence)
    if claim.size == head.size and claim.root != head.root:
        raise LogMisbehaved("R-61.2", f"two roots for a tree of size {head.size}", claim.evidence)
    return claim


def signed_claim(note: bytes, log: LogState, policy: Policy, now: int) -> Claim:
    """The checkpoint in `note`, if this log signed it (R-61.1, R-61.4)."""
    try:
        return signed(note, log, policy, now)
    except (MalformedInput, BadSignature) as error:
        raise LogMisbehaved("R-61.1", str(error), {"checkpoint": note}) from error


def signed(note: bytes, log: LogState, policy: Policy, now: int) -> Claim:
    """The checkpoint in `note`, which this log signed, and who cosigned it.

    Raises `MalformedInput` and `BadSignature` (R-60), and `LogMisbehaved` (R-61.4).
    """
    signer = verifier_of(log)
    parsed, verified = open_note(note, [signer, *policy.verifiers])
    found = checkpoints.parse(parsed.text)
    if found.origin != log.origin or signer not in [one.verifier for one in verified]:
        raise BadSignature("R-60.9", "the checkpoint is not signed by this log")
    if found.size < MIN_SIZE:
        raise too_small(found.size, note)
    return Claim(note, found.size, found.root, cosigned=counting(verified, now))


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


def check_not_ahead(head: Head, now: int, note: bytes, quorum_time: int | None = None) -> None:
    """The time of the last entry under `note` is at most 5 minutes after `now` (R-61.3).

    And after the quorum time, if there is one (R-62.9): witnesses can't cosign what is to come.
    """
    if head.time - now > MAX_AHEAD:
        detail = f"the last entry is {_seconds(head.time - now)} ahead of this machine's clock"
        raise NotFresh("R-61.3", detail, {"checkpoint": note})
    if quorum_time is not None and head.time - quorum_time > MAX_AHEAD:
        ahead = _seconds(head.time - quorum_time)
        detail = f"the last entry is {ahead} ahead of the witnesses who cosigned it"
        raise LogMisbehaved("R-62.9", detail, {"checkpoint": note})


def check_age(
    head: Head, now: int, max_age: int, note: bytes, quorum_time: int | None = None
) -> None:
    """The quorum time, or without one the last entry's, is at most `max_age` (ms) before `now`.

    R-61.3, R-62.9.
    """
    what, time = "last entry", head.time
    if quorum_time is not None:
        what, time = "quorum's cosignature", quorum_time
    if now - time > max_age:
        detail = (
            f"the {what} is {_seconds(now - time)} old by this machine's clock, "
            f"{_seconds(max_age)} allowed: the log stands still, or is being withheld"
        )
        rule = "R-61.3" if quorum_time is None else "R-62.9"
        raise NotFresh(rule, detail, {"checkpoint": note})


def _seconds(duration: int) -> str:
    return f"{duration / 1000:.0f} s"


def check_admission(
    note: bytes,
    log: LogState,
    raw: bytes,
    index: int,
    time: int,
    proof: Sequence[bytes],
    policy: Policy = NO_POLICY,
    now: int = 0,
) -> Claim:
    """The checkpoint in `note`, if the log proves under it that `raw` is its leaf `index`."""
    claim = signed_claim(note, log, policy, now)
    try:
        leaf = leaf_hash(entry.block(time, raw))
        verify_inclusion(leaf, index, claim.size, proof, claim.root)
    except MalformedInput as error:
        evidence = {"checkpoint": note, "block": raw}
        raise LogMisbehaved(error.rule, error.detail, evidence) from error
    return claim
