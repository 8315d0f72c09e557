"""Replaying a log gives the log, and anything else than the log is caught (R-42)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import chain

import pytest

from ledger.errors import LogMisbehaved
from ledger.format import entry
from ledger.format.block import NO_LOG_ID, Block
from ledger.log.commit import Commit
from ledger.log.replay import batches, replay
from tests.support.actors import NOW, LogActor, User, Written
from tests.support.memory import MemoryLog

LATER = NOW + 1_000
ADA, BOB, EVE = (name * 32 for name in (b"a", b"b", b"e"))
Batch = list[bytes]


class Story:
    """A log of several batches, and the commits that wrote them."""

    def __init__(self) -> None:
        founding = LogActor.make()
        self.actor = founding.after
        self.log = MemoryLog()
        self.commits: list[Commit] = []
        self.batch([founding.raw], NOW)
        self.ada, self.bob = self.newcomer("ada", ADA), self.newcomer("bob", BOB)
        self.batch([self.ada.raw, self.bob.raw], LATER)
        self.batch([], LATER)
        self.batch([self.ada.after.add(self.log.anchor).raw, self.newcomer("eve", EVE).raw], LATER)
        self.batch([self.bob.after.close(self.log.anchor).raw], LATER + 1)

    def newcomer(self, name: str, label: bytes) -> Written[User]:
        return User.create(self.actor, name, self.log.anchor, label=label)

    def batch(self, blocks: list[bytes], now: int) -> None:
        self.commits.append(self.log.admit(blocks, now).commit)

    def replica(self, count: int = 0) -> MemoryLog:
        """Somebody who has replayed the first batches."""
        replica = MemoryLog()
        replica.log_id = self.actor.log_id
        for commit in self.commits[:count]:
            replica.apply(replay(replica, commit.entries))
        return replica


@pytest.fixture(scope="module")
def story() -> Story:
    return Story()


def test_replay_gives_every_commit(story: Story) -> None:
    replica = story.replica()
    for batch, commit in zip(batches(story.log.entries), story.commits, strict=True):
        again = replay(replica, batch)
        assert again == commit
        assert again.chains == commit.chains
        assert again.directory.writes == commit.directory.writes
        replica.apply(again)
    assert replica.head == story.log.head
    assert replica.chains == story.log.chains


def retimed(data: bytes, time: int) -> bytes:
    found = entry.parse(data)
    write = entry.directory_root if found.kind == entry.DIRECTORY_ROOT else entry.block
    return write(time, found.body)


def reblocked(data: bytes, change: Callable[[bytes], bytes]) -> bytes:
    found = entry.parse(data)
    return entry.block(found.time, change(found.body))


def flipped(raw: bytes) -> bytes:
    return raw[:-1] + bytes([raw[-1] ^ 1])


# What is done to the batch of ada and bob, and the rule that it breaks.
MUTATIONS: dict[str, tuple[Callable[[Batch], Batch], str]] = {
    "a block's time": (lambda b: [retimed(b[0], LATER + 1), *b[1:]], "R-42.3"),
    "the root's time": (lambda b: [*b[:-1], retimed(b[-1], LATER + 1)], "R-42.3"),
    "all later": (lambda b: [retimed(data, LATER + 1) for data in b], "R-42.5"),
    "all before": (lambda b: [retimed(data, NOW - 1) for data in b], "R-42.3"),
    "the first left out": (lambda b: b[1:], "R-42.5"),
    "the second left out": (lambda b: [b[0], b[2]], "R-42.5"),
    "all left out": (lambda b: b[2:], "R-42.5"),
    "the root left out": (lambda b: b[:2], "R-42.2"),
    "the root in the middle": (lambda b: [b[0], b[2], b[1]], "R-42.2"),
    "the root first": (lambda b: [b[2], b[0], b[1]], "R-42.2"),
    "two roots": (lambda b: [*b, b[2]], "R-42.2"),
    "two roots, one before": (lambda b: [b[0], b[2], b[1], b[2]], "R-42.2"),
    "another root": (lambda b: [*b[:2], entry.directory_root(LATER, bytes(32))], "R-42.5"),
    "another order": (lambda b: [b[1], b[0], b[2]], "R-42.5"),
    "a block twice": (lambda b: [b[0], b[0], *b[1:]], "R-43.2"),
    "a broken signature": (lambda b: [reblocked(b[0], flipped), *b[1:]], "R-40.4"),
    "a block cut short": (lambda b: [reblocked(b[0], lambda raw: raw[:-1]), *b[1:]], "R-40.1"),
    "a block too long": (lambda b: [reblocked(b[0], lambda r: r + b"\0"), *b[1:]], "R-40.1"),
    "no block": (lambda b: [entry.block(LATER, b""), *b], "R-40.1"),
    "the log's first block": (lambda b: [entry.block(LATER, LogActor.make().raw), *b], "R-42.4"),
    "an entry of kind 2": (lambda b: [b[0].replace(b"\x83\x00", b"\x83\x02", 1), *b[1:]], "R-42.1"),
    "a wide kind": (lambda b: [b"\x83\x18\x00" + b[0][2:], *b[1:]], "R-10."),
    "nothing at all": (lambda b: [], "R-42.2"),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_another_batch_is_caught(story: Story, name: str) -> None:
    mutate, rule = MUTATIONS[name]
    mutated = mutate(list(story.commits[1].entries))
    with pytest.raises(LogMisbehaved) as caught:
        replay(story.replica(1), mutated)
    assert caught.value.rule.startswith(rule)
    evidence = caught.value.evidence
    assert set(evidence) <= {"entry", "expected"}
    assert "entry" not in evidence or evidence["entry"] in mutated


def test_every_byte_counts(story: Story) -> None:
    replica, batch = story.replica(1), list(story.commits[1].entries)
    for number, data in enumerate(batch):
        for place in range(len(data)):
            mutated = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
            with pytest.raises(LogMisbehaved):
                replay(replica, [*batch[:number], mutated, *batch[number + 1 :]])


def test_every_entry_cut_short(story: Story) -> None:
    replica, batch = story.replica(1), list(story.commits[1].entries)
    for place in range(len(batch[0])):
        with pytest.raises(LogMisbehaved):
            replay(replica, [batch[0][:place], *batch[1:]])


def test_evidence_is_the_entry(story: Story) -> None:
    batch = list(story.commits[1].entries)
    batch[1] = reblocked(batch[1], flipped)
    with pytest.raises(LogMisbehaved) as caught:
        replay(story.replica(1), batch)
    assert caught.value.evidence == {"entry": batch[1]}


@pytest.mark.parametrize("count", [2, 3, 4])
def test_a_batch_out_of_its_place(story: Story, count: int) -> None:
    """Left out, or told twice: the next anchors and roots don't fit."""
    with pytest.raises(LogMisbehaved):
        replay(story.replica(count), story.commits[1].entries)
    with pytest.raises(LogMisbehaved):
        replay(story.replica(count - 1), story.commits[4].entries)


