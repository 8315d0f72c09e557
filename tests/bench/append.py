"""`append_ratio`: the sequencer in-process, with all its checks, on LMDB.

Parse, signatures and key points in two worker processes, rules, boxes, directory, one LMDB
transaction a batch of 1,000.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from ledger.format import block
from ledger.format.bodies import Limits
from ledger.log.admission import Submission
from ledger.log.clock import wall_ms
from ledger.log.pool import CheckPool
from ledger.log.sequencer import Admitted, Sequencer, Settings, found
from ledger.store.lmdb import LmdbStore
from ledger.store.private import PrivateStore
from tests.bench.measure import ROUNDS, Figure, VRate
from tests.bench.workload import Made, Population
from tests.support.actors import LogActor

BATCH = 1_000
BATCHES = 4
WORKERS = 2
LIMITS = Limits(max_blocks_per_day=65_535)


@contextmanager
def empty_log(path: Path) -> Iterator[tuple[LmdbStore, PrivateStore, LogActor]]:
    """A log on disk that has begun, and whoever runs it."""
    founding = LogActor.make(limits=LIMITS)
    store, private = LmdbStore(path / "log", create=True), PrivateStore(path / "private")
    try:
        found(store, founding.raw, founding.after.log_key, wall_ms())
        yield store, private, founding.after
    finally:
        store.close()
        private.close()


def submissions(made: list[Made]) -> list[Submission]:
    """As a server would hand them to the sequencer: this is where blocks are parsed."""
    return [Submission(block.parse(m.raw), m.boxes, None) for m in made]


async def submit_all(sequencer: Sequencer, made: list[Made]) -> None:
    """Submit in one go; every block must be admitted."""
    verdicts = await sequencer.submit(submissions(made))
    refused = [verdict for verdict in verdicts if not isinstance(verdict, Admitted)]
    if refused:
        raise refused[0]


def anchor_of(store: LmdbStore) -> block.Anchor:
    """What an author who has just synced anchors in."""
    with store.reader() as reader:
        return block.Anchor(reader.head.size, reader.head.root)


async def append_rounds(
    store: LmdbStore, private: PrivateStore, log: LogActor, people: Population, warm_up: int
) -> list[float]:
    """Signatures a second to V, a round being `BATCHES` batches."""
    ratios = []
    async with CheckPool(WORKERS, log.vrf_secret) as pool:
        settings = Settings(max_batch=BATCH, max_queue=100_000)
        sequencer = Sequencer(store, private, log.log_key, pool, settings=settings)
        running = asyncio.create_task(sequencer.run())
        for _ in range(warm_up):
            await submit_all(sequencer, people.round(BATCH, anchor_of(store)))
        for _ in range(ROUNDS):
            made = people.round(BATCH * BATCHES, anchor_of(store))
            v = VRate(made, log.log_id)
            before, start = v(), perf_counter()
            await submit_all(sequencer, made)
            seconds = perf_counter() - start
            signatures = sum(m.signatures for m in made)
            ratios.append(signatures / seconds / ((before + v()) / 2))
        sequencer.stop()
        await running
    return ratios


def append_figures() -> list[Figure]:
    """`append_ratio`."""
    with TemporaryDirectory() as path, empty_log(Path(path)) as (store, private, log):
        people = Population(log)
        ratios = asyncio.run(append_rounds(store, private, log, people, warm_up=10))
    return [Figure("append_ratio", tuple(ratios), bar=0.75, aim=1.1)]
