"""Looking people up at the real server, without its log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from ledger.client.lookups import parts as light_parts
from ledger.client.lookups import session as light_session
from ledger.client.lookups.light import verify
from ledger.client.lookups.pins import Held, LogView, Standing
from ledger.client.lookups.session import LightLog
from ledger.client.lookups.trust import Trust
from ledger.client.policy import Policy
from ledger.client.user.account import Account, MemoryVault
from ledger.client.user.user import User
from ledger.errors import (
    LogMisbehaved,
    MalformedInput,
    NotCosigned,
    Refused,
    TransportError,
    UsageError,
)
from ledger.format.lookup import Bundle, Mode, Saved
from ledger.log.clock import wall_ms
from ledger.rules.users import LoudEvent
from ledger.server import lookups as server_lookups
from tests.client.conftest import Live
from tests.client.light_world import AUDITED, AUDITORS, WATCHED
from tests.client.people import People, change_key, replica_of
from tests.support.policies import cosigned


@asynccontextmanager
async def light(
    live: Live, account: Account, path: Path | str = ":memory:", policy: Policy | None = None
) -> AsyncIterator[LightLog]:
    async with LightLog.connect(live.url, live.log_id, path, account, policy=policy) as log:
        yield log


async def test_bob_is_found_and_nobody_is_not(live: Live, people: People) -> None:
    async with light(live, people.ada.account) as log:
        bob, nobody, eve = await log.lookup("bob@example.org", "no@example.org", people.eve.label)
        assert bob.state == people.bob.state
        assert (bob.known, bob.standing, bob.opening) == (
            False,
            Standing.SIGNED,
            people.bob.identity.opening,
        )
        assert (nobody.pin, nobody.state) == (None, None)
        assert eve.state == people.eve.state
        (again,) = await log.lookup("bob@example.org")
        assert (again.known, again.query.of, again.opening) == (True, bob.label, bob.opening)
        assert log.trust.labels() == sorted([bob.label, eve.label])


async def test_what_happens_to_bob_is_told(live: Live, people: People) -> None:
    async with light(live, people.ada.account) as log:
        await log.lookup("bob@example.org")
        phone = await people.bob.add_device()
        (bob,) = await log.lookup("bob@example.org")
        assert bob.pin
        assert [one.signing for one in bob.pin.arrived] == [phone.signing.public]
        assert (bob.pin.events, bob.pin.user_key_changed) == ((), False)
        await people.bob.revoke_devices(phone.signing.public)
        (bob,) = await log.lookup("bob@example.org")
        assert bob.pin
        assert [one.kind for one in bob.pin.events] == [LoudEvent.ALL_OTHERS_REVOKED]
        assert bob.pin.user_key_changed
        (bob,) = await log.lookup("bob@example.org")  # it is told until it is accepted
        assert bob.pin
        assert len(bob.pin.events) == 1
        log.accept(bob.pin)
        (bob,) = await log.lookup("bob@example.org")
        assert bob.pin
        assert (bob.pin.events, bob.pin.user_key_changed, bob.fresh) == ((), False, ())


async def test_what_was_shown_is_what_is_accepted(live: Live, people: People) -> None:
    async with light(live, people.ada.account) as log:
        await log.lookup("bob@example.org")
        await change_key(people.bob)
        (shown,) = await log.lookup("bob@example.org")
        bob = await people.reset(people.bob)
        (newer,) = await log.lookup(bob.label)
        assert shown.pin
        assert newer.pin
        with pytest.raises(UsageError, match="look again"):
            log.accept(shown.pin)
        log.accept(newer.pin)


async def test_a_device_that_nobody_here_knows(live: Live, people: People) -> None:
    ada = people.ada
    here = replace(ada.account)
    async with light(live, here) as log:
        assert (await log.refresh()).pin.alarms == ()  # type: ignore[union-attr]
        mine = await ada.add_device()  # by a device that is here
        found = await log.refresh()
        assert found.pin
        assert found.pin.alarms == ()
        ghost = await adding_from(ada, mine.signing.public)
        found = await log.refresh()
        assert found.pin
        (alarm,) = found.pin.alarms
        assert alarm.device.signing == ghost
        assert alarm.entry == replica_of(ada).entry(alarm.device.index)
        assert not found.pin.quiet
        log.accept(found.pin)
        found = await log.refresh()
        assert found.pin
        assert found.pin.quiet


async def adding_from(user: User, author: bytes) -> bytes:
    """A device added by a device that is not here; its signing key."""
    vault = MemoryVault()
    (device,) = [one for one in user.account.devices if one.signing.public == author]
    vault.save(replace(user.account, devices=(device,)))
    added = await User(user.log, vault).add_device()
    return added.signing.public


async def test_who_asks(live: Live, people: People) -> None:
    phone = await people.ada.add_device()
    first = people.ada.account.devices[0].signing.public
    other = await people.ada.add_device()
    await people.ada.revoke_devices(other.signing.public)
    async with light(live, people.ada.account) as log:
        assert (await log.refresh()).state == people.ada.state
        assert log.signers()[0].signing.public in (phone.signing.public, first)
    stranger = replace(people.eve.account, identity=people.ada.identity)
    async with light(live, stranger) as log:
        with pytest.raises(Refused):
            await log.refresh()


async def test_a_saved_lookup_needs_nothing_else(live: Live, people: People) -> None:
    """R-65.10: it stands for itself, with nothing held."""
    async with light(live, people.ada.account) as log:
        await log.lookup("eve@example.org")
        await change_key(people.bob)
        found, saved = await log.save("bob@example.org")
        assert found.state == people.bob.state
        saved = Saved.decode(saved.encode())
        assert (saved.log_id, saved.identifier) == (live.log_id, "bob@example.org")
        held = Held(LogView(saved.log_id))
        asked = held.ask(bytes(32), Policy(), [saved.identifier])
        outcome = verify(saved.bundle, asked, held, Policy(), wall_ms())
        assert outcome.found[0].state == people.bob.state
        await change_key(people.bob)
        again, _ = await log.save("bob@example.org")
        assert again.pin
        assert again.pin.events
        assert again.before
        with pytest.raises(MalformedInput, match=r"R-36\.5"):
            await log.save("")


async def test_a_file_is_shared(live: Live, people: People, tmp_path: Path) -> None:
    """Several clients with one file, several tasks of each: nobody loses what another saw."""
    path = tmp_path / "trust.db"
    names = ["bob@example.org", "eve@example.org", "ada@example.org"]
    async with (
        light(live, people.ada.account, path) as one,
        light(live, people.ada.account, path) as two,
    ):
        changes = [change_key(people.bob), people.eve.add_device()]
        asks = [log.lookup(name) for log in (one, two) for name in names * 3]
        await asyncio.gather(*asks, *changes)
        await asyncio.gather(*(log.lookup(*names) for log in (one, two)))
        for user in (people.ada, people.bob, people.eve):
            pin = two.trust.pin(user.label)
            assert pin
            assert pin.chain.state == user.state
            assert [index for index, _ in one.trust.links(user.label)][-1] == user.state.index
    with pytest.raises(UsageError, match="another log"):
        Trust.open(path, bytes(32))


async def test_many_at_once_come_in_parts(
    live: Live, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledger.server.lookups.MAX_ANSWER_BYTES", 1_000)
    async with light(live, people.ada.account) as log:
        names = ["bob@example.org", "no@example.org", "eve@example.org"]
        found = await log.lookup(*names)
        assert [one.state for one in found] == [people.bob.state, None, people.eve.state]


async def test_without_auditors_nothing_is_audited(live: Live, people: People) -> None:
    async with light(live, people.ada.account, policy=AUDITED) as log:
        with pytest.raises(NotCosigned, match=r"R-6[35]\.[49]"):
            await log.lookup("bob@example.org")
        assert log.trust.view() == LogView(live.log_id)
    async with light(live, people.ada.account, policy=WATCHED) as log:
        (bob,) = await log.lookup("bob@example.org")
        assert bob.standing == Standing.PROVISIONAL
        (kept,) = log.trust.unsettled()
        assert kept.size == log.trust.view().size


async def test_a_server_that_fell_back(
    live: Live, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It shows an older checkpoint, and says that it knows no newer tree."""
    async with light(live, people.ada.account) as log:
        old = await log._transport.checkpoint()
        await people.bob.add_device()
        await log.lookup("bob@example.org")

        async def refused(request: bytes) -> bytes:
            raise Refused(400, "malformed", "the published tree is smaller")

        async def fallen_back() -> bytes:
            return old

        monkeypatch.setattr(log._transport, "lookup", refused)
        with pytest.raises(Refused):
            await log.refresh()
        monkeypatch.setattr(log._transport, "checkpoint", fallen_back)
        with pytest.raises(LogMisbehaved, match=r"R-61\.2"):
            await log.refresh()


