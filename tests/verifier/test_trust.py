"""What an auditor asks of a checkpoint beside the log's signature, each rule at its edge."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from nacl.signing import SigningKey

from tests.verifier.witnessing import Submitting
from verifier.errors import Misbehaviour, Undecided
from verifier.keyfile import Cosigner
from verifier.policy import parse_policy
from verifier.states import Demands
from verifier.trust import NOBODY, Trust, Worth

NOW = 1_800_000_000_000
NOW_S = NOW // 1_000
DAY = 86_400_000
LOG = Submitting()
A, B, C = (Cosigner(f"{name}.example", SigningKey(name.encode() * 32)) for name in "ABC")


def policy(*cosigners: Cosigner, quorum: str = "all", more: str = "") -> Trust:
    """Of these witnesses, all or any."""
    names = [one.name[0] for one in cosigners]
    lines = [f"witness {one.name[0]} {one.public.vkey}\n" for one in cosigners]
    group = (
        f"group Q {quorum} {' '.join(names)}\nquorum Q\n" if quorum != "none" else "quorum none\n"
    )
    return Trust(parse_policy(f"{more}{''.join(lines)}{group}".encode()))


@dataclass
class Seen:
    """A checkpoint, who cosigned it and when, and its last entry's time (ms)."""

    at: dict[str, int] = field(default_factory=dict)
    last: int = NOW
    demanded: int = 0
    max_age: int | None = None
    bad: str = ""

    def judge(self, trust: Trust, now: int = NOW) -> Worth:
        note = LOG.note(8)
        for cosigner in (A, B, C):
            letter = cosigner.name[0]
            if letter in self.at:
                note += cosigner.cosign(LOG.text(8), self.at[letter]).line
            if letter == self.bad:
                note += cosigner.cosign(LOG.text(9), NOW_S).line
        demands = Demands(self.demanded, 0, DAY)
        return trust.judge(note.encode(), LOG.public, demands, self.last, now, self.max_age)


def good(seen: Seen, trust: Trust, time: int | None) -> None:
    assert seen.judge(trust) == (time, None)


def doubted(seen: Seen, trust: Trust, rule: str) -> None:
    doubt = seen.judge(trust).doubt
    assert doubt is not None
    assert rule in doubt


def test_without_witnesses_the_last_entry_tells_the_age() -> None:
    """R-61.3."""
    for last in (NOW - DAY, NOW, NOW + 300_000):
        good(Seen(last=last), NOBODY, None)
    for last in (NOW - DAY - 1, NOW + 300_001):
        doubted(Seen(last=last), NOBODY, "R-61.3")
    good(Seen(last=NOW - 5_000, max_age=5_000), NOBODY, None)
    doubted(Seen(last=NOW - 5_001, max_age=5_000), NOBODY, "R-61.3")
    doubted(Seen(last=NOW - DAY - 1, max_age=2 * DAY), NOBODY, "R-61.3")


def test_with_witnesses_their_quorum_tells_the_age() -> None:
    """R-62.9: the last entry may be old, as long as a quorum saw lately that it is the last."""
    trust = policy(A, B)
    oldest = NOW_S - DAY // 1_000
    good(Seen({"A": NOW_S, "B": oldest}, last=NOW - 5 * DAY), trust, oldest)
    doubted(Seen({"A": NOW_S, "B": oldest - 1}, last=NOW - 5 * DAY), trust, "R-62.9")
    doubted(Seen({"A": NOW_S, "B": oldest - 1}), trust, "R-62.9")
    good(Seen({"A": NOW_S + 300, "B": NOW_S + 300}, last=NOW + 300_000), trust, NOW_S + 300)
    doubted(Seen({"A": NOW_S + 300, "B": NOW_S + 300}, last=NOW + 300_001), trust, "R-62.9")


def test_without_a_quorum_nothing_is_decided() -> None:
    """R-62.8."""
    good(Seen({"A": NOW_S, "B": NOW_S - 1}), policy(A, B), NOW_S - 1)
    doubted(Seen({"A": NOW_S}), policy(A, B), "R-62.8")
    doubted(Seen({"A": NOW_S, "C": NOW_S}), policy(A, B), "R-62.8")
    doubted(Seen({"A": NOW_S, "B": NOW_S + 301}), policy(A, B), "R-62.8")
    doubted(Seen(), policy(A, B, quorum="any"), "R-62.8")
    good(Seen({"B": NOW_S}), policy(A, B, quorum="any"), NOW_S)
    good(Seen({"B": NOW_S}), policy(A, B, quorum="none"), None)


def test_what_the_log_demands_comes_on_top() -> None:
    """R-62.6."""
    both = {"A": NOW_S, "B": NOW_S - 1}
    good(Seen(both, demanded=2), policy(A, B, quorum="any"), NOW_S - 1)
    doubted(Seen({"A": NOW_S}, demanded=2), policy(A, B, quorum="any"), "R-62.8")
    doubted(Seen(both, demanded=3), policy(A, B, quorum="any"), "R-62.6")
    doubted(Seen(both, demanded=1), NOBODY, "R-62.6")
    good(Seen(both, demanded=1), policy(A, B, quorum="none"), NOW_S)


def test_a_witness_signature_that_fails_spoils_the_note() -> None:
    """R-60.3: a known key's; of an unknown one nobody can tell."""
    good(Seen({"A": NOW_S}, bad="B"), policy(A), NOW_S)
    with pytest.raises(Undecided, match=r"R-60\.3"):
        Seen({"A": NOW_S}, bad="B").judge(policy(A, B, quorum="any"))


def test_an_entry_later_than_a_quorum_saw_it() -> None:
    """R-62.9: doubt where one witness may be slow, misbehaviour where a whole quorum cosigned."""
    last = NOW_S * 1_000
    early = NOW_S - 301
    good(Seen({"A": NOW_S - 300, "B": NOW_S - 300}, last=last), policy(A, B), NOW_S - 300)
    doubted(Seen({"A": early, "B": NOW_S - 300}, last=last), policy(A, B), "ahead of a quorum")
    with pytest.raises(Misbehaviour) as caught:
        Seen({"A": early, "B": early}, last=last).judge(policy(A, B))
    assert (caught.value.kind, caught.value.rule) == ("time-ahead", "R-62.9")
    good(Seen({"A": early, "B": NOW_S}, last=last), policy(A, B, quorum="any"), NOW_S)
    doubted(
        Seen({"A": early, "B": NOW_S}, last=last, demanded=2), policy(A, B, C, quorum="2"), "R-62.9"
    )
    good(Seen({"A": early}, last=last), policy(A, quorum="none"), None)


def test_policies_that_are_not_for_this_log() -> None:
    """R-62.3, R-62.5, R-63.1."""
    log = LOG.public
    other = Submitting("log.example/other").public
    NOBODY.check(log)
    policy(A, more=f"log {log.vkey}\n").check(log)
    with pytest.raises(Undecided, match=r"R-62\.3"):
        policy(A, more=f"log {other.vkey}\n").check(log)
    Trust(policy(A).witnesses, C.public).check(log)
    with pytest.raises(Undecided, match=r"R-62\.5"):
        Trust(policy(A).witnesses, A.public).check(log)
    itself = Cosigner("itself.example", LOG.key)
    with pytest.raises(Undecided, match=r"R-62\.5"):
        policy(itself).check(log)
    with pytest.raises(Undecided, match=r"R-63\.1"):
        Trust(None, itself.public).check(log)
