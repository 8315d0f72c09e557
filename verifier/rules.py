"""What a block may do to its chain: the state machine (specs/50-rules).

    check_link(chain, block, log)                             # or BrokenRule
    state = apply(chain, block, Place(index, time, log_id, log))

`log` is the state of the log's own chain before this block, `chain` that of the block's label, or
None. Blocks come from `blocks.open_block`, so shape and signatures are settled; the anchor is
checked by `replay`, which knows the tree. Of groups these are the public rules; what their
statements say is for `groups`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from hashlib import sha256
from typing import Any, TypeVar

from verifier.blocks import (
    CREATES,
    DEVICE_ADD,
    DEVICE_REVOKE,
    GROUP_CLOSE,
    GROUP_UPDATE,
    LOG_CREATE,
    LOG_POLICY,
    USER_CLOSE,
    USER_CREATE,
    USER_RESET,
    Block,
    Delegation,
)
from verifier.errors import BrokenRule
from verifier.states import (
    Chain,
    Demands,
    Device,
    GroupState,
    Limits,
    LogState,
    Place,
    State,
    UserState,
)

DAY = 86_400_000
RESET, CLOSED, ADDED_BY_RECOVERY, RECOVERY_REVOKED, ALL_OTHERS_REVOKED = range(5)
ORIGIN_LENGTHS = range(1, 129)
ORIGIN_CHARACTERS = frozenset(map(chr, range(0x21, 0x7F))) - {"+"}
# Whose chain a block continues, by the tag of its state.
CONTINUES = {
    LOG_POLICY: 0,
    DEVICE_ADD: 1,
    DEVICE_REVOKE: 1,
    USER_RESET: 1,
    USER_CLOSE: 1,
    GROUP_UPDATE: 2,
    GROUP_CLOSE: 2,
}

Owner = TypeVar("Owner", UserState, GroupState)


def create_log(block: Block, index: int, time: int) -> LogState:
    """The first state of a log (R-42.4, R-51.1)."""
    if block.kind != LOG_CREATE or index != 0:
        raise BrokenRule("R-42.4", "entry 0 is log.create, and no other")
    origin, _nonce, *keys = block.body[:7]
    limits, heartbeat, demands = Limits(*block.body[7:12]), block.body[12], block.body[13:]
    if len(origin) not in ORIGIN_LENGTHS or not ORIGIN_CHARACTERS.issuperset(origin):
        raise BrokenRule("R-51.1", "the origin is not 1 to 128 characters from ! to ~ except +")
    if len(set(keys)) != len(keys):
        raise BrokenRule("R-51.1", "the five keys are not distinct")
    if heartbeat > demands[2]:
        raise BrokenRule("R-51.1", "the heartbeat is longer than max_age")
    if block.size > limits.block_bytes:
        raise BrokenRule("R-41.1", "the block is longer than its own limit")
    _require_signers(block, (keys[0], keys[2]))
    frame = (0, block.hash, index, time, origin, *keys)
    return LogState._make((*frame, limits, heartbeat, Demands(*demands), b""))


def check_link(chain: Chain | None, block: Block, log: LogState) -> None:
    """The block continues its chain (R-42.4, R-43) and is not too long (R-41.1)."""
    if block.size > log.limits.block_bytes:
        raise BrokenRule("R-41.1", "the block is longer than the log's limit")
    if block.kind == LOG_CREATE:
        raise BrokenRule("R-42.4", "a second log.create")
    if (chain is None) != (block.kind in CREATES):
        raise BrokenRule("R-43.2", "a create on a chain that exists, or no chain to continue")
    if chain is None:
        return
    if chain.state.tag != CONTINUES[block.kind]:
        raise BrokenRule("R-43.2", "the chain is not of the block's kind")
    if block.seq != chain.length or block.prev != chain.state.head:
        raise BrokenRule("R-43.1", "seq or prev is not that of the chain's head")


def apply(chain: Chain | None, block: Block, place: Place) -> State:
    """The chain's state after a block that continues it (R-50 and on)."""
    if chain is None:
        return (_create_user if block.kind == USER_CREATE else _create_group)(block, place)
    state = chain.state
    if isinstance(state, UserState):
        return _USER_STEPS[block.kind](state, block, place)
    if isinstance(state, GroupState):
        return _GROUP_STEPS[block.kind](state, block, place)
    return _policy(state, block, place.leaf_index)


def events(before: State | None, after: State) -> list[int]:
    """The loud events of a step: what every contact of a user is told."""
    if not isinstance(before, UserState) or not isinstance(after, UserState):
        return []
    if after.epoch > before.epoch:
        return [RESET]
    if before.devices and not after.devices:
        return [CLOSED]
    if len(after.devices) > len(before.devices):
        author = after.devices[-1][3]
        recovery = any(device[0] == author and device[2] != 0 for device in before.devices)
        return [ADDED_BY_RECOVERY] if recovery else []
    kinds = [device[2] for device in before.devices if device not in after.devices]
    found = [RECOVERY_REVOKED] if any(kinds) else []
    return [*found, ALL_OTHERS_REVOKED] if len(after.devices) == 1 else found


