"""A log's directory: where everything lies, and how it is opened.

    DIR/config.toml      how the server runs
    DIR/keys/            log.key, vrf.key: mode 0600 in a directory of mode 0700
    DIR/log/             the log: public
    DIR/private/         boxes and openings
    DIR/covered          the checkpoint that auditors have cosigned
    DIR/evidence/        of what went wrong, if anything did

>>> home = Home(Path("mylog"))
>>> home.log_key_file.name
'log.key'
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ledger import keyfile
from ledger.errors import UsageError
from ledger.format.keys import SigningKey
from ledger.server import config
from ledger.store.lmdb import LmdbStore
from ledger.store.private import PrivateStore


@dataclass(frozen=True, slots=True)
class Home:
    """The paths of one log. `check` says whether there is one."""

    path: Path

    @property
    def config_file(self) -> Path:
        return self.path / config.FILE_NAME

    @property
    def log_key_file(self) -> Path:
        return self.path / "keys" / "log.key"

    @property
    def vrf_key_file(self) -> Path:
        return self.path / "keys" / "vrf.key"

    @property
    def log(self) -> Path:
        return self.path / "log"

    @property
    def private(self) -> Path:
        return self.path / "private"

    @property
    def covered_file(self) -> Path:
        return self.path / "covered"

    @property
    def evidence(self) -> Path:
        return self.path / "evidence"

    def check(self) -> Home:
        """This, if a log is here. Raises `UsageError`."""
        if not self.config_file.is_file() or not self.log.is_dir():
            raise UsageError(f"{self.path} holds no log: keyroll init makes one")
        return self

    def config(self) -> config.Config:
        """How the server runs."""
        return config.read(self.config_file)

    def log_key(self) -> SigningKey:
        """What signs checkpoints. Raises `UsageError`."""
        return SigningKey(keyfile.read(self.log_key_file))

    def vrf_seed(self) -> bytes:
        """What turns identifiers into labels (32 bytes). Raises `UsageError`."""
        return keyfile.read(self.vrf_key_file)

    @contextmanager
    def stores(self) -> Iterator[tuple[LmdbStore, PrivateStore]]:
        """The log and what is private, open."""
        store = LmdbStore(self.log)
        try:
            private = PrivateStore(self.private)
        except BaseException:
            store.close()
            raise
        try:
            yield store, private
        finally:
            private.close()
            store.close()
