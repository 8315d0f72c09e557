"""torchwood judges our tlog-proofs: those of a served log, and all of the corpus."""

from __future__ import annotations

from pathlib import Path

from ledger.format.note import ED25519, Verifier
from tests.http.test_tree import all_entries, get, grow
from tests.http.world import Http
from tests.interop.peers import Done, run
from tests.interop.test_cose import corpus

LENIENT = {
    "extra-empty",
    "extra-stray-bits",
    "hash-return-behind",
    "hash-stray-bits",
    "index-padded",
    "index-plus",
    "too-long",
}
"""What torchwood reads and C2SP's text does not allow: see specs/adr/0018."""


async def judged(go: Path, place: Path, vkey: str, entry: bytes, proof: bytes) -> Done:
    files = place / "policy", place / "entry", place / "proof"
    files[0].write_text(f"log {vkey}\nquorum none\n")
    files[1].write_bytes(entry)
    files[2].write_bytes(proof)
    return await run(go / "peers", "proof", *files)


async def test_proofs_of_a_served_log(go: Path, log: Http, tmp_path: Path) -> None:
    size = (await grow(log, 20))[-1].size
    vkey = Verifier(log.actor.origin, ED25519, log.actor.log_key.public).vkey
    entries = await all_entries(log, size)
    for index in (0, 1, 7, size - 1):
        proof = await get(log, f"/v1/proofs/tlog?index={index}")
        (await judged(go, tmp_path, vkey, entries[index], proof)).check()
        other = await judged(go, tmp_path, vkey, entries[index - 1], proof)
        assert other.code == 1
        assert f"verification failed for index {index}" in other.err


async def test_proofs_of_the_corpus(go: Path, tmp_path: Path) -> None:
    differing = set()
    for case in corpus("tlog-proof"):
        entry, proof = (bytes.fromhex(str(case.input[name])) for name in ("entry", "proof"))
        done = await judged(go, tmp_path, str(case.input["vkey"]), entry, proof)
        if (done.code == 0) != (case.verdict == "ok"):
            differing.add(case.name)
    assert differing == LENIENT
