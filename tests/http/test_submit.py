"""POST /v1/blocks: a verdict for each, whatever its neighbours are (R-71)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from ledger.format import wire
from ledger.format.block import Anchor
from ledger.format.identity import Opening
from ledger.log.cosigning import SignedTree
from ledger.server.config import SequencerConfig
from tests.http.world import CONFIG, Http, Live, served
from tests.log.world import until
from tests.support.actors import LogActor, Written, seed
from tests.support.actors import User as Person


async def people(log: Http, count: int) -> list[Written[Person]]:
    """Newcomers, anchored in the newest checkpoint."""
    anchor = await log.anchor()
    return [Person.create(log.actor, f"person {n} of {anchor.size}", anchor) for n in range(count)]


def refused(verdict: wire.Verdict) -> wire.Refused:
    assert isinstance(verdict, wire.Refused), verdict
    return verdict


async def test_a_life_of_a_user(log: Http) -> None:
    """Every type of block, over HTTP; each proof is checked in `admit`."""
    created = await log.user("ada@example.org")
    await log.admit(created)
    phone = created.after.add(await log.anchor())
    await log.admit(phone)
    revoked = phone.after.revoke(await log.anchor(), 1)
    await log.admit(revoked)
    closed = revoked.after.close(await log.anchor())
    await log.admit(closed)
    anew = closed.after.reset(log.actor, await log.anchor())
    await log.admit(anew)
    policy = log.actor.policy(await log.anchor(), enrolment=log.actor.authority)
    assert refused((await log.submit(policy)).verdicts[0]).rule == "R-51.3"


async def test_one_bad_among_64(log: Http) -> None:
    everyone = await people(log, 64)
    broken = replace(everyone[40], raw=everyone[40].raw[:-1])
    answer = await log.submit(*everyone[:40], broken, *everyone[41:])
    assert refused(answer.verdicts[40]).kind == "malformed"
    good = [v for v in answer.verdicts if isinstance(v, wire.Admitted)]
    assert len(good) == 63
    assert len({verdict.index for verdict in good}) == 63
    await log.admit(*everyone)


async def test_every_kind_of_refusal_in_one_request(log: Http) -> None:
    ada = await log.user("ada")
    old = await log.anchor()
    await log.admit(ada)
    now = await log.anchor()
    forged = await log.user("forged")
    forged = replace(forged, raw=forged.raw[:-1] + bytes([forged.raw[-1] ^ 1]))
    stranger = replace(await log.user("stranger"), opening=None)
    stale = replace(ada.after, head=bytes(31) + b"\1").add(now)
    early = ada.after.add(old)
    control = await log.user("bell")
    control = replace(control, opening=Opening(bytes(32), "be\all"))
    long = replace(control, opening=Opening(bytes(32), "b" * 255))
    broken: Written[Any] = Written(b"no block", None)
    answer = await log.submit(forged, stranger, stale, early, control, long, broken)
    found = [(v.kind, v.rule) for v in map(refused, answer.verdicts)]
    assert found == [
        ("signature", "R-40.4"),
        ("rule", "R-71.4"),
        ("stale-head", "R-43.1"),
        ("stale-anchor", "R-44.4"),
        ("malformed", "R-36.5"),
        ("malformed", "R-36.5"),
        ("malformed", "R-40.1"),
    ]
    assert log.open(answer.checkpoint).size == now.size


async def test_the_same_block_twice_and_later(log: Http) -> None:
    """R-71.3."""
    ada = await log.user("ada")
    first, second = await log.admit(ada, ada)
    assert first == second
    size = (await log.checkpoint()).size
    await log.admit(await log.user("bob"))
    (again,) = await log.admit(ada)
    assert (again.index, again.time) == (first.index, first.time)
    assert (await log.checkpoint()).size == size + 2


async def test_old_and_new_blocks_share_an_answer(log: Http) -> None:
    """All proofs of one answer are for its one checkpoint."""
    ada, bob = await people(log, 2)
    await log.admit(ada)
    await log.admit(bob, ada)
    await log.admit(ada, bob)


async def test_a_stale_head_says_what_to_build_on(log: Http) -> None:
    ada = await log.user("ada")
    await log.admit(ada)
    phone, tablet = ada.after.add(await log.anchor()), ada.after.close(await log.anchor())
    answer = await log.submit(phone, tablet)
    first, verdict = answer.verdicts
    stale = refused(verdict)
    assert isinstance(first, wire.Admitted)
    assert stale.kind == "stale-head"
    assert stale.head == wire.ChainHead(2, sha256(phone.raw).digest(), first.index)
    again = replace(phone.after, seq=stale.head.length, head=stale.head.hash)
    await log.admit(again.close(await log.anchor()))


async def test_two_blocks_of_one_chain_in_one_request(log: Http) -> None:
    ada = await log.user("ada")
    phone = ada.after.add(await log.anchor())
    first, second = (await log.submit(ada, phone)).verdicts
    assert isinstance(first, wire.Admitted)
    assert refused(second).kind == "stale-anchor"
    await log.admit(ada.after.add(await log.anchor()))


async def test_anchors_of_another_log_are_refused(log: Http) -> None:
    anchor = await log.anchor()
    for wrong in (Anchor(anchor.size, bytes(32)), Anchor(anchor.size + 1, anchor.root)):
        person = Person.create(log.actor, "ada", wrong)
        assert refused((await log.submit(person)).verdicts[0]).kind == "rule"
    await log.admit(Person.create(log.actor, "ada", anchor))


async def test_another_log_s_blocks_are_refused(log: Http) -> None:
    """Signed for another log id: no signature of it holds here."""
    other = LogActor.make("example.net/other").after
    ada = Person.create(other, "ada", await log.anchor(), label=log.actor.label("ada"))
    assert refused((await log.submit(ada)).verdicts[0]).kind == "signature"


async def test_boxes_of_the_wrong_shape_are_a_verdict(log: Http) -> None:
    ada = await log.user("ada")
    for boxes in ((), (bytes(80),), (*ada.boxes, *ada.boxes)):
        verdict = refused((await log.submit(replace(ada, boxes=boxes))).verdicts[0])
        assert (verdict.kind, verdict.rule) == ("rule", "R-55.3")
    await log.admit(ada)


async def test_many_connections_at_once(log: Http) -> None:
    everyone = await people(log, 150)
    await asyncio.gather(*(log.admit(person) for person in everyone))
    anchor = await log.anchor()
    phones = [person.after.add(anchor) for person in everyone]
    await asyncio.gather(*(log.admit(*phones[at : at + 10]) for at in range(0, 150, 10)))


async def test_a_full_queue_is_503_and_takes_nothing(tmp_path: Path) -> None:
    """R-70.4."""
    config = replace(CONFIG, sequencer=SequencerConfig(max_queue=64, linger_ms=0.5))
    held = asyncio.Event()

    async def hold(tree: SignedTree) -> bytes:
        await held.wait()
        return tree.note

    async with served(tmp_path / "log", config, cosign=hold) as live:
        log = live.http
        everyone = await people(log, 66)
        asked = [asyncio.create_task(log.submit(person)) for person in everyone[:64]]
        await until(lambda: live.served.service.sequencer.queued == 64)
        items = tuple(wire.Submission(p.raw, p.boxes, p.opening) for p in everyone[64:])
        answer = await log.post(wire.BLOCKS_PATH, wire.SubmitRequest(items).encode())
        assert (answer.status, answer.kind) == (503, "busy")
        assert int(answer.headers["Retry-After"]) >= 1
        assert live.served.service.sequencer.queued == 64
        held.set()
        for one in await asyncio.gather(*asked):
            assert isinstance(one.verdicts[0], wire.Admitted)
        await log.admit(*everyone[64:])


async def test_proofs_hold_across_batches_of_all_sizes(log: Http) -> None:
    """Receipts from the batch, and proofs from tiles: the same leaves, the same trees."""
    kept: list[Written[Person]] = []
    for count in (1, 2, 3, 5, 8, 13, 1):
        newcomers = await people(log, count)
        await log.admit(*newcomers)
        kept += newcomers
    tree = await log.checkpoint()
    for person, verdict in zip(kept, await log.admit(*kept), strict=True):
        data = await log.entry(verdict.index, tree.size)
        assert person.raw in data
        path = f"/v1/proofs/inclusion?index={verdict.index}&size={tree.size}"
        assert wire.decode_proof((await log.get(path)).body) == verdict.proof


@pytest.mark.parametrize("count", [0, 65])
async def test_requests_have_1_to_64_submissions(log: Http, count: int) -> None:
    ada = await log.user("ada")
    item = wire.Submission(ada.raw, ada.boxes, ada.opening)
    answer = await log.post(wire.BLOCKS_PATH, wire.SubmitRequest((item,) * count).encode())
    assert (answer.status, answer.kind, answer.rule) == (400, "malformed", "R-10.4")


async def test_the_log_remembers_labels_it_proved(live: Live) -> None:
    """The VRF is evaluated once: when the label is asked for (here: as if it had been)."""
    log, pool = live.http, live.served.service.pool
    ada = await log.user("ada")
    label, _ = await pool.prove("ada")
    assert label == ada.after.label
    await log.admit(ada)
    foreign = Person.create(log.actor, "ada", await log.anchor(), label=seed("elsewhere"))
    assert refused((await log.submit(foreign)).verdicts[0]).rule == "R-71.4"
