"""A person's directory: which log it is of, and that it says so when it can't be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger.client.home import Home, Settings
from ledger.client.text import parse_log_id
from ledger.errors import StoreError, UsageError
from tests.client.conftest import Live

HERE = Settings("http://localhost", b"\xab" * 32)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "deep" / "home")
    home.make()
    return home


def test_it_remembers(home: Home) -> None:
    with pytest.raises(UsageError, match="which log"):
        home.settings()
    with pytest.raises(UsageError, match="which log"):
        home.settings(HERE.url)
    assert home.settings(HERE.url, HERE.log_id) == HERE
    home.remember(HERE)
    assert home.settings() == HERE
    moved = home.settings("https://elsewhere")
    assert moved == Settings("https://elsewhere", HERE.log_id)
    home.remember(moved)
    assert home.settings() == moved


def test_it_is_of_one_log(home: Home) -> None:
    home.remember(HERE)
    assert home.settings(log_id=HERE.log_id) == HERE
    with pytest.raises(UsageError, match="another log"):
        home.settings(log_id=bytes(32))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"url": 7}',
        '{"url": "a", "log_id": 7}',
        "\xff",
        "null",
        '{"url": "a", "log_id": "b"}',
    ],
)
def test_damaged_settings(home: Home, text: str) -> None:
    (home.path / "settings.json").write_text(text, "latin-1")
    with pytest.raises(StoreError, match="damaged"):
        home.settings()


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be made"):
        Home(tmp_path / "file" / "home").make()


async def test_what_failed_is_not_remembered(live: Live, tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    wrong = Settings(live.url, bytes(32))
    with pytest.raises(ZeroDivisionError):
        async with home.log(wrong, home.policy()):
            raise ZeroDivisionError
    with pytest.raises(UsageError, match="which log"):
        home.settings()


@pytest.mark.parametrize("text", ["", "ab", "g" * 64, "ab" * 33, " " + "ab" * 32, "ab " * 32])
def test_what_is_no_log_id(text: str) -> None:
    with pytest.raises(UsageError, match="log id"):
        parse_log_id(text)


def test_a_log_id() -> None:
    assert parse_log_id("AB" * 32) == parse_log_id("ab" * 32) == b"\xab" * 32
