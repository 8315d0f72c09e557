"""The command as a process: exit codes, JSON, signals, kill -9 and on from there."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.verifier.builder import BuiltLog, User
from verifier import cli

ROOT = Path(__file__).parents[2]
# Small steps, so that a short log has many of them, a line for each, and time to interfere.
STEPWISE = """
import time, verifier.audit
from verifier.cli import main
from verifier.state import State

def commit(self, *position, plain=State.commit):
    plain(self, *position)
    print("at", self.size, flush=True)
    time.sleep(self.size < 1_800)

State.commit = commit
verifier.audit.CHUNK, verifier.audit.COMMIT_EVERY = 1, 300
main()
"""


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> tuple[BuiltLog, Path]:
    """1,800 entries, published; its last entry is of now."""
    built = BuiltLog("cli")
    built.time = time.time_ns() // 1_000_000 - 20_000
    built.batch()
    for _ in range(7):
        built.batch(*(User(built).create() for _ in range(256)))
    return built, built.write(tmp_path_factory.mktemp("files"))


def command(*arguments: object, code: str = "") -> list[str]:
    python = [sys.executable, "-c", code] if code else [sys.executable, "-m", "verifier.cli"]
    return [*python, *map(str, arguments)]


def run(*arguments: object, code: str = "") -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        command(*arguments, code=code), cwd=ROOT, capture_output=True, check=False, timeout=60
    )
    return done.returncode, json.loads(done.stdout) if done.stdout.startswith(b"{") else {}


def audit(log: tuple[BuiltLog, Path], state: Path, *more: object) -> list[object]:
    return ["audit", log[1], "--log-id", log[0].log_id.hex(), "--state", state, *more]


def test_exit_0_and_a_report(log: tuple[BuiltLog, Path], tmp_path: Path) -> None:
    code, report = run(*audit(log, tmp_path, "--json", "--processes", "2"))
    assert (code, report["outcome"], report["exit_code"]) == (0, "verified", 0), report
    assert report["size"] == report["entries"] == len(log[0].entries)
    assert report["blocks_by_type"] == {"log.create": 1, "user.create": 7 * 256}
    assert report["signatures"] == 2 + 3 * 7 * 256
    code, report = run(*audit(log, tmp_path, "--json"))
    assert (code, report["resumed_from"], report["entries"]) == (0, report["size"], 0)


def test_exit_1_and_the_evidence(tmp_path: Path) -> None:
    built = BuiltLog("bad")
    built.batch(User(built).create(), root=b"a lie".ljust(32))
    files = built.write(tmp_path / "files")
    code, report = run(*audit((built, files), tmp_path / "state", "--json"))
    assert (code, report["outcome"], report["rule"]) == (1, "misbehaviour", "R-42.5")
    file = Path(report["evidence"])
    assert file.with_suffix(".json").is_file()
    assert run("check-evidence", str(file), "--json")[1]["kind"] == "replayable"
    done = subprocess.run(
        command(*audit((built, files), tmp_path / "state")),
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1
    assert b"proven before" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["audit"],
        ["audit", "."],
        ["audit", ".", "--log-id", "00"],
        ["audit", ".", "--log-id", "zz" * 32],
        ["audit", ".", "--log-id", "00" * 32, "--processes", "0"],
        ["audit", ".", "--log-id", "00" * 32, "--max-age", "-1"],
        ["none"],
    ],
)
def test_exit_2_of_wrong_usage(arguments: list[str]) -> None:
    assert cli_code(arguments) == 2


def test_exit_2_of_what_nobody_foresaw(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    arguments = ["audit", str(tmp_path), "--log-id", "00" * 32, "--state", str(tmp_path / "state")]
    assert cli_code(arguments) == 2
    monkeypatch.setattr("verifier.job.Audit", fail)
    assert cli_code(arguments) == 2
    monkeypatch.setitem(sys.modules, "verifier.commands", None)  # as if it could not be imported
    assert cli_code(arguments) == 2


def cli_code(arguments: list[str]) -> object:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["keyroll-verifier", *arguments])
        with pytest.raises(SystemExit) as caught:
            cli.main()
    signal.signal(signal.SIGTERM, before)
    return caught.value.code


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_exit_2_when_interrupted(
    number: signal.Signals, log: tuple[BuiltLog, Path], tmp_path: Path
) -> None:
    process = started(log, tmp_path)
    assert end(process, number) == 2
    code, _ = run(*audit(log, tmp_path, "--json"))
    assert code == 0


def started(log: tuple[BuiltLog, Path], state: Path) -> subprocess.Popen[bytes]:
    """An audit in the midst of it: one of its commits is on disk."""
    process = subprocess.Popen(
        command(*audit(log, state, "--json", "--processes", "2"), code=STEPWISE),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith(b"at ")
    return process


def end(process: subprocess.Popen[bytes], number: signal.Signals) -> int:
    process.send_signal(number)
    process.communicate(timeout=30)
    return process.returncode


def test_kill_9_and_on_from_there(log: tuple[BuiltLog, Path], tmp_path: Path) -> None:
    process = started(log, tmp_path)
    end(process, signal.SIGKILL)
    code, report = run(*audit(log, tmp_path, "--json"))
    assert (code, report["outcome"]) == (0, "verified")
    assert 0 < report["resumed_from"] < report["size"]
    assert report["resumed_from"] in log[0].bounds
    assert report["entries"] == report["size"] - report["resumed_from"]


def test_workers_leave_with_their_killed_parent(log: tuple[BuiltLog, Path], tmp_path: Path) -> None:
    process = started(log, tmp_path)
    children = children_of(process.pid)
    assert len(children) >= 2
    end(process, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while any(map(is_alive, children)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(is_alive, children))


def children_of(pid: int) -> list[int]:
    files = list(Path(f"/proc/{pid}/task").glob("*/children"))
    if not files:
        pytest.skip("there is no /proc here")
    return [int(one) for file in files for one in file.read_text().split()]


def is_alive(pid: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def test_a_second_audit_with_the_same_state_waits_for_no_one(
    log: tuple[BuiltLog, Path], tmp_path: Path
) -> None:
    process = started(log, tmp_path)
    try:
        code, report = run(*audit(log, tmp_path, "--json"))
        if process.poll() is None:
            assert (code, report["outcome"]) == (2, "undecided")
            assert "locked" in report["reason"]
    finally:
        end(process, signal.SIGKILL)
