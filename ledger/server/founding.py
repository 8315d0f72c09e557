"""Making a new log, with all of its keys on this machine.

The first block is signed by the application's root and by the log (R-50.2); `first_block` takes any
signer, so that a root that is kept elsewhere can take this place later.

>>> log_id = found_home(Home(Path("mylog")), Terms("example.com/log"), app)     # doctest: +SKIP
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from ledger import keyfile
from ledger.durable import sync_directory
from ledger.errors import UsageError
from ledger.format import block, cose
from ledger.format.block import LOG_LABEL, NO_LOG_ID, Anchor
from ledger.format.bodies import ZERO_HASH, BlockType, Demands, Limits, LogCreate
from ledger.format.keys import SigningKey
from ledger.log.clock import wall_ms
from ledger.log.founding import found
from ledger.server.config import TEMPLATE
from ledger.server.home import Home
from ledger.store.lmdb import LmdbStore
from ledger.store.private import PrivateStore
from ledger.tree import vrf
from ledger.tree.merkle import EMPTY_ROOT


@dataclass(frozen=True, slots=True)
class Terms:
    """What a log's first block fixes beside its keys. `heartbeat` is in ms."""

    origin: str
    heartbeat: int = 60_000
    limits: Limits = field(default_factory=Limits)
    demands: Demands = field(default_factory=Demands)


@dataclass(frozen=True, slots=True)
class AppKeys:
    """The application's root, which has to sign, and the public keys that the first block names."""

    app_root: cose.Signer
    enrolment: bytes
    authority: bytes

    @classmethod
    def read(cls, path: Path) -> AppKeys:
        """From a directory as `keyroll app init` makes it. Raises `UsageError`."""
        root, enrolment, authority = (
            SigningKey(keyfile.read(path / f"{name}.key"))
            for name in ("app-root", "enrolment", "authority")
        )
        return cls(root, enrolment.public, authority.public)


def first_block(
    terms: Terms, app: AppKeys, log_key: cose.Signer, vrf_key: bytes, nonce: bytes
) -> bytes:
    """A signed log.create."""
    body = LogCreate(
        terms.origin,
        nonce,
        app.app_root.public,
        app.enrolment,
        log_key.public,
        vrf_key,
        app.authority,
        terms.limits,
        terms.heartbeat,
        terms.demands,
    )
    anchor, signers = Anchor(0, EMPTY_ROOT), [app.app_root, log_key]
    return block.write(
        BlockType.LOG_CREATE,
        LOG_LABEL,
        0,
        ZERO_HASH,
        anchor,
        body,
        signers=signers,
        log_id=NO_LOG_ID,
    )


def found_home(home: Home, terms: Terms, app: AppKeys) -> bytes:
    """Make a log in a directory that is new or empty, under fresh keys. Gives the log id."""
    if home.path.exists() and any(home.path.iterdir()):
        raise UsageError(f"{home.path} is not empty: name a new directory")
    log_seed, vrf_seed = os.urandom(32), os.urandom(32)
    log_key = SigningKey(log_seed)
    raw = first_block(terms, app, log_key, vrf.public_key(vrf_seed), os.urandom(32))
    block.verify(block.parse(raw), NO_LOG_ID)
    home.path.mkdir(parents=True, exist_ok=True)
    keyfile.make_directory(home.log_key_file.parent)
    keyfile.create(home.log_key_file, log_seed)
    keyfile.create(home.vrf_key_file, vrf_seed)
    store = LmdbStore(home.log, create=True)
    try:
        found(store, raw, log_key, wall_ms())
    finally:
        store.close()
    PrivateStore(home.private, create=True).close()
    # Last, since this file says that the rest is there.
    home.config_file.write_text(TEMPLATE, "utf-8")
    sync_directory(home.path)
    return sha256(raw).digest()
