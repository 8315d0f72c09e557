"""A saved lookup, judged offline: who stands for an identifier, as the log signed it (R-65.10).

    found = judge_lookup(data, log_id, identifier, now)         # or what errors says, see below
    found.state.devices, found.size, found.time

Pure; nothing is needed but the file, the log id, and for an audited answer the policy that names
the judge's auditors. Who names witnesses demands their quorum. `now` is in ms.

| raised | when |
| --- | --- |
| `Invalid` | a rule is broken, by whoever made the file: nothing in it is to be believed |
| `Misbehaviour` | a rule is broken by what the log signed; its cause is the `Invalid` |
| `Undecided` | an audited answer and no auditors named, or a policy of no use with this log |

It proves what the log said, not that it said so to everybody.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

from verifier import shown
from verifier.blocks import ZERO, open_entry
from verifier.cbor import Many, Shape, decode, fits
from verifier.errors import BrokenRule, Invalid, Malformed, Misbehaviour, Undecided
from verifier.merkle import check_consistency, check_inclusion, leaf_hash
from verifier.note import Checkpoint, NoteKey, Signer, open_note, parse_checkpoint
from verifier.policy import MAX_AHEAD, Policy, check_apart, check_enough, check_log, cosigned
from verifier.shown import Link, Part, Step
from verifier.states import LogState, UserState, parse_user
from verifier.vrf import commitment, require_identifier, verify_label

CAP = 4 * 1_048_576
SAVED_CAP = CAP + 1_024
REPLAY, AUDITED = range(2)
HASHES: Shape = Many(32, range(65))
SAVED: Shape = (range(2**64), 32, str, bytes)
# Without what may be null: version, mode, checkpoint, last, inclusion, consistency.
BUNDLE: Shape = (range(2**64), range(2), bytes, bytes, HASHES, HASHES)


class Opening(NamedTuple):
    """What stands behind an identifier commitment."""

    nonce: bytes
    identifier: str


class Answer(NamedTuple):
    """What the log answers; which fields are there, 65-lookups says."""

    label: bytes
    vrf_proof: bytes
    opening: Opening | None
    chain: Part
    state: bytes | None
    anchored: list[bytes] | None


class Bundle(NamedTuple):
    """What a saved lookup holds: its one answer, and what proves it."""

    mode: int
    checkpoint: bytes
    first: bytes
    last: bytes
    inclusion: list[bytes]
    log: Part | None
    answer: Answer


class Head(NamedTuple):
    """The tree that was signed: the time and the directory root of its last entry."""

    size: int
    root: bytes
    time: int
    directory: bytes


class Found(NamedTuple):
    """What a lookup proves. `state` is None where nobody is there; `steps` are those of a replay.

    `covered` says when enough auditors had cosigned (seconds since 1970), None: not enough;
    `witnessed` when the witnesses had, None: nobody asks for them.
    """

    mode: int
    origin: str
    label: bytes
    head: Head
    part: Part
    state: UserState | None
    steps: list[Step]
    covered: int | None
    witnessed: int | None


def judge_lookup(
    data: bytes,
    log_id: bytes,
    identifier: str,
    now: int,
    auditors: Policy | None = None,
    witnesses: Policy | None = None,
) -> Found:
    """What the saved lookup `data` proves of `identifier` in the log of this id."""
    bundle = parse(data, log_id, identifier)
    with _citing("R-65.2"):
        log = _founding(bundle.first, log_id)
        checkpoint, signers = _open(bundle.checkpoint, log, auditors, witnesses)
    witnessed = _witnessed(witnesses, log, signers, now)
    covered = _covered(auditors, log, signers, now, witnesses)
    head = _head(bundle, checkpoint)
    if head.time > now + MAX_AHEAD:
        raise BrokenRule("R-61.3", "the last entry is of a time yet to come: are the clocks right?")
    own = _replayed(bundle.log, ZERO, head, log_id) if bundle.log else []
    answer = bundle.answer
    with _citing("R-65.4"):
        if verify_label(log.vrf_key, identifier.encode(), answer.vrf_proof) != answer.label:
            raise Malformed("R-36.4", "the answer is for another label")
    steps, state = _answered(answer, head, log_id, own)
    if state is not None and answer.opening is not None:
        _check_opening(answer.opening, identifier, state)
    if bundle.mode == AUDITED and (auditors is None or auditors.quorum is None):
        raise Undecided("the answer rests on auditors: name yours, and how many must cosign")
    if bundle.mode == AUDITED and covered is None:
        raise BrokenRule("R-65.9", "not enough of the auditors cosigned the checkpoint")
    by = covered, witnessed
    return Found(bundle.mode, log.origin, answer.label, head, answer.chain, state, steps, *by)


# --- bytes


def parse(data: bytes, log_id: bytes, identifier: str) -> Bundle:
    """R-65.10, R-65.1: the bundle, if it answers this question and no other."""
    saved: Any = decode(data, SAVED_CAP)
    if not fits(saved, SAVED):
        raise Malformed("R-10.4", "not a saved lookup")
    version, of_log, of_identifier, bundle = saved
    if version != 1:
        raise Malformed("R-65.10", f"version {version} of saved lookups is not known")
    require_identifier(of_identifier)
    if (of_log, of_identifier) != (log_id, identifier):
        raise Malformed("R-65.10", "the answer to another question: the log id or the identifier")
    return _bundle(decode(bundle, CAP))


def _bundle(value: Any) -> Bundle:
    if not isinstance(value, list) or len(value) != 9:
        raise Malformed("R-10.4", "a bundle is an array of nine")
    version, mode, checkpoint, first, last, inclusion, consistency, log, answers = value
    required = [version, mode, checkpoint, last, inclusion, consistency]
    several = isinstance(answers, list) and 1 <= len(answers) <= 256
    if not fits(required, BUNDLE) or not _or_null(first, bytes) or not several:
        raise Malformed("R-10.4", "not the fields of a bundle")
    parsed = [_answer(one) for one in answers]
    part = None if log is None else shown.parse(log)
    if version != 1:
        raise Malformed("R-65.1", f"version {version} of bundles is not known")
    if first is None or consistency or len(parsed) != 1 or (part is None) != (mode == AUDITED):
        raise Malformed("R-65.1", "not the answer to who asks for one and holds nothing")
    if part and part.links[:1] != [Link(0, first)]:
        raise Malformed("R-65.1", "the log's chain does not begin with its first entry")
    if not _is_whole(parsed[0], mode):
        raise Malformed("R-65.1", "a field of the answer is null, or is not, out of place")
    return Bundle(mode, checkpoint, first, last, inclusion, part, parsed[0])


def _answer(value: Any) -> Answer:
    if not isinstance(value, list) or len(value) != 6:
        raise Malformed("R-10.4", "an answer is an array of six")
    label, proof, opening, chain, state, anchored = value
    optional = ((proof, 80), (opening, (32, str)), (state, bytes), (anchored, HASHES))
    if not fits(label, 32) or not all(_or_null(*one) for one in optional):
        raise Malformed("R-10.4", "not the fields of an answer")
    opened = None if opening is None else Opening(*opening)
    if opened:
        require_identifier(opened.identifier)
    return Answer(label, proof or b"", opened, shown.parse(chain), state, anchored)


def _or_null(value: Any, shape: Shape) -> bool:
    return value is None or fits(value, shape)


def _is_whole(answer: Answer, mode: int) -> bool:
    """Whether an answer by identifier has what it must have, and nothing else."""
    there, links = answer.chain.length > 0, bool(answer.chain.links)
    return (
        bool(answer.vrf_proof)
        and (answer.opening is not None) == there
        and (answer.state is not None) == (there and mode == AUDITED)
        and (answer.anchored is not None) == links
        and not (links and mode == AUDITED)
    )


# --- the log and its tree


@contextlib.contextmanager
def _citing(rule: str) -> Iterator[None]:
    """What fails inside is a breach of `rule`."""
    try:
        yield
    except Invalid as error:
        raise Malformed(rule, str(error)) from error


@contextlib.contextmanager
def _signed() -> Iterator[None]:
    """What fails inside is what the log signed: whoever has the file can check it."""
    try:
        yield
    except Invalid as error:
        raise Misbehaviour("lookup", error.rule, error.why, {}, transferable=True) from error


def _founding(first: bytes, log_id: bytes) -> LogState:
    """R-65.2: what the log's first block says."""
    state = shown.follow(None, ZERO, Link(0, first), log_id, None).chain.state
    assert isinstance(state, LogState)
    return state


