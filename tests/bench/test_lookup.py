"""Synthetic labels are kept as real ones are, and what is looked up among them is proven."""

from __future__ import annotations

from pathlib import Path

from ledger.format import block, checkpoint, entry
from ledger.format.note import ED25519, Verifier, open_note
from ledger.log.planner import MAX_BATCH
from ledger.rules.state import UserState
from ledger.tree.directory_proof import verify_absent, verify_present
from tests.bench.filler import fill
from tests.bench.logs import BenchLog
from tests.bench.lookup import AUDITED, SUBJECTS, Scene


def test_a_filled_log_is_one_to_its_store(tmp_path: Path) -> None:
    """It opens, which checks hashes and directory; any of its labels is there and proven."""
    bench = BenchLog.found(tmp_path)
    heads = fill(bench, MAX_BATCH + 100)
    assert [head.size for head in heads] == [MAX_BATCH + 3, MAX_BATCH + 104]
    with bench.home.stores() as (store, _):
        with store.reader() as reader:
            places = [2, 3, MAX_BATCH + 1, MAX_BATCH + 3, MAX_BATCH + 102]
            entries = [reader.entries(place, place + 1)[0] for place in places]
        labels = [block.parse(entry.parse(data).body).label for data in entries]
        with store.lookup([*labels, b"x" * 32]) as lookup:
            assert lookup.head == heads[-1]
            for place, label in zip(places, labels, strict=True):
                found = lookup.standing(label)
                assert found.chain
                assert isinstance(found.chain.state, UserState)
                assert found.chain.state.index == place == lookup.blocks_of(label, 0, 9)[0]
                verify_present(label, found.chain.value, found.proof, heads[-1].directory)
            absent = lookup.standing(b"x" * 32)
            verify_absent(b"x" * 32, absent.proof, heads[-1].directory)


def test_the_scene_is_what_the_figures_say(tmp_path: Path) -> None:
    """So many labels, people of three devices among them, and two cosignatures at the end."""
    scene = Scene.make(tmp_path)
    scene.grow(500)
    log = scene.bench.log
    with scene.bench.home.stores() as (store, private):
        with store.reader() as reader:
            size = reader.head.size
            chains = [reader.chain(person.label) for person in scene.people]
        openings = [private.opening(person.label) for person in scene.people]
    note = scene.bench.home.covered_file.read_bytes()
    signer = Verifier(log.origin, ED25519, log.log_key.public)
    found, verified = open_note(note, [signer, *AUDITED.verifiers])
    assert len(verified) == 3
    assert checkpoint.parse(found.text).size == size > 500 + 2 * SUBJECTS
    assert all(openings)
    for chain in chains:
        assert chain
        assert isinstance(chain.state, UserState)
        assert len(chain.state.devices) == 3
