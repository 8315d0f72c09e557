"""Leaves and grants: whose word counts, and while it does (R-56.12)."""

from __future__ import annotations

from collections.abc import Iterator

import cbor2

from ledger.format import cose
from ledger.format.statement import Role
from ledger.rules.membership import Kind
from tests.support.actors import NOW, signing_key
from tests.support.groups import Group, Member
from tests.vectors.case import Case, bad, ok
from tests.vectors.cases.statement_shape import Town
from tests.vectors.crooked import L
from tests.vectors.draft import Draft, envelope
from tests.vectors.world import World

GROUP, USER, EPOCH, JOINED, SENDER, EXPIRY = range(6)
"""The places of the fields; the last two are a grant's alone."""


class Wishes:
    """The cases of one kind, `leave` or `grant`, in one log at a time."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.context = cose.LEAVE if kind == "leave" else cose.GRANT

    def draft(self, town: Town, group: Group | None = None, device: int = 0) -> Draft:
        """Ada's wish."""
        group = group or town.team
        wish = (
            group.leave(town.ada, device)
            if self.kind == "leave"
            else group.grant(town.ada, town.eve, NOW, device)
        )
        value = cbor2.loads(wish.envelope.payload)
        signer = town.ada.devices[device].signing
        return Draft(value, (signer,), town.world.actor.log_id, self.context)

    def given(self, world: World, wish: Draft | bytes) -> dict[str, object]:
        raw = wish if isinstance(wish, bytes) else wish.raw
        time = {"time": NOW} if self.kind == "grant" else {}
        return {**world.given_groups(), self.kind: raw.hex(), **time}

    def ok(self, world: World, name: str, shows: str, wish: Draft | bytes) -> Case:
        return ok(self.kind, name, shows, self.given(world, wish))  # type: ignore[arg-type]

    def bad(
        self,
        world: World,
        name: str,
        shows: str,
        wish: Draft | bytes,
        *,
        nearest: str = "member",
        rule: str = "R-56.12",
        verdict: str = "",
    ) -> Case:
        given = self.given(world, wish)
        covers = ("R-56.12",) if rule != "R-56.12" else ()
        return bad(
            *(self.kind, name, rule, nearest, shows),
            given,  # type: ignore[arg-type]
            verdict=verdict,
            covers=covers,
        )


def cases() -> Iterator[Case]:
    for kind in ("leave", "grant"):
        wishes = Wishes(kind)
        yield from shapes(wishes, Town.make())
        yield from signatures(wishes, Town.make())
        yield from fields(wishes, Town.make())
        yield from devices(wishes, Town.make())
        yield from stays(wishes, Town.make())
        yield from through(wishes, Town.make())
    yield from expiries(Wishes("grant"), Town.make())


def shapes(wishes: Wishes, town: Town) -> Iterator[Case]:
    world, right = town.world, wishes.draft(town)
    payload, value, one = right.payload, right.value, right.pairs[0]
    yield wishes.ok(world, "member", "A device of a member signs.", right)
    second = town.ada.devices[1].signing
    for name, rule, shows, wish in (
        ("empty", "R-40.1", "Nothing at all.", b""),
        ("trailing", "R-40.1", "A byte follows.", right.raw + b"\0"),
        ("no-signature", "R-40.2", "Stripped of its signature.", envelope(payload, [])),
        ("doubled", "R-40.3", "The signature twice.", envelope(payload, [one, one])),
        ("two-signatures", "R-56.12", "Two devices sign.", right.by(*right.signers, second)),
        ("payload-trailing", "R-10.2", "A byte follows the array.", right.encoded(payload + b"\0")),
        ("field-more", "R-10.4", "One field more.", right.encoded(cbor2.dumps([*value, 0]))),
        ("field-less", "R-10.4", "One field less.", right.encoded(cbor2.dumps(value[:-1]))),
        ("group-31", "R-10.4", "31 bytes.", right.at(GROUP, to=value[GROUP][:31])),
        ("user-null", "R-10.4", "No user.", right.at(USER, to=None)),
        ("epoch-2-32", "R-10.4", "An epoch of 2^32.", right.at(EPOCH, to=2**32)),
        ("epoch-false", "R-10.4", "false is not 0.", right.at(EPOCH, to=False)),
        ("joined-2-63", "R-10.4", "A size of 2^63.", right.at(JOINED, to=2**63)),
    ):
        verdict = "malformed" if rule == "R-56.12" else ""
        yield wishes.bad(world, f"shape-{name}", shows, wish, rule=rule, verdict=verdict)
    wide = payload.replace(cbor2.dumps(value[USER]) + b"\0", cbor2.dumps(value[USER]) + b"\x18\0")
    assert wide != payload
    shows = "The epoch in two bytes."
    yield wishes.bad(world, "shape-epoch-wide", shows, right.encoded(wide), rule="R-10.2")


