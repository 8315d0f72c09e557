"""A log that submits to a witness, spelled by hand, and the witness as a process.

log = Submitting("log.example/one")
with witnessing(tmp_path, [log]) as served:
    status, body, kind = served.submit(log.request(0, 5))
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

from nacl.signing import SigningKey

from tests.verifier.builder import leaf_hash, mth, public
from tests.verifier.test_merkle import consistency
from verifier.keyfile import Cosigner
from verifier.note import NoteKey

ROOT = Path(__file__).parents[2]
MAIN = "from verifier.cli import main; main()"
Answer = tuple[int, str, str]
"""Status, body, content type."""


def line(name: str, key: SigningKey, text: str) -> str:
    """A signature of type 01."""
    key_id = sha256(name.encode() + b"\n\x01" + public(key)).digest()[:4]
    data = b64encode(key_id + key.sign(text.encode()).signature).decode()
    return f"\u2014 {name} {data}\n"


def leaves(seed: str, count: int = 100) -> list[bytes]:
    return [leaf_hash(f"{seed} {number}".encode()) for number in range(count)]


@dataclass
class Submitting:
    """A log of up to 100 leaves; one of the same key and other leaves is its fork."""

    origin: str = "log.example/one"
    key: SigningKey = field(default_factory=lambda: SigningKey(b"l" * 32))
    leaves: list[bytes] = field(default_factory=lambda: leaves("honest"))

    @property
    def public(self) -> NoteKey:
        return NoteKey(self.origin, public(self.key))

    def root(self, size: int) -> bytes:
        return mth(self.leaves[:size])

    def text(self, size: int | str, root: bytes | None = None, more: str = "") -> str:
        root = self.root(int(size)) if root is None else root
        return f"{self.origin}\n{size}\n{b64encode(root).decode()}\n{more}"

    def note(self, size: int, root: bytes | None = None, more: str = "") -> str:
        text = self.text(size, root, more)
        return f"{text}\n{line(self.origin, self.key, text)}"

    def request(
        self,
        old: int | str,
        size: int,
        *,
        proof: Sequence[bytes] | None = None,
        note: str | None = None,
    ) -> bytes:
        """From the old size to the new one, with the proof that leads there."""
        if proof is None:
            least, most = sorted((int(old), size))
            proof = consistency(least, self.leaves[:most]) if least else []
        hashes = "".join(b64encode(one).decode() + "\n" for one in proof)
        return f"old {old}\n{hashes}\n{self.note(size) if note is None else note}".encode()


@dataclass
class Served:
    """A witness that listens."""

    url: str
    vkey: str
    process: subprocess.Popen[str]

    def ask(self, method: str, path: str, body: bytes = b"") -> Answer:
        connection = HTTPConnection(urlsplit(self.url).netloc, timeout=30)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read().decode(), answer.getheader("Content-Type", "")
        finally:
            connection.close()

    def submit(self, body: bytes) -> Answer:
        return self.ask("POST", "/add-checkpoint", body)

    def shown(self, origin: str) -> Answer:
        return self.ask("GET", f"/{sha256(origin.encode()).hexdigest()}/checkpoint")

    def stop(self) -> tuple[int, list[dict[str, object]]]:
        """Ends it as its operator would: its exit code, and what it logged."""
        self.process.send_signal(signal.SIGTERM)
        _, told = self.process.communicate(timeout=30)
        return self.process.returncode, [json.loads(one) for one in told.splitlines()]


def begin(place: Path, logs: Sequence[Submitting]) -> list[str]:
    """A key and a policy in `place`; the options that name them."""
    key, policy = place / "witness.key", place / "logs.txt"
    if not key.exists():
        Cosigner("witness.example/1", SigningKey(b"w" * 32)).save(key)
    lines = [f"log {log.public.vkey} https://log.example/\n" for log in logs]
    policy.write_text("".join(lines) + "quorum none\n", "utf-8")
    return ["--policy", str(policy), "--key", str(key), "--state", str(place / "witness.sqlite")]


def start(place: Path, logs: Sequence[Submitting], *, code: str = MAIN) -> subprocess.Popen[str]:
    """The command, on the state in `place`, which it begins if there is none.

    `code` may change what it runs.
    """
    new = [] if (place / "witness.sqlite").exists() else ["--new"]
    command = [sys.executable, "-c", code, "witness", *begin(place, logs), *new]
    return subprocess.Popen(
        [*command, "--listen", "127.0.0.1:0"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def witnessing(place: Path, logs: Sequence[Submitting], *, code: str = MAIN) -> Iterator[Served]:
    """A witness that listens, and is killed at the end if it still runs."""
    process = start(place, logs, code=code)
    try:
        assert process.stdout
        vkey, _, url = process.stdout.readline().strip().rpartition(" at ")
        assert url.startswith("http://127.0.0.1:"), process.communicate(timeout=10)[1]
        yield Served(url, vkey, process)
    finally:
        process.kill()
        process.communicate(timeout=10)
