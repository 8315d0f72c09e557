"""Recovery by e-mail, with the real log, the real service and a real mail server."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from ledger.client.replay.session import Log
from ledger.client.transport import HttpTransport
from ledger.client.user.account import FileVault, MemoryVault
from ledger.client.user.mail_recovery import (
    Enrolment,
    MailRecovery,
    open_record,
    recover_by_mail,
    seal_record,
)
from ledger.client.user.tickets import Ask, Ticket
from ledger.client.user.user import User
from ledger.errors import Refused, ReleaseWaits, TransportError, UsageError, WrongSecret
from ledger.format import recovery as wire
from ledger.format.bodies import DeviceKind
from ledger.format.recovery import Method, What, attempt_id
from ledger.recovery.config import Config, MailConfig, ServerConfig
from ledger.recovery.runtime import make, serving
from tests.client.conftest import Live
from tests.client.people import People
from tests.support.mailbox import Mailbox, code_in, mail_server

ADA, BOB = "ada@example.org", "bob@example.org"
HOUR = 3_600


@dataclass
class Town:
    """A recovery service with its mail server."""

    url: str
    box: Mailbox
    place: Path
    service: HttpTransport

    async def code(self, address: str, count: int) -> str:
        return await self.box.code(address, count)

    def ask(self, address: str, count: int) -> Ask:
        async def answer() -> str:
            return await self.code(address, count)

        return answer

    async def enrol(self, user: User, live: Live, count: int = 1, **options: object) -> bytes:
        """The signing key of the device."""
        way = MailRecovery(user, self.service)
        begun = await way.begin(live.token(user.identifier), **options)  # type: ignore[arg-type]
        return await way.finish(begun, await self.code(user.identifier, count))


@asynccontextmanager
async def town_at(place: Path, live: Live, delay: int = 0) -> AsyncIterator[Town]:
    make(place)
    async with mail_server() as box:
        config = Config(
            ServerConfig(port=0, delay=delay, rate="10000/minute"), MailConfig(port=box.port)
        )
        async with (
            serving(place, config, live.shift.now) as url,
            HttpTransport(url) as service,
        ):
            yield Town(url, box, place, service)


@pytest.fixture
async def town(live: Live, tmp_path: Path) -> AsyncIterator[Town]:
    async with town_at(tmp_path / "service", live) as found:
        yield found


@pytest.mark.parametrize("passphrase", [None, "correct horse"])
async def test_the_whole_way(
    live: Live, town: Town, people: People, tmp_path: Path, passphrase: str | None
) -> None:
    ada = people.ada
    device = await town.enrol(ada, live, passphrase=passphrase)
    added = ada.state.device(device)
    assert added
    assert added.kind == DeviceKind.MAIL_RECOVERY
    assert all(one.signing.public != device for one in ada.account.devices)
    vault, place = FileVault(tmp_path / "account"), tmp_path / "recovery"
    async with Log.connect(live.url, live.log_id) as log:
        ask = town.ask(ADA, 2)
        user = await recover_by_mail(
            log, town.service, live.token(ADA), vault, place, ask, passphrase=passphrase
        )
        assert user.label == ada.label
        (came,) = user.devices
        assert came.kind == DeviceKind.ORDINARY
        assert await user.user_key() == await ada.user_key()
        assert not place.exists()
    await ada.log.sync()
    (watched,) = await MailRecovery(ada, town.service).watch()
    assert [event.what for event in watched.events] == [What.ASKED, What.BEGUN, What.GIVEN]
    assert watched.method == (Method.MAIL if passphrase is None else Method.PASSPHRASE)
    assert [message["Subject"] for message in town.box.of(ADA)] == [
        "Recovery service: Your code to set up recovery",
        "Recovery service: Your recovery code",
    ]
    assert all("://" not in message.get_content() for message in town.box.of(ADA))


async def release(live: Live, town: Town, user: User, count: int = 2) -> bytes:
    """An attempt whose code came back."""
    attempt = await begin(live, town, user)
    await answer(town, attempt, await town.code(user.identifier, count))
    return attempt


async def begin(live: Live, town: Town, user: User, method: Method = Method.MAIL) -> bytes:
    attempt = os.urandom(32)
    slot = wire.Slot(live.log_id, user.identifier, user.label, method)
    request = wire.ReleaseRequest(attempt_id(attempt), slot).encode()
    await town.service.post(wire.RELEASES_PATH, request, 0)
    return attempt


async def answer(town: Town, attempt: bytes, code: str) -> int:
    request = wire.CodeRequest(attempt, code).encode()
    return wire.CodeAnswer.decode(await town.service.post(wire.CODES_PATH, request, 64)).due


async def claim(town: Town, attempt: bytes) -> tuple[bytes, ...]:
    request = wire.SecretRequest(attempt).encode()
    body = await town.service.post(wire.CLAIMS_PATH, request, wire.MAX_ANSWER_BYTES)
    return wire.ClaimAnswer.decode(body).records


def other(code: str) -> str:
    return f"{(int(code) + 1) % 10**8:08}"


async def test_codes(live: Live, town: Town, people: People) -> None:
    """Wrong, replayed, of another address, too old: R-96.5."""
    ada, bob = people.ada, people.bob
    await town.enrol(ada, live)
    await town.enrol(bob, live)
    hers, his = await begin(live, town, ada), await begin(live, town, bob)
    code, bobs = await town.code(ADA, 2), await town.code(BOB, 2)
    enrolling = code_in(town.box.of(ADA)[0])
    for wrong in {other(code), bobs, enrolling} - {code}:
        with pytest.raises(Refused, match="wrong-code"):
            await answer(town, hers, wrong)
    for attempt in (his, os.urandom(32)):
        with pytest.raises(Refused, match="wrong-code"):
            await answer(town, attempt, code)
    with pytest.raises(Refused, match="not-found"):
        await claim(town, hers)
    due = await answer(town, hers, code)
    assert await answer(town, hers, code) == due  # a lost answer
    assert len(await claim(town, hers)) == 1
    again = await begin(live, town, ada)
    with pytest.raises(Refused, match="wrong-code"):
        await answer(town, again, code)
    newest = await town.code(ADA, 3)
    live.shift.by += 15 * 60_000
    with pytest.raises(Refused, match="wrong-code"):
        await answer(town, again, newest)


async def test_five_wrong_tries_end_a_code(live: Live, town: Town, people: People) -> None:
    """R-96.5."""
    await town.enrol(people.ada, live)
    for count, (tries, ended) in enumerate(((4, False), (5, True)), 2):
        attempt = await begin(live, town, people.ada)
        code = await town.code(ADA, count)
        for _ in range(tries):
            assert not await tried(town, attempt, other(code))
        assert await tried(town, attempt, code) is not ended
    (watched,) = await MailRecovery(people.ada, town.service).watch()
    assert watched.events[-1].what == What.FAILED


async def tried(town: Town, attempt: bytes, code: str) -> bool:
    try:
        await answer(town, attempt, code)
    except Refused:
        return False
    return True


async def test_limits(live: Live, town: Town, people: People) -> None:
    """R-96.5: three codes an hour, ten in a day, the same for an address that nobody has."""
    await town.enrol(people.ada, live)
    for user, count in ((people.ada, 2), (people.bob, 3)):
        for _ in range(count):
            await begin(live, town, user)
        with pytest.raises(Refused, match="too-many"):
            await begin(live, town, user)
    (watched,) = await MailRecovery(people.ada, town.service).watch()
    assert len(watched.events) == 2
    for hour in range(1, 4):
        live.shift.by = hour * HOUR * 1000 + 1000
        for _ in range(3 if hour < 3 else 1):
            await begin(live, town, people.ada)
        with pytest.raises(Refused, match="too-many"):
            await begin(live, town, people.ada)
    assert len(await town.box.wait(ADA, 10)) == 10
    assert town.box.of(BOB) == []


async def test_a_limit_survives_a_restart(live: Live, people: People, tmp_path: Path) -> None:
    async with town_at(tmp_path / "service", live) as town:
        for _ in range(3):
            await begin(live, town, people.ada)
    config = Config(ServerConfig(port=0))
    async with serving(tmp_path / "service", config) as url, HttpTransport(url) as service:
        with pytest.raises(Refused, match="too-many"):
            await begin(live, replace(town, service=service), people.ada)


async def test_nobody_learns_who_has_a_record(live: Live, town: Town, people: People) -> None:
    """R-96.10: bob has none, and no mail comes; every answer is that of a wrong code."""
    await town.enrol(people.ada, live)
    for user in (people.ada, people.bob):
        attempt = await begin(live, town, user)
        assert not await tried(town, attempt, "12345678")
        with pytest.raises(Refused, match="not-found"):
            await claim(town, attempt)
    await begin(live, town, people.ada, Method.PASSPHRASE)
    await town.box.wait(ADA, 2)
    assert (len(town.box.of(ADA)), town.box.of(BOB)) == (2, [])


async def test_begun_twice(live: Live, town: Town, people: People) -> None:
    """A request whose answer was lost sends no second mail (R-96.5)."""
    await town.enrol(people.ada, live)
    attempt = await begin(live, town, people.ada)
    slot = wire.Slot(live.log_id, ADA, people.ada.label, Method.MAIL)
    again = wire.ReleaseRequest(attempt_id(attempt), slot).encode()
    await town.service.post(wire.RELEASES_PATH, again, 0)
    await town.code(ADA, 2)
    await begin(live, town, people.ada)
    await town.code(ADA, 3)
    assert len(town.box.of(ADA)) == 3


async def test_a_delay(live: Live, town: Town, people: People, tmp_path: Path) -> None:
    """R-96.7, R-96.8: the user asked for two hours, in which a device of theirs may stop it."""
    ada = people.ada
    await town.enrol(ada, live, delay=2 * HOUR)
    place, vault = tmp_path / "recovery", MemoryVault()
    async with Log.connect(live.url, live.log_id) as log:
        log.clock = live.shift.now

        async def go(count: int) -> User:
            ask = town.ask(ADA, count)
            return await recover_by_mail(log, town.service, live.token(ADA), vault, place, ask)

        with pytest.raises(ReleaseWaits) as caught:
            await go(2)
        assert 2 * HOUR * 1000 - 60_000 < caught.value.due - live.shift.now() <= 2 * HOUR * 1000
        way = MailRecovery(ada, town.service)
        (watched,) = await way.watch()
        assert (watched.delay, watched.events[-1].what) == (2 * HOUR, What.BEGUN)
        assert await way.stop() == 1
        live.shift.by += 2 * HOUR * 1000
        with pytest.raises(Refused, match="not-found"):
            await go(2)
        assert not place.exists()
        with pytest.raises(ReleaseWaits):
            await go(3)
        ticket = Ticket.load(place)
        live.shift.by += 2 * HOUR * 1000 - 60_000
        with pytest.raises(ReleaseWaits):
            await go(3)
        live.shift.by += 120_000
        user = await go(3)  # and nobody is asked for a code again
        assert user.devices
        assert ticket
        assert len(await claim(town, ticket.attempt)) == 1  # an answer was lost
        live.shift.by += 24 * HOUR * 1000
        with pytest.raises(Refused, match="not-found"):
            await claim(town, ticket.attempt)
    (watched,) = await way.watch()
    whats = [event.what for event in watched.events]
    begun = [What.ASKED, What.BEGUN]
    assert whats == [*begun, What.CANCELLED, *begun, What.GIVEN]


async def test_the_services_own_delay(live: Live, people: People, tmp_path: Path) -> None:
    """R-96.7: the longer of the two counts."""
    async with town_at(tmp_path / "service", live, delay=HOUR) as town:
        await town.enrol(people.ada, live, delay=60)
        attempt = await begin(live, town, people.ada)
        due = await answer(town, attempt, await town.code(ADA, 2))
        assert due >= live.shift.now() + HOUR * 1000 - 10_000
        with pytest.raises(Refused, match="not-yet"):
            await claim(town, attempt)


async def test_removed(live: Live, town: Town, people: People) -> None:
    """R-96.9: by a device of its owner only."""
    await town.enrol(people.ada, live)
    attempt = await release(live, town, people.ada)
    assert await MailRecovery(people.bob, town.service).remove() == 0
    assert await MailRecovery(people.ada, town.service).remove() == 1
    with pytest.raises(Refused, match="not-found"):
        await claim(town, attempt)
    assert await MailRecovery(people.ada, town.service).watch() == []
    for path in (wire.CANCEL_PATH, wire.REMOVE_PATH):
        with pytest.raises(Refused, match="not-found"):
            await town.service.post(path, wire.SecretRequest(bytes(32)).encode(), 0)


async def test_the_keeper_outlives_a_user_key(live: Live, town: Town, people: People) -> None:
    """R-96.4: a device that came later knows how to ask, without being told."""
    ada = people.ada
    await town.enrol(ada, live)
    phone = await ada.add_device()
    await ada.revoke_devices(phone.signing.public)
    assert ada.state.generation == 1
    assert len(await MailRecovery(ada, town.service).watch()) == 1
    await town.enrol(ada, live, count=2)
    assert len(await MailRecovery(ada, town.service).watch()) == 2


async def test_a_slot_is_full(live: Live, town: Town, people: People) -> None:
    """R-96.6: who reads the mailbox puts records beside those there, not in their place."""
    ada = people.ada
    await town.enrol(ada, live)
    slot = wire.Slot(live.log_id, ADA, ada.label, Method.MAIL)
    keepers = [bytes([number]) * 32 for number in range(5)]
    for count, keeper in enumerate([*keepers[:2], keepers[0], *keepers[2:]], 2):
        live.shift.by += HOUR * 1000
        attempt = os.urandom(32)
        request = wire.RecordRequest(attempt_id(attempt), slot, wire.Held(keeper, 0, b"bad"))
        await town.service.post(wire.RECORDS_PATH, request.encode(), 0)
        await answer(town, attempt, await town.code(ADA, count))
    assert len(await MailRecovery(ada, town.service).watch()) == 1
    body = wire.EventsRequest(tuple(keepers)).encode()
    found = await town.service.post(wire.EVENTS_PATH, body, wire.MAX_ANSWER_BYTES)
    there = [one is not None for one in wire.EventsAnswer.decode(found).watched]
    assert there == [True, True, False, False, True]
    live.shift.by += HOUR * 1000
    async with Log.connect(live.url, live.log_id) as log:
        log.clock = live.shift.now
        place = town.place / "ticket"
        ask, token = town.ask(ADA, 8), live.token(ADA)
        user = await recover_by_mail(log, town.service, token, MemoryVault(), place, ask)
        assert user.devices


async def test_who_gets_in(live: Live, town: Town, people: People) -> None:
    """R-96.4: neither the record nor the token secret does alone, nor a passphrase by itself."""
    await town.enrol(people.ada, live)
    attempt = await release(live, town, people.ada)
    (record,) = await claim(town, attempt)
    secret = live.token(ADA).secret
    device = open_record(record, secret, None)
    assert people.ada.state.device(device.signing.public)
    for other_secret in (live.token(BOB).secret, bytes(32), people.ada.label):
        with pytest.raises(WrongSecret):
            open_record(record, other_secret, None)
    locked = seal_record(device, secret, "correct horse")
    assert open_record(locked, secret, "correct horse") == device
    with pytest.raises(WrongSecret):
        open_record(locked, bytes(32), "correct horse")
    with pytest.raises(WrongSecret):
        open_record(locked, secret, "battery staple")


def everything(place: Path) -> bytes:
    """All that lies in the files of a directory, but holes."""
    files = (path for path in sorted(place.rglob("*")) if path.is_file())
    return b"".join(path.read_bytes().replace(bytes(4_096), b"") for path in files)


async def test_nothing_lies_there(
    live: Live, people: People, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """R-96.10: no keys, codes, secrets on the service's disk, the log's, in logs; no addresses."""
    place = tmp_path / "service"
    async with town_at(place, live) as town:
        device = MailRecovery(people.ada, town.service)
        begun = await device.begin(live.token(ADA))
        await device.finish(begun, await town.code(ADA, 1))
        attempt = await release(live, town, people.ada)
        await claim(town, attempt)
        codes = [code_in(message) for message in town.box.of(ADA)]
    services, logs = everything(place), everything(live.home.path)
    logged = "".join(capfd.readouterr())
    assert "a record was given out" in logged
    secrets = [begun.device.signing.seed, begun.device.encryption.secret, live.token(ADA).secret]
    for secret in (*secrets, attempt, begun.attempt, ADA.encode(), *(c.encode() for c in codes)):
        assert secret not in services
        assert secret not in logs or secret == ADA.encode()  # the log's server knows who is who
        for spelt in (secret.hex(), repr(secret)[2:-1], secret.decode("latin-1")):
            assert spelt not in logged


async def test_the_mail_server_is_down(
    live: Live, people: People, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is as ever; the mail comes when the server is back."""
    monkeypatch.setattr("ledger.recovery.mail._PAUSES", (0.0, 0.5, 0.5))
    make(tmp_path / "service")
    async with mail_server() as gone:
        port = gone.port
    config = Config(ServerConfig(port=0), MailConfig(port=port))
    async with serving(tmp_path / "service", config) as url, HttpTransport(url) as service:
        way = MailRecovery(people.ada, service)
        begun = await way.begin(live.token(ADA))
        await asyncio.sleep(0.1)
        async with mail_server(port=port) as box:
            await way.finish(begun, await box.code(ADA))
    assert people.ada.state.device(begun.device.signing.public)


