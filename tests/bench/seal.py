"""Sealing: a long stream against libsodium alone, a short message to many people.

| figure | is |
| --- | --- |
| `encrypt_ratio` | bytes a second of a sealed stream of 256 MiB, to libsodium's stream alone |
| `encrypt_rss_mb` | what anonymous memory grows to for it, in a process of its own |
| `share_100_ratio` | 1 KB to 100 people who are pinned, boxes handed in, to 100 `crypto_box_seal` |

The stream comes from memory and is written nowhere; the digest that the author signs is in it.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from nacl import bindings as sodium

from ledger.app import keys
from ledger.app.enrolment import Register, enrol
from ledger.app.keys import Role
from ledger.client.documents import Documents
from ledger.client.lookups.session import LightLog
from ledger.client.replay.session import Log
from ledger.client.transport import HttpTransport
from ledger.client.user.user import User
from ledger.format.bodies import MAX_TIME
from ledger.format.identity import IdentityToken
from ledger.format.keys import SigningKey
from ledger.seal.stream import PIECE, Sealer, Session
from ledger.server.config import Config, ServerConfig
from ledger.server.founding import AppKeys, Terms, found_home
from ledger.server.home import Home
from ledger.server.runtime import serving
from tests.bench.measure import ROUNDS, Figure, rss_anon_mb

MIB = 1_048_576
STREAM = 256
PEOPLE = 100
CONFIG = Config(server=ServerConfig(port=0, workers=0))


def seal_figures() -> list[Figure]:
    """All of them."""
    ratios = [_bare() / _sealed() for _ in range(ROUNDS)]
    figures = [Figure("encrypt_ratio", tuple(ratios), 0.7, 0.95, note=f"{STREAM} MiB")]
    script = [sys.executable, "-m", "tests.bench.seal"]
    done = subprocess.run(script, check=True, capture_output=True, text=True)
    figures.append(Figure("encrypt_rss_mb", (float(done.stdout),), 80, 60, higher=False))
    with TemporaryDirectory() as path:
        shares = asyncio.run(_shares(Path(path)))
    note = f"1 KB to {PEOPLE}"
    figures.append(Figure("share_100_ratio", tuple(shares), 4, 1.5, higher=False, note=note))
    return figures


def _bare() -> float:
    """Seconds for libsodium's secretstream, in pieces as long as ours."""
    data, state = os.urandom(MIB), sodium.crypto_secretstream_xchacha20poly1305_state()
    sodium.crypto_secretstream_xchacha20poly1305_init_push(state, bytes(32))
    push = sodium.crypto_secretstream_xchacha20poly1305_push
    start = perf_counter()
    for _ in range(STREAM):
        for at in range(0, MIB, PIECE):
            push(state, data[at : at + PIECE])
    return perf_counter() - start


def _sealed() -> float:
    """Seconds for the same as a sealed stream."""
    data, session = os.urandom(MIB), Session(os.urandom(32), os.urandom(32))
    preamble = session.preamble(bytes(32), resource=os.urandom(32), author=bytes(32))
    sealer = Sealer(session, preamble, SigningKey(bytes(32)))
    start = perf_counter()
    sealer.start()
    for _ in range(STREAM):
        for _ in sealer.update(data):
            pass
    for _ in sealer.finish():
        pass
    return perf_counter() - start


async def _shares(path: Path) -> list[float]:
    """Ratios of one message to so many people."""
    app, home = path / "app", Home(path / "log")
    keys.make(app)
    log_id = found_home(home, Terms("bench.example/log"), AppKeys.read(app))
    names = [f"{number}@example.org" for number in range(PEOPLE)]
    async with serving(home, CONFIG) as served, Log.connect(served.url, log_id) as log:
        ada = await User.register(log, token(app, log_id, "ada@example.org"))
        others = [await User.register(log, token(app, log_id, name)) for name in names]
        recipients = [other.state.user_key or b"" for other in others]
        async with (
            LightLog.connect(served.url, log_id, path / "trust.db", ada.account) as light,
            HttpTransport(served.url) as server,
        ):
            documents = Documents(ada, light, server)
            await documents.encrypt(bytes(1_000), names)
            return [await _share(documents, names, recipients) for _ in range(ROUNDS)]


def token(app: Path, log_id: bytes, name: str) -> IdentityToken:
    """Who somebody is, by the application whose keys lie in `app`."""
    with Register.open(app / "register.db") as register:
        enrolment = keys.load(app, Role.ENROLMENT)
        return enrol(name, log_id, enrolment, keys.master(app), register, expiry=MAX_TIME)


async def _share(documents: Documents, names: list[str], recipients: list[bytes]) -> float:
    start = perf_counter()
    await documents.encrypt(bytes(1_000), names)
    ours = perf_counter() - start
    start = perf_counter()
    for recipient in recipients:
        sodium.crypto_box_seal(bytes(32), recipient)
    return ours / (perf_counter() - start)


def _peak() -> float:
    """Megabytes of anonymous memory in the course of a sealed stream, at the most."""
    session = Session(bytes(32), bytes(32))
    preamble = session.preamble(bytes(32), resource=bytes(32), author=bytes(32))
    sealer, most = Sealer(session, preamble, SigningKey(bytes(32))), 0.0
    for _ in range(STREAM):
        for _ in sealer.update(os.urandom(MIB)):
            most = max(most, rss_anon_mb([os.getpid()]))
    return most


if __name__ == "__main__":
    print(_peak())