def _require_signers(block: Block, signers: Collection[bytes]) -> None:
    if block.kids != signers:
        raise BrokenRule("R-50.2", "the kids are not the signers, in number and order")


def _policy(log: LogState, block: Block, index: int) -> LogState:
    app_root, enrolment, *numbers = block.body
    limits = Limits(*numbers)
    pairs = ((app_root, log.app_root), (enrolment, log.enrolment))
    new = [key for key, old in pairs if key != old]
    _require_signers(block, (log.app_root, log.log_key, *new))
    if not new and limits == log.limits:
        raise BrokenRule("R-51.2", "nothing changes")
    mine = (log.app_root, log.enrolment, log.log_key, log.vrf_key, log.authority)
    if len(set(new)) < len(new) or any(key in mine or _holds(log.retired, key) for key in new):
        raise BrokenRule("R-51.3", "a new key that is in use, retired or given twice")
    return log._replace(
        head=block.hash,
        leaf_index=index,
        app_root=app_root,
        enrolment=enrolment,
        limits=limits,
        retired=log.retired + b"".join([old for key, old in pairs if key != old]),
    )


def _create_user(block: Block, place: Place) -> UserState:
    said, signing, encryption, kind, user_key, _root = block.body
    delegation = Delegation(*said)
    _require_signers(block, (delegation.ephemeral, signing))
    _check_delegation(delegation, 0, place)
    if delegation.epoch != 0:
        raise BrokenRule("R-52.4", "the epoch of a first delegation is not 0")
    _require_fresh((delegation.ephemeral, signing, encryption, user_key), (), b"")
    device = _first_device(signing, encryption, kind, place.leaf_index)
    return UserState(
        1,
        block.hash,
        place.leaf_index,
        place.time,
        delegation.commitment,
        0,
        0,
        user_key,
        place.leaf_index,
        [device],
        b"",
        place.time // DAY,
        1,
    )


def _reset(state: UserState, block: Block, place: Place) -> UserState:
    said, signing, encryption, kind, user_key, _root = block.body
    delegation = Delegation(*said)
    _require_signers(block, (delegation.ephemeral, place.log.authority, signing))
    _check_delegation(delegation, 1, place)
    if (delegation.epoch, delegation.commitment) != (state.epoch, state.commitment):
        raise BrokenRule("R-52.4", "the delegation is for another epoch or commitment")
    named = (delegation.ephemeral, signing, encryption, user_key)
    _require_fresh(named, _current(state), state.retired)
    device = _first_device(signing, encryption, kind, place.leaf_index)
    return _follow(
        state,
        block,
        place,
        epoch=state.epoch + 1,
        generation=state.generation + 1,
        user_key=user_key,
        user_key_index=place.leaf_index,
        devices=[device],
        retired=state.retired + b"".join(_current(state)),
    )


def _add(state: UserState, block: Block, place: Place) -> UserState:
    author, signing, encryption, kind, _root = block.body
    _require_signers(block, (author, signing))
    _require_author(state, author)
    _require_fresh((signing, encryption), _current(state), state.retired)
    if len(state.devices) >= place.log.limits.devices:
        raise BrokenRule("R-53.4", f"more than {place.log.limits.devices} devices")
    device = (signing, encryption, kind, author, place.leaf_index)
    return _follow(state, block, place, devices=[*state.devices, device])


def _revoke(state: UserState, block: Block, place: Place) -> UserState:
    author, revoked, user_key, _root = block.body
    _require_signers(block, (author,))
    _require_author(state, author)
    out = [device for device in state.devices if device[0] in revoked]
    if tuple([signing for signing, *_ in out]) != revoked or author in revoked:
        raise BrokenRule(
            "R-53.5", "revoked are not devices of the state, once, in order, without author"
        )
    if len(state.retired) > 32 * place.log.limits.retired:
        raise BrokenRule("R-53.6", f"more than {place.log.limits.retired} retired keys")
    _require_fresh((user_key,), _current(state), state.retired)
    assert state.user_key is not None  # a closed chain has no author
    return _follow(
        state,
        block,
        place,
        generation=state.generation + 1,
        user_key=user_key,
        user_key_index=place.leaf_index,
        devices=[device for device in state.devices if device[0] not in revoked],
        retired=b"".join((state.retired, *_keys(out), state.user_key)),
    )


def _close(state: UserState, block: Block, place: Place) -> UserState:
    (author,) = block.body
    _require_signers(block, (author,))
    _require_author(state, author)
    return _follow(
        state,
        block,
        place,
        user_key=None,
        devices=[],
        retired=state.retired + b"".join(_current(state)),
    )