async def test_a_mail_server_that_wants_a_password(
    live: Live, people: People, tmp_path: Path
) -> None:
    place = tmp_path / "service"
    make(place)
    (place / "password").write_text("hush\n")
    (place / "password").chmod(0o600)
    async with mail_server(login=True) as box:
        mail = MailConfig(port=box.port, user="recovery", password_file="password")
        config = Config(ServerConfig(port=0), mail)
        async with serving(place, config) as url, HttpTransport(url) as service:
            begun = await MailRecovery(people.ada, service).begin(live.token(ADA))
            assert begun.device.signing.public
            assert await box.code(ADA)
    (place / "password").chmod(0o644)
    with pytest.raises(UsageError, match="chmod 600"):
        async with serving(place, config):
            pass


STEPS = (wire.RELEASES_PATH, wire.CODES_PATH, wire.CLAIMS_PATH)


@pytest.mark.parametrize("path", STEPS)
@pytest.mark.parametrize("after", [False, True])
async def test_a_crash_on_the_way_back(
    live: Live,
    town: Town,
    people: People,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    after: bool,
) -> None:
    """Before a request or after it: done again, there is one new device, and not two."""
    await town.enrol(people.ada, live)
    vault, place = FileVault(tmp_path / "account"), tmp_path / "recovery"
    async with Log.connect(live.url, live.log_id) as log:

        async def go() -> User:
            ask = town.ask(ADA, 2)
            return await recover_by_mail(log, town.service, live.token(ADA), vault, place, ask)

        with monkeypatch.context() as patch:
            crash_at(patch, path, after)
            with pytest.raises(TransportError, match="crash"):
                await go()
        if path == wire.RELEASES_PATH and after:  # a second mail, for another attempt
            await town.box.wait(ADA, 2)
            town.box.mails.pop()
        user = await go()
        assert [device.kind for device in user.state.devices] == [0, 2, 0]
        assert len(user.account.devices) == 1


