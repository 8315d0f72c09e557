"""tlog-proofs and receipts from a served log, each for every entry (68-proofs, R-68.6)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ledger.errors import BadSignature, MalformedInput, StoreError
from ledger.format import receipt, tlog_proof
from ledger.format.note import ED25519, Verifier
from ledger.log.cosigning import SignedTree
from ledger.tree.merkle import inclusion_root, leaf_hash
from tests.http.test_tree import all_entries, get, grow
from tests.http.world import Answer, Http, Live, served


def log_of(log: Http) -> Verifier:
    return Verifier(log.actor.origin, ED25519, log.actor.log_key.public)


async def test_every_entry_has_both(log: Http) -> None:
    size = (await grow(log, 3, 64, 64, 64, 64))[-1].size
    entries = await all_entries(log, size)
    for index in (*range(8), 254, 255, 256, 257, size - 1):
        found = tlog_proof.open_proof(
            await get(log, f"/v1/proofs/tlog?index={index}"), entries[index], log_of(log)
        )
        assert (found.index, log.open(found.note).size, found.extra) == (index, size, b"")
        data = await get(log, f"/v1/receipts/{index}")
        told = receipt.open_receipt(data, entries[index], log.actor.log_key.public)
        assert (told.index, told.size) == (index, size)


async def test_they_prove_no_other_entry(log: Http) -> None:
    size = (await grow(log, 3))[-1].size
    entries = await all_entries(log, size)
    proof, shown = await get(log, "/v1/proofs/tlog?index=2"), await get(log, "/v1/receipts/2")
    with pytest.raises(MalformedInput, match=r"R-20\.3"):
        tlog_proof.open_proof(proof, entries[3], log_of(log))
    with pytest.raises(BadSignature, match=r"R-68\.5"):
        receipt.open_receipt(shown, entries[3], log.actor.log_key.public)


async def test_the_note_is_the_published_one(log: Http) -> None:
    await grow(log, 2)
    note = await get(log, "/checkpoint")
    assert (await get(log, "/v1/proofs/tlog?index=1")).partition(b"\n\n")[2] == note


async def test_media_types(log: Http) -> None:
    proof, shown = await log.get("/v1/proofs/tlog?index=0"), await log.get("/v1/receipts/0")
    assert proof.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert shown.headers["Content-Type"] == 'application/cose; cose-type="cose-sign1"'
    assert proof.headers["Cache-Control"] == shown.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize(
    ("spelling", "rule"),
    [("2", "R-20.3"), ("-1", "R-10.4"), ("01", "R-10.4"), ("x", "R-10.4"), ("9" * 19, "R-10.4")],
)
async def test_what_is_not_there(log: Http, spelling: str, rule: str) -> None:
    for path in (f"/v1/proofs/tlog?index={spelling}", f"/v1/receipts/{spelling}"):
        answer = await log.get(path)
        assert (answer.status, answer.kind, answer.rule) == (400, "malformed", rule)


async def test_nothing_that_is_staged_is_signed(tmp_path: Path) -> None:
    """R-68.6: while a batch waits for cosignatures, its entries have no proof."""
    asked, go = asyncio.Event(), asyncio.Event()

    async def wait(tree: SignedTree) -> bytes:
        asked.set()
        await go.wait()
        return tree.note

    async with served(tmp_path / "log", cosign=wait) as live:
        log = live.http
        size = (await log.checkpoint()).size
        newcomer = await log.user("ada@example.org")
        admitting = asyncio.create_task(log.admit(newcomer))
        await asyncio.wait_for(asked.wait(), 10)
        await refused(log, size)
        before = receipt.parse(await get(log, "/v1/receipts/0"))
        assert (before.size, before.index) == (size, 0)
        go.set()
        (admitted,) = await admitting
        assert admitted.index == size
        data = await get(log, f"/v1/receipts/{size}")
        entry = await log.entry(size, size + 2)
        found = receipt.open_receipt(data, entry, log.actor.log_key.public)
        head = await log.checkpoint()
        path = found.index, found.size, found.hashes
        assert inclusion_root(leaf_hash(entry), *path) == head.root


async def test_a_dead_log_signs_nothing(live: Live) -> None:
    sequencer = live.served.service.sequencer
    sequencer.dead = StoreError("the disk is gone")
    answer = await live.http.get("/v1/receipts/0")
    assert (answer.status, answer.kind) == (503, "unavailable")
    assert (await live.http.get("/v1/proofs/tlog?index=0")).status == 200  # signed before
    sequencer.dead = None


async def refused(log: Http, index: int) -> None:
    answers: list[Answer] = [
        await log.get(f"/v1/proofs/tlog?index={index}"),
        await log.get(f"/v1/receipts/{index}"),
    ]
    assert [answer.status for answer in answers] == [400, 400]
