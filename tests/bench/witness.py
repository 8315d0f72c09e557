"""`witness_v`: the CPU that one `add-checkpoint` costs a witness, in V calls.

The witness is a process, with HTTP and its disk; a log of more than 100,000 leaves that grows by a
few at a time submits to it over one connection.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.client import HTTPConnection
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from urllib.parse import urlsplit

from nacl.signing import SigningKey as NaclKey

from ledger.format.checkpoint import Checkpoint, sign_checkpoint
from ledger.format.keys import SigningKey
from ledger.format.note import ED25519, Verifier, encode_base64
from ledger.tree.merkle import Frontier, consistency_proof, leaf_hash
from tests.bench.measure import ROUNDS, Figure, cpu_seconds

REQUESTS = 500
STEP = 3
LEAVES = 131_000
ORIGIN = "bench.example/log"
KEY = SigningKey(bytes(32))
_COMMAND = "from verifier.cli import main; main()"


def witness_figures() -> list[Figure]:
    """What a witness's request costs, in rounds."""
    bodies = _bodies(1 + (ROUNDS + 1) * REQUESTS)
    with TemporaryDirectory() as path, _witness(Path(path)) as (pid, place):
        connection = HTTPConnection(place)
        _submit(connection, next(bodies))
        costs = [_round(pid, connection, bodies) for _ in range(ROUNDS + 1)][1:]  # one warms up
    return [Figure("witness_v", tuple(costs), bar=15, higher=False, note="per add-checkpoint")]


def _round(pid: int, connection: HTTPConnection, bodies: Iterator[bytes]) -> float:
    batch = [next(bodies) for _ in range(REQUESTS)]
    before, used = _v(), cpu_seconds(pid)
    for body in batch:
        _submit(connection, body)
    return (cpu_seconds(pid) - used) / REQUESTS * (before + _v()) / 2


def _submit(connection: HTTPConnection, body: bytes) -> None:
    connection.request("POST", "/add-checkpoint", body)
    answer = connection.getresponse()
    if answer.status != 200:
        raise AssertionError(f"the witness answered {answer.status}: {answer.read().decode()}")
    answer.read()


def _v() -> float:
    """Calls of `VerifyKey.verify` a second, over a checkpoint, now."""
    key = NaclKey(bytes(32))
    message, signature = b"c" * 100, key.sign(b"c" * 100).signature
    start = perf_counter()
    for _ in range(REQUESTS):
        key.verify_key.verify(message, signature)
    return REQUESTS / (perf_counter() - start)


def _bodies(count: int) -> Iterator[bytes]:
    """Requests, each from the size of the one before; the first is from nothing."""
    leaves = [leaf_hash(sha256(number.to_bytes(8)).digest()) for number in range(LEAVES)]
    tree = Frontier().extend(leaves)
    last = LEAVES - STEP * (count - 1)
    for old, size in pairwise([0, *range(last, LEAVES + 1, STEP)]):
        proof = consistency_proof(old, size, tree.read) if old else []
        hashes = "".join(encode_base64(one) + "\n" for one in proof)
        head = Checkpoint(ORIGIN, size, Frontier.load(size, tree.read).root())
        yield f"old {old}\n{hashes}\n".encode() + sign_checkpoint(head, KEY)


@contextmanager
def _witness(path: Path) -> Iterator[tuple[int, str]]:
    """`keyroll-verifier witness`: its process and where it listens."""
    key, policy = path / "key", path / "logs.txt"
    policy.write_text(f"log {Verifier(ORIGIN, ED25519, KEY.public).vkey}\nquorum none\n")
    command: list[str | Path] = [sys.executable, "-c", _COMMAND]
    subprocess.run(
        [*command, "keygen", "bench.example/witness", "-o", key],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    options: list[str | Path] = [
        "--policy",
        policy,
        "--key",
        key,
        "--state",
        path / "state",
        "--new",
    ]
    process = subprocess.Popen(
        [*command, "witness", *options, "--listen", "127.0.0.1:0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout
    try:
        yield process.pid, urlsplit(process.stdout.readline().split()[-1]).netloc
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
