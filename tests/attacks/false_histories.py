"""Histories that are cut, turned, forked, rolled back, frozen, or told at a wrong time."""

from __future__ import annotations

import asyncio
from pathlib import Path

from ledger.format import wire
from ledger.format.bodies import DAY_MS
from ledger.format.lookup import Bundle
from ledger.tree.merkle import inclusion_proof
from tests.attacks.front import Twists, answering, served
from tests.attacks.liar import Liar
from tests.attacks.stage import ADA, BOB, FAY, Stage
from tests.attacks.suite import BELIEVED, Catch, attack
from tests.attacks.tokens import Token
from tests.client.lies import chains
from tests.http.world import HEARTBEAT
from tests.support.actors import Device, LogActor, User
from tests.vectors.world import World

HOUR_MS = 3_600_000


def links_told(change: slice) -> Twists:
    """Lookups bring only some of a chain's blocks."""

    def cut(bundle: Bundle) -> Bundle:
        return chains(bundle, links=bundle.answers[0].chain.links[change])

    return answering(cut)


# --- left out


@attack("withheld revocation")
async def withheld_revocation(stage: Stage) -> list[Catch]:
    """The directory shows it; the answer leaves it out."""
    async with served(stage.liar(), links_told(slice(None, -1))) as url:
        return [await stage.asks(url, ADA)]


@attack("withheld revocation, under a directory root that hides it")
async def hidden_revocation(stage: Stage) -> list[Catch]:
    """Bob saw it before. Who sees Ada for the first time can't know, and waits for auditors."""
    liar, path = stage.liar(), stage.place() / "trust.db"
    await stage.looks_up(stage.http.url, ADA, path=path)
    hide(liar, stage)
    liar.admit()
    async with served(liar) as url:
        met = [stage.syncs(url), stage.asks(url, ADA, path=path), stage.audits(url)]
        return list(await asyncio.gather(*met))


def hide(liar: Liar, stage: Stage) -> None:
    """From now on, the directory shows Ada's chain without its newest block, the revocation."""
    label = stage.ada.label
    size = liar.links[label][-1].index
    was = stage.as_of(size).chains[label]
    liar.claim(label, links=liar.links[label][:-1], state=was.encoded)


@attack("withheld tail")
async def withheld_tail(stage: Stage) -> list[Catch]:
    """The checkpoint covers entries that are not shown."""

    def cut(_: bytes, data: bytes) -> bytes:
        return data[:-3] if len(data) > 100 else data

    async with served(stage.liar(), {"/tile/entries/": cut}) as url:
        return list(await asyncio.gather(stage.syncs(url), stage.audits(url)))


@attack("withheld tail of a chain")
async def withheld_tail_of_a_chain(stage: Stage) -> list[Catch]:
    async with served(stage.liar(), links_told(slice(None, -2))) as url:
        return [await stage.asks(url, ADA)]


@attack("withheld block, after it was admitted")
async def admitted_and_withheld(stage: Stage) -> list[Catch]:
    """Ada adds a device; the tree in which it was admitted nobody is shown, she neither."""
    liar = stage.liar()

    def admit(body: bytes, _: bytes) -> bytes:
        (submission,) = wire.SubmitRequest.decode(body).submissions
        elsewhere, index = liar.twin(), len(liar.entries)
        elsewhere.admit(submission.block)
        liar.admit()
        liar.admit()
        proof = tuple(inclusion_proof(index, index + 2, elsewhere.tree().read))
        verdict = wire.Admitted(index, elsewhere.time, proof)
        return wire.SubmitAnswer(elsewhere.note(), (verdict,)).encode()

    async with served(liar, {wire.BLOCKS_PATH: admit}) as url:
        return [await stage.adds_a_device(url, stage.ada)]


@attack("dropped middle")
async def dropped_middle(stage: Stage) -> list[Catch]:
    """Of two blocks of Ada's the log has the second only."""
    liar = stage.liar()
    first = stage.ada.add(liar.anchor)
    second = first.after.add(liar.anchor)
    liar.admit(second)
    return await stage.all_meet(liar)


@attack("dropped middle of a chain")
async def dropped_middle_of_a_chain(stage: Stage) -> list[Catch]:
    def drop(bundle: Bundle) -> Bundle:
        links = bundle.answers[0].chain.links
        return chains(bundle, links=(links[0], *links[2:]))

    async with served(stage.liar(), answering(drop)) as url:
        return [await stage.asks(url, ADA)]


# --- turned


@attack("reordering")
async def reordering(stage: Stage) -> list[Catch]:
    """Two blocks of Ada's, the second first."""
    liar = stage.liar()
    first = stage.ada.add(liar.anchor)
    second = first.after.add(liar.anchor)
    liar.admit(second, first)
    return await stage.all_meet(liar)


@attack("reordering of a chain")
async def reordering_of_a_chain(stage: Stage) -> list[Catch]:
    async with served(stage.liar(), links_told(slice(None, None, -1))) as url:
        return [await stage.asks(url, ADA)]


# --- forked


