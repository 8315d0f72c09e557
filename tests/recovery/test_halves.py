"""Halves at the service: left by anybody, taken by who reads the mail (R-98.4, R-98.6)."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from ledger.client.transport import HttpTransport
from ledger.errors import Refused
from ledger.format import pending
from ledger.format import recovery as wire
from ledger.format.block import Anchor
from ledger.format.identity import Opening
from ledger.format.keys import SigningKey
from ledger.format.login import authenticate
from ledger.format.pending import AskRequest, HalvesRequest, TakeAnswer
from ledger.format.recovery import attempt_id
from ledger.recovery.attempts import DAY, HOUR, Attempts
from ledger.recovery.config import Config, MailConfig, ServerConfig
from ledger.recovery.halves import Halves, NoRoom
from ledger.recovery.runtime import make, serving
from tests.support.actors import LogActor, User, signing_key
from tests.support.mailbox import Mailbox, mail_server
from tests.support.shift import Shift

FAY, EVE = "fay@example.org", "eve@example.org"
ACTOR = LogActor.make().after
ANOTHER = LogActor.make("another.example").after
"""Of another log, with another application."""
ANCHOR = Anchor(1, bytes(32))
LOG, S, T = ACTOR.log_id, b"s" * 32, b"t" * 32
ONE, TWO = b"1" * 32, b"2" * 32

Pairs = tuple[tuple[bytes, bytes], ...]


@dataclass
class Counter:
    """The service, as it is asked."""

    http: HttpTransport
    box: Mailbox
    shift: Shift

    async def leave(
        self, half: bytes = ONE, session: bytes = S, to: str = FAY, log: LogActor = ACTOR
    ) -> None:
        request = HalvesRequest(log.log_id, log.enrolment.public, session, ((to, half),))
        await self.http.post(pending.HALVES_PATH, request.encode(), 0)

    async def ask(self, *sessions: bytes, to: str = FAY, log: LogActor = ACTOR) -> bytes:
        attempt, written = os.urandom(32), User.create(log, to, ANCHOR)
        request = AskRequest(
            *(attempt_id(attempt), log.log_id, written.after.opening, sessions or (S,)),
            (written.raw,),
        )
        await self.request(request, written.after.devices[0].signing)
        return attempt

    async def request(self, asked: AskRequest, signer: SigningKey) -> None:
        now, path = self.shift.now(), pending.ASK_PATH
        body = authenticate(asked.encode(), path, signer, asked.log_id, now)
        await self.http.post(path, body, 0)

    async def answer(self, attempt: bytes, code: str) -> None:
        request = wire.CodeRequest(attempt, code).encode()
        await self.http.post(wire.CODES_PATH, request, wire.MAX_ANSWER_BYTES)

    async def take(self, attempt: bytes) -> Pairs:
        request = wire.SecretRequest(attempt).encode()
        body = await self.http.post(pending.TAKE_PATH, request, pending.MAX_ANSWER_BYTES)
        return TakeAnswer.decode(body).halves

    async def claim(self, *sessions: bytes, count: int = 1) -> Pairs:
        """All at once, by the `count`th mail to Fay."""
        attempt = await self.ask(*sessions)
        await self.answer(attempt, await self.box.code(FAY, count))
        return await self.take(attempt)


@pytest.fixture
async def counter(tmp_path: Path) -> AsyncIterator[Counter]:
    shift = Shift()
    make(tmp_path / "service")
    async with mail_server() as box:
        config = Config(ServerConfig(port=0, rate="10000/minute"), MailConfig(port=box.port))
        async with (
            serving(tmp_path / "service", config, shift.now) as url,
            HttpTransport(url) as http,
        ):
            yield Counter(http, box, shift)


async def refused(counter: Counter, attempt: bytes) -> str:
    with pytest.raises(Refused) as caught:
        await counter.take(attempt)
    return caught.value.kind


async def test_left_and_taken(counter: Counter) -> None:
    """As often as answers are lost; for a day."""
    await counter.leave()
    await counter.leave()
    attempt = await counter.ask()
    assert await refused(counter, attempt) == "not-found"  # the code is not back
    code = await counter.box.code(FAY)
    for _ in range(2):
        await counter.answer(attempt, code)
        assert await counter.take(attempt) == ((S, ONE),)
    assert len(counter.box.of(FAY)) == 1
    (mail,) = counter.box.of(FAY)
    assert mail["Subject"] == "Recovery service: Your code to read what was left for you"
    counter.shift.by += DAY - 60_000
    assert await counter.take(attempt) == ((S, ONE),)
    counter.shift.by += 120_000
    assert await refused(counter, attempt) == "not-found"
    assert await counter.claim(count=2) == ((S, ONE),)  # it is there still


async def test_only_the_sessions_that_were_named(counter: Counter) -> None:
    """Of one address, in one log: what else waits is not given, and crowds nobody out."""
    await counter.leave()
    await counter.leave(TWO)
    await counter.leave(TWO, T)
    await counter.leave(b"3" * 32, to=EVE)
    await counter.leave(b"4" * 32, log=ANOTHER)
    assert await counter.claim() == ((S, ONE), (S, TWO))
    assert await counter.claim(T, T, b"?" * 32, count=2) == ((T, TWO),)


async def test_nothing_waits(counter: Counter) -> None:
    """R-98.6: no mail goes out, and no code is used up."""
    await counter.leave()
    for _ in range(4):
        for asked in (counter.ask(T), counter.ask(to=EVE), counter.ask(log=ANOTHER)):
            with pytest.raises(Refused, match="not-found"):
                await asked
    await counter.claim()
    assert [to for to, _ in counter.box.mails] == [FAY]


async def test_codes(counter: Counter) -> None:
    """R-96.5: wrong, another attempt's, too old, too often; and for this purpose alone."""
    await counter.leave()
    first = await counter.ask()
    own = await counter.box.code(FAY)
    second = await counter.ask()
    code = await counter.box.code(FAY, 2)
    for attempt, tried in ((first, code), (second, f"{(int(code) + 1) % 10**8:08}")):
        with pytest.raises(Refused, match="wrong-code"):
            await counter.answer(attempt, tried)
        assert await refused(counter, attempt) == "not-found"
    await counter.answer(second, code)
    with pytest.raises(Refused, match="not-found"):  # it releases no record
        await counter.http.post(wire.CLAIMS_PATH, wire.SecretRequest(second).encode(), 4_096)
    for _ in range(4):
        with pytest.raises(Refused, match="wrong-code"):
            await counter.answer(first, code)
    with pytest.raises(Refused, match="wrong-code"):
        await counter.answer(first, own)
    third = await counter.ask()
    with pytest.raises(Refused, match="too-many"):
        await counter.ask()
    counter.shift.by += 15 * 60_000
    with pytest.raises(Refused, match="wrong-code"):
        await counter.answer(third, await counter.box.code(FAY, 3))
    counter.shift.by += HOUR
    assert await counter.claim(count=4) == ((S, ONE),)


