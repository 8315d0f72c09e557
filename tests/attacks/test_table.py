"""The suite would notice: an attack that gets through, is missing, or is caught otherwise."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.attacks import play
from tests.attacks.processes import ROOT
from tests.attacks.suite import ATTACKS, BELIEVED, Catch, attack
from tests.attacks.table import Finding, Row, Verdict, rows, spelled

ROW = Row.parse("Server", "an attack", "client: R-1.1, R-1.2 · auditor: R-1.1", "rule, replayable")
AUDITED = Catch("auditor", "R-1.1", evidence=Path("file"))
CAUGHT = (Catch("client", "R-1.1"), Catch("client", "R-1.2"), AUDITED)
PROVEN = Verdict("rule", "proven", "R-1.1")
REPLAYABLE = Verdict("replayable", "undecided", None)


def test_as_it_should_be() -> None:
    assert Finding(ROW, CAUGHT, (PROVEN, REPLAYABLE)).problems == []
    assert spelled(ROW.caught) == "client: R-1.1, R-1.2 · auditor: R-1.1"


@pytest.mark.parametrize(
    ("catches", "verdicts"),
    [
        ((*CAUGHT, Catch("client", BELIEVED)), (PROVEN, REPLAYABLE)),
        (CAUGHT[:2], (PROVEN, REPLAYABLE)),
        ((*CAUGHT[:2], replace(AUDITED, evidence=None)), (PROVEN, REPLAYABLE)),
        ((*CAUGHT[:2], replace(AUDITED, rule="R-1.2")), (PROVEN, REPLAYABLE)),
        ((*CAUGHT, Catch("witness", "R-1.1")), (PROVEN, REPLAYABLE)),
        (CAUGHT, (PROVEN,)),
        (CAUGHT, (PROVEN, REPLAYABLE, Verdict("fork", "proven", None))),
        (CAUGHT, (Verdict("rule", "nothing", None), REPLAYABLE)),
        (CAUGHT, (PROVEN, replace(REPLAYABLE, verdict="nothing"))),
        ((), ()),
    ],
)
def test_not_as_it_should_be(catches: tuple[Catch, ...], verdicts: tuple[Verdict, ...]) -> None:
    assert Finding(ROW, catches, verdicts).problems


def test_a_reason_stands_for_evidence() -> None:
    row = Row.parse("Server", "an attack", "client: R-1.1", "none: nothing was signed")
    finding = Finding(row, CAUGHT[:1], ())
    assert (finding.problems, finding.evidence) == ([], "no: nothing was signed")
    assert Finding(row, CAUGHT[:1], (PROVEN,)).problems


def test_what_nobody_prevents_has_a_reason() -> None:
    nobody = [row for row in rows() if not row.preventable]
    assert len(nobody) == 6
    assert all(row.part == "Not preventable" and len(row.why) > 20 for row in nobody)
    assert all(Finding(row, (), ()).problems == [] for row in nobody)
    assert Finding(nobody[0], CAUGHT[:1], ()).problems


def test_what_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert play.missing() == []
    first = rows()[0].attack
    monkeypatch.setattr(play, "ATTACKS", {n: act for n, act in ATTACKS.items() if n != first})
    assert play.missing() == [f"nothing carries out: {first}"]
    monkeypatch.setattr(play, "ATTACKS", {**ATTACKS, "of nobody": ATTACKS[first]})
    assert play.missing() == ["no row of 85-attacks: of nobody"]
    monkeypatch.setattr(play, "ATTACKS", ATTACKS)
    monkeypatch.setattr(play, "rows", lambda: [*rows(), rows()[0]])
    assert play.missing() == [f"two rows: {first}"]
    with pytest.raises(AssertionError, match="two attacks"):
        attack(first)(ATTACKS[first])


def test_the_command() -> None:
    """A row for machines, and exit code 0."""
    command = [sys.executable, "-m", "tests.attacks", "--json", "rollback, before witnesses"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["attacks"]
    assert (row["caught_by"], row["problems"]) == ({"witness": ["R-62.11"]}, [])
