"""Keys that nobody's owner put there: forged, ghost, substituted; and words out of their place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cbor2

from ledger.format import cose
from ledger.format.bodies import BlockType, Limits
from ledger.format.lookup import Bundle, Link
from ledger.rules.state import UserState
from ledger.tree import vrf
from tests.attacks.front import answering, served
from tests.attacks.liar import Liar
from tests.attacks.stage import ADA, BOB, FAY, Stage
from tests.attacks.suite import Catch, attack
from tests.client.lies import answers, chains
from tests.support.actors import Device, LogActor, User, seed, signing_key
from tests.vectors.draft import FIELDS, envelope, pairs_of, payload_of
from tests.vectors.world import World

GHOST = signing_key("a device that nobody added").public


@attack("forged first device")
async def forged_first_device(stage: Stage) -> list[Catch]:
    """Fay is registered by the server, without the application."""
    liar = stage.liar()
    server = replace(stage.world.actor, enrolment=signing_key("the server's own"))
    forged = User.create(server, FAY, liar.anchor)
    liar.admit(forged)
    return [*await stage.all_meet(liar, FAY), *await stage.hands_in(forged)]


@attack("ghost device")
async def ghost_device(stage: Stage) -> list[Catch]:
    """A device is added by one that Ada never had."""
    liar = stage.liar()
    forged = replace(stage.ada, devices=(Device.make("ghost"),)).add(liar.anchor)
    liar.admit(forged)
    return [*await stage.all_meet(liar), *await stage.hands_in(forged)]


@attack("ghost device, added by who holds a stolen device")
async def ghost_by_a_thief(stage: Stage) -> list[Catch]:
    """The rules hold; that Ada did not do it only Ada can know."""
    liar = stage.liar()
    liar.admit(stage.ada.add(liar.anchor, Device.make("the thief's"), author=1))
    async with served(liar) as url:
        return [await stage.looks_at_herself(url)]


@attack("key substituted at lookup")
async def key_substituted(stage: Stage) -> list[Catch]:
    """On the way to Bob, the phone's key becomes another."""

    def change(bundle: Bundle) -> Bundle:
        return chains(bundle, links=haunted(stage, bundle.answers[0].chain.links))

    async with served(stage.liar(), answering(change)) as url:
        return [await stage.asks(url, ADA)]


def haunted(stage: Stage, links: tuple[Link, ...]) -> tuple[Link, ...]:
    """Ada's chain, with a ghost's key in place of her phone's."""
    real = stage.ada.devices[1].signing.public
    return tuple(Link(link.index, link.entry.replace(real, GHOST)) for link in links)


@attack("key substituted at lookup, and a directory root signed to match")
async def key_substituted_and_signed(stage: Stage) -> list[Catch]:
    liar = stage.liar()
    links = haunted(stage, liar.links[stage.ada.label])
    liar.claim(stage.ada.label, links=links)
    liar.admit()
    return await stage.all_meet(liar)


@attack("a state that does not follow from the chain")
async def a_state_of_its_own(stage: Stage) -> list[Catch]:
    """The directory holds a ghost that no block brought."""
    liar = stage.liar()
    state = liar.chains[stage.ada.label].state
    assert isinstance(state, UserState)
    ghost = replace(state.devices[0], signing=GHOST)
    liar.claim(stage.ada.label, state=replace(state, devices=(*state.devices, ghost)).encode())
    liar.admit()
    async with served(liar) as url:
        typed = await stage.types(stage.home(stage.bob), url, "lookup", ADA)
    return [*await stage.all_meet(liar), typed]


# --- replay from elsewhere


async def in_the_log(stage: Stage, forged: bytes) -> list[Catch]:
    """A block of Ada's, or so it says, stands in the log, and is handed in at the honest one."""
    liar = stage.liar()
    liar.admit(forged)
    return [*await stage.all_meet(liar), *await stage.hands_in_bytes(forged)]


