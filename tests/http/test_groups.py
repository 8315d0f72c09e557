"""Groups over HTTP: statements in, and out to whom they concern (R-56.10, R-56.12, R-72)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from ledger.format import cose, wire
from ledger.format.cbor import encode
from ledger.format.group_boxes import (
    GROUP_BOXES_PATH,
    GroupBoxesAnswer,
    GroupBoxesRequest,
)
from ledger.format.keys import SigningKey
from ledger.format.login import authenticate
from ledger.format.statement import Role, Statement, sign_grant, sign_leave, sign_statement
from ledger.log.clock import wall_ms
from ledger.rules.membership import Kind
from ledger.seal.boxes import open_box, open_seed, verify_box
from ledger.server.config import StatementsConfig
from tests.http.world import CONFIG, Answer, Http, served
from tests.support.actors import User, Written, signing_key
from tests.support.groups import Group

AUDITOR = signing_key("auditor")
LATER = 2**53 - 1


@dataclass
class Ward:
    """A flat group of Ada, its admin, and Bob; a compound group of Ada and that one; others."""

    log: Http
    ada: User
    bob: User
    eve: User
    team: Group
    house: Group
    created: int
    housed: int

    async def admit(self, written: Written[Any]) -> Any:
        await self.log.admit(written)
        return written.after

    async def refused(self, written: Written[Any]) -> tuple[str, str]:
        (verdict,) = (await self.log.submit(written)).verdicts
        assert isinstance(verdict, wire.Refused), verdict
        return verdict.kind, verdict.rule

    async def ask(self, path: str, request: bytes, key: SigningKey) -> Answer:
        body = authenticate(request, path, key, self.log.actor.log_id, wall_ms())
        return await self.log.post(path, body)

    async def box(
        self, user: User, holder: bytes, label: bytes, index: int, position: int
    ) -> Answer:
        request = wire.BoxRequest(user.label, holder, label, index, position).encode()
        return await self.ask(wire.BOXES_PATH, request, user.devices[0].signing)

    async def read(
        self, user: User, group: Group, through: Group | None = None, start: int = 0
    ) -> Answer:
        asked = wire.StatementRequest(user.label, (through or group).label, group.label, start)
        return await self.ask(wire.STATEMENTS_PATH, asked.encode(), user.devices[0].signing)

    async def may_read(self, user: User, group: Group, through: Group | None = None) -> bool:
        answer = await self.read(user, group, through)
        if answer.status != 200:
            assert (answer.status, answer.kind, answer.rule) == (403, "forbidden", "R-72.4")
        return answer.status == 200


@pytest.fixture
async def ward(tmp_path: Path) -> AsyncIterator[Ward]:
    auditors = StatementsConfig((AUDITOR.public.hex(),))
    async with served(tmp_path / "log", replace(CONFIG, statements=auditors)) as live:
        log = live.http
        people = [await log.user(name) for name in ("ada", "bob", "eve")]
        await log.admit(*people)
        ada, bob, eve = (written.after for written in people)
        roles: dict[User | Group, Role] = {ada: Role.ADMIN, bob: Role.MEMBER}
        team = Group.create("team", await log.anchor(), ada, roles)
        (made,) = await log.admit(team)
        nested: dict[User | Group, Role] = {ada: Role.ADMIN, team.after: Role.GROUP}
        house = Group.create("house", await log.anchor(), ada, nested, kind=Kind.COMPOUND)
        (housed,) = await log.admit(house)
        yield Ward(log, ada, bob, eve, team.after, house.after, made.index, housed.index)


async def test_each_member_has_its_boxes(ward: Ward) -> None:
    """R-72.3 and R-55.4: members open the encryption key, admins the signing key too."""
    ada, bob, team = ward.ada, ward.bob, ward.team
    members = sorted((ada, bob), key=lambda user: user.label)
    recipients = [user.user_key.public for user in (*members, ada)]
    statement = await ward.read(bob, team)
    (raw,) = wire.StatementAnswer.decode(statement.body).statements
    root = Statement.parse(raw).terms.box_root
    for position, user in enumerate((*members, ada)):
        answer = await ward.box(user, user.label, team.label, ward.created, position)
        found = wire.BoxAnswer.decode(answer.body)
        verify_box(recipients[position], found.box, position, 3, found.proof, root)
        if position < 2:
            assert open_box(found.box, user.user_key, team.encryption.public) == team.encryption
        else:
            assert open_seed(found.box, user.user_key, team.signing.public) == team.signing


async def test_a_box_for_a_group_is_for_its_members(ward: Ward) -> None:
    """R-72.3: Bob is in the house by the team, whose key its box is sealed to."""
    entries = [e.label for e in ward.house.membership.entries]
    at = entries.index(ward.team.label)
    answer = await ward.box(ward.bob, ward.team.label, ward.house.label, ward.housed, at)
    found = wire.BoxAnswer.decode(answer.body)
    opened = open_box(found.box, ward.team.encryption, ward.house.encryption.public)
    assert opened == ward.house.encryption
    for user, holder in (
        (ward.eve, ward.team.label),
        (ward.bob, ward.bob.label),
        (ward.bob, ward.house.label),
        (ward.bob, ward.ada.label),
        (ward.bob, bytes(32)),
    ):
        answer = await ward.box(user, holder, ward.house.label, ward.housed, at)
        assert (answer.status, answer.rule) == (403, "R-72.3")


async def test_what_the_newest_blocks_hold_for_one(ward: Ward) -> None:
    """R-72.8: a member's own boxes, the newest block's first, and nobody else's."""

    async def boxes(user: User, group: Group, caller: User | None = None) -> Answer:
        asked = GroupBoxesRequest(user.label, group.label).encode()
        return await ward.ask(GROUP_BOXES_PATH, asked, (caller or user).devices[0].signing)

    rotated = ward.team.update(await ward.log.anchor(), ward.ada, rotate=(ward.ada, ward.bob))
    await ward.log.admit(rotated)
    found = GroupBoxesAnswer.decode((await boxes(ward.bob, ward.team)).body).boxes
    assert [recipient for recipient, _ in found] == [ward.bob.user_key.public] * 2
    for (_, box), group in zip(found, (rotated.after, ward.team), strict=True):
        assert open_box(box, ward.bob.user_key, group.encryption.public) == group.encryption
    admins = GroupBoxesAnswer.decode((await boxes(ward.ada, ward.team)).body).boxes
    assert len(admins) == 4  # the signing key, too
    # By the team: its box in the house is not sealed to a key of Bob's.
    assert GroupBoxesAnswer.decode((await boxes(ward.bob, ward.house)).body).boxes == ()
    for answer in (
        await boxes(ward.eve, ward.team),
        await boxes(ward.bob, ward.team, ward.eve),
        await boxes(ward.ada, replace(ward.team, label=bytes(32))),
    ):
        assert (answer.status, answer.kind, answer.rule) == (403, "forbidden", "R-72.8")


