"""Following a log through a server that is slow, broken, or lies at the port."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from ledger.client import verify
from ledger.client.policy import Policy
from ledger.client.replay.replica import Replica
from ledger.client.replay.session import Log
from ledger.errors import (
    BadSignature,
    KeyrollError,
    LogMisbehaved,
    MalformedInput,
    Refused,
    RuleViolation,
    StaleAnchor,
    StaleHead,
    StoreError,
    TransportError,
)
from ledger.format import entry
from ledger.format.bodies import DAY_MS
from ledger.format.wire import Admitted, ChainHead, Submission, SubmitAnswer
from ledger.format.wire import Refused as Refusal
from ledger.log.commit import Head
from ledger.log.planner import MAX_BATCH
from ledger.tree.merkle import Frontier, inclusion_proof, leaf_hash
from ledger.tree.tiles import Bundle, encode_bundle
from tests.client.world import EARLY, LATER, Server, World, replica_of
from tests.support.actors import NOW, Device, User


@pytest.fixture(scope="module")
def world() -> World:
    return World.make()


@pytest.fixture(scope="module")
def long() -> World:
    """A log of several bundles, most of whose batches are empty."""
    world = World.make()
    for number in range(1_100):
        world.log.admit([], NOW + number // 10)
    return world


@pytest.fixture
def replica(world: World) -> Iterator[Replica]:
    with replica_of(world) as replica:
        yield replica


def log_of(replica: Replica, server: Server, now: int = LATER) -> Log:
    return Log(replica, server, clock=lambda: now)


async def test_from_nothing(world: World, replica: Replica) -> None:
    server = Server(world)
    assert await log_of(replica, server).sync() == world.log.head
    assert replica.note == server.note
    # The first bundle is asked for twice: to learn whose signature counts, and to follow.
    assert server.asked == ["checkpoint", "tile/entries/000.p/9", "tile/entries/000.p/9"]


async def test_only_what_is_new_is_asked_for(long: World) -> None:
    with replica_of(long, 301) as replica:
        server = Server(long)
        await log_of(replica, server).sync()
        bundles = [asked for asked in server.asked if asked.startswith("tile")]
        assert bundles == [Bundle(n, 85 if n == 4 else 256).path() for n in range(1, 5)]
        server.asked.clear()
        await log_of(replica, server).sync()
        assert server.asked == ["checkpoint"]


async def test_beyond(world: World, replica: Replica) -> None:
    server = Server(world)
    log = log_of(replica, server)
    await log.sync(beyond=8)
    server.asked.clear()
    await log.sync(beyond=8)
    assert server.asked == []
    await log.sync(beyond=9)
    assert server.asked == ["checkpoint"]


async def test_many_bundles(long: World) -> None:
    seen: list[tuple[int, int]] = []
    server = Server(long)
    with replica_of(long) as replica:
        await log_of(replica, server).sync(progress=lambda *told: seen.append(told))
        assert replica.head == long.log.head
        replica.check()
    assert seen == [(min(256 * n, 1109), 1109) for n in range(1, 6)]
    # Each bundle was kept only once it was proven to lie under the checkpoint.
    proofs = [asked for asked in server.asked if asked.startswith("consistency")]
    assert proofs == [f"consistency {256 * n} 1109" for n in range(1, 5)]


async def test_batches_across_bundles(world: World) -> None:
    """No bundle of 256 ends where a batch does."""
    other = World.make()
    people = [f"{number}" for number in range(150)]
    for start in range(0, 150, 30):
        labels = [number.to_bytes(32, "little") for number in range(start + 1, start + 31)]
        written = [
            _create(other, name, label)
            for name, label in zip(people[start : start + 30], labels, strict=True)
        ]
        other.log.admit(written)
    for _ in range(60):
        other.log.admit([_add(other)])
    with replica_of(other) as replica:
        await log_of(replica, Server(other)).sync()
        assert replica.head == other.log.head


def _create(world: World, name: str, label: bytes) -> bytes:
    return User.create(world.actor, name, world.log.anchor, label=label).raw


def _add(world: World) -> bytes:
    if len(world.bob.devices) < 3:
        written = world.bob.add(world.log.anchor)
    else:
        written = world.bob.revoke(world.log.anchor, 1)
    world.bob = written.after
    return written.raw


async def test_a_partial_bundle_may_be_gone(long: World) -> None:
    """R-20.7: once the full one is there."""

    class Pruned(Server):
        async def bundle(self, bundle: Bundle) -> bytes:
            if bundle.width < 256:
                raise Refused(404, "no-tile", "gone")
            return await super().bundle(bundle)

    note = long.note(300)
    with replica_of(long, 200) as replica:
        server = Pruned(long)
        server.note = note
        await log_of(replica, server).sync()
        assert replica.head.size == 300


async def test_no_bundle_at_all(world: World, replica: Replica) -> None:
    class Empty(Server):
        async def bundle(self, bundle: Bundle) -> bytes:
            raise Refused(404, "no-tile", "gone")

    with pytest.raises(Refused, match="404"):
        await log_of(replica, Empty(world)).sync()


async def test_interrupted_and_resumed(long: World) -> None:
    """What was replayed before the failure is kept, and not asked for again."""

    class Failing(Server):
        async def bundle(self, bundle: Bundle) -> bytes:
            if bundle.index == 3:
                raise TransportError("the line broke")
            return await super().bundle(bundle)

    with replica_of(long) as replica:
        with pytest.raises(TransportError):
            await log_of(replica, Failing(long)).sync()
        assert replica.head.size == 768
        replica.check()
        server = Server(long)
        await log_of(replica, server).sync()
        assert replica.head == long.log.head
        assert "tile/entries/002" not in server.asked


async def test_cancelled_and_resumed(long: World) -> None:
    with replica_of(long) as replica:
        log = log_of(replica, Server(long))
        begun = asyncio.Event()
        task = asyncio.create_task(log.sync(progress=lambda *_: begun.set()))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert 256 <= replica.head.size < 1109
        replica.check()
        await log.sync()
        assert replica.head == long.log.head


async def test_callers_share_a_run(world: World, replica: Replica) -> None:
    server = Server(world)
    log = log_of(replica, server)
    await asyncio.gather(*(log.sync() for _ in range(50)))
    # The first runs; all others came while it ran, and need one that began after they asked.
    assert server.asked.count("checkpoint") == 2


async def test_a_run_to_an_older_tree_is_not_shared(world: World) -> None:
    """Who wants the newest tree is not content with one that somebody else's block is in."""
    with replica_of(world, EARLY) as replica:
        server = Server(world)
        log = log_of(replica, server)
        log._newest = verify.open_claim(world.note(7), replica.log, replica.head)
        await asyncio.gather(log.sync(beyond=5), log.sync(beyond=6), log.sync())
        assert replica.head.size == 9
        assert server.asked == ["tile/entries/000.p/7", "checkpoint", "tile/entries/000.p/9"]


