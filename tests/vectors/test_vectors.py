"""The corpus is what its tables say, ledger and verifier judge it alike, and no rule is forgotten.

Every case is read from its file, so what is tested here is what others download.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.vectors import by_ledger, by_verifier, generate
from tests.vectors.case import VERDICTS, Case

ROOT = Path(__file__).parents[2]
SPECS = ROOT / "specs"

CASES = {
    path: Case.decode(path.partition("/")[0], data) for path, data in generate.existing().items()
}
JUDGED = [path for path, case in CASES.items() if case.kind in by_verifier.JUDGES]

ELSEWHERE: dict[str, str] = {}
"""Rules about behaviour, or beyond what bytes alone can show: the test that covers each."""


def test_nothing_drifted() -> None:
    assert generate.differences(generate.files(), generate.existing()) == []


@pytest.mark.parametrize("path", CASES)
def test_the_ledger_judges_as_the_case_says(path: str) -> None:
    case = CASES[path]
    judged = by_ledger.judge(case.kind, case.input)
    assert (judged.verdict, judged.rule) == (case.verdict, case.rule)
    assert judged.output == case.output


@pytest.mark.parametrize("path", JUDGED)
def test_the_verifier_judges_as_the_case_says(path: str) -> None:
    case = CASES[path]
    judged = by_verifier.judge(case.kind, case.input)
    assert judged.verdict == case.verdict
    assert judged.rule in (case.rule, *case.covers)
    assert by_verifier.agrees(judged.output, case.output)
