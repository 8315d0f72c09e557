"""Every attack of 85-attacks is carried out, and caught by whom the table says, by those rules."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.attacks.play import carry_out
from tests.attacks.stage import Stage
from tests.attacks.table import Row, rows

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with Stage.open(Path(tmp_path_factory.mktemp("stage"))) as opened:
        yield opened


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.attack)
async def test_attack(stage: Stage, row: Row) -> None:
    finding = await carry_out(stage, row)
    assert not finding.problems, finding


async def test_the_honest_log_is_believed(stage: Stage) -> None:
    """Nobody cries wolf: not at the real server, nor at a liar that has told no lie."""
    met = await stage.all_meet(stage.liar())
    url = stage.http.url
    met += [await stage.syncs(url), await stage.asks(url, stage.ada.label)]
    met += [await stage.reads(url, stage.bob), await stage.audits_statements(url)]
    assert {one.rule for one in met} == {"believed"}
