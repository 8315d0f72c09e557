"""Carries attacks out, and compares what came of each with its row.

>>> async with Stage.open(path) as stage:                        # doctest: +SKIP
...     finding = await carry_out(stage, row)
...     assert not finding.problems
"""

from __future__ import annotations

import asyncio

from tests.attacks import (
    false_histories,
    false_trees,
    forged_keys,
    hostile_inputs,
    hostile_people,
    quorums,
    storage,
    waiting_people,
)
from tests.attacks.processes import judge
from tests.attacks.stage import Stage
from tests.attacks.suite import ATTACKS, Catch
from tests.attacks.table import Finding, Row, Verdict, rows

SUITE = (
    forged_keys,
    false_histories,
    false_trees,
    quorums,
    hostile_inputs,
    hostile_people,
    waiting_people,
    storage,
)
"""Where attacks are written."""


def missing() -> list[str]:
    """What the table and the suite do not have in common."""
    listed = [row.attack for row in rows() if row.preventable]
    untried = [f"nothing carries out: {name}" for name in listed if name not in ATTACKS]
    unlisted = [f"no row of 85-attacks: {name}" for name in ATTACKS if name not in listed]
    twice = [f"two rows: {name}" for name in set(listed) if listed.count(name) > 1]
    return untried + unlisted + twice


async def carry_out(stage: Stage, row: Row) -> Finding:
    """Try it, and have all evidence that was written judged."""
    if not row.preventable:
        return Finding(row, (), ())
    catches = await ATTACKS[row.attack](stage)
    written = [one for one in catches if one.evidence]
    return Finding(row, catches, await asyncio.gather(*(_judged(stage, one) for one in written)))


async def _judged(stage: Stage, catch: Catch) -> Verdict:
    assert catch.evidence
    options = ("--witnesses", catch.witnesses) if catch.witnesses else ()
    return await judge(catch.evidence, stage.log_id, *options)
