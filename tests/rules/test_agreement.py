"""Ledger and verifier judge the same logs, right and wrong: the same verdict, the same roots.

Where one change breaks one rule, the verdicts are equal. Where bytes are changed at will, several
rules break at once, and each side may name the one it meets first: then both refuse.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings

from tests.rules import mutations
from tests.rules.mutations import Town
from tests.vectors import by_ledger, by_verifier
from tests.vectors.case import Judgement

FEW = settings(max_examples=100, deadline=None)
MANY = settings(max_examples=20_000, deadline=None)


def judged(town: Town, entries: Sequence[bytes]) -> tuple[Judgement, Judgement]:
    """Both judgements of a log's entries."""
    log_id, listed = town.actor.log_id.hex(), [data.hex() for data in entries]
    case = {"log_id": log_id, "entries": listed}
    return by_ledger.judge("log", case), by_verifier.judge("log", case)


def agree(town: Town, entries: Sequence[bytes]) -> Judgement:
    """The ledger's judgement, after the verifier's was found to be as good or as bad."""
    ledger, verifier = judged(town, entries)
    assert (ledger.verdict == "ok") == (verifier.verdict == "ok"), (ledger, verifier)
    assert ledger.output == verifier.output
    return ledger


def agree_exactly(town: Town, entries: Sequence[bytes]) -> None:
    """The same, and verdicts are equal."""
    agree(town, entries)
    ledger, verifier = judged(town, entries)
    assert ledger.verdict == verifier.verdict, (ledger, verifier)


@FEW
@given(mutations.logs())
def test_right_logs(town: Town) -> None:
    assert agree(town, town.log.entries).verdict == "ok"


@FEW
@given(mutations.logs_with_a_changed_block())
def test_one_change_in_a_block(drawn: tuple[Town, list[bytes]]) -> None:
    agree_exactly(*drawn)


@FEW
@given(mutations.logs_with_changed_bytes())
def test_changed_bytes_of_a_block(drawn: tuple[Town, list[bytes]]) -> None:
    agree(*drawn)


@FEW
@given(mutations.logs_with_changed_entries())
def test_changed_entries(drawn: tuple[Town, list[bytes]]) -> None:
    agree(*drawn)


@pytest.mark.soak
@MANY
@given(mutations.logs_with_a_changed_block())
def test_many_changes_in_a_block(drawn: tuple[Town, list[bytes]]) -> None:
    agree_exactly(*drawn)


@pytest.mark.soak
@MANY
@given(mutations.logs_with_changed_bytes() | mutations.logs_with_changed_entries())
def test_many_changes_of_bytes(drawn: tuple[Town, list[bytes]]) -> None:
    agree(*drawn)
