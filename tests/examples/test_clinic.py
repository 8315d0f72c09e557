"""The clinic: its story with real processes, what its server refuses, and how it searches."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from base64 import b64encode, urlsafe_b64encode
from binascii import hexlify
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, closing
from pathlib import Path

import aiosmtplib
import pytest
from aiohttp import ClientResponseError, ClientSession
from aiohttp.test_utils import TestServer
from aiosmtpd.smtp import SMTP
from rich.console import Console

from examples.clinic import __main__ as command
from examples.clinic.ending import Outcome
from examples.clinic.portal import Portal
from examples.clinic.post import Post, mailbox, next_code
from examples.clinic.records import Records, Role
from examples.clinic.search import Searched, search
from examples.clinic.server import Clinic
from examples.clinic.story import play
from examples.clinic.teller import refused, same

ADA, BEN, MIA, SAM = (f"{name}@example.org" for name in ("ada", "ben", "mia", "sam"))
Spell = Callable[[bytes], bytes]
SECRET = bytes(range(200, 232))


def test_nothing_leaks(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The command, with all its processes."""
    played: list[Outcome] = []

    async def noted(path: Path, console: Console) -> Outcome:
        played.append(await play(path, console))
        return played[0]

    monkeypatch.setattr(command, "play", noted)
    assert command.main() == 0
    (outcome,) = played
    assert outcome.sound
    assert outcome.leaked == frozenset()
    assert len(outcome.secrets) > 60
    assert outcome.unlocked.found >= outcome.secrets
    assert min(outcome.clinic.size, outcome.log.size, outcome.locked.size) > 100_000
    assert min(outcome.recovery.files, outcome.recovery.size // 10_000) > 2
    assert len(outcome.kept) == 1
    told = " ".join(capsys.readouterr().out.split())
    assert "message to ada@patients.example is stopped: added by recovery" in told
    assert "letter to ada@patients.example is stopped once more: added by recovery" in told
    assert "What the service did (asked, begun, given)" in told
    assert f"of {len(outcome.secrets)} secrets" in told


def test_a_leak_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def leaky(path: Path, console: Console) -> Outcome:
        return outcome(clinic={KNOWN, SECRET})

    monkeypatch.setattr(command, "play", leaky)
    assert command.main() == 1


async def test_what_is_not_refused_stops_the_story() -> None:
    async def quiet() -> None:
        pass

    async def other() -> None:
        raise KeyError

    with pytest.raises(RuntimeError, match="should have ended with LookupError"):
        await refused(LookupError, quiet())
    with pytest.raises(KeyError):
        await refused(IndexError, other())
    assert isinstance(await refused(LookupError, other()), KeyError)
    with pytest.raises(RuntimeError, match="was read"):
        same(b"one", b"two")


# --- the search


KNOWN, KEPT = b"an address", b"a number"
PLACES = ("clinic", "log", "recovery", "post", "locked", "unlocked")


def outcome(**instead: set[bytes]) -> Outcome:
    """A sound one, but for what was found in some places instead."""
    nothing = set[bytes]()
    found = dict(zip(PLACES, ({KNOWN}, {KNOWN}, {KEPT}, {KNOWN}, nothing, {SECRET}), strict=True))
    places = {name: Searched(1, 1, frozenset(one)) for name, one in (found | instead).items()}
    return Outcome(frozenset({SECRET}), frozenset({KNOWN}), frozenset({KEPT}), **places)


@pytest.mark.parametrize("place", PLACES[:-1])
def test_a_leak_is_not_sound(place: str) -> None:
    leaky = outcome(**{place: {SECRET, KEPT if place == "recovery" else KNOWN}})
    assert outcome().sound
    assert not leaky.sound
    assert leaky.leaked == {SECRET}


def test_the_recovery_service_knows_no_address() -> None:
    assert outcome(recovery={KNOWN, KEPT}).leaked == {KNOWN}


@pytest.mark.parametrize("place", ["clinic", "log", "recovery", "post", "unlocked"])
def test_a_search_that_does_not_work_is_not_sound(place: str) -> None:
    assert not outcome(**{place: set()}).sound


@pytest.mark.parametrize("before", [b"", b"1", b"12", b"123"])
@pytest.mark.parametrize("spell", [bytes, hexlify, b64encode, urlsafe_b64encode])
def test_a_secret_is_found(tmp_path: Path, spell: Spell, before: bytes) -> None:
    """However it is spelt, and wherever it begins; another that is close by is not."""
    (tmp_path / "file").write_bytes(b"??" + spell(before + SECRET + b"more"))
    other = SECRET[:16] + b"x" + SECRET[17:]
    found = search(tmp_path, [SECRET, other])
    assert found.files == 1
    assert found.found == {SECRET}


def test_a_part_of_a_long_secret_is_found(tmp_path: Path) -> None:
    long = b"".join(number.to_bytes(2) for number in range(1_000))
    (tmp_path / "page").write_bytes(long[900:1_100])
    assert search(tmp_path, [long]).found == {long}
    (tmp_path / "page").write_bytes(long[100:200])
    assert search(tmp_path, [long]).found == frozenset()


def test_a_value_that_sqlite_cuts_is_found(tmp_path: Path) -> None:
    """Where one page ends and the next begins, no file search would."""
    value = b"".join(number.to_bytes(2) for number in range(10_000))
    with closing(sqlite3.connect(tmp_path / "database", isolation_level=None)) as database:
        database.execute("CREATE TABLE t (value BLOB)")
        database.execute("INSERT INTO t VALUES (?)", (value,))
    content = (tmp_path / "database").read_bytes()
    parts = (value[at : at + 32] for at in range(0, len(value) - 32, 2))
    cut = next(part for part in parts if part not in content)
    assert search(tmp_path, [cut]).found == {cut}


def test_a_short_secret_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="by chance"):
        search(tmp_path, [b"x" * 11])
    assert search(tmp_path, [b"x" * 12]).found == frozenset()


