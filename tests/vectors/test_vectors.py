"""The corpus is what its tables say, ledger and verifier judge it alike, and no rule is forgotten.

Every case is read from its file, so what is tested here is what others download.
"""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

from tests.vectors import (
    asked,
    by_ledger,
    by_verifier,
    crooked,
    draft,
    generate,
    groups_by_ledger,
    lookups_by_ledger,
    sayings,
    world,
)
from tests.vectors import case as cases
from tests.vectors.case import VERDICTS, Case

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

CASES = {
    path: Case.decode(path.partition("/")[0], data) for path, data in generate.existing().items()
}
JUDGED = [path for path, case in CASES.items() if case.kind in by_verifier.JUDGES]
LEDGERS = [path for path, case in CASES.items() if case.kind in by_ledger.JUDGES]

ELSEWHERE = {
    "R-20.7": "tests/http/test_tree.py",
    "R-36.4": "tests/unit/test_vrf.py",  # nobody finds an identifier whose label is zero
    "R-61.2": "tests/client/test_verify.py",
    "R-62.9": "tests/client/test_policy.py",
    "R-62.10": "tests/verifier/test_witness.py",
    "R-62.11": "tests/verifier/test_witness.py",
    "R-62.12": "tests/verifier/test_witness_server.py",
    "R-62.13": "tests/verifier/test_witness.py",
    "R-62.14": "tests/server/test_witness_faults.py",
    "R-62.15": "tests/server/test_witnesses.py",
    "R-62.16": "tests/server/test_contradictions.py",
    "R-63.1": "tests/verifier/test_cosign.py",
    "R-63.2": "tests/http/test_coverage.py",
    "R-63.3": "tests/http/test_coverage.py",
    "R-63.4": "tests/http/test_coverage.py",
    "R-63.5": "tests/client/test_light_honest.py",
    "R-68.6": "tests/http/test_proofs.py",
    "R-70.1": "tests/http/test_problems.py",
    "R-70.2": "tests/http/test_problems.py",
    "R-70.3": "tests/http/test_tree.py",
    "R-70.4": "tests/log/test_sequencer.py",
    "R-71.1": "tests/log/test_sequencer.py",
    "R-71.2": "tests/server/test_process.py",
    "R-71.3": "tests/client/test_user.py",
    "R-71.4": "tests/unit/test_admission.py",
    "R-71.5": "tests/unit/test_admission.py",
    "R-72.1": "tests/unit/test_wire.py",
    "R-72.2": "tests/http/test_private.py",
    "R-72.3": "tests/http/test_private.py",
    "R-72.4": "tests/http/test_groups.py",
    "R-72.5": "tests/http/test_groups.py",
    "R-72.6": "tests/http/test_groups.py",
    "R-72.7": "tests/http/test_lookup.py",
    "R-72.8": "tests/http/test_groups.py",
    "R-73.1": "tests/log/test_sequencer.py",
    "R-73.2": "tests/server/test_process.py",
    "R-73.3": "tests/rules/test_batches.py",
    "R-90.1": "tests/unit/test_stream.py",
    "R-90.2": "tests/unit/test_stream.py",
    "R-90.3": "tests/unit/test_stream.py",
    "R-90.4": "tests/unit/test_stream.py",
    "R-90.5": "tests/unit/test_stream.py",
    "R-90.6": "tests/unit/test_stream.py",
    "R-94.1": "tests/unit/test_lock.py",
    "R-94.2": "tests/unit/test_lock.py",
    "R-94.3": "tests/unit/test_lock.py",
    "R-94.4": "tests/unit/test_lock.py",
    "R-94.5": "tests/client/test_sdk_offline.py",
    "R-94.6": "tests/client/test_sdk_doubts.py",
    "R-92.1": "tests/http/test_sessions.py",
    "R-92.2": "tests/http/test_sessions.py",
    "R-92.3": "tests/client/test_documents.py",
    "R-96.1": "tests/client/test_recovery.py",
    "R-96.2": "tests/client/test_recovery.py",
    "R-96.3": "tests/app/test_enrolment.py",
    **{f"R-96.{number}": "tests/client/test_mail_recovery.py" for number in range(4, 11)},
    "R-98.1": "tests/client/test_pending.py",
    **{f"R-98.{number}": "tests/http/test_pending.py" for number in (2, 3, 5, 8)},
    **{f"R-98.{number}": "tests/recovery/test_halves.py" for number in (4, 6)},
    "R-98.9": "tests/recovery/test_vouching.py",
    "R-98.7": "tests/unit/test_pending_format.py",
}
"""Rules about behaviour, or beyond what bytes can show: the test that covers each, and cites it."""

