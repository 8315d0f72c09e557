"""Ledger and verifier judge the same logs with groups and statements, right and wrong.

As in `test_agreement`: exactly where one change breaks one rule; else both refuse.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from tests.rules import group_mutations as mutations
from tests.rules.group_mutations import Given, Town
from tests.vectors import by_ledger, by_verifier
from tests.vectors.case import Judgement

FEW = settings(max_examples=60, deadline=None)
MANY = settings(max_examples=5_000, deadline=None)


def judged(case: Given) -> tuple[Judgement, Judgement]:
    return by_ledger.judge("group", case), by_verifier.judge("group", case)


def agree(case: Given) -> Judgement:
    """The ledger's judgement, after the verifier's was found to be as good or as bad."""
    ledger, verifier = judged(case)
    assert (ledger.verdict == "ok") == (verifier.verdict == "ok"), (ledger, verifier)
    assert ledger.output == verifier.output
    return ledger


def agree_exactly(case: Given) -> None:
    ledger, verifier = judged(case)
    assert (ledger.verdict, ledger.output) == (verifier.verdict, verifier.output), (
        ledger,
        verifier,
    )


@FEW
@given(mutations.logs())
def test_right_logs(town: Town) -> None:
    assert agree(town.given_groups()).verdict == "ok"


@FEW
@given(mutations.logs_with_a_changed_statement())
def test_one_change_in_a_statement(case: Given) -> None:
    agree_exactly(case)


@FEW
@given(mutations.logs_with_a_changed_block())
def test_one_change_in_a_block(case: Given) -> None:
    agree_exactly(case)


@FEW
@given(mutations.logs_with_a_crowded_batch())
def test_several_blocks_in_a_batch(case: Given) -> None:
    agree_exactly(case)


@FEW
@given(mutations.logs_with_changed_bytes() | mutations.logs_with_mixed_statements())
def test_changed_bytes_of_a_statement(case: Given) -> None:
    agree(case)


@pytest.mark.soak
@MANY
@given(
    mutations.logs_with_a_changed_statement()
    | mutations.logs_with_a_changed_block()
    | mutations.logs_with_a_crowded_batch()
)
def test_many_changes(case: Given) -> None:
    agree_exactly(case)


@pytest.mark.soak
@MANY
@given(mutations.logs_with_changed_bytes() | mutations.logs_with_mixed_statements())
def test_many_changes_of_bytes(case: Given) -> None:
    agree(case)
