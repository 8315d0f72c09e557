"""A log served in this process, under a policy of witnesses.

>>> async with witnessed(tmp_path / "log", everyone, "2") as live:           # doctest: +SKIP
...     await admit(live, "ada@example.org")
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from time import time

from ledger.format.note import ED25519, Verifier, open_note
from ledger.server.config import WitnessesConfig
from ledger.server.home import Home
from tests.http.world import CONFIG, Live, make_home, served
from tests.log.world import until
from tests.support.actors import LogActor
from tests.support.witnesses import Witness, policy_of

LOG = LogActor.make(heartbeat=3_600_000).after
VERIFIER = Verifier(LOG.origin, ED25519, LOG.log_key.public)


@asynccontextmanager
async def witnessed(
    path: Path, everyone: Sequence[Witness], k: str = "all", *, patience: float = 5.0, **more: float
) -> AsyncIterator[Live]:
    """The log in `path`, served in this process, under a policy of these witnesses."""
    home = Home(path) if path.exists() else make_home(path)  # noqa: ASYNC240
    (home.path / "witnesses.policy").write_text(policy_of(everyone, k))
    chosen = WitnessesConfig(
        "witnesses.policy", patience, without=bool(more), wait=more.get("without", 60.0)
    )
    async with served(path, replace(CONFIG, witnesses=chosen)) as live:
        yield live


async def cosigners(live: Live, everyone: Sequence[Witness]) -> set[str]:
    """Who has cosigned what is published, by what verifies and is of now."""
    note = (await live.http.get("/checkpoint")).body
    live.http.open(note)
    _, verified = open_note(note, [VERIFIER, *(one.verifier for one in everyone)])
    times = {one.verifier.name: one.time for one in verified if one.time is not None}
    assert all(abs(at - time()) < 60 for at in times.values())
    return {name.rpartition("/")[2] for name in times}


async def published(live: Live, size: int) -> None:
    """Wait until so much is published."""

    def there() -> bool:
        with live.served.service.store.reader() as reader:
            return reader.head.size >= size

    await until(there)


async def admit(live: Live, name: str) -> None:
    await live.http.admit(await live.http.user(name))


def failures(live: Live) -> list[str | None]:
    assert live.served.service.witnesses
    return [one.failure for one in live.served.service.witnesses.everyone]