async def test_the_key_before_is_for_members(ward: Ward) -> None:
    """55-boxes: whoever holds the newest key opens the one before."""
    old = ward.team.encryption
    rotated = ward.team.update(await ward.log.anchor(), ward.ada, rotate=(ward.ada, ward.bob))
    (made,) = await ward.log.admit(rotated)
    team: Group = rotated.after
    answer = await ward.box(ward.bob, team.label, team.label, made.index, 3)
    found = wire.BoxAnswer.decode(answer.body)
    assert found.count == 4
    assert open_box(found.box, team.encryption, old.public) == old
    assert (await ward.box(ward.eve, team.label, team.label, made.index, 3)).status == 403


Bend = Callable[[Ward, Written[Group]], Written[Group]]


def unstated(ward: Ward, written: Written[Group]) -> Written[Group]:
    return replace(written, statement=None)


def another(ward: Ward, written: Written[Group]) -> Written[Group]:
    """The statement once more, with other salt."""
    assert written.statement
    terms = replace(Statement.parse(written.statement).terms, salt=bytes(32))
    signer = ward.ada.devices[0].signing
    return replace(written, statement=sign_statement(signer, ward.log.actor.log_id, terms))


def garbled(ward: Ward, written: Written[Group]) -> Written[Group]:
    assert written.statement
    return replace(written, statement=written.statement[:-1])


def unboxed(ward: Ward, written: Written[Group]) -> Written[Group]:
    return replace(written, boxes=written.boxes[1:])


def swapped(ward: Ward, written: Written[Group]) -> Written[Group]:
    return replace(written, boxes=written.boxes[::-1])


BENDS: dict[str, tuple[Bend, tuple[str, str]]] = {
    "no statement": (unstated, ("rule", "R-71.6")),
    "another statement": (another, ("rule", "R-56.2")),
    "a garbled one": (garbled, ("malformed", "R-40.1")),
    "a box short": (unboxed, ("rule", "R-55.3")),
    "boxes in another order": (swapped, ("rule", "R-55.3")),
}


