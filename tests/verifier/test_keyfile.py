"""Cosigners' key files: one spelling, one owner, never written over."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from nacl.signing import SigningKey

from tests.verifier.witnessing import MAIN, ROOT
from verifier.errors import Malformed, Undecided
from verifier.keyfile import Cosigner
from verifier.note import COSIGNATURE, open_note, parse_vkey

KEY = Cosigner("witness.example/1", SigningKey(b"w" * 32))


def test_a_key_is_what_its_file_says(tmp_path: Path) -> None:
    file = tmp_path / "key"
    KEY.save(file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert Cosigner.load(file) == KEY
    assert parse_vkey(KEY.public.vkey) == KEY.public
    with pytest.raises(Undecided, match="exists"):
        Cosigner.make("other").save(file)
    assert Cosigner.load(file) == KEY


def test_two_keys_are_not_the_same() -> None:
    one, two = Cosigner.make("a"), Cosigner.make("a")
    assert one.public.type == two.public.type == COSIGNATURE
    assert one.public.key != two.public.key
    for name in ("", "a b", "a+b", "a\u2003b"):
        with pytest.raises(Malformed, match=r"R-60\.5"):
            Cosigner.make(name)


def test_a_cosignature_is_one() -> None:
    """R-60.6."""
    text = "log.example\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"
    note = f"{text}\n{KEY.cosign(text, 1_800_000_000).line}".encode()
    assert open_note(note, [KEY.public]) == (text, [(KEY.public, 1_800_000_000)])


def test_files_that_are_no_key(tmp_path: Path) -> None:
    file = tmp_path / "key"
    KEY.save(file)
    right = file.read_text("utf-8")
    for wrong in (
        "",
        "\n",
        right + "\n",
        right + right,
        " " + right,
        right.replace("PRIVATE", "private"),
        right.replace("/1+", "/2+"),
        right[:-2] + "\n",
        right[:-5] + "A" + right[-4:],
        KEY.public.vkey,
        "PRIVATE+KEY+a",
        "PRIVATE+KEY+a+00000000+",
        "keyroll-key-1." + "A" * 43 + "=",
        "\0" * 5_000,
    ):
        assert wrong != right
        file.write_text(wrong, "utf-8")
        with pytest.raises(Undecided, match="key"):
            Cosigner.load(file)
    file.write_text(right.rstrip("\n"), "utf-8")
    assert Cosigner.load(file) == KEY


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601, 0o777])
def test_a_file_that_others_can_use(mode: int, tmp_path: Path) -> None:
    KEY.save(tmp_path / "key")
    (tmp_path / "key").chmod(mode)
    with pytest.raises(Undecided, match="chmod 600"):
        Cosigner.load(tmp_path / "key")


def keygen(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", MAIN, "keygen", *map(str, arguments)]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=30
    )


def test_keygen(tmp_path: Path) -> None:
    done = keygen("auditor.example/7", "-o", tmp_path / "key")
    assert done.returncode == 0
    found = Cosigner.load(tmp_path / "key")
    assert done.stdout == found.public.vkey + "\n"
    assert found.name == "auditor.example/7"
    again = keygen("auditor.example/7", "-o", tmp_path / "key")
    assert (again.returncode, again.stdout) == (2, "")
    assert Cosigner.load(tmp_path / "key") == found
    assert keygen("a b", "-o", tmp_path / "other").returncode == 2
    assert not (tmp_path / "other").exists()
