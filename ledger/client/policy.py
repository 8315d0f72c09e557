"""Whom a client believes beside the log, and what it asks of answers (62-, 63-). Pure.

A client's own: two policy files, of witnesses and of auditors. What the log demands of its clients
comes on top.

>>> policy = Policy(max_age=60_000)
>>> policy.asks_witnesses(log), policy.asks_auditors(log)          # doctest: +SKIP
(False, False)
>>> policy = Policy.parse(Path("witnesses.policy").read_bytes())   # doctest: +SKIP
>>> policy.check(log)
>>> policy.quorum_time(cosigned, log)

`cosigned` is what counts of a checkpoint's cosignatures (R-62.7): public keys, and times in
seconds. Errors: `UnusablePolicy` where a policy is of no use, `NotCosigned` where they are too few.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache

from ledger.errors import NotCosigned, UnusablePolicy, UsageError
from ledger.format.lookup import Mode
from ledger.format.note import ED25519, Verifier
from ledger.format.policy import NONE, TrustPolicy, check_usable, parse_policy
from ledger.rules.state import LogState

NOBODY = TrustPolicy((), (), (), NONE)
"""Demands no cosignature."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What a client asks of answers. `max_age` in ms; `mode` is of lookups alone."""

    mode: Mode = Mode.REPLAY
    max_age: int | None = None
    witnesses: TrustPolicy = NOBODY
    auditors: TrustPolicy = NOBODY

    def __post_init__(self) -> None:
        if not self.witnesses.keys.isdisjoint(self.auditors.keys):
            detail = "a key stands among the witnesses and among the auditors: it can't be both"
            raise UnusablePolicy("R-62.5", detail)
        if self.mode == Mode.AUDITED and not self.auditors.demands(0):
            raise UsageError("R-65.9: audited answers are believed for their auditors: name some")

    @classmethod
    def parse(
        cls,
        witnesses: bytes | None = None,
        auditors: bytes | None = None,
        *,
        mode: Mode = Mode.REPLAY,
        max_age: int | None = None,
    ) -> Policy:
        """Of two policy files (62-witnesses). Raises `MalformedInput`, and what the others do."""
        policies = (
            NOBODY if data is None else parse_policy(data) for data in (witnesses, auditors)
        )
        return cls(mode, max_age, *policies)

    @property
    def verifiers(self) -> list[Verifier]:
        """The keys of all who may cosign."""
        return [*self.witnesses.verifiers, *self.auditors.verifiers]

    def check(self, log: LogState, *, replays: bool = False) -> None:
        """Refuse a policy that is of no use for this log (R-62.3, R-62.5, R-62.6).

        Who `replays` all of it is their own auditor: of how many it demands they need name none.
        """
        demands = log.demands
        _check("witnesses", self.witnesses, log, self.auditors.keys, demands.witnesses)
        demanded = 0 if replays else demands.auditors
        _check("auditors", self.auditors, log, self.witnesses.keys, demanded)

    def max_age_for(self, log: LogState) -> int:
        """How old (ms) what this log shows may be."""
        return min(self.max_age or log.demands.max_age, log.demands.max_age)

    def asks_witnesses(self, log: LogState) -> bool:
        """Whether a checkpoint needs a quorum of witnesses (R-62.8)."""
        return self.witnesses.demands(log.demands.witnesses)

    def asks_auditors(self, log: LogState) -> bool:
        """Whether answers need a quorum of auditors, sooner or later (R-63.5)."""
        return self.auditors.demands(log.demands.auditors)

    def quorum_time(self, cosigned: Mapping[bytes, int], log: LogState) -> int | None:
        """The quorum time (ms) of a checkpoint, None if no quorum is asked for (R-62.8)."""
        if not self.asks_witnesses(log):
            return None
        theirs = {key: time for key, time in cosigned.items() if key in self.witnesses.keys}
        time = self.witnesses.quorum_time(theirs, log.demands.witnesses)
        if time is None:
            detail = "no quorum of witnesses has cosigned it: try again later"
            raise NotCosigned("R-62.8", detail, missing(self.witnesses, cosigned))
        return time * 1000

    def covers(self, cosigned: Collection[bytes], log: LogState) -> bool:
        """Whether as many auditors have cosigned as are asked for, which is at least one."""
        asked = self.asks_auditors(log)
        return asked and self.auditors.suffices(cosigned, log.demands.auditors)


def verifier_of(log: LogState) -> Verifier:
    """The key that signs a log's checkpoints. Raises `MalformedInput` (R-60.5, R-15.1)."""
    return _verifier(log.origin, log.log_key)


@lru_cache(8)
def _verifier(origin: str, log_key: bytes) -> Verifier:
    return Verifier(origin, ED25519, log_key)


def missing(policy: TrustPolicy, cosigned: Collection[bytes]) -> tuple[str, ...]:
    """The names of those of a policy who are not among the cosigners."""
    verifiers = policy.verifiers
    return tuple(one.name for one in verifiers if one.public not in cosigned)


def _check(
    whose: str, policy: TrustPolicy, log: LogState, others: Collection[bytes], demanded: int
) -> None:
    try:
        check_usable(policy, verifier_of(log), others=others, demanded=demanded)
    except UnusablePolicy as error:
        raise UnusablePolicy(error.rule, f"your policy of {whose}: {error.detail}") from error
