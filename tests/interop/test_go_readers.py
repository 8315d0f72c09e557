"""Go's own transparency log libraries and Tessera's check read the log by its tiles."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger.format.note import ED25519, Verifier
from ledger.log.commit import Head
from tests.http.test_tree import all_entries, grow
from tests.http.world import Http
from tests.interop.lying import changing, flip
from tests.interop.peers import run
from tests.support.actors import seed, signing_key

BATCHES = (64, 64, 64, 64, 3)  # one full tile, and a partial one on it


def vkey(log: Http) -> str:
    return Verifier(log.actor.origin, ED25519, log.actor.log_key.public).vkey


async def test_x_mod_proves_every_entry(go: Path, log: Http, tmp_path: Path) -> None:
    await grow(log, 5)
    old = await log.checkpoint()
    (tmp_path / "old").write_bytes((await log.get("/checkpoint")).body)
    head = (await grow(log, *BATCHES))[-1]
    done = await run(go / "peers", "read", log.url, vkey(log), tmp_path / "old")
    found = done.check().json
    assert (found["origin"], found["size"]) == (log.actor.origin, head.size)
    assert found["root"] == head.root.hex()
    assert [bytes.fromhex(data) for data in found["entries"]] == await all_entries(log, head.size)
    assert (found["proven"], found["old"]) == (head.size, old.size)


async def test_tessera_checks_the_whole_tree(go: Path, log: Http) -> None:
    await grow(log, *BATCHES)
    (await run(go / "peers", "fsck", log.url, vkey(log))).check()


@pytest.mark.parametrize("command", ["read", "fsck"])
class TestWhatMustFail:
    async def test_another_key(self, go: Path, log: Http, command: str) -> None:
        stranger = Verifier(log.actor.origin, ED25519, signing_key("stranger").public)
        done = await run(go / "peers", command, log.url, stranger.vkey)
        assert done.code == 1
        assert "verif" in done.err

    @pytest.mark.parametrize("path", ["/tile/0/000", "/tile/1/000.p/1", "/tile/entries/000"])
    async def test_a_flipped_bit(self, go: Path, log: Http, command: str, path: str) -> None:
        await grow(log, *BATCHES)
        async with changing(log.url, path, flip(9)) as url:
            done = await run(go / "peers", command, url, vkey(log))
        assert done.code == 1, done

    async def test_a_flipped_checkpoint(self, go: Path, log: Http, command: str) -> None:
        async with changing(log.url, "/checkpoint", flip(len(log.actor.origin) + 5)) as url:
            done = await run(go / "peers", command, url, vkey(log))
        assert done.code == 1, done


async def test_another_history_is_not_continued(go: Path, log: Http, tmp_path: Path) -> None:
    """The older checkpoint is signed by the log, for a tree that this one does not continue."""
    await grow(log, 5)
    size = (await log.checkpoint()).size
    (tmp_path / "old").write_bytes(log.actor.note(Head(size, seed("another history"))))
    await grow(log, 5)
    done = await run(go / "peers", "read", log.url, vkey(log), tmp_path / "old")
    assert done.code == 1
    assert "proof" in done.err, done
