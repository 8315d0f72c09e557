"""Who replays a log that lies ends with a file that convinces others, if there can be one (80-)."""

from __future__ import annotations

import asyncio

import pytest

from ledger.client.policy import Policy
from ledger.client.replay.session import Log
from ledger.errors import LogMisbehaved
from ledger.format import entry
from ledger.format.bodies import DAY_MS
from ledger.format.evidence import BrokenRule, Evidence, Kind, Replayable
from ledger.format.policy import parse_policy
from ledger.format.wire import Submission
from ledger.log.planner import MAX_BATCH
from tests.client.provers import Mute, proven
from tests.client.test_policy import W1, W2
from tests.client.test_session import Forked
from tests.client.test_verify import LIES, Lie, early_log, signed
from tests.client.world import EARLY, LATER, Server, World, replica_of
from tests.support.actors import NOW, Device
from tests.support.policies import cosigned, policy_text
from verifier import policy as verifiers
from verifier.evidence import judge


@pytest.fixture(scope="module")
def world() -> World:
    return World.make()


EVIDENCE = {
    "two_roots": ("fork", "R-61.2"),
    "altered_signature": ("entry", "R-40.4"),
    "substituted_key": ("entry", "R-40.4"),
    "not_for_this_log": ("entry", "R-40.4"),
    "no_last_root": ("entry", "R-42.2"),
    "unknown_kind": ("entry", "R-42.1"),
    "padded_entry": ("entry", "R-10.2"),
    "ghost_device": ("rule", "R-53.3"),
    "unenrolled_user": ("rule", "R-52.1"),
    "second_creation": ("rule", "R-43.2"),
    "reordered_batches": ("rule", "R-43.1"),
    "two_times": ("rule", "R-42.3"),
    "self_made_anchor": ("anchor", "R-44.2"),
    "old_anchor": ("anchor", "R-44.3"),
    "time_goes_back": ("time", "R-42.3"),
}
REPLAYABLE = {"wrong_directory", "stale_directory"}
"""A bare mismatch of roots is not compact, and says so. All other lies were never signed."""

WHOLE = {"withheld_revocation", "cut_batch", "cut_tree", "more_than_signed"}
"""Lies that a bundle of its width can't tell."""


def shown(world: World, lie: Lie) -> Server:
    entries, note = lie(world)
    server = Server(world, [*world.entries[:EARLY], *entries])
    server.note = note
    return server


async def caught(server: Server, world: World, size: int = EARLY) -> LogMisbehaved:
    """What a client that has followed the log to `size` says of it."""
    with replica_of(world, size) as replica:
        log = Log(replica, server, clock=lambda: NOW + DAY_MS)
        with pytest.raises(LogMisbehaved) as error:
            await log.sync()
    return error.value


@pytest.mark.parametrize("lie", [one for one, _ in LIES if one.__name__ not in WHOLE])
async def test_each_lie(world: World, lie: Lie) -> None:
    proof = (await caught(shown(world, lie), world)).proof
    name = lie.__name__
    if name in REPLAYABLE:
        assert isinstance(Evidence.decode(proof or b"").body, Replayable)
        verdict = judge(proof or b"", world.actor.log_id)
        assert (verdict.outcome, verdict.kind) == ("undecided", "replayable")
    else:
        found = proven(proof, world.actor.log_id) if proof else None
        assert found == EVIDENCE.get(name)
    assert b"@example.org" not in (proof or b"")


async def test_the_truth_leaves_no_evidence(world: World) -> None:
    with replica_of(world) as replica:
        await Log(replica, Server(world), clock=lambda: LATER).sync()


class Silent(Server):
    """Shows entries, and proves nothing."""

    async def inclusion(self, index: int, size: int) -> bytes:
        return await Mute().inclusion(index, size)

    async def consistency(self, old: int, new: int) -> bytes:
        return await Mute().consistency(old, new)


@pytest.mark.parametrize("lie", [one for one, _ in LIES if one.__name__ in EVIDENCE])
async def test_a_server_that_proves_nothing(world: World, lie: Lie) -> None:
    """Who holds all of its tree needs no proofs of it."""
    told = shown(world, lie)
    server = Silent(world, told.entries)
    server.note = told.note
    proof = (await caught(server, world)).proof
    assert proven(proof, world.actor.log_id) == EVIDENCE[lie.__name__]


async def test_a_fork_that_the_server_does_not_prove(world: World) -> None:
    """It is believed no more, but what it did can't be shown to others."""
    error = await caught(Silent(world, forked(world)[:9]), world, 7)
    assert (error.rule, error.proof) == ("R-42.5", None)


