"""What a log may tell a client that replays everything, and what it may not (R-61, 40-blocks)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from ledger.client import verify
from ledger.client.replay.replica import Replica
from ledger.errors import LogMisbehaved
from ledger.format import checkpoint, entry
from ledger.format.block import Anchor
from ledger.format.bodies import DAY_MS
from ledger.log.commit import Head
from ledger.tree.merkle import Frontier, consistency_proof, inclusion_proof, leaf_hash
from tests.client.world import ADA, EARLY, World, replica_of
from tests.support.actors import NOW, Device, LogActor, User, Written
from tests.support.memory import MemoryLog


@pytest.fixture(scope="module")
def world() -> World:
    return World.make()


@pytest.fixture
def replica(world: World) -> Iterator[Replica]:
    """What has followed the log until `EARLY`."""
    with replica_of(world, EARLY) as replica:
        yield replica


def follow(
    replica: Replica, note: bytes, entries: list[bytes], proof: tuple[bytes, ...] = ()
) -> None:
    """What a session does with an answer, without the network."""
    claim = verify.open_claim(note, replica.log, replica.head, replica.note)
    with replica.transaction():
        for commit in verify.follow(replica, claim, entries, proof):
            replica.apply(commit)


def proof(world: World, old: int) -> tuple[bytes, ...]:
    read = Frontier().extend(list(map(leaf_hash, world.entries))).read
    return tuple(consistency_proof(old, len(world.entries), read))


def test_an_honest_log_is_followed(world: World, replica: Replica) -> None:
    follow(replica, world.note(len(world.entries)), world.entries[EARLY:])
    assert replica.head == world.log.head
    assert {label: replica.chain(label) for label in replica.labels()} == world.log.chains


def test_nothing_new_is_followed(world: World, replica: Replica) -> None:
    follow(replica, world.note(EARLY), [])
    assert replica.head.size == EARLY


def test_a_beginning_is_followed_with_its_proof(world: World, replica: Replica) -> None:
    follow(replica, world.note(9), world.entries[EARLY:7], proof(world, 7))
    assert replica.head.size == 7


def test_a_beginning_without_its_proof(world: World, replica: Replica) -> None:
    with pytest.raises(LogMisbehaved, match=r"R-61\.2"):
        follow(replica, world.note(9), world.entries[EARLY:7], proof(world, 5))
    assert replica.head.size == EARLY


Lie = Callable[[World], tuple[list[bytes], bytes]]
"""The entries beyond `EARLY`, and the checkpoint, that a lying log answers with."""


def signed(world: World, beyond: list[bytes]) -> tuple[list[bytes], bytes]:
    """`beyond`, under a checkpoint that the operator signs for it."""
    return beyond, world.sign([*world.entries[:EARLY], *beyond])


def batch(*blocks: bytes, root: bytes = bytes(32), time: int = NOW) -> list[bytes]:
    """A batch as a log could write it that asks no planner."""
    entries = [entry.block(time, raw) for raw in blocks]
    return [*entries, entry.directory_root(time, root)]


def anchor(world: World) -> Anchor:
    end = world.log.batch_end(EARLY)
    assert end
    return Anchor(EARLY, end[0])


def other_log(world: World) -> tuple[list[bytes], bytes]:
    other = World.make("example.net/log")
    return other.entries[EARLY:], other.note(len(other.entries))


def other_key(world: World) -> tuple[list[bytes], bytes]:
    head = checkpoint.Checkpoint(world.actor.origin, world.log.head.size, world.log.head.root)
    return world.entries[EARLY:], checkpoint.sign_checkpoint(head, world.actor.enrolment)


def changed_checkpoint(world: World) -> tuple[list[bytes], bytes]:
    note = world.note(9)
    changed = note.replace(b"\n9\n", b"\n7\n")
    assert changed != note
    return world.entries[EARLY:7], changed


def no_checkpoint(world: World) -> tuple[list[bytes], bytes]:
    return [], b"<html>sign in</html>"


def rollback(world: World) -> tuple[list[bytes], bytes]:
    return [], world.note(2)


def two_roots(world: World) -> tuple[list[bytes], bytes]:
    return [], world.actor.note(Head(EARLY, bytes(32)))


def empty_tree(world: World) -> tuple[list[bytes], bytes]:
    return [], world.actor.note(Head())


def bare_first_block(world: World) -> tuple[list[bytes], bytes]:
    return [], world.note(1)


def altered_signature(world: World) -> tuple[list[bytes], bytes]:
    data = world.entries[EARLY]
    return signed(world, [data[:-1] + bytes([data[-1] ^ 1]), *world.entries[6:]])


def substituted_key(world: World) -> tuple[list[bytes], bytes]:
    phone = world.early.device().encryption.public
    data = world.entries[EARLY].replace(phone, b"\x09" + bytes(31))
    assert data != world.entries[EARLY]
    return signed(world, [data, *world.entries[6:]])


def ghost_device(world: World) -> tuple[list[bytes], bytes]:
    """Added in ada's name, by a device that is not hers."""
    thief = replace(world.early, devices=(Device.make("thief"),))
    return signed(world, batch(thief.add(anchor(world)).raw))


