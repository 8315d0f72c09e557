"""What an auditor asks of a checkpoint beside the log's own signature (R-61.3, R-62.3 to R-62.9).

    trust = Trust(witnesses=parse_policy(data))
    trust.check(log)                                        # is the policy one for this log?
    worth = trust.judge(raw, log, demands, last_time, now, max_age)
    worth.doubt                                             # None, or why nothing is decided

Pure. Times are in milliseconds, but those of cosignatures in seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from verifier.errors import BrokenRule, Invalid, Misbehaviour, Undecided
from verifier.note import NoteKey, open_note
from verifier.policy import MAX_AHEAD, Policy, check_apart, check_enough, check_log, cosigned
from verifier.states import Demands


class Worth(NamedTuple):
    """The quorum time, if one is asked for, and why the checkpoint decides nothing, if so."""

    quorum_time: int | None
    doubt: str | None


@dataclass(frozen=True, slots=True)
class Trust:
    """Whose cosignatures count, and the key that the auditor itself cosigns with."""

    witnesses: Policy | None = None
    own: NoteKey | None = None

    def check(self, log: NoteKey) -> None:
        """R-62.3, R-62.5, R-63.1. Undecided: these terms are not for this log."""
        own = [] if self.own is None else [self.own.key]
        if log.key in own:
            raise Undecided("the log's own key cannot cosign: an auditor needs its own (R-63.1)")
        if self.witnesses is None:
            return
        try:
            check_log(self.witnesses, log)
            check_apart(self.witnesses, own, log.key)
        except BrokenRule as error:
            raise Undecided(f"the policy of witnesses is of no use here: {error}") from error

    def judge(
        self,
        raw: bytes,
        log: NoteKey,
        demands: Demands,
        last_time: int,
        now: int,
        max_age: int | None,
    ) -> Worth:
        """Whether a checkpoint is witnessed and fresh, whose last entry is of `last_time`."""
        allowed = demands.max_age if max_age is None else min(max_age, demands.max_age)
        try:
            quorum_time = self._quorum_time(raw, log, demands.witnesses, last_time, now)
        except BrokenRule as error:
            return Worth(None, str(error))
        return Worth(quorum_time, _stale(quorum_time, last_time, now, allowed))

    def _quorum_time(
        self, raw: bytes, log: NoteKey, demanded: int, last_time: int, now: int
    ) -> int | None:
        """R-62.6 to R-62.8."""
        if self.witnesses is None:
            if demanded:
                what = f"the log demands the cosignatures of {demanded} witnesses"
                raise BrokenRule("R-62.6", f"{what}: say whose with --witnesses")
            return None
        check_enough(self.witnesses, demanded)
        try:
            _, signers = open_note(raw, [log, *self.witnesses.keys])
        except Invalid as error:
            raise Undecided(f"the checkpoint cannot be used: {error}") from error
        times = cosigned(self.witnesses, signers, now)
        quorum_time = self.witnesses.quorum_time(times, demanded)
        if quorum_time is not None and last_time > quorum_time * 1_000 + MAX_AHEAD:
            _require_not_ahead(self.witnesses, times, last_time, raw)
        return quorum_time


def _require_not_ahead(
    witnesses: Policy, times: Mapping[bytes, int], last_time: int, raw: bytes
) -> None:
    """R-62.9, as R-80.9 proves it: a quorum, each well before it, saw an entry of the future."""
    before = {key for key, time in times.items() if time * 1_000 + MAX_AHEAD < last_time}
    if witnesses.quorum is not None and witnesses.met(before):
        raise Misbehaviour(
            "time-ahead",
            "R-62.9",
            "the last entry is of a later time than that at which a quorum of witnesses saw it",
            {"checkpoint": raw},
            transferable=False,
        )


def _stale(quorum_time: int | None, last_time: int, now: int, allowed: int) -> str | None:
    """R-61.3, and R-62.9 in its place."""
    seen, what = last_time, "the last entry is"
    if quorum_time is not None:
        seen, what = quorum_time * 1_000, "the cosignatures of a quorum are"
    rule = "R-61.3" if quorum_time is None else "R-62.9"
    if now - seen > allowed:
        age = f"{(now - seen) / 1000:.0f} s old, more than {allowed / 1000:.0f} s"
        return f"stale: {what} {age} ({rule})"
    if last_time - now > MAX_AHEAD:
        return f"stale: the last entry is {(last_time - now) / 1000:.0f} s ahead ({rule})"
    if last_time - seen > MAX_AHEAD:
        return f"the last entry is {(last_time - seen) / 1000:.0f} s ahead of a quorum ({rule})"
    return None


NOBODY = Trust()
"""No witnesses: the log's signature alone."""
