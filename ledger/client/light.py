"""What a client that does not replay a log believes of it: one answer at a time (65-lookups). Pure.

    outcome = verify(bundle, asked, held, policy, now)

`asked` is the request, as `Held.ask` wrote it, `held` what is held, `now` in ms. What comes out is
proven to go on from what was held, and says what is to be held from now on: `ledger.client.pins`.

>>> held = Held(view, pins)                                      # doctest: +SKIP
>>> asked = held.ask(user, policy, ["ada@example.org"])
>>> (ada,) = verify(bundle, asked, held, policy, now).found
>>> ada.state.devices, ada.pin.events

| error | when |
| --- | --- |
| `MalformedInput` | bytes that no honest server sends: R-65.1 to R-65.3 |
| `LogMisbehaved` | the log signed what can't be: R-65.3 to R-65.9; R-61.2 for two checkpoints |
| `NotFresh` | R-61.3; R-65.9 while auditors have yet to cosign |
| `UsageError` | question, policy and what is held do not belong together |

Evidence holds `checkpoint`, `bundle`, `asked`, and of what was held, where it is contradicted,
`accepted` (the checkpoint) or `pin` (the record of the chain).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from ledger.client import light_chain
from ledger.client import verify as replays
from ledger.client.light_chain import Place, citing
from ledger.client.pins import Found, Held, LogView, Outcome, Pin, Policy, Standing
from ledger.client.tidings import moved
from ledger.client.verify import Claim
from ledger.errors import LogMisbehaved, MalformedInput, NotFresh, RuleViolation, UsageError
from ledger.format import block as blocks
from ledger.format import checkpoint as checkpoints
from ledger.format import entry
from ledger.format.bodies import ZERO_HASH
from ledger.format.lookup import Answer, Bundle, ChainPart, LookupRequest, Mode, Query
from ledger.format.note import Verifier, open_note
from ledger.log.commit import Head
from ledger.rules.state import Chain, LogState, UserState, parse_state
from ledger.tree import vrf
from ledger.tree.directory_proof import verify_absent, verify_present
from ledger.tree.merkle import leaf_hash, verify_consistency, verify_inclusion


def verify(data: bytes, asked: LookupRequest, held: Held, policy: Policy, now: int) -> Outcome:
    """What the bundle `data` proves as an answer to `asked`, in the order of R-65."""
    _check_asked(asked, held, policy)
    bundle = Bundle.decode(data)
    _check_shape(bundle, asked)
    log = founding(bundle.first, held.view)
    required = _required(policy, log)
    claim, cosigned = _claim(bundle, log, held.view, policy)
    evidence = claim.evidence | {"bundle": data, "asked": asked.encode()}
    _check_included(bundle, claim)
    with _blaming(evidence):
        place = _end(bundle.last, claim, held.view)
        demanded = log.demands.max_age
        _check_fresh(place, claim, min(policy.max_age or demanded, demanded), now)
        if policy.mode == Mode.AUDITED and cosigned < required:
            raise NotFresh("R-65.9", f"{cosigned} auditors cosigned it, {required} are asked for")
        chain = _log_chain(bundle, place, held.view)
    first = bundle.first or held.view.first
    view = LogView(place.log_id, first, claim.note, place.size, place.root, place.time, chain)
    place = replace(place, states=view.states)
    standing, found = _standing(cosigned, required), []
    for query, answer in zip(asked.queries, bundle.answers, strict=False):
        with _blaming(evidence | _pinned(held.pins.get(answer.label))):
            one = _answer(query, answer, place, held, policy.mode, log.vrf_key)
            one = replace(one, standing=standing)
            found.append(moved(one, held.own, place.time, data) if one.pin else one)
    rest = asked.queries[len(found) :]
    return Outcome(tuple(found), view, standing, rest, asked.encode(), data)


def joined(outcome: Outcome, view: LogView, proof: Sequence[bytes]) -> Outcome:
    """An outcome that was judged without a view, going on from `view` by a consistency proof."""
    new = outcome.view
    claim = _continuing(Claim(new.note, new.size, new.root), view, proof)
    with _blaming(claim.evidence | outcome.evidence):
        if new.time < view.time:
            raise MalformedInput("R-65.3", f"time goes back from {view.time} to {new.time}")
        if new.chain and new.chain[: len(view.chain)] != view.chain:
            raise MalformedInput("R-65.7", "the log's own chain is not the one that was seen")
    return replace(outcome, view=replace(new, chain=new.chain or view.chain))


def covered(note: bytes, view: LogView, policy: Policy, proof: Sequence[bytes]) -> int:
    """Up to which size the cosigned checkpoint `note` settles answers; 0 if it has not the quorum.

    It lies in the tree of `view`, by a consistency proof from its size on. Raises `MalformedInput`,
    and `LogMisbehaved` (R-61.2) for one that does not.
    """
    log = founding(None, view)
    required = _required(policy, log)
    claim, cosigned = open_cosigned(note, log, policy.auditors)
    if claim.size > view.size:
        raise UsageError("that checkpoint is newer than what was seen: look something up first")
    newest = LogView(view.log_id, note=note, size=claim.size, root=claim.root)
    _continuing(Claim(view.note, view.size, view.root), newest, proof)
    return claim.size if required and cosigned >= required else 0


@contextmanager
def _blaming(evidence: dict[str, bytes]) -> Iterator[None]:
    """Raise what fails inside as the log's misbehaviour, with this evidence."""
    try:
        yield
    except LogMisbehaved as error:
        error.evidence = evidence | error.evidence
        raise
    except (MalformedInput, RuleViolation) as error:
        raise LogMisbehaved(error.rule, error.detail, evidence) from error


