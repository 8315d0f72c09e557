"""`keyroll devices`: who may act for a person, and how that changes."""

from __future__ import annotations

from typing import TextIO

import click
from rich.console import Console
from rich.table import Table

from ledger.cli.person import Person, event_facts, event_words, find_device, person_command
from ledger.cli.pin_words import kind_of
from ledger.cli.words import example, print_json, time_of
from ledger.client.lookups.contacts import Contact
from ledger.client.replay.replica import Replica
from ledger.client.text import printable
from ledger.client.user.handover import MAX_TEXT, Offer, Request, ask
from ledger.client.user.user import User
from ledger.errors import UsageError
from ledger.format import entry
from ledger.format.bodies import DeviceKind
from ledger.rules.state import UserState


@click.group(
    epilog=example(
        "new machine   keyroll devices request > request.txt",
        "old machine   keyroll devices add request.txt > offer.txt",
        "new machine   keyroll devices accept offer.txt",
    )
)
def devices() -> None:
    """List, add and revoke devices.

    A device on another machine joins in three steps. The request is public, the offer private.
    """


@devices.command(
    "list",
    epilog=example(
        "keyroll devices list",
        "keyroll devices list 6f2c01b7…",
    ),
)
@click.argument("label", required=False)
@click.option("--accept", is_flag=True, help="Accept what was loud since you last looked.")
@person_command
async def list_devices(person: Person, label: str | None, accept: bool) -> None:
    """List your devices, or those of the user with LABEL."""
    async with person.log() as log:
        if label is None:
            user = User(log, person.home.vault)
            _show(person, log.replica, user.label, user.state)
            return
        with person.home.contacts(log) as contacts:
            contact = contacts.look(log.replica, _parse_label(label))
            if accept:
                contacts.accept(contact)
            _show(person, log.replica, contact.label, contact.state, contact)


@devices.command(
    epilog=example(
        "keyroll devices request --url https://log.example.com --log-id 6f2c… > request.txt"
    )
)
@click.option("--recovery", is_flag=True, help="For recovery: its use is loud.")
@person_command
async def request(person: Person, recovery: bool) -> None:
    """Ask to become a device of somebody.

    Prints a request: carry it to the other machine, and compare the fingerprint there.
    """
    async with person.log() as log:
        kind = DeviceKind.RECOVERY if recovery else DeviceKind.ORDINARY
        asked = ask(log.log_id, person.home.vault, kind)
        click.echo(f"fingerprint: {asked.fingerprint}", err=True)
        person.tell(asked.export(), request=asked.export(), fingerprint=asked.fingerprint)


@devices.command(epilog=example("keyroll devices add request.txt > offer.txt"))
@click.argument("request", type=click.File("r"))
@click.option("--yes", is_flag=True, help="The fingerprint was compared.")
@person_command
async def add(person: Person, request: TextIO, yes: bool) -> None:
    """Answer a new device's request, with an offer.

    REQUEST is a file, or - for standard input. Prints an offer: carry it to the new device over a
    private channel. It holds until any other change to your devices, at most 24 hours.
    """
    asked = Request.parse(request.read(MAX_TEXT))
    async with person.user() as user:
        if not yes:
            question = f"does the new device show the fingerprint {asked.fingerprint}?"
            click.confirm(question, abort=True, err=True)
        offer = (await user.offer(asked)).export()
        person.tell(offer, offer=offer, fingerprint=asked.fingerprint)


@devices.command(epilog=example("keyroll devices accept offer.txt"))
@click.argument("offer", type=click.File("r"))
@click.option("--yes", is_flag=True, help="Don't ask whose account it is.")
@person_command
async def accept(person: Person, offer: TextIO, yes: bool) -> None:
    """Become a device of whoever made the offer.

    OFFER is a file, or - for standard input.
    """
    found = Offer.parse(offer.read(MAX_TEXT))
    async with person.log() as log:
        if not yes:
            question = f"become a device of {printable(found.identity.opening.identifier)}?"
            click.confirm(question, abort=True, err=True)
        user = await User.join(log, found, person.home.vault)
        person.tell(
            f"this is a device of {user.identifier} now",
            identifier=user.identifier,
            label=user.label.hex(),
            device=user.devices[-1].signing.public.hex(),
        )


@devices.command(epilog=example("keyroll devices revoke 6f2c"))
@click.argument("keys", nargs=-1, required=True)
@person_command
async def revoke(person: Person, keys: tuple[str, ...]) -> None:
    """Take out devices, and change the user key.

    KEYS are the devices' signing keys, or how they begin.
    """
    async with person.user() as user:
        leaving = [find_device(user, key.lower()).signing for key in keys]
        await user.revoke_devices(*leaving)
        person.tell(
            f"{len(leaving)} out, {len(user.state.devices)} left",
            revoked=[key.hex() for key in leaving],
            devices=[device.signing.hex() for device in user.state.devices],
        )


def _parse_label(text: str) -> bytes:
    try:
        label = bytes.fromhex(text)
    except ValueError:
        label = b""
    if len(label) != 32:
        raise UsageError("a label is 64 hexadecimal digits")
    return label


def _show(
    person: Person,
    replica: Replica,
    label: bytes,
    state: UserState,
    contact: Contact | None = None,
) -> None:
    """The user's devices and, of a contact, what was loud."""
    if person.as_json:
        print_json(_facts(replica, label, state, contact))
        return
    held = person.home.vault.load()
    own = {device.signing.public for device in held.devices} if held else set()
    click.echo(f"{label.hex()}\nsince {time_of(state.born)}, epoch {state.epoch}")
    table = Table("signing key (its beginning)", "kind", "since", "")
    for device in state.devices:
        since = time_of(_time_of_entry(replica, device.index))
        here = "here" if device.signing in own else ""
        table.add_row(device.signing.hex()[:16], kind_of(device), since, here)
    Console().print(table if state.devices else "closed: no devices")
    for event in contact.events if contact else ():
        click.echo(f"since you last looked: {event_words(event)}, {time_of(event.time)}")
    if contact and not contact.known:
        click.echo("seen for the first time: make sure that this is the right person")


def _facts(
    replica: Replica, label: bytes, state: UserState, contact: Contact | None
) -> dict[str, object]:
    """The same for JSON."""
    found: dict[str, object] = {
        "label": label.hex(),
        "born": state.born,
        "epoch": state.epoch,
        "generation": state.generation,
        "user_key": state.user_key.hex() if state.user_key else None,
        "devices": [
            {
                "signing": device.signing.hex(),
                "encryption": device.encryption.hex(),
                "kind": DeviceKind(device.kind).name.lower(),
                "added_by": device.added_by.hex(),
                "time": _time_of_entry(replica, device.index),
            }
            for device in state.devices
        ],
    }
    if contact:
        found |= {"known": contact.known, "events": list(map(event_facts, contact.events))}
    return found


def _time_of_entry(replica: Replica, index: int) -> int:
    return entry.parse(replica.entry(index)).time
