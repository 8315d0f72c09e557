"""Checks beside the planner: the same in a thread, in a process, and after a worker died."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ledger.errors import BadSignature, MalformedInput, RuleViolation, StoreError
from ledger.format import block as blocks
from ledger.format.block import LOG_LABEL
from ledger.format.bodies import BlockType, Delegation, LogPolicy, UserCreate
from ledger.format.identity import Opening
from ledger.format.statement import Role, Statement
from ledger.format.wire import Submission
from ledger.log.pool import MAX_JOBS, CheckPool, Failure, Parsed
from ledger.tree import vrf
from tests.log.world import submission, until
from tests.support.actors import LogActor, User, signing_key
from tests.support.groups import Group
from tests.support.memory import MemoryLog

FOUNDING = LogActor.make()
LOG = FOUNDING.after
ANCHOR = MemoryLog(FOUNDING.raw).anchor

# No point of the curve, and one of a small subgroup.
BAD_KEYS = [b"\x02" + bytes(31), bytes(32)]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledger.log.pool._PAUSE", 0.01)


def handed_in(name: str) -> Submission:
    return submission(User.create(LOG, name, ANCHOR))


async def check(pool: CheckPool, one: Submission) -> Parsed | Failure:
    (found,) = await pool.check([one], LOG.log_id)
    return found


def bent(raw: bytes) -> bytes:
    """With another bit in its last signature."""
    return raw[:-1] + bytes([raw[-1] ^ 1])


def with_bent_delegation(name: str) -> Submission:
    """A user.create whose own signatures are right."""
    good = User.create(LOG, name, ANCHOR)
    block, device = good.block, good.after.devices[0]
    assert isinstance(block.body, UserCreate)
    spoilt = Delegation.parse(bent(block.body.delegation.raw))
    raw = blocks.write(
        BlockType.USER_CREATE,
        block.label,
        block.seq,
        block.prev,
        block.anchor,
        replace(block.body, delegation=spoilt),
        signers=[signing_key(LOG.origin, name, "ephemeral", 0), device.signing],
        log_id=LOG.log_id,
    )
    return replace(submission(good), block=raw)


def policy_with(key: bytes) -> Submission:
    body = LogPolicy(key, LOG.enrolment.public, LOG.limits)
    place = LOG_LABEL, LOG.seq, LOG.head, ANCHOR
    signers = [LOG.app_root, LOG.log_key]
    raw = blocks.write(BlockType.LOG_POLICY, *place, body, signers=signers, log_id=LOG.log_id)
    return Submission(raw)


def a_group() -> Submission:
    ada = User.create(LOG, "ada", ANCHOR).after
    return submission(Group.create("team", ANCHOR, ada, {ada: Role.ADMIN}))


def spoilt(good: Submission) -> Iterator[tuple[Submission, type[Exception], str]]:
    opening, group = good.opening, a_group()
    assert opening
    assert group.statement
    yield replace(good, block=bent(good.block)), BadSignature, "R-40.4"
    yield with_bent_delegation("ada"), BadSignature, "R-52.5"
    for key in BAD_KEYS:
        yield policy_with(key), MalformedInput, "R-15.1"
    foreign = User.create(LOG, "ada", ANCHOR, label=b"x" * 32)
    yield submission(foreign), RuleViolation, "R-71.4"
    yield replace(good, opening=replace(opening, identifier="eve")), RuleViolation, "R-71.4"
    yield replace(good, opening=None), RuleViolation, "R-71.4"
    yield replace(good, opening=Opening(opening.nonce, "a\n")), MalformedInput, "R-36.5"
    yield replace(good, block=good.block + b"!"), MalformedInput, "R-40.1"
    yield replace(group, statement=None), RuleViolation, "R-71.6"
    yield replace(group, statement=bent(group.statement)), BadSignature, "R-56.4"
    yield replace(group, statement=group.statement[1:]), MalformedInput, "R-40.1"


@pytest.mark.parametrize("workers", [0, 2])
async def test_each_check_and_its_nearest_failure(workers: int) -> None:
    async with CheckPool(workers, LOG.vrf_secret) as pool:
        good, group = handed_in("ada"), a_group()
        assert await check(pool, good) == (blocks.parse(good.block), None)
        assert group.statement
        parsed = blocks.parse(group.block), Statement.parse(group.statement)
        assert await check(pool, group) == parsed
        for bad, kind, rule in spoilt(good):
            failure = await check(pool, bad)
            assert type(failure) is kind
            assert isinstance(failure, MalformedInput | RuleViolation)
            assert failure.rule == rule


@pytest.mark.parametrize("workers", [0, 1])
async def test_many_at_once_are_answered_in_their_places(workers: int) -> None:
    async with CheckPool(workers, LOG.vrf_secret) as pool:
        good = handed_in("ada")
        bad = replace(good, block=bent(good.block))
        asked = [bad if number % 7 == 3 else good for number in range(300)]
        expected = [one is bad for one in asked]
        results = await asyncio.gather(*(check(pool, one) for one in asked))
        assert [isinstance(result, BadSignature) for result in results] == expected
        parts = [asked[at : at + MAX_JOBS] for at in range(0, len(asked), MAX_JOBS)]
        together = await asyncio.gather(*(pool.check(part, LOG.log_id) for part in parts))
        flat = [result for part in together for result in part]
        assert [isinstance(result, BadSignature) for result in flat] == expected


@pytest.mark.parametrize("workers", [0, 1])
async def test_labels_are_proved_and_remembered(
    workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledger.log.pool._REMEMBERED", 2)
    async with CheckPool(workers, LOG.vrf_secret) as pool:
        label, proof = await pool.prove("ada")
        assert vrf.label(vrf.verify(LOG.vrf_public, b"ada", proof)) == label
        good = handed_in("ada")
        assert blocks.parse(good.block).label == label
        assert isinstance(await check(pool, good), tuple)
        # What is remembered is no licence for another label, and is forgotten in its turn.
        other = submission(User.create(LOG, "ada", ANCHOR, label=b"x" * 32))
        assert isinstance(await check(pool, other), RuleViolation)
        await pool.prove("bob")
        await pool.prove("carol")
        assert list(pool._labels) == ["bob", "carol"]
        assert isinstance(await check(pool, good), tuple)


async def test_an_identifier_without_utf8_is_no_end() -> None:
    async with CheckPool(1, LOG.vrf_secret) as pool:
        with pytest.raises(StoreError, match="did not run"):
            await pool.prove("\ud800")
        assert isinstance(await check(pool, handed_in("ada")), tuple)


async def test_a_worker_that_dies_is_replaced() -> None:
    async with CheckPool(1, LOG.vrf_secret) as pool:
        good = handed_in("ada")
        assert isinstance(await check(pool, good), tuple)
        (process,) = children()
        os.kill(process, signal.SIGKILL)
        results = await asyncio.gather(*(check(pool, good) for _ in range(100)))
        # Whatever was before the worker is handed back; what was not is checked by the next one.
        assert all(isinstance(result, tuple | StoreError) for result in results)
        await until(lambda: children() not in ([], [process]))
        assert isinstance(await check(pool, good), tuple)


async def test_workers_end_with_the_pool_and_leave_no_work_unanswered() -> None:
    async with CheckPool(1, LOG.vrf_secret) as pool:
        await check(pool, handed_in("ada"))
        late = [pool.check([handed_in("ada")], LOG.log_id) for _ in range(300)]
    results = [result for (result,) in await asyncio.gather(*late)]
    assert all(isinstance(result, tuple | StoreError) for result in results)
    assert any(isinstance(result, StoreError) for result in results)
    assert children() == []


def children() -> list[int]:
    """This process's workers, as the kernel lists them: other tests may have children too."""
    listed = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    commands = {int(word): Path(f"/proc/{word}/cmdline").read_bytes() for word in listed}
    return [process for process, command in commands.items() if b"ledger.log.worker" in command]
