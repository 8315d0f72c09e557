"""Lookups over HTTP: what stands for whom, all of it proven (65-lookups, R-72.7)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ledger.format.block import LOG_LABEL
from ledger.format.login import authenticate
from ledger.format.lookup import (
    LOOKUP_PATH,
    MAX_ANSWER_BYTES,
    MAX_BUNDLE_BYTES,
    Bundle,
    Link,
    LookupRequest,
    Mode,
    Query,
)
from ledger.format.statement import Role
from ledger.log.clock import wall_ms
from ledger.log.pool import CheckPool
from ledger.log.worker import PROVE, Task
from ledger.rules.state import GroupState, LogState, UserState
from ledger.server import lookups
from tests.http.covering import AUDITED, audited_home
from tests.http.lookups import Asker
from tests.http.world import CONFIG, Http, Live, admitted, served
from tests.support.actors import User, Written, signing_key
from tests.support.groups import Group

NOBODY = "nobody@example.org"


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[Live]:
    """With auditors, who cover what audited lookups ask for (R-63.4)."""
    async with served(audited_home(tmp_path / "log").path, AUDITED) as running:
        yield running


async def with_phone(log: Http, user: User) -> User:
    written = user.add(await log.anchor())
    await log.admit(written)
    return written.after


async def asker(log: Http, mode: Mode = Mode.REPLAY) -> Asker:
    return Asker(log, await admitted(log, "asker"), mode)


both = pytest.mark.parametrize("mode", list(Mode))


def devices(state: object) -> list[bytes]:
    assert isinstance(state, UserState)
    return [device.signing for device in state.devices]


@both
async def test_somebody_new_by_identifier(log: Http, mode: Mode) -> None:
    ada = await with_phone(log, await admitted(log, "ada"))
    eve = await asker(log, mode)
    (found,) = await eve.ask("ada")
    assert found.label == ada.label
    assert found.opening == ada.opening
    assert found.chain
    assert found.chain.length == 2
    assert devices(found.chain.state) == [device.signing.public for device in ada.devices]


@both
async def test_nobody(log: Http, mode: Mode) -> None:
    """Absence by identifier and by label is proven too."""
    await admitted(log, "ada")
    eve = await asker(log, mode)
    by_name, by_label = await eve.ask(NOBODY, b"x" * 32)
    assert by_name.chain is by_label.chain is None
    assert by_name.label == log.actor.label(NOBODY)


@both
async def test_a_contact_by_label_again_and_again(log: Http, mode: Mode) -> None:
    """Only what is new comes, and leads on from what was held."""
    ada = await admitted(log, "ada")
    eve = await asker(log, mode)
    for length in range(1, 5):
        (found,) = await eve.ask(ada.label)
        assert found.chain
        assert found.chain.length == length
        answer = await eve.post(eve.request(ada.label))
        (again,) = Bundle.decode(answer.body).answers
        assert (again.chain.links, again.anchored) == ((), None)
        assert (await eve.ask(ada.label))[0] == found
        ada = await with_phone(log, ada)


@both
async def test_a_closed_user_still_has_an_answer(log: Http, mode: Mode) -> None:
    ada = await admitted(log, "ada")
    eve = await asker(log, mode)
    await log.admit(ada.close(await log.anchor()))
    (found,) = await eve.ask("ada")
    assert found.chain
    assert devices(found.chain.state) == []


@both
async def test_a_group_and_the_log_itself(log: Http, mode: Mode) -> None:
    ada, bob = await admitted(log, "ada"), await admitted(log, "bob")
    team = Group.create("team", await log.anchor(), ada, {ada: Role.ADMIN, bob: Role.MEMBER})
    await log.admit(team)
    eve = await asker(log, mode)
    group, itself = await eve.ask(team.after.label, LOG_LABEL)
    assert group.chain
    assert isinstance(group.chain.state, GroupState)
    assert group.chain.state.encryption == team.after.encryption.public
    assert itself.chain
    assert isinstance(itself.chain.state, LogState)
    assert itself.chain.state.log_key == log.actor.log_key.public
    updated = team.after.update(await log.anchor(), ada, rotate=(ada, bob))
    await log.admit(updated)
    (group,) = await eve.ask(team.after.label)
    assert group.chain
    assert (group.chain.length, group.chain.state.head) == (2, updated.block.hash)


async def test_the_logs_own_chain_from_what_is_held(log: Http) -> None:
    ada = await admitted(log, "ada")
    eve = await asker(log)
    await eve.ask(ada.label)
    policy = log.actor.policy(await log.anchor(), enrolment=signing_key("new enrolment"))
    await log.admit(policy)
    held = await bundle(eve, eve.request(ada.label))
    assert held.log
    assert (held.first, held.log.length, len(held.log.links)) == (None, 2, 1)
    anew = Asker(log, eve.user)
    await anew.ask("ada")
    assert anew.log[-1].enrolment == signing_key("new enrolment").public
    audited = await bundle(anew, replace(anew.request(ada.label), mode=Mode.AUDITED, log_held=0))
    assert audited.first
    assert audited.log is None


async def bundle(asker: Asker, request: LookupRequest) -> Bundle:
    answer = await asker.post(request)
    assert answer.status == 200, answer
    assert answer.headers["Content-Type"] == "application/cbor"
    assert answer.headers["Cache-Control"] == "no-store"
    return Bundle.decode(answer.body)


async def test_consistency_from_every_size(log: Http) -> None:
    """Batches end anywhere, and an asker may hold any of their checkpoints, or the newest."""
    ada = await admitted(log, "ada")
    eve = await asker(log)
    seen = [await log.checkpoint()]
    for number in range(1, 7):
        anchor = await log.anchor()
        await log.admit(*(User.create(log.actor, f"{number} {n}", anchor) for n in range(number)))
        seen.append(await log.checkpoint())
    for old in seen:
        holder = Asker(log, eve.user, checkpoint=old)
        (found,) = await holder.ask(ada.label)
        assert found.chain
        assert holder.checkpoint == seen[-1]


@both
async def test_many_at_once(log: Http, mode: Mode) -> None:
    """They share checkpoint, last entry and the log's own chain; the same may be asked twice."""
    anchor = await log.anchor()
    people = [User.create(log.actor, f"person {n}", anchor) for n in range(40)]
    await log.admit(*people)
    eve = await asker(log, mode)
    names = [person.after.opening.identifier for person in people]
    of: list[str | bytes] = [
        *names,
        NOBODY,
        *(person.after.label for person in people[:5]),
        names[0],
    ]
    found = await eve.ask(*of)
    assert [one.label for one in found[:40]] == [person.after.label for person in people]
    assert [one.chain is not None for one in found] == [*[True] * 40, False, *[True] * 6]