async def test_a_failed_run_is_not_shared(world: World, replica: Replica) -> None:
    class Once(Server):
        async def checkpoint(self) -> bytes:
            note = await super().checkpoint()
            if self.asked.count("checkpoint") < 3:
                raise TransportError("the line broke")
            return note

    server = Once(world)
    log = log_of(replica, server)
    results = await asyncio.gather(*(log.sync() for _ in range(5)), return_exceptions=True)
    failed = [isinstance(result, TransportError) for result in results]
    assert failed == [True, True, False, False, False]
    assert server.asked.count("checkpoint") == 3


class Cut(Server):
    async def bundle(self, bundle: Bundle) -> bytes:
        return (await super().bundle(bundle))[:-1]


class Short(Server):
    """One entry less than the width says."""

    async def bundle(self, bundle: Bundle) -> bytes:
        return await super().bundle(Bundle(bundle.index, bundle.width - 1))


class Long(Server):
    async def bundle(self, bundle: Bundle) -> bytes:
        return await super().bundle(bundle) + b"\0\1x"


class Nothing(Server):
    async def bundle(self, bundle: Bundle) -> bytes:
        return b""


class Html(Server):
    async def bundle(self, bundle: Bundle) -> bytes:
        return b"<html><body>Please sign in</body></html>"


