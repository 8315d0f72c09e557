"""Auditors of a served log, who believe it: what they cosign, they have not replayed.

>>> async with served(audited_home(tmp_path / "log").path, AUDITED) as live:   # doctest: +SKIP
...     await cover(live.http)
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ledger.format import checkpoint
from ledger.format.note import Note, parse_note
from ledger.log.clock import wall_ms
from ledger.server.config import AuditorsConfig
from ledger.server.home import Home
from tests.http.world import CONFIG, Answer, Http, make_home
from tests.support.lookups import Auditor
from tests.support.policies import cosigned, policy_text

AUDITORS = tuple(map(Auditor.make, ("first", "second", "third")))
AUDITED = replace(CONFIG, auditors=AuditorsConfig("auditors.policy"))
PATH = "/v1/cosignatures"
NOTE = "text/plain; charset=utf-8"


def audited_home(path: Path, *, heartbeat: int = 3_600_000) -> Home:
    """A new log's directory, two of whose three auditors suffice."""
    home = make_home(path, heartbeat=heartbeat)
    (path / "auditors.policy").write_text(policy_text(2, *AUDITORS))
    return home


def signed(candidate: bytes, *auditors: Auditor, late: int = 0) -> bytes:
    """The candidate's text, the log's own signature, and the auditors'; `late` in ms."""
    found = parse_note(candidate)
    return cosigned(Note(found.text, found.signatures[:1]).encode(), wall_ms() + late, *auditors)


async def hand_in(log: Http, note: bytes) -> Answer:
    return await log.post(PATH, note, **{"Content-Type": NOTE})


async def cover(log: Http, *auditors: Auditor) -> None:
    """Have what is published covered."""
    newest = size_of((await log.get("/checkpoint")).body)
    while True:
        candidate = (await log.get("/v1/candidate")).body
        assert (await hand_in(log, signed(candidate, *(auditors or AUDITORS[:2])))).status == 204
        if size_of(candidate) >= newest:
            return


def size_of(note: bytes) -> int:
    return checkpoint.parse(parse_note(note).text).size