def moved(raw: bytes, **fields: Any) -> bytes:
    """The block with other fields, under the signatures that it had."""
    value = cbor2.loads(payload_of(raw))
    changed = [fields.get(name, value[at]) for at, name in enumerate(FIELDS)]
    return envelope(cbor2.dumps(changed), pairs_of(raw))


@attack("replay from another log")
async def replay_of_another_log(stage: Stage) -> list[Catch]:
    elsewhere = replace(stage.ada, log_id=seed("another log"))
    return await in_the_log(stage, elsewhere.add(stage.world.anchor).raw)


@attack("replay from another label")
async def replay_of_another_label(stage: Stage) -> list[Catch]:
    """What Bob signed, in Ada's chain."""
    signed, ada = stage.bob.add(stage.world.anchor).raw, stage.ada
    return await in_the_log(stage, moved(signed, label=ada.label, seq=ada.seq, prev=ada.head))


@attack("replay from another type")
async def replay_of_another_type(stage: Stage) -> list[Catch]:
    """Ada's first block again, as a reset."""
    created, ada = User.create(stage.world.actor, ADA, stage.world.anchor).raw, stage.ada
    reset = moved(created, type=int(BlockType.USER_RESET), seq=ada.seq, prev=ada.head)
    return await in_the_log(stage, reset)


@attack("replay from another context")
async def replay_of_another_context(stage: Stage) -> list[Catch]:
    """Ada's devices signed these bytes, but as a statement."""
    added = stage.world.draft(stage.ada.add(stage.world.anchor))
    return await in_the_log(stage, added.under(cose.STATEMENT).raw)


# --- signatures


@attack("signatures stripped")
async def stripped(stage: Stage) -> list[Catch]:
    added = stage.ada.add(stage.world.anchor).raw
    return await in_the_log(stage, envelope(payload_of(added), pairs_of(added)[:1]))


@attack("signatures swapped")
async def swapped(stage: Stage) -> list[Catch]:
    added = stage.ada.add(stage.world.anchor).raw
    return await in_the_log(stage, envelope(payload_of(added), pairs_of(added)[::-1]))


@attack("signatures recombined")
async def recombined(stage: Stage) -> list[Catch]:
    """Ada signed for one device; here that stands under another's."""
    one = stage.ada.add(stage.world.anchor, Device.make("hers")).raw
    two = stage.ada.add(stage.world.anchor, Device.make("the server's")).raw
    return await in_the_log(stage, envelope(payload_of(two), [pairs_of(one)[0], pairs_of(two)[1]]))


# --- who is who


@attack("another first block under the same origin")
async def another_first_block(stage: Stage) -> list[Catch]:
    """The same origin and the same keys, but other limits: another log."""
    other = World(LogActor.make(limits=Limits(max_devices=3)), now=stage.now)
    for name in (ADA, BOB):
        other.create(name)
    return await stage.all_meet(Liar.of(other))


@attack("identifier mapped to another label")
async def mapped_to_another_label(stage: Stage) -> list[Catch]:
    """Who asks for Ada is shown Bob's chain, with the VRF's proof that it is Bob's."""
    proof = vrf.prove(stage.world.actor.vrf_secret, BOB.encode())

    def change(bundle: Bundle) -> Bundle:
        return answers(bundle, label=stage.bob.label, vrf_proof=proof)

    async with served(stage.liar(), answering(change)) as url:
        return [await stage.asks(url, ADA)]


@attack("identifier's opening mapped to another commitment")
async def opened_to_another(stage: Stage) -> list[Catch]:
    """Under Fay's label stands who registered as somebody else, and the application agreed."""
    liar = stage.liar()
    label = stage.world.actor.label(FAY)
    liar.admit(User.create(stage.world.actor, "mallory@example.org", liar.anchor, label=label))
    async with served(liar) as url:
        return [await stage.asks(url, FAY)]