def not_for_this_log(world: World) -> tuple[list[bytes], bytes]:
    elsewhere = replace(world.early, log_id=b"\1" * 32)
    return signed(world, batch(elsewhere.add(anchor(world)).raw))


def self_made_anchor(world: World) -> tuple[list[bytes], bytes]:
    return signed(world, batch(world.early.add(Anchor(EARLY, bytes(32))).raw))


def unenrolled_user(world: World) -> tuple[list[bytes], bytes]:
    other = LogActor.make("example.net/log").after
    forger = replace(world.actor, enrolment=other.enrolment)
    eve = User.create(forger, "eve@example.org", anchor(world), label=b"e" * 32)
    return signed(world, batch(eve.raw))


def second_creation(world: World) -> tuple[list[bytes], bytes]:
    again = User.create(world.actor, "ada@example.org", anchor(world), label=ADA)
    return signed(world, batch(again.raw))


def wrong_directory(world: World) -> tuple[list[bytes], bytes]:
    return signed(world, [world.entries[EARLY], entry.directory_root(NOW, bytes(32))])


def stale_directory(world: World) -> tuple[list[bytes], bytes]:
    return signed(world, [world.entries[EARLY], world.entries[EARLY - 1]])


def withheld_revocation(world: World) -> tuple[list[bytes], bytes]:
    """The batch with it left out, under the checkpoint that covers it."""
    return [*world.entries[EARLY:7], *world.entries[9:]], world.note(9)


def replaced_revocation(world: World) -> tuple[list[bytes], bytes]:
    """An empty batch and one of the same size in its place, true to the rules."""
    log = early_log(world)
    log.admit([world.early.add(anchor(world)).raw])
    log.admit([world.bob.add(log.anchor).raw])
    return log.entries[EARLY:], world.note(9)


def early_log(world: World) -> MemoryLog:
    """The log as it was at `EARLY`, to go on with otherwise."""
    log = MemoryLog()
    for start, end in ((0, 2), (2, EARLY)):
        bodies = [entry.parse(data).body for data in world.entries[start : end - 1]]
        log.admit(bodies)
    assert log.entries == world.entries[:EARLY]
    return log


def reordered_batches(world: World) -> tuple[list[bytes], bytes]:
    return signed(world, [*world.entries[7:9], *world.entries[5:7]])


def cut_batch(world: World) -> tuple[list[bytes], bytes]:
    return world.entries[EARLY:8], world.note(9)


def cut_tree(world: World) -> tuple[list[bytes], bytes]:
    return world.entries[EARLY:7], world.note(9)


def more_than_signed(world: World) -> tuple[list[bytes], bytes]:
    return world.entries[EARLY:], world.note(7)


