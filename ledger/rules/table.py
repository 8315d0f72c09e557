"""Every transition of the state machine, as a table (50-rules).

A chain is born by a create, takes the types of its own kind, and a closed user takes only a reset:

    (no chain)  -- log.create -->   log    -- log.policy --> log
    (no chain)  -- user.create -->  user   -- device.add, device.revoke --> user
                                    user   -- user.close --> closed user
                                    user or closed user -- user.reset --> user, next epoch
    (no chain)  -- group.create --> group  -- group.update --> group
                                    group  -- group.close --> closed group

`apply` is the whole of it: place in the chain (R-43), signers (R-50.2), then the type's own rules.
The anchor (R-44) needs the tree and is checked by whoever holds it; signatures (R-40.4) by whoever
has a processor to spare.

>>> TABLE[BlockType.DEVICE_ADD].needs is UserState
True
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ledger.errors import RuleViolation, StaleHead
from ledger.format.block import Block
from ledger.format.bodies import (
    BlockType,
    DeviceAdd,
    DeviceRevoke,
    GroupClose,
    GroupCreate,
    GroupUpdate,
    Limits,
    LogCreate,
    LogPolicy,
    UserClose,
    UserCreate,
    UserReset,
)
from ledger.rules import groups, logs, users
from ledger.rules.context import Context, Outcome
from ledger.rules.state import Chain, GroupState, LogState, State, UserState

Keys = tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """One row: what kind of state the type needs (none for a create), who signs, what it does."""

    needs: type[LogState] | type[UserState] | type[GroupState] | None
    signers: Callable[[Any, LogState, Any], Keys]
    transition: Callable[..., Outcome]


def _create_signers(body: UserCreate, log: LogState, state: None) -> Keys:
    return (body.delegation.ephemeral, body.device.signing)


def _add_signers(body: DeviceAdd, log: LogState, state: UserState) -> Keys:
    return (body.author, body.device.signing)


def _author(body: DeviceRevoke | UserClose, log: LogState, state: UserState) -> Keys:
    return (body.author,)


def _reset_signers(body: UserReset, log: LogState, state: UserState) -> Keys:
    return (body.delegation.ephemeral, log.authority, body.device.signing)


def _policy_signers(body: LogPolicy, log: LogState, state: LogState) -> Keys:
    return (state.app_root, state.log_key, *logs.incoming(state, body))


def _group_create_signers(body: GroupCreate, log: LogState, state: None) -> Keys:
    return (body.signing,)


def _group_update_signers(body: GroupUpdate, log: LogState, state: GroupState) -> Keys:
    incoming = (body.signing,) if body.signing != state.signing else ()
    return (groups.open_key(state), *incoming)


def _group_close_signers(body: GroupClose, log: LogState, state: GroupState) -> Keys:
    return (groups.open_key(state),)


TABLE: dict[int, Rule] = {
    BlockType.LOG_POLICY: Rule(LogState, _policy_signers, logs.policy),
    BlockType.USER_CREATE: Rule(None, _create_signers, users.create),
    BlockType.DEVICE_ADD: Rule(UserState, _add_signers, users.add),
    BlockType.DEVICE_REVOKE: Rule(UserState, _author, users.revoke),
    BlockType.USER_RESET: Rule(UserState, _reset_signers, users.reset),
    BlockType.USER_CLOSE: Rule(UserState, _author, users.close),
    BlockType.GROUP_CREATE: Rule(None, _group_create_signers, groups.create),
    BlockType.GROUP_UPDATE: Rule(GroupState, _group_update_signers, groups.update),
    BlockType.GROUP_CLOSE: Rule(GroupState, _group_close_signers, groups.close),
}
"""Every type but log.create, which has no log before it: `found` is its row."""


def found(block: Block, time: int) -> LogState:
    """The log that its first block makes (R-42.4, R-51.1)."""
    body = block.body
    if not isinstance(body, LogCreate):
        raise RuleViolation("R-42.4", "the first entry is not a log.create")
    _check_size(block, body.limits)
    _check_signers(block, (body.app_root, body.log_key))
    return logs.create(block, body, time)


def apply(at: Context, chain: Chain | None) -> Outcome:
    """What `at.block` does to `chain`, or `RuleViolation`. Neither is changed."""
    block = at.block
    rule = TABLE.get(block.type)
    if rule is None:
        raise RuleViolation("R-42.4", "log.create stands only at leaf 0")
    state = _check_place(block, rule, chain)
    _check_size(block, at.log.limits)
    _check_signers(block, rule.signers(block.body, at.log, state))
    if state is None:
        return rule.transition(at, block.body)
    return rule.transition(at, block.body, state)


def _check_place(block: Block, rule: Rule, chain: Chain | None) -> State | None:
    """R-43. The state that the block builds on, none for a create."""
    if chain is None:
        if rule.needs is not None:
            raise RuleViolation("R-43.2", "this label has no chain yet")
        return None
    if rule.needs is None:
        raise _stale("R-43.2", "this label already has a chain", chain)
    if not isinstance(chain.state, rule.needs):
        raise RuleViolation("R-43.2", "the label's chain is of another kind")
    if block.seq != chain.length or block.prev != chain.state.head:
        raise _stale("R-43.1", f"the chain has {chain.length} blocks; rebuild on its head", chain)
    return chain.state


def _stale(rule: str, detail: str, chain: Chain) -> StaleHead:
    head, index = chain.state.head, chain.state.index
    return StaleHead(rule, detail, length=chain.length, head=head, index=index)


def _check_size(block: Block, limits: Limits) -> None:
    if len(block.raw) > limits.max_block_bytes:
        raise RuleViolation("R-41.1", f"this log takes blocks of {limits.max_block_bytes} bytes")


def _check_signers(block: Block, expected: Keys) -> None:
    if block.envelope.signers != expected:
        raise RuleViolation("R-50.2", "the kids are not the signers this type asks for, in order")
