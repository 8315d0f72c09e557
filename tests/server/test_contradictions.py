"""R-62.16: a log that signed, or is about to sign, what its witnesses know to be otherwise."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from ledger.errors import LogMisbehaved, UsageError
from ledger.format.checkpoint import Checkpoint, sign_checkpoint
from ledger.format.note import open_note
from tests.http.world import Live
from tests.log.world import until
from tests.server.test_witness_faults import OTHER, scripted
from tests.server.witnessing import LOG, VERIFIER, admit, failures, published, witnessed
from tests.support.witnesses import Door, Said, Witness, witnesses
from verifier.evidence import judge


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledger.log.sequencer._PAUSE", 0.05)


async def forked(home: Path, everyone: list[Witness], *, more: int) -> Path:
    """An older copy of a log that went on, under its witnesses, by so many batches."""
    copy = home.with_name("copy")
    async with witnessed(home, everyone) as live:
        await admit(live, "ada")
    shutil.copytree(home, copy)
    async with witnessed(home, everyone) as live:
        for number in range(more):
            await admit(live, f"lost {number}")
    return copy


async def dead(live: Live, names: list[str]) -> LogMisbehaved:
    """Hand blocks in until the log says that it is dead, and shows nothing of them."""
    before = await live.http.checkpoint()
    people = [await live.http.user(name) for name in names]
    answer = await live.http.submit(*people)
    assert {type(verdict).__name__ for verdict in answer.verdicts} == {"Refused"}
    assert (await live.http.get("/health")).json["status"] == "dead"
    assert await live.http.checkpoint() == before
    error = live.served.service.sequencer.dead
    assert isinstance(error, LogMisbehaved)
    assert error.rule == "R-62.16"
    return error


async def refuses_to_start(home: Path, everyone: list[Witness], file: Path) -> None:
    with pytest.raises(UsageError, match=rf"R-62\.16: .*{file.name}"):
        async with witnessed(home, everyone):
            pass


async def test_a_restored_backup_that_lacks_what_was_published(tmp_path: Path) -> None:
    """It learns so before it shows anybody a checkpoint; both notes are kept."""
    async with witnesses(tmp_path, VERIFIER.vkey, 1) as everyone:
        copy = await forked(tmp_path / "log", everyone, more=2)
        before = {size: set(roots) for size, roots in everyone[0].door.roots.items()}
        async with witnessed(copy, everyone) as live:
            error = await dead(live, ["eve"])
        assert everyone[0].door.roots == before
        (file,) = (copy / "evidence").iterdir()
        assert file.name.startswith("lost-")
        assert str(file) in error.detail
        assert file.read_bytes() == error.evidence["theirs"] + b"\n" + error.evidence["ours"]
        assert open_note(error.evidence["theirs"], [VERIFIER])
        await refuses_to_start(copy, everyone, file)
        file.unlink()
        async with witnessed(copy, everyone) as live:  # what is staged meets them again
            await until(lambda: live.served.service.sequencer.dead)
            assert file.exists()


@pytest.mark.parametrize("shown", [True, False], ids=["shown", "by 422"])
@pytest.mark.parametrize("blocks", [1, 2], ids=["same size", "larger"])
async def test_a_fork_is_proven_by_a_file(tmp_path: Path, shown: bool, blocks: int) -> None:
    """The witness knows another tree of this size, or of a smaller one."""
    async with witnesses(tmp_path, VERIFIER.vkey, 1) as everyone:
        copy = await forked(tmp_path / "log", everyone, more=1)
        door = everyone[0].door

        async def late(path: str, body: bytes) -> Said | None:
            """Shows what it cosigned only once it has refused."""
            refused = ("POST", 422) in door.said
            return None if body or refused else Said(404, b"")

        door.answer = None if shown else late
        async with witnessed(copy, everyone) as live:
            error = await dead(live, [f"eve {number}" for number in range(blocks)])
        (file,) = (copy / "evidence").iterdir()
        assert file.name.startswith("fork-")
        assert str(file) in error.detail
        verdict = judge(file.read_bytes(), LOG.log_id)
        assert (verdict.outcome, verdict.kind) == ("proven", "fork")
        assert (("POST", 422) in door.said) == (not shown)
        await refuses_to_start(copy, everyone, file)


async def test_an_older_witness_says_409_of_another_root(tmp_path: Path) -> None:
    """With or without a size in its body; it is the alarm that it is."""
    for size_type in ("text/x.tlog.size", "text/plain"):
        path = tmp_path / size_type.replace("/", "-")
        async with witnesses(path, VERIFIER.vkey, 1) as everyone:
            copy = await forked(path / "log", everyone, more=1)
            door = everyone[0].door

            async def late(path: str, body: bytes, door: Door = door) -> Said | None:
                refused = ("POST", 409) in door.said[-1:]
                return None if body or refused else Said(404, b"")

            async def older(path: str, said: Said, size_type: str = size_type) -> Said:
                return Said(409, b"5\n", size_type) if said.status == 422 else said

            door.answer, door.listen = late, older
            async with witnessed(copy, everyone) as live:
                await dead(live, ["eve"])
            (file,) = (copy / "evidence").iterdir()
            assert judge(file.read_bytes(), LOG.log_id).outcome == "proven"


async def test_a_witness_that_only_claims_is_at_fault(tmp_path: Path) -> None:
    """A larger size, or a refusal, that nothing signed by the log stands behind."""
    foreign = replace(LOG, log_key=LOG.authority)

    async with (
        scripted(tmp_path / "w") as liar,
        witnessed(tmp_path / "log", [liar], without=0.0) as live,
    ):
        await published(live, 3)
        ours = (await live.http.get("/checkpoint")).body
        larger = Checkpoint(LOG.origin, 1_000, bytes(32))
        unsigned = larger.encode() + b"\n" + ours.partition(b"\n\n")[2]
        shows = {
            "nothing": Said(404, b""),
            "an error": Said(500, b""),
            "ours": Said(200, ours),
            "somebody else's": Said(200, sign_checkpoint(larger, foreign.log_key)),
            "one with our signature of another": Said(200, unsigned),
            "garbage": Said(200, b"\xff"),
        }
        says = Said(409, b"1000\n", "text/x.tlog.size"), Said(422, b"")
        for number, shown in enumerate(shows.values()):
            for claim in says:

                async def answer(
                    path: str, body: bytes, claim: Said = claim, shown: Said = shown
                ) -> Said:
                    return claim if body else shown

                liar.door.answer = answer
                await admit(live, f"person {number} {claim.status}")
                assert failures(live) == ["conflict" if claim.status == 409 else "refused"]
        assert not live.served.service.sequencer.dead
        assert not (tmp_path / "log" / "evidence").exists()


async def test_what_a_slow_witness_finds_stops_the_next_checkpoint(tmp_path: Path) -> None:
    """The quorum was met without it: what is published stays, and nothing more is shown anybody."""
    fork = sign_checkpoint(Checkpoint(LOG.origin, 4, bytes(32)), LOG.log_key)
    async with (
        scripted(tmp_path / "a", OTHER, "witness.example/other") as fast,
        scripted(tmp_path / "b") as slow,
        witnessed(tmp_path / "log", [fast, slow], "any") as live,
    ):
        await published(live, 3)

        async def late(path: str, body: bytes) -> Said:
            await asyncio.sleep(0.2)
            return Said(422, b"") if body else Said(200, fork)

        slow.door.answer = late
        await admit(live, "ada")
        size = (await live.http.checkpoint()).size
        file = tmp_path / "log" / "evidence"
        await until(file.exists)
        await until(lambda: live.served.service.sequencer.dead or any(file.iterdir()))
        await dead(live, ["bob"])
        assert max(fast.door.roots) == max(slow.door.roots) == size