def no_last_root(world: World) -> tuple[list[bytes], bytes]:
    return signed(world, world.entries[EARLY:8])


def time_goes_back(world: World) -> tuple[list[bytes], bytes]:
    return signed(world, batch(time=NOW - 1))


def two_times(world: World) -> tuple[list[bytes], bytes]:
    early, late = (batch(world.early.add(anchor(world)).raw, time=time) for time in (NOW, NOW + 1))
    return signed(world, [early[0], late[1]])


def unknown_kind(world: World) -> tuple[list[bytes], bytes]:
    return signed(world, [b"\x83\x02" + world.entries[EARLY][2:], *world.entries[6:]])


def padded_entry(world: World) -> tuple[list[bytes], bytes]:
    return signed(world, [world.entries[EARLY] + b"\0", *world.entries[6:]])


def old_anchor(world: World) -> tuple[list[bytes], bytes]:
    time = NOW + DAY_MS + 1
    return signed(world, batch(world.early.add(anchor(world)).raw, time=time))


LIES: list[tuple[Lie, str]] = [
    (other_log, "R-61.1"),
    (other_key, "R-61.1"),
    (changed_checkpoint, "R-61.1"),
    (no_checkpoint, "R-61.1"),
    (rollback, "R-61.2"),
    (two_roots, "R-61.2"),
    (empty_tree, "R-61.4"),
    (bare_first_block, "R-61.4"),
    (altered_signature, "R-40.4"),
    (substituted_key, "R-40.4"),
    (ghost_device, "R-53.3"),
    (not_for_this_log, "R-40.4"),
    (self_made_anchor, "R-44.2"),
    (unenrolled_user, "R-52.1"),
    (second_creation, "R-43.2"),
    (wrong_directory, "R-42.5"),
    (stale_directory, "R-42.5"),
    (withheld_revocation, "R-61.2"),
    (replaced_revocation, "R-61.2"),
    (reordered_batches, "R-43.1"),
    (cut_batch, "R-42.2"),
    (cut_tree, "R-61.2"),
    (more_than_signed, "R-61.2"),
    (no_last_root, "R-42.2"),
    (time_goes_back, "R-42.3"),
    (two_times, "R-42.3"),
    (unknown_kind, "R-42.1"),
    (padded_entry, "R-10.2"),
    (old_anchor, "R-44.3"),
]


@pytest.mark.parametrize(("lie", "rule"), LIES, ids=[lie.__name__ for lie, _ in LIES])
def test_a_lie_is_caught(world: World, replica: Replica, lie: Lie, rule: str) -> None:
    entries, note = lie(world)
    with pytest.raises(LogMisbehaved) as caught:
        follow(replica, note, entries)
    assert caught.value.rule == rule
    assert caught.value.evidence["checkpoint"] == note
    assert caught.value.evidence.get("accepted", b"") in (replica.note, b"")
    # Nothing of it stays: the truth is still followed from where it was.
    assert replica.head.size == EARLY
    follow(replica, world.note(9), world.entries[EARLY:])
    assert replica.head == world.log.head


def test_a_fork_is_caught_by_whoever_saw_more(world: World, replica: Replica) -> None:
    """A history without ada's phone: true to every rule, signed, and yet not the one seen."""
    other = early_log(world)
    other.admit([world.bob.add(other.anchor).raw])
    other.admit([])
    follow(replica, world.note(7), world.entries[EARLY:7])
    entries, note = other.entries[7:], world.sign(other.entries)
    with pytest.raises(LogMisbehaved) as caught:
        follow(replica, note, entries)
    assert caught.value.rule == "R-42.5"  # ada has no phone in their directory
    assert caught.value.evidence["checkpoint"] == note
    with replica_of(world, EARLY) as ignorant:
        follow(ignorant, note, other.entries[EARLY:])


