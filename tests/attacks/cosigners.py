"""Real witnesses, each a process, to whom a `Liar` submits its trees; and who asks for a quorum.

>>> async with witnessing(stage.place(), liar.actor, 3) as trio:      # doctest: +SKIP
...     [await submit(liar, one) for one in trio]
...     policy = Policy(witnesses=quorum_of(2, trio))
"""

from __future__ import annotations

import asyncio
import sys
from base64 import b64encode
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE

from aiohttp import ClientSession

from ledger.format.note import ED25519, NoteSignature, Verifier, parse_note
from ledger.format.policy import TrustPolicy, parse_policy
from ledger.tree.merkle import consistency_proof
from tests.attacks.liar import Liar
from tests.attacks.processes import ROOT, verifier
from tests.attacks.suite import BELIEVED, Catch
from tests.support.actors import LogActor


@dataclass
class Cosigner:
    """Somebody with a key of type 04, in the file `key`."""

    name: str
    vkey: str
    key: Path

    @classmethod
    async def make(cls, place: Path, name: str) -> Cosigner:
        made = await verifier("keygen", name, "-o", place / "key")
        assert made.code == 0, made.err
        return cls(name, made.out.decode().strip(), place / "key")


@dataclass
class Witness(Cosigner):
    """One that listens at `url`, and cosigned a tree of `size` last."""

    url: str
    size: int = 0


@asynccontextmanager
async def witnessing(place: Path, log: LogActor, count: int) -> AsyncIterator[list[Witness]]:
    """So many new witnesses of one log, while the context lasts."""
    vkey = Verifier(log.origin, ED25519, log.log_key.public).vkey
    (place / "logs.txt").write_text(f"log {vkey}\nquorum none\n")
    async with AsyncExitStack() as stack:
        starting = (_witness(place, f"witness.example/{n}") for n in range(count))
        yield list(await asyncio.gather(*map(stack.enter_async_context, starting)))


@asynccontextmanager
async def _witness(place: Path, name: str) -> AsyncIterator[Witness]:
    mine = place / name.replace("/", "-")
    mine.mkdir()
    made = await Cosigner.make(mine, name)
    options = ("--policy", place / "logs.txt", "--key", made.key, "--state", mine / "state")
    command = (sys.executable, "-m", "verifier.cli", "witness", *map(str, options), "--new")
    process = await asyncio.create_subprocess_exec(
        *command,
        "--listen",
        "127.0.0.1:0",
        cwd=ROOT,
        stdout=PIPE,
        stderr=DEVNULL,
    )
    try:
        assert process.stdout
        vkey, _, url = (await process.stdout.readline()).decode().strip().partition(" at ")
        assert vkey == made.vkey
        yield Witness(name, vkey, made.key, url)
    finally:
        process.kill()
        await process.wait()


async def submit(liar: Liar, witness: Witness) -> Catch:
    """Have a tree cosigned; what the witness says, if it does not. The cosignature is kept."""
    size = len(liar.entries)
    proof: Sequence[bytes] = ()
    if witness.size:
        proof = consistency_proof(witness.size, size, liar.tree().read)
    lines = "".join(b64encode(one).decode() + "\n" for one in proof)
    note = liar.note()
    body = f"old {witness.size}\n{lines}\n".encode() + note
    async with (
        ClientSession() as session,
        session.post(f"{witness.url}/add-checkpoint", data=body) as answer,
    ):
        said = await answer.read()
        if answer.status != 200:
            return Catch("witness", "R-62.11", f"{answer.status} {said.decode().strip()}")
    liar.cosignatures += _lines(note, said)
    witness.size = size
    return Catch("witness", BELIEVED)


def _lines(note: bytes, said: bytes) -> list[NoteSignature]:
    """The signature lines that a witness answered with."""
    text = parse_note(note).text
    return list(parse_note(text + b"\n" + said).signatures)


def quorum_text(k: int, cosigners: Sequence[Cosigner]) -> str:
    """A policy file that asks for so many of them."""
    lines = [f"witness {one.name} {one.vkey}" for one in cosigners]
    names = " ".join(one.name for one in cosigners)
    return "\n".join([*lines, f"group them {k} {names}", "quorum them", ""])


def quorum_of(k: int, cosigners: Sequence[Cosigner]) -> TrustPolicy:
    """The same, parsed."""
    return parse_policy(quorum_text(k, cosigners).encode())
