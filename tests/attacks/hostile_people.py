"""Applications that enrol whom they should not, stolen devices, members who want more.

Each block is handed in at the honest log, which refuses it. Then the log is in league with them.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, TypeAlias

from ledger.format import block as blocks
from ledger.format.block import Anchor
from ledger.format.bodies import BlockType, DeviceRevoke
from ledger.format.keys import EncryptionKey
from ledger.format.statement import Role
from ledger.seal.boxes import box_root
from tests.attacks.front import served
from tests.attacks.stage import ADA, BOB, FAY, Stage
from tests.attacks.suite import Catch, attack
from tests.attacks.tokens import Token
from tests.support.actors import Device, User, Written, encryption_key, sealed, signing_key
from tests.support.groups import Group, Member
from tests.vectors.draft import envelope, pairs_of, payload_of


async def both(stage: Stage, forged: Written[Any], ask: str | bytes = ADA) -> list[Catch]:
    """The honest log refuses it; one that does not is caught."""
    liar = stage.liar()
    liar.admit(forged)
    return [*await stage.hands_in(forged), *await stage.all_meet(liar, ask)]


# --- the application


@attack("enrolment token used twice")
async def token_used_twice(stage: Stage) -> list[Catch]:
    """Bob registered with a token like this one; with it somebody comes again."""
    token = Token.of(stage.world.actor, BOB, nonce=stage.bob.opening.nonce)
    again = token.create(stage.bob.label, Device.make("not his"), stage.world.anchor)
    return await both(stage, again, BOB)


@attack("enrolment token used for another purpose")
async def token_of_another_purpose(stage: Stage) -> list[Catch]:
    """What lets Ada register is used to reset her."""
    token = Token.of(stage.world.actor, ADA, nonce=stage.ada.opening.nonce)
    return await both(stage, token.reset(stage.ada, Device.make("not hers"), stage.world.anchor))


@attack("enrolment token used after expiry")
async def token_expired(stage: Stage) -> list[Catch]:
    token = Token.of(stage.world.actor, FAY, expiry=stage.world.log.head.time - 60_000)
    label = stage.world.actor.label(FAY)
    return await both(stage, token.create(label, Device.make("late"), stage.world.anchor), FAY)


@attack("enrolment token used for another person")
async def token_of_another_person(stage: Stage) -> list[Catch]:
    """Mallory's token, under Fay's label. What the public sees is in order."""
    token = Token.of(stage.world.actor, "mallory@example.org")
    label = stage.world.actor.label(FAY)
    forged = token.create(label, Device.make("mallory's"), stage.world.anchor)
    liar = stage.liar()
    liar.admit(forged)
    async with served(liar) as url:
        return [*await stage.hands_in(forged), await stage.asks(url, FAY)]


# --- devices


@attack("signing after revocation")
async def after_revocation(stage: Stage) -> list[Catch]:
    """The tablet that Ada revoked adds another device."""
    thief = replace(stage.ada, devices=stage.before.devices)
    return await both(stage, thief.add(stage.world.anchor, author=3))


@attack("a key without possession")
async def without_possession(stage: Stage) -> list[Catch]:
    """Ada's computer brings in a device whose key did not sign."""
    added = stage.ada.add(stage.world.anchor)
    pairs = pairs_of(added.raw)
    raw = envelope(payload_of(added.raw), [pairs[0], (pairs[1][0], pairs[0][1])])
    return await both(stage, replace(added, raw=raw))


Sealing: TypeAlias = list[tuple[bytes, bytes]]
"""Recipients' public keys, and the secrets in their boxes."""


def rotation(user: User, new: EncryptionKey, sealing: Sealing, anchor: Anchor) -> Written[None]:
    """The user's first device revokes the last one, and hands the new user key to whom it likes."""
    *_, leaving = (device.signing.public for device in user.devices)
    author = user.devices[0].signing
    boxes = tuple(sealed(secret, recipient) for recipient, secret in sealing)
    root = box_root([recipient for recipient, _ in sealing], boxes)
    raw = blocks.write(
        *(BlockType.DEVICE_REVOKE, user.label, user.seq, user.head, anchor),
        DeviceRevoke(author.public, (leaving,), new.public, root),
        signers=[author],
        log_id=user.log_id,
    )
    return Written(raw, None, boxes)


