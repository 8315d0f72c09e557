"""`append_ratio`, `append_1m_ratio`: the sequencer in-process, with all its checks, on LMDB.

Parse, signatures and key points in two worker processes, rules, boxes, directory, and one LMDB
transaction a batch of 1,000. Labels are precomputed: the pool knows them.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from ledger.format import block
from ledger.log.collector import calm_collector
from ledger.log.pool import CheckPool
from ledger.log.sequencer import Sequencer, Settings
from ledger.log.waiting import Admitted, Verdict
from tests.bench.filler import fill
from tests.bench.logs import BenchLog, anchor_of
from tests.bench.made import Made
from tests.bench.measure import ROUNDS, Figure, VRate
from tests.bench.workload import MIXES, Mix

BATCH = 1_000
BATCHES = 8
IN_FLIGHT = 3
WORKERS = 2
MILLION = 1_000_000
WRITERS = 40_000
"""Real users among them: each round draws from three times as many as it has blocks."""


def append_figures(mix: Mix = MIXES["groups"]) -> list[Figure]:
    """Into a log of some 10,000 blocks."""
    with TemporaryDirectory() as path:
        bench = BenchLog.found(Path(path), mix)
        bench.grow(10 * BATCH)
        ratios, rates = asyncio.run(_rounds(bench))
    note = f"{rates[len(rates) // 2]:,.0f} blocks/s"
    return [Figure("append_ratio", tuple(ratios), bar=0.75, aim=1.1, note=note)]


def append_1m_figures(mix: Mix = MIXES["groups"]) -> list[Figure]:
    """The same into a log of 1,000,000 labels, most of which are synthetic."""
    with TemporaryDirectory() as path:
        bench = BenchLog.found(Path(path), mix)
        fill(bench, MILLION - WRITERS)
        bench.grow(WRITERS, only_creates=True)
        ratios, rates = asyncio.run(_rounds(bench))
    note = f"{rates[len(rates) // 2]:,.0f} blocks/s"
    return [Figure("append_1m_ratio", tuple(ratios), bar=0.5, aim=0.8, note=note)]


async def _rounds(bench: BenchLog) -> tuple[list[float], list[float]]:
    """Signatures a second to V, and blocks a second, a round being `BATCHES` batches."""
    ratios, rates = [], []
    calm_collector()
    with bench.home.stores() as (store, private):
        async with CheckPool(WORKERS, bench.log.vrf_secret) as pool:
            settings = Settings(max_batch=BATCH, max_queue=100_000)
            sequencer = Sequencer(store, private, bench.log.log_key, pool, settings=settings)
            running = asyncio.create_task(sequencer.run())
            await _submit(sequencer, pool, bench.people.round(BATCH, anchor_of(store)))
            for _ in range(ROUNDS):
                made = bench.people.round(BATCH * BATCHES, anchor_of(store))
                v = VRate(made, bench.log.log_id)
                before = v()
                seconds = await _submit(sequencer, pool, made)
                signatures = sum(m.signatures for m in made)
                ratios.append(signatures / seconds / ((before + v()) / 2))
                rates.append(len(made) / seconds)
            sequencer.stop()
            await running
    return ratios, sorted(rates)


async def _submit(sequencer: Sequencer, pool: CheckPool, made: list[Made]) -> float:
    """Submit a batch's worth at a time, a few in flight together; the seconds it took."""
    for m in made:
        if m.opening:
            pool.remember(m.opening.identifier, block.parse(m.raw).label)
    start, room = perf_counter(), asyncio.Semaphore(IN_FLIGHT)
    parts = [made[at : at + BATCH] for at in range(0, len(made), BATCH)]
    verdicts = await asyncio.gather(*(_submit_part(sequencer, part, room) for part in parts))
    seconds = perf_counter() - start
    for verdict in (v for part in verdicts for v in part):
        if not isinstance(verdict, Admitted):
            raise verdict
    return seconds


async def _submit_part(
    sequencer: Sequencer, made: list[Made], room: asyncio.Semaphore
) -> list[Verdict]:
    async with room:
        return await sequencer.submit([m.submission() for m in made])
