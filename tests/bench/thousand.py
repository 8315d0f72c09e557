"""A group of a thousand: what it takes to create it, and for one member to come by its key.

| figure | is |
| --- | --- |
| `group_1000_ms` | `Keyroll.create_group` with 999 people who were looked up before |
| `group_1000_bytes` | all that the admin's device sent and got for that |
| `group_1000_member_bytes` | what a member sent and got for the box with the group's key |

The box is all it takes to decrypt: what is in it makes the group's key, or it does not. Who is in
the group its statements say, verified with everybody's chains, for who asks that or seals
something. What these take stands beside the figure.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from ledger.app import keys
from ledger.client.replay.session import Log
from ledger.client.sdk import Keyroll
from ledger.client.transport import HttpTransport
from ledger.client.user.user import User
from ledger.format.group_boxes import GROUP_BOXES_PATH
from ledger.format.statement import Role
from ledger.server.config import RateConfig
from ledger.server.founding import AppKeys, Terms, found_home
from ledger.server.home import Home
from ledger.server.runtime import serving
from tests.bench.measure import Figure
from tests.bench.seal import CONFIG, token

MEMBERS = 1_000
_CONFIG = replace(CONFIG, rates=RateConfig(labels="100000/minute", lookups="100000/minute"))
ROUNDS = 3
ADMIN, MEMBER = "ada@example.org", "bob@example.org"


def thousand_figures() -> list[Figure]:
    """All of them."""
    with TemporaryDirectory() as path:
        return asyncio.run(_measured(Path(path)))


async def _measured(path: Path) -> list[Figure]:
    app, home = path / "app", Home(path / "log")
    keys.make(app)
    log_id = found_home(home, Terms("bench.example/log"), AppKeys.read(app))
    async with (
        serving(home, _CONFIG) as served,
        Keyroll.open(path / "ada", served.url, log_id, fresh=0) as ada,
        Keyroll.open(path / "bob", served.url, log_id, fresh=0) as bob,
    ):
        await ada.register(token(app, log_id, ADMIN))
        await bob.register(token(app, log_id, MEMBER))
        names = [MEMBER, *await _crowd(served.url, app, log_id)]
        await ada.lookup(*names)
        rounds = [await _created(ada, names) for _ in range(ROUNDS)]
        label, _, written = rounds[-1]
        sealed = await ada.encrypt(b"x", groups=[label])
        with _counted() as opening:
            await bob.decrypt(sealed)
        with _counted() as seeing:
            await bob.group(label).view()
    fetched = float(opening.pop(GROUP_BOXES_PATH))
    beside = f"to decrypt: {_by_path(opening)}; to see who is in it: {_by_path(seeing)}"
    times = tuple(1_000 * seconds for _, seconds, _ in rounds)
    sizes = tuple(float(traffic.total()) for _, _, traffic in rounds)
    return [
        Figure("group_1000_ms", times, higher=False),
        Figure("group_1000_bytes", sizes, higher=False, note=_by_path(written)),
        Figure("group_1000_member_bytes", (fetched,), aim=1_024, higher=False, note=beside),
    ]


def _by_path(traffic: Counter[str]) -> str:
    return ", ".join(f"{path} {size:,}" for path, size in traffic.most_common())


async def _created(admin: Keyroll, names: list[str]) -> tuple[bytes, float, Counter[str]]:
    """A new group of all of them, the seconds it took, and the traffic."""
    with _counted() as traffic:
        start = perf_counter()
        group = await admin.create_group(dict.fromkeys(names, Role.MEMBER))
        return group.label, perf_counter() - start, traffic


async def _crowd(url: str, app: Path, log_id: bytes) -> list[str]:
    """Everybody but two, registered; their identifiers."""
    names = [f"{number}@example.org" for number in range(MEMBERS - 2)]
    async with Log.connect(url, log_id) as log:
        for start in range(0, len(names), 100):
            some = (token(app, log_id, name) for name in names[start : start + 100])
            await asyncio.gather(*(User.register(log, one) for one in some))
    return names


@contextmanager
def _counted() -> Iterator[Counter[str]]:
    """Bytes of bodies, both ways, by path, while the context lasts."""
    ask, traffic = HttpTransport._ask_once, Counter[str]()

    async def counted(self: HttpTransport, path: str, limit: int, body: bytes | None) -> bytes:
        answer = await ask(self, path, limit, body)
        traffic[path.partition("?")[0]] += len(body or b"") + len(answer)
        return answer

    HttpTransport._ask_once = counted  # type: ignore[method-assign]
    try:
        yield traffic
    finally:
        HttpTransport._ask_once = ask  # type: ignore[method-assign]
