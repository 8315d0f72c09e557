"""A few weeks at the clinic, told as they happen.

>>> outcome = await play(Path("town"), Console())                # doctest: +SKIP
>>> outcome.leaked
frozenset()

Each chapter is a function; what must be refused is tried, and the story stops if it is not.

Second devices come in by a recovery code, which takes no replay of the log (`Keyroll.recover`). An
offer from one device to another (`User.offer`, `User.join`) takes one, so it is not used here.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from aiohttp import ClientResponseError
from rich.console import Console
from rich.table import Table

from examples.clinic.device import Device, device_secrets, secrets_of
from examples.clinic.records import Role
from examples.clinic.search import Searched, search
from examples.clinic.town import Town
from ledger import Group, RecoveryCode
from ledger import Role as Place
from ledger.client.lookups.pins import Pin
from ledger.errors import DeviceGone, NotAccepted, NotForYou, Refused, UsageError
from ledger.rules.users import LoudEvent

ADA, BEN, MIA = (f"{name}@patients.example" for name in ("ada", "ben", "mia"))
OKOYE, SAM = (f"{name}@clinic.example" for name in ("okoye", "sam"))

_A_WEEK = 7 * 86_400_000

E = TypeVar("E", bound=Exception)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the search at the end came to, by place."""

    secrets: frozenset[bytes] = field(repr=False)
    known: frozenset[bytes]
    """What the clinic and the log do know, so has to be found there: the search works."""
    clinic: Searched
    log: Searched
    locked: Searched
    unlocked: Searched

    @property
    def leaked(self) -> frozenset[bytes]:
        """The secrets that somebody could read who should not."""
        return self.secrets & (self.clinic.found | self.log.found | self.locked.found)

    @property
    def sound(self) -> bool:
        """Nothing leaked, and the search finds all of it where it is to be found."""
        works = self.known <= self.clinic.found and self.known <= self.log.found
        return works and not self.leaked and self.secrets <= self.unlocked.found


class Story:
    """What is known from one chapter to the next."""

    def __init__(self, town: Town, console: Console) -> None:
        self.town = town
        self.codes: dict[str, RecoveryCode] = {}
        """On paper, at people's homes."""
        self._console = console

    def chapter(self, title: str) -> None:
        """A new one begins."""
        self._console.print()
        self._console.rule(f"[bold]{title}", align="left")

    def tell(self, *words: str) -> None:
        """What happened, in a paragraph."""
        self._console.print(" ".join(words), highlight=False, markup=False)

    def show(self, table: Table) -> None:
        """What was counted."""
        self._console.print(table)

    def of(self, name: str) -> Device:
        """A device."""
        return self.town.devices[name]

    async def first(self, name: str, identifier: str) -> Device:
        """Somebody registers, and writes a recovery code down."""
        device = await self.town.device(name, identifier)
        await device.me.register(await device.portal.token())
        self.codes[identifier] = await device.me.recovery_code()
        return device

    async def another(self, name: str, identifier: str) -> Device:
        """Somebody goes on with another device, by their code."""
        device = await self.town.device(name, identifier)
        await device.me.recover(await device.portal.token(), self.codes[identifier])
        return device


async def play(path: Path, console: Console) -> Outcome:
    """All of it, in the directory `path`, which is there."""
    async with Town.build(path) as town:
        story = Story(town, console)
        await opening(story)
        team = await care_team(story)
        await documents_and_a_chat(story, team)
        family = await the_family(story)
        await a_phone_is_lost(story, family)
        await the_secretary_leaves(story, team)
        await back_by_a_code(story)
        secrets = write_down_all_secrets(story)
    # Both servers have ended by now: nothing is in anybody's memory any more.
    return the_search(story, secrets, frozenset({ADA.encode()}))


# --- chapters