def test_the_first_block_is_the_log_ids(world: World) -> None:
    other = World.make("example.net/log")
    log_id = world.actor.log_id
    assert verify.first_block(world.entries[0], log_id).origin == "example.com/log"
    # The same keys and origin, another nonce: another log under the same name.
    twin = LogActor.make(heartbeat=30_000)
    for data in (other.entries[0], world.entries[1], entry.block(NOW, twin.raw), b"", b"\xff"):
        with pytest.raises(LogMisbehaved) as caught:
            verify.first_block(data, log_id)
        assert caught.value.evidence == {"entry": data}


@pytest.mark.parametrize("note", [b"", b"\n\n", b"a\nb\nc\n\n\xe2\x80\x94 a AAAAAAA=\n"])
def test_a_note_of_nobody(note: bytes) -> None:
    with pytest.raises(LogMisbehaved, match=r"R-61\.1"):
        verify.size_claimed(note)


def test_the_size_of_a_log_not_yet_known(world: World) -> None:
    assert verify.size_claimed(world.note(9)) == 9
    with pytest.raises(LogMisbehaved, match=r"R-61\.4"):
        verify.size_claimed(world.note(1))


def test_time_ahead(world: World, replica: Replica) -> None:
    verify.check_not_ahead(replica.head, NOW - 300_000, b"note")
    with pytest.raises(LogMisbehaved, match=r"R-61\.3") as caught:
        verify.check_not_ahead(replica.head, NOW - 300_001, b"note")
    assert caught.value.evidence == {"checkpoint": b"note"}


def test_a_log_that_stands_still(replica: Replica) -> None:
    verify.check_age(replica.head, NOW + 60_000, 60_000, b"note")
    with pytest.raises(LogMisbehaved, match=r"R-61\.3") as caught:
        verify.check_age(replica.head, NOW + 60_001, 60_000, b"note")
    assert caught.value.evidence == {"checkpoint": b"note"}


def admission(world: World, index: int) -> tuple[bytes, ...]:
    read = Frontier().extend(list(map(leaf_hash, world.entries))).read
    return tuple(inclusion_proof(index, 9, read))


def test_an_admission_is_proven(world: World, replica: Replica) -> None:
    raw, hashes = entry.parse(world.entries[7]).body, admission(world, 7)
    claim = verify.check_admission(world.note(9), replica.log, raw, 7, NOW, hashes)
    assert (claim.size, claim.root) == (9, world.log.head.root)


def test_an_admission_that_is_not_proven(world: World, replica: Replica) -> None:
    log, note = replica.log, world.note(9)
    raw, hashes = entry.parse(world.entries[7]).body, admission(world, 7)
    wrong: list[tuple[bytes, bytes, int, int, tuple[bytes, ...]]] = [
        (note, raw, 5, NOW, hashes),
        (note, raw, 9, NOW, hashes),
        (note, raw, 7, NOW + 1, hashes),
        (note, raw, 7, NOW, hashes[:-1]),
        (note, raw, 7, NOW, (*hashes, bytes(32))),
        (note, raw + b"\0", 7, NOW, hashes),
        (world.note(7), raw, 7, NOW, hashes),
        (note.replace(b"\n9\n", b"\n8\n"), raw, 7, NOW, hashes),
    ]
    for answer in wrong:
        with pytest.raises(LogMisbehaved):
            verify.check_admission(answer[0], log, *answer[1:])


def test_whole_batches(world: World) -> None:
    counts = [verify.whole(world.entries[:size]) for size in range(10)]
    assert counts == [0, 0, 2, 2, 2, 5, 5, 7, 7, 9]


def test_a_written_block_is_what_the_lies_are_made_of(world: World) -> None:
    """The nearest true thing to most lies above is admitted."""
    log = early_log(world)
    honest: Written[User] = world.early.add(anchor(world))
    log.admit([honest.raw])
    with replica_of(world, EARLY) as replica:
        follow(replica, world.sign(log.entries), log.entries[EARLY:])
        assert replica.head == log.head
