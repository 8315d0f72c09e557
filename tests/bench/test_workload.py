"""The benchmarks measure what they say."""

from __future__ import annotations

from collections import Counter

from ledger.format import block
from ledger.format.bodies import BlockType, Limits
from ledger.log.planner import Admission
from tests.bench.made import Made
from tests.bench.measure import Figure
from tests.bench.workload import Population
from tests.support.actors import NOW, LogActor
from tests.support.memory import MemoryLog
from tests.support.vetting import plan_vetted


def test_the_workload_has_its_shares_and_is_admitted() -> None:
    founding = LogActor.make(limits=Limits(max_blocks_per_day=65_535))
    log, people = MemoryLog(founding.raw), Population(founding.after)
    memberships: dict[tuple[int, bytes], bytes] = {}

    def stored(index: int, block_hash: bytes) -> bytes | None:
        return memberships.get((index, block_hash))

    made: list[Made] = []
    for _ in range(8):  # until there are devices to revoke and groups to update
        made = people.round(100, log.anchor)
        parsed = [m.parsed() for m in made]
        planned, kept = plan_vetted(log, parsed, NOW, stored)
        assert all(isinstance(result, Admission) for result in planned.results), planned.results
        stated = ((item, item.statement) for item in kept if item.statement)
        memberships.update(((item.index, item.block_hash), after) for item, (_, after) in stated)
        log.apply(planned.commit)
    kinds = Counter(BlockType(block.parse(m.raw).type).spelling for m in made)
    assert kinds == {
        "user.create": 20,
        "device.add": 40,
        "device.revoke": 20,
        "group.create": 10,
        "group.update": 10,
    }
    assert all(m.signatures == _signatures(m, founding.after.log_id) for m in made)


def test_a_figure_is_judged_on_its_side_of_the_bar() -> None:
    assert Figure("ratio", (0.7, 0.9, 0.8), bar=0.8).reached
    assert not Figure("ratio", (0.7, 0.9, 0.79), bar=0.8).reached
    assert Figure("memory", (200.0,), bar=200, higher=False).reached
    assert not Figure("memory", (201.0,), bar=200, higher=False).reached
    assert Figure("report", (1.0,)).reached is None


def _signatures(made: Made, log_id: bytes) -> int:
    checks = made.parsed().checks(log_id)
    block.perform(checks)
    return len(checks.signatures) + len(checks.inner)
