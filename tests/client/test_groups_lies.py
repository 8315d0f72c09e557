"""A member and the server together: whatever they sign and publish, the members' clients refuse.

The server is the real one, but for one thing: it no longer asks whether statements obey the rules.
So every block stands in the log, and every statement is handed out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from ledger.client.group import compose_groups
from ledger.client.group.compose_groups import Author, GroupSecret
from ledger.client.group.group import Group
from ledger.client.group.groups import Change
from ledger.client.lookups.groups import LightGroups
from ledger.client.replay.session import Log
from ledger.client.user.compose import Place
from ledger.client.user.user import User
from ledger.errors import LogMisbehaved, RuleViolation
from ledger.format import wire
from ledger.format.evidence import Evidence, WrongStatement
from ledger.format.statement import Put, Statement, commitment
from ledger.log import admission
from ledger.rules import membership
from ledger.rules.context import Context
from ledger.rules.membership import Before, Kind, Membership
from ledger.rules.stale import Cause
from ledger.rules.state import Chain
from tests.client.conftest import Live
from tests.client.people import ADMIN, GROUP, MEMBER, People, roles, twin
from tests.client.test_groups_cli import Machine
from tests.client.test_light_session import light
from tests.client.test_user import elsewhere
from verifier.evidence import judge


@pytest.fixture
def collude(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From the call on, the server admits groups' blocks with any statement."""

    def vouch(
        at: Context, statement: Statement, before: Before, author: Chain | None
    ) -> Membership:
        return membership.changed(statement.terms, before.membership)

    class Accomplice:
        """The server's view of the rules."""

        def __getattr__(self, name: str) -> object:
            return vouch if name == "judge" else getattr(membership, name)

    def begin() -> None:
        monkeypatch.setattr(admission, "membership", Accomplice())
        monkeypatch.setattr(admission.VettedBatch, "_is_flat", lambda batch, chain: True)

    return begin


@dataclass
class Liar:
    """Who has the group's keys in hand, and writes by them."""

    user: User
    group: Group
    held: GroupSecret

    @classmethod
    async def of(cls, user: User, admin: Group) -> Liar:
        held = GroupSecret(await admin.keys.signer(), await admin.keys.key())
        return cls(user, admin, held)

    async def write(
        self, change: Change, *, name: bytes | None = None, new: GroupSecret | None = None
    ) -> wire.Submission:
        """An update in the name of `name`, by a device of the liar."""
        view, replica = await self.group.view(), self.user.log.replica
        submission = compose_groups.update(
            Place.after(replica, self.group.label),
            Author(name or self.user.label, self.user.author()),
            Before(view.state, view.membership),
            self.held,
            new,
            change,
            replica.chain,
        )
        await self.user.log.submit(submission)
        return submission


async def refused(group: Group, rule: str, submission: wire.Submission) -> None:
    """Everything that needs the membership is refused, with the statement as evidence."""
    for act in (group.members(), group.stale(), group.rotate(), group.why(group.user.label)):
        with pytest.raises(LogMisbehaved, match=rule.replace(".", r"\.")) as caught:
            await act
        evidence = caught.value.evidence
        assert evidence["statement"] == submission.statement
        assert evidence["block"] == submission.block
        assert evidence["checkpoint"] == group.user.log.replica.note
        assert caught.value.proof
        verdict = judge(caught.value.proof, group.user.log.log_id)
        assert (verdict.outcome, verdict.kind, verdict.rule) == ("proven", "statement", rule)


async def test_an_ordinary_member_and_the_server_add_somebody(
    people: People, collude: Callable[[], None]
) -> None:
    """The attack of the demo: the clients of all members refuse, with the statement as proof."""
    ada, bob, eve = people.ada, people.bob, people.eve
    team = await Group.create(ada, {bob.label: MEMBER})
    liar = await Liar.of(bob, team)
    change = Change((Put(eve.label, 0, MEMBER.value),))
    with pytest.raises(RuleViolation, match=r"R-56\.5"):
        await liar.write(change)
    collude()
    submission = await liar.write(change)
    await refused(team, "R-56.5", submission)
    await refused(Group(eve, team.label), "R-56.5", submission)
    statement = Statement.parse(submission.statement or b"")
    assert statement.terms.author == bob.label
    assert bob.state.device(statement.signer)


