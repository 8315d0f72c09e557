"""A served log for tests that need nothing particular."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.http.practice import Practice, practice_at
from tests.http.world import Http, Live, served


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[Live]:
    async with served(tmp_path / "log") as running:
        yield running


@pytest.fixture
async def log(live: Live) -> Http:
    return live.http


@pytest.fixture
async def practice(tmp_path: Path) -> AsyncIterator[Practice]:
    async with practice_at(tmp_path / "log") as found:
        yield found
