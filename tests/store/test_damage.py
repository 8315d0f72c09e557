"""A damaged file: a clear sentence, or what it said before, and never a wrong answer."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from tests.store import damage

ROOT = Path(__file__).resolve().parents[2]
PAGE = 4_096


def answers(path: Path, lines: list[str]) -> list[str]:
    """What became of each damage."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.store.damage", str(path)],
        input="".join(f"{line}\n" for line in lines),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    found = done.stdout.splitlines()
    assert done.returncode == 0, f"'{lines[len(found)]}' ended it: {done.stderr[-400:]}"
    return found


def test_a_file_cut_short(tmp_path: Path) -> None:
    size = damage.build(tmp_path)
    lengths = [0, 1, PAGE - 1, PAGE, 2 * PAGE, 3 * PAGE, size // 2, size - PAGE, size - 1]
    lengths += [Random(1).randrange(size) for _ in range(20)]
    found = answers(tmp_path, [f"cut {length}" for length in lengths])
    assert all(answer.startswith("refused") for answer in found), found
    assert all("no database" in answer or "damaged" in answer for answer in found), found


def flips(size: int, count: int, seed: int) -> list[str]:
    """In every page one in its head and one anywhere, and more at random."""
    random = Random(seed)
    places = [at + random.randrange(100) for at in range(0, size, PAGE)]
    places += [at + random.randrange(PAGE) for at in range(0, size, PAGE)]
    places += [random.randrange(size) for _ in range(max(0, count - len(places)))]
    return [f"flip {place} {random.randrange(8)}" for place in places]


def check_flips(path: Path, count: int, seed: int) -> Counter[str]:
    lines = flips(damage.build(path), count, seed)
    found = answers(path, lines)
    wrong = [line for line, answer in zip(lines, found, strict=True) if answer == "WRONG"]
    assert wrong == []
    return Counter(answer.split()[0] for answer in found)


def test_flipped_bits(tmp_path: Path) -> None:
    counts = check_flips(tmp_path, 0, seed=1)
    assert counts["refused"] > 50
    assert counts["same"] > 10


@pytest.mark.soak
def test_many_flipped_bits(tmp_path: Path) -> None:
    check_flips(tmp_path, 20_000, seed=2)