async def opening(story: Story) -> None:
    """Everybody registers; most have two devices."""
    story.chapter("A clinic opens")
    town = story.town
    story.tell(
        f"A log runs at {town.log_url}, the clinic's application server at",
        f"{town.clinic_url}: two processes, two operators.",
    )
    town.enter(ADA, Role.PATIENT)
    town.enter(BEN, Role.PATIENT)
    town.enter(MIA, Role.PATIENT, guardian=BEN)
    town.enter(OKOYE, Role.STAFF)
    town.enter(SAM, Role.STAFF)
    await story.first("Ada's phone", ADA)
    for who, identifier, second in (
        ("Ben", BEN, "laptop"),
        ("Dr Okoye", OKOYE, "tablet"),
        ("Sam", SAM, "front desk"),
    ):
        phone = await story.first(f"{who}'s phone", identifier)
        await accept_own(phone, await story.another(f"{who}'s {second}", identifier))
        story.tell(f"{who} registers a phone, prints a recovery code, and adds a {second} with it.")
    child = await story.first("Ben's phone, for Mia", MIA)
    await accept_own(child, await story.another("Ben's laptop, for Mia", MIA))
    story.tell(
        "Each of two devices asks about the other, until its owner says: that was me.",
        "Mia is three: Ben keeps her account on his devices. Ada has but one phone.",
    )


async def accept_own(*devices: Device) -> None:
    """Each asks about the others, which it did not add: a person has to say that they did."""
    for device in devices:
        error = await refused(NotAccepted, device.me.encrypt(b"a note to myself"))
        device.me.accept(error)


async def care_team(story: Story) -> Group:
    """A compound group of the secretaries, themselves a group, and the doctor."""
    story.chapter("A care team")
    doctor = story.of("Dr Okoye's tablet")
    secretaries = await doctor.me.create_group({SAM: Place.MEMBER})
    team = await doctor.me.create_group({secretaries.label: Place.GROUP}, compound=True)
    story.tell(
        "Dr Okoye makes the group 'secretaries', which holds Sam, and the 'care team',",
        "which holds the secretaries and herself. The log shows neither who nor how many.",
    )
    await introduce(doctor, story.of("Ada's phone"), ADA, team)
    story.tell(
        "Ada may see for a week who is in it, and is told of it in a sealed message: were",
        "the clinic's server to name groups, it could name one of its own.",
    )
    return team


async def introduce(member: Device, other: Device, folder: str, group: Group) -> None:
    """Let somebody outside see who is in a group, and tell them which group it is."""
    await group.grant(await member.label(other.identifier), now() + _A_WEEK)
    number = await member.send(folder, b"We are group " + group.label, users=[other.identifier])
    same(await other.read(number, member.identifier), b"We are group " + group.label)


async def documents_and_a_chat(story: Story, team: Group) -> None:
    """Findings to patient and team, an X-ray back, and messages."""
    story.chapter("An appointment")
    ada, doctor = story.of("Ada's phone"), story.of("Dr Okoye's phone")
    desk = story.of("Sam's front desk")
    await ada.portal.book(ADA, "2027-01-14")
    days = await desk.portal.appointments(ADA)
    story.tell(f"Ada books {', '.join(days)}, and the clinic sees that: appointments are its own.")
    findings = b"Findings: the left wrist is sprained, not broken."
    number = await doctor.send(ADA, findings, users=[ADA], groups=[team.label])
    for reader in (ada, desk):
        same(await reader.read(number, OKOYE), findings)
    story.tell(
        "Dr Okoye's findings are for Ada and the care team. Ada reads them, and so does Sam,",
        "as a secretary; each sees that Dr Okoye wrote them, signed by a device of hers.",
    )
    picture = b"An X-ray of the wrist of Ada's: " + bytes(range(256)) * 1_200
    number = await ada.send(ADA, picture, groups=[team.label])
    same(await story.of("Dr Okoye's tablet").read(number, ADA), picture)
    story.tell(f"Ada sends the team an X-ray of {len(picture):,} bytes.")
    outsider = story.of("Ben's phone")
    await refused(ClientResponseError, outsider.portal.get(number))
    stolen = await ada.portal.get(number)
    await refused(NotForYou, outsider.open(stolen, ADA))
    story.tell("Ben gets nothing of it from the clinic, nor could he open it if he did.")
    await a_chat(story, ada, doctor)


