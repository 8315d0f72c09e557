"""The commands of people and applications, as processes, against the real server."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ledger.app import keys
from tests.client.conftest import Live

MAIN = "from ledger.cli import main; main()"


@dataclass
class Done:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def facts(self) -> Any:
        return json.loads(self.out)


async def keyroll(*arguments: str, home: Path | None = None, given: str = "") -> Done:
    """Run a command. The server answers meanwhile, in this process."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", MAIN, *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"KEYROLL_HOME": str(home or "/nonexistent")},
    )
    out, err = await process.communicate(given.encode())
    assert process.returncode is not None
    return Done(process.returncode, out.decode(), err.decode())


async def succeed(*arguments: str, home: Path | None = None, given: str = "") -> Done:
    done = await keyroll(*arguments, home=home, given=given)
    assert done.code == 0, done.err
    return done


@pytest.fixture
def where(live: Live) -> tuple[str, ...]:
    """What has to be said once."""
    return ("--url", live.url, "--log-id", live.log_id.hex())


async def enrol(live: Live, identifier: str, *more: str) -> str:
    log_id = live.log_id.hex()
    done = await succeed("app", "enrol", str(live.app), identifier, "--log-id", log_id, *more)
    return done.out


async def test_two_machines(live: Live, where: tuple[str, ...], tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    token = await enrol(live, "ada@example.org")
    registered = await succeed("register", "-", *where, "--json", home=old, given=token)
    label = registered.facts["label"]
    asked = await succeed("devices", "request", *where, "--json", home=new)
    (tmp_path / "request").write_text(asked.facts["request"])
    offered = await succeed(
        "devices", "add", str(tmp_path / "request"), "--json", "--yes", home=old
    )
    assert offered.facts["fingerprint"] == asked.facts["fingerprint"]
    (tmp_path / "offer").write_text(offered.facts["offer"])
    joined = await succeed("devices", "accept", str(tmp_path / "offer"), home=new, given="y\n")
    assert "become a device of ada@example.org?" in joined.err
    listed = await succeed("devices", "list", "--json", home=new)
    assert listed.facts["label"] == label
    assert [device["kind"] for device in listed.facts["devices"]] == ["ordinary", "ordinary"]
    first, second = (device["signing"] for device in listed.facts["devices"])
    revoked = await succeed("devices", "revoke", first[:12].upper(), "--json", home=new)
    assert revoked.facts == {"revoked": [first], "devices": [second]}
    gone = await keyroll("devices", "revoke", second, home=old)
    assert gone.code == 2
    assert "no device that is here is live" in gone.err
    assert "Traceback" not in gone.err
    shown = await succeed("devices", "list", home=new)
    assert "here" in shown.out
    assert second[:16] in shown.out
    assert label in shown.out


async def test_contacts_and_a_reset(live: Live, where: tuple[str, ...], tmp_path: Path) -> None:
    ada, bob = tmp_path / "ada", tmp_path / "bob"
    (tmp_path / "token").write_text(await enrol(live, "ada@example.org"))
    done = await succeed("register", str(tmp_path / "token"), *where, "--json", home=ada)
    label = done.facts["label"]
    first = await succeed("devices", "list", label, *where, "--json", home=bob)
    assert (first.facts["known"], first.facts["events"]) == (False, [])
    closed = await succeed("close", "--yes", "--json", home=ada)
    assert closed.facts["label"] == label
    token = await enrol(live, "ada@example.org", "--reset")
    authority = str(live.app / "authority.key")
    reset = await succeed("reset", "-", "--authority", authority, "--json", home=ada, given=token)
    assert (reset.facts["epoch"], reset.facts["label"]) == (1, label)
    looked = await succeed("devices", "list", label, "--json", "--accept", home=bob)
    assert [event["event"] for event in looked.facts["events"]] == ["closed", "reset"]
    again = await succeed("devices", "list", label, "--json", home=bob)
    assert (again.facts["known"], again.facts["events"]) == (True, [])


async def test_sync(live: Live, where: tuple[str, ...], tmp_path: Path) -> None:
    home = tmp_path / "home"
    first = await succeed("sync", *where, "--json", home=home)
    assert first.facts["log_id"] == live.log_id.hex()
    assert first.facts["size"] >= 2
    again = await succeed("sync", home=home)  # address and log id are remembered
    assert again.out.startswith("verified ")
    modes = {path.name: path.stat().st_mode & 0o77 for path in [home, *home.iterdir()]}
    assert set(modes.values()) == {0}
    other = await keyroll("sync", "--log-id", "0" * 64, home=home)
    assert (other.code, "another log" in other.err) == (2, True)
    (home / "settings.json").write_text(
        json.dumps({"url": "http://127.0.0.1:1", "log_id": live.log_id.hex()})
    )
    unreachable = await keyroll("sync", home=home)
    assert unreachable.code == 3


async def test_what_is_refused(live: Live, where: tuple[str, ...], tmp_path: Path) -> None:
    token = await enrol(live, "ada@example.org")
    home = tmp_path / "home"
    refused = await asyncio.gather(
        keyroll("register", "-", home=home, given=token),  # which log?
        keyroll("register", "-", *where, home=home, given=token[:-5]),
        keyroll("register", token, *where, home=home),  # a token is no argument
        keyroll("devices", "add", "-", "--yes", *where, home=home, given="keyroll-request-1."),
        keyroll("devices", "list", *where, home=home),
        keyroll("devices", "list", "7", *where, home=home),
        keyroll("sync", "--url", "ftp://a", "--log-id", "0" * 64, home=tmp_path / "b"),
        keyroll("sync", "--url", live.url, "--log-id", "0" * 63, home=tmp_path / "b"),
        keyroll("app", "init", str(live.app)),
    )
    assert [done.code for done in refused] == [2, 1, 2, 1, 2, 2, 2, 2, 2]
    for done in refused:
        assert "Traceback" not in done.err
        assert token.strip() not in done.err.replace("\n", "") or done is refused[2]
    assert len({keys.load(live.app, role).public for role in keys.Role}) == 3


async def test_misbehaviour_is_kept(live: Live, where: tuple[str, ...], tmp_path: Path) -> None:
    """A log id that is another log's: the server can't show its first block."""
    wrong = ("--url", live.url, "--log-id", "ab" * 32)
    done = await keyroll("sync", *wrong, home=tmp_path / "home")
    assert done.code == 1
    assert "R-61.1" in done.err
    (evidence,) = (tmp_path / "home" / "evidence").glob("unproven-*.json")
    assert "convinces nobody but you" in done.err
    document = json.loads(evidence.read_text())
    assert document["rule"] == "R-61.1"
    assert bytes.fromhex(document["evidence"]["entry"])[:2] == b"\x83\x00"
    assert str(evidence) in done.err.replace("\n", "")
