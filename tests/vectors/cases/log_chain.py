"""Place in the chain (R-43) and signers (R-50.2)."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256

from ledger.format import cose, entry
from ledger.tree.merkle import leaf_hash
from tests.support.actors import Device, User, signing_key
from tests.vectors.case import Case
from tests.vectors.draft import envelope, pairs_of, payload_of
from tests.vectors.world import BOB, World, label_of


def cases() -> Iterator[Case]:
    yield from places()
    yield from signers_of_devices()
    yield from signers_of_users()


def places() -> Iterator[Case]:
    world = World()
    ada = world.with_devices(2)
    add = ada.add(world.anchor)
    draft = world.draft(add)
    yield world.ok("add", "A device brings in another.", add.raw)

    def bad(name: str, rule: str, shows: str, raw: bytes) -> Case:
        return world.bad(name, rule, "add", shows, raw)

    wrong_seq = "seq is the chain's length, no other number."
    yield bad("seq-behind", "R-43.1", wrong_seq, draft.field("seq", 1).raw)
    yield bad("seq-ahead", "R-43.1", wrong_seq, draft.field("seq", 3).raw)
    first = world.log.entries[2]
    before = sha256(entry.parse(first).body).digest()
    yield bad("prev-older", "R-43.1", "prev skips a block.", draft.field("prev", before).raw)
    newest = leaf_hash(world.log.entries[4])
    shows = "prev is the hash of the entry, where it must be that of the block."
    yield bad("prev-leaf-hash", "R-43.1", shows, draft.field("prev", newest).raw)

    other = world.create(BOB)
    shows = "A device's block with the place of another user's chain."
    seq_and_prev = world.draft(ada.add(world.anchor)).field("seq", 1).field("prev", other.head)
    yield world.bad("prev-foreign", "R-43.1", "add", shows, seq_and_prev.raw)
    nobody = world.draft(ada.add(world.anchor)).field("label", bytes([7] * 32))
    shows = "A label without a chain takes nothing but a create."
    yield world.bad("no-chain", "R-43.2", "add", shows, nobody.raw)
    yield from creates()


def creates() -> Iterator[Case]:
    world = World()
    created = User.create(world.actor, BOB, world.anchor, label=label_of(BOB))
    yield world.ok("create", "A user begins.", created.raw)
    world.create(BOB)
    again = User.create(world.actor, "again", world.anchor, label=label_of(BOB))
    shows = "A label that has a chain takes no second create."
    yield world.bad("create-again", "R-43.2", "create", shows, again.raw)
    bob = world.users[-1]
    world.admit(bob.close(world.anchor))
    again = User.create(world.actor, "again", world.anchor, label=label_of(BOB))
    shows = "Nor does a closed one: only a reset opens it."
    yield world.bad("create-after-close", "R-43.2", "create", shows, again.raw)


def signers_of_devices() -> Iterator[Case]:
    world = World()
    ada = world.with_devices(2)
    bob = world.with_devices(1, BOB)
    add = ada.add(world.anchor)
    pairs, payload = pairs_of(add.raw), payload_of(add.raw)
    draft = world.draft(add)
    author, new = draft.signers

    def bad(name: str, rule: str, shows: str, raw: bytes) -> Case:
        return world.bad(f"signers-{name}", rule, "signers-right", shows, raw)

    shows = "Author and new device sign, in this order."
    yield world.ok("signers-right", shows, add.raw)
    shows = "The new device's signature is stripped: nothing shows that it holds its key."
    yield bad("new-device-stripped", "R-50.2", shows, envelope(payload, pairs[:1]))
    shows = "The author's signature is stripped: a new device adds itself."
    yield bad("author-stripped", "R-50.2", shows, envelope(payload, pairs[1:]))
    yield bad("swapped", "R-50.2", "The order is part of the rule.", envelope(payload, pairs[::-1]))
    extra = draft.by(author, new, bob.devices[0].signing)
    yield bad("one-more", "R-50.2", "Somebody else signs too.", extra.raw)
    own = draft.by(author, new, ada.devices[1].signing)
    shows = "The user's other device signs too."
    yield bad("one-more-own", "R-50.2", shows, own.raw)
    foreign = draft.by(bob.devices[0].signing, new)
    shows = "The author that the body names is not the one who signed."
    yield bad("not-the-author", "R-50.2", shows, foreign.raw)
    unnamed = draft.by(author, signing_key("unnamed"))
    shows = "The second kid is not the key of the device that is added: no key enters from a kid."
    yield bad("kid-not-named", "R-50.2", shows, unnamed.raw)
    yield from recombined(world, ada)


def recombined(world: World, ada: User) -> Iterator[Case]:
    device = Device.make("wanted twice")
    one, two = ada.add(world.anchor, device), ada.add(world.anchor, device, author=1)
    payload, pairs = payload_of(one.raw), pairs_of(one.raw)
    shows = "The new device's signature is taken from another block that adds the same device."
    raw = envelope(payload, [pairs[0], pairs_of(two.raw)[1]])
    yield world.bad("signers-recombined", "R-40.4", "signers-right", shows, raw)
    shows = "Each kid with the other's signature."
    raw = envelope(payload, [(pairs[0][0], pairs[1][1]), (pairs[1][0], pairs[0][1])])
    yield world.bad("signers-signatures-swapped", "R-40.4", "signers-right", shows, raw)
    draft = world.draft(one)
    shows = "The signatures are made for another log."
    raw = draft.under(log_id=bytes([1] * 32)).raw
    yield world.bad("signers-other-log", "R-40.4", "signers-right", shows, raw)
    shows = "The signatures are made for another context."
    raw = draft.under(cose.STATEMENT).raw
    yield world.bad("signers-other-context", "R-40.4", "signers-right", shows, raw)


def signers_of_users() -> Iterator[Case]:
    world = World()
    created = User.create(world.actor, BOB, world.anchor, label=label_of(BOB))
    draft = world.draft(created)
    ephemeral, device = draft.signers
    shows = "Without the ephemeral key whoever sees a delegation could use it."
    yield world.bad("create-no-ephemeral", "R-50.2", "create", shows, draft.by(device).raw)
    shows = "Without the device nothing shows that it holds its key."
    yield world.bad("create-no-device", "R-50.2", "create", shows, draft.by(ephemeral).raw)
    shows = "The order is the ephemeral key, then the device."
    yield world.bad("create-swapped", "R-50.2", "create", shows, draft.by(device, ephemeral).raw)
    shows = "The enrolment key signs the delegation, not the block."
    raw = draft.by(world.actor.enrolment, device).raw
    yield world.bad("create-by-enrolment", "R-50.2", "create", shows, raw)
    ada = world.create()
    yield from signers_of_resets(world, ada)
    yield from signers_of_ends(world, ada)


def signers_of_resets(world: World, ada: User) -> Iterator[Case]:
    reset = ada.reset(world.actor, world.anchor)
    draft = world.draft(reset)
    ephemeral, authority, device = draft.signers

    def bad(name: str, shows: str, *signers: cose.Signer) -> Case:
        return world.bad(f"reset-{name}", "R-50.2", "reset", shows, draft.by(*signers).raw)

    yield world.ok("reset", "A user whose devices are lost begins a new epoch.", reset.raw)
    shows = "The recovery authority did not agree: an application alone can't reset a user."
    yield bad("no-authority", shows, ephemeral, device)
    shows = "The application root stands in for the recovery authority."
    yield bad("by-app-root", shows, ephemeral, world.actor.app_root, device)
    yield bad("order", "The authority stands in the middle.", authority, ephemeral, device)
    yield bad("no-ephemeral", "The one who was delegated to signs.", authority, device)
    yield bad("no-device", "The new device signs.", ephemeral, authority)


def signers_of_ends(world: World, ada: User) -> Iterator[Case]:
    two = world.admit(ada.add(world.anchor))
    for name, written in {
        "revoke": two.revoke(world.anchor, 1),
        "close": two.close(world.anchor),
    }.items():
        yield world.ok(name, f"A device writes a {name}.", written.raw)
        draft = world.draft(written)
        other = two.devices[1].signing
        shows = "Only the author signs."
        raw = draft.by(*draft.signers, other).raw
        yield world.bad(f"{name}-two-signers", "R-50.2", name, shows, raw)
        shows = "The signer is a device of the user, and not the author that the body names."
        yield world.bad(f"{name}-by-another", "R-50.2", name, shows, draft.by(other).raw)
