"""The bytes of a statement: envelope, spelling, shape, order (R-56.1, R-10, R-40)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import cbor2

from ledger.format.bodies import Limits
from ledger.format.statement import Role
from tests.support.actors import LogActor, User, Written, signing_key
from tests.support.groups import Group
from tests.vectors.case import Case
from tests.vectors.draft import Draft, envelope
from tests.vectors.sayings import (
    ACTION,
    ANCHOR,
    AUTHOR,
    MEMBERSHIP,
    PUT,
    REMOVED,
    SALT,
    SEQ,
    recount,
    restate,
)
from tests.vectors.world import BOB, EVE, World


class Town(NamedTuple):
    """Ada and Bob, who share a group whose admin is Ada, and Eve, who does not."""

    world: World
    ada: User
    bob: User
    eve: User
    team: Group

    @classmethod
    def make(cls, limits: Limits | None = None) -> Town:
        world = World(LogActor.make(limits=limits))
        ada = world.with_devices(2)
        bob, eve = world.create(BOB), world.create(EVE)
        team = world.found("team", ada, {ada: Role.ADMIN, bob: Role.MEMBER})
        return cls(world, ada, bob, eve, team)

    def add(self) -> Written[Group]:
        """Eve comes in, without a rotation."""
        return self.team.update(self.world.anchor, self.ada, {self.eve: Role.MEMBER})


def cases() -> Iterator[Case]:
    town = Town.make()
    add = town.add()
    yield town.world.says("add", "An admin adds a user.", add)
    yield from spellings(town, add)
    yield from payloads(town, add)
    yield from shapes(town, add)
    yield from order(town)
    yield from sizes()


def wrong(
    town: Town, add: Written[Group], name: str, rule: str, shows: str, said: Draft | bytes
) -> Case:
    """A case whose statement is malformed. Its block is right, and commits to it."""
    written = restate(town.world, add, said)
    covers = ("R-56.1",) if rule != "R-56.1" else ()
    return town.world.missays(f"shape-{name}", rule, "add", shows, written, covers=covers)


def spellings(town: Town, add: Written[Group]) -> Iterator[Case]:
    said = town.world.said(add)
    raw, one = said.raw, said.pairs[0]
    head = raw[:5]
    assert raw[5] == 0x59
    length, rest = raw[6:8], raw[8:]
    other = town.ada.devices[1].signing
    both = said.by(*said.signers, other).pairs
    for name, rule, shows, changed in (
        ("empty", "R-40.1", "Nothing at all.", b""),
        ("trailing", "R-40.1", "A byte follows the signature.", raw + b"\0"),
        ("cut", "R-40.1", "The last byte is missing.", raw[:-1]),
        ("sign1", "R-40.1", "The tag of COSE_Sign1.", b"\xd2" + raw[2:]),
        ("length-wide", "R-40.1", "The payload's length in four bytes.",
         head + b"\x5a\0\0" + length + rest),
        ("no-signature", "R-40.2", "The signature is stripped.", envelope(said.payload, [])),
        ("signature-doubled", "R-40.3", "The signature twice.", envelope(said.payload, [one, one])),
        ("two-signatures", "R-56.1", "Two devices of the author sign.",
         envelope(said.payload, both)),
        ("two-signers", "R-56.1", "A device of the author and somebody else sign.",
         said.by(*said.signers, signing_key("stranger")).raw),
        ("four-signatures", "R-56.1", "Four signatures.",
         said.by(*said.signers, *(signing_key("more", n) for n in range(3))).raw),
        ("five-signatures", "R-40.2", "Five signatures.",
         said.by(*said.signers, *(signing_key("more", n) for n in range(4))).raw),
    ):  # fmt: skip
        yield wrong(town, add, name, rule, shows, changed)


def payloads(town: Town, add: Written[Group]) -> Iterator[Case]:
    said = town.world.said(add)
    payload, value = said.payload, said.value
    assert payload[:3] == b"\x8d\x58\x20"
    salt, entry = cbor2.dumps(value[SALT]), cbor2.dumps(value[PUT][0])
    seq = cbor2.dumps(value[SEQ]) + cbor2.dumps(value[SEQ + 1])
    action = cbor2.dumps(value[ACTION]) + cbor2.dumps(value[REMOVED]) + cbor2.dumps(value[PUT])
    anchor = cbor2.dumps(value[ANCHOR])
    assert anchor[1] < 24

    def swap(old: bytes, new: bytes) -> bytes:
        assert payload.count(old) == 1
        return payload.replace(old, new)

    epoch = entry[:-2] + b"\x18\x00\x00"
    role = entry[:-1] + b"\x18\x00"
    for name, rule, shows, spelled in (
        ("array-wide", "R-10.2", "The array's length in two bytes.", b"\x98" + payload[:1].replace(
            b"\x8d", b"\x0d") + payload[1:]),
        ("array-indefinite", "R-10.2", "An array of no stated length.",
         b"\x9f" + payload[1:] + b"\xff"),
        ("salt-wide", "R-10.2", "The salt's length in two bytes.",
         swap(salt, b"\x59\x00" + salt[1:])),
        ("seq-wide", "R-10.2", "seq in two bytes.", swap(seq, b"\x18" + seq)),
        ("anchor-wide", "R-10.2", "The anchor's size in two bytes.",
         swap(anchor, b"\x82\x18" + anchor[1:])),
        ("action-wide", "R-10.2", "The action in three bytes.", swap(action, b"\x19\0" + action)),
        ("epoch-wide", "R-10.2", "An epoch in two bytes.", swap(entry, epoch)),
        ("role-wide", "R-10.2", "A role in two bytes.", swap(entry, role)),
        ("payload-trailing", "R-10.2", "A byte follows the payload's array.", payload + b"\0"),
        ("payload-cut", "R-10.2", "The payload is cut short.", payload[:-1]),
        ("payload-empty", "R-10.2", "An empty payload.", b""),
        ("tagged", "R-10.3", "A tag around the payload.", b"\xd9\xd9\xf7" + payload),
        ("role-negative", "R-10.3", "A negative role.", swap(entry, entry[:-1] + b"\x20")),
        ("role-float", "R-10.3", "A role as a float.", swap(entry, entry[:-1] + b"\xf9\0\0")),
    ):  # fmt: skip
        yield wrong(town, add, name, rule, shows, said.encoded(spelled))


def shapes(town: Town, add: Written[Group]) -> Iterator[Case]:
    said = town.world.said(add)
    value, (label, epoch, role) = said.value, said.value[PUT][0]
    size, root = value[ANCHOR]
    changes: list[tuple[str, str, Draft]] = [
        ("twelve-fields", "Twelve fields.", said.encoded(cbor2.dumps(value[:-1]))),
        ("fourteen-fields", "Fourteen fields.", said.encoded(cbor2.dumps([*value, 0]))),
        ("salt-31", "A salt of 31 bytes.", said.at(SALT, to=value[SALT][:31])),
        ("salt-33", "A salt of 33 bytes.", said.at(SALT, to=value[SALT] + b"\0")),
        ("seq-2-32", "seq is below 2^32.", said.at(SEQ, to=2**32)),
        ("seq-true", "true is not 1.", said.at(SEQ, to=True)),
        ("anchor-null", "No anchor.", said.at(ANCHOR, to=None)),
        ("anchor-three", "An anchor of three fields.", said.at(ANCHOR, to=[size, root, 0])),
        ("anchor-2-63", "An anchor's size of 2^63.", said.at(ANCHOR, to=[2**63, root])),
        ("author-null", "No author.", said.at(AUTHOR, to=None)),
        ("author-text", "The author as text.", said.at(AUTHOR, to="a" * 32)),
        ("action-4", "Actions are 0 to 3.", said.at(ACTION, to=4)),
        ("action-null", "No action.", said.at(ACTION, to=None)),
        ("removed-null", "null for nobody.", said.at(REMOVED, to=None)),
        ("removed-31", "A label of 31 bytes.", said.at(REMOVED, to=[bytes(31)])),
        ("removed-entry", "An entry where a label belongs.", said.at(REMOVED, to=[[label, 0, 0]])),
        ("put-null", "null for nobody.", said.at(PUT, to=None)),
        ("put-label", "A label where an entry belongs.", said.at(PUT, to=[label])),
        ("put-two", "An entry of two fields.", said.at(PUT, to=[[label, epoch]])),
        ("put-four", "An entry of four fields: `joined` is derived, never said.",
         said.at(PUT, to=[[label, epoch, role, size]])),
        ("put-label-31", "A label of 31 bytes.", said.at(PUT, 0, 0, to=label[:31])),
        ("put-epoch-2-32", "An epoch of 2^32.", said.at(PUT, 0, 1, to=2**32)),
        ("put-role-3", "Roles are 0 to 2.", said.at(PUT, 0, 2, to=3)),
        ("put-role-false", "false is not 0.", said.at(PUT, 0, 2, to=False)),
        ("membership-31", "A hash of 31 bytes.",
         said.at(MEMBERSHIP, to=value[MEMBERSHIP][:31])),
        ("membership-null", "No hash.", said.at(MEMBERSHIP, to=None)),
    ]  # fmt: skip
    for name, shows, changed in changes:
        yield wrong(town, add, name, "R-10.4", shows, changed)


def order(town: Town) -> Iterator[Case]:
    world, ada, bob, eve, team = town
    team = world.admit(team.update(world.anchor, ada, {eve: Role.MEMBER}))
    people = {name: world.create(f"{name}@example.org") for name in ("fay", "gus")}
    out = team.update(world.anchor, ada, removed=[bob, eve], rotate=[ada])
    come = team.update(world.anchor, ada, dict.fromkeys(people.values(), Role.MEMBER))
    both = team.update(
        world.anchor,
        ada,
        {people["fay"]: Role.MEMBER},
        removed=[bob],
        rotate=[ada, *people.values()],
    )
    yield world.says("order-removed", "Two are removed, in the order of their labels.", out)
    yield world.says("order-put", "Two are put, in the order of their labels.", come)
    yield world.says("order-both", "One is removed, another put.", both)

    def bad(name: str, nearest: str, shows: str, written: Written[Group], *at: Any) -> Case:
        place, to = at
        said = recount(world.said(written).at(place, to=to), team.membership)
        nearest = f"order-{nearest}"
        return world.missays(
            f"order-{name}", "R-56.1", nearest, shows, restate(world, written, said)
        )

    removed, put = world.said(out).value[REMOVED], world.said(come).value[PUT]
    shows = "Two are removed, in another order."
    yield bad("removed-unsorted", "removed", shows, out, REMOVED, removed[::-1])
    shows = "Who is removed is named twice."
    yield bad("removed-twice", "removed", shows, out, REMOVED, [removed[0], *removed])
    shows = "Two are put, in another order."
    yield bad("put-unsorted", "put", shows, come, PUT, put[::-1])
    shows = "One entry twice."
    yield bad("put-twice", "put", shows, come, PUT, [put[0], *put])
    shows = "One label with two roles."
    yield bad("put-two-roles", "put", shows, come, PUT, [[*put[0][:2], 1], *put])
    again = sorted([*world.said(both).value[PUT], [bob.label, 0, 1]])
    shows = "Bob is removed and put at once."
    yield bad("removed-and-put", "both", shows, both, PUT, again)


def sizes() -> Iterator[Case]:
    """Statements of 4,096 and 4,097 entries. Their rules ask nothing of the members' chains."""
    town = Town.make(Limits(max_members=4_096))
    world, ada = town.world, town.ada
    create = Group.create("many", world.anchor, ada, {ada: Role.ADMIN})
    made_up = [[bytes([255]) * 30 + number.to_bytes(2), 0, 0] for number in range(4_096)]
    said = world.said(create)
    nobody = type(create.after.membership)(0, ())

    def many(count: int) -> Written[Group]:
        entries = [*said.value[PUT], *made_up[:count]]
        return restate(world, create, recount(said.at(PUT, to=entries), nobody))

    yield world.says("shape-4096", "A statement that puts 4,096 entries.", many(4_095))
    shows = "A statement that puts 4,097 entries."
    covers = ("R-56.1", "R-56.9")
    name, nearest = "shape-4097", "shape-4096"
    yield world.missays(name, "R-10.4", nearest, shows, many(4_096), covers=covers)
