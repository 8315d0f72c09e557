"""Toolchains, each made ready by the first test that asks for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from tests.http.conftest import live, log
from tests.interop import peers

__all__ = ["go", "live", "log", "node", "python", "ssh"]

Made = TypeVar("Made")


def ready(make: Callable[..., Made], *given: object) -> Made:
    """What is made, or the end of the test."""
    try:
        return make(*given)
    except peers.Missing as error:
        if peers.REQUIRED:
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def go(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of Go programs: ours is called `peers`."""
    return ready(peers.go_programs, tmp_path_factory.mktemp("go"))


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command that verifies COSE in JavaScript."""
    return ready(peers.node_program, tmp_path_factory.mktemp("node"))


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of the peers' Python environment."""
    return ready(peers.python_environment, tmp_path_factory.mktemp("python"))


@pytest.fixture(scope="session")
def ssh() -> None:
    """An ssh-agent, which holds litewitness's key."""
    for name in ("ssh-agent", "ssh-add", "ssh-keygen"):
        ready(peers.program, name)
