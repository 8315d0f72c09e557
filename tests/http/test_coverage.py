"""What auditors cosign: candidates, the covered checkpoint, and lookups under it (63-auditors)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from shutil import copytree

import pytest

from ledger.errors import StoreError
from ledger.format.lookup import Bundle, Mode
from ledger.format.note import Note, open_note, parse_note
from ledger.log.clock import wall_ms
from ledger.rules.state import UserState
from ledger.server.config import AuditorsConfig
from tests.http.covering import AUDITED, AUDITORS, audited_home, cover, hand_in, signed, size_of
from tests.http.lookups import Asker, Found
from tests.http.world import Http, Live, admitted, served
from tests.support.lookups import Auditor

A, B, C = AUDITORS
STRANGER = Auditor.make("stranger")


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[Live]:
    async with served(audited_home(tmp_path / "log").path, AUDITED) as running:
        yield running


async def candidate(log: Http) -> bytes:
    answer = await log.get("/v1/candidate")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    return answer.body


async def covered(log: Http) -> bytes:
    answer = await log.get("/v1/covered")
    assert answer.status == 200
    return answer.body


def times(note: bytes) -> dict[str, int | None]:
    """When each auditor cosigned a note."""
    _, verified = open_note(note, [one.verifier for one in AUDITORS])
    return {one.verifier.name: one.time for one in verified}


async def eve(log: Http) -> Asker:
    """Asks in audited mode, for what is covered then."""
    return Asker(log, await admitted(log, "eve"), Mode.AUDITED, covers=False)


async def why_not(asker: Asker, *of: str | bytes) -> tuple[int, str, str | None]:
    """Status, kind and rule of the answer to a lookup."""
    answer = await asker.post(asker.request(*of))
    assert int(answer.headers["Retry-After"]) > 0
    return answer.status, answer.kind, answer.rule


NOT_COVERED = (503, "not-covered", "R-63.4")


async def test_a_log_without_auditors(tmp_path: Path) -> None:
    """Neither page is there, and nothing is audited (R-63.4)."""
    async with served(tmp_path / "log") as live:
        for path in ("/v1/candidate", "/v1/covered"):
            assert (await live.http.get(path)).kind == "not-found"
        note = signed((await live.http.get("/checkpoint")).body, A)
        assert (await hand_in(live.http, note)).kind == "not-found"
        assert "auditors" not in (await live.http.get("/v1/log")).json


async def test_a_quorum_covers_the_candidate_and_the_next_one_is_the_newest(live: Live) -> None:
    log = live.http
    assert (await log.get("/v1/covered")).kind == "not-found"
    assert (await log.get("/v1/log")).json["auditors"] == [one.verifier.vkey for one in AUDITORS]
    first = await candidate(log)
    assert first == (await log.get("/checkpoint")).body
    await admitted(log, "ada")
    assert await candidate(log) == first  # it is held out until enough have signed it
    assert (await hand_in(log, signed(first, A))).status == 204
    assert (await log.get("/v1/covered")).kind == "not-found"
    assert (await hand_in(log, signed(first, A))).status == 204  # who signs twice counts once
    assert (await log.get("/v1/covered")).kind == "not-found"
    assert (await hand_in(log, signed(first, B))).status == 204
    assert times(await covered(log)).keys() == {"first", "second"}
    log.open(await covered(log))
    assert size_of(await covered(log)) == 2
    assert await candidate(log) == (await log.get("/checkpoint")).body
    assert size_of(await candidate(log)) == 4
    assert b"keyroll_covered_size 2.0" in (await log.get("/metrics")).body


async def test_what_is_covered_already_is_shown_until_something_is_newer(live: Live) -> None:
    log = live.http
    await cover(log)
    assert await candidate(log) == await covered(log)
    await admitted(log, "ada")
    assert size_of(await candidate(log)) == 4 > size_of(await covered(log))


async def test_later_cosignatures_join_or_take_the_place_of_earlier_ones(live: Live) -> None:
    """R-63.2: under the candidate, and under what is covered."""
    log = live.http
    note = await candidate(log)
    assert (await hand_in(log, signed(note, A, late=-60_000))).status == 204
    assert (await hand_in(log, signed(note, A, late=-30_000))).status == 204
    assert (await hand_in(log, signed(note, A, late=-90_000))).status == 204  # an old one again
    assert (await hand_in(log, signed(note, B, late=-60_000))).status == 204
    before = times(await covered(log))
    now = wall_ms() // 1000
    assert before["first"]
    assert before["second"]
    assert abs(before["first"] - (now - 30)) < 10
    await admitted(log, "ada")
    await candidate(log)  # the covered one is not the candidate any more
    assert (await hand_in(log, signed(note, B, C))).status == 204
    after = times(await covered(log))
    assert after.keys() == {"first", "second", "third"}
    assert after["first"] == before["first"]
    assert after["second"]
    assert after["second"] > before["second"]


async def test_what_is_not_taken(live: Live) -> None:
    """R-63.2, each beside its nearest that is taken."""
    log = live.http
    old = (await log.get("/checkpoint")).body
    await admitted(log, "ada")
    note = await candidate(log)
    other = parse_note(signed(note, B)).signatures[-1]
    spoilt = replace(other, blob=other.blob[:-1] + bytes([other.blob[-1] ^ 1]))
    both = parse_note(signed(note, A))
    refused = [
        (409, "candidate", signed(old, A)),
        (409, "candidate", signed(note.replace(b"\n4\n", b"\n5\n", 1), A)),
        (403, "forbidden", note),
        (403, "forbidden", signed(note, STRANGER)),
        (403, "forbidden", Note(both.text, (*both.signatures, spoilt)).encode()),
        (403, "forbidden", signed(note, A, A)),
        (403, "forbidden", signed(note, A, late=320_000)),
        (403, "forbidden", signed(note, A, late=-wall_ms())),
        (400, "malformed", b""),
        (400, "malformed", signed(note, A)[:-1]),
        (400, "malformed", b"\x00" + signed(note, A)),
        (400, "malformed", signed(note, *[STRANGER] * 63) + other.line.encode()),
        (400, "malformed", b"x" * 200_000),
        (413, "too-large", b"x" * (1 << 20 | 1)),
    ]
    for status, kind, body in refused:
        answer = await hand_in(log, body)
        assert (answer.status, answer.kind) == (status, kind), body
    for media_type in ("application/cbor", "text/plain; charset=latin-1", "text/html"):
        answer = await log.post("/v1/cosignatures", signed(note, A), **{"Content-Type": media_type})
        assert answer.kind == "media-type"
    assert (await log.get("/v1/covered")).kind == "not-found"
    assert (await hand_in(log, signed(note, A, late=280_000))).status == 204
    assert (await hand_in(log, signed(note, B, STRANGER))).status == 204
    assert times(await covered(log)).keys() == {"first", "second"}
    assert STRANGER.name.encode() not in await covered(log)


def devices(found: list[Found]) -> int:
    (one,) = found
    assert one.chain
    assert isinstance(one.chain.state, UserState)
    return len(one.chain.state.devices)


async def test_audited_lookups_show_what_was_covered(live: Live) -> None:
    """R-63.4: checkpoint, proofs and states are all of that moment, whatever came since."""
    log = live.http
    asker, ada = await eve(log), await admitted(log, "ada")
    assert await why_not(asker, "ada") == NOT_COVERED
    await cover(log)
    first = await log.checkpoint()
    for length in range(2, 5):
        written = ada.add(await log.anchor())
        await log.admit(written)
        ada = written.after
        assert devices(await asker.ask(ada.label)) == length - 1
        assert asker.checkpoint == first
        (nobody,) = await asker.ask(f"person {length}")
        assert nobody.chain is None
        await admitted(log, f"person {length}")
        await candidate(log)
        assert devices(await asker.ask(ada.label)) == length - 1
        await cover(log)
        first = await log.checkpoint()
        assert devices(await asker.ask(ada.label)) == length
        (somebody,) = await asker.ask(f"person {length}")
        assert somebody.chain
        answer = await asker.post(asker.request(ada.label))
        assert times(Bundle.decode(answer.body).checkpoint).keys() == {"first", "second"}


async def test_nobody_is_taken_back_behind_what_they_saw(live: Live) -> None:
    """R-63.4: whoever has seen a newer tree waits for it to be covered."""
    log = live.http
    asker = await eve(log)
    await cover(log)
    await asker.ask("eve")
    await admitted(log, "ada")
    asker.checkpoint = await log.checkpoint()
    assert await why_not(asker, "ada") == NOT_COVERED
    await cover(log)
    assert devices(await asker.ask("ada")) == 1


async def test_what_was_covered_outlives_the_server(tmp_path: Path) -> None:
    """R-63.3; its snapshot does, if nothing newer was published."""
    home = audited_home(tmp_path / "log")
    async with served(home.path, AUDITED) as live:
        asker = await eve(live.http)
        await cover(live.http)
        note = await covered(live.http)
    async with served(home.path, AUDITED) as live:
        asker.http = live.http
        assert await covered(live.http) == note == await candidate(live.http)
        assert devices(await asker.ask("eve")) == 1
        await admitted(live.http, "ada")
    async with served(home.path, AUDITED) as live:
        asker.http = live.http
        assert await covered(live.http) == note
        assert await why_not(asker, "eve") == NOT_COVERED
        assert (await hand_in(live.http, signed(note, C))).status == 204
        assert times(await covered(live.http)).keys() == {"first", "second", "third"}
        assert await why_not(asker, "eve") == NOT_COVERED
        await cover(live.http)
        assert devices(await asker.ask("ada")) == 1


async def test_a_covered_file_that_is_damaged_or_ahead(tmp_path: Path) -> None:
    home = audited_home(tmp_path / "log")
    copytree(home.path, tmp_path / "older")
    async with served(home.path, AUDITED) as live:
        await admitted(live.http, "ada")
        await cover(live.http)
        note = await covered(live.http)
    home.covered_file.write_bytes(note[:-1])
    with pytest.raises(StoreError, match="damaged"):
        async with served(home.path, AUDITED):
            pass
    (tmp_path / "older" / "covered").write_bytes(note)
    with pytest.raises(StoreError, match="restore what is newer"):
        async with served(tmp_path / "older", AUDITED):
            pass


async def test_nothing_is_covered_that_could_not_be_written(tmp_path: Path) -> None:
    """R-63.3: durable before it is served."""
    home = audited_home(tmp_path / "log")
    async with served(home.path, AUDITED) as live:
        home.covered_file.mkdir()
        note = await candidate(live.http)
        assert (await hand_in(live.http, signed(note, A))).status == 204
        answer = await hand_in(live.http, signed(note, B))
        assert (answer.status, answer.kind) == (503, "unavailable")
        assert (await live.http.get("/v1/covered")).kind == "not-found"
        home.covered_file.rmdir()
        assert (await hand_in(live.http, signed(note, B))).status == 204
        assert home.covered_file.read_bytes() == await covered(live.http)


async def test_snapshots_are_not_kept_for_ever(tmp_path: Path) -> None:
    """A candidate that nobody signs is replaced, and one that was covered long ago let go."""
    path = audited_home(tmp_path / "log").path
    config = replace(AUDITED, auditors=AuditorsConfig("auditors.policy", patience=0.2))
    async with served(path, config) as live:
        log = live.http
        asker = await eve(log)
        await cover(log)
        first = await candidate(log)
        await asyncio.sleep(0.6)
        assert await candidate(log) == first  # nothing newer: there is nothing to let go of
        await admitted(log, "ada")
        second = await candidate(log)
        assert size_of(second) == 6
        await admitted(log, "bob")
        assert await candidate(log) == second
        assert devices(await asker.ask("eve")) == 1
        async with asyncio.timeout(5):
            while (await asker.post(asker.request("eve"))).status == 200:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert await why_not(asker, "eve") == NOT_COVERED
        assert await covered(log) == first
        assert size_of(await candidate(log)) == 8
        assert (await hand_in(log, signed(second, A))).kind == "candidate"


async def test_while_much_goes_on(live: Live) -> None:
    """Audited lookups beside commits and coverage: each answer is whole."""
    log = live.http
    asker = await eve(log)
    await cover(log)
    done = asyncio.Event()

    async def write() -> None:
        for number in range(30):
            await admitted(log, f"person {number}")
        done.set()

    async def audit() -> None:
        while not done.is_set():
            await cover(log)

    async def ask(number: int) -> int:
        mine, answered = replace(asker, log=[], chains={}), 0
        while not done.is_set():
            (found, _) = await mine.ask("eve", f"person {number}")
            assert found.chain
            answered += 1
        return answered

    *counts, _, _ = await asyncio.gather(*(ask(n) for n in range(4)), write(), audit())
    assert all(counts)
