"""The real server on LMDB, in this process, over HTTP on loopback; people who write to it.

>>> async with served(tmp_path) as log:                       # doctest: +SKIP
...     ada = await log.admit(await log.user("ada@example.org"))
...     await log.get("/checkpoint")
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from aiohttp import ClientSession
from multidict import CIMultiDictProxy
from yarl import URL

from ledger import keyfile
from ledger.format import checkpoint, wire
from ledger.format.block import Anchor
from ledger.format.bodies import Demands
from ledger.format.checkpoint import Checkpoint
from ledger.format.note import ED25519, Verifier
from ledger.log.clock import Clock, wall_ms
from ledger.log.cosigning import Cosign
from ledger.log.founding import found
from ledger.server.config import (
    TEMPLATE,
    Config,
    LoggingConfig,
    RateConfig,
    SequencerConfig,
    ServerConfig,
)
from ledger.server.home import Home
from ledger.server.runtime import Served, serving
from ledger.store.lmdb import LmdbStore
from ledger.store.private import PrivateStore
from ledger.tree.merkle import leaf_hash, verify_inclusion
from ledger.tree.tiles import Bundle, decode_bundle, tile_width
from tests.support.actors import LogActor, User, Written

CBOR = "application/cbor"
PLAIN = {"Accept-Encoding": "identity"}
HEARTBEAT = 3_600_000
CONFIG = Config(
    ServerConfig(port=0, workers=0, body_timeout=1.0, stop_timeout=10.0),
    SequencerConfig(linger_ms=0.5),
    RateConfig(*["10000/minute"] * 5),
    logging=LoggingConfig(level="error"),
)


def make_home(
    path: Path,
    *,
    heartbeat: int = HEARTBEAT,
    now: int | None = None,
    demands: Demands | None = None,
) -> Home:
    """A log's directory, as `keyroll init` makes it, with the keys of `LogActor.make()`."""
    home, founding = Home(path), LogActor.make(heartbeat=heartbeat, demands=demands)
    keyfile.make_directory(home.log_key_file.parent)
    keyfile.create(home.log_key_file, founding.after.log_key.seed)
    keyfile.create(home.vrf_key_file, founding.after.vrf_secret)
    store = LmdbStore(home.log, create=True)
    found(store, founding.raw, founding.after.log_key, wall_ms() if now is None else now)
    store.close()
    PrivateStore(home.private, create=True).close()
    home.config_file.write_text(TEMPLATE, "utf-8")
    return home


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def kind(self) -> str:
        """A problem's kind; the document is what R-70.1 says."""
        document = self.json
        assert self.headers["Content-Type"] == "application/problem+json"
        assert document["status"] == self.status
        assert document["title"]
        assert isinstance(document["detail"], str)
        assert "Traceback" not in document["detail"]
        prefix, _, kind = str(document["type"]).rpartition(":")
        assert prefix == "urn:keyroll:problem"
        return kind

    @property
    def rule(self) -> str | None:
        """The rule that a problem names."""
        rule: str | None = self.json.get("rule")
        return rule

    @property
    def json(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.body)
        return document


class Http:
    """A log over HTTP, and whoever runs it."""

    def __init__(self, url: str, session: ClientSession, heartbeat: int = HEARTBEAT) -> None:
        self.url = url
        self.actor = LogActor.make(heartbeat=heartbeat).after
        self.session = session

    async def get(self, path: str, **headers: str) -> Answer:
        """A path as it is spelled: nothing is encoded or decoded on the way."""
        url = URL(self.url + path, encoded=True)
        async with self.session.get(url, headers=headers) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    async def post(self, path: str, body: bytes, **headers: str) -> Answer:
        headers = {"Content-Type": CBOR, **headers}
        stream = BytesIO(body) if len(body) > 100_000 else body
        async with self.session.post(self.url + path, data=stream, headers=headers) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    async def checkpoint(self) -> Checkpoint:
        return self.open((await self.get("/checkpoint")).body)

    def open(self, note: bytes) -> Checkpoint:
        """What a signed checkpoint says, if this log signed it."""
        log = Verifier(self.actor.origin, ED25519, self.actor.log_key.public)
        return checkpoint.open_checkpoint(note, log)

    async def anchor(self) -> Anchor:
        newest = await self.checkpoint()
        return Anchor(newest.size, newest.root)

    async def user(self, name: str) -> Written[User]:
        """A user.create."""
        return User.create(self.actor, name, await self.anchor())

    async def submit(self, *written: Written[Any]) -> wire.SubmitAnswer:
        items = tuple(
            wire.Submission(item.raw, item.boxes, item.opening, item.statement) for item in written
        )
        answer = await self.post(wire.BLOCKS_PATH, wire.SubmitRequest(items).encode())
        assert answer.status == 200, answer
        return wire.SubmitAnswer.decode(answer.body)

    async def admit(self, *written: Written[Any]) -> list[wire.Admitted]:
        """Submit what must be admitted, and check each proof against what the log serves."""
        answer = await self.submit(*written)
        admitted = [v for v in answer.verdicts if isinstance(v, wire.Admitted)]
        assert len(admitted) == len(written), answer.verdicts
        tree = self.open(answer.checkpoint)
        for item, verdict in zip(written, admitted, strict=True):
            data = await self.entry(verdict.index, tree.size)
            assert item.raw in data
            leaf = leaf_hash(data)
            verify_inclusion(leaf, verdict.index, tree.size, verdict.proof, tree.root)
        return admitted

    async def entry(self, index: int, size: int) -> bytes:
        """An entry, out of its bundle in the tree of that size."""
        bundle = Bundle(index // 256, tile_width(0, index // 256, size))
        answer = await self.get(f"/{bundle.path()}")
        assert answer.status == 200, answer
        return decode_bundle(answer.body, bundle.width)[index % 256]


@dataclass
class Live:
    """A log that is served in this process."""

    http: Http
    served: Served
    home: Home


@asynccontextmanager
async def served(
    path: Path,
    config: Config = CONFIG,
    *,
    heartbeat: int = HEARTBEAT,
    clock: Clock | None = None,
    cosign: Cosign | None = None,
) -> AsyncIterator[Live]:
    """The log in `path`, begun if there is none, while the context lasts."""
    home = Home(path) if path.exists() else make_home(path, heartbeat=heartbeat)  # noqa: ASYNC240
    # The client leaves last, so that it hears what a server says that stops.
    async with (
        ClientSession(auto_decompress=False, headers=PLAIN) as session,
        serving(home, config, clock=clock, cosign=cosign) as running,
    ):
        yield Live(Http(running.url, session, heartbeat), running, home)


async def admitted(log: Http, name: str) -> User:
    """A new user, as they are after their first block."""
    written = await log.user(name)
    await log.admit(written)
    return written.after
