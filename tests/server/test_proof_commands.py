"""`keyroll proof` and `keyroll-verifier verify-proof`, as processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.http.world import make_home
from tests.server.process import keyroll, serving

VERIFIER = "from verifier.cli import main; main()"


def verify(*arguments: str | Path) -> int:
    """The verifier's exit code."""
    command = [sys.executable, "-c", VERIFIER, "verify-proof", *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, timeout=60).returncode


@pytest.mark.parametrize("receipt", [(), ("--receipt",)])
async def test_of_a_directory_and_of_a_server(tmp_path: Path, receipt: tuple[str, ...]) -> None:
    home, proof, entry = (tmp_path / name for name in ("log", "proof", "entry"))
    make_home(home)
    status = json.loads(keyroll("status", home, "--json").stdout)
    save: tuple[str | Path, ...] = ("-o", proof, "--entry", entry, *receipt)
    log = ("--vkey", status["vkey"], "--entry", entry)
    assert keyroll("proof", home, "1", *save).returncode == 0
    assert verify(proof, *log) == 0
    first = tmp_path / "first"
    async with serving(home) as server:
        assert (
            keyroll("proof", server.url, "0", "-o", tmp_path / "x", "--entry", first).returncode
            == 0
        )
        assert keyroll("proof", server.url, "1", *save).returncode == 0
        assert keyroll("proof", server.url, "2", *save).returncode == 2
    assert verify(proof, *log) == 0
    trusted = ("--log-id", status["log_id"], "--first", first)
    assert verify(proof, *trusted, "--entry", entry) == 0
    assert verify(proof, *trusted, "--entry", first) == 1
    assert verify(proof, *trusted, "--entry", tmp_path / "nowhere") == 2


def test_a_place_to_save_it_is_needed(tmp_path: Path) -> None:
    make_home(tmp_path / "log")
    done = keyroll("proof", tmp_path / "log", "0", "-o", tmp_path / "no" / "file")
    assert done.returncode == 1
    assert "cannot be written" in done.stderr
