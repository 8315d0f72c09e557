"""What `refresh` hears from the recovery service (R-96.9), with the real service and mail."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ledger.client import transport
from ledger.client.sdk import Keyroll, Status
from ledger.client.user.releases import Releases
from ledger.errors import StoreError
from ledger.format.recovery import What
from tests.client.conftest import Live
from tests.client.test_mail_recovery import Town, town_at

ADA = "ada@example.org"


@asynccontextmanager
async def at(live: Live, path: Path, service: str | None) -> AsyncIterator[Keyroll]:
    async with Keyroll.open(path, live.url, live.log_id, service=service, fresh=0) as place:
        yield place


@asynccontextmanager
async def ada_at(live: Live, path: Path, town: Town) -> AsyncIterator[Keyroll]:
    """Ada, who chose recovery by e-mail."""
    async with at(live, path / "ada", town.url) as ada:
        await ada.register(live.token(ADA))
        assert ada.releases == Releases()
        await ada.enrol_mail(live.token(ADA), town.ask(ADA, 1))
        await ada.refresh()
        assert not ada.releases.alarming
        yield ada


async def test_a_release_that_nobody_here_began(live: Live, tmp_path: Path) -> None:
    async with town_at(tmp_path / "service", live) as town, ada_at(live, tmp_path, town) as ada:
        async with at(live, tmp_path / "thief", town.url) as thief:
            await thief.recover_by_mail(live.token(ADA), town.ask(ADA, 2))
            assert not thief.releases.alarming  # that was here
        await ada.refresh()
        assert ada.releases.alarming
        whats = [event.what for event in ada.releases.events]
        assert whats == [What.ASKED, What.BEGUN, What.GIVEN]
        await ada.refresh()
        assert len(ada.releases.events) == 3  # until a person has looked
        await ada.acknowledge()
        await ada.refresh()
        assert ada.releases == Releases()
        assert len(ada.alarms) == 1  # the device that came by it


async def test_a_record_that_is_gone(live: Live, tmp_path: Path) -> None:
    async with town_at(tmp_path / "service", live) as town, ada_at(live, tmp_path, town) as ada:
        async with at(live, tmp_path / "phone", town.url) as phone:
            offer = await ada.offer(phone.request())
            await phone.join(offer)
            await phone.refresh()
            assert not phone.releases.alarming
            await phone.remove_mail()
            await phone.refresh()
            assert not phone.releases.alarming  # it was removed from here
        await ada.refresh()
        assert ada.releases.is_gone
        assert ada.releases.alarming


async def test_a_service_that_does_not_answer(
    live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told, and stops nothing."""
    monkeypatch.setattr(transport, "_FIRST_PAUSE", 0.01)
    async with town_at(tmp_path / "service", live) as town, ada_at(live, tmp_path, town):
        pass
    async with at(live, tmp_path / "ada", town.url) as ada:
        assert ada.status is Status.READY
        assert ada.releases.failure
        assert not ada.releases.alarming
        assert (await ada.decrypt(await ada.encrypt(b"x"))).data == b"x"
    async with at(live, tmp_path / "ada", None) as ada:
        assert ada.releases == Releases()


async def test_a_memory_that_is_damaged(live: Live, tmp_path: Path) -> None:
    async with town_at(tmp_path / "service", live) as town, ada_at(live, tmp_path, town) as ada:
        (tmp_path / "ada" / "service.json").write_text("{}")
        with pytest.raises(StoreError, match="delete it"):
            await ada.refresh()
        (tmp_path / "ada" / "service.json").unlink()
        await ada.refresh()
        assert not ada.releases.alarming