def _pinned(pin: Pin | None) -> dict[str, bytes]:
    return {"pin": pin.chain.record()} if pin else {}


def _required(policy: Policy, log: LogState) -> int:
    """How many auditors must have cosigned before an answer is settled (R-65.9)."""
    required = policy.required(log)
    if policy.mode == Mode.AUDITED and required > len(policy.auditors):
        raise UsageError(f"R-65.9: this log demands {required} auditors: name as many")
    return required


def _standing(cosigned: int, required: int) -> Standing:
    if not required:
        return Standing.SIGNED
    return Standing.SETTLED if cosigned >= required else Standing.PROVISIONAL


# --- the question, and the answer's shape


def _check_asked(asked: LookupRequest, held: Held, policy: Policy) -> None:
    """Whether `asked` is what `held` would ask."""
    of = [query.of for query in asked.queries]
    if asked != held.ask(asked.user, policy, of):
        raise UsageError("the question is not one that fits what is held")


def _check_shape(bundle: Bundle, asked: LookupRequest) -> None:
    """R-65.1, as far as the bundle's own bytes decide: what is there, and what is null."""
    replayed = asked.mode == Mode.REPLAY
    if bundle.mode != asked.mode or len(bundle.answers) > len(asked.queries):
        raise MalformedInput(
            "R-65.1", "the bundle is of another mode, or answers what was not asked"
        )
    if (bundle.first is None) != bool(asked.log_held) or (bundle.log is None) == replayed:
        raise MalformedInput("R-65.1", "the first entry or the log's chain has no place here")
    if not asked.old and bundle.consistency:
        raise MalformedInput("R-65.1", "a consistency proof from nothing")
    for query, answer in zip(asked.queries, bundle.answers, strict=False):
        if not _is_shaped(answer, isinstance(query.of, str), replayed):
            raise MalformedInput("R-65.1", "a field of an answer is null, or is not, out of place")


def _is_shaped(answer: Answer, by_identifier: bool, replayed: bool) -> bool:
    there, links = answer.chain.length > 0, bool(answer.chain.links)
    absent_is_bare = there or (answer.chain.accumulator == ZERO_HASH and not links)
    return absent_is_bare and (
        (answer.vrf_proof is not None) == by_identifier
        and (answer.opening is not None) == (by_identifier and there)
        and (answer.state is not None) == (there and not replayed)
        and (answer.anchored is not None) == links
        and (replayed or not links)
    )


# --- the log, its checkpoint, its last entry