async def test_who_looks_up_proves_it_as_well(
    live: Live, people: People, collude: Callable[[], None]
) -> None:
    """R-80.10, from lookups alone; and in neither file stands who anybody is."""
    ada, bob, eve = people.ada, people.bob, people.eve
    team = await Group.create(ada, {bob.label: MEMBER})
    async with light(live, eve.account) as log:
        await log.lookup("ada@example.org")
    collude()
    liar = await Liar.of(bob, team)
    await liar.write(Change((Put(eve.label, 0, MEMBER.value),)))
    for member in (ada, eve):
        async with light(live, member.account) as log:
            await log.lookup("bob@example.org")
            with pytest.raises(LogMisbehaved, match=r"R-56\.5") as caught:
                await LightGroups(log).view(team.label)
        assert caught.value.proof
        verdict = judge(caught.value.proof, live.log_id)
        assert (verdict.outcome, verdict.kind, verdict.rule) == ("proven", "statement", "R-56.5")
        assert b"example.org" not in caught.value.proof


async def test_an_admin_and_that_server(people: People, collude: Callable[[], None]) -> None:
    """The nearest that passes: what an admin may do is believed from this server, too."""
    collude()
    team = await Group.create(people.ada, {people.bob.label: MEMBER})
    liar = await Liar.of(people.ada, team)
    await liar.write(Change((Put(people.eve.label, 0, MEMBER.value),)))
    everybody = {people.ada.label, people.bob.label, people.eve.label}
    assert set(roles(await Group(people.bob, team.label).members())) == everybody


async def test_promoted_oneself(people: People, collude: Callable[[], None]) -> None:
    team = await Group.create(people.ada, {people.bob.label: MEMBER})
    collude()
    liar = await Liar.of(people.bob, team)
    submission = await liar.write(Change((Put(people.bob.label, 0, ADMIN.value),)))
    await refused(team, "R-56.5", submission)


async def test_in_an_admins_name(people: People, collude: Callable[[], None]) -> None:
    team = await Group.create(people.ada, {people.bob.label: MEMBER})
    collude()
    liar = await Liar.of(people.bob, team)
    change = Change((Put(people.eve.label, 0, MEMBER.value),))
    submission = await liar.write(change, name=people.ada.label)
    await refused(team, "R-56.4", submission)


async def test_removal_without_rotation(people: People, collude: Callable[[], None]) -> None:
    """Even an admin has to change the keys: who was removed still holds the old ones."""
    team = await Group.create(people.ada, {people.bob.label: MEMBER, people.eve.label: MEMBER})
    collude()
    liar = await Liar.of(people.ada, team)
    submission = await liar.write(Change(removed=frozenset({people.eve.label})))
    await refused(Group(people.bob, team.label), "R-56.8", submission)


async def test_a_removed_admin_writes_on(people: People, collude: Callable[[], None]) -> None:
    """Bob holds keys that the server leaked to him, and has no place any more."""
    team = await Group.create(people.ada, {people.bob.label: ADMIN})
    await team.remove(people.bob.label)
    collude()
    liar = await Liar.of(people.bob, team)
    submission = await liar.write(Change((Put(people.bob.label, 0, ADMIN.value),)))
    await refused(team, "R-56.5", submission)


async def test_an_admin_after_a_reset(people: People, collude: Callable[[], None]) -> None:
    team = await Group.create(people.ada, {people.bob.label: ADMIN})
    bob = await people.reset(people.bob)
    collude()
    liar = await Liar.of(bob, team)
    submission = await liar.write(Change((Put(people.eve.label, 0, MEMBER.value),)))
    await refused(team, "R-56.5", submission)