@pytest.mark.parametrize(("bend", "refusal"), BENDS.values(), ids=BENDS)
async def test_what_comes_along_must_fit(ward: Ward, bend: Bend, refusal: tuple[str, str]) -> None:
    """R-71.6, R-56.10, R-55.3."""
    right = ward.team.update(await ward.log.anchor(), ward.ada, rotate=(ward.ada, ward.bob))
    assert await ward.refused(bend(ward, right)) == refusal
    await ward.log.admit(right)


async def test_a_statement_comes_with_groups_only(ward: Ward) -> None:
    phone = ward.bob.add(await ward.log.anchor())
    assert await ward.refused(replace(phone, statement=b"x")) == ("malformed", "R-40.1")
    right = ward.team.update(await ward.log.anchor(), ward.ada, rotate=(ward.ada, ward.bob))
    stated = replace(phone, statement=right.statement)
    assert await ward.refused(stated) == ("rule", "R-71.6")
    await ward.log.admit(phone)


async def test_a_bent_signature_of_a_statement(ward: Ward) -> None:
    """R-56.4: checked beside the block's own signatures."""
    team, anchor = ward.team, await ward.log.anchor()
    right = team.update(anchor, ward.ada, rotate=(ward.ada, ward.bob))
    assert right.statement
    bent = right.statement[:-1] + bytes([right.statement[-1] ^ 1])
    block = right.block
    after = replace(right.after, seq=block.seq, head=block.prev)
    terms = Statement.parse(bent).terms
    raw = after.block(right.block.type, terms, bent, team)  # type: ignore[arg-type]
    forged = replace(right, raw=raw, statement=bent)
    assert await ward.refused(forged) == ("signature", "R-56.4")
    await ward.log.admit(right)


async def test_who_is_put_in_must_be_live(ward: Ward) -> None:
    """R-56.10: a closed user, another epoch, a stranger, a group that is not flat or is closed."""
    anchor = await ward.log.anchor()
    stranger = replace(ward.eve, label=b"s" * 32)
    later = replace(ward.eve, epoch=1)
    for nobody in (stranger, later):
        written = ward.team.update(anchor, ward.ada, {nobody: Role.MEMBER})
        assert await ward.refused(written) == ("rule", "R-56.10")
    house2 = Group.create(
        "other",
        anchor,
        ward.ada,
        {ward.ada: Role.ADMIN, ward.house: Role.GROUP},
        kind=Kind.COMPOUND,
    )
    assert await ward.refused(house2) == ("rule", "R-56.10")
    await ward.log.admit(ward.eve.close(anchor), ward.team.close(anchor, ward.ada))
    anchor = await ward.log.anchor()
    for gone, role in ((ward.eve, Role.MEMBER), (ward.team, Role.GROUP)):
        members: dict[User | Group, Role] = {ward.ada: Role.ADMIN, gone: role}
        written = Group.create("late", anchor, ward.ada, members, kind=Kind.COMPOUND)
        assert await ward.refused(written) == ("rule", "R-56.10")


async def test_boxes_for_a_key_that_changed_meanwhile(ward: Ward) -> None:
    """R-55.3: the recipients are those of the block's place, not of what its author had seen."""
    phone = ward.bob.add(await ward.log.anchor())
    await ward.log.admit(phone)
    anchor = await ward.log.anchor()
    await ward.log.admit(phone.after.revoke(anchor, 1))
    late = ward.team.update(anchor, ward.ada, rotate=(ward.ada, phone.after))
    assert await ward.refused(late) == ("rule", "R-55.3")


async def test_two_admins_at_once(ward: Ward) -> None:
    """One wins; the other hears on which head to build."""
    raised = ward.team.update(await ward.log.anchor(), ward.ada, {ward.bob: Role.ADMIN})
    team = await ward.admit(raised)
    anchor = await ward.log.anchor()
    one = team.update(anchor, ward.ada, {ward.eve: Role.MEMBER})
    two = team.update(anchor, ward.bob, rotate=(ward.ada, ward.bob))
    first, second = (await ward.log.submit(one, two)).verdicts
    assert isinstance(first, wire.Admitted)
    assert isinstance(second, wire.Refused)
    assert second.kind == "stale-head"
    assert second.head
    assert second.head.hash == one.after.head