def signatures(wishes: Wishes, town: Town) -> Iterator[Case]:
    world, right = town.world, wishes.draft(town)
    (kid, signature), payload = right.pairs[0], right.payload

    def wrong(name: str, shows: str, wish: Draft | bytes, verdict: str = "signature") -> Case:
        return wishes.bad(world, f"signed-{name}", shows, wish, verdict=verdict)

    flipped = bytes([signature[0] ^ 1]) + signature[1:]
    yield wrong("flipped", "One bit of R is flipped.", envelope(payload, [(kid, flipped)]))
    s = (int.from_bytes(signature[32:], "little") + L).to_bytes(32, "little")
    yield wrong("s-plus-l", "S + L.", envelope(payload, [(kid, signature[:32] + s)]))
    second = town.ada.devices[1].signing
    other = right.by(second).pairs[0][1]
    shows = "One device's kid with another one's signature."
    yield wrong("swapped", shows, envelope(payload, [(kid, other)]))
    contexts = (cose.BLOCK, cose.LOGIN, cose.STATEMENT, cose.LEAVE, cose.GRANT)
    for context in contexts:
        if context != wishes.context:
            name = f"as-{context.rpartition('/')[2]}"
            yield wrong(name, f"Signed in the context {context}.", right.under(context))
    elsewhere = right.under(wishes.context, bytes([1] * 32))
    yield wrong("other-log", "Signed for another log.", elsewhere)
    for name, key, shows in (
        ("by-admin", town.bob.devices[0].signing, "Another member signs."),
        ("by-group", town.team.signing, "The group's key signs."),
        ("by-stranger", signing_key("stranger"), "Nobody's key signs."),
    ):
        yield wrong(name, shows, right.by(key), "rule")


def fields(wishes: Wishes, town: Town) -> Iterator[Case]:
    world, _ada, bob, eve, team = town
    right = wishes.draft(town)
    other = world.found("other", bob, {bob: Role.ADMIN})
    joined = right.value[JOINED]
    for name, place, to, shows in (
        ("other-group", GROUP, other.label, "A group in which the user is not."),
        ("no-group", GROUP, bytes([1] * 32), "A group that there is not."),
        ("user-as-group", GROUP, bob.label, "A user is no group."),
        ("no-user", USER, bytes([1] * 32), "A user that there is not."),
        ("other-user", USER, bob.label, "For another member, whose device did not sign."),
        ("epoch", EPOCH, 1, "Another epoch."),
        ("joined-before", JOINED, joined - 1, "Another stay."),
        ("joined-after", JOINED, joined + 1, "Another stay."),
        ("joined-0", JOINED, 0, "No stay."),
    ):
        yield wishes.bad(world, f"of-{name}", shows, right.at(place, to=to))
    theirs = right.at(USER, to=eve.label).by(eve.devices[0].signing)
    yield wishes.bad(world, "of-stranger", "By a user who is in no group.", theirs)
    his = team.membership.entry(bob.label)
    assert his
    member = right.at(USER, to=bob.label).at(JOINED, to=his.joined).by(bob.devices[0].signing)
    yield wishes.ok(world, "plain-member", "A plain member's.", member)


