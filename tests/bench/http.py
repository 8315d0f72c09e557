"""`http_batch_ratio`, `http_single_ratio`, `server_cpu_v_per_block`, `server_rss_mb`.

A real server process over loopback, on a log of 100,000 blocks; a lean client in its own process.
Labels are precomputed: each was asked of the server before, as whoever registers does.
"""

from __future__ import annotations

import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit
from urllib.request import urlopen

from ledger.format import checkpoint, wire
from ledger.format.block import Anchor
from ledger.format.login import authenticate
from ledger.format.note import ED25519, Verifier
from ledger.log.clock import wall_ms
from tests.bench.logs import BenchLog
from tests.bench.made import Made
from tests.bench.measure import ROUNDS, Figure, VRate, cpu_seconds, process_tree, rss_anon_mb

CONNECTIONS = 64
SINGLE_BLOCKS = 1_280
BATCH_BLOCKS = 2_560
_COMMAND = "from ledger.cli import main; main()"


def http_figures(bench: BenchLog) -> list[Figure]:
    """All of a server's figures, in one run of it."""
    with serving(bench) as served, lean_client(served.url) as client:
        batch = _rounds(served, client, BATCH_BLOCKS, wire.MAX_SUBMISSIONS)
        single = _rounds(served, client, SINGLE_BLOCKS, 1)
        rss = rss_anon_mb(process_tree(served.pid))
    return [
        Figure("http_batch_ratio", batch.ratios, bar=0.6, aim=0.9, note=batch.note),
        Figure("http_single_ratio", single.ratios, bar=0.25, aim=0.4, note=single.note),
        Figure("server_cpu_v_per_block", single.cpu_v, higher=False),
        Figure("server_rss_mb", (rss,), bar=200, aim=120, higher=False),
    ]


@dataclass(frozen=True, slots=True)
class Rounds:
    """Of each round: signatures a second to V, server's CPU a block in V calls, blocks a second."""

    ratios: tuple[float, ...]
    cpu_v: tuple[float, ...]
    rates: tuple[float, ...]

    @property
    def note(self) -> str:
        return f"{sorted(self.rates)[len(self.rates) // 2]:,.0f} blocks/s"


@dataclass(frozen=True, slots=True)
class Served:
    """A server process, and the log that it serves."""

    bench: BenchLog
    url: str
    pid: int

    def anchor(self) -> Anchor:
        """The newest checkpoint's, as an author fetches and opens it."""
        with urlopen(f"{self.url}/checkpoint") as answer:
            data = answer.read()
        log = Verifier(self.bench.log.origin, ED25519, self.bench.log.log_key.public)
        newest = checkpoint.open_checkpoint(data, log)
        return Anchor(newest.size, newest.root)

    def cpu(self) -> float:
        """Seconds of CPU that the server and its workers have used."""
        return sum(map(cpu_seconds, process_tree(self.pid)))


@contextmanager
def serving(bench: BenchLog) -> Iterator[Served]:
    """`keyroll serve` as a process."""
    arguments = ["serve", str(bench.home.path), "--port", "0"]
    process = subprocess.Popen(
        [sys.executable, "-c", _COMMAND, *arguments], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    try:
        url = next(w for line in process.stdout for w in line.split() if w.startswith("http://"))
        yield Served(bench, url, process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


class LeanClient:
    """Speaks to `tests.bench.lean`."""

    def __init__(self, process: subprocess.Popen[bytes], host: str) -> None:
        self._process = process
        self._host = host

    def round(self, path: str, bodies: list[bytes]) -> tuple[float, list[bytes]]:
        """Post all bodies; the seconds it took, and the answers."""
        assert self._process.stdin
        assert self._process.stdout
        out, back = self._process.stdin, self._process.stdout
        out.write(len(bodies).to_bytes(4))
        for body in bodies:
            request = self._request(path, body)
            out.write(len(request).to_bytes(4) + request)
        out.flush()
        (seconds,) = struct.unpack(">d", back.read(8))
        return seconds, [back.read(int.from_bytes(back.read(4))) for _ in bodies]

    def _request(self, path: str, body: bytes) -> bytes:
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {self._host}\r\n"
            f"Content-Type: application/cbor\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


@contextmanager
def lean_client(url: str) -> Iterator[LeanClient]:
    """The client's process, with its connections open."""
    place = urlsplit(url)
    command = [sys.executable, "-m", "tests.bench.lean"]
    command += [str(place.hostname), str(place.port), str(CONNECTIONS)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield LeanClient(process, place.netloc)
    finally:
        assert process.stdin
        process.stdin.close()
        process.wait(30)


def _rounds(served: Served, client: LeanClient, count: int, per_request: int) -> Rounds:
    ratios, cpus, rates = [], [], []
    for number in range(ROUNDS + 1):
        made = served.bench.people.round(count, served.anchor())
        _ask_labels(served, client, made)
        bodies = [_body(made[at : at + per_request]) for at in range(0, count, per_request)]
        v = VRate(made, served.bench.log.log_id)
        before, used = v(), served.cpu()
        seconds, answers = client.round(wire.BLOCKS_PATH, bodies)
        used, rate = served.cpu() - used, (before + v()) / 2
        _require_admitted(answers)
        if number:  # the first warms up
            ratios.append(sum(m.signatures for m in made) / seconds / rate)
            cpus.append(used * rate / count)
            rates.append(count / seconds)
    return Rounds(tuple(ratios), tuple(cpus), tuple(rates))


def _body(made: list[Made]) -> bytes:
    return wire.SubmitRequest(tuple(m.submission() for m in made)).encode()


def _ask_labels(served: Served, client: LeanClient, made: list[Made]) -> None:
    """Have the server prove the labels of those who register, as their devices ask it to."""
    log_id, now = served.bench.log.log_id, wall_ms()
    bodies = []
    for m in made:
        if m.token:
            request = wire.LabelRequest(m.token.delegation.raw, m.token.opening).encode()
            key = m.token.ephemeral
            bodies.append(authenticate(request, wire.LABELS_PATH, key, log_id, now))
    client.round(wire.LABELS_PATH, bodies)
    time.sleep(0.1)  # the server's CPU is told in ticks


def _require_admitted(answers: list[bytes]) -> None:
    for data in answers:
        for verdict in wire.SubmitAnswer.decode(data).verdicts:
            if not isinstance(verdict, wire.Admitted):
                raise AssertionError(f"refused: {verdict}")