async def test_for_thirty_days(counter: Counter) -> None:
    """R-98.3: left again, it waits from then on."""
    await counter.leave()
    await counter.leave(TWO)
    counter.shift.by += pending.LIFE // 2
    await counter.leave(TWO)
    counter.shift.by += pending.LIFE // 2
    assert await counter.claim() == ((S, TWO),)
    counter.shift.by += pending.LIFE
    with pytest.raises(Refused, match="not-found"):
        await counter.ask()
    await counter.leave(b"3" * 32, T)
    assert await counter.claim(T, count=2) == ((T, b"3" * 32),)


async def test_a_restart_forgets_nothing(tmp_path: Path) -> None:
    """Halves, the code that was sent, and that it came back."""
    make(tmp_path / "service")
    async with mail_server() as box:
        config = Config(ServerConfig(port=0), MailConfig(port=box.port))
        attempt = b""
        for step in range(3):
            async with (
                serving(tmp_path / "service", config) as url,
                HttpTransport(url) as http,
            ):
                counter = Counter(http, box, Shift())
                if step == 0:
                    await counter.leave()
                    attempt = await counter.ask()
                    await box.wait(FAY)
                elif step == 1:
                    await counter.answer(attempt, await box.code(FAY))
                else:
                    assert await counter.take(attempt) == ((S, ONE),)