def founding(first: bytes | None, view: LogView) -> LogState:
    """What the log's first block says (R-65.2). What is held of it was checked before."""
    if view.chain:
        return view.states[0]
    try:
        log = replays.first_block(first or view.first, view.log_id)
        if first:
            block = blocks.parse(entry.parse(first).body)
            light_chain.check_first(block, 0, view.log_id)
            blocks.verify(block, view.log_id)
    except (LogMisbehaved, MalformedInput, RuleViolation) as error:
        raise MalformedInput("R-65.2", str(error)) from error
    return log


def _claim(bundle: Bundle, log: LogState, view: LogView, policy: Policy) -> tuple[Claim, int]:
    """The checkpoint, consistent with the one held, and how many auditors cosigned it (R-65.2)."""
    claim, cosigned = open_cosigned(bundle.checkpoint, log, policy.auditors)
    return _continuing(claim, view, bundle.consistency), cosigned


def _continuing(claim: Claim, view: LogView, proof: Sequence[bytes]) -> Claim:
    """R-61.2: the checkpoint does not contradict the one held."""
    claim = replays.against(claim, Head(view.size, view.root), view.note)
    try:
        verify_consistency(view.size, claim.size, proof, view.root, claim.root)
    except MalformedInput as error:
        detail = f"the log does not show that it continues the tree of {view.size}: {error.detail}"
        raise LogMisbehaved("R-61.2", detail, claim.evidence) from error
    return claim


def open_cosigned(note: bytes, log: LogState, auditors: Sequence[Verifier]) -> tuple[Claim, int]:
    """The checkpoint in `note`, which this log signed, and how many of `auditors` cosigned it."""
    with citing("R-65.2"):
        signer = replays.verifier_of(log)
        parsed, verified = open_note(note, [signer, *auditors])
        found = checkpoints.parse(parsed.text)
        if found.origin != log.origin or signer not in [one.verifier for one in verified]:
            raise MalformedInput("R-60.9", "the checkpoint is not signed by this log")
    if found.size < replays.MIN_SIZE:
        raise replays.too_small(found.size, note)
    return Claim(note, found.size, found.root), len(verified) - 1


def _check_included(bundle: Bundle, claim: Claim) -> None:
    """R-65.3: what is shown as the last entry is the one."""
    with citing("R-65.3"):
        leaf = leaf_hash(bundle.last)
        verify_inclusion(leaf, claim.size - 1, claim.size, bundle.inclusion, claim.root)


def _end(last: bytes, claim: Claim, view: LogView) -> Place:
    """R-65.3: the tree ends with a directory root, and at no earlier time than before."""
    with citing("R-65.3"):
        item = entry.parse(last)
        if item.kind != entry.DIRECTORY_ROOT:
            raise MalformedInput("R-61.4", "the tree does not end with a directory root")
        if item.time < view.time:
            raise MalformedInput("R-42.3", f"time goes back from {view.time} to {item.time}")
    return Place(view.log_id, claim.size, claim.root, item.time, item.body)


def _check_fresh(place: Place, claim: Claim, max_age: int, now: int) -> None:
    head = Head(place.size, place.root, place.time)
    replays.check_not_ahead(head, now, claim.note)
    replays.check_age(head, now, max_age, claim.note)


def _log_chain(bundle: Bundle, place: Place, view: LogView) -> tuple[Chain, ...]:
    """The log's own chain to the end of the tree; in audited mode, what is held of it."""
    if bundle.log is None:
        return view.chain
    chain = light_chain.replay_log(place, bundle.log, view.chain)
    if not chain or (bundle.first and bundle.first != bundle.log.links[0].entry):
        raise MalformedInput("R-65.2", "the log's chain does not begin with its first entry")
    _check_present(chain[-1], blocks.LOG_LABEL, bundle.log, place)
    return chain


# --- one answer


