"""Values are equal by what they hold, hold nothing else, and are frozen to mypy."""

from __future__ import annotations

import doctest
from dataclasses import field

import pytest

import ledger.value
from ledger.value import value


@value
class Place:
    """A value with a field that is not told."""

    size: int
    root: bytes = field(default=b"", repr=False)


def test_the_module_example_holds() -> None:
    assert doctest.testmod(ledger.value).attempted > 0
    assert doctest.testmod(ledger.value).failed == 0


def test_equal_by_what_it_holds() -> None:
    assert Place(5, b"r") == Place(5, b"r")
    assert Place(5, b"r") != Place(5, b"s")
    assert len({Place(5, b"r"), Place(5, b"r"), Place(6, b"r")}) == 2
    assert repr(Place(5, b"r")) == "Place(size=5)"


def test_holds_nothing_else() -> None:
    with pytest.raises(AttributeError):
        Place(5).other = 1  # type: ignore[attr-defined]


def test_frozen_to_mypy() -> None:
    """At runtime nobody minds; `mypy --strict` would tell of an ignore that is not needed."""
    place = Place(5)
    place.size = 6  # type: ignore[misc]
    assert place == Place(6)
