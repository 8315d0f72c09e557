"""One's own devices' newest anchor lies in the tree that is shown, whoever wrote since (R-44.2)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ledger.client.evidence.of_lookups import proof_of_anchor
from ledger.client.history import history, log_history
from ledger.client.lookups.light import check_own_anchor, own_step
from ledger.client.lookups.pins import Outcome, Own
from ledger.errors import LogMisbehaved
from ledger.format import block as blocks
from ledger.format import entry
from ledger.format.block import LOG_LABEL, Anchor
from ledger.format.lookup import Link
from ledger.format.wire import decode_proof, encode_proof
from ledger.tree.merkle import leaf_hash, root_of
from tests.client.conftest import Live
from tests.client.light_world import ADA, LightWorld, keep
from tests.client.people import People
from tests.client.provers import Prover, proven
from tests.client.test_light_session import light
from tests.support.actors import User, seed
from tests.support.lookups import Teller


@pytest.fixture(scope="module")
def world() -> LightWorld:
    """Ada's first device adds her phone, and the phone a tablet."""
    world = LightWorld.make()
    tablet = world.ada.add(world.log.anchor, author=1)
    world.ada = tablet.after
    world.admit(tablet.raw)
    return world


def own(world: LightWorld, *devices: int) -> Own:
    return Own(world.ada.label, frozenset(world.ada.devices[n].signing.public for n in devices))


def on_a_fork(world: LightWorld) -> Teller:
    """The phone was added by who had seen another tree; the rest is true, and so are the states."""
    first, second, third = world.teller.told[world.ada.label].links
    young = User.create(world.actor, ADA, Anchor(1, bytes(32))).after
    young = replace(young, head=blocks.parse(entry.parse(first.entry).body).hash)
    added = young.add(Anchor(second.index, seed("fork")), world.ada.devices[1])
    entries = list(world.teller.entries)
    entries[second.index] = _with(second, added.raw).entry
    root = root_of(list(map(leaf_hash, entries[: third.index])))
    tablet = added.after.add(Anchor(third.index, root), author=1)
    entries[third.index] = _with(third, tablet.raw).entry
    links = tuple(Link(one.index, entries[one.index]) for one in (first, second, third))
    log = [(one.index, one.entry) for one in world.teller.told[LOG_LABEL].links]
    states = log_history(world.log.log_id, log)
    steps = history(states, world.log.log_id, [(one.index, one.entry) for one in links])
    state = list(steps)[-1].chain.encoded
    return world.teller.telling(world.ada.label, links=links, state=state).lying(entries=entries)


def _with(link: Link, raw: bytes) -> Link:
    return Link(link.index, entry.block(entry.parse(link.entry).time, raw))


def checked(world: LightWorld, outcome: Outcome, teller: Teller) -> None:
    step = own_step(outcome, own(world, 0))
    assert step
    check_own_anchor(step, outcome, teller.consistency(step.block.anchor.size))


def test_whose_anchor_is_asked_for(world: LightWorld) -> None:
    outcome = world.ask(ADA)
    steps = outcome.found[0].steps
    assert own_step(outcome, own(world, 0)) is steps[1]
    assert own_step(outcome, own(world, 0, 1)) is None  # has looked at the last one
    assert own_step(outcome, own(world, 2)) is None
    assert own_step(outcome, Own(world.ada.label, frozenset({bytes(32)}))) is None
    assert own_step(outcome, Own(world.bob.label, own(world, 0).keys)) is None
    assert own_step(outcome, None) is None
    again = world.ask(world.ada.label, held=keep(world.held(), outcome))
    assert own_step(again, own(world, 0)) is None


def test_it_is_in_the_tree(world: LightWorld) -> None:
    checked(world, world.ask(ADA), world.teller)


def test_it_is_not_in_the_tree(world: LightWorld) -> None:
    """Nobody else notices: each rule of a lookup holds."""
    lying = on_a_fork(world)
    outcome = world.ask(ADA, teller=lying)
    with pytest.raises(LogMisbehaved, match=r"R-44\.2") as caught:
        checked(world, outcome, lying)
    assert caught.value.evidence["bundle"] == outcome.bundle


@pytest.mark.parametrize("lies", [True, False])
async def test_the_evidence(world: LightWorld, lies: bool) -> None:
    teller = on_a_fork(world) if lies else world.teller
    outcome = world.ask(ADA, teller=teller)
    link = teller.told[world.ada.label].links[1]
    server = Prover([*teller.entries, teller.last])
    file = await proof_of_anchor(outcome.view, link, server)
    assert (proven(file, world.log.log_id) if lies else file) == (
        ("anchor", "R-44.2") if lies else None
    )


async def test_at_the_server(live: Live, people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof is asked for once; one that does not hold is not believed."""
    phone = await people.ada.add_device()
    await people.ada.add_device()
    account = replace(people.ada.account, devices=(phone,))
    for is_true in (True, False):
        async with light(live, account) as log:
            ask, asked = log._transport.consistency, list[tuple[int, int]]()

            async def told(old: int, new: int) -> bytes:
                asked.append((old, new))  # noqa: B023
                proof = decode_proof(await ask(old, new))  # noqa: B023
                return encode_proof(proof if is_true else proof[:-1])  # noqa: B023

            monkeypatch.setattr(log._transport, "consistency", told)
            if is_true:
                await log.refresh()
                await log.refresh()
                assert len(asked) == 1
            else:
                with pytest.raises(LogMisbehaved, match=r"R-44\.2"):
                    await log.refresh()
                assert log.trust.pin(log.label) is None
