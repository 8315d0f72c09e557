"""Provisional answers become final by what auditors cosign, or are an alarm (R-63.5)."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from ledger.app import keys
from ledger.client.lookups.pins import Standing
from ledger.client.policy import Policy
from ledger.client.replay.session import Log
from ledger.errors import LogMisbehaved, NotCosigned, UnusablePolicy
from ledger.format.bodies import DAY_MS
from ledger.format.checkpoint import Checkpoint, sign_checkpoint
from ledger.format.lookup import Mode
from ledger.log.clock import wall_ms
from ledger.server.founding import AppKeys, Terms, found_home
from ledger.server.home import Home
from ledger.server.runtime import serving
from tests.client.conftest import CONFIG, Live
from tests.client.light_world import AUDITED, AUDITORS, STRANGER, WATCHED
from tests.client.people import People, change_key
from tests.client.provers import VERIFIER, proven
from tests.client.test_cli import keyroll, succeed
from tests.client.test_gossip import Town
from tests.client.test_light_session import light
from tests.support.actors import seed
from tests.support.policies import cosigned, quorum


async def test_answers_are_settled(live: Live, people: People) -> None:
    async with light(live, people.ada.account, policy=WATCHED) as log:
        assert await log.settle() == 0  # nothing was seen, and nothing is covered
        (bob,) = await log.lookup("bob@example.org")
        assert (bob.standing, await log.settle()) == (Standing.PROVISIONAL, 0)
        seen = log.trust.view().size
        await change_key(people.bob)
        await live.cover()
        covered = await log.settle()
        assert covered > seen
        assert (log.trust.unsettled(), log.overdue(-DAY_MS)) == ([], [])
        # What auditors cover is accepted as well: nothing may be shown any more that ends before.
        assert log.trust.view().size == covered
        await change_key(people.bob)
        (bob,) = await log.lookup("bob@example.org")
        assert bob.pin
        assert (bob.state, bob.pin.user_key_changed) == (people.bob.state, True)
        (left,) = log.trust.unsettled()
        assert await log.settle() == covered
        assert log.trust.unsettled() == [left]


async def test_a_covered_checkpoint_of_too_few(live: Live, people: People) -> None:
    """It counts by their own policy, not by the server's; and of another's key, not at all."""
    strict = replace(WATCHED, auditors=quorum(3, *AUDITORS))
    others = replace(WATCHED, auditors=quorum(1, STRANGER))
    await live.cover()
    for policy in (strict, others):
        async with light(live, people.ada.account, policy=policy) as log:
            await log.lookup("bob@example.org")
            assert (await log.settle(), len(log.trust.unsettled())) == (0, 1)


async def test_an_alarm(live: Live, people: People) -> None:
    async with light(live, people.ada.account, policy=WATCHED) as log:
        await log.lookup("bob@example.org")
        (kept,) = log.trust.unsettled()
        for now, late in ((kept.time + DAY_MS, []), (kept.time + DAY_MS + 1, [kept])):
            log.clock = lambda now=now: now  # type: ignore[misc]
            assert log.overdue() == late
        assert log.overdue(2 * DAY_MS) == []


async def test_auditors_cover_another_history(
    live: Live, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R-61.2: what they cosigned, smaller or larger, is not what was shown here."""
    async with light(live, people.ada.account, policy=WATCHED) as log:
        await log.lookup("bob@example.org")
        view = log.trust.view()
        head = Checkpoint("example.com/log", view.size, seed("another root"))
        note = sign_checkpoint(head, live.home.log_key())

        async def covered() -> bytes:
            return cosigned(note, wall_ms(), *AUDITORS[:2])

        monkeypatch.setattr(log._transport, "covered", covered)
        with pytest.raises(LogMisbehaved, match=r"R-61\.2") as caught:
            await log.settle()
        assert proven(caught.value.proof, live.log_id) == ("fork", "R-61.2")
        assert (log.trust.view(), len(log.trust.unsettled())) == (view, 1)


async def test_audited_answers_that_are_not_covered(live: Live, people: People) -> None:
    """R-63.4: told at once, with what to do, and as no misbehaviour."""
    async with asyncio.timeout(2), light(live, people.ada.account, policy=AUDITED) as log:
        with pytest.raises(NotCosigned, match=r"R-63\.4.*ask again later"):
            await log.lookup("bob@example.org")
    await live.cover()
    async with light(live, people.ada.account, policy=AUDITED) as log:
        await log.lookup("bob@example.org")
        await change_key(people.bob)
        log.policy = WATCHED
        await log.lookup("bob@example.org")
        log.policy = AUDITED  # what is covered is smaller than what was seen since
        with pytest.raises(NotCosigned, match=r"R-63\.4"):
            await log.lookup("bob@example.org")
        await live.cover()
        (bob,) = await log.lookup("bob@example.org")
        assert bob.state == people.bob.state


