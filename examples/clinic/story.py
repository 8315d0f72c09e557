"""A few weeks at the clinic, told as they happen.

>>> outcome = await play(Path("town"), Console())                # doctest: +SKIP
>>> outcome.leaked
frozenset()

Each chapter is a function; what must be refused is tried, and the story stops if it is not.
"""

from __future__ import annotations

from pathlib import Path

from aiohttp import ClientResponseError
from rich.console import Console

from examples.clinic.device import Device, secrets_of
from examples.clinic.ending import Outcome, the_search, write_down_all_secrets
from examples.clinic.records import Role
from examples.clinic.teller import Story, now, refused, same, why
from examples.clinic.town import Town
from ledger import Group
from ledger import Role as Place
from ledger.errors import DeviceGone, NotAccepted, NotForYou, UsageError

ADA, BEN, FAY, MIA = (f"{name}@patients.example" for name in ("ada", "ben", "fay", "mia"))
OKOYE, SAM = (f"{name}@clinic.example" for name in ("okoye", "sam"))

_A_WEEK = 7 * 86_400_000


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
        await somebody_new(story)
        await back_by_a_code(story)
        kept = await back_by_mail(story)
        secrets = write_down_all_secrets(story)
    # All servers have ended by now: nothing is in anybody's memory any more.
    return the_search(story, secrets, frozenset({ADA.encode()}), kept)


# --- chapters


async def opening(story: Story) -> None:
    """Everybody registers; most have two devices."""
    story.chapter("A clinic opens")
    town = story.town
    story.tell(
        f"A log runs at {town.log_url}, the clinic's application server at {town.clinic_url},",
        f"a recovery service at {town.recovery_url}: three processes, three operators.",
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
        await story.second(f"{who}'s {second}", phone)
        story.tell(f"{who} registers a phone, prints a recovery code, and adds a {second}.")
    await story.second("Ben's laptop, for Mia", await story.first("Ben's phone, for Mia", MIA))
    story.tell(
        "A new device and an old one show the same fingerprint, and their owner compares them.",
        "Mia is three: Ben keeps her account on his devices. Ada has but one phone.",
    )


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
        await refused(DeviceGone, finder.open(sealed, OKOYE))
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


async def somebody_new(story: Story) -> None:
    """What is sealed to a patient who has no device yet waits in two halves."""
    story.chapter("Somebody new")
    story.town.enter(FAY, Role.PATIENT)
    text = b"Welcome. Please come on an empty stomach."
    number = await story.of("Dr Okoye's tablet").send(FAY, text, users=[FAY])
    story.tell(
        "Fay is a patient from today, and has no keys yet, as the log proves. Dr Okoye writes to",
        "her all the same: what opens the letter waits, half of it at the log, half of it at the",
        "recovery service, which neither the log's operator nor the clinic runs.",
    )
    phone = await story.first("Fay's phone", FAY)
    await refused(NotForYou, phone.read(number, OKOYE))
    await phone.me.claim(lambda: story.town.code(FAY))
    same(await phone.read(number, OKOYE), text)
    story.tell("She registers, types the code that comes by mail, and reads it.")


async def back_by_a_code(story: Story) -> None:
    """All devices are lost."""
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


async def back_by_mail(story: Story) -> frozenset[bytes]:
    """All devices are lost, and no paper is at hand; what the recovery service knows of it."""
    story.chapter("Back by mail")
    doctor, phone = story.of("Dr Okoye's tablet"), story.of("Ada's new phone")
    await choose_mail(story, phone)
    (found,) = await doctor.me.lookup(ADA)
    if not (found.pin and found.pin.recoverable_by_mail):
        raise RuntimeError("nobody can see that Ada chose mail")
    story.tell("From now on her contacts see of her: recoverable by e-mail.")
    new = await story.town.device("Ada's third phone", ADA)
    answers: list[str] = []

    async def clumsily() -> str:
        if not answers:
            code = await story.town.code(ADA)
            answers.extend([code, code[::-1]])
        return answers.pop()

    await new.me.recover_by_mail(await new.portal.token(), clumsily)
    await new.me.revoke_device(phone.signing)
    story.tell(
        "Her new phone is stolen, far from home. On another one she logs in at the clinic, has a",
        "code sent, mistypes it, gets it right, and is back. The thief's phone is revoked.",
    )
    text = b"Here is the letter for your insurance."
    error = await refused(NotAccepted, doctor.send(ADA, text, users=[ADA]))
    story.tell(f"Dr Okoye's letter to {error.names[0]} is stopped once more: {why(error)}.")
    doctor.me.accept(error)
    same(await new.read(await doctor.send(ADA, text, users=[ADA]), OKOYE), text)
    first, *_ = await new.portal.folder(ADA)
    await new.read(first, OKOYE)
    (watched,) = await new.me.mail_recovery.watch()
    happened = ", ".join(event.what.name.lower() for event in watched.events)
    story.tell(
        f"What the service did ({happened}) every device of Ada's can ask of it. Had it not been",
        "her, and had she chosen a delay, any of them could have stopped it.",
    )
    return frozenset(event.attempt for event in watched.events)


async def choose_mail(story: Story, device: Device) -> None:
    """Have a recovery service keep a locked key; and note what nobody is to find."""
    token = await device.portal.token()

    async def code() -> str:
        # Until the code is back, the account still has the key that the service is to keep.
        story.elsewhere.update(secrets_of(device.account))
        return await story.town.code(device.identifier)

    await device.me.enrol_mail(token, code)
    story.elsewhere.add(token.secret)
    story.tell(
        "Ada wants a way back without paper: a recovery service, run by neither the clinic nor",
        "the log's operator, keeps a key for her. It can't open it: that takes what the clinic",
        "tells only her. It gives it out only for a code that it sends to her mailbox.",
    )
