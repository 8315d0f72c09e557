"""What an answer has to tell of somebody: what is loud, devices that nobody here knows. Pure.

>>> found = moved(found, own, time, bundle)                      # doctest: +SKIP
>>> found.pin.events, found.pin.alarms

A replay tells it from the blocks, an audited answer from what the two states differ in: then an
event's leaf is that of the newest block, and its time that of the answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ledger.client.history import Event, Step, events
from ledger.client.lookups.pins import Alarm, Found, Own, Pin, devices
from ledger.format import entry
from ledger.format.bodies import DeviceKind
from ledger.rules.state import Chain, Device, UserState
from ledger.rules.users import LoudEvent


def moved(found: Found, own: Own | None, time: int, bundle: bytes) -> Found:
    """`found`, with what is new since the pin before told in its pin.

    `time` is that of the answer, `bundle` its bytes.
    """
    before, pin = found.before, found.pin
    assert pin
    alarms: tuple[Alarm, ...] = ()
    if own and own.label == found.label:
        came = _came(found, pin)
        strange = (device for device in came if _is_strange(device, own))
        alarms = tuple(Alarm(device, _entry(found, device), bundle) for device in strange)
    told: tuple[Event, ...] = ()
    if before and pin.replayed:
        told = tuple(events(step for step in found.fresh if not _is_ours(step, own)))
    elif before:
        kinds = _differences(before.chain, pin.chain)
        told = tuple(Event(kind, found.label, pin.chain.state.index, time) for kind in kinds)
    pin = replace(pin, events=(*pin.events, *told), alarms=(*pin.alarms, *alarms))
    return replace(found, pin=pin)


def _came(found: Found, pin: Pin) -> list[Device]:
    """The devices that came since the pin before; at first sight, those that are there."""
    if not found.before:
        return list(devices(pin.chain.state))
    states = [found.before.chain.state, *(step.chain.state for step in found.fresh)]
    known, came = {device.signing for device in devices(states[0])}, []
    for state in (*states[1:], pin.chain.state):
        for device in devices(state):
            if device.signing not in known:
                known.add(device.signing)
                came.append(device)
    return came


def _is_strange(device: Device, own: Own) -> bool:
    return device.signing not in own.keys and device.added_by not in own.keys


def signed_here(found: Found, own: Own) -> list[Step]:
    """The new blocks of one's own chain that an ordinary device of this place signed.

    The secrets of a recovery device may lie elsewhere too.
    """
    if found.label != own.label or not found.before:
        return []
    states = [found.before.chain.state, *(step.chain.state for step in found.fresh)]
    ordinary = {
        device.signing
        for state in states
        for device in devices(state)
        if device.kind == DeviceKind.ORDINARY
    }
    here = own.keys & ordinary
    return [one for one in found.fresh if not here.isdisjoint(one.block.envelope.signers)]


def _is_ours(step: Step, own: Own | None) -> bool:
    """Whether a device that is here did it to its own chain: that is no news."""
    return own is not None and not own.keys.isdisjoint(step.block.envelope.signers)


def _entry(found: Found, device: Device) -> bytes:
    """The entry that brought a device, if it was shown."""
    brought: list[Step] = [step for step in found.steps if step.index == device.index]
    return entry.block(brought[0].time, brought[0].block.raw) if brought else b""


def _differences(before: Chain, after: Chain) -> Iterator[LoudEvent]:
    """What must have happened between two states of a user, in the order of its code."""
    old, new = before.state, after.state
    if not isinstance(old, UserState) or not isinstance(new, UserState):
        return
    known = {device.signing: device.kind for device in (*old.devices, *new.devices)}
    left = {device.signing for device in old.devices} - {device.signing for device in new.devices}
    arrived = [device for device in new.devices if old.device(device.signing) is None]
    reset = new.epoch != old.epoch
    if reset:
        yield LoudEvent.RESET
    if new.closed and not old.closed:
        yield LoudEvent.CLOSED
    if any(known.get(one.added_by, 0) != DeviceKind.ORDINARY for one in arrived):
        yield LoudEvent.ADDED_BY_RECOVERY
    if reset or new.closed:
        return
    if any(known[signing] != DeviceKind.ORDINARY for signing in left):
        yield LoudEvent.RECOVERY_REVOKED
    if left and len(new.devices) == 1:
        yield LoudEvent.ALL_OTHERS_REVOKED