async def test_who_replays_sees_the_tree_that_auditors_see(live: Live, people: People) -> None:
    async with Log.connect(live.url, live.log_id) as log:
        await log.sync()
        assert await log.covered() == 0
        await live.cover()
        await log.sync()
        assert await log.covered() == 0  # whose cosignatures? Nobody's are asked for
        log.policy = WATCHED
        size = await log.covered()
        assert 2 < size <= log.replica.head.size
        await change_key(people.bob)
        await live.cover()
        assert await log.covered() > size


@pytest.mark.parametrize("at", [4, 7])
async def test_auditors_cover_another_tree_than_was_replayed(
    live: Live, people: People, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """Be it one that ends where no batch does."""
    note = sign_checkpoint(Checkpoint("example.com/log", at, seed("x")), live.home.log_key())

    async def covered() -> bytes:
        return cosigned(note, wall_ms(), *AUDITORS[:2])

    await change_key(people.bob)
    async with Log.connect(live.url, live.log_id, policy=WATCHED) as log:
        await log.sync()
        monkeypatch.setattr(log._transport, "covered", covered)
        with pytest.raises(LogMisbehaved, match=r"R-61\.2") as caught:
            await log.covered()
    assert proven(caught.value.proof, live.log_id) == ("fork", "R-61.2")


async def test_a_policy_of_no_use(live: Live, people: People) -> None:
    """R-62.5: the log's own key among the auditors."""
    own = replace(AUDITORS[0], key=live.home.log_key())
    policy = Policy(Mode.REPLAY, auditors=quorum(1, own))
    async with light(live, people.ada.account, policy=policy) as log:
        with pytest.raises(UnusablePolicy, match=r"R-62\.5"):
            await log.lookup("bob@example.org")


# --- with the real auditor


@asynccontextmanager
async def auditing(url: str, log_id: bytes, key: Path, state: Path) -> AsyncIterator[None]:
    """`keyroll-verifier audit --follow --cosign`, while the context lasts."""
    options = ("--log-id", log_id.hex(), "--state", str(state), "--cosign", str(key))
    more = ("--follow", "--every", "0.2", "--processes", "1", "--no-crosscheck", "--json")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", VERIFIER, "audit", url, *options, *more),
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        yield
        assert process.returncode is None
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


async def keygen(name: str, path: Path) -> str:
    """The vkey of a new auditor, whose key is in the file."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", VERIFIER, "keygen", name, "-o", str(path)),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode().strip()


async def covered_to(home: Path, size: int) -> dict[str, object]:
    """What `keyroll status` says once auditors cover so much."""
    async with asyncio.timeout(60):
        while True:
            facts: dict[str, object] = (await succeed("status", "--json", home=home)).facts
            assert isinstance(facts["covered"], int)
            if facts["covered"] >= size:
                return facts
            await asyncio.sleep(0.5)


async def test_a_real_auditor_settles_what_ada_saw(tmp_path: Path) -> None:
    """Server, auditor and Ada's commands are all the real ones, over HTTP."""
    keys.make(tmp_path / "app")
    town = Town(tmp_path, bytes(32))
    terms = Terms("example.com/log", heartbeat=1_000)
    town.log_id = found_home(town.log, terms, AppKeys.read(tmp_path / "app"))
    vkey = await keygen("auditor", tmp_path / "key")
    policy = f"witness auditor {vkey}\nquorum auditor\n"
    (Home(town.log.path).path / "auditors.policy").write_text(policy)
    async with serving(town.log, CONFIG) as served:
        ada = await town.register("ada", served.url)
        (ada / "auditors.policy").write_text(policy)
        looking = ("lookup", "ada@example.org", "--json")
        (found,) = (await succeed(*looking, home=ada)).facts
        assert found["standing"] == "provisional"
        done = await keyroll(*looking, "--audited", home=ada)
        assert (done.code, "R-63.4" in done.err) == (3, True)
        facts = (await succeed("status", "--json", home=ada)).facts
        assert (facts["covered"], len(facts["unsettled"])) == (0, 1)
        async with auditing(served.url, town.log_id, tmp_path / "key", tmp_path / "state"):
            facts = await covered_to(ada, facts["size"])
            assert (facts["unsettled"], facts["overdue"]) == ([], [])
            # Ada's newest checkpoint is that of a lookup in the replay mode, or what is covered.
            (found,) = (await succeed(*looking, "--audited", home=ada)).facts
            assert (found["standing"], found["known"]) == ("settled", True)
            assert (await keyroll("contacts", home=ada)).out.count("alarm") == 0
