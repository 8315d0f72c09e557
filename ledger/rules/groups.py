"""What each block of a group's chain does to the group's state: the part in public (R-54).

Who is in the group, and whether the author was an admin, stands in the statements that the blocks
commit to: `ledger.rules.membership`.
"""

from __future__ import annotations

from hashlib import sha256
from typing import NamedTuple

from ledger.errors import RuleViolation
from ledger.format.bodies import KEY_BYTES, GroupClose, GroupCreate, GroupUpdate
from ledger.rules.context import Context, Outcome
from ledger.rules.state import GroupState, is_retired


class GroupKeys(NamedTuple):
    """The group's keys: generation, both public halves; where they came in, and its anchor."""

    generation: int
    signing: bytes | None
    encryption: bytes | None
    key_index: int
    rotated: int


def label_of(signing: bytes) -> bytes:
    """The label of the group whose first signing key this is (R-54.1)."""
    return sha256(b"\x07" + signing).digest()


def open_key(state: GroupState) -> bytes:
    """The signing key of a group that is not closed (R-54.4)."""
    if state.signing is None:
        raise RuleViolation("R-54.4", "the group is closed")
    return state.signing


def create(at: Context, body: GroupCreate) -> Outcome:
    if at.block.label != label_of(body.signing):
        raise RuleViolation("R-54.1", "the label is not the one of this signing key")
    _check_fresh(body, None)
    state = GroupState(
        head=at.block.hash,
        index=at.index,
        born=at.time,
        generation=0,
        signing=body.signing,
        encryption=body.encryption,
        key_index=at.index,
        rotated=at.block.anchor.size,
        retired=b"",
        day=at.day,
        count=1,
    )
    return Outcome(state, body.box_root)


def update(at: Context, body: GroupUpdate, state: GroupState) -> Outcome:
    if not rotates(body, state):
        return Outcome(_advance(at, state, _same_keys(state), state.retired), body.box_root)
    if len(state.retired) > at.log.limits.max_retired * KEY_BYTES:
        raise RuleViolation("R-54.5", "the group gave up too many keys: make another")
    _check_fresh(body, state)
    generation, anchored = state.generation + 1, at.block.anchor.size
    keys = GroupKeys(generation, body.signing, body.encryption, at.index, anchored)
    return Outcome(_advance(at, state, keys, _retire(state)), body.box_root)


def close(at: Context, body: GroupClose, state: GroupState) -> Outcome:
    keys = _same_keys(state)._replace(signing=None, encryption=None)
    return Outcome(_advance(at, state, keys, _retire(state)))


def rotates(body: GroupUpdate, state: GroupState) -> bool:
    """Whether the update brings new keys: both, or R-54.2."""
    signing, encryption = body.signing != state.signing, body.encryption != state.encryption
    if signing != encryption:
        raise RuleViolation("R-54.2", "a rotation changes both keys")
    return signing


def _check_fresh(body: GroupCreate, state: GroupState | None) -> None:
    """R-54.3: distinct, and new to the chain."""
    if body.signing == body.encryption:
        raise RuleViolation("R-54.3", "one key in two roles")
    if state is None:
        return
    for key in (body.signing, body.encryption):
        if key in (state.signing, state.encryption) or is_retired(state.retired, key):
            raise RuleViolation("R-54.3", f"the key {key.hex()} is or was in this chain")


def _retire(state: GroupState) -> bytes:
    return state.retired + (state.signing or b"") + (state.encryption or b"")


def _same_keys(state: GroupState) -> GroupKeys:
    since = state.key_index, state.rotated
    return GroupKeys(state.generation, state.signing, state.encryption, *since)


def _advance(at: Context, state: GroupState, keys: GroupKeys, retired: bytes) -> GroupState:
    """`state` with these, moved on to this block."""
    head, born, count = at.block.hash, state.born, at.count(state)
    return GroupState(head, at.index, born, *keys, retired, at.day, count)
