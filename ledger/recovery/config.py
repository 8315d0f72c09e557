r"""How one recovery service runs: `config.toml`, read strictly.

>>> parse('[mail]\nsender = "codes@example.net"', "config.toml").mail.host
'127.0.0.1'
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from ledger import settings
from ledger.errors import UsageError
from ledger.format.recovery import MAX_DELAY

TEMPLATE = """\
# How this recovery service runs; see `keyroll recovery serve --help`. Beside this file: service.key
# (secret), records.db. Each line shows its default.

[server]
# host = "127.0.0.1"
# port = 8490
# name = "Recovery service"  # as its mails call it
# delay = 0                  # seconds that every release waits at least; users may choose more
# forwarded = false          # behind a proxy: peers are told apart by the last X-Forwarded-For
# rate = "60/minute"         # requests of one peer

[mail]
# host = "127.0.0.1"         # the SMTP server that takes the mails
# port = 25
# tls = "none"               # or "starttls", or "tls" from the first byte; it trusts whom this
#                            # machine trusts, or the file that SSL_CERT_FILE names
# user = ""                  # "": without authentication
# password_file = ""         # beside this file, for its owner's eyes only
# sender = "recovery@localhost"
# timeout = 15.0             # seconds

[logging]
# level = "info"
"""

_TLS = ("none", "starttls", "tls")


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Where it listens, how it is called, how long a release waits (s), what one peer may ask."""

    host: str = "127.0.0.1"
    port: int = 8490
    name: str = "Recovery service"
    delay: int = 0
    forwarded: bool = False
    rate: str = "60/minute"


@dataclass(frozen=True, slots=True)
class MailConfig:
    """The SMTP server. `tls` is none, starttls or tls; `timeout` in seconds."""

    host: str = "127.0.0.1"
    port: int = 25
    tls: str = "none"
    user: str = ""
    password_file: str = ""
    sender: str = "recovery@localhost"
    timeout: float = 15.0


@dataclass(frozen=True, slots=True)
class LoggingConfig:
    """`level` is debug, info, warning or error."""

    level: str = "info"


@dataclass(frozen=True, slots=True)
class Config:
    """All of config.toml."""

    server: ServerConfig = field(default_factory=ServerConfig)
    mail: MailConfig = field(default_factory=MailConfig)
    logging: LoggingConfig = field(default_factory=LoggingConfig)


def read(path: Path) -> Config:
    """The configuration in a file. Raises `UsageError`."""
    return _checked(settings.read(Config, path), str(path))


def parse(text: str, name: str) -> Config:
    """The configuration that `text` spells; `name` is for error messages. Raises `UsageError`."""
    return _checked(settings.parse(Config, text, name), name)


def _checked(config: Config, name: str) -> Config:
    server, mail = config.server, config.mail
    ranges: dict[str, tuple[float, float, float]] = {
        "port": (server.port, 0, 65_535),
        "delay": (server.delay, 0, MAX_DELAY),
        "port in [mail]": (mail.port, 1, 65_535),
        "timeout": (mail.timeout, 0.1, 300),
    }
    settings.check_ranges(name, ranges)
    if mail.tls not in _TLS:
        raise UsageError(f"{name}: tls is none, starttls or tls")
    if mail.user and not mail.password_file:
        raise UsageError(f"{name}: user needs a password_file")
    if mail.user and mail.tls == "none" and not _is_here(mail.host):
        raise UsageError(f"{name}: a password goes to {mail.host} in clear: set tls in [mail]")
    if not server.name.isprintable():
        raise UsageError(f"{name}: name is one line")
    settings.check_level(name, config.logging.level)
    settings.check_rate(name, "rate", server.rate)
    return config


def _is_here(host: str) -> bool:
    """Whether this machine talks to itself."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
