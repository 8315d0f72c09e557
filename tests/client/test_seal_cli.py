"""`keyroll encrypt`, `decrypt` and `share`, as processes, against the real server."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.client.conftest import Live
from tests.client.test_cli import keyroll, succeed
from tests.client.test_groups_cli import Machine

ADA, BOB, EVE = (f"{name}@example.org" for name in ("ada", "bob", "eve"))


@pytest.fixture
async def three(live: Live, tmp_path: Path) -> list[Machine]:
    return [await Machine.register(live, tmp_path, name) for name in ("ada", "bob", "eve")]


@pytest.fixture
def data() -> bytes:
    return os.urandom(200_000)


@pytest.fixture
def paper(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "paper"
    path.write_bytes(data)
    return path


async def test_a_file_goes_round(
    three: list[Machine], paper: Path, data: bytes, tmp_path: Path
) -> None:
    ada, bob, eve = (machine.home for machine in three)
    sealed, out = tmp_path / "paper.sealed", tmp_path / "out"
    told = await succeed("encrypt", str(paper), "-r", BOB, "-o", str(sealed), home=ada)
    assert str(sealed) in told.out
    opened = await succeed("decrypt", str(sealed), "-o", str(out), "--json", home=bob)
    assert out.read_bytes() == data
    assert (opened.facts["author"], opened.facts["label"]) == (None, three[0].label)
    assert (opened.facts["live"], opened.facts["bytes"]) == (True, len(data))
    known = await succeed("decrypt", str(sealed), "-o", str(out), "--from", ADA, home=bob)
    assert f"written by {ADA}" in known.out
    refused = await keyroll("decrypt", str(sealed), "-o", str(tmp_path / "hers"), home=eve)
    assert (refused.code, "not for you" in refused.err) == (2, True), refused.err
    assert not (tmp_path / "hers").exists()
    await succeed("share", str(sealed), "-r", EVE, home=bob)
    await succeed("decrypt", str(sealed), "-o", str(tmp_path / "hers"), home=eve)
    assert (tmp_path / "hers").read_bytes() == data


async def test_a_group_reads(
    three: list[Machine], paper: Path, data: bytes, tmp_path: Path
) -> None:
    ada, bob, _ = three
    group = (await ada.groups("create", bob.label, "--json")).facts["group"]
    sealed, out = str(tmp_path / "sealed"), tmp_path / "out"
    arguments = ("encrypt", str(paper), "-g", group[:12], "-o", sealed, "--pad")
    await succeed(*arguments, home=ada.home)
    await succeed("decrypt", sealed, "-o", str(out), home=bob.home)
    assert out.read_bytes() == data


async def test_what_is_refused(
    live: Live, three: list[Machine], paper: Path, tmp_path: Path
) -> None:
    ada, bob = three[0].home, three[1].home
    sealed = tmp_path / "sealed"

    async def fails(code: int, words: str, *arguments: str, home: Path = ada) -> None:
        done = await keyroll(*arguments, home=home)
        assert (done.code, "Traceback" in done.err) == (code, False), done.err
        assert words in done.err.replace("\n", " ")

    to_bob = ("encrypt", str(paper), "-r", BOB, "-o", str(sealed))
    await fails(2, "is not in the log", *to_bob[:3], "no@example.org", *to_bob[4:])
    assert not sealed.exists()
    await succeed(*to_bob, home=ada)
    await fails(2, "is not written over", *to_bob)
    await fails(2, "cannot be read", "encrypt", "nowhere", *to_bob[2:])
    await fails(1, "R-90.1", "decrypt", str(paper), "-o", str(tmp_path / "out"))
    sealed.write_bytes(sealed.read_bytes()[:-1])
    await fails(1, "R-90", "decrypt", str(sealed), "-o", str(tmp_path / "out"), home=bob)
    wrong = ("decrypt", str(sealed), "-o", str(tmp_path / "out"), "--from", EVE)
    await fails(1, "R-90", *wrong, home=bob)
    await succeed("close", "--yes", home=bob)
    again = (*to_bob[:4], "-o", str(tmp_path / "again"))
    await fails(2, f"something happened to {BOB}", *again)
    assert not (tmp_path / "again").exists()