async def a_chat(story: Story, ada: Device, doctor: Device) -> None:
    """One session for all its messages."""
    chat = await ada.me.begin([OKOYE])
    question = b"May I play the piano on Sunday?"
    number = await ada.send(ADA, question, session=chat)
    same(await doctor.read(number, ADA), question)
    answer = b"With the right hand only, please."
    joined = await doctor.me.session(await doctor.portal.get(number))
    number = await doctor.send(ADA, answer, session=joined)
    same(await ada.read(number, OKOYE), answer)
    story.tell("They chat: one session, one key for all its messages, in both directions.")


async def the_family(story: Story) -> Group:
    """A child's account in a group with a parent."""
    story.chapter("A child's account")
    ben, doctor = story.of("Ben's phone"), story.of("Dr Okoye's tablet")
    family = await ben.me.create_group({MIA: Place.MEMBER})
    await introduce(ben, doctor, BEN, family)
    record = b"Mia was vaccinated against measles today."
    number = await doctor.send(MIA, record, groups=[family.label])
    for name in ("Ben's phone", "Ben's laptop", "Ben's phone, for Mia", "Ben's laptop, for Mia"):
        same(await story.of(name).read(number, OKOYE), record)
    story.tell(
        "Ben and Mia are a family group. What Dr Okoye seals to it, both of them read; when",
        "Mia is old enough, she takes her account along, and can read all of it.",
    )
    return family


async def a_phone_is_lost(story: Story, family: Group) -> None:
    """Its keys leave both accounts; the user keys and the family's are new at once."""
    story.chapter("A phone is lost")
    doctor, laptop = story.of("Dr Okoye's tablet"), story.of("Ben's laptop")
    lost, childs = story.of("Ben's phone"), story.of("Ben's phone, for Mia")
    await story.of("Ben's laptop, for Mia").me.revoke_device(childs.signing)
    renewed = await laptop.me.revoke_device(lost.signing)
    if renewed != [family.label]:
        raise RuntimeError("the family's keys are still the old ones")
    story.tell(
        "Ben leaves his phone on a tram, and revokes it from his laptop, for Mia as well.",
        "That gives both of them new keys, and at once the family, of which he is an admin.",
    )
    await laptop.me.group(family.label).grant(await laptop.label(OKOYE), now() + _A_WEEK)
    story.tell("What the phone had granted ended with it: the laptop lets Dr Okoye look anew.")
    text = b"Mia's next vaccination is due in March."
    number = await doctor.send(MIA, text, groups=[family.label])
    same(await laptop.read(number, OKOYE), text)
    same(await story.of("Ben's laptop, for Mia").read(number, OKOYE), text)
    sealed = await lost.portal.get(number)
    for finder in (lost, childs):
        await refused(Refused, finder.open(sealed, OKOYE))
        await refused(DeviceGone, finder.me.refresh())
    story.tell(
        "Whoever found the phone is logged in at the clinic still, and gets the sealed bytes of",
        "Dr Okoye's next message. The log gives the phone nothing to open them with any more: no",
        "box is sealed to what it knows. It learns that it was revoked.",
    )


async def the_secretary_leaves(story: Story, team: Group) -> None:
    """Out of a group within the group: nothing is sealed to the team before it has new keys."""
    story.chapter("The secretary leaves")
    doctor, ada = story.of("Dr Okoye's tablet"), story.of("Ada's phone")
    desk = story.of("Sam's front desk")
    (way,) = await team.why(await doctor.label(SAM))
    secretaries = doctor.me.group(way.through or b"")
    await secretaries.remove(await doctor.label(SAM))
    story.tell(
        "Sam leaves, and Dr Okoye takes him out of the secretaries. The care team still has",
        "the keys that he knew, so it is stale: Ada's phone seals nothing to it.",
    )
    error = await refused(UsageError, ada.send(ADA, b"Is it me again?", groups=[team.label]))
    story.tell(f"  {error}".replace(team.label.hex(), f"{team.label.hex()[:8]}…"))
    text = b"From today on, Kim answers the telephone."
    number = await doctor.send(ADA, text, users=[ADA], groups=[team.label])
    story.tell("Dr Okoye is an admin: when she seals something to it, it gets new keys first.")
    sealed = await desk.portal.get(number)
    await refused(NotForYou, desk.open(sealed, OKOYE))
    same(await ada.read(number, OKOYE), text)
    question = b"Welcome, Kim. The wrist is better."
    same(await doctor.read(await ada.send(ADA, question, groups=[team.label]), ADA), question)
    story.town.dismiss(SAM)
    await refused(ClientResponseError, desk.portal.get(number))
    story.tell("Sam's login worked for an hour longer, as such things do. It got him sealed bytes.")


