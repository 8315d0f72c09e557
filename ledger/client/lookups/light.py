"""What a client that does not replay a log believes of it: one answer at a time (65-lookups). Pure.

    outcome = verify(bundle, asked, held, policy, now)

`asked` is the request, as `Held.ask` wrote it, `held` what is held, `now` in ms. What comes out is
proven to go on from what was held, and says what is to be held from now on:
`ledger.client.lookups.pins`.

>>> held = Held(view, pins)                                      # doctest: +SKIP
>>> asked = held.ask(user, policy, ["ada@example.org"])
>>> (ada,) = verify(bundle, asked, held, policy, now).found
>>> ada.state.devices, ada.pin.events

| error | when |
| --- | --- |
| `MalformedInput` | bytes that no honest server sends: R-65.1 to R-65.3 |
| `LogMisbehaved` | the log signed what can't be: R-65.3 to R-65.9; R-61.2 for two checkpoints |
| `NotFresh` | R-61.3, R-62.9 |
| `NotCosigned` | R-62.8 without a quorum of witnesses; R-65.9 while auditors have yet to cosign |
| `UsageError` | question, policy and what is held do not belong together |
| `UnusablePolicy` | the policy is of no use for this log |

Evidence holds `checkpoint`, `bundle`, `asked`, and of what was held, where it is contradicted,
`accepted` (the checkpoint) or `pin` (the record of the chain).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256

from ledger.client import verify as replays
from ledger.client.history import Step
from ledger.client.lookups import light_chain
from ledger.client.lookups.light_chain import Place, citing
from ledger.client.lookups.pins import Found, Held, LogView, Outcome, Own, Pin, Standing
from ledger.client.lookups.tidings import moved
from ledger.client.policy import Policy, missing
from ledger.client.verify import Claim
from ledger.errors import LogMisbehaved, MalformedInput, NotCosigned, RuleViolation, UsageError
from ledger.format import block as blocks
from ledger.format import entry
from ledger.format.bodies import ZERO_HASH
from ledger.format.lookup import (
    MAX_WHOLE_BYTES,
    Answer,
    Bundle,
    ChainPart,
    Link,
    LookupRequest,
    Mode,
    Query,
)
from ledger.log.commit import Head
from ledger.rules.state import Chain, LogState, UserState, parse_state
from ledger.tree import vrf
from ledger.tree.directory_proof import verify_absent
from ledger.tree.merkle import leaf_hash, verify_consistency, verify_inclusion


def verify(data: bytes, asked: LookupRequest, held: Held, policy: Policy, now: int) -> Outcome:
    """What the bundle `data` proves as an answer to `asked`, in the order of R-65."""
    _check_asked(asked, held, policy)
    bundle = Bundle.decode(data, MAX_WHOLE_BYTES)
    _check_shape(bundle, asked)
    log = founding(bundle.first, held.view)
    policy.check(log)
    claim = _continuing(signed(bundle.checkpoint, log, policy, now), held.view, bundle.consistency)
    quorum_time = policy.quorum_time(claim.cosigned, log)
    evidence = claim.evidence | {"bundle": data, "asked": asked.encode()}
    check_included(bundle, claim)
    with _blaming(evidence):
        place = _end(bundle.last, claim, held.view)
        head = Head(place.size, place.root, place.time)
        replays.check_not_ahead(head, now, claim.note, quorum_time)
        replays.check_age(head, now, policy.max_age_for(log), claim.note, quorum_time)
        standing = _standing(claim, log, policy)
        log_steps = _log_steps(bundle, place, held.view)
    first = bundle.first or held.view.first
    chain = (*held.view.chain, *(step.chain for step in log_steps))
    shown = place.size if bundle.log else held.view.shown
    tree = claim.note, place.size, place.root, place.time
    view = LogView(place.log_id, first, *tree, chain, shown)
    place = replace(place, states=view.states)
    found = []
    for query, answer in zip(asked.queries, bundle.answers, strict=False):
        with _blaming(evidence | _pinned(held.pins.get(answer.label))):
            one = _answer(query, answer, place, held, policy.mode, log.vrf_key)
            if policy.mode == Mode.REPLAY:
                _check_admitted(one, held.admitted.get(one.label, ()), place)
            one = replace(one, standing=standing)
            found.append(moved(one, held.own, place.time, data) if one.pin else one)
    rest = asked.queries[len(found) :]
    return Outcome(tuple(found), view, standing, rest, asked.encode(), data, tuple(log_steps))


def joined(outcome: Outcome, view: LogView, proof: Sequence[bytes]) -> Outcome:
    """An outcome that was judged without a view, going on from `view` by a consistency proof."""
    new = outcome.view
    claim = _continuing(Claim(new.note, new.size, new.root), view, proof)
    with _blaming(claim.evidence | outcome.evidence):
        if new.time < view.time:
            raise MalformedInput("R-65.3", f"time goes back from {view.time} to {new.time}")
        if new.chain and new.chain[: len(view.chain)] != view.chain:
            raise MalformedInput("R-65.7", "the log's own chain is not the one that was seen")
        if new.chain and view.chain:
            new_steps = outcome.log_steps[len(view.chain) :]
            light_chain.check_not_hidden([step.index for step in new_steps], view.shown)
    if new.chain:
        return outcome
    return replace(outcome, view=replace(new, chain=view.chain, shown=view.shown))


def own_step(outcome: Outcome, own: Own | None) -> Step | None:
    """The newest block that one's own devices signed, if nobody has checked its anchor yet.

    That of a chain's newest block was checked (R-65.8). Whoever else wrote since may have seen
    another tree.
    """
    for found in outcome.found:
        if own and found.label == own.label:
            signed = [
                one for one in found.steps if own.keys.intersection(one.block.envelope.signers)
            ]
            return signed[-1] if signed and signed[-1] is not found.steps[-1] else None
    return None


def check_own_anchor(step: Step, outcome: Outcome, proof: Sequence[bytes]) -> None:
    """R-44.2: what one's own device had seen when it wrote is in the tree that is shown now."""
    anchor, view = step.block.anchor, outcome.view
    with _blaming(outcome.evidence):
        try:
            verify_consistency(anchor.size, view.size, proof, anchor.root, view.root)
        except MalformedInput as error:
            detail = f"the anchor of this user's block at leaf {step.index} is not in the tree"
            raise MalformedInput("R-44.2", f"{detail}: {error.detail}") from error


