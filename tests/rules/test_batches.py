"""How entries are cut into batches, and how many blocks one may hold (R-42.2)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import LogMisbehaved
from ledger.format import entry
from ledger.format.bodies import Limits
from ledger.log.planner import MAX_BATCH
from ledger.log.replay import batches
from tests.support.actors import NOW, LogActor, User, seed
from tests.vectors import by_ledger, by_verifier
from tests.vectors.world import World

BLOCK = entry.block(NOW, b"a block")
ROOT = entry.directory_root(NOW, bytes(32))


@given(st.lists(st.integers(0, 4), max_size=6))
def test_a_batch_ends_with_its_root(sizes: list[int]) -> None:
    whole = [[*[BLOCK] * size, ROOT] for size in sizes]
    assert list(batches(data for batch in whole for data in batch)) == whole


@given(st.lists(st.integers(0, 4), max_size=6), st.integers(1, 4))
def test_a_log_ends_with_a_batch(sizes: list[int], more: int) -> None:
    entries = [data for size in sizes for data in (*[BLOCK] * size, ROOT)]
    with pytest.raises(LogMisbehaved, match=r"R-42\.2"):
        list(batches([*entries, *[BLOCK] * more]))


def test_the_largest_batch() -> None:
    largest = [*[BLOCK] * MAX_BATCH, ROOT]
    assert list(batches([ROOT, *largest])) == [[ROOT], largest]
    with pytest.raises(LogMisbehaved, match=r"R-42\.2"):
        list(batches([ROOT, BLOCK, *largest]))


def test_an_endless_batch_is_not_read_to_its_end() -> None:
    read = 0

    def endless() -> object:
        nonlocal read
        while True:
            read += 1
            yield BLOCK

    with pytest.raises(LogMisbehaved, match=r"R-42\.2"):
        list(batches(endless()))  # type: ignore[arg-type]
    assert read == MAX_BATCH + 1


def test_time_never_goes_back() -> None:
    """R-73.3: a batch's time is the later of the clock and the batch before."""
    world = World()
    for now, expected in ((NOW + 5, NOW + 5), (NOW + 4, NOW + 5), (0, NOW + 5), (NOW + 6, NOW + 6)):
        world.log.admit([], now)
        assert world.log.head.time == expected
        assert entry.parse(world.log.entries[-1]).time == expected


@pytest.mark.soak
def test_the_largest_batch_of_real_blocks() -> None:
    world = World(LogActor.make(limits=Limits()))
    raws = [
        User.create(world.actor, f"user {number}", world.anchor, label=seed("label", number)).raw
        for number in range(MAX_BATCH + 1)
    ]
    for count, verdict in ((MAX_BATCH, "ok"), (MAX_BATCH + 1, "rule")):
        case = world.given(world.batch(*raws[:count]))
        judged = by_ledger.judge("log", case)
        assert judged.verdict == verdict
        assert judged == by_verifier.judge("log", case)