WHOLE = {"R-50.1"}
"""Rules that only refer to others."""

BY_OUTPUT = {"R-56.11"}
"""Rules that refuse nothing: cases that pass, with different outputs, show them."""


def rule_ids() -> set[str]:
    """Every rule of the specs."""
    texts = (path.read_text("utf-8") for path in (ROOT / "specs").glob("*.md"))
    return {rule for text in texts for rule in re.findall(r"\*\*(R-[0-9]+\.[0-9]+)\*\*", text)}


def covered() -> set[str]:
    """Every rule that some case shows."""
    return {rule for case in CASES.values() for rule in (case.rule, *case.covers) if rule}


def cites(path: Path, rule: str) -> bool:
    """Whether a test names a rule, perhaps inside a regular expression."""
    spelled = re.escape(rule).replace(r"\.", r"\\?\.") + r"\b"
    return bool(re.search(spelled, path.read_text("utf-8")))


def test_nothing_drifted() -> None:
    assert generate.differences(generate.files(), generate.existing()) == []


@pytest.mark.parametrize("path", LEDGERS)
def test_the_ledger_judges_as_the_case_says(path: str) -> None:
    case = CASES[path]
    judged = by_ledger.judge(case.kind, case.input)
    assert (judged.verdict, judged.rule) == (case.verdict, case.rule)
    assert judged.output == case.output


@pytest.mark.parametrize("path", JUDGED)
def test_the_verifier_judges_as_the_case_says(path: str) -> None:
    case = CASES[path]
    judged = by_verifier.judge(case.kind, case.input)
    assert (judged.verdict, judged.rule) == (case.verdict, case.rule)
    assert judged.output == case.output


def test_no_kind_is_left_out_silently() -> None:
    kinds = {case.kind for case in CASES.values()}
    assert kinds == by_ledger.JUDGES.keys() | by_ledger.NEVER
    assert not by_ledger.JUDGES.keys() & by_ledger.NEVER
    assert kinds - by_verifier.JUDGES.keys() == by_verifier.NEVER | by_verifier.NOT_YET
    assert by_verifier.JUDGES.keys() <= kinds
    assert not by_verifier.NEVER & by_verifier.NOT_YET


def test_the_readme_explains_every_kind() -> None:
    rows = re.findall(
        r"^\| (`[^|]*`) \|", (ROOT / "specs/vectors/README.md").read_text(), re.MULTILINE
    )
    told = {kind for row in rows for kind in re.findall(r"`([a-z0-9-]+)`", row)}
    assert {case.kind for case in CASES.values()} <= told


def test_every_refusal_stands_beside_its_nearest_that_passes() -> None:
    for path, case in CASES.items():
        assert case.verdict in VERDICTS
        assert case.path == path
        assert (case.verdict == "ok") == (not case.rule) == (not case.nearest)
        if case.nearest:
            assert CASES[f"{case.kind}/{case.nearest}.json"].verdict == "ok", path


def test_no_rule_is_forgotten() -> None:
    told = covered() | ELSEWHERE.keys() | WHOLE
    assert rule_ids() - told == set()
    assert told - rule_ids() == set()


def test_each_rule_is_broken_beside_a_case_that_passes() -> None:
    refused = {
        rule
        for case in CASES.values()
        if case.nearest and CASES[f"{case.kind}/{case.nearest}.json"].verdict == "ok"
        for rule in (case.rule, *case.covers)
    }
    assert covered() - refused == BY_OUTPUT
    for rule in BY_OUTPUT:
        showing = [case for case in CASES.values() if rule in case.covers]
        assert len({repr(case.output) for case in showing}) > 1


def test_what_is_covered_elsewhere_is() -> None:
    assert not ELSEWHERE.keys() & covered()
    assert [rule for rule, path in ELSEWHERE.items() if not cites(ROOT / path, rule)] == []


def test_no_two_cases_are_the_same() -> None:
    seen: dict[tuple[str, str], str] = {}
    for path, case in CASES.items():
        assert seen.setdefault((case.kind, repr(case.input)), path) == path


def test_drift_is_found() -> None:
    wanted, found = {"a": b"1", "b": b"1"}, {"b": b"2", "c": b"1"}
    assert generate.differences(wanted, found) == ["missing: a", "stale: c", "changed: b"]


@pytest.mark.parametrize(
    "module",
    [asked, by_ledger, cases, crooked, draft, groups_by_ledger, lookups_by_ledger, sayings, world],
)
def test_examples(module: object) -> None:
    done = doctest.testmod(module)  # type: ignore[arg-type]
    assert done.attempted > 0
    assert done.failed == 0
