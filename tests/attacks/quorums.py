"""Lies to those who ask for cosignatures: of witnesses, who compare trees, and of auditors.

They are the real ones: `keyroll-verifier witness`, and `audit --cosign`.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from ledger.client.lookups.pins import Standing
from ledger.client.policy import Policy
from ledger.format.lookup import Bundle, Mode
from tests.attacks.cosigners import (
    Cosigner,
    Witness,
    quorum_of,
    quorum_text,
    submit,
    witnessing,
)
from tests.attacks.false_histories import HOUR_MS, hide
from tests.attacks.forged_keys import GHOST
from tests.attacks.front import answering, served
from tests.attacks.liar import Liar
from tests.attacks.stage import ADA, FAY, Stage
from tests.attacks.suite import BELIEVED, Catch, attack
from tests.client.lies import answers
from tests.support.actors import User

MINUTE_MS = 60_000


async def cosign(liar: Liar, *witnesses: Witness) -> None:
    """Have a tree cosigned by witnesses who have no reason not to."""
    for one in witnesses:
        assert (await submit(liar, one)).rule == BELIEVED


async def both_meet(stage: Stage, liar: Liar, policy: Policy, later: int = 0) -> list[Catch]:
    """Clients who ask for a quorum: one that replays the log, one that looks Ada up."""
    async with served(liar) as url:
        met = (
            stage.syncs(url, policy=policy, later=later),
            stage.asks(url, ADA, policy=policy, later=later),
        )
        return list(await asyncio.gather(*met))


@attack("fork and split view, with a quorum of witnesses")
async def split_view(stage: Stage) -> list[Catch]:
    """Two of three witnesses cosign one branch; one of them must cosign the other too."""
    one, other = stage.liar(), stage.liar()
    one.admit(stage.ada.add(one.anchor))
    other.admit(User.create(stage.world.actor, FAY, other.anchor))
    async with witnessing(stage.place(), stage.world.actor, 3) as trio:
        await cosign(one, *trio[:2])
        await cosign(other, trio[2])
        refused = await submit(other, trio[1])
        policy = Policy(witnesses=quorum_of(2, trio))
        assert {met.rule for met in await both_meet(stage, one, policy)} == {BELIEVED}
        return [refused, *await both_meet(stage, other, policy)]


@attack("rollback, before witnesses")
async def rolled_back(stage: Stage) -> list[Catch]:
    """A log that lost its newest batch wants the older tree cosigned, to go on from there."""
    now, then = stage.liar(), stage.liar(stage.world.log.blocks_of(stage.ada.label)[-1])
    async with witnessing(stage.place(), stage.world.actor, 1) as (one,):
        await cosign(now, one)
        then.admit(User.create(stage.world.actor, FAY, then.anchor))
        while len(then.entries) <= len(now.entries):
            then.admit()
        return [await submit(then, one)]


@attack("time running ahead of a quorum's cosignatures")
async def ahead_of_the_quorum(stage: Stage) -> list[Catch]:
    """An entry of six minutes from now, cosigned now, is shown when it does not look wrong."""
    liar = stage.liar()
    liar.admit(time=stage.now + 6 * MINUTE_MS)
    async with witnessing(stage.place(), stage.world.actor, 2) as pair:
        await cosign(liar, *pair)
        file = stage.place() / "witnesses.policy"
        file.write_text(quorum_text(2, pair))
        policy = Policy(witnesses=quorum_of(2, pair))
        met = await both_meet(stage, liar, policy, 3 * MINUTE_MS)
        return [replace(one, witnesses=file) for one in met]


@attack("stale checkpoint, by a quorum's time")
async def stale_by_the_quorum(stage: Stage) -> list[Catch]:
    """A tree that was cosigned 25 hours ago."""
    liar = stage.liar()
    async with witnessing(stage.place(), stage.world.actor, 2) as pair:
        await cosign(liar, *pair)
        policy = Policy(witnesses=quorum_of(2, pair))
        return await both_meet(stage, liar, policy, 25 * HOUR_MS)


# --- auditors


@attack("alternating directory roots inside one tree, shown to who asks for auditors")
async def uncovered(stage: Stage) -> list[Catch]:
    """Bob sees Ada without her revocation. The auditor does not cosign that; a day goes by."""
    liar, path = stage.liar(), stage.place() / "trust.db"
    hide(liar, stage)
    liar.admit()
    auditor = await Cosigner.make(stage.place(), "auditor.example/1")
    policy = Policy(auditors=quorum_of(1, [auditor]))
    async with served(liar) as url:
        (found,) = await stage.looks_up(url, ADA, path=path, policy=policy)
        assert found.standing == Standing.PROVISIONAL
        audited = await stage.audits(url, "--cosign", auditor.key)
        assert not liar.cosignatures
        return [audited, await stage.waits(url, path, policy, 25 * HOUR_MS)]


@attack("alternating directory roots inside one tree, met twice by one client")
async def met_twice(stage: Stage) -> list[Catch]:
    """Bob sees Ada without her revocation, later with it: it stood under the tree that he saw."""
    liar, path = stage.liar(), stage.place() / "trust.db"
    auditor = await Cosigner.make(stage.place(), "auditor.example/1")
    policy = Policy(auditors=quorum_of(1, [auditor]))
    async with served(liar) as url:
        hide(liar, stage)
        liar.admit()
        await stage.looks_up(url, ADA, path=path, policy=policy)
        liar.claims.clear()
        liar.admit()
        return [await stage.asks(url, ADA, path=path, policy=policy)]


@attack("key substituted at lookup, in audited mode")
async def substituted_state(stage: Stage) -> list[Catch]:
    """Before auditors covered the tree, and after: then in the state that is brought."""
    auditor = await Cosigner.make(stage.place(), "auditor.example/1")
    policy = Policy(Mode.AUDITED, auditors=quorum_of(1, [auditor]))
    liar, real = stage.liar(), stage.ada.devices[1].signing.public

    def change(bundle: Bundle) -> Bundle:
        state = bundle.answers[0].state or b""
        return answers(bundle, state=state.replace(real, GHOST))

    async with served(liar, answering(change)) as url:
        before = await stage.asks(url, ADA, policy=policy)
        assert (await stage.audits(url, "--cosign", auditor.key)).rule == BELIEVED
        assert len(liar.cosignatures) == 1
        after = await stage.asks(url, ADA, policy=policy)
    async with served(liar) as url:
        (found,) = await stage.looks_up(url, ADA, policy=policy)
        assert found.standing == Standing.SETTLED
    return [before, after]
