"""Pins and views as bytes, for a store of our own. Pure.

    view  = check ‖ [first, note, size, root, time, [* chain record], shown]
    pin   = check ‖ [chain record, accepted state, [* event], [* alarm], replayed, shown, time]
    event = [kind, leaf index, time]        alarm = [device, entry, bundle]

`check` are the first 8 bytes of SHA-256 of the rest: bytes that rotted on disk are found here,
before a log is blamed for what it never said. Errors: `StoreError`.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any, TypeVar

import cbor2

from ledger.client.history import Event
from ledger.client.lookups.pins import Alarm, LogView, Pin
from ledger.errors import StoreError
from ledger.rules.state import Chain, Device, decode_state
from ledger.rules.users import LoudEvent

T = TypeVar("T")

_CHECK_BYTES = 8


def view(value: LogView) -> bytes:
    """A view, but for its log id."""
    chain = [one.record() for one in value.chain]
    tree: list[object] = [value.first, value.note, value.size, value.root, value.time]
    return _sealed([*tree, chain, value.shown])


def parse_view(data: bytes, log_id: bytes) -> LogView:
    """The view of log `log_id` that `view` wrote."""

    def parse(f: Any) -> LogView:
        first, note, size, root, time, records, shown = f
        chain = tuple(map(Chain.from_record, records))
        return LogView(log_id, first, note, size, root, time, chain, shown)

    return _opened(data, parse)


def pin(value: Pin) -> bytes:
    """A pin, but for its label."""
    events = [[int(event.kind), event.index, event.time] for event in value.events]
    alarms = [[_device(alarm.device), alarm.entry, alarm.bundle] for alarm in value.alarms]
    accepted = value.accepted.encode()
    chain = value.chain.record()
    tree = [value.replayed, value.shown, value.time]
    return _sealed([chain, accepted, events, alarms, *tree])


def parse_pin(data: bytes, label: bytes) -> Pin:
    """The pin of `label` that `pin` wrote."""

    def parse(f: Any) -> Pin:
        events = tuple(Event(LoudEvent(one[0]), label, *one[1:]) for one in f[2])
        alarms = tuple(Alarm(Device(*device), *shown) for device, *shown in f[3])
        chain, accepted = Chain.from_record(f[0]), decode_state(f[1])
        return Pin(label, chain, accepted, events, alarms, *f[4:7])

    return _opened(data, parse)


def _device(device: Device) -> list[object]:
    return [device.signing, device.encryption, device.kind, device.added_by, device.index]


def _sealed(fields: list[object]) -> bytes:
    data = cbor2.dumps(fields)
    return sha256(data).digest()[:_CHECK_BYTES] + data


def _opened(data: bytes, parse: Callable[[Any], T]) -> T:
    check, body = data[:_CHECK_BYTES], data[_CHECK_BYTES:]
    if sha256(body).digest()[:_CHECK_BYTES] != check:
        raise _damaged()
    try:
        return parse(cbor2.loads(body))
    except Exception as error:  # what another program wrote may raise anything
        raise _damaged() from error


def _damaged() -> StoreError:
    return StoreError("what is held of this log is damaged: its file can't be relied upon")