def _open(note: bytes, log: LogState, *policies: Policy | None) -> tuple[Checkpoint, list[Signer]]:
    """R-65.2: the checkpoint, signed by the log, and who else of those that are known signed it."""
    key = NoteKey(log.origin, log.log_key)
    known = [one for policy in policies if policy for one in policy.keys]
    text, signers = open_note(note, [key, *known])
    checkpoint = parse_checkpoint(text)
    if checkpoint.origin != log.origin or all(signer.key != key for signer in signers):
        raise Malformed("R-60.9", "the checkpoint is not signed by this log")
    return checkpoint, signers


def _check_usable(
    policy: Policy, log: LogState, demanded: int, other: Policy | None = None
) -> None:
    """R-62.3, R-62.5, R-62.6: else it is the judge's policy that is wrong."""
    taken = [one.key for one in other.keys] if other else []
    try:
        check_log(policy, NoteKey(log.origin, log.log_key))
        check_apart(policy, taken, log.log_key)
        check_enough(policy, demanded)
    except BrokenRule as error:
        raise Undecided(f"this policy can't be used with this log: {error}") from error


def _witnessed(
    witnesses: Policy | None, log: LogState, signers: Sequence[Signer], now: int
) -> int | None:
    """R-62.8: when a quorum of the witnesses had cosigned; None: nobody names any."""
    if witnesses is None:
        return None
    demanded = log.demands.witnesses
    _check_usable(witnesses, log, demanded)
    return witnesses.quorum_time(cosigned(witnesses, signers, now), demanded)