def test_the_first_block_is_the_logs(story: Story) -> None:
    stranger = MemoryLog(LogActor.make("example.org/other").raw)
    with pytest.raises(LogMisbehaved) as caught:
        replay(story.replica(), stranger.entries)
    assert caught.value.rule == "R-61.1"


@pytest.mark.parametrize("first", ["heartbeat", "user"])
def test_a_log_begins_with_its_block(story: Story, first: str) -> None:
    blocks = story.commits[1].entries if first == "user" else story.commits[2].entries
    replica = story.replica()
    with pytest.raises(LogMisbehaved) as caught:
        replay(replica, blocks)
    assert caught.value.rule == ("R-61.1" if first == "user" else "R-42.4")


def test_signatures_can_be_checked_elsewhere(story: Story) -> None:
    seen: list[tuple[Block, bytes]] = []

    def check(block: Block, log_id: bytes) -> None:
        seen.append((block, log_id))

    commit = replay(story.replica(1), story.commits[1].entries, check)
    assert commit == story.commits[1]
    assert seen == [(item.block, story.actor.log_id) for item in (story.ada, story.bob)]


def test_blocks_of_another_log(story: Story) -> None:
    """The same people, the same labels, signed for another log id."""
    other = replace(story.actor, log_id=NO_LOG_ID)
    stranger = User.create(other, "ada", story.log.anchor, label=ADA)
    batch = [entry.block(LATER, stranger.raw), *story.commits[1].entries[1:]]
    with pytest.raises(LogMisbehaved) as caught:
        replay(story.replica(1), batch)
    assert caught.value.rule == "R-40.4"


def test_batches_are_cut_at_roots(story: Story) -> None:
    assert list(batches(story.log.entries)) == [list(c.entries) for c in story.commits]
    assert list(batches([])) == []
    for cut in range(1, len(story.log.entries)):
        entries = story.log.entries[:cut]
        if entry.parse(entries[-1]).kind == entry.DIRECTORY_ROOT:
            assert list(chain.from_iterable(batches(entries))) == entries
        else:
            with pytest.raises(LogMisbehaved, match=r"R-42\.2"):
                list(batches(entries))
