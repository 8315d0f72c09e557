"""Witnesses that answer wrongly, slowly or not at all; and logs that contradict themselves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import TypeAlias

import pytest

from ledger.format.keys import SigningKey
from ledger.format.note import COSIGNATURE, MAX_NOTE_BYTES, Verifier, cosign, open_note, parse_note
from ledger.log.clock import wall_ms
from tests.http.world import make_home
from tests.log.world import until
from tests.server.witnessing import LOG, VERIFIER, admit, failures, published, witnessed
from tests.support.witnesses import Said, Witness, door, witnesses

KEY = SigningKey(b"w" * 32)
NAME = "witness.example/scripted"


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledger.log.sequencer._PAUSE", 0.05)


@asynccontextmanager
async def scripted(path: Path, key: SigningKey = KEY, name: str = NAME) -> AsyncIterator[Witness]:
    """A witness that the test plays; until it is told otherwise, one that cosigns anything."""
    async with door() as where:
        found = Witness(path, Verifier(name, COSIGNATURE, key.public), where)

        async def willing(path: str, body: bytes) -> Said:
            return Said(200, line(body, key=key, name=name)) if body else Said(404, b"")

        where.answer = willing
        yield found


def line(
    body: bytes, *, key: SigningKey = KEY, name: str = NAME, late: int = 0, text: bytes = b""
) -> bytes:
    """A cosignature of what was submitted."""
    text = text or parse_note(body.partition(b"\n\n")[2]).text
    return cosign(text, name, key, wall_ms() // 1000 + late).line.encode()


SIZE = "text/x.tlog.size"
OTHER = SigningKey(b"o" * 32)


def other_line(body: bytes) -> bytes:
    return line(body, key=OTHER, name="witness.example/other")


Fault: TypeAlias = Callable[[bytes], Said]

FAULTS: dict[str, Fault] = {
    "bad-request": lambda body: Said(400, b"?"),
    "forbidden": lambda body: Said(403, b"?"),
    "unknown-log": lambda body: Said(404, b"?"),
    "conflict": lambda body: Said(409, b"?"),
    "conflict, of another type": lambda body: Said(409, b"1\n"),
    "conflict, misspelled": lambda body: Said(409, b"01\n", SIZE),
    "conflict, again and again": lambda body: Said(409, b"1\n", SIZE),
    "conflict, beyond us": lambda body: Said(409, b"9223372036854775807\n", SIZE),
    "refused": lambda body: Said(422, b"?"),
    "busy": lambda body: Said(503, b"?"),
    "busy, it says": lambda body: Said(429, b"?"),
    "status": lambda body: Said(500, b"?"),
    "status, of success": lambda body: Said(202, line(body)),
    "status, of elsewhere": lambda body: Said(307, b""),
    "answer": lambda body: Said(200, b"thank you\n"),
    "answer, empty": lambda body: Said(200, b""),
    "answer, without end": lambda body: Said(200, line(body).rstrip()),
    "answer, a note": lambda body: Said(200, body.partition(b"\n\n")[2] + line(body)),
    "answer, another text first": lambda body: Said(200, b"x\n\n" + line(body, text=b"x\n")),
    "answer, huge": lambda body: Said(200, line(body) * (MAX_NOTE_BYTES // 100)),
    "answer, too many": lambda body: Said(200, other_line(body) * 65),
    "signature": lambda body: Said(200, line(body, key=OTHER)),
    "signature, of others": lambda body: Said(200, other_line(body)),
    "signature, twice": lambda body: Said(200, line(body) * 2),
    "signature, of another text": lambda body: Said(200, line(body, text=b"x\n1\n" + b"A" * 44)),
    "clock": lambda body: Said(200, line(body, late=-310)),
    "clock, ahead": lambda body: Said(200, line(body, late=310)),
}
"""What it says, by the kind of failure that it is."""


async def test_each_wrong_answer_is_a_failure_of_its_kind(tmp_path: Path) -> None:
    """R-62.14: none of them counts, none of them stops the log, and all are told."""
    async with (
        scripted(tmp_path / "good", OTHER, "witness.example/other") as good,
        scripted(tmp_path / "bad") as bad,
        witnessed(tmp_path / "log", [good, bad], "any") as live,
    ):
        await published(live, 3)
        willing, told = bad.door.answer, list[str | None]()
        for number, fault in enumerate(FAULTS.values()):

            async def answer(path: str, body: bytes, fault: Fault = fault) -> Said:
                return fault(body) if body else Said(404, b"")

            bad.door.answer = answer
            await admit(live, f"person {number}")
            await until(lambda: failures(live)[1])
            told += failures(live)[1:]
            note = (await live.http.get("/checkpoint")).body
            assert [one.verifier.name for one in open_note(note, [bad.verifier, VERIFIER])[1]] == [
                LOG.origin
            ]
            bad.door.answer = willing
            await admit(live, f"another {number}")
            await until(lambda: failures(live)[1] is None)
        assert told == [kind.partition(",")[0] for kind in FAULTS]
        metrics = (await live.http.get("/metrics")).body.decode()
        for kind in set(told):
            assert f'keyroll_witness_failures_total{{kind="{kind}",witness="w1"}}' in metrics
        assert not live.served.service.sequencer.dead


async def test_a_cosignature_among_those_of_others_counts(tmp_path: Path) -> None:
    """R-62.14, and the nearest to what is refused: 4 minutes off, unknown keys beside it."""
    async with (
        scripted(tmp_path / "w") as one,
        witnessed(tmp_path / "log", [one]) as live,
    ):

        async def answer(path: str, body: bytes) -> Said:
            lines = other_line(body) * 2 + line(body, late=-240) + other_line(body)
            return Said(200, lines) if body else Said(404, b"")

        one.door.answer = answer
        await admit(live, "ada")
        note = (await live.http.get("/checkpoint")).body
        assert len(parse_note(note).signatures) == 2
        _, [verified] = open_note(note, [one.verifier])
        assert verified.time is not None
        assert abs(verified.time + 240 - wall_ms() // 1000) < 30


async def test_a_slow_witness_gets_to_answer_and_never_for_another_tree(tmp_path: Path) -> None:
    async with (
        scripted(tmp_path / "fast", OTHER, "witness.example/other") as fast,
        scripted(tmp_path / "slow") as slow,
        witnessed(tmp_path / "log", [fast, slow], "any") as live,
    ):
        willing = slow.door.answer
        assert willing

        async def late(path: str, body: bytes) -> Said | None:
            await asyncio.sleep(0.1)
            return await willing(path, body)

        slow.door.answer = late
        witness = live.served.service.witnesses
        assert witness
        sizes: set[int] = set()
        async with asyncio.timeout(20):
            for number in count():
                await admit(live, f"person {number}")
                note = (await live.http.get("/checkpoint")).body
                open_note(note, [VERIFIER, fast.verifier, slow.verifier])
                sizes.add(witness.everyone[1].size)
                if len(sizes) > 3:
                    break
        assert failures(live) == [None, None]


async def test_who_takes_too_long_holds_nobody_up_for_longer_than_a_round(tmp_path: Path) -> None:
    async with (
        scripted(tmp_path / "fast", OTHER, "witness.example/other") as fast,
        scripted(tmp_path / "slow") as slow,
    ):

        async def never(path: str, body: bytes) -> Said:
            await asyncio.sleep(3)
            return Said(503, b"")

        slow.door.answer = never
        async with witnessed(tmp_path / "log", [fast, slow], patience=0.2, without=0.0) as live:
            await admit(live, "ada")
            assert failures(live) == [None, "timeout"]


async def test_sizes_are_learned_by_409_where_nobody_shows_them(tmp_path: Path) -> None:
    """R-62.14: what a witness cosigned last need not be shown at the same address."""

    async def hidden(path: str, body: bytes) -> Said | None:
        return None if body else Said(500, b"not here")

    async with witnesses(tmp_path, VERIFIER.vkey, 1) as everyone:
        everyone[0].door.answer = hidden
        for name in ("ada", "bob"):
            async with witnessed(tmp_path / "log", everyone) as live:
                await admit(live, name)
        assert everyone[0].door.said.count(("POST", 409)) == 1
        assert not any(size for size in everyone[0].door.roots if size == 1)


async def test_an_idle_log_stays_fresh(tmp_path: Path) -> None:
    """Each heartbeat is cosigned, so the quorum's time goes on."""
    home = make_home(tmp_path / "log", heartbeat=1_000)
    async with (
        witnesses(tmp_path, VERIFIER.vkey, 1) as everyone,
        witnessed(home.path, everyone) as live,
    ):
        await published(live, 3)
        assert live.served.service.witnesses
        one = live.served.service.witnesses.everyone[0]
        first = one.time
        await until(lambda: one.size >= 5)
        assert first
        assert one.time
        assert one.time > first