@pytest.mark.parametrize("server", [Cut, Short, Long, Nothing, Html])
@pytest.mark.parametrize("size", [0, EARLY])
async def test_a_broken_bundle_is_no_success(world: World, server: type[Server], size: int) -> None:
    with replica_of(world, size) as replica:
        with pytest.raises(MalformedInput, match=r"R-20\.6"):
            await log_of(replica, server(world)).sync()
        assert replica.head.size == size


class NoProof(Server):
    async def consistency(self, old: int, new: int) -> bytes:
        return b"\x80"


class OtherProof(Server):
    async def consistency(self, old: int, new: int) -> bytes:
        return await super().consistency(old - 1, new)


class BadProof(Server):
    async def consistency(self, old: int, new: int) -> bytes:
        return b"\xa0"


@pytest.mark.parametrize("server", [NoProof, OtherProof, BadProof])
async def test_nothing_is_kept_without_a_proof(long: World, server: type[Server]) -> None:
    with replica_of(long) as replica:
        with pytest.raises((LogMisbehaved, MalformedInput)):
            await log_of(replica, server(long)).sync()
        assert replica.head.size == 0


async def test_an_endless_batch(world: World) -> None:
    """R-42.2: memory is bounded, whatever the log says its size is."""
    data = world.entries[2]

    class Endless(Server):
        async def bundle(self, bundle: Bundle) -> bytes:
            self.asked.append(bundle.path())
            return encode_bundle([data] * bundle.width)

    with replica_of(world, 2) as replica:
        server = Endless(world)
        server.note = _claim(world, 10**15)
        with pytest.raises(LogMisbehaved, match=r"R-42\.2"):
            await log_of(replica, server).sync()
        assert len(server.asked) < MAX_BATCH // 256 + 10


def _claim(world: World, size: int) -> bytes:
    return world.actor.note(Head(size, bytes(32)))


async def test_another_first_block(world: World, replica: Replica) -> None:
    other = World.make("example.net/log")
    with pytest.raises(LogMisbehaved, match=r"R-61\.1"):
        await log_of(replica, Server(other)).sync()
    assert replica.head.size == 0


async def test_a_huge_claim_of_nobody(long: World) -> None:
    """An unsigned size leads to one bundle being fetched, no more."""
    server = Server(long)
    server.note = _claim(World.make("example.net/log"), 10**15)
    with replica_of(long) as replica, pytest.raises(LogMisbehaved, match=r"R-61\.1"):
        await log_of(replica, server).sync()
    assert server.asked == ["checkpoint", "tile/entries/000"]


async def test_freshness(world: World, replica: Replica) -> None:
    server = Server(world)
    max_age = DAY_MS
    await log_of(replica, server, NOW + max_age).sync()
    with pytest.raises(LogMisbehaved, match=r"R-61\.3"):
        await log_of(replica, server, NOW + max_age + 1).sync()
    strict = Log(replica, server, policy=Policy(max_age=1_000), clock=lambda: NOW + 1_001)
    with pytest.raises(LogMisbehaved, match=r"R-61\.3"):
        await strict.sync()
    # A client can't be laxer than the log demands.
    lax = Log(replica, server, policy=Policy(max_age=10**12), clock=lambda: NOW + max_age + 1)
    with pytest.raises(LogMisbehaved, match=r"R-61\.3"):
        await lax.sync()


async def test_a_log_from_the_future_is_not_kept(world: World, replica: Replica) -> None:
    with pytest.raises(LogMisbehaved, match=r"R-61\.3"):
        await log_of(replica, Server(world), NOW - 300_001).sync()
    assert replica.head.size == 0
    await log_of(replica, Server(world), NOW - 300_000).sync()