def _answer(
    query: Query, answer: Answer, place: Place, held: Held, mode: int, vrf_key: bytes
) -> Found:
    label = _label(query, answer, vrf_key)
    before = held.pins.get(label)
    if not answer.chain.length:
        _check_absent(label, answer.chain, place, before)
        return Found(query, label)
    if mode == Mode.AUDITED:
        found = _audited(query, answer, label, before)
    else:
        found = _replayed(query, answer, place, label, before)
    assert found.pin
    _check_present(found.pin.chain, label, answer.chain, place)
    if isinstance(query.of, str):
        _check_opening(query.of, answer, found.pin.chain)
    return found


def _label(query: Query, answer: Answer, vrf_key: bytes) -> bytes:
    """R-65.4: the label that was asked for, or the one that the VRF gives the identifier."""
    label = query.of
    if isinstance(label, str):
        with citing("R-65.4"):
            label = vrf.label(vrf.verify(vrf_key, label.encode(), answer.vrf_proof or b""))
    if label != answer.label:
        raise MalformedInput("R-65.4", "the answer is for another label")
    return label


def _check_present(chain: Chain, label: bytes, part: ChainPart, place: Place) -> None:
    """R-65.5; where the state was computed, or was given, R-65.9 is in it."""
    with citing("R-65.5"):
        verify_present(label, chain.value, part.proof, place.directory)


def _check_absent(label: bytes, part: ChainPart, place: Place, before: Pin | None) -> None:
    with citing("R-65.5"):
        if before:
            raise MalformedInput("R-61.2", f"a chain of {before.chain.length} blocks is gone")
        verify_absent(label, part.proof, place.directory)


def _check_opening(identifier: str, answer: Answer, chain: Chain) -> None:
    """R-65.6, and the kind of R-65.9."""
    state, opening = chain.state, answer.opening
    if not isinstance(state, UserState):
        raise MalformedInput("R-65.9", "what stands for the identifier is no user")
    if opening is None or opening.identifier != identifier:
        raise MalformedInput("R-65.6", "the opening is of another identifier")
    if opening.commitment != state.commitment:
        raise MalformedInput("R-65.6", "the opening fits another commitment")


def _replayed(
    query: Query, answer: Answer, place: Place, label: bytes, before: Pin | None
) -> Found:
    """R-65.7, R-65.8: the state that the blocks lead to, from what was held."""
    start = before.chain if before and query.held else None
    steps = light_chain.replay(place, label, answer.chain, start)
    chain = steps[-1].chain if steps else start
    assert chain  # a chain that is there has blocks, here or there
    if steps:
        light_chain.check_anchor(place, steps, answer.anchored or ())
    if before and not start:
        seen = before.chain.length
        if len(steps) < seen or steps[seen - 1].chain != before.chain:
            raise MalformedInput("R-65.7", "the chain is not the one that was seen, gone on")
    pin = replace(before, chain=chain, replayed=True) if before else Pin(label, chain, chain.state)
    return Found(query, label, before, pin, answer.opening, tuple(steps))


def _audited(query: Query, answer: Answer, label: bytes, before: Pin | None) -> Found:
    """R-65.9: the state that was given, if it can be what was held, gone on."""
    part, state = answer.chain, answer.state or b""
    with citing("R-65.9"):
        chain = Chain(part.length, part.accumulator, parse_state(state), state)
    if isinstance(chain.state, LogState):
        raise MalformedInput("R-65.9", "the log's state stands for no other label")
    if before and not _continues(before.chain, chain):
        raise MalformedInput("R-65.7", "the chain is not the one that was seen, gone on")
    same = before and before.replayed and before.chain == chain
    pin = replace(before, chain=chain) if before else Pin(label, chain, chain.state)
    return Found(query, label, before, replace(pin, replayed=bool(same)), answer.opening)


def _continues(before: Chain, after: Chain) -> bool:
    """Whether a chain may have become another, as far as that can be told without its blocks."""
    old, new = before.state, after.state
    if after.length <= before.length or new.index <= old.index:
        return after == before
    if isinstance(old, UserState) and isinstance(new, UserState):
        same = (new.commitment, new.born) == (old.commitment, old.born)
        return same and new.epoch >= old.epoch and new.generation >= old.generation
    return type(old) is type(new) and old.born == new.born
