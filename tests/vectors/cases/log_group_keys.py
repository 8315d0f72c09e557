"""A group's keys: both or neither, new, each in one role (R-54.2, R-54.3); its state (R-30.6)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from ledger.format import cose, entry
from ledger.format.keys import SigningKey
from ledger.format.statement import Role
from ledger.rules.groups import label_of
from ledger.rules.state import Chain, GroupState
from tests.support.actors import NOW, encryption_key
from tests.support.groups import Group
from tests.support.naive import directory_root
from tests.vectors.case import Case, bad
from tests.vectors.cases.group_block import ENCRYPTION, SIGNING
from tests.vectors.cases.log_group import town
from tests.vectors.cases.log_keys import two_faced
from tests.vectors.crooked import ORDER_8, CrookedKey, NoKey
from tests.vectors.world import BOB, World


def cases() -> Iterator[Case]:
    yield from halves()
    yield from creates()
    yield from rotations()
    yield from kinds()
    yield from states()


def halves() -> Iterator[Case]:
    world, ada, bob, team = town()
    rotated = world.draft(team.update(world.anchor, ada, rotate=[ada, bob]))
    kept = team.encryption.public
    raw = rotated.at(6, ENCRYPTION, to=kept).raw
    shows = "The signing key is new, the encryption key stays: who was removed could read on."
    yield world.bad("group-signing-alone", "R-54.2", "group-rotate", shows, raw)
    half = rotated.at(6, SIGNING, to=team.signing.public).by(team.signing)
    shows = "The encryption key is new, the signing key stays: who was an admin could write on."
    yield world.bad("group-encryption-alone", "R-54.2", "group-rotate", shows, half.raw)


def key_bad(world: World, name: str, nearest: str, shows: str, raw: bytes) -> Case:
    return world.bad(f"group-keys-{name}", "R-54.3", nearest, shows, raw, covers=("R-15.4",))


def creates() -> Iterator[Case]:
    world, ada, _bob, team = town()
    draft = world.draft(Group.create("other", world.anchor, ada, {ada: Role.ADMIN}))
    key = two_faced("group")
    own = draft.at(6, SIGNING, to=key.public).field("label", label_of(key.public)).by(key)
    yield world.ok("group-keys-two", "Two keys, the first of which could be either.", own.raw)
    raw = own.at(6, ENCRYPTION, to=key.public).raw
    yield key_bad(world, "one", "group-keys-two", "One key signs and is sealed to.", raw)
    shows = "Another chain's keys are no matter of this chain: those of a group and of a user."
    raw = draft.at(6, ENCRYPTION, to=team.encryption.public).raw
    yield world.ok("group-keys-of-a-group", shows, raw)
    raw = draft.at(6, ENCRYPTION, to=ada.user_key.public).raw
    yield world.ok("group-keys-of-a-user", shows, raw)
    device = ada.devices[0].signing
    theirs = draft.at(6, SIGNING, to=device.public).field("label", label_of(device.public))
    yield world.ok("group-keys-of-a-device", shows, theirs.by(device).raw)


def rotations() -> Iterator[Case]:
    """The group's keys pass as both kinds. It is rotated once: the first pair is retired."""
    world = World()
    ada, bob = world.create(), world.create(BOB)
    first = two_faced("first signing"), two_faced("first encryption")
    second = two_faced("second signing"), two_faced("second encryption")
    new = two_faced("new signing"), encryption_key("new").public
    team = _with_keys(world, _founded(world, *first), *second)
    draft = world.draft(team.update(world.anchor, ada, rotate=[ada, bob]))

    def rotated(signing: cose.Signer, encryption: bytes) -> bytes:
        keys = draft.at(6, SIGNING, to=signing.public).at(6, ENCRYPTION, to=encryption)
        return keys.by(team.signing, signing).raw

    yield world.ok("group-keys-new", "Two keys that are new.", rotated(*new))
    for name, signing, encryption, shows in (
        ("equal", new[0], new[0].public, "One new key in both roles."),
        ("crossed", second[1], second[0].public, "The two keys change places."),
        ("signing-was-encryption", second[1], new[1], "The encryption key becomes a signing key."),
        ("encryption-was-signing", new[0], second[0].public, "And the other way round."),
        ("return", first[0], first[1].public, "The first pair returns."),
        ("signing-returns", first[0], new[1], "A retired signing key returns."),
        ("encryption-returns", new[0], first[1].public, "A retired encryption key returns."),
        ("signing-retired-encryption", first[1], new[1], "A retired encryption key signs."),
        (
            "encryption-retired-signing",
            new[0],
            first[0].public,
            "A retired signing key is sealed to.",
        ),
    ):
        raw = rotated(signing, encryption)
        yield key_bad(world, f"rotate-{name}", "group-keys-new", shows, raw)


def _founded(world: World, signing: SigningKey, encryption: SigningKey) -> Group:
    """A group with these keys, admitted. Nobody opens its boxes."""
    ada = world.users[0]
    written = Group.create("two-faced", world.anchor, ada, {ada: Role.ADMIN})
    draft = world.draft(written).at(6, SIGNING, to=signing.public)
    draft = draft.at(6, ENCRYPTION, to=encryption.public).by(signing)
    raw = draft.field("label", label_of(signing.public)).raw
    return _admitted(world, replace(written.after, label=label_of(signing.public)), raw, signing)