@attack("fork and split view, shown to one client")
async def fork(stage: Stage) -> list[Catch]:
    """Who saw one branch is led to the other."""
    one, other = stage.liar(), stage.liar()
    one.admit(stage.ada.add(one.anchor))
    other.admit(User.create(stage.world.actor, FAY, other.anchor))
    other.admit()
    return await shown(stage, one, other)


@attack("fork and split view, shown to two clients who compare")
async def compared(stage: Stage) -> list[Catch]:
    """Ada and Bob were shown a branch each, and hold their checkpoints side by side."""
    one, other = stage.liar(), stage.liar()
    one.admit(User.create(stage.world.actor, FAY, one.anchor))
    other.admit()
    ada, bob, file = stage.home(stage.ada), stage.home(stage.bob), stage.place() / "checkpoint"
    async with served(one) as hers, served(other) as his:
        for home, url in ((ada, hers), (bob, his)):
            assert (await stage.runs(home, url, "sync")).code == 0
        assert (await stage.runs(bob, his, "checkpoint", "export", "-o", file)).code == 0
        done = await stage.runs(ada, hers, "checkpoint", "compare", file, "--json")
    forked = done.code == 1 and done.facts["verdict"] == "fork"
    rule = "R-61.2" if forked else BELIEVED
    return [Catch("client", rule, done.facts["reason"], Path(done.facts["evidence"]))]


@attack("rollback")
async def rollback(stage: Stage) -> list[Catch]:
    """Who saw all of it is shown an older tree: Ada's revocation has not been."""
    now = stage.liar()
    return await shown(stage, now, stage.liar(now.links[stage.ada.label][-1].index))


async def shown(stage: Stage, first: Liar, then: Liar) -> list[Catch]:
    """Those who believed what they were told first are told something else."""
    place = stage.place()
    replica, trust, state = place / "replica.db", place / "trust.db", place / "state"
    async with served(first) as url:
        await stage.syncs(url, replica)
        await stage.looks_up(url, BOB, path=trust)
        await stage.audits(url, state=state)
    async with served(then) as url:
        met = (
            stage.syncs(url, replica),
            stage.asks(url, BOB, path=trust),
            stage.audits(url, state=state),
        )
        return list(await asyncio.gather(*met))


@attack("alternating directory roots inside one tree")
async def alternating_roots(stage: Stage) -> list[Catch]:
    """One root hides Ada's revocation, for somebody in particular; the next one is true again."""
    liar = stage.liar()
    hide(liar, stage)
    liar.admit()
    liar.claims.clear()
    liar.admit()
    async with served(liar) as url:
        return list(await asyncio.gather(stage.syncs(url), stage.audits(url)))


@attack("a user erased and made anew")
async def made_anew(stage: Stage) -> list[Catch]:
    """The application signs for Ada once more; her label holds another chain from then on.

    Bob saw her before.
    """
    liar, path = stage.liar(), stage.place() / "trust.db"
    await stage.looks_up(stage.http.url, ADA, path=path)
    label, device = stage.ada.label, Device.make("anew")
    token = Token.of(stage.world.actor, ADA, nonce=stage.ada.opening.nonce)
    liar.write(token.create(label, device, liar.anchor))
    liar.claim(label, links=liar.links[label][-1:])
    liar.close()
    async with served(liar) as url:
        met = [stage.syncs(url), stage.asks(url, ADA, path=path), stage.audits(url)]
        return list(await asyncio.gather(*met))


# --- times


def long_ago(stage: Stage) -> World:
    """The same log, as it might have been two days ago: Ada and Bob are in it."""
    world = World(LogActor.make(heartbeat=HEARTBEAT), now=stage.now - 2 * DAY_MS)
    for name in (ADA, BOB):
        world.create(name)
    return world


@attack("stale or frozen checkpoint")
async def frozen(stage: Stage) -> list[Catch]:
    return await stage.all_meet(Liar.of(long_ago(stage)))


@attack("time running backwards")
async def backwards(stage: Stage) -> list[Catch]:
    liar = stage.liar()
    liar.admit(time=liar.time - 60_000)
    return await stage.all_meet(liar)


@attack("time running ahead")
async def ahead(stage: Stage) -> list[Catch]:
    liar = stage.liar()
    liar.admit(time=stage.now + HOUR_MS)
    return await stage.all_meet(liar)


@attack("backdated block")
async def backdated(stage: Stage) -> list[Catch]:
    """It is said to be from the batch before."""
    liar = stage.liar()
    then = liar.time
    liar.write(stage.ada.add(liar.anchor), time=then)
    liar.time = then + 1_000
    liar.close()
    async with served(liar) as url:
        return list(await asyncio.gather(stage.syncs(url), stage.audits(url)))


@attack("long-withheld block")
async def long_withheld(stage: Stage) -> list[Catch]:
    """Ada added a device two days ago; it comes in when it suits the server."""
    world = long_ago(stage)
    liar, signed = Liar.of(world), world.users[0].add(world.anchor)
    liar.admit(time=stage.now - 1_000)
    liar.admit(signed, time=stage.now)
    async with served(liar) as url:
        return list(await asyncio.gather(stage.syncs(url), stage.audits(url)))
