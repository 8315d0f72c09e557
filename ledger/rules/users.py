"""What each block of a user's chain does to the user's state (R-52, R-53)."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple

from ledger.errors import RuleViolation
from ledger.format.bodies import (
    KEY_BYTES,
    Delegation,
    DeviceAdd,
    DeviceKind,
    DeviceRevoke,
    Purpose,
    UserClose,
    UserCreate,
    UserReset,
)
from ledger.rules.context import Context, Outcome
from ledger.rules.state import Device, UserState, is_retired


class LoudEvent(IntEnum):
    """What every contact is told of, and stops encryption until accepted."""

    RESET = 0
    CLOSED = 1
    ADDED_BY_RECOVERY = 2
    RECOVERY_REVOKED = 3
    ALL_OTHERS_REVOKED = 4


class UserKey(NamedTuple):
    """The user's key: its generation, its public half, the leaf index where it came in."""

    generation: int
    public: bytes | None
    since: int


def create(at: Context, body: UserCreate) -> Outcome:
    _check_delegation(at, body.delegation, Purpose.CREATE)
    if body.delegation.epoch != 0:
        raise RuleViolation("R-52.4", "a user begins in epoch 0")
    _check_first_device(body)
    _check_fresh(_entering(body), None)
    state = UserState(
        head=at.block.hash,
        index=at.index,
        born=at.time,
        commitment=body.delegation.commitment,
        epoch=0,
        generation=0,
        user_key=body.user_key,
        user_key_index=at.index,
        devices=(_first_device(at, body),),
        retired=b"",
        day=at.day,
        count=1,
    )
    return Outcome(state, body.box_root, (body.device.encryption,))


def add(at: Context, body: DeviceAdd, state: UserState) -> Outcome:
    author = _author(state, body.author)
    if len(state.devices) >= at.log.limits.max_devices:
        raise RuleViolation("R-53.4", f"the user already has {len(state.devices)} devices")
    _check_fresh((body.device.signing, body.device.encryption), state)
    device = Device.enter(body.device, body.author, at.index)
    events = (LoudEvent.ADDED_BY_RECOVERY,) if author.kind != DeviceKind.ORDINARY else ()
    after = _advance(at, state, (*state.devices, device), state.retired, _same_key(state))
    return Outcome(after, body.box_root, (device.encryption,), events)


def revoke(at: Context, body: DeviceRevoke, state: UserState) -> Outcome:
    _author(state, body.author)
    leaving = _leaving(state, body)
    if len(state.retired) > at.log.limits.max_retired * KEY_BYTES:
        raise RuleViolation("R-53.6", "the chain gave up too many keys: only a reset helps")
    _check_fresh((body.user_key,), state)
    remaining = tuple(d for d in state.devices if d.signing not in body.revoked)
    after = _advance(at, state, remaining, _retire(state, leaving), _new_key(at, body, state))
    recipients = (*(d.encryption for d in remaining), body.user_key)
    return Outcome(after, body.box_root, recipients, _revoke_events(leaving, remaining))


def reset(at: Context, body: UserReset, state: UserState) -> Outcome:
    _check_delegation(at, body.delegation, Purpose.RESET)
    if body.delegation.epoch != state.epoch or body.delegation.commitment != state.commitment:
        raise RuleViolation("R-52.4", "the delegation is for another epoch or commitment")
    _check_first_device(body)
    _check_fresh(_entering(body), state)
    devices, retired = (_first_device(at, body),), _retire(state, state.devices)
    after = _advance(at, state, devices, retired, _new_key(at, body, state), state.epoch + 1)
    return Outcome(after, body.box_root, (body.device.encryption,), (LoudEvent.RESET,))


def close(at: Context, body: UserClose, state: UserState) -> Outcome:
    _author(state, body.author)
    key = UserKey(state.generation, None, state.user_key_index)
    after = _advance(at, state, (), _retire(state, state.devices), key)
    return Outcome(after, None, (), (LoudEvent.CLOSED,))


