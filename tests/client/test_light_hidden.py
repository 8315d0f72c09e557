"""Alternating directory roots in one tree, as one client meets them: R-65.7.

A log hides a block from who asks, by a directory root that does not follow, and shows it to them
later, under a root that does. Each answer is true by itself; both can't be.
"""

from __future__ import annotations

import pytest

from ledger.client.lookups.light import joined
from ledger.client.lookups.pins import Held
from ledger.client.policy import Policy
from ledger.errors import LogMisbehaved
from ledger.format.block import LOG_LABEL
from tests.client.light_world import ADA, AUDITED, REPLAY, LightWorld, keep
from tests.support.lookups import Teller

POLICIES = [REPLAY, AUDITED]


@pytest.fixture(scope="module")
def world() -> LightWorld:
    return LightWorld.make()


def hiding(world: LightWorld, label: bytes) -> Teller:
    """All entries are there, but the last one's directory hides the last block of a chain."""
    told, before = world.teller.told[label], world.tellers[0].told[label]
    assert len(told.links) == len(before.links) + 1
    return world.teller.telling(label, links=before.links, state=before.state)


def without(world: LightWorld, label: bytes) -> Teller:
    """The same, but it hides all of a chain."""
    told = {one: what for one, what in world.teller.told.items() if one != label}
    return world.teller.lying(told=told)


def after(world: LightWorld, teller: Teller) -> Teller:
    """The truth, a batch later than that."""
    return world.teller.lying(entries=[*teller.entries, teller.last])


def seen(world: LightWorld, teller: Teller, policy: Policy) -> Held:
    return keep(world.held(), world.ask(ADA, policy=policy, teller=teller))


@pytest.mark.parametrize("by_label", [True, False])
@pytest.mark.parametrize("policy", POLICIES)
def test_a_block_was_hidden(world: LightWorld, policy: Policy, by_label: bool) -> None:
    lying, of = hiding(world, world.ada.label), world.ada.label if by_label else ADA
    held = seen(world, lying, policy)
    with pytest.raises(LogMisbehaved, match=r"R-65\.7.*hidden") as caught:
        world.ask(of, policy=policy, held=held, teller=after(world, lying))
    assert caught.value.evidence["pin"]
    (found,) = world.ask(of, policy=policy, held=seen(world, world.tellers[1], policy)).found
    assert found.new_leaves == [world.tellers[1].size]  # the least that is true


@pytest.mark.parametrize("policy", POLICIES)
def test_a_block_was_hidden_from_who_saw_it_twice(world: LightWorld, policy: Policy) -> None:
    """Under which tree the chain was shown last counts, not the one that brought its blocks."""
    held, lying = seen(world, world.tellers[0], policy), hiding(world, world.ada.label)
    held = keep(held, world.ask(world.ada.label, policy=policy, held=held, teller=lying))
    with pytest.raises(LogMisbehaved, match=r"R-65\.7"):
        world.ask(world.ada.label, policy=policy, held=held, teller=after(world, lying))


@pytest.mark.parametrize("policy", POLICIES)
def test_a_chain_was_hidden(world: LightWorld, policy: Policy) -> None:
    lying = without(world, world.ada.label)
    held = seen(world, lying, policy)
    assert held.absent == {world.ada.label: lying.size}
    with pytest.raises(LogMisbehaved, match=r"R-65\.7"):
        world.ask(ADA, policy=policy, held=held, teller=after(world, lying))


def test_a_policy_was_hidden(world: LightWorld) -> None:
    lying = hiding(world, LOG_LABEL)
    held = seen(world, lying, REPLAY)
    truth = after(world, lying)
    with pytest.raises(LogMisbehaved, match=r"R-65\.7"):
        world.ask(ADA, held=held, teller=truth)
    with pytest.raises(LogMisbehaved, match=r"R-65\.7"):
        joined(world.ask(ADA, teller=truth), held.view, truth.consistency(held.view.size))


def test_what_was_not_shown_was_not_hidden(world: LightWorld) -> None:
    """In audited mode the tree that was seen moves on, and the log's own chain is not shown."""
    held = seen(world, world.tellers[0], REPLAY)
    audited = keep(held, world.ask(ADA, policy=AUDITED, held=held))
    assert (audited.view.size, audited.view.shown) == (world.teller.size, held.view.size)
    assert len(world.ask(ADA, held=audited).view.chain) == 2