async def back_by_a_code(story: Story) -> None:
    """All devices are lost. E-mail recovery will have its chapter beside this one."""
    story.chapter("A way back in")
    doctor = story.of("Dr Okoye's tablet")
    new = await story.another("Ada's new phone", ADA)
    story.tell("Ada's only phone falls into a lake. The paper with her recovery code lies at home.")
    await new.me.revoke_device(story.of("Ada's phone").signing)
    text = b"Your plaster can come off on Friday."
    error = await refused(NotAccepted, doctor.send(ADA, text, users=[ADA]))
    story.tell(
        f"Dr Okoye's next message to {error.names[0]} is stopped: {why(error)}.",
        "It might be a thief with the code. She telephones Ada, and accepts.",
    )
    doctor.me.accept(error)
    same(await new.read(await doctor.send(ADA, text, users=[ADA]), OKOYE), text)
    first, *_ = await new.portal.folder(ADA)
    await new.read(first, OKOYE)
    story.tell("Ada reads it, and all that came before: old keys are sealed to the new ones.")


# --- the search


def write_down_all_secrets(story: Story) -> frozenset[bytes]:
    """Everything that was read or written, and every private key; also beside, in clear."""
    secrets: set[bytes] = set()
    for device in story.town.devices.values():
        unlocked = story.town.path / "unlocked" / device.name
        unlocked.mkdir(parents=True)
        (unlocked / "account").write_bytes(device.account.encode())
        (unlocked / "shown").write_bytes(b"\n".join(device.shown))
        secrets.update(secrets_of(device.account), device.shown)
    papers = story.town.path / "unlocked" / "papers"
    papers.mkdir()
    for identifier, code in story.codes.items():
        known = (*device_secrets(code.device(story.town.log_id)), code.secret, code.words.encode())
        (papers / identifier).write_bytes(b"\n".join(known))
        secrets.update(known)
    return frozenset(secrets)


def the_search(story: Story, secrets: frozenset[bytes], known: frozenset[bytes]) -> Outcome:
    """Through all that the clinic, the log and locked devices hold; and where it must turn up."""
    story.chapter("The search")
    wanted = secrets | known
    places = {
        "the clinic: database, keys, log file": "clinic",
        "the log: LMDB, files, log file": "log",
        "people's devices, locked": "devices",
        "people's devices, unlocked; papers at home": "unlocked",
    }
    found = {name: search(story.town.path / name, wanted) for name in places.values()}
    table = Table("where", "files", "bytes", f"of {len(secrets)} secrets", box=None)
    for words, name in places.items():
        one = found[name]
        table.add_row(words, f"{one.files}", f"{one.size:,}", f"{len(one.found & secrets)}")
    story.tell("Every text that was written and every private key, in all that lies on disk:")
    story.show(table)
    return Outcome(secrets, known, *found.values())


# --- what is said twice


def why(error: NotAccepted) -> str:
    """What happened to people, in words."""
    events = [one for pin in error.people if isinstance(pin, Pin) for one in pin.events]
    names = [LoudEvent(event.kind).name for event in events]
    return ", ".join(name.lower().replace("_", " ") for name in names)


def same(found: bytes, expected: bytes) -> None:
    """Stop the story where somebody read something else than was written."""
    if found != expected:
        raise RuntimeError(f"{found[:60]!r} was read, {expected[:60]!r} was written")


async def refused(kind: type[E], attempt: Awaitable[object]) -> E:
    """The error that an attempt must end with."""
    try:
        await attempt
    except kind as error:
        return error
    raise RuntimeError(f"this should have ended with {kind.__name__}")


def now() -> int:
    """Ms since 1970."""
    return time.time_ns() // 1_000_000