async def test_who_was_not_let_in_is_refused(counter: Counter) -> None:
    """R-98.9, R-72.1: over HTTP; nobody gets a mail."""
    await counter.leave()
    fay, eve = User.create(ACTOR, FAY, ANCHOR), User.create(ACTOR, EVE, ANCHOR)
    key = fay.after.devices[0].signing
    asked = AskRequest(attempt_id(T), LOG, fay.after.opening, (S,), (fay.raw,))
    for wrong, signer, kind in (
        (asked, eve.after.devices[0].signing, "forbidden"),
        (replace(asked, lineage=(eve.raw,)), key, "forbidden"),
        (replace(asked, lineage=(b"block",)), key, "malformed"),
    ):
        with pytest.raises(Refused, match=kind):
            await counter.request(wrong, signer)
    body = authenticate(asked.encode(), wire.CODES_PATH, key, LOG, counter.shift.now())
    with pytest.raises(Refused, match="unauthenticated"):
        await counter.http.post(pending.ASK_PATH, body, 0)
    operator = replace(ACTOR, enrolment=signing_key("the operator's own"))
    with pytest.raises(Refused, match="not-found"):
        await counter.ask(log=operator)
    assert counter.box.mails == []
    await counter.request(asked, key)
    assert await counter.box.code(FAY)


# --- limits, at the file


def left(session: bytes, *halves: tuple[str, bytes]) -> HalvesRequest:
    return HalvesRequest(LOG, ACTOR.enrolment.public, session, halves)


@dataclass
class Shelf:
    halves: Halves

    def leave(
        self, number: int, session: bytes = b"", to: str = FAY, peer: str = "1.1.1.1"
    ) -> None:
        half = number.to_bytes(32)
        self.halves.leave(left(session or half, (to, half)), peer, now=0)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf(Halves(Attempts.open(":memory:", bytes(32))))


def test_of_one_peer_for_one_address(shelf: Shelf) -> None:
    """R-98.4: 64; others find room; an IPv6 peer is its network."""
    for number in range(pending.MAX_OF_ONE):
        shelf.leave(number, peer="2001:db8::1")
    for number in (0, pending.MAX_OF_ONE - 1):
        shelf.leave(number, peer="2001:db8::1")  # it is there
    for peer in ("2001:db8::1", "2001:db8::ffff:0:1"):
        with pytest.raises(NoRoom):
            shelf.leave(1_000, peer=peer)
    shelf.leave(1_000, peer="2001:db8:0:1::1")
    shelf.leave(1_001, peer="1.1.1.1")
    shelf.leave(1_002, peer="2001:db8::1", to=EVE)


def test_of_all_for_one_address(shelf: Shelf) -> None:
    """R-98.4: 256; what waits stays."""
    for number in range(pending.MAX_WAITING):
        shelf.leave(number, peer=f"1.1.1.{number}")
    with pytest.raises(NoRoom):
        shelf.leave(1_000)
    shelf.leave(7)
    shelf.leave(1_000, to=EVE)
    shelf.halves.leave(left(S, (FAY, ONE)), "1.1.1.1", now=pending.LIFE)


def test_of_one_session_for_one_address(shelf: Shelf) -> None:
    """R-98.4: 8. Nothing of a request is kept that has one too many."""
    for number in range(pending.MAX_HALVES - 1):
        shelf.leave(number, S)
    with pytest.raises(NoRoom):
        shelf.halves.leave(left(S, (FAY, ONE), (FAY, TWO)), "1.1.1.1", now=0)
    shelf.leave(1_000, S)
    with pytest.raises(NoRoom):
        shelf.leave(1_001, S, peer="1.1.1.2")
    shelf.leave(1_001, T)


def test_of_one_peer(shelf: Shelf) -> None:
    """R-98.4: 4,096, for whomever."""
    for number in range(pending.MAX_OF_PEER):
        shelf.leave(number, to=f"{number % 1_000}@example.org")
    with pytest.raises(NoRoom):
        shelf.leave(pending.MAX_OF_PEER, to="another@example.org")
    shelf.leave(pending.MAX_OF_PEER, to="another@example.org", peer="1.1.1.2")


def test_nobody_reads_it_from_the_disk(tmp_path: Path) -> None:
    """Addresses, logs and peers are there as keyed hashes only."""
    path = tmp_path / "records.db"
    with Attempts.open(path, bytes(32)) as file:
        halves = Halves(file)
        halves.leave(left(S, (FAY, ONE)), "1.1.1.1", now=0)
        asked = AskRequest(attempt_id(T), LOG, Opening(ONE, FAY), (S,), (b"block",))
        assert halves.begin(asked, ACTOR.enrolment.public, now=0)
    data = b"".join(one.read_bytes() for one in tmp_path.iterdir())
    assert ONE in data
    assert not any(one in data for one in (b"fay", b"example", LOG, b"1.1.1.1", bytes([1] * 4), T))
