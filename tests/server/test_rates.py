"""Rates: so many times in each window, for each on their own."""

from __future__ import annotations

import pytest

from ledger.server import rates
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


def test_windows_that_ended_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, rate = Clock(monkeypatch), Rate("3/second", "peer")
    for number in range(100):
        rate.take(str(number))
        clock.now += 0.1
    assert len(rate._windows) <= 11