def covered(
    note: bytes, view: LogView, policy: Policy, proof: Sequence[bytes], now: int
) -> LogView | None:
    """What the cosigned checkpoint `note` settles, all of this view's size and below (R-63.5).

    None if it has not the auditors' quorum. `proof` is the consistency proof between it and the
    checkpoint held, whichever is the newer. Raises `MalformedInput`, and `LogMisbehaved` (R-61.2).
    """
    log = founding(None, view)
    policy.check(log)
    claim = signed(note, log, policy, now)
    shown = replace(view, note=note, size=claim.size, root=claim.root)
    if claim.size >= view.size:
        _continuing(claim, view, proof)
    else:
        _continuing(Claim(view.note, view.size, view.root), shown, proof)
    return shown if policy.covers(claim.cosigned, log) else None


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


def _standing(claim: Claim, log: LogState, policy: Policy) -> Standing:
    """How far answers under this checkpoint go. In audited mode they go all the way (R-65.9)."""
    if policy.covers(claim.cosigned, log):
        return Standing.SETTLED
    if policy.mode == Mode.AUDITED:
        detail = "auditors have yet to cosign it: ask again later, or without the audited mode"
        raise NotCosigned("R-65.9", detail, missing(policy.auditors, claim.cosigned))
    return Standing.PROVISIONAL if policy.asks_auditors(log) else Standing.SIGNED


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
    if bundle.log and bundle.first and bundle.log.links[:1] != (Link(0, bundle.first),):
        raise MalformedInput("R-65.1", "the log's chain does not begin with its first entry")
    if not asked.old and bundle.consistency:
        raise MalformedInput("R-65.1", "a consistency proof from nothing")
    for query, answer in zip(asked.queries, bundle.answers, strict=False):
        if not _is_shaped(answer, isinstance(query.of, str), replayed):
            raise MalformedInput("R-65.1", "a field of an answer is null, or is not, out of place")


