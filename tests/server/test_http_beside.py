"""What a block is handed in with, and when: each wrong thing, then the right one (R-44, R-55).

Every refusal leaves the log as it was, and spoils nothing for the block itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from ledger.format import wire
from ledger.format.bodies import DAY_MS
from ledger.format.identity import Opening
from ledger.log.clock import Clock, wall_ms
from tests.http.world import Http, served
from tests.support.actors import User, Written


@dataclass
class Shift:
    """A clock that is `by` ms ahead of this machine's, as if time had passed."""

    by: int = 0

    def clock(self) -> Clock:
        return Clock(lambda: wall_ms() + self.by, lambda: time.monotonic() + self.by / 1000)


async def judged(log: Http, written: Written[User]) -> tuple[str, str]:
    """The kind and rule that one block is refused by, or `admitted`."""
    (verdict,) = (await log.submit(written)).verdicts
    return (verdict.kind, verdict.rule) if isinstance(verdict, wire.Refused) else ("admitted", "")


def opened(written: Written[User], identifier: str) -> Written[User]:
    assert written.opening
    return replace(written, opening=Opening(written.opening.nonce, identifier))


Change = Callable[[Written[User]], Written[User]]
CREATES: dict[str, tuple[Change, str, str]] = {
    "no box": (lambda w: replace(w, boxes=()), "rule", "R-55.3"),
    "a box too many": (lambda w: replace(w, boxes=w.boxes * 2), "rule", "R-55.3"),
    "another box": (lambda w: replace(w, boxes=(bytes(80),)), "rule", "R-55.3"),
    "a short box": (lambda w: replace(w, boxes=(w.boxes[0][:-1],)), "rule", "R-55.2"),
    "a long box": (lambda w: replace(w, boxes=(w.boxes[0] + b"\0",)), "rule", "R-55.2"),
    "no opening": (lambda w: replace(w, opening=None), "rule", "R-71.4"),
    "another's opening": (lambda w: opened(w, "eve"), "rule", "R-71.4"),
    "another nonce": (lambda w: replace(w, opening=Opening(bytes(32), "ada")), "rule", "R-71.4"),
    "no identifier": (lambda w: opened(w, "a\nda"), "malformed", "R-36.5"),
}
REVOKES: dict[str, Change] = {
    "no boxes": lambda w: replace(w, boxes=()),
    "one box missing": lambda w: replace(w, boxes=w.boxes[:1]),
    "boxes swapped": lambda w: replace(w, boxes=w.boxes[::-1]),
    "one box twice": lambda w: replace(w, boxes=(w.boxes[0], w.boxes[0])),
}


async def test_what_comes_with_a_create(tmp_path: Path) -> None:
    async with served(tmp_path / "log") as live:
        ada = await live.http.user("ada")
        for name, (change, kind, rule) in CREATES.items():
            assert await judged(live.http, change(ada)) == (kind, rule), name
        assert (await live.http.checkpoint()).size == 2
        assert live.served.service.private.boxes(2, ada.block.hash) is None
        await live.http.admit(ada)
        assert live.served.service.private.boxes(2, ada.block.hash) is not None
        assert live.served.service.private.opening(ada.after.label) is not None


async def test_what_comes_with_a_revocation(tmp_path: Path) -> None:
    async with served(tmp_path / "log") as live:
        log, ada = live.http, await live.http.user("ada")
        await log.admit(ada)
        phone = ada.after.add(await log.anchor())
        assert await judged(log, replace(phone, opening=ada.opening)) == ("rule", "R-71.4")
        await log.admit(phone)
        revoked = phone.after.revoke(await log.anchor(), 1)
        size = (await log.checkpoint()).size
        for name, change in REVOKES.items():
            assert await judged(log, change(revoked)) == ("rule", "R-55.3"), name
        assert (await log.checkpoint()).size == size
        await log.admit(revoked)
        # Once it is in, what it is handed in with again changes nothing.
        assert await judged(log, replace(revoked, boxes=())) == ("admitted", "")
        kept = live.served.service.private.boxes(size, revoked.block.hash)
        assert kept is not None
        assert tuple(item[32:] for item in kept) == revoked.boxes


async def test_a_label_that_is_not_the_identifiers(tmp_path: Path) -> None:
    async with served(tmp_path / "log") as live:
        log = live.http
        anchor, label = await log.anchor(), log.actor.label("bob")
        ada = User.create(log.actor, "ada", anchor, label=label)
        assert await judged(log, ada) == ("rule", "R-71.4")
        await log.admit(User.create(log.actor, "bob", anchor, label=label))


@pytest.mark.parametrize("late", [-60_000, 60_000])
async def test_an_anchor_grows_old(tmp_path: Path, late: int) -> None:
    """R-44.3, a minute before and after; R-73.1 lets time pass, but not jump."""
    shift = Shift()
    async with served(tmp_path / "log", clock=shift.clock()) as live:
        log = live.http
        ada = await log.user("ada")
        shift.by = DAY_MS + late
        expected = ("stale-anchor", "R-44.3") if late > 0 else ("admitted", "")
        assert await judged(log, ada) == expected
        await log.admit(await log.user("bob"))
        await log.admit(await log.user("ada") if late > 0 else ada)