def crash_at(patch: pytest.MonkeyPatch, path: str, after: bool) -> None:
    post = HttpTransport.post

    async def crashing(self: HttpTransport, asked: str, body: bytes, limit: int) -> bytes:
        if asked != path:
            return await post(self, asked, body, limit)
        if after:
            await post(self, asked, body, limit)
        raise TransportError("crash")

    patch.setattr(HttpTransport, "post", crashing)


@pytest.mark.parametrize("path", [wire.RECORDS_PATH, wire.CODES_PATH])
@pytest.mark.parametrize("after", [False, True])
async def test_a_crash_while_enrolling(
    live: Live,
    town: Town,
    people: People,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    after: bool,
) -> None:
    """Done again, there is one record, and one device, which it opens."""
    ada = people.ada
    with monkeypatch.context() as patch:
        crash_at(patch, path, after)
        with pytest.raises(TransportError, match="crash"):
            await town.enrol(ada, live)
    sent = 0 if path == wire.RECORDS_PATH and not after else 1
    await town.box.wait(ADA, sent)
    device = await town.enrol(ada, live, count=sent + 1)
    assert [one.kind for one in ada.state.devices] == [0, 2]
    attempt = await release(live, town, ada, sent + 2)
    (record,) = await claim(town, attempt)
    assert open_record(record, live.token(ADA).secret, None).signing.public == device


async def test_anothers_token(live: Live, town: Town, people: People) -> None:
    with pytest.raises(UsageError, match="another person"):
        await MailRecovery(people.ada, town.service).begin(live.token(BOB))
    assert town.box.mails == []


async def test_a_record_whose_device_was_revoked(
    live: Live, town: Town, people: People, tmp_path: Path
) -> None:
    device = await town.enrol(people.ada, live)
    await people.ada.revoke_devices(device)
    async with Log.connect(live.url, live.log_id) as log:
        with pytest.raises(UsageError, match="no live recovery device"):
            await recover_by_mail(
                log, town.service, live.token(ADA), MemoryVault(), tmp_path / "t", town.ask(ADA, 2)
            )


def test_secrets_stay_out_of_repr(people: People) -> None:
    begun = Enrolment(b"a" * 32, people.ada.account.devices[0])
    assert "aaaa" not in repr(begun)
    assert "seed" not in repr(begun)
