"""The server as its operator has it: started, stopped, killed, copied, looked at."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from random import Random
from urllib.request import urlopen

import pytest

from ledger.format.block import LOG_LABEL
from tests.http.world import make_home
from tests.server.process import Auditor, Load, actor_of, keyroll, serving
from tests.support.actors import LogActor


async def stay(
    load: Load, url: str, actor: LogActor | None = None, *, at_once: int = 8
) -> asyncio.Task[None]:
    """Begin to press, and wait until the log has answered some."""
    pressing = asyncio.create_task(load.press(url, actor, at_once=at_once))
    await load.hear(5, pressing)
    return pressing


def log_id_in(home: Path) -> bytes:
    done = keyroll("status", home, "--json")
    assert done.returncode == 0, done.stderr
    return bytes.fromhex(json.loads(done.stdout)["log_id"])


async def test_a_stop_under_load_answers_what_was_taken(tmp_path: Path) -> None:
    home, load = tmp_path / "log", Load()
    make_home(home)
    auditor = Auditor(log_id_in(home))
    for _ in range(2):  # a log that is taken up again keeps everything
        async with serving(home) as server:
            await load.again(server.url)
            pressing = await stay(load, server.url)
            await asyncio.sleep(0.3)
            assert await server.stop() == 0
            await pressing
        auditor.check(home, load)
        # Nothing that was taken is left without an answer: who has none is not in the log.
        for item in load.open:
            assert not any(item.raw in data for data in auditor.log.entries)


async def kill_often(home: Path, times: int) -> Load:
    """Kill the server at random moments under load, and look at what it left each time."""
    make_home(home)
    load, random, auditor = Load(), Random(times), Auditor(log_id_in(home))
    for _ in range(times):
        async with serving(home) as server:
            await load.again(server.url)
            pressing = await stay(load, server.url)
            await asyncio.sleep(random.random() * 0.3)
            await server.kill()
            await pressing
        auditor.check(home, load)
    return load


async def test_killed_under_load(tmp_path: Path) -> None:
    """R-71.2: what was acknowledged is there, whenever the server dies."""
    load = await kill_often(tmp_path / "log", 8)
    assert len(load.told) >= 40


@pytest.mark.soak
async def test_killed_under_load_50_times(tmp_path: Path) -> None:
    load = await kill_often(tmp_path / "log", 50)
    assert len(load.told) >= 250
    print(f"acknowledged: {len(load.told)}, unanswered at last: {len(load.open)}")


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, LogActor]:
    """A log by `keyroll app init` and `keyroll init`."""
    app, home = tmp_path / "app", tmp_path / "log"
    assert keyroll("app", "init", app).returncode == 0
    done = keyroll("init", home, "--origin", "example.com/log", "--app", app, "--json")
    assert done.returncode == 0, done.stderr
    return home, actor_of(home, app, json.loads(done.stdout)["log_id"])


async def run(*arguments: str | Path) -> tuple[int, str, str]:
    done = await asyncio.to_thread(keyroll, *arguments)
    return done.returncode, done.stdout, done.stderr


async def test_an_operators_day(made: tuple[Path, LogActor], tmp_path: Path) -> None:
    """Serve, look, copy while people write, stop, restore, and serve the copy."""
    home, actor = made
    load, backup, copy = Load(), tmp_path / "backup", tmp_path / "copy"
    async with serving(home) as server:
        pressing = await stay(load, server.url, actor, at_once=1)
        code, out, err = await run("backup", home, backup, "--json")
        assert code == 0, err
        size = json.loads(out)["size"]
        await load.hear(5, pressing)
        code, out, _ = await run("status", server.url, "--json")
        assert json.loads(out)["log_id"] == actor.log_id.hex()
        assert json.loads(out)["size"] > size
        await look(server.url, home, load)
        assert await server.stop() == 0
        await pressing
    Auditor(actor.log_id).check(home, load)
    assert not (backup / "keys").exists()
    assert (await run("restore", backup, copy))[0] == 0
    await serve_the_copy(home, copy, size)


async def look(url: str, home: Path, load: Load) -> None:
    """`show` and `status` of a server; the directory is its own while it runs."""
    code, out, _ = await run("show", url, "0", "--json")
    assert (code, json.loads(out)["type"]) == (0, "log.create")
    code, out, _ = await run("show", url, LOG_LABEL.hex())
    assert (code, "log.create" in out) == (0, True)
    index = next(iter(load.told.values())).index
    code, out, _ = await run("show", url, str(index), "--json")
    label = json.loads(out)["label"]
    code, out, _ = await run("show", url, label, "--json")
    assert (code, json.loads(out)[0]["index"]) == (0, index)
    unwanted: list[tuple[str | Path, ...]] = [
        *(("show", url, what) for what in ("10000000", "ada", "0" * 63 + "1")),
        ("serve", home, "--port", "0"),
        ("status", home),
    ]
    assert await asyncio.gather(*(refused(*one) for one in unwanted)) == [2, 2, 2, 3, 3]


async def refused(*arguments: str | Path) -> int:
    """The exit code; what is said is one sentence, on standard error."""
    code, out, err = await run(*arguments)
    assert code, out
    assert not out
    assert err.startswith("keyroll: ")
    return code


async def serve_the_copy(home: Path, copy: Path, size: int) -> None:
    """R-73.2: only with the log's own keys, and its operator's word."""
    assert await refused("serve", copy, "--port", "0") == 2  # no keys
    shutil.copytree(home / "keys", copy / "keys")
    code, _, err = await run("serve", copy, "--port", "0")
    assert (code, "--confirm-restored" in err) == (2, True)
    code, out, _ = await run("status", copy, "--json")  # looking at it is no serving
    assert (code, json.loads(out)["size"]) == (0, size)
    async with serving(copy, "--confirm-restored") as server:
        code, out, _ = await run("status", server.url, "--json")
        assert json.loads(out)["size"] >= size
        assert await server.stop() == 0
    async with serving(copy) as server:  # said once is enough
        assert await server.stop() == 0


async def test_the_same_from_server_and_directory(
    made: tuple[Path, LogActor], tmp_path: Path
) -> None:
    """What is said of a served log is what is said of its copy."""
    home, _ = made
    copy = tmp_path / "copy"
    async with serving(home, workers=0) as server:
        assert (await run("backup", home, copy))[0] == 0
        for what in ("1", LOG_LABEL.hex()):
            there = await run("show", server.url, what, "--json")
            assert there[0] == 0
            assert await run("show", copy, what, "--json") == there
        facts = json.loads((await run("status", server.url, "--json"))[1])
        assert facts.pop("caps")
        assert json.loads((await run("status", copy, "--json"))[1]) == facts
        code, table, _ = await run("status", server.url)
        assert (code, "example.com/log" in table, "tree size" in table) == (0, True, True)


def test_what_makes_no_sense(made: tuple[Path, LogActor], tmp_path: Path) -> None:
    """Exit code 2, and 3 for a server that can't be reached."""
    home, _ = made
    app, origin = home.parent / "app", ("--origin", "example.com/log")
    new = tmp_path / "new"
    tries = {
        ("init", home, *origin, "--app", app): 2,  # not empty
        ("init", new, *origin, "--app", app, "--max-devices", "65"): 2,
        ("serve", new): 2,
        ("show", home, "7"): 2,
        ("status", "http://127.0.0.1:1"): 3,
        ("restore", new, tmp_path / "copy"): 1,
        ("backup", home, home): 1,
    }
    found = {arguments: keyroll(*arguments) for arguments in tries}
    assert {arguments: done.returncode for arguments, done in found.items()} == tries
    assert all(done.stderr and not done.stdout for done in found.values())
    assert not new.exists()


async def test_a_setting_that_is_misspelled(made: tuple[Path, LogActor]) -> None:
    home, _ = made
    (home / "config.toml").write_text("[server]\nprot = 1\n")
    code, _, err = await run("serve", home)
    assert (code, "prot" in err) == (2, True)
    (home / "config.toml").write_text("[server]\nworkers = 0\n[logging]\nformat = 'json'\n")
    async with serving(home) as server:
        answer = await asyncio.to_thread(urlopen, f"{server.url}/health")
        assert json.load(answer)["status"] == "ok"
        answer.close()
        assert await server.stop() == 0