async def test_as_many_as_fit_and_the_rest_when_asked_again(
    log: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R-65.1, with another cap than the real one, and with the real one below."""
    monkeypatch.setattr(lookups, "MAX_ANSWER_BYTES", 3_000)
    anchor = await log.anchor()
    people = [User.create(log.actor, f"person {n}", anchor) for n in range(9)]
    await log.admit(*people)
    eve = await asker(log)
    rest: list[str | bytes] = [person.after.label for person in people]
    rounds = []
    while rest:
        taken = await bundle(eve, eve.request(*rest))
        found = await eve.ask(*rest)
        assert 1 <= len(found) == len(taken.answers)
        rest = rest[len(found) :]
        rounds.append(len(found))
    assert len(rounds) > 2
    assert max(rounds) > 1
    monkeypatch.setattr(lookups, "MAX_ANSWER_BYTES", 1)
    assert len(await eve.ask(people[0].after.label, people[1].after.label)) == 1


async def test_the_real_cap(log: Http) -> None:
    """The same long chain, asked for 256 times."""
    ada = await admitted(log, "ada")
    for _ in range(10):
        ada = await with_phone(log, ada)
    eve = await asker(log)
    request = eve.request(*[ada.label] * 256)
    answer = await eve.post(request)
    taken = Bundle.decode(answer.body).answers
    assert 100 < len(taken) < 256
    one = len(answer.body) / len(taken)
    assert MAX_ANSWER_BYTES - one - 2_000 < len(answer.body) < MAX_ANSWER_BYTES + 4_000


async def test_a_chain_that_no_bundle_takes(log: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    """R-65.7: it comes in parts, each in an answer of its own."""
    assert 2 * lookups.MAX_LINKS_BYTES + 262_144 < MAX_BUNDLE_BYTES
    assert lookups.MAX_LINKS_BYTES > MAX_ANSWER_BYTES + 65_535  # or nobody knows it for a part
    bob = await admitted(log, "bob")
    ada = await admitted(log, "ada")
    for _ in range(5):
        ada = await with_phone(log, ada)
    eve = await asker(log)
    answer = await eve.post(eve.request(ada.label))
    whole = Bundle.decode(answer.body).answers[0].chain.links
    monkeypatch.setattr(lookups, "MAX_LINKS_BYTES", 2_000)
    monkeypatch.setattr(lookups, "MAX_ANSWER_BYTES", 1_000)
    links: tuple[Link, ...] = ()
    while len(links) < len(whole):
        query = Query(ada.label, len(links))
        answer = await eve.post(replace(eve.request(ada.label, bob.label), queries=(query,)))
        (part,) = (one.chain for one in Bundle.decode(answer.body).answers)
        assert 1 <= len(part.links) < len(whole)
        assert part.length == len(whole)
        links += part.links
    assert links == whole
    assert len(await eve.ask(bob.label, ada.label)) == 1


async def test_the_logs_own_chain_comes_whole(log: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    eve = await asker(log)
    await log.admit(log.actor.policy(await log.anchor(), enrolment=signing_key("new enrolment")))
    monkeypatch.setattr(lookups, "MAX_LINKS_BYTES", 1)
    answer = await eve.post(eve.request("bob"))
    assert (answer.status, answer.kind, answer.rule) == (413, "too-large", "R-65.7")


async def test_who_may_not_ask(log: Http) -> None:
    """R-72.1 and R-72.7: nobody but a live device of the user who is named."""
    ada = await with_phone(log, await admitted(log, "ada"))
    bob = await admitted(log, "bob")
    eve = Asker(log, ada)
    right = eve.request("bob")
    phone = ada.devices[1].signing
    assert (await eve.post(right, phone)).status == 200
    await log.admit(ada.revoke(await log.anchor(), 1))
    refused: dict[str, tuple[LookupRequest, Any]] = {
        "a stranger": (right, signing_key("stranger")),
        "a revoked device": (right, phone),
        "another user's device": (right, bob.devices[0].signing),
        "in another's name": (replace(right, user=bob.label), eve.key),
        "nobody's name": (replace(right, user=b"x" * 32), eve.key),
        "the log's name": (replace(right, user=LOG_LABEL), log.actor.log_key),
    }
    for what, (request, key) in refused.items():
        answer = await eve.post(request, key)
        assert (answer.status, answer.kind, answer.rule) == (403, "forbidden", "R-72.7"), what
    assert (await eve.post(right)).status == 200
    await log.admit(bob.close(await log.anchor()))
    closed = await Asker(log, bob).post(Asker(log, bob).request("ada"))
    assert (closed.status, closed.rule) == (403, "R-72.7")


@pytest.mark.parametrize("age", [300_001, -310_000])
async def test_a_login_of_another_time(log: Http, age: int) -> None:
    eve = await asker(log)
    request = eve.request("ada").encode()
    log_id, now = log.actor.log_id, wall_ms() - age
    answer = await log.post(LOOKUP_PATH, authenticate(request, LOOKUP_PATH, eve.key, log_id, now))
    assert (answer.status, answer.kind, answer.rule) == (401, "unauthenticated", "R-72.1")


async def test_a_login_for_another_path(log: Http) -> None:
    eve = await asker(log)
    request = eve.request("ada").encode()
    body = authenticate(request, "/v1/boxes", eve.key, log.actor.log_id, wall_ms())
    answer = await log.post(LOOKUP_PATH, body)
    assert (answer.status, answer.rule) == (401, "R-72.1")


async def test_malformed_requests(log: Http) -> None:
    eve = await asker(log)
    right = eve.request("ada")
    size = (await log.checkpoint()).size
    wrong: dict[str, tuple[LookupRequest, str]] = {
        "more than is published": (replace(right, old=size + 1), "R-20.4"),
        "far more": (replace(right, old=2**63 - 1), "R-20.4"),
        "another mode": (replace(right, mode=2), "R-10.4"),
        "no query": (replace(right, queries=()), "R-10.4"),
        "too many": (replace(right, queries=(Query(b"x" * 32),) * 257), "R-10.4"),
        "a short label": (replace(right, queries=(Query(b"x" * 31),)), "R-10.4"),
        "an empty identifier": (replace(right, queries=(Query(""),)), "R-36.5"),
        "a control character": (replace(right, queries=(Query("ada\n"),)), "R-36.5"),
        "a long identifier": (replace(right, queries=(Query("x" * 255),)), "R-10.4"),
        "a size beyond all": (replace(right, old=2**63), "R-10.4"),
        "held beyond all": (replace(right, log_held=2**63), "R-10.4"),
    }
    for what, (request, rule) in wrong.items():
        answer = await eve.post(request)
        assert (answer.status, answer.kind, answer.rule) == (400, "malformed", rule), what
    assert (await eve.post(replace(right, old=size))).status == 200
    assert (await eve.post(replace(right, queries=(Query(b"x" * 32),) * 256))).status == 200
    raw = right.encode()
    log_id = log.actor.log_id
    for request_bytes in (raw + b"\0", raw[:-1], b"\x80"):
        body = authenticate(request_bytes, LOOKUP_PATH, eve.key, log_id, wall_ms())
        assert (await log.post(LOOKUP_PATH, body)).status == 400
    assert (await log.get(LOOKUP_PATH)).status == 405


async def test_more_held_than_there_is(log: Http) -> None:
    """The answer says how it is; what that means, the asker knows."""
    ada = await admitted(log, "ada")
    eve = await asker(log)
    request = replace(
        eve.request("ada"), log_held=9, queries=(Query(ada.label, 9), Query(NOBODY, 9))
    )
    found = await bundle(eve, request)
    assert found.log
    assert (found.log.length, found.log.links) == (1, ())
    assert [answer.chain.length for answer in found.answers] == [1, 0]
    assert [answer.chain.links for answer in found.answers] == [(), ()]


async def test_so_many_identifiers_of_one_user(tmp_path: Path) -> None:
    """R-72.7: another user at the same address goes on; labels count as one request."""
    config = replace(CONFIG, rates=replace(CONFIG.rates, lookups="12/minute"))
    async with served(tmp_path / "log", config) as live:
        log = live.http
        eve, bob = await asker(log), Asker(log, await admitted(log, "bob"))
        assert (await eve.post(eve.request(*"abcdefgh"))).status == 200
        assert (await eve.post(eve.request(*[eve.user.label] * 50))).status == 200
        assert (await eve.post(eve.request(*"ijk"))).status == 200
        over = await eve.post(eve.request("l"))
        assert (over.status, over.kind) == (429, "too-many")
        assert int(over.headers["Retry-After"]) > 0
        assert (await bob.post(bob.request(*"ijk"))).status == 200
        in_eves_name = await bob.post(replace(bob.request("m"), user=eve.user.label))
        assert in_eves_name.status == 403


async def test_so_many_requests_of_one_peer(tmp_path: Path) -> None:
    config = replace(CONFIG, rates=replace(CONFIG.rates, lookups="3/minute"))
    async with served(tmp_path / "log", config) as live:
        eve = await asker(live.http)
        stranger = signing_key("stranger")
        statuses = [(await eve.post(eve.request("ada"), stranger)).status for _ in range(4)]
        assert statuses == [403, 403, 403, 429]


async def test_identifiers_are_in_no_path_and_no_log_line(
    log: Http, capsys: pytest.CaptureFixture[str]
) -> None:
    """36-labels: whatever becomes of the request."""
    await admitted(log, "secret.person@example.org")
    eve = await asker(log)
    right = eve.request("secret.person@example.org", "secret.nobody@example.org")
    assert (await eve.post(right)).status == 200
    assert (await eve.post(right, signing_key("stranger"))).status == 403
    control = Query("secret\n@example.org")
    assert (await eve.post(replace(right, queries=(control,)))).status == 400
    assert (await eve.post(replace(right, old=2**40))).status == 400
    captured = capsys.readouterr()
    assert "status=403" in captured.out
    assert captured.out.count("status=400") == 2
    assert "secret" not in captured.out + captured.err
    for identifier in ("secret.person@example.org", "secret.nobody@example.org"):
        assert log.actor.label(identifier).hex() not in captured.out


async def test_an_opening_that_is_lost(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's own fault, and no bundle that lacks something."""
    log = live.http
    ada = await admitted(log, "ada")
    eve = await asker(log)
    monkeypatch.setattr(type(live.served.service.private), "opening", lambda *_: None)
    answer = await eve.post(eve.request("ada"))
    assert (answer.status, answer.kind) == (503, "unavailable")
    assert (await eve.post(eve.request(ada.label, NOBODY))).status == 200


async def test_proofs_of_identifiers_are_remembered(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made once while they are; the oldest are forgotten, and made again."""
    monkeypatch.setattr("ledger.log.pool._REMEMBERED_PROOFS", 2)
    pool = live.served.service.pool
    made: list[str] = []
    put = type(pool)._put

    def counting(pool: CheckPool, tasks: list[Task]) -> asyncio.Future[list[Any]]:
        made.extend(task[1] for task in tasks if task[0] == PROVE)
        return put(pool, tasks)

    monkeypatch.setattr(type(pool), "_put", counting)
    eve = await asker(live.http)
    for name in ("a", "b", "a", "c", "a", "b", "a"):
        assert (await eve.ask(name))[0].chain is None
    assert made == ["a", "b", "c", "b"]


@both
async def test_during_commits(log: Http, mode: Mode) -> None:
    """Every answer is whole and of one moment, whatever is published meanwhile."""
    ada = await admitted(log, "ada")
    user = (await asker(log)).user
    sizes: set[int] = set()
    writing = True

    async def look() -> None:
        mine = Asker(log, user, mode)
        while writing:
            found = await mine.ask(ada.label, "person 3.0", NOBODY)
            assert found[0].chain
            assert found[2].chain is None
            assert mine.checkpoint
            sizes.add(mine.checkpoint.size)

    lookers = [asyncio.create_task(look()) for _ in range(3)]
    for number in range(12):
        anchor = await log.anchor()
        written: list[Written[User]] = [
            User.create(log.actor, f"person {number}.{n}", anchor) for n in range(8)
        ]
        phone = ada.add(anchor)
        await log.admit(*written, phone)
        ada = phone.after
    writing = False
    await asyncio.gather(*lookers)
    assert len(sizes) > 3


async def test_after_a_restart(tmp_path: Path) -> None:
    async with served(tmp_path / "log") as live:
        eve = await asker(live.http)
        await admitted(live.http, "ada")
        await eve.ask("ada", NOBODY)
    async with served(tmp_path / "log") as live:
        eve.http = live.http
        (found, nobody) = await eve.ask("ada", NOBODY)
        assert found.chain
        assert nobody.chain is None
        newcomer = await admitted(live.http, "newcomer")
        assert (await eve.ask(newcomer.label))[0].chain
