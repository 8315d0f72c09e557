"""The verifier's judgement of every vector of `specs/vectors` that concerns it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from verifier.commands import commands
from verifier.vectors import JUDGES, verdict

FOLDER = Path(__file__).parents[2] / "specs" / "vectors"
FILES = sorted(file for kind in JUDGES for file in (FOLDER / kind).glob("*.json"))


@pytest.mark.parametrize("kind", JUDGES)
def test_vectors(kind: str) -> None:
    differing = {}
    for file in (FOLDER / kind).glob("*.json"):
        vector = json.loads(file.read_text(encoding="utf-8"))
        found = verdict(kind, vector["input"])
        told = vector["verdict"], vector.get("rule", ""), vector.get("output", found[2])
        if found != told:
            differing[file.name] = found, told
    assert differing == {}


def test_the_command_agrees_with_itself(tmp_path: Path) -> None:
    folder = tmp_path / "ed25519"
    folder.mkdir()
    vector = {"input": {"key": bytes(32).hex()}, "verdict": "malformed", "rule": "R-15.1"}
    (folder / "zero.json").write_text(json.dumps(vector))
    (folder / "wrong.json").write_text(json.dumps(vector | {"rule": "R-15.2"}))
    other = tmp_path / "box"
    other.mkdir()
    (other / "a.json").write_text(json.dumps(vector))
    run = CliRunner().invoke
    files = [str(folder / "zero.json"), str(other / "a.json")]
    done = run(commands, ["judge", *files], standalone_mode=False)
    assert (done.return_value, done.output) == (0, "1 judged, 0 differ, 1 of other kinds\n")
    done = run(commands, ["judge", *files, str(folder / "wrong.json")], standalone_mode=False)
    assert done.return_value == 2
    assert "2 judged, 1 differ" in done.output


def test_a_line_of_json_for_each_file(tmp_path: Path) -> None:
    """It reads the input alone: whoever runs it compares."""
    given = {"good": {"key": (9).to_bytes(32, "little").hex()}, "zero": {"key": bytes(32).hex()}}
    files = []
    for kind in ("x25519", "box"):
        (tmp_path / kind).mkdir()
        for name, fields in given.items():
            file = tmp_path / kind / f"{name}.json"
            file.write_text(json.dumps({"input": fields}))
            files.append(str(file))
    done = CliRunner().invoke(commands, ["judge", "--json", *files], standalone_mode=False)
    assert done.return_value == 0
    good, zero, *others = [json.loads(line) for line in done.output.splitlines()]
    assert good == {"file": files[0], "verdict": "ok", "rule": "", "output": {}}
    assert zero == {"file": files[1], "verdict": "malformed", "rule": "R-15.2", "output": None}
    assert others == [{"file": file, "verdict": None} for file in files[2:]]
