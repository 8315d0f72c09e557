"""The commands that use a recovery service, and the SDK, with a service of its own process."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ledger.client.sdk import Keyroll
from ledger.recovery.runtime import make
from tests.client.conftest import Live
from tests.client.test_cli import MAIN, Done, enrol, keyroll, succeed
from tests.support.mailbox import Mailbox, mail_server

ADA, BOB = "ada@example.org", "bob@example.org"


@asynccontextmanager
async def service_at(place: Path, box: Mailbox) -> AsyncIterator[str]:
    """The address of a service in a process; it must end well."""
    config = f'[server]\nrate = "10000/minute"\n[mail]\nport = {box.port}\n'
    (place / "config.toml").write_text(config)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", MAIN, "recovery", "serve", str(place), "--port", "0"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout
    try:
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.send_signal(signal.SIGTERM)
        _, err = await process.communicate()
    assert process.returncode == 0, err
    assert b"example.org" not in err


async def with_code(
    box: Mailbox, count: int, *arguments: str, home: Path, address: str = ADA
) -> Done:
    """Run a command that asks for the code in the `count`th mail to somebody."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", MAIN, *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"KEYROLL_HOME": str(home)},
    )
    coming, ended = (
        asyncio.create_task(box.code(address, count)),
        asyncio.create_task(process.wait()),
    )
    await asyncio.wait([coming, ended], return_when=asyncio.FIRST_COMPLETED)
    code = coming.result() if coming.done() else ""
    coming.cancel()
    out, err = await process.communicate(f"{code}\n".encode())
    await ended
    assert process.returncode is not None
    return Done(process.returncode, out.decode(), err.decode())


async def test_on_the_command_line(live: Live, tmp_path: Path) -> None:
    where = ("--url", live.url, "--log-id", live.log_id.hex())
    old, new, place = tmp_path / "old", tmp_path / "new", tmp_path / "service"
    token = tmp_path / "token"
    token.write_text(await enrol(live, ADA))
    await succeed("register", str(token), *where, home=old)
    made = await succeed("recovery", "init", str(place))
    assert "config.toml" in made.out
    again = await keyroll("recovery", "init", str(place))
    assert again.code == 2
    async with mail_server() as box, service_at(place, box) as url:
        mail = ("recovery", "mail")
        done = await with_code(box, 1, *mail, "enrol", str(token), "--service", url, home=old)
        assert (done.code, "can give you back your keys" in done.out) == (0, True), done.err
        quiet = await succeed("sync", home=old)
        assert "ALARM" not in quiet.err
        done = await with_code(box, 2, "recover", str(token), "--service", url, *where, home=new)
        assert (done.code, "goes on with this device" in done.out) == (0, True), done.err
        listed = await succeed("devices", "list", "--json", home=new)
        assert len(listed.facts["devices"]) == 3
        seen = await succeed("lookup", ADA, home=new)
        assert "recoverable by e-mail" in seen.out
        contacts = await succeed("contacts", "--json", home=new)
        (own,) = contacts.facts["contacts"]
        assert own["recoverable_by_mail"]
        assert [one["kind"] for one in own["devices"]] == ["ordinary", "mail_recovery", "ordinary"]
        warned = await succeed("sync", home=old)
        assert "ALARM: recovery by e-mail" in warned.err
        assert "your keys were given out" in warned.err
        told = await succeed(*mail, "status", "--json", home=old)
        (record,) = told.facts["records"]
        assert [event["what"] for event in record["events"]] == ["asked", "begun", "given"]
        seen = await succeed("sync", home=old)
        assert "ALARM" not in seen.err
        stopped = await succeed(*mail, "stop", "--json", home=old)
        assert stopped.facts == {"records": 1}
        removed = await succeed(*mail, "remove", "--json", home=new)
        assert removed.facts == {"records": 1}
        gone = await succeed("sync", home=old)
        assert "has no record of yours any more" in gone.err
    down = await succeed("sync", home=old)
    assert "was not asked" in down.err


async def test_neither_or_both(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("x")
    for more in ((), (str(token), "--service", "http://127.0.0.1:1")):
        done = await keyroll("recover", str(token), *more, home=tmp_path / "home")
        assert (done.code, "name either" in done.err) == (2, True)
    done = await keyroll("recovery", "mail", "status", home=tmp_path / "home")
    assert done.code == 2


async def test_sealed_to_who_is_not_registered(live: Live, tmp_path: Path) -> None:
    """`keyroll encrypt --service`, `share --service`, and `claim` by who came later."""
    where = ("--url", live.url, "--log-id", live.log_id.hex())
    ada, bob, place = tmp_path / "ada", tmp_path / "bob", tmp_path / "service"
    text, sealed = tmp_path / "text", tmp_path / "sealed"
    text.write_text("welcome")
    make(place)
    encrypt = ("encrypt", str(text), "-r", BOB, "-o", str(sealed), *where)
    async with mail_server() as box, service_at(place, box) as url:
        service = ("--service", url)
        async with Keyroll.open(ada, live.url, live.log_id) as me:
            await me.register(live.token(ADA))
        refused = await keyroll(*encrypt, home=ada)
        assert (refused.code, "with a recovery service" in refused.err) == (2, True)
        await succeed(*encrypt, *service, home=ada)
        await succeed("share", str(sealed), "-r", BOB, *service, home=ada)
        async with Keyroll.open(bob, live.url, live.log_id) as me:
            await me.register(live.token(BOB))
        claim = ("claim", *service, *where, "--json")
        done = await with_code(box, 1, *claim, home=bob, address=BOB)
        assert (done.code, len(done.facts["sessions"])) == (0, 1), done.err
        await succeed("decrypt", str(sealed), "-o", str(tmp_path / "opened"), home=bob)
        assert (tmp_path / "opened").read_text() == "welcome"


@pytest.mark.parametrize("passphrase", [None, "correct horse"])
async def test_by_the_sdk(live: Live, tmp_path: Path, passphrase: str | None) -> None:
    place = tmp_path / "service"
    await succeed("recovery", "init", str(place))

    async with mail_server() as box, service_at(place, box) as url:

        async def first() -> str:
            return await box.code(ADA, 1)

        async def second() -> str:
            return await box.code(ADA, 2)

        async with (
            Keyroll.open(tmp_path / "ada", live.url, live.log_id, service=url) as ada,
            Keyroll.open(tmp_path / "bob", live.url, live.log_id) as bob,
        ):
            await ada.register(live.token(ADA))
            await bob.register(live.token(BOB))
            await ada.enrol_mail(live.token(ADA), first, passphrase=passphrase)
            sealed = await bob.encrypt(b"from before", users=[ADA])
            hers, his = (found.pin for found in await bob.lookup(ADA, BOB))
            assert hers
            assert his
            assert (hers.recoverable_by_mail, his.recoverable_by_mail) == (True, False)
        async with Keyroll.open(tmp_path / "new", live.url, live.log_id, service=url) as new:
            await new.recover_by_mail(live.token(ADA), second, passphrase=passphrase)
            assert new.status.name == "READY"
            assert (await new.decrypt(sealed)).data == b"from before"
            (watched,) = await new.mail_recovery.watch()
            assert len(watched.events) == 3