# --- the mail provider


async def test_mailboxes(tmp_path: Path) -> None:
    """Each has its own; none lies outside; a code that was seen is not given again."""
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(Post(tmp_path), hostname="post.example"), "127.0.0.1", 0
    )
    port = server.sockets[0].getsockname()[1]
    async with server:
        for number, to in enumerate((ADA, BEN, ADA, "../../x@y")):
            mail = f"Subject: a code\r\n\r\n{number:08}\r\n\r\nis your code, not 12345678.\r\n"
            await aiosmtplib.send(
                mail,
                sender="a@b",
                recipients=[to],
                hostname="127.0.0.1",
                port=port,
                start_tls=False,
            )
    assert [await next_code(tmp_path, ADA, seen) for seen in (0, 1)] == ["00000000", "00000002"]
    assert await next_code(tmp_path, BEN, 0) == "00000001"
    assert mailbox(tmp_path, "../../x@y").parent == tmp_path
    assert len(os.listdir(tmp_path)) == 3


# --- the clinic's server


class Desk:
    """The server in this process, and its records."""

    def __init__(self, records: Records, url: str) -> None:
        self.records = records
        self.url = url

    def login(
        self, identifier: str, role: Role = Role.PATIENT, guardian: str | None = None
    ) -> AbstractAsyncContextManager[Portal]:
        password = self.records.enter(identifier, role, guardian)
        return Portal.login(self.url, identifier, password)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    with Records.open(tmp_path / "clinic.db") as records:
        async with TestServer(
            Clinic(records, lambda who: f"a token for {who}").application()
        ) as at:
            yield Desk(records, str(at.make_url("/")))


async def test_who_may_see_what(desk: Desk) -> None:
    """A patient and their guardian, and the staff; no other patient."""
    async with (
        desk.login(ADA) as ada,
        desk.login(BEN) as ben,
        desk.login(MIA, guardian=BEN) as mia,
        desk.login(SAM, Role.STAFF) as sam,
    ):
        await ben.book(MIA, "2027-01-14")
        number = await mia.put(MIA, b"sealed")
        for portal in (ben, mia, sam):
            assert await portal.appointments(MIA) == ["2027-01-14"]
            assert await portal.folder(MIA) == [number]
            assert await portal.get(number) == b"sealed"
        for attempt in (
            ada.appointments(MIA),
            ada.folder(MIA),
            ada.book(MIA, "x"),
            mia.folder(BEN),
        ):
            assert await status(attempt) == 403
        assert await status(ada.put(MIA, b"x")) == 403
        assert await status(ada.get(number)) == await status(sam.get(number + 1)) == 404
        assert await sam.folder(MIA) == [number]
        assert await sam.appointments(MIA) == ["2027-01-14"]


async def test_who_is_let_in(desk: Desk) -> None:
    async with desk.login(SAM, Role.STAFF) as sam, ClientSession(desk.url) as http:
        async with http.post("/token", headers={"Authorization": "Bearer x"}) as answer:
            assert answer.status == 401
        for path in ("/folders/x", "/appointments/x", "/sealed/1"):
            async with http.get(path) as answer:
                assert answer.status == 401
        assert await sam.folder(SAM) == []
        assert await status(anew(desk, SAM, "x")) == 403
        assert await status(anew(desk, ADA, "x")) == 403
        desk.records.dismiss(SAM)
        assert await status(sam.folder(SAM)) == 401


async def test_a_token_is_of_whoever_asks(desk: Desk) -> None:
    password = desk.records.enter(ADA, Role.PATIENT)
    session = desk.records.login(ADA, password)
    headers = {"Authorization": f"Bearer {session}"}
    async with ClientSession(desk.url) as http, http.post("/token", headers=headers) as answer:
        assert (answer.status, await answer.text()) == (200, f"a token for {ADA}")


async def anew(desk: Desk, identifier: str, password: str) -> None:
    async with Portal.login(desk.url, identifier, password):
        pass


async def status(attempt: Awaitable[object]) -> int:
    return (await refused(ClientResponseError, attempt)).status
