"""What is for nobody else's eyes is durable before the block that refers to it, and not after."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from ledger.errors import StoreError
from ledger.log.cosigning import Cosign, SignedTree
from ledger.log.waiting import Admitted
from ledger.store.port import PrivateItem
from ledger.store.private import PrivateStore
from tests.log.world import running, until


class Slow(PrivateStore):
    """Keeps nothing until it may, and then perhaps fails."""

    begun = threading.Event()
    may = threading.Event()
    failure: StoreError | None = None

    def put(self, items: Sequence[PrivateItem]) -> None:
        if items:
            self.begun.set()
            assert self.may.wait(10)
            if self.failure:
                raise self.failure
        super().put(items)


@pytest.fixture(autouse=True)
def slow(monkeypatch: pytest.MonkeyPatch) -> type[Slow]:
    for name in ("begun", "may"):
        monkeypatch.setattr(Slow, name, threading.Event())
    monkeypatch.setattr("tests.log.world.PrivateStore", Slow)
    return Slow


async def as_it_is(tree: SignedTree) -> bytes:
    """A cosigner that adds nothing."""
    return tree.note


@pytest.mark.parametrize("cosign", [None, as_it_is])
async def test_the_log_waits_for_it(
    tmp_path: Path, slow: type[Slow], cosign: Cosign | None
) -> None:
    async with running(tmp_path / "log", cosign=cosign) as log:
        before, ada = log.head, log.user("ada")
        submitted = asyncio.create_task(log.submit(ada))
        await until(slow.begun.is_set)
        await asyncio.sleep(0.1)
        assert log.head == before
        assert log.store.staged() is None
        assert not submitted.done()
        slow.may.set()
        (verdict,) = await submitted
        assert isinstance(verdict, Admitted)
        assert log.private.boxes(verdict.index, ada.block.hash)


@pytest.mark.parametrize("cosign", [None, as_it_is])
async def test_without_it_nothing_is_published(
    tmp_path: Path, slow: type[Slow], monkeypatch: pytest.MonkeyPatch, cosign: Cosign | None
) -> None:
    monkeypatch.setattr(slow, "failure", StoreError("a bad disk"))
    slow.may.set()
    async with running(tmp_path / "log", cosign=cosign) as log:
        before = log.head
        (verdict,) = await log.submit(log.user("ada"))
        assert isinstance(verdict, StoreError)
        assert log.sequencer.dead is not None
        assert log.head == before
        assert log.store.staged() is None
