"""What the blocks of the log's own chain do to the log's state (R-51)."""

from __future__ import annotations

from dataclasses import replace

from ledger.errors import RuleViolation
from ledger.format.block import Block
from ledger.format.bodies import LogCreate, LogPolicy
from ledger.rules.context import Context, Outcome
from ledger.rules.state import LogState, is_retired


def create(block: Block, body: LogCreate, time: int) -> LogState:
    """The state after the first block of a log, at leaf 0."""
    if not 1 <= len(body.origin) <= 128 or not all(
        "!" <= c <= "~" and c != "+" for c in body.origin
    ):
        raise RuleViolation("R-51.1", "the origin is not 1 to 128 characters from ! to ~ without +")
    if body.heartbeat > body.demands.max_age:
        raise RuleViolation("R-51.1", "the heartbeat is longer than max_age")
    state = LogState(
        head=block.hash,
        index=0,
        born=time,
        origin=body.origin,
        app_root=body.app_root,
        enrolment=body.enrolment,
        log_key=body.log_key,
        vrf_key=body.vrf_key,
        authority=body.authority,
        limits=body.limits,
        heartbeat=body.heartbeat,
        demands=body.demands,
        retired=b"",
    )
    if len(set(state.keys)) != len(state.keys):
        raise RuleViolation("R-51.1", "the log's five keys are not distinct")
    return state


def policy(at: Context, body: LogPolicy, state: LogState) -> Outcome:
    replaced = incoming(state, body)
    if not replaced and body.limits == state.limits:
        raise RuleViolation("R-51.2", "this policy changes nothing")
    if len(set(replaced)) != len(replaced):
        raise RuleViolation("R-51.3", "the new app root and enrolment key are the same")
    for key in replaced:
        if key in state.keys or is_retired(state.retired, key):
            raise RuleViolation("R-51.3", f"the key {key.hex()} is or was in this chain")
    pairs = ((state.app_root, body.app_root), (state.enrolment, body.enrolment))
    gone = b"".join(old for old, new in pairs if old != new)
    after = replace(
        state,
        head=at.block.hash,
        index=at.index,
        app_root=body.app_root,
        enrolment=body.enrolment,
        limits=body.limits,
        retired=state.retired + gone,
    )
    return Outcome(after)


def incoming(state: LogState, body: LogPolicy) -> tuple[bytes, ...]:
    """The keys that come in with a policy, the app root first."""
    pairs = ((state.app_root, body.app_root), (state.enrolment, body.enrolment))
    return tuple(new for old, new in pairs if old != new)
