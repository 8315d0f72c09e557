"""The runner of `specs/vectors` against the verifier, as a process, and against liars."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.vectors import by_verifier
from tests.vectors.generate import FOLDER
from tests.vectors.test_vectors import CASES

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "verifier.cli", "judge", "--json")

LIAR = """
import json, pathlib, subprocess, sys
said = subprocess.run({command!r} + sys.argv[1:], stdout=subprocess.PIPE, check=True).stdout
for line in said.splitlines():
    answer = json.loads(line)
    name = pathlib.Path(answer["file"]).stem
    {lie}
    print(json.dumps(answer))
"""
"""A program that says what the verifier says, but for one lie."""


def run(*arguments: str | Path) -> tuple[int, list[str]]:
    """The runner's exit code and lines."""
    command = [sys.executable, str(FOLDER / "run.py"), *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, [*done.stdout.splitlines(), *done.stderr.splitlines()]


def lying(place: Path, lie: str, *options: str) -> tuple[int, list[str]]:
    """The same about a liar, asked about tile paths."""
    program = place / "liar.py"
    program.write_text(LIAR.format(command=list(COMMAND), lie=lie))
    return run("--kind", "tile-path", *options, sys.executable, program)


def test_the_verifier_agrees() -> None:
    code, lines = run("--rules", *COMMAND)
    kinds = Counter(case.kind for case in CASES.values())
    left_out = {kind: count for kind, count in kinds.items() if kind not in by_verifier.JUDGES}
    assert code == 0, "\n".join(lines)
    total, judged = len(CASES), len(CASES) - sum(left_out.values())
    told = ", ".join(f"{kind} {count}" for kind, count in sorted(left_out.items()))
    assert lines == [f"{total} cases: {judged} judged, 0 differences; not judged: {told}"]


@pytest.mark.parametrize(
    ("lie", "case", "expected", "found"),
    [
        ("answer['verdict'] = 'ok'", "level-64", "malformed R-20.5", "ok"),
        ("answer |= {'verdict': 'rule', 'rule': 'R-20.5'}", "first", "ok", "rule R-20.5"),
        ("if name == 'first': answer['output']['width'] = 255", "first", '"width": 256', "255"),
        ("if name == 'first': answer['output']['width'] = 256.0", "first", "256", "256.0"),
        ("if name == 'first': continue", "first", "ok", "no line"),
        ("if name == 'first': answer['verdict'] = None", "first", "ok", "not judged"),
        ("if name == 'first': print('{}')", "?", "a JSON object", "{}"),
        ("if name == 'first': print(json.dumps(answer))", "first", "one line", "another line"),
        ("if name == 'first': answer['file'] += '5'", "first", "no such file", "a line"),
        ("if name == 'first': sys.exit(3)", "first", "ok", "no line"),
    ],
)
def test_a_wrong_answer_is_noticed(
    tmp_path: Path, lie: str, case: str, expected: str, found: str
) -> None:
    code, lines = lying(tmp_path, lie)
    assert code == 1
    assert any(case in line and expected in line and found in line for line in lines), lines


def test_a_wrong_rule_is_noticed_if_asked_for(tmp_path: Path) -> None:
    lie = "answer['rule'] = answer['rule'] and 'R-20.6'"
    assert lying(tmp_path, lie)[0] == 0
    code, lines = lying(tmp_path, lie, "--rules")
    assert code == 1
    assert any("R-20.5" in line and "R-20.6" in line for line in lines)


def test_verdicts_are_not_given_away(tmp_path: Path) -> None:
    program = tmp_path / "peeks.py"
    program.write_text(
        "import json, sys\n"
        "for name in sys.argv[1:]:\n"
        "    found = json.load(open(name))\n"
        "    print(json.dumps({'file': name, 'verdict': found.get('verdict', 'rule')}))\n"
    )
    code, lines = run("--kind", "tile-path", sys.executable, program)
    count = sum(case.kind == "tile-path" for case in CASES.values())
    assert (code, lines[-1]) == (1, f"{count} cases: {count} judged, {count} differences")


def test_chunks_change_nothing() -> None:
    count = sum(case.kind == "tree" for case in CASES.values())
    expected = 0, [f"{count} cases: {count} judged, 0 differences"]
    assert run("--kind", "tree", "--chunk", "2", *COMMAND) == expected


def test_nothing_judged_is_no_success() -> None:
    assert run("--kind", "token", *COMMAND)[0] == 1


def test_what_cannot_run() -> None:
    assert run()[0] == 2
    assert run(ROOT / "no-such-program")[0] == 2
    assert run("--kind", "nonsense", *COMMAND)[0] != 0