async def test_who_may_read_statements(ward: Ward) -> None:
    """R-72.4, decided on what is published and was verified, not on what the caller says."""
    ada, bob, eve, team, house = ward.ada, ward.bob, ward.eve, ward.team, ward.house
    assert await ward.may_read(ada, team)
    assert await ward.may_read(bob, team)
    assert await ward.may_read(bob, house)
    assert await ward.may_read(bob, team, through=house)
    assert not await ward.may_read(bob, house, through=team)
    assert not await ward.may_read(eve, team)
    assert not await ward.may_read(eve, team, through=house)
    assert not await ward.may_read(replace(bob, devices=eve.devices), team)
    assert not await ward.may_read(replace(eve, devices=bob.devices), team)
    nowhere = replace(team, label=b"x" * 32)
    assert not await ward.may_read(ada, nowhere)
    assert not await ward.may_read(ada, nowhere, through=house)
    assert not await ward.may_read(ada, replace(team, label=ada.label), through=house)


async def test_whoever_left_reads_no_more(ward: Ward) -> None:
    anchor = await ward.log.anchor()
    without = ward.team.update(anchor, ward.ada, removed=[ward.bob], rotate=[ward.ada])
    team = await ward.admit(without)
    assert not await ward.may_read(ward.bob, team)
    assert not await ward.may_read(ward.bob, ward.house)
    assert await ward.may_read(ward.ada, team)
    back = await ward.admit(team.update(await ward.log.anchor(), ward.ada, {ward.bob: Role.MEMBER}))
    assert await ward.may_read(ward.bob, back)
    await ward.log.admit(ward.bob.reset(ward.log.actor, await ward.log.anchor()))
    assert not await ward.may_read(ward.bob, back)


async def test_a_closed_group_keeps_its_last_members_but_is_none_itself(ward: Ward) -> None:
    """56-groups: an entry is live while its group is open."""
    team = await ward.admit(ward.team.close(await ward.log.anchor(), ward.ada))
    assert await ward.may_read(ward.bob, team)
    assert not await ward.may_read(ward.bob, ward.house)
    assert await ward.may_read(ward.ada, team, through=ward.house)


async def test_statements_come_from_where_one_was(ward: Ward) -> None:
    team = ward.team
    for role in (Role.ADMIN, Role.MEMBER):
        rotate = (ward.ada, ward.bob) if role == Role.MEMBER else None
        anchor = await ward.log.anchor()
        team = await ward.admit(team.update(anchor, ward.ada, {ward.bob: role}, rotate=rotate))
    for start in range(5):
        answer = wire.StatementAnswer.decode((await ward.read(ward.ada, team, start=start)).body)
        assert (answer.total, len(answer.statements)) == (3, max(0, 3 - start))
        seqs = [Statement.parse(raw).terms.seq for raw in answer.statements]
        assert seqs == list(range(start, 3))


async def leaves_of(ward: Ward, group: Group) -> tuple[bytes, ...]:
    return wire.StatementAnswer.decode((await ward.read(ward.ada, group)).body).leaves


async def test_a_wish_to_leave_lasts_as_long_as_the_stay(ward: Ward) -> None:
    """R-56.12, R-72.6."""
    leave = ward.team.leave(ward.bob)
    for _ in range(2):
        assert (await ward.log.post(wire.LEAVES_PATH, leave.raw)).status == 204
    assert await leaves_of(ward, ward.team) == (leave.raw,)
    without = ward.team.update(
        await ward.log.anchor(), ward.ada, removed=[ward.bob], rotate=[ward.ada]
    )
    team = await ward.admit(without)
    assert await leaves_of(ward, team) == ()
    again = await ward.admit(
        team.update(await ward.log.anchor(), ward.ada, {ward.bob: Role.MEMBER})
    )
    assert await leaves_of(ward, again) == ()
    answer = await ward.log.post(wire.LEAVES_PATH, leave.raw)
    assert (answer.status, answer.rule) == (403, "R-72.6")
    assert (await ward.log.post(wire.LEAVES_PATH, again.leave(ward.bob).raw)).status == 204


