"""The tree as any tlog client reads it: checkpoint, tiles, entries; proofs and chains."""

from __future__ import annotations

import gzip
from hashlib import sha256

import pytest

from ledger.format import entry, wire
from ledger.format.block import LOG_LABEL
from ledger.format.checkpoint import Checkpoint
from ledger.server.tiles import accepts_gzip
from ledger.tree.merkle import leaf_hash, root_of, verify_consistency, verify_inclusion
from ledger.tree.tiles import (
    Bundle,
    Tile,
    decode_bundle,
    new_bundles,
    new_tiles,
    tile_hashes,
    tile_width,
)
from tests.http.world import Answer, Http, Live
from tests.support.actors import User

IMMUTABLE = "public, max-age=31536000, immutable"


async def grow(log: Http, *batches: int) -> list[Checkpoint]:
    """Batches of so many newcomers; the checkpoint after each, that of the first block first."""
    seen = [await log.checkpoint()]
    for count in batches:
        anchor = await log.anchor()
        names = [f"{anchor.size} {number}" for number in range(count)]
        # One request each time, so one batch: its labels are not asked about.
        await log.admit(*(User.create(log.actor, name, anchor) for name in names))
        seen.append(await log.checkpoint())
    return seen


async def get(log: Http, path: str) -> bytes:
    answer = await log.get(path)
    assert answer.status == 200, (path, answer)
    return answer.body


async def all_entries(log: Http, size: int) -> list[bytes]:
    entries: list[bytes] = []
    for bundle in new_bundles(0, size):
        entries += decode_bundle(await get(log, f"/{bundle.path()}"), bundle.width)
    return entries


async def test_the_checkpoint(log: Http) -> None:
    (first, second) = await grow(log, 3)
    assert (first.size, second.size) == (2, 6)
    answer = await log.get("/checkpoint")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-cache"
    leaves = [leaf_hash(data) for data in await all_entries(log, 6)]
    assert root_of(leaves) == second.root
    assert root_of(leaves[:2]) == first.root


async def test_tiles_of_every_published_size(log: Http) -> None:
    """R-20.7, R-70.3: partial tiles too, also those of trees that were, and with the same bytes."""
    sizes = [tree.size for tree in await grow(log, *[60, 1, 64, 5, 64, 40, 64, 1, 64])]
    assert 256 < sizes[-1] < 512
    leaves = [leaf_hash(data) for data in await all_entries(log, sizes[-1])]
    for size in sizes:
        for tile in new_tiles(0, size):
            answer = await log.get(f"/{tile.path()}")
            assert answer.status == 200
            assert answer.headers["Content-Type"] == "application/octet-stream"
            assert answer.headers["Cache-Control"] == IMMUTABLE
            assert tile_hashes(answer.body) == hashes(leaves, tile)
    assert (await log.get("/tile/1/000.p/1")).body == root_of(leaves[:256])


def hashes(leaves: list[bytes], tile: Tile) -> list[bytes]:
    """A tile's hashes by their definition (20-tree)."""
    span = 256**tile.level
    starts = [(tile.index * 256 + place) * span for place in range(tile.width)]
    return [root_of(leaves[start : start + span]) for start in starts]


async def test_what_the_tree_has_not_yet(log: Http) -> None:
    await grow(log, 5)
    for path in ("/tile/0/000.p/9", "/tile/0/000", "/tile/entries/000.p/9", "/tile/1/000.p/1"):
        answer = await log.get(path)
        assert (answer.status, answer.kind) == (404, "no-tile")
        assert answer.headers["Cache-Control"] == "no-store"
    await grow(log, 1)
    assert (await log.get("/tile/0/000.p/9")).status == 200


