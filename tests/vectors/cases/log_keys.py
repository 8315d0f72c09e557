"""Keys that enter: new to the chain, and each in one role (R-53.1, R-15.4)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from ledger.format.bodies import Purpose
from ledger.format.keys import EncryptionKey, SigningKey
from tests.support.actors import Device, User, encryption_key, signing_key
from tests.vectors.case import Case
from tests.vectors.draft import Draft
from tests.vectors.world import BOB, World, label_of


def cases() -> Iterator[Case]:
    yield from devices()
    yield from user_keys()
    yield from one_block()
    yield from returns()


def bad(world: World, name: str, nearest: str, shows: str, raw: bytes) -> Case:
    return world.bad(f"keys-{name}", "R-53.1", nearest, shows, raw, covers=("R-15.4",))


def adding(world: World, user: User, signing: SigningKey, encryption: bytes) -> bytes:
    """A device.add by the first device, of any two keys."""
    draft = world.draft(user.add(world.anchor))
    author = draft.signers[0]
    keys = draft.at(6, 1, 0, to=signing.public).at(6, 1, 1, to=encryption)
    return keys.by(author, signing).raw


def devices() -> Iterator[Case]:
    world = World()
    ada = world.with_devices(2)
    bob = world.create(BOB)
    new = Device.make("new")
    phone, fresh = ada.devices[1], new.encryption.public
    yield world.ok("keys-new", "Two keys that are new.", ada.add(world.anchor, new).raw)
    shows = "Another chain's keys are no matter of this chain: labels share no keys by the rules."
    foreign = bob.devices[0]
    raw = adding(world, ada, foreign.signing, foreign.encryption.public)
    yield world.ok("keys-of-another-chain", shows, raw)
    wrong: list[tuple[str, str, SigningKey, bytes]] = [
        ("signing-current", "Another device's signing key.", phone.signing, fresh),
        (
            "encryption-current",
            "Another device's encryption key.",
            new.signing,
            phone.encryption.public,
        ),
        (
            "encryption-own",
            "The author's encryption key.",
            new.signing,
            ada.devices[0].encryption.public,
        ),
        ("encryption-user", "The user key as a device's.", new.signing, ada.user_key.public),
        (
            "encryption-signs",
            "Another device's signing key as an encryption key.",
            new.signing,
            two_faced("phone").public,
        ),
    ]
    ada = world.admit(ada.add(world.anchor, Device(two_faced("phone"), encryption_key("phone"))))
    for name, shows, signing, encryption in wrong:
        raw = adding(world, ada, signing, encryption)
        yield bad(world, name, "keys-new", shows, raw)


def two_faced(name: str) -> SigningKey:
    """An Ed25519 key whose bytes pass as an X25519 key too: its top bit is clear."""
    keys = (signing_key(name, "two-faced", number) for number in count())
    return next(key for key in keys if key.public[31] < 0x80)


def user_keys() -> Iterator[Case]:
    world = World()
    ada = world.with_devices(2)
    ada = world.admit(ada.revoke(world.anchor, 1))
    ada = world.admit(ada.add(world.anchor))
    revoke = ada.revoke(world.anchor, 1)
    draft = world.draft(revoke)
    yield world.ok("keys-rotated", "A revocation brings a new user key.", revoke.raw)
    first = world.users[0]
    for name, key, shows in (
        ("user-kept", ada.user_key, "The user key stays: the revoked device knows it."),
        ("user-returns", first.user_key, "An older user key comes back."),
        (
            "user-is-device",
            ada.devices[0].encryption,
            "The author's encryption key becomes the user key.",
        ),
        (
            "user-is-revoked",
            ada.devices[1].encryption,
            "The encryption key of the device that leaves becomes the user key.",
        ),
    ):
        raw = draft.at(6, 2, to=key.public).raw
        yield bad(world, name, "keys-rotated", shows, raw)


def one_block() -> Iterator[Case]:
    world = World()
    created = User.create(world.actor, BOB, world.anchor, label=label_of(BOB))
    draft = world.draft(created)
    device, user_key = draft.value[6][1], draft.value[6][2]

    def wrong(name: str, shows: str, changed: Draft) -> Case:
        return bad(world, f"create-{name}", "create", shows, changed.raw)

    shows = "The user key is the device's encryption key."
    yield wrong("user-is-encryption", shows, draft.at(6, 2, to=device[1]))
    shows = "The device's encryption key is the user key."
    yield wrong("encryption-is-user", shows, draft.at(6, 1, 1, to=user_key))
    key = two_faced("device")
    both = draft.at(6, 1, 0, to=key.public).at(6, 1, 1, to=key.public).by(draft.signers[0], key)
    yield wrong("signing-is-encryption", "One key signs and is sealed to.", both)
    ephemeral = two_faced("ephemeral")
    delegation = world.actor.delegate(Purpose.CREATE, bytes(32), ephemeral.public)
    other = draft.at(6, 0, to=delegation.raw).by(ephemeral, draft.signers[1])
    shows = "The ephemeral key is the device's encryption key."
    yield wrong("encryption-is-ephemeral", shows, other.at(6, 1, 1, to=ephemeral.public))
    shows = "The ephemeral key is the user key."
    yield wrong("user-is-ephemeral", shows, other.at(6, 2, to=ephemeral.public))


def returns() -> Iterator[Case]:
    world = World()
    ada = world.with_devices(2)
    phone, old_key = ada.devices[1], ada.user_key
    ada = world.admit(ada.revoke(world.anchor, 1))
    new = Device.make("new")
    fresh = ada.add(world.anchor, new)
    yield world.ok("keys-after-revocation", "After a revocation a new device comes in.", fresh.raw)
    nearest = "keys-after-revocation"
    for name, signing, encryption in (
        ("both-return", phone.signing, phone.encryption),
        ("signing-returns", phone.signing, new.encryption),
        ("encryption-returns", new.signing, phone.encryption),
        ("user-returns-to-device", new.signing, old_key),
    ):
        shows = (
            "A removed device comes back." if name == "both-return" else "A retired key returns."
        )
        raw = adding(world, ada, signing, encryption.public)
        yield bad(world, name, nearest, shows, raw)
    yield from after_reset()


def after_reset() -> Iterator[Case]:
    world = World()
    first = world.with_devices(2)
    ada = world.admit(first.reset(world.actor, world.anchor))
    reset = ada.reset(world.actor, world.anchor)
    draft = world.draft(reset)
    ephemeral, authority, _ = draft.signers
    yield world.ok("keys-reset", "A second reset.", reset.raw)

    def wrong(name: str, shows: str, changed: Draft) -> Case:
        return bad(world, f"reset-{name}", "keys-reset", shows, changed.raw)

    def device(signing: SigningKey, encryption: EncryptionKey) -> Draft:
        placed = draft.at(6, 1, to=[signing.public, encryption.public, 0])
        return placed.by(ephemeral, authority, signing)

    now, lost = ada.devices[0], first.devices[0]
    fresh = Device.make("fresh")
    shows = "The device stays, though it is said to be lost."
    yield wrong("same-device", shows, device(now.signing, now.encryption))
    shows = "A signing key of an older epoch returns."
    yield wrong("signing-returns", shows, device(lost.signing, fresh.encryption))
    shows = "An encryption key of an older epoch returns."
    yield wrong("encryption-returns", shows, device(fresh.signing, lost.encryption))
    yield wrong("user-kept", "The user key stays.", draft.at(6, 2, to=ada.user_key.public))
    shows = "A user key of an older epoch returns."
    yield wrong("user-returns", shows, draft.at(6, 2, to=first.user_key.public))

    def delegated(to: SigningKey) -> Draft:
        raw = world.actor.delegate(Purpose.RESET, ada.opening.commitment, to.public, epoch=1).raw
        return draft.at(6, 0, to=raw).by(to, authority, draft.signers[2])

    shows = "The delegation is to a device that the reset takes out."
    yield wrong("ephemeral-current", shows, delegated(now.signing))
    shows = "The delegation is to a device of an older epoch."
    yield wrong("ephemeral-retired", shows, delegated(lost.signing))
    yield from after_close()


def after_close() -> Iterator[Case]:
    world = World()
    ada = world.create()
    after = world.admit(ada.close(world.anchor))
    draft = world.draft(after.reset(world.actor, world.anchor))
    shows = "The last user key of a closed user returns with the reset."
    raw = draft.at(6, 2, to=ada.user_key.public).raw
    yield bad(world, "closed-user-returns", "closed-reset", shows, raw)
    ephemeral, authority, _ = draft.signers
    device = ada.devices[0]
    raw = draft.at(6, 1, 0, to=device.signing.public).by(ephemeral, authority, device.signing).raw
    shows = "The last device of a closed user returns with the reset."
    yield bad(world, "closed-device-returns", "closed-reset", shows, raw)
