"""Witnesses of two other code bases cosign our log as it grows, and no other history of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from time import time

import pytest
from aiohttp import ClientSession

from ledger.format.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from ledger.format.note import ED25519, Verifier, encode_base64, open_note
from ledger.server.config import WitnessesConfig
from ledger.tree.merkle import Frontier, consistency_proof, leaf_hash
from tests.http.test_tree import grow
from tests.http.world import CONFIG, Live, make_home, served
from tests.interop.peers import run
from tests.interop.witnesses import Peer, aics_witness, litewitness, policy_of
from tests.support.actors import LogActor

ACTOR = LogActor.make(heartbeat=3_600_000).after
LOG = Verifier(ACTOR.origin, ED25519, ACTOR.log_key.public)


@pytest.fixture
async def lite(ssh: None, go: Path, tmp_path: Path) -> AsyncIterator[Peer]:
    async with litewitness(go, tmp_path, LOG) as peer:
        yield peer


@pytest.fixture
async def aics(python: Path, tmp_path: Path) -> AsyncIterator[Peer]:
    async with aics_witness(python, tmp_path, LOG) as peer:
        yield peer


@asynccontextmanager
async def witnessed(home: Path, peers: Sequence[Peer]) -> AsyncIterator[Live]:
    """Our log, served under a policy that asks for all of them."""
    if not home.exists():  # noqa: ASYNC240
        make_home(home)
    (home / "witnesses.policy").write_text(policy_of(peers))
    server = replace(CONFIG.server, stop_timeout=0.5)
    config = replace(CONFIG, server=server, witnesses=WitnessesConfig("witnesses.policy"))
    async with served(home, config) as live:
        yield live


async def cosigners(live: Live, peers: Sequence[Peer]) -> set[str]:
    """Whose cosignatures the served checkpoint carries, of now and such that they verify."""
    note = (await live.http.get("/checkpoint")).body
    _, verified = open_note(note, [LOG, *(peer.verifier for peer in peers)])
    times = {one.verifier.name: one.time for one in verified if one.time is not None}
    assert all(abs(at - time()) < 60 for at in times.values())
    return {name.rpartition("/")[2] for name in times}


async def test_they_cosign_a_log_that_grows(lite: Peer, aics: Peer, tmp_path: Path) -> None:
    peers = [lite, aics]
    for start in range(2):  # and one that is taken up again goes on where they are
        async with witnessed(tmp_path / "log", peers) as live:
            for number in range(3):
                await grow(live.http, 2 + start + number)
                assert await cosigners(live, peers) == {"lite", "aics"}


async def test_their_cosignatures_make_a_proof_for_others(
    go: Path, lite: Peer, aics: Peer, tmp_path: Path
) -> None:
    """A policy of torchwood's, met by a witness of its own and one of another's, on our proof."""
    files = tmp_path / "policy", tmp_path / "entry", tmp_path / "proof"
    async with witnessed(tmp_path / "log", [lite, aics]) as live:
        size = (await grow(live.http, 3))[-1].size
        files[1].write_bytes(await live.http.entry(2, size))
        files[2].write_bytes((await live.http.get("/v1/proofs/tlog?index=2")).body)
    files[0].write_text(f"log {LOG.vkey}\n{policy_of([lite, aics])}")
    (await run(go / "peers", "proof", *files)).check()
    stranger = Verifier("witness.example/none", lite.verifier.kind, lite.verifier.public)
    files[0].write_text(f"log {LOG.vkey}\n{policy_of([aics, replace(lite, verifier=stranger)])}")
    assert (await run(go / "peers", "proof", *files)).code == 1


class Tree:
    """A history of our log's, signed by hand."""

    def __init__(self, name: str, size: int) -> None:
        leaves = [leaf_hash(b"%d" % number) for number in range(5)]
        leaves += [leaf_hash(f"{name} {number}".encode()) for number in range(5, size)]
        self.extension = Frontier().extend(leaves[:size])
        self.size, self.root = size, self.extension.after.root()
        self.note = sign_checkpoint(Checkpoint(LOG.name, size, self.root), ACTOR.log_key)

    def request(self, old: int) -> bytes:
        hashes = consistency_proof(old, self.size, self.extension.read)
        lines = "".join(f"{encode_base64(one)}\n" for one in hashes)
        return f"old {old}\n{lines}\n".encode() + self.note


async def test_litewitness_cosigns_one_history(lite: Peer) -> None:
    await cosigns_one_history(lite)


async def test_aics_witness_cosigns_one_history(aics: Peer) -> None:
    newest = await cosigns_one_history(aics)
    path = sha256(LOG.name.encode()).hexdigest()
    # Its monitoring interface, which litewitness has not.
    async with ClientSession() as session, session.get(f"{aics.url}/{path}/checkpoint") as answer:
        assert answer.status == 200
        found = open_checkpoint(await answer.read(), LOG)
    assert (found.size, found.root) == (newest.size, newest.root)


async def cosigns_one_history(peer: Peer) -> Tree:
    """The statuses are those of C2SP's text. Returns what was cosigned last."""
    first, newest = Tree("ours", 9), Tree("ours", 12)
    theirs = Tree("theirs", 12)
    status, line = await add(peer, first.request(0))
    assert status == 200
    assert len(open_note(first.note + line, [LOG, peer.verifier])[1]) == 2
    assert (await add(peer, theirs.request(9)))[0] == 422
    assert await add(peer, theirs.request(5)) == (409, b"9\n")
    assert (await add(peer, Tree("theirs", 9).request(9)))[0] == 422
    forged = newest.request(9).replace(b"\n12\n", b"\n11\n")
    assert (await add(peer, forged))[0] == 403
    assert (await add(peer, newest.request(9)))[0] == 200
    return newest


async def add(peer: Peer, body: bytes) -> tuple[int, bytes]:
    """What it answers to an add-checkpoint."""
    url = f"{peer.url}/add-checkpoint"
    async with ClientSession() as session, session.post(url, data=body) as answer:
        return answer.status, await answer.read()