def _is_shaped(answer: Answer, by_identifier: bool, replayed: bool) -> bool:
    part, there, links = answer.chain, answer.chain.length > 0, bool(answer.chain.links)
    absent_is_bare = part.accumulator == part.digest == ZERO_HASH and not links
    return (there or absent_is_bare) and (
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


def _continuing(claim: Claim, view: LogView, proof: Sequence[bytes]) -> Claim:
    """R-61.2: the checkpoint does not contradict the one held."""
    claim = replays.against(claim, Head(view.size, view.root), view.note)
    try:
        verify_consistency(view.size, claim.size, proof, view.root, claim.root)
    except MalformedInput as error:
        detail = f"the log does not show that it continues the tree of {view.size}: {error.detail}"
        raise LogMisbehaved("R-61.2", detail, claim.evidence) from error
    return claim


def signed(note: bytes, log: LogState, policy: Policy, now: int) -> Claim:
    """The checkpoint in `note`, which this log signed, and whose cosignatures count (R-65.2)."""
    with citing("R-65.2"):
        return replays.signed(note, log, policy, now)


def check_included(bundle: Bundle, claim: Claim) -> None:
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


def _log_steps(bundle: Bundle, place: Place, view: LogView) -> list[Step]:
    """What the bundle brings of the log's own chain; nothing in audited mode."""
    if bundle.log is None:
        return []
    steps = light_chain.replay_log(place, bundle.log, view.chain)
    if view.chain:
        light_chain.check_not_hidden([step.index for step in steps], view.shown)
    return steps


# --- one answer


def _answer(
    query: Query, answer: Answer, place: Place, held: Held, mode: int, vrf_key: bytes
) -> Found:
    label = _label(query, answer, vrf_key)
    before = held.pins.get(label)
    if not answer.chain.length:
        _check_absent(label, answer.chain, place, before)
        return Found(query, label)
    light_chain.check_present(place, label, answer.chain)
    if mode == Mode.AUDITED:
        found = _audited(query, answer, place, label, before)
    else:
        found = _replayed(query, answer, place, label, before)
    light_chain.check_not_hidden(found.new_leaves, held.shown(label))
    if isinstance(query.of, str) and found.pin:
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
    """R-65.7 to R-65.9: the state that the blocks lead to, from what was held."""
    start = before.chain if before and query.held else None
    steps = light_chain.replay(place, label, answer.chain, start)
    chain = steps[-1].chain if steps else start
    assert chain  # a chain that is there has blocks, here or there
    if steps:
        light_chain.check_anchor(place, steps, answer.anchored or ())
    light_chain.check_state(chain, answer.chain)
    if before and not start:
        seen = before.chain.length
        if len(steps) < seen or steps[seen - 1].chain != before.chain:
            raise MalformedInput("R-65.7", "the chain is not the one that was seen, gone on")
    pin = before or Pin(label, chain, chain.state)
    pin = replace(pin, chain=chain, replayed=True, shown=place.size, time=place.time)
    return Found(query, label, before, pin, answer.opening, tuple(steps))


def _check_admitted(found: Found, admitted: Sequence[Link], place: Place) -> None:
    """R-71.2: what the log admitted here, and was not seen yet, is in the chain by now."""
    shown = {Link(one.index, entry.block(one.time, one.block.raw)) for one in found.steps}
    for link in admitted:
        if link.index < place.size - 1 and link not in shown:
            detail = f"the block that was admitted at leaf {link.index} is not in its chain"
            raise MalformedInput("R-71.2", detail)


def _audited(query: Query, answer: Answer, place: Place, label: bytes, before: Pin | None) -> Found:
    """R-65.9: the state that was given, if it can be what was held, gone on."""
    part, state = answer.chain, answer.state or b""
    if sha256(state).digest() != part.digest:
        raise MalformedInput("R-65.9", "the state given is not the one that the log shows")
    with citing("R-65.9"):
        chain = Chain(part.length, part.accumulator, parse_state(state), state)
    if isinstance(chain.state, LogState):
        raise MalformedInput("R-65.9", "the log's state stands for no other label")
    if before and not _continues(before.chain, chain):
        raise MalformedInput("R-65.7", "the chain is not the one that was seen, gone on")
    same = before and before.replayed and before.chain == chain
    pin = before or Pin(label, chain, chain.state)
    pin = replace(pin, chain=chain, replayed=bool(same), shown=place.size, time=place.time)
    return Found(query, label, before, pin, answer.opening)


def _continues(before: Chain, after: Chain) -> bool:
    """Whether a chain may have become another, as far as that can be told without its blocks."""
    old, new = before.state, after.state
    if after.length <= before.length or new.index <= old.index:
        return after == before
    if isinstance(old, UserState) and isinstance(new, UserState):
        same = (new.commitment, new.born) == (old.commitment, old.born)
        return same and new.epoch >= old.epoch and new.generation >= old.generation
    return type(old) is type(new) and old.born == new.born
