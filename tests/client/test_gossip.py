"""Two who were shown different histories find out, by any two checkpoints (60-, 80-)."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from ledger.app import keys
from ledger.app.enrolment import Register, enrol
from ledger.app.keys import Role
from ledger.client.evidence.gossip import Accepted, Verdict, checkpoint_of, compare
from ledger.client.evidence.inquiry import Tree
from ledger.client.verify import first_block
from ledger.errors import MalformedInput, UsageError
from ledger.format import entry
from ledger.format.bodies import MAX_TIME
from ledger.format.evidence import Evidence
from ledger.server.config import AuditorsConfig
from ledger.server.founding import AppKeys, Terms, found_home
from ledger.server.home import Home
from ledger.server.runtime import serving
from tests.client.conftest import CONFIG as AUDITED
from tests.client.provers import Mute, Prover, check_evidence, proven
from tests.client.test_cli import Done, keyroll, succeed
from tests.client.world import World
from tests.support.actors import NOW, seed

SIZES = range(2, 20)
CONFIG = replace(AUDITED, auditors=AuditorsConfig())


@pytest.fixture(scope="module")
def world() -> World:
    return World.make()


def history(world: World, name: str, differs_at: int) -> list[bytes]:
    """A history of the log that has leaves of its own from there on. Their bytes don't matter."""
    own = [entry.directory_root(NOW, seed(name, n)) for n in range(differs_at, SIZES[-1])]
    shared = [entry.directory_root(NOW, seed(n)) for n in range(1, differs_at)]
    return [world.entries[0], *shared, *own]


def accepted(world: World, entries: list[bytes]) -> Accepted:
    log = first_block(world.entries[0], world.actor.log_id)
    return Accepted(world.entries[0], log, checkpoint_of(world.sign(entries), log))


class Server(Prover):
    """One's own server, that shows this history."""

    def __init__(self, world: World, entries: list[bytes]) -> None:
        super().__init__(entries)
        self._note = world.sign(entries)

    async def checkpoint(self) -> bytes:
        return self._note


class MuteServer(Mute):
    def __init__(self, note: bytes) -> None:
        self._note = note

    async def checkpoint(self) -> bytes:
        return self._note


@pytest.mark.parametrize("differs_at", [1, 2, 5, 8, 13])
async def test_any_two_trees(world: World, differs_at: int) -> None:
    """R-80.3 for all pairs of sizes: whole subtrees and others, one history and two."""
    one, two = (history(world, name, differs_at) for name in ("one", "two"))
    for older in SIZES:
        for newer in range(older, SIZES[-1] + 1):
            seen = accepted(world, one[:older]).claim
            tree = Tree(Prover(two), accepted(world, two[:newer]).claim, two[0])
            fork = await tree.fork_from(seen)
            assert (fork is None) == (older <= differs_at), (older, newer)
            if fork:
                data = Evidence(two[0], fork).encode()
                assert proven(data, world.actor.log_id) == ("fork", "R-61.2")


async def test_a_tree_that_the_server_does_not_prove(world: World) -> None:
    one, two = (history(world, name, 4) for name in ("one", "two"))
    claim, seen = accepted(world, two[:9]).claim, accepted(world, one[:6]).claim
    for other in (one[:9], two[:8] + one[8:9]):
        with pytest.raises(MalformedInput):
            await Tree(Prover(other), claim, two[0]).fork_from(seen)
    for index in (-1, 9, 2**63):
        with pytest.raises(MalformedInput, match=r"R-20\.3"):
            await Tree(Prover(two), claim, two[0]).leaf(index)
    for size in (0, 10):
        with pytest.raises(MalformedInput, match=r"R-20\.4"):
            await Tree(Prover(two), claim, two[0]).beginning(size)


@pytest.mark.parametrize(
    ("mine", "theirs", "served"), [(9, 9, 9), (9, 6, 9), (6, 9, 12), (6, 9, 9)]
)
async def test_one_history(world: World, mine: int, theirs: int, served: int) -> None:
    entries = history(world, "one", 5)
    own, other = accepted(world, entries[:mine]), accepted(world, entries[:theirs]).claim
    found = await compare(own, other, Server(world, entries[:served]))
    assert (found.verdict, found.proof) == (Verdict.CONSISTENT, None)