async def test_a_rollback_is_noticed_after_a_restart(world: World) -> None:
    with replica_of(world, 9) as replica:
        with pytest.raises(LogMisbehaved, match=r"R-61\.2") as caught:
            await log_of(replica, Server(world, world.entries[:7])).sync()
        assert caught.value.evidence == {"checkpoint": world.note(7), "accepted": world.note(9)}


async def test_the_log_is_not_blamed_for_a_damaged_replica(world: World) -> None:
    with replica_of(world, 7) as replica:
        replica._db.execute("UPDATE chains SET record = zeroblob(200)")
        with pytest.raises(StoreError, match="damaged"):
            await log_of(replica, Server(world)).sync()


class Forked(Server):
    """Admits a block in a tree that it shows nobody else."""

    fork: World

    async def submit(self, request: bytes) -> bytes:
        read = Frontier().extend(list(map(leaf_hash, self.fork.entries))).read
        proof = tuple(inclusion_proof(5, 7, read))
        return SubmitAnswer(self.fork.note(7), (Admitted(5, NOW, proof),)).encode()


@pytest.mark.parametrize("size", [9, EARLY])
async def test_an_admission_in_another_tree(world: World, size: int) -> None:
    fork, server = World.make(), Forked(world)
    del fork.log.entries[EARLY:]
    written = world.early.add(world.log.anchor, Device.make("another phone"))
    entries = [entry.block(NOW, written.raw), entry.directory_root(NOW, bytes(32))]
    fork.log.entries += entries
    server.fork = fork
    with replica_of(world, size) as replica:
        with pytest.raises(LogMisbehaved) as caught:
            await log_of(replica, server).submit(Submission(written.raw))
        assert caught.value.evidence["checkpoint"] == fork.note(7)
        assert replica.head.size == size


class Deaf(Server):
    async def submit(self, request: bytes) -> bytes:
        return self.answer

    answer = b""


async def test_answers_that_fit_no_question(world: World) -> None:
    refused = Refusal("rule", "R-53.3", "no")
    answers = [
        b"",
        b"\x82\x40\x80",
        SubmitAnswer(world.note(9), (refused, refused)).encode(),
        SubmitAnswer(world.note(9), ()).encode(),
    ]
    with replica_of(world, 9) as replica:
        for answer in answers:
            server = Deaf(world)
            server.answer = answer
            with pytest.raises(MalformedInput):
                await log_of(replica, server).submit(Submission(b"block"))


REFUSALS: list[tuple[Refusal, type[KeyrollError]]] = [
    (Refusal("malformed", "R-10.2", "no"), MalformedInput),
    (Refusal("signature", "R-40.4", "no"), BadSignature),
    (Refusal("rule", "R-53.3", "no"), RuleViolation),
    (Refusal("stale-anchor", "R-44.3", "no"), StaleAnchor),
    (Refusal("stale-head", "R-43.1", "no", ChainHead(3, b"h" * 32, 7)), StaleHead),
    (Refusal("stale-head", "R-43.1", "no"), RuleViolation),
]


@pytest.mark.parametrize(("refusal", "error"), REFUSALS)
async def test_refusals(world: World, refusal: Refusal, error: type[KeyrollError]) -> None:
    with replica_of(world, 9) as replica:
        server = Deaf(world)
        server.answer = SubmitAnswer(world.note(9), (refusal,)).encode()
        with pytest.raises(KeyrollError) as caught:
            await log_of(replica, server).submit(Submission(b"block"))
        assert type(caught.value) is error
        assert str(caught.value) == f"{refusal.rule}: no"


async def test_errors_are_of_one_hierarchy(world: World, replica: Replica) -> None:
    class Rude(Server):
        async def checkpoint(self) -> bytes:
            return b"\xff" * 100

    with pytest.raises(KeyrollError):
        await log_of(replica, Rude(world)).sync()