@attack("wrong recipients of a rotation")
async def wrong_recipients(stage: Stage) -> list[Catch]:
    """Missing, extra, foreign, twice, revoked: the thief of Ada's computer locks her phone out.

    Where the log lets it pass, the phone can't open its box, and knows what to think.
    """
    new, ada = encryption_key("the thief's"), stage.ada
    computer, phone, laptop = (one.encryption.public for one in ada.devices)
    foreign, last = stage.bob.devices[0].encryption.public, (new.public, ada.user_key.secret)
    wrong = ([computer], [computer, phone, foreign], [computer, foreign], [computer, computer])
    found: list[Catch] = []
    for recipients in (*wrong, [computer, laptop]):
        sealing = [*((one, new.secret) for one in recipients), last]
        forged, liar = rotation(ada, new, sealing, stage.world.anchor), stage.liar()
        pairs = zip((recipient for recipient, _ in sealing), forged.boxes, strict=True)
        liar.handed[len(liar.entries)] = list(pairs)
        liar.admit(forged)
        async with served(liar) as url:
            found += [*await stage.hands_in(forged), await stage.opens(url, ada)]
    return found


@attack("a rotation that reuses an old key")
async def reused_key(stage: Stage) -> list[Catch]:
    """Ada's user key becomes the one that the revoked tablet knew."""
    old, ada = stage.before.user_key, stage.ada
    sealing = [(device.encryption.public, old.secret) for device in ada.devices[:2]]
    sealing.append((old.public, ada.user_key.secret))
    return await both(stage, rotation(ada, old, sealing, stage.world.anchor))


@attack("two blocks after the same prev")
async def two_after_one(stage: Stage) -> list[Catch]:
    """Ada's phone goes on from where the revocation went on."""
    return await both(stage, stage.before.add(stage.world.anchor, author=1))


# --- members


async def said(stage: Stage, forged: Written[Group]) -> list[Catch]:
    """The honest log refuses it. In one that does not, Ada reads it, and a mandated auditor."""
    liar = stage.liar()
    liar.admit(forged)
    async with served(liar) as url:
        met = (stage.reads(url, stage.ada), stage.audits_statements(url))
        return [*await stage.hands_in(forged), *await asyncio.gather(*met)]


@attack("silent group member")
async def silent_member(stage: Stage) -> list[Catch]:
    """Bob, no admin, puts Eve in; he was even given the group's signing key."""
    put: dict[Member, Role] = {stage.eve: Role.MEMBER}
    return await said(stage, stage.team.update(stage.world.anchor, stage.bob, put))


@attack("silent group member, without the group's key")
async def silent_member_by_the_server(stage: Stage) -> list[Catch]:
    put: dict[Member, Role] = {stage.eve: Role.MEMBER}
    own = replace(stage.team, signing=signing_key("the server's own"))
    forged = own.update(stage.world.anchor, stage.bob, put)
    return await both(stage, forged, stage.team.label)


@attack("an ordinary member writing as admin")
async def member_as_admin(stage: Stage) -> list[Catch]:
    people = [stage.ada, stage.bob]
    return await said(stage, stage.team.update(stage.world.anchor, stage.bob, rotate=people))


@attack("re-adding oneself after removal")
async def re_added(stage: Stage) -> list[Catch]:
    """Eve with the keys that she still has; then with the newest, which somebody gave her."""
    put: dict[Member, Role] = {stage.eve: Role.MEMBER}
    hers = replace(stage.team, signing=stage.old_team.signing)
    old = await both(stage, hers.update(stage.world.anchor, stage.eve, put), stage.team.label)
    return [*old, *await said(stage, stage.team.update(stage.world.anchor, stage.eve, put))]


@attack("promoting oneself")
async def promoted(stage: Stage) -> list[Catch]:
    put: dict[Member, Role] = {stage.bob: Role.ADMIN}
    return await said(stage, stage.team.update(stage.world.anchor, stage.bob, put))


@attack("removal without rotation")
async def no_rotation(stage: Stage) -> list[Catch]:
    """By an admin: who was removed would still hold the keys."""
    gone = stage.team.update(stage.world.anchor, stage.ada, removed=[stage.bob])
    return await said(stage, gone)


@attack("a stale prev")
async def stale_prev(stage: Stage) -> list[Catch]:
    """An update of the group that goes on from before Eve was removed."""
    then = replace(stage.team, head=stage.old_team.head)
    forged = then.update(stage.world.anchor, stage.ada, rotate=[stage.ada, stage.bob])
    return await both(stage, forged, stage.team.label)


@attack("a withheld statement")
async def withheld_statement(stage: Stage) -> list[Catch]:
    """The newest statement of the group is not shown: was Eve removed by it, or not?"""
    liar = stage.liar()
    del liar.beside[liar.links[stage.team.label][-1].index]
    async with served(liar) as url:
        met = (stage.reads(url, stage.bob), stage.audits_statements(url))
        return list(await asyncio.gather(*met))
