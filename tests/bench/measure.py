"""Measuring against V, in rounds: what every benchmark shares."""

from __future__ import annotations

import resource
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

from nacl.signing import VerifyKey

from ledger.format import block
from tests.bench.made import Made

ROUNDS = 9
_SAMPLE = 600


@dataclass(frozen=True, slots=True)
class Figure:
    """One key of the JSON: its bar, and the rounds it was measured in.

    `higher` says which side of the bar is good; `note` stands beside it in the table.
    """

    key: str
    values: tuple[float, ...]
    bar: float | None = None
    aim: float | None = None
    higher: bool = True
    note: str = ""

    @property
    def value(self) -> float:
        return median(self.values)

    @property
    def reached(self) -> bool | None:
        """Whether the bar was reached; none where there is no bar."""
        if self.bar is None:
            return None
        return self.value >= self.bar if self.higher else self.value <= self.bar


class VRate:
    """V over the signatures of some blocks. Call it in every round, beside what is measured."""

    def __init__(self, made: Sequence[Made], log_id: bytes) -> None:
        checks = (block.checks(block.parse(m.raw), log_id) for m in made[:_SAMPLE])
        signatures = [s for c in checks for s in (*c.signatures, *(i[1:] for i in c.inner))]
        self._calls = [(VerifyKey(kid), m, s) for kid, s, m in signatures[:_SAMPLE]]

    def __call__(self) -> float:
        """Calls of `VerifyKey.verify` a second, now."""
        start = perf_counter()
        for key, message, signature in self._calls:
            key.verify(message, signature)
        return len(self._calls) / (perf_counter() - start)


def rss_anon_mb(pids: Iterable[int]) -> float:
    """Anonymous memory of these processes, in MB (RssAnon of Linux)."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                total += int(line.split()[1])
    return total / 1024


def cpu_seconds(pid: int) -> float:
    """User and system time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def process_tree(pid: int) -> list[int]:
    """A process and all below it."""
    below = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(p for child in below for p in process_tree(int(child)))]


def own_cpu() -> float:
    """User and system time of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


_TICKS = 100
"""Clock ticks a second in /proc, fixed by Linux's ABI."""
