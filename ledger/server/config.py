r"""How one server runs: `config.toml`, read strictly.

What the log *is* (origin, keys, limits) stands in its first block and not here. Every setting has a
default; an unknown one is an error, so that no typo goes unnoticed.

>>> parse("[server]\nport = 9000", "config.toml").server.port
9000
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from pathlib import Path

from ledger import settings
from ledger.errors import UsageError

FILE_NAME = "config.toml"


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Where it listens, and how much it takes upon itself. Times are in seconds."""

    host: str = "127.0.0.1"
    port: int = 8480
    workers: int = 1
    max_connections: int = 1_024
    idle_timeout: float = 75.0
    body_timeout: float = 15.0
    stop_timeout: float = 30.0
    forwarded: bool = False


@dataclass(frozen=True, slots=True)
class SequencerConfig:
    """Blocks queued at most, blocks a batch, milliseconds to gather them."""

    max_queue: int = 8_192
    max_batch: int = 1_000
    linger_ms: float = 2.0


@dataclass(frozen=True, slots=True)
class RateConfig:
    """Requests of one peer, such as "600/minute"; of lookups, identifiers of one user too."""

    labels: str = "600/minute"
    boxes: str = "600/minute"
    statements: str = "600/minute"
    leaves: str = "60/minute"
    lookups: str = "3000/minute"
    sessions: str = "600/minute"


@dataclass(frozen=True, slots=True)
class StatementsConfig:
    """Auditors who may read all groups' statements, by their Ed25519 keys in hex."""

    auditors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WitnessesConfig:
    """A policy beside config.toml; none: nobody is asked. Times are in seconds.

    `patience` is for one round. `without`: publish without a quorum once it was missing for `wait`.
    """

    policy: str = ""
    patience: float = 5.0
    without: bool = False
    wait: float = 60.0


@dataclass(frozen=True, slots=True)
class AuditorsConfig:
    """A policy beside config.toml; none: no candidates are held out to auditors.

    A candidate that they have not cosigned after `patience` seconds is replaced by the newest.
    """

    policy: str = ""
    patience: float = 300.0


@dataclass(frozen=True, slots=True)
class LoggingConfig:
    """`level` is debug, info, warning or error; `format` is console or json."""

    level: str = "info"
    format: str = "console"


@dataclass(frozen=True, slots=True)
class Config:
    """All of config.toml."""

    server: ServerConfig = field(default_factory=ServerConfig)
    sequencer: SequencerConfig = field(default_factory=SequencerConfig)
    rates: RateConfig = field(default_factory=RateConfig)
    statements: StatementsConfig = field(default_factory=StatementsConfig)
    witnesses: WitnessesConfig = field(default_factory=WitnessesConfig)
    auditors: AuditorsConfig = field(default_factory=AuditorsConfig)
    logging: LoggingConfig = field(default_factory=LoggingConfig)


TEMPLATE = """\
# How this server runs; see `keyroll serve --help`. What the log is stands in its first block.
# Each line shows its default. Beside this file: keys/ (secret), log/ (public), private/ (boxes and
# openings, not public).

[server]
# host = "127.0.0.1"
# port = 8480
# workers = 1               # processes that check signatures; 0: a thread of the server
# max_connections = 1024
# idle_timeout = 75.0       # seconds without a request, or within one's header
# body_timeout = 15.0       # seconds for a request's body
# stop_timeout = 30.0       # seconds to answer what was taken before the server ends
# forwarded = false         # behind a proxy: peers are told apart by the last X-Forwarded-For

[sequencer]
# max_queue = 8192          # blocks; beyond that, requests get 503
# max_batch = 1000          # blocks
# linger_ms = 2.0           # how long a batch gathers blocks

[rates]                     # of one peer
# labels = "600/minute"
# boxes = "600/minute"
# statements = "600/minute"
# leaves = "60/minute"      # and grants
# lookups = "3000/minute"   # and of one user, counting identifiers: a group has up to 1,000
# sessions = "600/minute"   # shared or opened, left or waiting

[statements]                # of groups: who is in which is not public
# auditors = []             # keys in hex of those who may read all of them

[witnesses]                 # who cosign each checkpoint before it is published
# policy = ""               # a tlog-policy file beside this one, with their addresses; "": nobody
# patience = 5.0            # seconds for all of them to answer
# without = false           # publish without a quorum, once it has been missing for so long:
# wait = 60.0               # seconds

[auditors]                  # who cosign what they have replayed
# policy = ""               # a tlog-policy file beside this one; "": nobody
# patience = 300.0          # seconds until they are given a newer checkpoint to cosign

[logging]
# level = "info"            # debug shows each request, info those that failed
# format = "console"        # or "json"
"""


def read(path: Path) -> Config:
    """The configuration in a file. Raises `UsageError`."""
    return _checked(settings.read(Config, path), str(path))


def parse(text: str, name: str) -> Config:
    """The configuration that `text` spells; `name` is for error messages. Raises `UsageError`."""
    return _checked(settings.parse(Config, text, name), name)


_KEY = re.compile("[0-9a-f]{64}")


def _checked(config: Config, name: str) -> Config:
    server, sequencer = config.server, config.sequencer
    ranges: dict[str, tuple[float, float, float]] = {
        "port": (server.port, 0, 65_535),
        "workers": (server.workers, 0, 64),
        "max_connections": (server.max_connections, 1, 65_535),
        "max_queue": (sequencer.max_queue, 64, 1_000_000),
        "max_batch": (sequencer.max_batch, 1, 4_096),
        "linger_ms": (sequencer.linger_ms, 0, 10_000),
        "idle_timeout": (server.idle_timeout, 1, 3_600),
        "body_timeout": (server.body_timeout, 1, 3_600),
        "stop_timeout": (server.stop_timeout, 0, 3_600),
        "patience in [witnesses]": (config.witnesses.patience, 0.1, 600),
        "wait": (config.witnesses.wait, 0, 2_592_000),
        "patience in [auditors]": (config.auditors.patience, 1, 86_400),
    }
    settings.check_ranges(name, ranges)
    for rate in fields(config.rates):
        settings.check_rate(name, rate.name, getattr(config.rates, rate.name))
    for auditor in config.statements.auditors:
        if not _KEY.fullmatch(str(auditor)):
            raise UsageError(f"{name}: an auditor is a key of 64 digits of lowercase hex")
    settings.check_level(name, config.logging.level)
    if config.logging.format not in ("console", "json"):
        raise UsageError(f"{name}: format is console or json")
    return config