async def test_leaves_and_grants_that_do_not_count(ward: Ward) -> None:
    """R-56.12: by a live device of a member, about that stay, for this log and purpose."""
    team, bob, log_id = ward.team, ward.bob, ward.log.actor.log_id
    stay, key = team.stay(bob), bob.devices[0].signing
    strangers = ward.eve.devices[0].signing
    wrong = {
        "a stranger's device": sign_leave(strangers, log_id, stay),
        "a stranger": sign_leave(strangers, log_id, replace(stay, user=ward.eve.label)),
        "another epoch": sign_leave(key, log_id, replace(stay, epoch=1)),
        "another stay": sign_leave(key, log_id, replace(stay, joined=stay.joined + 1)),
        "another group": sign_leave(key, log_id, replace(stay, group=ward.house.label)),
        "another log": sign_leave(key, bytes(32), stay),
        "another context": cose.sign(encode(stay.to_values()), [key], cose.GRANT, log_id),
    }
    for what, raw in wrong.items():
        answer = await ward.log.post(wire.LEAVES_PATH, raw)
        assert (answer.status, answer.kind, answer.rule) == (403, "forbidden", "R-72.6"), what
    two = cose.sign(encode(stay.to_values()), [key, strangers], cose.LEAVE, log_id)
    for raw in (b"", two, sign_grant(key, log_id, stay, ward.eve.label, LATER)):
        assert (await ward.log.post(wire.LEAVES_PATH, raw)).status == 400
    expired = sign_grant(key, log_id, stay, ward.eve.label, wall_ms() - 1)
    assert (await ward.log.post(wire.GRANTS_PATH, expired)).status == 403
    assert not await ward.may_read(ward.eve, team)


async def test_a_grant_lets_a_sender_read_while_it_counts(ward: Ward) -> None:
    team, house = ward.team, ward.house
    grant = house.grant(ward.ada, ward.eve, LATER)
    assert (await ward.log.post(wire.GRANTS_PATH, grant.raw)).status == 204
    assert await ward.may_read(ward.eve, house)
    assert await ward.may_read(ward.eve, team, through=house)
    assert not await ward.may_read(ward.eve, team)
    assert (await ward.box(ward.eve, house.label, house.label, ward.housed, 0)).status == 403
    phone = await ward.admit(ward.ada.add(await ward.log.anchor()))
    await ward.log.admit(phone.revoke(await ward.log.anchor(), 0, author=1))
    assert not await ward.may_read(ward.eve, house)


async def test_grants_are_bounded(ward: Ward) -> None:
    senders = [replace(ward.eve, label=bytes([n]) * 32) for n in range(1, 66)]
    grants = [ward.team.grant(ward.bob, sender, LATER).raw for sender in senders]
    for raw in (*grants[:64], grants[0]):
        assert (await ward.log.post(wire.GRANTS_PATH, raw)).status == 204
    answer = await ward.log.post(wire.GRANTS_PATH, grants[64])
    assert (answer.status, answer.kind, answer.rule) == (429, "too-many", "R-72.6")


async def test_a_mandated_auditor_reads_all(ward: Ward) -> None:
    """R-72.5: tile by tile, and nobody else."""
    await ward.log.admit(ward.team.close(await ward.log.anchor(), ward.ada))
    size = (await ward.log.checkpoint()).size
    found: list[tuple[int, bytes]] = []
    start = 0
    while start < size:
        request = wire.AuditRequest(start).encode()
        answer = wire.AuditAnswer.decode((await ward.ask(wire.AUDIT_PATH, request, AUDITOR)).body)
        assert answer.end > start
        found += answer.statements
        start = answer.end
    assert start == size
    assert [index for index, _ in found] == [ward.created, ward.housed, size - 2]
    seqs = [Statement.parse(raw).terms.seq for _, raw in found]
    assert seqs == [0, 0, 1]
    beyond = await ward.ask(wire.AUDIT_PATH, wire.AuditRequest(size).encode(), AUDITOR)
    assert wire.AuditAnswer.decode(beyond.body) == wire.AuditAnswer(size, ())
    for key in (ward.ada.devices[0].signing, signing_key("another")):
        answer_ = await ward.ask(wire.AUDIT_PATH, wire.AuditRequest(0).encode(), key)
        assert (answer_.status, answer_.kind, answer_.rule) == (403, "forbidden", "R-72.5")


async def test_memberships_survive_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "log"
    async with served(path) as live:
        ada, bob = await live.http.user("ada"), await live.http.user("bob")
        await live.http.admit(ada, bob)
        members: dict[User | Group, Role] = {ada.after: Role.ADMIN}
        team = Group.create("team", await live.http.anchor(), ada.after, members)
        await live.http.admit(team)
    async with served(path) as live:
        more = team.after.update(await live.http.anchor(), ada.after, {bob.after: Role.MEMBER})
        await live.http.admit(more)


async def test_an_ordinary_member_with_the_signing_key_in_hand(ward: Ward) -> None:
    """R-56.5 at admission: the statement tells who wrote."""
    forged = ward.team.update(await ward.log.anchor(), ward.bob, {ward.eve: Role.MEMBER})
    assert await ward.refused(forged) == ("rule", "R-56.5")
    raised = ward.team.update(await ward.log.anchor(), ward.bob, {ward.bob: Role.ADMIN})
    assert await ward.refused(raised) == ("rule", "R-56.5")