async def test_entries_are_gzipped_for_those_who_take_it(log: Http) -> None:
    await grow(log, 20)
    path = "/tile/entries/000.p/23"
    plain = await log.get(path)
    packed = await log.get(path, **{"Accept-Encoding": "br, gzip;q=0.5"})
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert plain.headers["Vary"] == packed.headers["Vary"] == "Accept-Encoding"
    assert gzip.decompress(packed.body) == plain.body
    assert len(packed.body) < len(plain.body)
    hash_tile = await log.get("/tile/0/000.p/23", **{"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in hash_tile.headers


@pytest.mark.parametrize(
    ("header", "taken"),
    [
        ("gzip", True),
        ("GZIP", True),
        ("deflate, gzip;q=1.0", True),
        ("gzip; q=0.001", True),
        ("*", True),
        ("*;q=0.1", True),
        ("", False),
        ("identity", False),
        ("gzip;q=0", False),
        ("gzip;q=0.000", False),
        ("*;q=0", False),
        ("gzip;q=0, *", False),
        ("x-gzip", False),
    ],
)
def test_who_takes_gzip(header: str, taken: bool) -> None:
    assert accepts_gzip(header) is taken


async def test_head_requests(log: Http) -> None:
    async with log.session.head(f"{log.url}/tile/0/000.p/2") as answer:
        assert (answer.status, answer.headers["Content-Length"]) == (200, "64")
        assert await answer.read() == b""


async def test_inclusion_of_every_leaf_in_every_tree(log: Http) -> None:
    trees = await grow(log, 1, 2, 5, 7)
    entries = await all_entries(log, trees[-1].size)
    for tree in trees:
        for index in range(tree.size):
            query = f"index={index}&size={tree.size}"
            proof = wire.decode_proof(await get(log, f"/v1/proofs/inclusion?{query}"))
            verify_inclusion(leaf_hash(entries[index]), index, tree.size, proof, tree.root)


async def test_consistency_of_all_trees(log: Http) -> None:
    trees = await grow(log, 1, 2, 5, 7)
    for place, new in enumerate(trees):
        for old in trees[: place + 1]:
            query = f"old={old.size}&new={new.size}"
            proof = wire.decode_proof(await get(log, f"/v1/proofs/consistency?{query}"))
            verify_consistency(old.size, new.size, proof, old.root, new.root)


async def chain(log: Http, label: bytes, start: int | None = None) -> wire.ChainAnswer:
    query = "" if start is None else f"?from={start}"
    return wire.ChainAnswer.decode(await get(log, f"/v1/chains/{label.hex()}{query}"))


def check_chain(log: Http, answer: wire.ChainAnswer) -> list[bytes]:
    """The blocks of an answer, each proved to be in its tree."""
    tree = log.open(answer.checkpoint)
    for block in answer.blocks:
        leaf = leaf_hash(block.entry)
        verify_inclusion(leaf, block.index, tree.size, block.proof, tree.root)
    return [entry.parse(block.entry).body for block in answer.blocks]


async def life(log: Http, count: int) -> list[bytes]:
    """A user's chain of `count` blocks: its label, then the blocks."""
    written = await log.user("ada")
    raws = [written.after.label, written.raw]
    await log.admit(written)
    for _ in range(count - 1):
        written = (
            written.after.revoke(await log.anchor(), 1)
            if len(raws) % 2
            else (written.after.add(await log.anchor()))
        )
        await log.admit(written)
        raws.append(written.raw)
    return raws


async def test_a_chain_with_its_proofs(log: Http) -> None:
    label, *raws = await life(log, 6)
    whole = await chain(log, label)
    assert whole == await chain(log, label, 0)
    assert (whole.length, check_chain(log, whole)) == (6, raws)
    for start in range(8):
        part = await chain(log, label, start)
        assert (part.length, check_chain(log, part)) == (6, raws[start:])


async def test_the_log_s_own_chain(log: Http) -> None:
    answer = await chain(log, LOG_LABEL)
    (first,) = check_chain(log, answer)
    assert sha256(first).digest() == log.actor.log_id


async def test_chains_come_in_pages(log: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    """By number of blocks, and by their bytes: at least one each time."""
    label, *raws = await life(log, 6)
    monkeypatch.setattr(wire, "MAX_CHAIN_BLOCKS", 4)
    assert check_chain(log, await chain(log, label)) == raws[:4]
    assert check_chain(log, await chain(log, label, 4)) == raws[4:]
    monkeypatch.setattr(wire, "MAX_CHAIN_BYTES", 1)
    for start in range(6):
        assert check_chain(log, await chain(log, label, start)) == raws[start : start + 1]


async def test_facts(live: Live) -> None:
    log = live.http
    (tree,) = await grow(log)
    answer = await log.get("/v1/log")
    facts = answer.json
    assert answer.headers["Cache-Control"] == "no-cache"
    assert facts["log_id"] == log.actor.log_id.hex()
    assert facts["origin"] == log.actor.origin
    assert (facts["size"], facts["root"]) == (tree.size, tree.root.hex())
    assert facts["vrf_key"] == log.actor.vrf_public.hex()
    assert facts["limits"]["max_devices"] == log.actor.limits.max_devices
    assert facts["caps"]["max_submissions"] == 64


async def test_bundles_hold_what_the_tiles_hash(log: Http) -> None:
    *_, tree = await grow(log, 10)
    bundle = Bundle(0, tile_width(0, 0, tree.size))
    answer: Answer = await log.get(f"/{bundle.path()}")
    assert answer.headers["Cache-Control"] == IMMUTABLE
    entries = decode_bundle(answer.body, bundle.width)
    tile = await get(log, f"/{Tile(0, 0, bundle.width).path()}")
    assert tile_hashes(tile) == [leaf_hash(data) for data in entries]
    kinds = [entry.parse(data).kind for data in entries]
    assert (kinds[0], kinds[-1], kinds.count(0)) == (0, 1, 11)