async def test_another_log_behind_the_address(live: Live, people: People) -> None:
    account = replace(people.ada.account, log_id=b"x" * 32)
    async with LightLog.connect(live.url, account.log_id, ":memory:", account) as log:
        with pytest.raises((MalformedInput, Refused)):
            await log.lookup("bob@example.org")
    with pytest.raises(UsageError, match="another log"):
        LightLog(Trust.open(":memory:", bytes(32)), log._transport, people.ada.account)
    with pytest.raises(UsageError, match="register"):
        LightLog(Trust.open(":memory:", live.log_id), log._transport, Account(live.log_id))


async def test_auditors_settle_what_was_seen(live: Live, people: People) -> None:
    async with light(live, people.ada.account, policy=WATCHED) as log:
        await log.lookup("bob@example.org")
        first = log.trust.view()
        await change_key(people.bob)
        await log.lookup("bob@example.org")
        assert log.overdue(60_000) == []
        assert log.overdue(-60_000) == log.trust.unsettled()
        assert len(log.trust.unsettled()) == 2
        assert await log.settle_by(first.note) == 0
        assert await log.settle_by(cosigned(first.note, wall_ms(), *AUDITORS[:2])) == first.size
        (left,) = log.trust.unsettled()
        assert left.size > first.size


async def test_answers_are_settled_by_themselves(
    live: Live, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In who asks for long enough; seldom, and whether or not it can be asked."""
    monkeypatch.setattr(light_session, "SETTLING", 100_000)
    async with light(live, people.ada.account, policy=WATCHED) as log:
        later, asked, honest = 0, 0, log._transport.covered
        log.clock = lambda: wall_ms() + later

        async def covered() -> bytes:
            nonlocal asked
            asked += 1
            return await honest()

        log._transport.covered = covered  # type: ignore[method-assign]
        await log.lookup("bob@example.org")
        await live.cover()
        await log.lookup("bob@example.org")
        assert (asked, len(log.trust.unsettled()) > 0) == (0, True)
        first = log.trust.unsettled()[0]
        later = 101_000
        await change_key(people.bob)
        await log.lookup("bob@example.org")
        assert (asked, first in log.trust.unsettled()) == (1, False)
        await log.lookup("bob@example.org")
        assert asked == 1
        later *= 2

        async def unreachable() -> bytes:
            raise TransportError("the line broke")

        log._transport.covered = unreachable  # type: ignore[method-assign]
        await change_key(people.bob)
        (bob,) = await log.lookup("bob@example.org")
        assert bob.state == people.bob.state
        assert log.trust.unsettled()


async def test_audited_answers(live: Live, people: People) -> None:
    async with light(live, people.ada.account, policy=AUDITED) as log:
        await live.cover()
        (bob,) = await log.lookup("bob@example.org")
        assert (bob.state, bob.standing) == (people.bob.state, Standing.SETTLED)
        await change_key(people.bob)
        await live.cover()
        (bob,) = await log.lookup("bob@example.org")
        assert bob.pin
        assert bob.state == people.bob.state
        assert bob.pin.user_key_changed
        _, saved = await log.save("bob@example.org")
        assert Bundle.decode(saved.bundle).mode == Mode.AUDITED
        assert log.trust.view().chain == ()


async def test_a_thousand_blocks_of_others_cost_nothing(live: Live, people: People) -> None:
    """A lookup again brings what is new of one chain, and no more."""
    async with light(live, people.ada.account) as log:
        await log.lookup("bob@example.org")
        sizes: list[int] = []
        ask = log._transport.lookup

        async def weighed(request: bytes) -> bytes:
            data = await ask(request)
            sizes.append(len(data))
            return data

        log._transport.lookup = weighed  # type: ignore[method-assign]
        for _ in range(3):
            await change_key(people.eve)
            await log.lookup("bob@example.org")
        assert max(sizes) < 1_500


async def test_a_long_chain_comes_in_parts(
    live: Live, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R-65.7: it takes more questions, and comes to the same; it can be saved too."""
    for _ in range(3):
        await change_key(people.bob)
    async with light(live, people.ada.account) as log:
        (known,) = await log.lookup("bob@example.org")
    monkeypatch.setattr(server_lookups, "MAX_LINKS_BYTES", 1_000)
    monkeypatch.setattr(light_parts, "MAX_ANSWER_BYTES", 1_000)
    async with light(live, people.ada.account) as log:
        asked = 0
        ask = log._transport.lookup

        async def counted(request: bytes) -> bytes:
            nonlocal asked
            asked += 1
            return await ask(request)

        monkeypatch.setattr(log._transport, "lookup", counted)
        (found,) = await log.lookup("bob@example.org")
        assert found.state == known.state == people.bob.state
        assert len(found.steps) == len(known.steps) >= asked > 2
        _, saved = await log.save("bob@example.org")
        assert len(Bundle.decode(saved.bundle).answers[0].chain.links) == len(known.steps)
