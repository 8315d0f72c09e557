"""Which blocks a batch takes: place in the chain, anchor, and what a batch is (R-42 to R-44)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from ledger.errors import RuleViolation, StaleAnchor, StaleHead
from ledger.format import entry
from ledger.format.block import LOG_LABEL, Anchor
from ledger.format.bodies import DAY_MS
from ledger.log.commit import NO_LINK, Commit
from ledger.log.planner import Admission, Batch, plan
from ledger.rules.context import Context, Outcome
from ledger.tree.merkle import EMPTY_ROOT, leaf_hash, root_of
from tests.support.actors import NOW, LogActor, User, Written, seed
from tests.support.memory import MemoryLog
from tests.support.naive import directory_root

ADA, BOB, EVE = (name * 32 for name in (b"a", b"b", b"e"))
LABELS = {"ada": ADA, "bob": BOB, "eve": EVE}


class Town:
    """A log of two batches: its first block, then ada. Leaf 2 is ada's, the next block's is 4."""

    def __init__(self) -> None:
        founding = LogActor.make()
        self.actor = founding.after
        self.log = MemoryLog(founding.raw)
        self.early = self.log.anchor
        self.created = self.newcomer("ada")
        self.log.admit([self.created.raw])
        self.ada = self.created.after

    def newcomer(self, name: str, anchor: Anchor | None = None) -> Written[User]:
        return User.create(self.actor, name, anchor or self.log.anchor, label=LABELS[name])

    def ends(self, size: int) -> Anchor:
        return Anchor(size, root_of([leaf_hash(data) for data in self.log.entries[:size]]))


@pytest.fixture
def town() -> Town:
    return Town()


def verdict(log: MemoryLog, raw: bytes, now: int = NOW) -> str:
    """The rule that a block is refused by, or `admitted`."""
    result = log.plan([raw], now).results[0]
    return result.rule if isinstance(result, RuleViolation) else "admitted"


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, "R-44.1"),
        (1, "R-44.2"),  # a block, and no batch's end
        (2, "admitted"),
        (3, "R-44.2"),
        (4, "admitted"),  # the head, which is the block's own index
    ],
)
def test_the_anchor_is_the_end_of_a_batch(town: Town, size: int, expected: str) -> None:
    assert verdict(town.log, town.newcomer("bob", town.ends(size)).raw) == expected


@pytest.mark.parametrize("size", [5, 6, 2**63 - 1])
def test_the_anchor_lies_before_the_block(town: Town, size: int) -> None:
    assert verdict(town.log, town.newcomer("bob", Anchor(size, town.log.head.root)).raw) == "R-44.1"


def test_an_anchor_within_the_batch_is_no_end(town: Town) -> None:
    """At leaf 5 a size of 5 lies before the block, but nothing was published there."""
    bob = town.newcomer("bob")
    entries = [*town.log.entries, entry.block(NOW, bob.raw)]
    inside = Anchor(5, root_of([leaf_hash(data) for data in entries]))
    results = town.log.plan([bob.raw, town.newcomer("eve", inside).raw]).results
    assert isinstance(results[0], Admission)
    assert isinstance(results[1], RuleViolation)
    assert results[1].rule == "R-44.2"


@pytest.mark.parametrize("size", [2, 4])
def test_the_anchors_root_is_that_of_its_size(town: Town, size: int) -> None:
    other = town.ends(6 - size).root
    assert verdict(town.log, town.newcomer("bob", Anchor(size, other)).raw) == "R-44.2"
    assert verdict(town.log, town.newcomer("bob", Anchor(size, bytes(32))).raw) == "R-44.2"


@pytest.mark.parametrize(("age", "expected"), [(DAY_MS, "admitted"), (DAY_MS + 1, "R-44.3")])
def test_an_anchor_is_good_for_a_day(town: Town, age: int, expected: str) -> None:
    town.log.admit([], NOW + 1_000)  # the age counts from the anchor's batch, not from the head's
    raw = town.newcomer("bob", town.early).raw
    assert verdict(town.log, raw, NOW + age) == expected
    result = town.log.plan([raw], NOW + age).results[0]
    assert isinstance(result, StaleAnchor) == (expected == "R-44.3")


def test_the_anchor_holds_the_block_before(town: Town) -> None:
    assert town.early.size == town.log.blocks_of(ADA)[0]
    refused = town.log.plan([town.ada.add(town.early).raw]).results[0]
    assert isinstance(refused, StaleAnchor)
    assert refused.rule == "R-44.4"
    assert verdict(town.log, town.ada.add(town.log.anchor).raw) == "admitted"


def test_two_blocks_of_a_chain_never_share_a_batch(town: Town) -> None:
    bob = town.newcomer("bob")
    results = town.log.plan([bob.raw, bob.after.add(town.log.anchor).raw]).results
    assert isinstance(results[0], Admission)
    assert isinstance(results[1], StaleAnchor)
    assert results[1].rule == "R-44.4"


@pytest.mark.parametrize(
    "change",
    [
        lambda user: replace(user, seq=2),
        lambda user: replace(user, seq=2**32 - 1),
        lambda user: replace(user, head=seed("another head")),
    ],
)
def test_a_stale_head_says_what_to_build_on(town: Town, change: Callable[[User], User]) -> None:
    stale = change(town.ada).add(town.log.anchor)
    refused = town.log.plan([stale.raw]).results[0]
    assert isinstance(refused, StaleHead)
    assert refused.rule == "R-43.1"
    assert (refused.length, refused.head, refused.index) == (1, town.created.block.hash, 2)
    rebuilt = replace(town.ada, seq=refused.length, head=refused.head).add(town.log.anchor)
    assert verdict(town.log, rebuilt.raw) == "admitted"


def test_a_chain_moves_on(town: Town) -> None:
    """The block that was right a batch ago is stale now."""
    phone = town.ada.add(town.log.anchor)
    town.log.admit([phone.raw])
    refused = town.log.plan([phone.raw]).results[0]
    assert isinstance(refused, StaleHead)
    assert (refused.length, refused.head, refused.index) == (2, phone.block.hash, 4)
    assert verdict(town.log, town.ada.close(town.log.anchor).raw) == "R-43.1"
    assert verdict(town.log, phone.after.close(town.log.anchor).raw) == "admitted"


def test_a_create_needs_a_free_label(town: Town) -> None:
    refused = town.log.plan([town.newcomer("ada").raw]).results[0]
    assert isinstance(refused, StaleHead)
    assert (refused.rule, refused.length, refused.index) == ("R-43.2", 1, 2)
    assert verdict(town.log, town.newcomer("bob").raw) == "admitted"


def test_other_types_need_a_chain(town: Town) -> None:
    stranger = replace(town.ada, label=EVE)
    refused = town.log.plan([stranger.add(town.log.anchor).raw]).results[0]
    assert isinstance(refused, RuleViolation)
    assert not isinstance(refused, StaleHead)
    assert refused.rule == "R-43.2"


def test_a_chain_takes_blocks_of_its_own_kind(town: Town) -> None:
    """Bytes with such a label are malformed already (R-41.3); the rule holds by itself."""
    policy = town.actor.policy(town.log.anchor, limits=replace(town.actor.limits, max_devices=3))
    for item, label in ((policy.block, ADA), (town.ada.add(town.log.anchor).block, LOG_LABEL)):
        assert isinstance(plan(town.log, [item], NOW).results[0], Admission)
        (refused,) = plan(town.log, [replace(item, label=label)], NOW).results
        assert isinstance(refused, RuleViolation)
        assert refused.rule == "R-43.2"


def test_a_log_begins_once(town: Town) -> None:
    again, other = LogActor.make().raw, LogActor.make("example.org/other").raw
    assert verdict(town.log, again) == "R-42.4"
    assert verdict(town.log, other) == "R-42.4"
    first = MemoryLog().plan([again, other]).results
    assert isinstance(first[0], Admission)
    assert isinstance(first[1], RuleViolation)
    assert first[1].rule == "R-42.4"


@pytest.mark.parametrize("anchor", [Anchor(1, EMPTY_ROOT), Anchor(0, bytes(32))])
def test_the_first_block_is_anchored_in_nothing(anchor: Anchor) -> None:
    first = LogActor.make().block
    assert isinstance(plan(MemoryLog(), [first], NOW).results[0], Admission)
    (refused,) = plan(MemoryLog(), [replace(first, anchor=anchor)], NOW).results
    assert isinstance(refused, RuleViolation)
    assert refused.rule == "R-42.4"


def test_a_log_begins_with_its_first_block(town: Town) -> None:
    refused, first = MemoryLog().plan([town.created.raw, LogActor.make().raw]).results
    assert isinstance(refused, RuleViolation)
    assert refused.rule == "R-42.4"
    assert isinstance(first, Admission)
    assert first.index == 0


BAD: dict[str, Callable[[Town], bytes]] = {
    "stale head": lambda town: replace(town.ada, seq=7).add(town.log.anchor).raw,
    "stale anchor": lambda town: town.ada.add(town.early).raw,
    "no such anchor": lambda town: town.newcomer("eve", Anchor(3, bytes(32))).raw,
    "no chain": lambda town: replace(town.ada, label=EVE).close(town.log.anchor).raw,
    "a second first block": lambda town: LogActor.make().raw,
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_bad_block_never_fails_its_neighbours(town: Town, name: str, place: int) -> None:
    good = [town.newcomer("bob").raw, town.ada.add(town.log.anchor).raw]
    offered = [*good[:place], BAD[name](town), *good[place:]]
    planned, without = town.log.plan(offered), town.log.plan(good)
    assert isinstance(planned.results[place], RuleViolation)
    assert tuple(r for r in planned.results if isinstance(r, Admission)) == without.results
    assert same(planned.commit, without.commit)


def same(one: Commit, two: Commit) -> bool:
    """Whether both write the same."""
    return one == two and one.chains == two.chains and one.directory.writes == two.directory.writes


def test_vetting_keeps_out_what_the_rules_admit(town: Town) -> None:
    def vet(at: Context, outcome: Outcome) -> None:
        assert outcome.recipients
        assert (batch.chain(at.block.label) is None) == (at.block.seq == 0)
        if at.block.label == BOB:
            raise RuleViolation("R-55.3", "not bob")

    batch = Batch(town.log, NOW)
    assert isinstance(batch.admit(town.newcomer("bob").block, vet), RuleViolation)
    admitted = batch.admit(town.ada.add(town.log.anchor).block, vet)
    assert isinstance(admitted, Admission)
    assert admitted.index == 4
    assert len(batch.close().entries) == 2


def test_no_blocks_are_a_heartbeat(town: Town) -> None:
    before = town.log.head
    commit = town.log.plan([], NOW + 5).commit
    assert commit.entries == (entry.directory_root(NOW + 5, before.directory),)
    assert commit.links == (NO_LINK,)
    assert (commit.after.size, commit.after.directory) == (before.size + 1, before.directory)
    assert not commit.chains
    assert not commit.directory.writes


def test_planning_changes_nothing(town: Town) -> None:
    before = (town.log.head, list(town.log.entries), dict(town.log.chains), town.log.directory.root)
    town.log.plan([town.newcomer("bob").raw])
    after = (town.log.head, town.log.entries, town.log.chains, town.log.directory.root)
    assert after == before


@pytest.mark.parametrize(("now", "time"), [(NOW + 7, NOW + 7), (NOW - 7, NOW), (0, NOW)])
def test_time_never_goes_back(town: Town, now: int, time: int) -> None:
    """R-42.3, R-73.3: all entries of a batch, and what the states say of it."""
    planned = town.log.plan([town.newcomer("bob").raw, town.ada.add(town.log.anchor).raw], now)
    assert {entry.parse(data).time for data in planned.commit.entries} == {time}
    assert planned.commit.after.time == time
    assert planned.commit.chains[BOB].state.born == time


def test_what_a_commit_says(town: Town) -> None:
    bob, phone = town.newcomer("bob"), town.ada.add(town.log.anchor)
    planned = town.log.plan([bob.raw, phone.raw])
    commit = planned.commit
    everything = [*town.log.entries, *commit.entries]
    assert commit.before == town.log.head
    assert commit.after.size == len(everything) == 7
    assert commit.after.root == root_of([leaf_hash(data) for data in everything])
    assert commit.links == (NO_LINK, 2, NO_LINK)
    values = {label: chain.value for label, chain in (town.log.chains | commit.chains).items()}
    assert commit.after.directory == directory_root(values)
    assert entry.parse(commit.entries[-1]).body == commit.after.directory