async def test_the_author_is_judged_as_they_were(
    live: Live, people: People, collude: Callable[[], None]
) -> None:
    """A device that is revoked later was live then; one that was revoked before was not."""
    ada, bob, eve = people.ada, people.bob, people.eve
    team = await Group.create(ada, {bob.label: ADMIN})
    await Group(bob, team.label).add(eve.label)
    gone = bob.author()
    await bob.add_device()
    await bob.revoke_devices(gone.signing.public)
    async with elsewhere(live) as fresh:
        assert len(await Group(twin(ada, fresh), team.label).members()) == 3
    collude()
    liar = await Liar.of(bob, team)
    bob.author = lambda besides=(): gone  # type: ignore[method-assign]
    team_view = await team.view()
    assert team_view.membership.admits(bob.label, 0)
    submission = await liar.write(Change((Put(eve.label, 0, ADMIN.value),)))
    await refused(team, "R-56.4", submission)


async def test_a_group_in_a_group_that_lies_can_be_removed(
    people: People, collude: Callable[[], None]
) -> None:
    """What is wrong in a nested group stops all but getting rid of it."""
    ada, bob, eve = people.ada, people.bob, people.eve
    team = await Group.create(ada, {bob.label: MEMBER})
    house = await Group.create(eve, {team.label: GROUP}, kind=Kind.COMPOUND)
    collude()
    liar = await Liar.of(bob, team)
    submission = await liar.write(Change((Put(bob.label, 0, ADMIN.value),)))
    with pytest.raises(LogMisbehaved, match=team.label.hex()) as caught:
        await house.members()
    assert caught.value.evidence["statement"] == submission.statement
    with pytest.raises(LogMisbehaved):
        await house.rotate()
    await house.remove(team.label)
    assert set(roles(await house.members())) == {eve.label}


async def test_a_compound_group_in_a_compound_group_is_void(
    people: People, collude: Callable[[], None]
) -> None:
    """It brings in nobody, and goes with the next act."""
    ada, bob, eve = people.ada, people.bob, people.eve
    house = await Group.create(eve, {bob.label: MEMBER}, kind=Kind.COMPOUND)
    town = await Group.create(ada, kind=Kind.COMPOUND)
    with pytest.raises(RuleViolation, match=r"R-56\.10"):
        await town.add(house.label)
    collude()
    liar = await Liar.of(ada, town)
    await liar.write(Change((Put(house.label, 0, GROUP.value),)))
    assert set(roles(await town.members())) == {ada.label}
    (reason,) = await town.stale()
    assert (reason.label, reason.cause) == (house.label, Cause.NOT_LIVE)
    await town.rotate()
    assert (await town.view()).membership.labels == {ada.label}


async def test_a_wrong_statement_stays_wrong(
    live: Live, people: People, collude: Callable[[], None]
) -> None:
    """Neither a fresh client nor one that was there before gets past it."""
    ada, bob, eve = people.ada, people.bob, people.eve
    team = await Group.create(ada, {bob.label: MEMBER, eve.label: ADMIN})
    await team.members()
    collude()
    liar = await Liar.of(bob, team)
    await liar.write(Change((Put(bob.label, 0, ADMIN.value),)))
    for _ in range(2):
        with pytest.raises(LogMisbehaved, match="block 1 "):
            await team.members()
    async with elsewhere(live) as fresh:
        with pytest.raises(LogMisbehaved, match="block 1 "):
            await Group(twin(eve, fresh), team.label).members()


async def test_the_evidence_is_kept(
    live: Live, log: Log, tmp_path: Path, collude: Callable[[], None]
) -> None:
    """The command refuses with code 1, and writes the statement down."""
    mary = await Machine.register(live, tmp_path, "mary")
    people = await People.register(live, log)
    ada, bob = people.ada, people.bob
    team = await Group.create(ada, {bob.label: MEMBER, bytes.fromhex(mary.label): MEMBER})
    collude()
    liar = await Liar.of(bob, team)
    submission = await liar.write(Change((Put(people.eve.label, 0, MEMBER.value),)))
    done = await mary.fails(1, "R-56.5", "show", team.label.hex())
    assert "evidence: " in done.err
    (kept,) = mary.home.glob("evidence/statement-*.cbor")
    assert f"keyroll-verifier check-evidence {kept}" in done.err
    assert "who is in that group" in done.err
    found = Evidence.decode(kept.read_bytes()).body
    assert isinstance(found, WrongStatement)
    assert found.statements[-1] == submission.statement
    assert commitment(found.statements[-1]) in found.chains[1].part.links[-1].entry
