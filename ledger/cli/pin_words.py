"""How lookups and contacts are told: who stands there, how far that is proven, what was loud."""

from __future__ import annotations

import click
from rich.console import Console
from rich.table import Table

from ledger.cli.person import event_facts, event_words
from ledger.cli.words import time_of
from ledger.client.lookups.pins import Found, Pin, Standing
from ledger.format.bodies import DeviceKind
from ledger.rules.state import Device, UserState

STANDINGS = {
    Standing.SIGNED: "signed by the log; no auditor is asked for",
    Standing.PROVISIONAL: "signed by the log; auditors have yet to cover it",
    Standing.SETTLED: "covered by auditors",
}


_KINDS = {
    DeviceKind.ORDINARY: "ordinary",
    DeviceKind.RECOVERY: "recovery",
    DeviceKind.MAIL_RECOVERY: "recovery by e-mail",
}


def kind_of(device: Device) -> str:
    """What a device is for, for people."""
    return _KINDS[DeviceKind(device.kind)]


def found_facts(found: Found) -> dict[str, object]:
    """How far an answer goes, for JSON."""
    return {
        "label": found.label.hex(),
        "found": found.pin is not None,
        "known": found.known,
        "standing": found.standing.value,
    }


def pin_facts(pin: Pin) -> dict[str, object]:
    """A pin, for JSON. Of a group there are no devices, but keys."""
    state = pin.chain.state
    found: dict[str, object] = {
        "label": pin.label.hex(),
        "length": pin.chain.length,
        "accumulator": pin.chain.accumulator.hex(),
        "born": state.born,
        "index": state.index,
        "replayed": pin.replayed,
        "quiet": pin.quiet,
        "events": list(map(event_facts, pin.events)),
    }
    if isinstance(state, UserState):
        found |= {
            "epoch": state.epoch,
            "generation": state.generation,
            "user_key": state.user_key.hex() if state.user_key else None,
            "user_key_changed": pin.user_key_changed,
            "devices": list(map(_device_facts, state.devices)),
            "recoverable_by_mail": pin.recoverable_by_mail,
            "arrived": [device.signing.hex() for device in pin.arrived],
            "alarms": [
                {**_device_facts(one.device), "entry": one.entry.hex(), "bundle": one.bundle.hex()}
                for one in pin.alarms
            ],
        }
    return found


def tell_pin(pin: Pin, name: str = "") -> None:
    """The same, for people."""
    state = pin.chain.state
    click.echo(f"{name}  {pin.label.hex()}" if name else pin.label.hex())
    if not isinstance(state, UserState):
        click.echo(f"a group, since {time_of(state.born)}, {pin.chain.length} blocks")
        return
    click.echo(f"since {time_of(state.born)}, epoch {state.epoch}, {pin.chain.length} blocks")
    table = Table("signing key (its beginning)", "kind", "")
    arrived = {device.signing for device in pin.arrived}
    for device in state.devices:
        new = "new" if device.signing in arrived else ""
        table.add_row(device.signing.hex()[:16], kind_of(device), new)
    Console().print(table if state.devices else "closed: no devices")
    if pin.recoverable_by_mail:
        click.echo("recoverable by e-mail: whoever reads their mail may get in, see SECURITY.md")
    for event in pin.events:
        click.echo(f"since it was accepted: {event_words(event)}, {time_of(event.time)}")
    for alarm in pin.alarms:
        key = alarm.device.signing.hex()[:16]
        click.echo(f"alarm: nobody here added the device {key}: revoke it, or accept it")


def _device_facts(device: Device) -> dict[str, object]:
    return {
        "signing": device.signing.hex(),
        "encryption": device.encryption.hex(),
        "kind": DeviceKind(device.kind).name.lower(),
        "added_by": device.added_by.hex(),
        "index": device.index,
    }
