"""`audit_ratio`, `auditor_rss_mb`, `storage_overhead`: the verifier over 100,000 blocks.

From a local copy of the tiles, each round from nothing, in two processes; directory and cross-check
included.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from time import perf_counter

from tests.bench.logs import BenchLog, anchor_of, append
from tests.bench.measure import ROUNDS, Figure, VRate, process_tree, rss_anon_mb

PROCESSES = 2
_COMMAND = "from verifier.cli import main; main()"


def audit_figures(bench: BenchLog) -> list[Figure]:
    """Of a log that has some 100,000 blocks."""
    ratios, peaks, rates = [], [], []
    with bench.home.stores() as (store, private):
        sample = bench.people.round(500, anchor_of(store))
        append(store, private, bench.log, [m.parsed() for m in sample])
    v = VRate(sample, bench.log.log_id)
    with TemporaryDirectory() as path:
        bench.export(Path(path) / "tiles")
        for number in range(ROUNDS):
            before = v()
            seconds, report, peak = _audit(bench, Path(path), number)
            ratios.append(report["signatures"] / seconds / ((before + v()) / 2))
            rates.append(report["blocks"] / seconds)
            peaks.append(peak)
    note = f"{sorted(rates)[ROUNDS // 2]:,.0f} blocks/s"
    return [
        Figure("audit_ratio", tuple(ratios), bar=1.1, aim=1.4, note=note),
        Figure("auditor_rss_mb", tuple(peaks), bar=300, aim=150, higher=False),
    ]


def storage_figures(bench: BenchLog) -> list[Figure]:
    """What the log's database holds beyond its entries."""
    entries = bench.entry_bytes()
    with bench.home.stores() as (store, _):
        overhead = (store.live_bytes() - entries) / entries
    return [Figure("storage_overhead", (overhead,), bar=1.0, aim=0.6, higher=False)]


def _audit(bench: BenchLog, path: Path, number: int) -> tuple[float, dict[str, int], float]:
    """Seconds, the verifier's report, and the most anonymous memory seen, in MB."""
    arguments = ["audit", str(path / "tiles"), "--log-id", bench.log.log_id.hex(), "--json"]
    arguments += ["--state", str(path / f"state-{number}"), "--processes", str(PROCESSES)]
    start = perf_counter()
    process = subprocess.Popen([sys.executable, "-c", _COMMAND, *arguments], stdout=subprocess.PIPE)
    watcher = _Peak(process.pid)
    output, _ = process.communicate()
    seconds = perf_counter() - start
    peak = watcher.stop()
    if process.returncode:
        raise AssertionError(f"the audit ended with {process.returncode}: {output.decode()}")
    return seconds, json.loads(output), peak


class _Peak:
    """Watches the anonymous memory of a process and all below it."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._peak = 0.0
        self._done = Event()
        self._thread = Thread(target=self._watch)
        self._thread.start()

    def stop(self) -> float:
        """The peak, in MB."""
        self._done.set()
        self._thread.join()
        return self._peak

    def _watch(self) -> None:
        while not self._done.wait(0.2):
            try:
                self._peak = max(self._peak, rss_anon_mb(process_tree(self._pid)))
            except OSError:
                return