class Stalling(Server):
    """Takes for ever to prove what it showed."""

    async def consistency(self, old: int, new: int) -> bytes:
        await asyncio.sleep(3_600)
        return b""


async def test_a_server_that_stalls(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lie is told all the same, and soon."""
    monkeypatch.setattr("ledger.client.evidence.inquiry.PATIENCE", 0.05)
    async with asyncio.timeout(2):
        error = await caught(Stalling(world, forked(world)[:9]), world, 7)
    assert (error.rule, error.proof) == ("R-42.5", None)


def forked(world: World) -> list[bytes]:
    """A history without Ada's phone, true to every rule."""
    other = early_log(world)
    other.admit([world.bob.add(other.anchor).raw])
    other.admit([])
    other.admit([])
    return other.entries


@pytest.mark.parametrize(("seen", "shown"), [(7, 9), (7, 7), (9, 7), (9, 8), (9, 9)])
async def test_a_fork(world: World, seen: int, shown: int) -> None:
    """Larger, smaller, or of the same size: the replica proves it itself, or the server does."""
    server = Server(world, forked(world)[:shown])
    error = await caught(server, world, seen)
    assert error.rule == "R-61.2"  # whatever rule it stumbled over first
    assert proven(error.proof, world.actor.log_id) == ("fork", "R-61.2")


async def test_a_rollback_is_no_fork(world: World) -> None:
    error = await caught(Server(world, world.entries[:7]), world, 9)
    assert (error.rule, error.proof) == ("R-61.2", None)


@pytest.mark.parametrize("seen", [EARLY, 9])
async def test_an_admission_in_another_tree(world: World, seen: int) -> None:
    """Whether the author had seen more of the tree that is shown, or is about to."""
    server, fork = Forked(world), World.make()
    del fork.log.entries[EARLY:]
    written = world.early.add(world.log.anchor, Device.make("another phone"))
    entries = [entry.block(NOW, written.raw), entry.directory_root(NOW, bytes(32))]
    fork.log.entries += entries
    server.fork = fork
    with replica_of(world, seen) as replica:
        log = Log(replica, server, clock=lambda: LATER)
        with pytest.raises(LogMisbehaved) as error:
            await log.submit(Submission(written.raw))
    assert proven(error.value.proof, world.actor.log_id) == ("fork", "R-61.2")


async def test_the_second_of_two_equal_blocks(world: World) -> None:
    """Not the first, which was fine."""
    data = world.entries[EARLY]
    beyond, note = signed(world, [data, data, world.entries[EARLY + 1]])
    server = Server(world, [*world.entries[:EARLY], *beyond])
    server.note = note
    error = await caught(server, world)
    assert proven(error.proof, world.actor.log_id) == ("rule", "R-43.1")
    body = Evidence.decode(error.proof or b"").body
    assert isinstance(body, BrokenRule)
    assert body.entries == (data, data)


async def test_a_second_first_block(world: World) -> None:
    """In the first batch there is nothing before, and no chain is shown."""
    entries = [world.entries[0], world.entries[0], entry.directory_root(NOW, bytes(32))]
    error = await caught(Server(world, entries), world, 0)
    kind, rule = proven(error.proof, world.actor.log_id)
    assert (kind, rule) in {("rule", "R-42.4"), ("rule", "R-43.2")}


async def test_a_batch_that_is_too_large(world: World) -> None:
    blocks_of_bob = [world.entries[3]] * (MAX_BATCH + 300)
    error = await caught(Server(world, [*world.entries[:2], *blocks_of_bob]), world, 2)
    assert error.rule == "R-42.2"
    assert proven(error.proof, world.actor.log_id) == ("rule", "R-42.2")
    assert Evidence.decode(error.proof or b"").kind == Kind.RULE


async def test_ahead_of_the_witnesses(world: World) -> None:
    """R-80.9, R-62.9: what a quorum cosigned before it was time."""
    text = policy_text(2, W1, W2).encode()
    server, early = Server(world), NOW - 301_000
    server.note = cosigned(server.note, early, W1, W2)
    for size in (0, EARLY):
        with replica_of(world, size) as replica:
            log = Log(replica, server, policy=Policy(witnesses=parse_policy(text)))
            log.clock = lambda: NOW
            with pytest.raises(LogMisbehaved, match=r"R-62\.9") as error:
                await log.sync()
        proof = error.value.proof or b""
        assert judge(proof, world.actor.log_id).outcome == "undecided"
        trusted = verifiers.parse_policy(text)
        verdict = judge(proof, world.actor.log_id, trusted)
        assert (verdict.outcome, verdict.kind) == ("proven", "time")