def _covered(
    auditors: Policy | None,
    log: LogState,
    signers: Sequence[Signer],
    now: int,
    witnesses: Policy | None,
) -> int | None:
    """R-65.9: when enough auditors had cosigned; None: they have not, or nobody asks them to."""
    if auditors is None:
        return None
    demanded = log.demands.auditors
    _check_usable(auditors, log, demanded, witnesses)
    try:
        return auditors.quorum_time(cosigned(auditors, signers, now), demanded)
    except BrokenRule:
        return None


def _head(bundle: Bundle, checkpoint: Checkpoint) -> Head:
    """R-65.3: the tree ends with a directory root."""
    _, size, root = checkpoint
    with _signed():
        if size < 2:
            raise BrokenRule("R-61.4", f"a checkpoint of size {size}")
    with _citing("R-65.3"):
        check_inclusion(leaf_hash(bundle.last), size - 1, size, bundle.inclusion, root)
    with _signed(), _citing("R-65.3"):
        kind, time, directory = open_entry(bundle.last)
        if kind != 1:
            raise BrokenRule("R-61.4", "the tree does not end with a directory root")
    return Head(size, root, time, directory)


# --- chains


def _answered(
    answer: Answer, head: Head, log_id: bytes, own: Sequence[Step]
) -> tuple[list[Step], UserState | None]:
    """Who is there: the blocks and the state that they lead to, or an audited state."""
    part = answer.chain
    if not part.length or answer.state is not None:
        _check_held(part, answer.label, head)
        return [], None if answer.state is None else _stated(answer.state, part.digest)
    steps = _replayed(part, answer.label, head, log_id, own)
    newest, state = steps[-1].block, steps[-1].chain.state
    with _citing("R-65.8"):
        trees = newest.anchor_size, head.size, newest.anchor_root, head.root
        check_consistency(*trees, answer.anchored or [])
    if not isinstance(state, UserState):
        with _signed():
            raise Malformed("R-65.9", "what stands for the identifier is no user")
    return steps, state


def _replayed(
    part: Part, label: bytes, head: Head, log_id: bytes, own: Sequence[Step] = ()
) -> list[Step]:
    """R-65.5, R-65.7 to R-65.9, but for the newest anchor."""
    _check_held(part, label, head)
    shown.check_bound(part)
    with _signed():
        shown.check_places(part, head.size)
        with _citing("R-65.8"):
            steps = shown.replay(part, label, log_id, head.time, own)
        shown.check_digest(part, steps)
    return steps


def _check_held(part: Part, label: bytes, head: Head) -> None:
    with _citing("R-65.5"):
        shown.check_held(part, label, head.directory)


def _stated(state: bytes, digest: bytes) -> UserState:
    """R-65.9: the state given, if it is the one that the directory holds, and a user's."""
    if sha256(state).digest() != digest:
        raise Malformed("R-65.9", "the state given is not the one that the directory holds")
    with _signed(), _citing("R-65.9"):
        return parse_user(state)


def _check_opening(opening: Opening, identifier: str, state: UserState) -> None:
    """R-65.6."""
    if opening.identifier != identifier:
        raise Malformed("R-65.6", "the opening is of another identifier")
    if commitment(*opening) != state.commitment:
        raise Malformed("R-65.6", "the opening fits another commitment")
