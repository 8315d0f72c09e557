"""Devices: who may act, who may come in, who may be taken out (R-53.2 to R-53.5)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ledger.format.bodies import DeviceKind, Limits
from tests.support.actors import Device, LogActor, User, Written, encryption_key
from tests.vectors.case import Case
from tests.vectors.world import BOB, World, label_of


def cases() -> Iterator[Case]:
    yield from authors()
    yield from closed()
    yield from after_reset()
    yield from kinds()
    yield from numbers()
    yield from revocations()


def authors() -> Iterator[Case]:
    world = World()
    ada = world.with_devices(2)
    bob = world.with_devices(2, BOB)
    phone = ada.devices[1]
    before = ada.add(world.anchor, author=1)
    shows = "A device acts, just before it is revoked."
    yield world.ok("author-before-revocation", shows, before.raw)
    revoked = world.admit(ada.revoke(world.anchor, 1))
    nearest = "author-before-revocation"
    shows = "The block above, withheld until the device was revoked: its place is taken."
    covers = ("R-44.4",)
    yield world.bad("author-withheld", "R-43.1", nearest, shows, before.raw, covers=covers)

    def by(device: Device, user: User) -> Written[User]:
        return replace(user, devices=(device,)).add(world.anchor)

    shows = "A device acts, just after it was revoked."
    raw = by(phone, revoked).raw
    yield world.bad("author-after-revocation", "R-53.3", nearest, shows, raw)
    shows = "A revoked device would revoke the one that revoked it."
    raw = replace(revoked, devices=(*revoked.devices, phone)).revoke(world.anchor, 0, author=1).raw
    yield world.bad("author-revoked-revokes", "R-53.3", "revoke-one", shows, raw)
    shows = "A revoked device would close the user."
    raw = replace(revoked, devices=(phone,)).close(world.anchor).raw
    yield world.bad("author-revoked-closes", "R-53.3", "close", shows, raw)
    shows = "The author is a device of another user."
    raw = by(bob.devices[1], revoked).raw
    yield world.bad("author-foreign", "R-53.3", nearest, shows, raw)
    shows = "The author is no device at all."
    raw = by(Device.make("nobody's"), revoked).raw
    yield world.bad("author-unknown", "R-53.3", nearest, shows, raw)
    shows = "A device that is not in the chain yet adds another one."
    new = Device.make("comes next")
    yield world.bad("author-not-yet", "R-53.3", nearest, shows, by(new, revoked).raw)


def closed() -> Iterator[Case]:
    world = World()
    ada = world.with_devices(2)
    after = world.admit(ada.close(world.anchor))
    late = replace(after, devices=ada.devices)
    for name, written in {
        "add": late.add(world.anchor),
        "revoke": late.revoke(world.anchor, 1),
        "close": late.close(world.anchor),
    }.items():
        shows = f"A {name} by a device of a closed user."
        yield world.bad(f"closed-{name}", "R-53.3", "closed-reset", shows, written.raw)
    reset = after.reset(world.actor, world.anchor)
    yield world.ok("closed-reset", "A closed user is reset.", reset.raw)
    again = world.admit(reset)
    shows = "After the reset the new device acts."
    yield world.ok("closed-reset-add", shows, again.add(world.anchor).raw)


def after_reset() -> Iterator[Case]:
    world = World()
    ada = world.with_devices(2)
    after = world.admit(ada.reset(world.actor, world.anchor))
    yield world.ok("reset-add", "The new device adds one.", after.add(world.anchor).raw)
    stale = replace(after, devices=ada.devices)
    shows = "A device of the epoch before acts."
    raw = stale.add(world.anchor).raw
    yield world.bad("reset-old-device", "R-53.3", "reset-add", shows, raw)


def kinds() -> Iterator[Case]:
    world = World()
    created = User.create(world.actor, BOB, world.anchor, label=label_of(BOB))
    recovery = world.draft(created).at(6, 1, 2, to=1)
    shows = "The first device is a recovery device."
    yield world.bad("create-recovery", "R-53.2", "create", shows, recovery.raw)
    ada = world.create()
    draft = world.draft(ada.reset(world.actor, world.anchor)).at(6, 1, 2, to=1)
    shows = "The first device of an epoch is a recovery device."
    yield world.bad("reset-recovery", "R-53.2", "reset", shows, draft.raw)
    kit = ada.device(kind=DeviceKind.RECOVERY)
    shows = "A later device may be one."
    yield world.ok("add-recovery", shows, ada.add(world.anchor, kit).raw)
    by_mail = world.admit(ada.add(world.anchor, ada.device(kind=DeviceKind.MAIL_RECOVERY)))
    shows = "A device for recovery by e-mail adds another: a loud event."
    yield world.ok("add-by-mail-recovery", shows, by_mail.add(world.anchor, author=1).raw)
    shows = "A device for recovery by e-mail is revoked: two loud events, for it leaves one device."
    yield world.ok("revoke-mail-recovery", shows, by_mail.revoke(world.anchor, 1).raw)


def numbers() -> Iterator[Case]:
    world = World(LogActor.make(limits=Limits(max_devices=3)))
    ada = world.with_devices(2)
    yield world.ok("devices-at-limit", "The third of three devices.", ada.add(world.anchor).raw)
    three = world.admit(ada.add(world.anchor))
    shows = "A fourth device, where the log allows three."
    raw = three.add(world.anchor).raw
    yield world.bad("devices-beyond-limit", "R-53.4", "devices-at-limit", shows, raw)
    two = world.admit(three.revoke(world.anchor, 1))
    shows = "One was revoked, so there is room."
    yield world.ok("devices-room-again", shows, two.add(world.anchor).raw)
    lower = world.actor.policy(world.anchor, limits=Limits(max_devices=2))
    world.admit_policy(lower)
    shows = "A policy lowered the limit to the number of devices that there are."
    raw = two.add(world.anchor).raw
    yield world.bad("devices-limit-lowered", "R-53.4", "devices-room-again", shows, raw)
    shows = "Devices beyond a lowered limit stay, and act."
    yield world.ok("devices-stay", shows, two.revoke(world.anchor, 1).raw)


def revocations() -> Iterator[Case]:
    world = World()
    ada = world.with_devices(4)
    bob = world.create(BOB)
    keys = [device.signing.public for device in ada.devices]

    def bad(name: str, nearest: str, shows: str, revoked: list[bytes], author: int = 0) -> Case:
        written = ada.revoke(world.anchor, 1, author=author)
        raw = world.draft(written).at(6, 1, to=revoked).raw
        return world.bad(f"revoke-{name}", "R-53.5", f"revoke-{nearest}", shows, raw)

    yield world.ok("revoke-one", "One of four.", ada.revoke(world.anchor, 2).raw)
    yield world.ok("revoke-two", "Two, in order.", ada.revoke(world.anchor, 1, 3).raw)
    first = ada.revoke(world.anchor, 0, author=3)
    yield world.ok("revoke-first", "The newest device revokes the first.", first.raw)
    yield bad("order", "two", "Two, in another order than the state's.", [keys[3], keys[1]])
    yield bad("twice", "one", "One device twice.", [keys[2], keys[2]])
    yield bad("unknown", "one", "A key that is no device's.", [encryption_key("x").public])
    yield bad("foreign", "one", "Another user's device.", [bob.devices[0].signing.public])
    shows = "One device, and one that is not there."
    yield bad("one-unknown", "two", shows, [keys[1], bob.devices[0].signing.public])
    shows = "A device is named by its encryption key."
    yield bad("by-encryption-key", "one", shows, [ada.devices[2].encryption.public])
    shows = "The author revokes itself: it would choose the user key that it is kept from."
    yield bad("self", "one", shows, [keys[0]])
    yield bad("self-among", "two", "The author is among the revoked.", [keys[1], keys[2]], 2)
    yield bad("all", "two", "All devices: that is what a close is for.", keys)
    after = world.admit(ada.revoke(world.anchor, 1))
    again = world.draft(after.revoke(world.anchor, 1)).at(6, 1, to=[keys[1]])
    shows = "A device that was revoked before."
    yield world.bad("revoke-again", "R-53.5", "revoke-one", shows, again.raw)
