"""The demo as people run it: a real server, the real verifier, real lies."""

from __future__ import annotations

import json
import subprocess
import sys

EVENTS = 60


def test_the_demo_is_sound() -> None:
    command = "from ledger.cli import main; main()"
    arguments = ["demo", "--events", str(EVENTS), "--json"]
    done = subprocess.run(
        [sys.executable, "-c", command, *arguments], capture_output=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr.decode()
    story = json.loads(done.stdout)
    assert story["events"] == EVENTS
    assert story["sound"] is True
    assert story["audit"]["outcome"] == "verified"
    # The log's first block too, and one revocation that the second attack needed comes later.
    assert story["audit"]["blocks"] == sum(story["blocks"].values()) + 1
    caught = [(attack["caught_by"], attack["rule"]) for attack in story["attacks"]]
    assert caught == [
        ("client", "R-40.4"),
        ("client", "R-61.2"),
        ("client", "R-56.5"),
        ("verifier", "R-20.1"),
    ]
    assert story["blocks"]["group.create"] == 3  # DD, DN, DM: no team has a key yet
    assert story["blocks"]["group.update"] > 3