def _check_delegation(at: Context, delegation: Delegation, purpose: Purpose) -> None:
    if delegation.envelope.signers != (at.log.enrolment,):
        raise RuleViolation("R-52.1", "the delegation is not by the log's enrolment key")
    if delegation.log_id != at.log_id:
        raise RuleViolation("R-52.2", "the delegation is for another log")
    if delegation.purpose != purpose:
        raise RuleViolation("R-52.2", "the delegation is for another purpose")
    if delegation.expiry < at.time:
        raise RuleViolation("R-52.3", "the delegation has expired: ask for a new identity token")


def _check_first_device(body: UserCreate) -> None:
    if body.device.kind != DeviceKind.ORDINARY:
        raise RuleViolation("R-53.2", "the first device of an epoch is no recovery device")


def _entering(body: UserCreate) -> tuple[bytes, ...]:
    return (body.delegation.ephemeral, body.device.signing, body.device.encryption, body.user_key)


def _check_fresh(keys: tuple[bytes, ...], state: UserState | None) -> None:
    """R-53.1: distinct, and new to the chain."""
    if len(set(keys)) != len(keys):
        raise RuleViolation("R-53.1", "a key enters twice")
    if state is None:
        return
    current = {state.user_key}
    for device in state.devices:
        current.update((device.signing, device.encryption))
    for key in keys:
        if key in current or is_retired(state.retired, key):
            raise RuleViolation("R-53.1", f"the key {key.hex()} is or was in this chain")


def _author(state: UserState, signing: bytes) -> Device:
    device = state.device(signing)
    if device is None:
        raise RuleViolation("R-53.3", f"{signing.hex()} is not a live device of this user")
    return device


def _leaving(state: UserState, body: DeviceRevoke) -> tuple[Device, ...]:
    """R-53.5: each a live device, once, in the state's order, and not the author."""
    leaving = tuple(d for d in state.devices if d.signing in body.revoked)
    if tuple(d.signing for d in leaving) != body.revoked:
        raise RuleViolation("R-53.5", "the revoked are not live devices in the state's order")
    if body.author in body.revoked:
        raise RuleViolation("R-53.5", "a device can't choose the user key that it is kept from")
    return leaving


def _revoke_events(
    leaving: Iterable[Device], remaining: tuple[Device, ...]
) -> tuple[LoudEvent, ...]:
    events = []
    if any(device.kind != DeviceKind.ORDINARY for device in leaving):
        events.append(LoudEvent.RECOVERY_REVOKED)
    if len(remaining) == 1:
        events.append(LoudEvent.ALL_OTHERS_REVOKED)
    return tuple(events)


def _retire(state: UserState, leaving: Iterable[Device]) -> bytes:
    pairs = b"".join(device.signing + device.encryption for device in leaving)
    return state.retired + pairs + (state.user_key or b"")


def _first_device(at: Context, body: UserCreate) -> Device:
    return Device.enter(body.device, body.device.signing, at.index)


def _same_key(state: UserState) -> UserKey:
    return UserKey(state.generation, state.user_key, state.user_key_index)


def _new_key(at: Context, body: DeviceRevoke | UserReset, state: UserState) -> UserKey:
    return UserKey(state.generation + 1, body.user_key, at.index)


def _advance(
    at: Context,
    state: UserState,
    devices: tuple[Device, ...],
    retired: bytes,
    key: UserKey,
    epoch: int | None = None,
) -> UserState:
    """`state` with these, moved on to this block; R-53.7 counts it."""
    # Written out: `dataclasses.replace` takes three times as long, 4 us a block.
    return UserState(
        at.block.hash,
        at.index,
        state.born,
        state.commitment,
        state.epoch if epoch is None else epoch,
        *key,
        devices,
        retired,
        at.day,
        at.count(state),
    )