@pytest.mark.parametrize(("mine", "theirs", "served"), [(9, 9, 9), (9, 8, 9), (6, 9, 12)])
async def test_two_histories(world: World, mine: int, theirs: int, served: int) -> None:
    one, two = (history(world, name, 5) for name in ("one", "two"))
    own, other = accepted(world, one[:mine]), accepted(world, two[:theirs]).claim
    found = await compare(own, other, Server(world, one[:served]))
    assert found.verdict == Verdict.FORK
    assert proven(found.proof, world.actor.log_id) == ("fork", "R-61.2")


async def test_ones_own_server_forks(world: World) -> None:
    """It shows a newer tree than the one accepted, which is no continuation of that."""
    one, two = (history(world, name, 5) for name in ("one", "two"))
    own, other = accepted(world, one[:6]), accepted(world, two[:9]).claim
    found = await compare(own, other, Server(world, two[:12]))
    assert (found.verdict, found.other.size) == (Verdict.FORK, 12)
    assert proven(found.proof, world.actor.log_id) == ("fork", "R-61.2")


async def test_what_can_not_be_told(world: World) -> None:
    one, two = (history(world, name, 5) for name in ("one", "two"))
    own = accepted(world, one[:9])
    for size, server, advice in (
        (6, MuteServer(own.claim.note), "believe it no more"),
        (6, Server(world, two[:9]), "believe it no more"),
        (12, Server(world, one[:9]), "have the other side compare yours"),
        (12, MuteServer(own.claim.note), "compare again later"),
    ):
        found = await compare(own, accepted(world, two[:size]).claim, server)
        assert (found.verdict, found.proof) == (Verdict.UNDECIDED, None)
        assert advice in found.reason
    same = await compare(own, own.claim, MuteServer(own.claim.note))
    assert same.verdict == Verdict.CONSISTENT


def test_what_is_no_checkpoint_of_this_log(world: World) -> None:
    log = accepted(world, world.entries).log
    note = world.note(9)
    other = World.make("example.net/log").note(9)
    for data in (
        b"",
        b"\xff",
        other,
        note.replace(b"\n9\n", b"\n8\n"),
        world.sign(world.entries[:1]),
    ):
        with pytest.raises(UsageError, match="no checkpoint of"):
            checkpoint_of(data, log)
    assert checkpoint_of(note, log).note == note


# --- two real servers, one key


@dataclass
class Town:
    """A log that nobody serves yet, its application, and people's directories."""

    path: Path
    log_id: bytes

    @property
    def log(self) -> Home:
        return Home(self.path / "log")

    def token(self, identifier: str) -> str:
        app = self.path / "app"
        with Register.open(app / "register.db") as register:
            key = keys.load(app, Role.ENROLMENT)
            master = keys.master(app)
            return enrol(identifier, self.log_id, key, master, register, expiry=MAX_TIME).export()

    async def register(self, name: str, url: str) -> Path:
        home = self.path / name
        where = ("--url", url, "--log-id", self.log_id.hex())
        await succeed("register", "-", *where, home=home, given=self.token(f"{name}@example.org"))
        return home


@pytest.fixture
def town(tmp_path: Path) -> Town:
    keys.make(tmp_path / "app")
    terms = Terms("example.com/log", heartbeat=3_600_000)
    log_id = found_home(Home(tmp_path / "log"), terms, AppKeys.read(tmp_path / "app"))
    return Town(tmp_path, log_id)


@asynccontextmanager
async def forked(town: Town) -> AsyncIterator[tuple[str, str]]:
    """Two servers of the log with its key, each with its own copy of the store."""
    fork = Home(town.path / "fork")
    shutil.copytree(town.log.path, fork.path)
    async with serving(town.log, CONFIG) as one, serving(fork, CONFIG) as two:
        yield one.url, two.url


