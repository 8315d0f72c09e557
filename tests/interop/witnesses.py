"""Witnesses that others wrote, as processes: litewitness (Go) and aics-witness (Python).

>>> async with litewitness(go, tmp_path, log_vkey) as witness:              # doctest: +SKIP
...     policy = policy_of([witness], "all")

`Peer` is what a policy's line is made of: name, key and address.
"""

from __future__ import annotations

import socket
import sqlite3
import tempfile
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from ledger.format.note import COSIGNATURE, Verifier, parse_vkey
from tests.interop.peers import answers, daemon, run


@dataclass(frozen=True)
class Peer:
    """A witness at `url`."""

    name: str
    verifier: Verifier
    url: str


def policy_of(peers: Sequence[Peer]) -> str:
    """A policy that asks for all of them."""
    lines = [f"witness {peer.name} {peer.verifier.vkey} {peer.url}" for peer in peers]
    names = " ".join(peer.name for peer in peers)
    return "\n".join([*lines, f"group them all {names}", "quorum them", ""])


def free_port() -> int:
    """A port of loopback where nobody listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@asynccontextmanager
async def litewitness(go: Path, place: Path, *logs: Verifier) -> AsyncIterator[Peer]:
    """Torchwood's witness. Its key is held by an ssh-agent."""
    name, port, database = "witness.example/lite", free_port(), place / "litewitness.db"
    # The path of a socket is short.
    with tempfile.TemporaryDirectory() as short:
        agent = Path(short) / "agent"
        async with agent_with_key(place / "ssh", agent) as (public, fingerprint):
            address = f"127.0.0.1:{port}"
            flags = ["-name", name, "-key", fingerprint, "-ssh-agent", agent, "-listen", address]
            command = [go / "litewitness", *flags, "-db", database]
            async with daemon(*command, ready=answers(f"http://{address}/")):
                know(database, logs)
                verifier = Verifier(name, COSIGNATURE, public)
                yield Peer("lite", verifier, f"http://{address}")


@asynccontextmanager
async def agent_with_key(key: Path, at: Path) -> AsyncIterator[tuple[bytes, str]]:
    """An ssh-agent with a new key: its public half, and how ssh calls it."""
    (await run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", key)).check()
    told = (await run("ssh-keygen", "-l", "-f", key)).check().out.split()[1]
    public = b64decode(key.with_suffix(".pub").read_text().split()[1])[-32:]
    async with daemon("ssh-agent", "-D", "-a", at, ready=at.exists):
        (await run("ssh-add", "-q", key, SSH_AUTH_SOCK=str(at))).check()
        yield public, told.decode()


def know(database: Path, logs: Sequence[Verifier]) -> None:
    """What `witnessctl` would write; that command's dependencies are not to be had everywhere."""
    with sqlite3.connect(database) as connection:
        empty = b64encode(sha256(b"").digest()).decode()
        for log in logs:
            connection.execute("INSERT INTO log VALUES (?, 0, ?)", (log.name, empty))
            connection.execute("INSERT INTO key VALUES (?, ?)", (log.name, log.vkey))
    connection.close()


@asynccontextmanager
async def aics_witness(python: Path, place: Path, *logs: Verifier) -> AsyncIterator[Peer]:
    """The witness of the AICS logs."""
    port, config = free_port(), place / "aics.json"
    command = [python / "aics-witness"]
    told = ["--config", config]
    made = (await run(*command, "init", *told, "--name", "witness.example/aics")).check()
    for log in logs:
        known = ["--origin", log.name, "--vkey", log.vkey]
        (await run(*command, "add-log", *told, *known)).check()
    address = f"127.0.0.1:{port}"
    ready = answers(f"http://{address}/healthz")
    async with daemon(*command, "serve", *told, "--listen", address, ready=ready):
        yield Peer("aics", parse_vkey(made.out.decode().strip()), f"http://{address}")
