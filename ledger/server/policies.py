"""The policies that a server keeps: whose cosignatures it gathers, and how many suffice.

Both are files beside config.toml, which names them (62-witnesses, 63-auditors).

>>> read_policies(home, config, log)                        # doctest: +SKIP
Policies(witnesses=None, auditors=None)

Errors: `UsageError`, with the file's name, before anything is served.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ledger.errors import MalformedInput, UnusablePolicy, UsageError
from ledger.format.note import ED25519, MAX_SIGNATURES, Verifier
from ledger.format.policy import Cosigner, TrustPolicy, check_usable, parse_policy
from ledger.rules.state import LogState
from ledger.server.config import Config
from ledger.server.home import Home


@dataclass(frozen=True, slots=True)
class Terms:
    """Whose quorum it is: the operator's policy, the log's key, and how many the log demands."""

    policy: TrustPolicy
    log: Verifier
    demanded: int = 0

    @property
    def demand(self) -> bool:
        """Whether anything is demanded at all."""
        return self.policy.demands(self.demanded)

    @property
    def verifiers(self) -> list[Verifier]:
        """The log's key, and the cosigners'."""
        return [self.log, *self.policy.verifiers]

    def suffice(self, keys: Collection[bytes]) -> bool:
        """Whether cosignatures by these keys are enough."""
        return self.policy.suffices(keys, self.demanded)


@dataclass(frozen=True, slots=True)
class Policies:
    """Those that the server was given."""

    witnesses: Terms | None = None
    auditors: Terms | None = None


def read_policies(home: Home, config: Config, log: LogState) -> Policies:
    """Both policies, if they are of use for this log (R-62.3, R-62.5, R-62.6)."""
    own, demands = Verifier(log.origin, ED25519, log.log_key), log.demands
    witnesses = _read(home.path, config.witnesses.policy, own, demands.witnesses)
    auditors = _read(home.path, config.auditors.policy, own, demands.auditors)
    seen, audited = (terms.policy.keys if terms else set() for terms in (witnesses, auditors))
    _check(home.path / config.witnesses.policy, witnesses, audited)
    _check(home.path / config.auditors.policy, auditors, seen)
    if len(seen | audited) >= MAX_SIGNATURES:
        raise UsageError(f"a checkpoint holds {MAX_SIGNATURES} signatures: name fewer cosigners")
    if witnesses is None and demands.witnesses:
        raise UsageError(
            f"R-62.6: this log's first block demands {demands.witnesses} witnesses: name them in a "
            "policy, and the policy in [witnesses] of config.toml"
        )
    for one in witnesses.policy.witnesses if witnesses else ():
        submission_url(one)
    return Policies(witnesses, auditors)


def submission_url(witness: Cosigner) -> str:
    """Where a witness takes checkpoints, without a slash at its end."""
    url = (witness.url or b"").decode("ascii", "replace")
    if not _is_prefix(url):
        raise UsageError(
            f"{witness.verifier.name} needs an address in the policy of witnesses, such as "
            "https://witness.example.org"
        )
    return url.rstrip("/")


def _is_prefix(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    known = parts.scheme in ("http", "https") and bool(parts.hostname) and url.isascii()
    return known and not parts.query and not parts.fragment


def _read(directory: Path, name: str, log: Verifier, demanded: int) -> Terms | None:
    """The policy in a file, if one is named."""
    if not name:
        return None
    path = directory / name
    try:
        return Terms(parse_policy(path.read_bytes()), log, demanded)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except MalformedInput as error:
        raise UsageError(f"{path}: {error}") from error


def _check(path: Path, terms: Terms | None, others: Collection[bytes]) -> None:
    if terms is None:
        return
    try:
        check_usable(terms.policy, terms.log, others=others, demanded=terms.demanded)
    except UnusablePolicy as error:
        raise UsageError(f"{path}: {error}") from error