async def export(home: Path) -> Path:
    """The newest checkpoint accepted here, in a file."""
    path = home / "mine.checkpoint"
    done = await succeed("checkpoint", "export", "-o", str(path), "--json", home=home)
    assert done.facts["checkpoint"].encode() == path.read_bytes()
    return path


async def compared(home: Path, path: Path) -> Done:
    return await keyroll("checkpoint", "compare", str(path), "--json", home=home)


async def test_two_clients_of_a_forked_log(town: Town) -> None:
    async with serving(town.log, CONFIG) as served:
        ada = await town.register("ada", served.url)
        bob = await town.register("bob", served.url)
        for home, other in ((ada, bob), (bob, ada)):  # of different sizes, in either direction
            done = await compared(home, await export(other))
            assert (done.code, done.facts["verdict"]) == (0, "consistent")
        assert not (ada / "evidence").exists()
    async with forked(town) as (one, two):
        await succeed("lookup", "ada@example.org", "--url", one, home=ada)
        await town.register("eve", two)
        await succeed("close", "--yes", "--url", two, home=bob)
        await succeed("close", "--yes", home=ada)
        # Bob's tree is the larger one: he can tell, ada's server knows no such tree.
        done = await compared(ada, await export(bob))
        assert (done.code, done.facts["verdict"]) == (2, "undecided")
        assert "have the other side compare yours" in done.facts["reason"]
        done = await compared(bob, await export(ada))
        assert (done.code, done.facts["verdict"]) == (1, "fork")
        await _is_proven(bob, done, town)
        # The same size, two roots.
        await town.register("tom", one)
        await succeed("sync", home=ada)
        done = await compared(ada, await export(bob))
        assert (done.code, done.facts["own"]["size"]) == (1, done.facts["other"]["size"])
        await _is_proven(ada, done, town)
        # One who was moved from one server to the other finds out alone.
        done = await keyroll("sync", "--url", two, home=ada)
        assert (done.code, "R-61.2" in done.err) == (1, True)
        assert len(list((ada / "evidence").iterdir())) == 1  # that is the same evidence
        (bob / "mine.checkpoint").write_bytes(b"no checkpoint")
        done = await compared(ada, bob / "mine.checkpoint")
        assert (done.code, "no checkpoint of" in done.err) == (2, True)


async def _is_proven(home: Path, done: Done, town: Town) -> None:
    (path,) = (home / "evidence").iterdir()
    assert done.facts["evidence"] == str(path)
    assert f"keyroll-verifier check-evidence {path}" in done.err
    assert path.stat().st_mode & 0o777 == 0o600
    code, said = await check_evidence(path, "--log-id", town.log_id.hex())
    assert (code, said["verdict"], said["kind"]) == (0, "proven", "fork")
    code, said = await check_evidence(path, "--log-id", bytes(32).hex())
    assert (code, said["verdict"]) == (1, "nothing")


async def test_nothing_to_compare(town: Town) -> None:
    where = ("--url", "http://127.0.0.1:9", "--log-id", town.log_id.hex())
    for command in (("export",), ("compare", __file__)):
        done = await keyroll("checkpoint", *command, *where, home=town.path / "new")
        assert (done.code, "no checkpoint was accepted" in done.err) == (2, True)


async def test_ones_own_two_copies(town: Town) -> None:
    """What was replayed and what was looked up are held against each other, too."""
    async with serving(town.log, CONFIG) as served:
        ada = await town.register("ada", served.url)
        bob = await town.register("bob", served.url)
    async with forked(town) as (one, two):
        await succeed("sync", "--url", one, home=ada)
        await succeed("close", "--yes", "--url", one, home=bob)
        await town.register("eve", two)
        await succeed("lookup", "eve@example.org", "--url", two, home=ada)
        await succeed("sync", "--url", one, home=ada)
        path = await export(ada)
        done = await compared(ada, path)
        assert (done.code, done.facts["verdict"]) == (1, "fork")
        code, _ = await check_evidence(Path(done.facts["evidence"]))
        assert code == 0
