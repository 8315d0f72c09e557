"""Each engine of the port, on an empty disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.store.port import Store
from tests.store.world import (
    ENGINES,
    Crowd,
    Engine,
)


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    made: Engine = request.param(tmp_path / "log")
    return made


@pytest.fixture
def store(engine: Engine) -> Iterator[Store]:
    opened = engine.open(create=True)
    yield opened
    opened.close()


@pytest.fixture
def crowd() -> Crowd:
    return Crowd()