def devices(wishes: Wishes, town: Town) -> Iterator[Case]:
    world, ada, _bob, _eve, _team = town
    by_phone = wishes.draft(town, device=1)
    yield wishes.ok(
        world, "device-before", "Any device of the user signs, just before it is revoked.", by_phone
    )
    revoked = world.admit(ada.revoke(world.anchor, 1))
    shows = "The device was revoked since: its word no longer counts."
    yield wishes.bad(world, "device-after", shows, by_phone, nearest="device-before")
    kept = wishes.draft(town)
    yield wishes.ok(world, "device-kept", "The other device's counts on.", kept)
    again = world.admit(revoked.reset(world.actor, world.anchor))
    shows = "The user was reset since."
    yield wishes.bad(world, "device-reset", shows, kept, nearest="device-kept")
    shows = "The user was reset, and the new device signs for the stay that has passed."
    late = kept.by(again.devices[0].signing)
    yield wishes.bad(world, "device-reset-new", shows, late, nearest="device-kept")
    world.admit(again.close(world.anchor))
    shows = "The user has closed the account."
    yield wishes.bad(world, "device-closed", shows, late, nearest="device-kept")


def stays(wishes: Wishes, town: Town) -> Iterator[Case]:
    """Bob is an admin too, so that Ada can go and come back."""
    world, ada, bob, _eve, team = town
    team = world.admit(team.update(world.anchor, ada, {bob: Role.ADMIN}))
    wish = wishes.draft(town, team)
    yield wishes.ok(world, "stay-promoted", "Others' changes are no matter.", wish)
    team = world.admit(team.update(world.anchor, bob, {ada: Role.MEMBER}, rotate=[ada, bob]))
    shows = "A change of the user's own role ends no stay."
    yield wishes.ok(world, "stay-demoted", shows, wish)
    gone = world.admit(team.update(world.anchor, bob, removed=[ada], rotate=[bob]))
    shows = "The user has been removed."
    yield wishes.bad(world, "stay-removed", shows, wish, nearest="stay-demoted")
    back = world.admit(gone.update(world.anchor, bob, {ada: Role.MEMBER}))
    shows = "The user is back: it is another stay."
    yield wishes.bad(world, "stay-before", shows, wish, nearest="stay-again")
    yield wishes.ok(world, "stay-again", "A word about this stay.", wishes.draft(town, back))


def through(wishes: Wishes, town: Town) -> Iterator[Case]:
    """Ada is in a compound group through a flat one only."""
    world, _ada, bob, _eve, team = town
    members: dict[Member, Role] = {bob: Role.ADMIN, team: Role.GROUP}
    every = world.found("every", bob, members, kind=Kind.COMPOUND)
    right = wishes.draft(town)
    yield wishes.ok(world, "through-flat", "To the flat group.", right)
    held = every.membership.entry(team.label)
    assert held
    up = right.at(GROUP, to=every.label).at(JOINED, to=held.joined)
    shows = "To the compound group: the user is no entry of it."
    yield wishes.bad(world, "through-compound", shows, up, nearest="through-flat")
    shows = "For the flat group, by a member of it: a group has no devices."
    group = up.at(USER, to=team.label)
    yield wishes.bad(world, "through-for-group", shows, group, nearest="through-flat")
    shows = "For the flat group, by its key."
    signed = group.by(team.signing)
    yield wishes.bad(world, "through-by-group", shows, signed, nearest="through-flat")


def expiries(wishes: Wishes, town: Town) -> Iterator[Case]:
    world, right = town.world, wishes.draft(town)
    yield wishes.ok(world, "expiry-later", "A grant for 1 ms more.", right.at(EXPIRY, to=NOW + 1))
    yield wishes.ok(world, "expiry-last", "The greatest time.", right.at(EXPIRY, to=2**53 - 1))
    shows = "The grant expired 1 ms ago."
    yield wishes.bad(world, "expired", shows, right.at(EXPIRY, to=NOW - 1))
    shows = "An expiry of 2^53."
    beyond = right.at(EXPIRY, to=2**53)
    yield wishes.bad(world, "expiry-2-53", shows, beyond, nearest="expiry-last", rule="R-10.4")
    shows = "A sender of 31 bytes."
    yield wishes.bad(world, "sender-31", shows, right.at(SENDER, to=bytes(31)), rule="R-10.4")
