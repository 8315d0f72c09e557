"""Codes that came by mail, through the door: mistyped, for another purpose, used up, too many."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from ledger.client.sdk import Keyroll
from ledger.client.user.tickets import Ask
from ledger.errors import Refused
from ledger.format.recovery import What
from tests.client.conftest import Live
from tests.client.test_mail_recovery import ADA, BOB, Town, other, town_at

At = Callable[[str], AbstractAsyncContextManager[Keyroll]]


@pytest.fixture
async def town(live: Live, tmp_path: Path) -> AsyncIterator[Town]:
    async with town_at(tmp_path / "service", live) as found:
        yield found


@pytest.fixture
def at(live: Live, town: Town, tmp_path: Path) -> At:
    @asynccontextmanager
    async def opened(name: str) -> AsyncIterator[Keyroll]:
        path, log_id = tmp_path / name, live.log_id
        async with Keyroll.open(path, live.url, log_id, service=town.url, fresh=0) as place:
            yield place

    return opened


def typing(*codes: str) -> Ask:
    """A person who types these, one after the other, and then no more."""
    left = list(codes)

    async def ask() -> str:
        return left.pop(0)

    return ask


async def test_no_code_but_the_one_that_was_sent(live: Live, town: Town, at: At) -> None:
    """Five that are wrong end what was begun; the next attempt is one of its own (R-96.5)."""
    async with at(ADA) as ada, at(BOB) as bob, at("new") as new:
        for person, name in ((ada, ADA), (bob, BOB)):
            await person.register(live.token(name))
            await person.enrol_mail(live.token(name), town.ask(name, 1))
        async with at("bob's new") as his:
            await his.recover_by_mail(live.token(BOB), town.ask(BOB, 2))
        enrolled, bobs = await town.code(ADA, 1), await town.code(BOB, 2)
        wrong = ["", "0123456", "one two!", enrolled, bobs]
        with pytest.raises(Refused, match="wrong-code"):
            await new.recover_by_mail(live.token(ADA), typing(*wrong))
        assert new.status.name == "NEEDS_REGISTRATION"
        await new.recover_by_mail(live.token(ADA), town.ask(ADA, 3))
        assert new.status.name == "READY"
        (watched,) = await ada.mail_recovery.watch()
    whats = [event.what for event in watched.events]
    assert whats == [What.ASKED, What.ASKED, What.BEGUN, What.GIVEN]


async def test_a_code_serves_once(live: Live, town: Town, at: At) -> None:
    """Not on another machine; and there are three in an hour, enrolling included."""
    async with at(ADA) as ada:
        await ada.register(live.token(ADA))
        await ada.enrol_mail(live.token(ADA), town.ask(ADA, 1))
        async with at("new") as new:
            await new.recover_by_mail(live.token(ADA), town.ask(ADA, 2))
        used = await town.code(ADA, 2)
        async with at("thief") as thief:
            with pytest.raises(Refused, match="wrong-code"):
                await thief.recover_by_mail(live.token(ADA), typing(*[used] * 5))
            with pytest.raises(Refused, match="too-many"):
                await thief.recover_by_mail(live.token(ADA), typing())
            assert thief.status.name == "NEEDS_REGISTRATION"
        assert len(town.box.of(ADA)) == 3
        (watched,) = await ada.mail_recovery.watch()
        assert watched.events[-1].what == What.FAILED


async def test_what_was_mistyped_is_asked_for_again(live: Live, town: Town, at: At) -> None:
    async with at(ADA) as ada, at("new") as new:
        await ada.register(live.token(ADA))
        await ada.enrol_mail(live.token(ADA), town.ask(ADA, 1))

        async def clumsily() -> str:
            right = await town.code(ADA, 2)
            return tries.pop(0)(right)

        tries: list[Callable[[str], str]] = [other, other, str]
        await new.recover_by_mail(live.token(ADA), clumsily)
        assert (tries, new.status.name) == ([], "READY")