def _with_keys(world: World, team: Group, signing: SigningKey, encryption: SigningKey) -> Group:
    """The group after a rotation to these keys."""
    ada = world.users[0]
    written = team.update(world.anchor, ada, rotate=[ada])
    draft = world.draft(written).at(6, SIGNING, to=signing.public)
    draft = draft.at(6, ENCRYPTION, to=encryption.public).by(team.signing, signing)
    return _admitted(world, written.after, draft.raw, signing)


def _admitted(world: World, team: Group, raw: bytes, signing: SigningKey) -> Group:
    world.log.admit([raw], world.now)
    chain = world.log.chain(team.label)
    assert chain
    world.groups.append(replace(team, head=chain.state.head, signing=signing))
    return world.groups[-1]


def kinds() -> Iterator[Case]:
    world, ada, bob, team = town()
    crooked = CrookedKey.mixed()
    rotate = world.draft(team.update(world.anchor, ada, rotate=[ada, bob]))
    raw = rotate.at(6, SIGNING, to=crooked.public).by(team.signing, crooked).raw
    shows = "A rotation to a signing key of mixed order, whose signature verifies."
    yield world.ok("group-rotate-mixed-order", shows, raw)
    nobody = NoKey(ORDER_8)
    raw = rotate.at(6, SIGNING, to=nobody.public).by(team.signing, nobody).raw
    shows = "A rotation to a signing key of small order: anybody can sign."
    nearest = "group-rotate-mixed-order"
    yield world.bad("group-rotate-small-order", "R-40.4", nearest, shows, raw)
    raw = rotate.at(6, ENCRYPTION, to=bytes(32)).raw
    shows = "A rotation to an encryption key to which everybody can open boxes: 0."
    yield world.bad("group-rotate-encryption-0", "R-15.2", "group-rotate", shows, raw)


Reading = Callable[[GroupState, int], GroupState]
"""What somebody makes of a group's state who misread one effect. Beside it: the anchor's size."""

MISREADINGS: dict[str, tuple[str, str, Reading]] = {
    "create-rotated-index": (
        "create",
        "`rotated` is taken for the leaf index.",
        lambda s, size: replace(s, rotated=s.index),
    ),
    "create-generation-1": (
        "create",
        "Generations begin at 1.",
        lambda s, size: replace(s, generation=1),
    ),
    "update-generation": (
        "update",
        "An update that is no rotation begins a generation.",
        lambda s, size: replace(s, generation=s.generation + 1),
    ),
    "update-key-index": (
        "update",
        "An update that is no rotation moves the key index.",
        lambda s, size: replace(s, key_index=s.index),
    ),
    "update-rotated": (
        "update",
        "An update that is no rotation counts as one.",
        lambda s, size: replace(s, rotated=size),
    ),
    "rotate-no-generation": (
        "rotate",
        "The generation stays.",
        lambda s, size: replace(s, generation=s.generation - 1),
    ),
    "rotate-nothing-retired": (
        "rotate",
        "The old keys are not retired.",
        lambda s, size: replace(s, retired=b""),
    ),
    "rotate-retired-order": (
        "rotate",
        "The old encryption key is retired before the signing key.",
        lambda s, size: replace(s, retired=s.retired[32:] + s.retired[:32]),
    ),
    "close-keys-kept": (
        "close",
        "A closed group keeps its signing key.",
        lambda s, size: replace(s, signing=s.retired[:32]),
    ),
    "close-nothing-retired": (
        "close",
        "The last keys are not retired.",
        lambda s, size: replace(s, retired=b""),
    ),
    "close-generation": (
        "close",
        "A close begins a generation.",
        lambda s, size: replace(s, generation=s.generation + 1),
    ),
}


def states() -> Iterator[Case]:
    world, ada, bob, team = town()
    anchor = world.anchor
    world.heartbeat()  # so that the anchor's size is not the next leaf index
    blocks = {
        "create": Group.create("other", anchor, ada, {ada: Role.ADMIN}).raw,
        "update": team.update(anchor, ada, {bob: Role.ADMIN}).raw,
        "rotate": team.update(anchor, ada, rotate=[ada, bob]).raw,
        "close": team.close(anchor, ada).raw,
    }
    for block, raw in blocks.items():
        shows = f"The directory root after a {block}, written from an older anchor."
        yield world.ok(f"group-state-{block}", shows, raw)
    for name, (block, shows, reading) in MISREADINGS.items():
        batch = _misread(world, blocks[block], anchor.size, reading)
        given, nearest = world.given(batch), f"group-state-{block}"
        yield bad("log", f"group-state-{name}", "R-42.5", nearest, shows, given, covers=("R-30.6",))


def _misread(world: World, raw: bytes, size: int, reading: Reading) -> list[bytes]:
    """The batch of one block, closed with the root over the misread state."""
    commit = world.log.plan([raw], world.now).commit
    chains = dict(world.log.chains)
    for label, chain in commit.chains.items():
        assert isinstance(chain.state, GroupState)
        state = reading(chain.state, size)
        chains[label] = Chain.of(chain.length, chain.accumulator, state)
    root = directory_root({label: chain.value for label, chain in chains.items()})
    assert root != commit.after.directory
    return [*commit.entries[:-1], entry.directory_root(NOW, root)]
