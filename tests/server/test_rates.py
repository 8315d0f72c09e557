"""Rates: so many times in each window, for each on their own."""

from __future__ import annotations

from unittest.mock import Mock

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from ledger import rates
from ledger.rates import peer
from ledger.server.problems import Problem
from ledger.server.rates import Rate


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(rates, "monotonic", lambda: self.now)


def refused(rate: Rate, key: str, cost: int = 1) -> str:
    """How long to wait."""
    with pytest.raises(Problem) as error:
        rate.take(key, cost)
    assert error.value.status == 429
    return error.value.headers["Retry-After"]


def test_as_many_as_fit_into_each_window(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, rate = Clock(monkeypatch), Rate("3/minute", "peer")
    rate.take("ada", 2)
    assert refused(rate, "ada", 2) == "60"
    clock.now += 59.5
    rate.take("ada")
    assert refused(rate, "ada") == "1"
    rate.take("bob", 3)
    clock.now += 0.5
    rate.take("ada", 3)
    assert refused(rate, "ada") == "60"
    assert refused(rate, "bob") == "60"


def test_more_than_a_window_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    Clock(monkeypatch)
    assert refused(Rate("3/minute", "peer"), "ada", 4) == "60"


@pytest.mark.parametrize(
    ("lines", "who"),
    [
        (["10.0.0.1"], "10.0.0.1"),
        (["9.9.9.9, 10.0.0.1"], "10.0.0.1"),
        (["9.9.9.9", "10.0.0.1"], "10.0.0.1"),
        ([], "192.0.2.7"),
        ([""], "192.0.2.7"),
    ],
)
def test_whom_the_proxy_saw(lines: list[str], who: str) -> None:
    """What it appended last, in the same line or in one of its own: the rest the peer made up."""
    headers = CIMultiDict(("X-Forwarded-For", line) for line in lines)
    transport = Mock()
    transport.get_extra_info.return_value = ("192.0.2.7", 5)
    request = make_mocked_request("GET", "/", headers, transport=transport)
    assert peer(request, forwarded=True) == who
    assert peer(request, forwarded=False) == "192.0.2.7"


def test_windows_that_ended_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, rate = Clock(monkeypatch), Rate("3/second", "peer")
    for number in range(100):
        rate.take(str(number))
        clock.now += 0.1
    assert len(rate._windows._windows) <= 11
