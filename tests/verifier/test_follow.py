"""`audit --follow`, as a process: a line a round, its end, and being killed while it cosigns."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.verifier.builder import BuiltLog, User
from tests.verifier.test_cosign import AUDITOR, Place
from verifier.commands.audit import MAX_PAUSE, _pause

ROOT = Path(__file__).parents[2]
MAIN = "from verifier.cli import main; main()"
# What runs before the command: it is killed once what it signs is put down.
KILLED_BEFORE_SIGNING = """
import os, signal
from verifier.keyfile import Cosigner
Cosigner.cosign = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A log of now, of 17 entries, published; and the auditor's key file."""
    log = BuiltLog()
    log.time = time.time_ns() // 1_000_000 - 60_000
    log.batch()
    for _ in range(7):
        log.batch(User(log).create())
    found = Place(log, tmp_path)
    found.publish()
    AUDITOR.save(tmp_path / "auditor.key")
    return found


def command(place: Place, *more: str, url: str = "", code: str = MAIN) -> list[str]:
    options = ["--log-id", place.log.log_id.hex(), "--state", str(place.root / "state")]
    url = url or str(place.root / "files")
    aged = ["--processes", "1", "--no-crosscheck"]
    return [sys.executable, "-c", code, "audit", url, *options, *aged, *more]


@contextmanager
def following(
    place: Place, *more: str, url: str = "", code: str = MAIN
) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command(place, "--follow", "--every", "0.2", *more, url=url, code=code),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=10)


def told(process: subprocess.Popen[str]) -> dict[str, Any]:
    """The next round's line."""
    assert process.stdout
    line = process.stdout.readline()
    assert line, process.communicate(timeout=10)[1]
    found: dict[str, Any] = json.loads(line)
    return found


def end(process: subprocess.Popen[str], number: signal.Signals) -> int:
    process.send_signal(number)
    _, errors = process.communicate(timeout=20)
    assert "Traceback" not in errors
    return process.returncode


def grow(place: Place) -> int:
    """A batch of now, published; the new size."""
    size = place.log.batch(User(place.log).create())
    place.publish()
    return size


def until(process: subprocess.Popen[str], size: int) -> dict[str, Any]:
    while (found := told(process))["size"] != size:
        assert found["outcome"] == "verified"
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_follows_until_it_is_interrupted(number: signal.Signals, place: Place) -> None:
    with following(place, "--json") as process:
        first = told(process)
        assert (first["outcome"], first["size"], first["resumed_from"]) == ("verified", 17, 0)
        for _ in range(2):
            assert until(process, grow(place))["outcome"] == "verified"
        assert end(process, number) == 0


def test_it_tells_people_in_a_line(place: Place) -> None:
    with following(place, "--cosign", str(place.root / "auditor.key")) as process:
        assert process.stdout
        line = process.stdout.readline()
        assert line.endswith("verified, 17 entries (17 new), cosigned\n")
        assert end(process, signal.SIGTERM) == 0


def test_it_ends_with_1_at_misbehaviour(place: Place) -> None:
    with following(place, "--json") as process:
        assert told(process)["outcome"] == "verified"
        place.log.batch(User(place.log).create(), root=b"a lie".ljust(32))
        place.publish()
        while (found := told(process))["outcome"] == "verified":
            pass
        assert (found["outcome"], found["rule"]) == ("misbehaviour", "R-42.5")
        assert process.wait(20) == 1


def test_it_ends_with_2_while_it_is_undecided(place: Place) -> None:
    checkpoint = place.root / "files" / "checkpoint"
    with following(place, "--json") as process:
        assert told(process)["outcome"] == "verified"
        checkpoint.rename(checkpoint.with_name("away"))
        while (found := told(process))["outcome"] == "verified":
            pass
        assert found["outcome"] == "undecided"
        checkpoint.with_name("away").rename(checkpoint)
        while (found := told(process))["outcome"] == "undecided":
            pass
        assert (found["outcome"], found["entries"]) == ("verified", 0)
        checkpoint.rename(checkpoint.with_name("away"))
        while (found := told(process))["outcome"] == "verified":
            pass
        assert end(process, signal.SIGINT) == 2


def test_it_waits_longer_after_each_undecided_round() -> None:
    assert [_pause(60, undecided) for undecided in range(7)] == [60, 60, 120, 240, 480, 900, 900]
    assert _pause(60, 10**6) == MAX_PAUSE
    assert _pause(3_600, 5) == 3_600


def test_it_cosigns_each_candidate(place: Place) -> None:
    key = str(place.root / "auditor.key")
    place.candidate = place.log.checkpoint()
    with place.serving() as url, following(place, "--json", "--cosign", key, url=url) as process:
        assert told(process)["cosigned"]["size"] == 17
        size = grow(place)
        place.candidate = place.log.checkpoint()
        assert until(process, size)["cosigned"]["place"] == "/v1/cosignatures"
        assert end(process, signal.SIGTERM) == 0
    assert {place.cosigned(note)[0] for note in place.posted} == {17, 19}


def test_killed_between_putting_down_and_signing(place: Place) -> None:
    """R-63.1: what it would have signed counts as signed: nothing smaller is signed afterwards."""
    more = ["--json", "--cosign", str(place.root / "auditor.key")]
    place.candidate = place.log.checkpoint()
    with place.serving() as url:
        with following(place, *more, url=url, code=KILLED_BEFORE_SIGNING + MAIN) as process:
            assert process.wait(20) == -9
        assert place.posted == []
        place.candidate = place.log.checkpoint(15)
        with following(place, *more, url=url) as process:
            assert "cosigned" not in told(process)
            place.candidate = place.log.checkpoint()
            while "cosigned" not in (found := told(process)):
                assert found["outcome"] == "verified"
    assert {place.cosigned(note)[0] for note in place.posted} == {17}


def test_killed_among_entries_it_goes_on_and_cosigns(place: Place) -> None:
    for _ in range(3):
        place.log.batch(*(User(place.log).create() for _ in range(200)))
    place.publish()
    stepwise = """
import os, signal
import verifier.audit
from verifier.state import State
verifier.audit.COMMIT_EVERY = 100

def commit(self, *position, plain=State.commit):
    plain(self, *position)
    self.size > 300 and os.kill(os.getpid(), signal.SIGKILL)

State.commit = commit
"""
    more = ["--json", "--cosign", str(place.root / "auditor.key")]
    with following(place, *more, code=stepwise + MAIN) as process:
        assert process.wait(20) == -9
    assert not (place.root / "state" / "cosigned.note").exists()
    with following(place, *more) as process:
        found = told(process)
        assert 0 < found["resumed_from"] < found["size"] == found["cosigned"]["size"]
    assert place.cosigned((place.root / "state" / "cosigned.note").read_bytes())[0] == found["size"]


@pytest.mark.parametrize(
    "more",
    [
        ["--follow", "--as-of", "5"],
        ["--cosign", "auditor.key", "--as-of", "5"],
        ["--follow", "--every", "0"],
        ["--cosign", "no-such-file"],
        ["--witnesses", "no-such-file"],
        ["--witnesses", "auditor.key"],
    ],
)
def test_wrong_usage(more: list[str], place: Place) -> None:
    run = command(place, *(str(place.root / one) if "." in one else one for one in more))
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Error" in done.stderr
    assert "Traceback" not in done.stderr