_USER_STEPS = {
    DEVICE_ADD: _add,
    DEVICE_REVOKE: _revoke,
    USER_RESET: _reset,
    USER_CLOSE: _close,
}


def _create_group(block: Block, place: Place) -> GroupState:
    _commitment, signing, encryption, _root = block.body
    _require_signers(block, (signing,))
    if block.label != sha256(b"\x07" + signing).digest():
        raise BrokenRule("R-54.1", "the label is not that of the signing key")
    _require_fresh((signing, encryption), (), b"", "R-54.3")
    return GroupState(
        2,
        block.hash,
        place.leaf_index,
        place.time,
        0,
        signing,
        encryption,
        place.leaf_index,
        block.anchor_size,
        b"",
        place.time // DAY,
        1,
    )


def _update_group(state: GroupState, block: Block, place: Place) -> GroupState:
    old = _open_keys(state)
    _commitment, *new, _root = block.body
    _require_signers(block, tuple(dict.fromkeys((old[0], new[0]))))
    kept = [key == before for key, before in zip(new, old, strict=True)]
    if any(kept) != all(kept):
        raise BrokenRule("R-54.2", "one of the two keys is new and the other is not")
    if all(kept):
        return _follow(state, block, place)
    if len(state.retired) > 32 * place.log.limits.retired:
        raise BrokenRule("R-54.5", f"more than {place.log.limits.retired} retired keys")
    _require_fresh(tuple(new), old, state.retired, "R-54.3")
    return _follow(
        state,
        block,
        place,
        generation=state.generation + 1,
        signing=new[0],
        encryption=new[1],
        key_index=place.leaf_index,
        rotated=block.anchor_size,
        retired=b"".join((state.retired, *old)),
    )


def _close_group(state: GroupState, block: Block, place: Place) -> GroupState:
    old = _open_keys(state)
    _require_signers(block, (old[0],))
    return _follow(
        state,
        block,
        place,
        signing=None,
        encryption=None,
        retired=b"".join((state.retired, *old)),
    )


def _open_keys(state: GroupState) -> tuple[bytes, bytes]:
    """Signing and encryption key of a group that is not closed."""
    if state.signing is None or state.encryption is None:
        raise BrokenRule("R-54.4", "the group is closed")
    return state.signing, state.encryption


_GROUP_STEPS = {GROUP_UPDATE: _update_group, GROUP_CLOSE: _close_group}


def _follow(state: Owner, block: Block, place: Place, **changes: Any) -> Owner:
    """The state with these changes and what every block changes; R-53.7."""
    day = place.time // DAY
    count = state.day_count + 1 if day == state.day else 1
    if count > place.log.limits.blocks_per_day:
        raise BrokenRule("R-53.7", f"more than {place.log.limits.blocks_per_day} blocks in a day")
    return state._replace(
        head=block.hash, leaf_index=place.leaf_index, day=day, day_count=count, **changes
    )


def _check_delegation(delegation: Delegation, purpose: int, place: Place) -> None:
    if delegation.kid != place.log.enrolment:
        raise BrokenRule("R-52.1", "the delegation is not by the log's enrolment key")
    if delegation.log_id != place.log_id or delegation.purpose != purpose:
        raise BrokenRule("R-52.2", "the delegation is for another log or purpose")
    if delegation.expiry < place.time:
        raise BrokenRule("R-52.3", "the delegation has expired")


def _first_device(signing: bytes, encryption: bytes, kind: int, index: int) -> Device:
    if kind != 0:
        raise BrokenRule("R-53.2", "the first device of an epoch is an ordinary one")
    return signing, encryption, kind, signing, index


def _require_author(state: UserState, author: bytes) -> None:
    if author not in [device[0] for device in state.devices]:
        raise BrokenRule("R-53.3", "the author is not a device of the state")


def _require_fresh(
    named: tuple[bytes, ...], taken: Iterable[bytes], retired: bytes, rule: str = "R-53.1"
) -> None:
    """R-15.4: keys that a block names anew, an ephemeral one too, are new to the chain."""
    keys = set(named)
    if len(keys) < len(named) or not keys.isdisjoint(taken):
        raise BrokenRule(rule, "a new key is in use, or given twice")
    if retired and any(_holds(retired, key) for key in named):
        raise BrokenRule(rule, "a new key was retired")


def _keys(devices: Iterable[Device]) -> list[bytes]:
    return [key for device in devices for key in device[:2]]


def _current(state: UserState) -> list[bytes]:
    """The chain's keys in the order in which they retire: the devices', then the user key."""
    keys = _keys(state.devices)
    if state.user_key is not None:
        keys.append(state.user_key)
    return keys


def _holds(retired: bytes, key: bytes) -> bool:
    """Whether `key` is one of the keys of which `retired` is the concatenation."""
    at = retired.find(key)
    while at % 32 and at >= 0:
        at = retired.find(key, at + 1)
    return at >= 0
