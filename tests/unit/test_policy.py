"""Policies: each refused line beside one that is taken, and quorums against a slow model."""

from __future__ import annotations

import doctest
from collections.abc import Sequence
from contextlib import suppress
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import MalformedInput, UnusablePolicy
from ledger.format import policy as module
from ledger.format.keys import SigningKey
from ledger.format.note import COSIGNATURE, ED25519, Verified, Verifier
from ledger.format.policy import (
    MAX_GROUPS,
    MAX_LOGS,
    MAX_POLICY_BYTES,
    MAX_WITNESSES,
    NONE,
    Cosigner,
    Group,
    KnownLog,
    TrustPolicy,
    check_usable,
    counting,
    parse_policy,
)


def key(number: int) -> bytes:
    return SigningKey(number.to_bytes(32)).public


LOG = Verifier("example.com/log", ED25519, key(1))
RENAMED = Verifier("other", COSIGNATURE, key(100))
W = [Verifier(f"example.org/w{n}", COSIGNATURE, key(100 + n)) for n in range(66)]
V = [one.vkey for one in W]

THREE = f"witness a {V[0]}\nwitness b {V[1]}\nwitness c {V[2]}\n"


def parse(text: str) -> TrustPolicy:
    return parse_policy(text.encode())


def keys(*numbers: int) -> set[bytes]:
    return {W[number].public for number in numbers}


def test_examples() -> None:
    assert doctest.testmod(module).failed == 0


def test_a_policy_of_every_kind_of_line() -> None:
    found = parse(
        f"# ours\n\nlog {LOG.vkey} https://log.example.com/\n"
        f"\t witness  a\t{V[0]}  \nwitness b {V[1]} https://w.example.org\n \t\n"
        "  # a group\ngroup g any a b\ngroup top all g\nquorum top\n"
    )
    assert found == TrustPolicy(
        (KnownLog(LOG, b"https://log.example.com/"),),
        (Cosigner(b"a", W[0]), Cosigner(b"b", W[1], b"https://w.example.org")),
        (Group(b"g", 1, (b"a", b"b")), Group(b"top", 1, (b"g",))),
        b"top",
    )
    assert found.keys == keys(0, 1)
    assert found.verifiers == W[:2]


def test_names_and_urls_are_octets() -> None:
    found = parse_policy(b"witness \xff\x80 " + V[0].encode() + b" \xfe://\nquorum \xff\x80\n")
    assert found.witnesses[0] == Cosigner(b"\xff\x80", W[0], b"\xfe://")
    assert found.quorum_met(keys(0))


TAKEN = [
    "quorum none\n",
    THREE + "quorum a\n",
    THREE + "group g 1 a b\nquorum g\n",
    THREE + "group g 3 a b c\nquorum g\n",
    THREE + "group g all a b\ngroup h any c\nquorum h\n",
    THREE + "group g all a b\nquorum a\n",
    f"log {LOG.vkey}\nlog {Verifier('other', ED25519, key(2)).vkey} x\nquorum none\n",
    f"witness 1 {V[0]}\nwitness #2 {V[1]}\ngroup all all 1 #2\nquorum all\n",
    "#" + "x" * (MAX_POLICY_BYTES - 14) + "\nquorum none\n",
    "".join(f"witness w{n} {V[n]}\n" for n in range(MAX_WITNESSES)) + "quorum none\n",
    "".join(f"log {Verifier('x', ED25519, key(n)).vkey}\n" for n in range(1, MAX_LOGS + 1))
    + "quorum none\n",
    f"witness w {V[0]}\ngroup g0 all w\n"
    + "".join(f"group g{n} all g{n - 1}\n" for n in range(1, MAX_GROUPS))
    + f"quorum g{MAX_GROUPS - 1}\n",
]  # fmt: skip

REFUSED = [
    ("R-62.1", ""),
    ("R-62.1", "quorum none"),
    ("R-62.1", "quorum none\n\r\n"),
    ("R-62.1", "quorum none\n\x7f\n"),
    ("R-62.1", "quorum none\n# \x00\n"),
    ("R-62.1", "quorum none\nquorum none\n"),
    ("R-62.1", THREE),
    ("R-62.1", THREE + "quorum\n"),
    ("R-62.1", THREE + "quorum a b\n"),
    ("R-62.1", THREE + "group g\nquorum a\n"),
    ("R-62.1", "log\nquorum none\n"),
    ("R-62.1", "Quorum none\n"),
    ("R-62.1", f"witness a {V[0]} url more\nquorum a\n"),
    ("R-62.1", f"log {LOG.vkey} url more\nquorum none\n"),
    ("R-62.1", f"log {V[0]}\nquorum none\n"),
    ("R-62.1", f"witness a {LOG.vkey}\nquorum a\n"),
    ("R-62.1", f"witness a {V[0][:-1]}\nquorum a\n"),
    ("R-62.1", f"witness {V[0]}\nquorum none\n"),
    ("R-62.1", THREE + "group g 01 a b\nquorum g\n"),
    ("R-62.1", THREE + "group g +1 a b\nquorum g\n"),
    ("R-62.1", THREE + "group g ALL a b\nquorum g\n"),
    ("R-62.1", THREE + "group g \u0661 a b\nquorum g\n"),
    ("R-62.1", "#" + "x" * (MAX_POLICY_BYTES - 13) + "\nquorum none\n"),
    ("R-62.1", "".join(f"witness w{n} {V[n]}\n" for n in range(65)) + "quorum none\n"),
    (
        "R-62.1",
        "".join(f"log {Verifier('x', ED25519, key(n)).vkey}\n" for n in range(1, 34))
        + "quorum none\n",
    ),
    (
        "R-62.1",
        f"witness w {V[0]}\ngroup g0 all w\n"
        + "".join(f"group g{n} all g{n - 1}\n" for n in range(1, 65))
        + "quorum none\n",
    ),
    ("R-62.2", THREE + f"witness a {V[3]}\nquorum a\n"),
    ("R-62.2", THREE + "group a any b\nquorum a\n"),
    ("R-62.2", f"witness none {V[0]}\nquorum none\n"),
    ("R-62.2", THREE + "group none any a\nquorum none\n"),
    ("R-62.2", THREE + "group g any\nquorum none\n"),
    ("R-62.2", THREE + "group g all\nquorum none\n"),
    ("R-62.2", THREE + "group g 0 a b\nquorum g\n"),
    ("R-62.2", THREE + "group g 3 a b\nquorum g\n"),
    ("R-62.2", THREE + f"group g 1{'0' * 9_000} a b\nquorum g\n"),
    ("R-62.2", THREE + "group g any a none\nquorum g\n"),
    ("R-62.2", THREE + "group g any a d\nquorum g\n"),
    ("R-62.2", THREE + "group g any a g\nquorum g\n"),
    ("R-62.2", THREE + "group g any a a\nquorum g\n"),
    ("R-62.2", THREE + "group g any a\ngroup h any a\nquorum g\n"),
    ("R-62.2", THREE + "quorum d\n"),
    ("R-62.2", "quorum a\n" + THREE),
    ("R-62.2", f"witness a {V[0]}\nwitness b {V[0]}\nquorum a\n"),
    (
        "R-62.2",
        f"witness a {V[0]}\nwitness b {RENAMED.vkey}\nquorum a\n",
    ),
    (
        "R-62.2",
        f"log {LOG.vkey}\nlog {Verifier('other', ED25519, LOG.public).vkey}\nquorum none\n",
    ),
]  # fmt: skip


@pytest.mark.parametrize("text", TAKEN, ids=range(len(TAKEN)))
def test_taken(text: str) -> None:
    assert parse(text).quorum == text.rsplit(maxsplit=1)[-1].encode()


@pytest.mark.parametrize(("rule", "text"), REFUSED, ids=range(len(REFUSED)))
def test_refused(rule: str, text: str) -> None:
    with pytest.raises(MalformedInput) as caught:
        parse(text)
    assert caught.value.rule == rule


def test_a_key_with_a_name_that_is_no_text() -> None:
    with pytest.raises(MalformedInput, match=r"R-62\.1"):
        parse_policy(b"witness a \xff" + V[0].encode() + b"\nquorum a\n")


def test_quorums() -> None:
    """R-62.4."""
    found = parse(THREE + "group g 2 a b\ngroup h any g c\nquorum h\n")
    assert [found.quorum_met(keys(*some)) for some in ((0,), (1,), (0, 1), (2,), ())] == [
        *(False, False, True, True, False)
    ]
    assert not found.quorum_met({key(1)})
    assert parse(THREE + "quorum none\n").quorum_met(set())


Names = st.sampled_from([b"a", b"b", b"c", b"g", b"h"])


@st.composite
def policies(draw: st.DrawFn) -> TrustPolicy:
    """Three witnesses, and up to two groups of whatever no other group has."""
    free = [b"a", b"b", b"c"]
    groups = []
    for name in draw(st.sampled_from([[], [b"g"], [b"g", b"h"]])):
        if free:
            members = tuple(draw(st.lists(st.sampled_from(free), min_size=1, unique=True)))
            groups.append(Group(name, draw(st.integers(1, len(members))), members))
            free = [one for one in free if one not in members] + [name]
    names = [b"a", b"b", b"c", NONE, *(group.name for group in groups)]
    cosigners = (Cosigner(name, one) for name, one in zip([b"a", b"b", b"c"], W, strict=False))
    return TrustPolicy((), tuple(cosigners), tuple(groups), draw(st.sampled_from(names)))


def spell(policy: TrustPolicy) -> bytes:
    lines = [b"witness %b %b" % (w.name, w.verifier.vkey.encode()) for w in policy.witnesses]
    lines += [b"group %b %d %b" % (g.name, g.k, b" ".join(g.members)) for g in policy.groups]
    return b"".join(line + b"\n" for line in [*lines, b"quorum " + policy.quorum])


@given(policies())
def test_what_was_spelled_is_read(policy: TrustPolicy) -> None:
    assert parse_policy(spell(policy)) == policy


def met(policy: TrustPolicy, name: bytes, cosigned: set[bytes]) -> bool:
    """R-62.4, from the top down."""
    group = {one.name: one for one in policy.groups}.get(name)
    if group:
        return sum(met(policy, member, cosigned) for member in group.members) >= group.k
    by_name = {one.name: one.verifier.public for one in policy.witnesses}
    return name == NONE or by_name[name] in cosigned


Times = st.dictionaries(
    st.sampled_from([*(one.public for one in W[:3]), key(9)]), st.integers(1, 6), max_size=4
)


@given(policies(), Times, st.integers(0, 4))
def test_the_quorum_time_is_the_latest_that_suffices(
    policy: TrustPolicy, cosigned: dict[bytes, int], demanded: int
) -> None:
    """R-62.8, by looking at every set of cosigners: the best is that whose earliest is latest."""
    usable = [
        min(cosigned[one] for one in some)
        for count in range(1, 5)
        for some in combinations(cosigned, count)
        if met(policy, policy.quorum, set(some)) and len(policy.keys & set(some)) >= demanded
    ]
    wanted = policy.quorum != NONE or demanded > 0
    assert policy.demands(demanded) == wanted
    assert policy.quorum_time(cosigned, demanded) == (
        max(usable) if wanted and usable else None
    )  # fmt: skip


def test_the_demand_comes_on_top() -> None:
    """R-62.6: a third key, be it in the quorum's groups or not."""
    found = parse(THREE + "group g any a b\nquorum g\n")
    times = {W[0].public: 9, W[1].public: 8, W[2].public: 3}
    assert [found.quorum_time(times, n) for n in range(5)] == [9, 9, 8, 3, None]
    assert not found.suffices({W[0].public, key(9)}, 2)


def verified(time: int | None, at: int = 0) -> Verified:
    return Verified(W[at], time)


def test_which_cosignatures_count() -> None:
    """R-62.7."""
    now = 1_000_000_500
    assert counting([verified(1), verified(7, at=1)], now) == {W[0].public: 1, W[1].public: 7}
    assert counting([verified(1_000_300)], now) == {W[0].public: 1_000_300}
    for time in (0, 1_000_301, 2**63 - 1, None):
        assert counting([verified(time)], now) == {}


def usable(text: str, others: Sequence[bytes] = (), demanded: int = 0) -> str:
    try:
        check_usable(parse(text), LOG, others=others, demanded=demanded)
    except UnusablePolicy as error:
        return error.rule
    return "ok"


def test_what_makes_a_policy_useless_for_a_log() -> None:
    """R-62.3, R-62.5, R-62.6."""
    other = Verifier("example.com/other", ED25519, key(2)).vkey
    renamed = Verifier("example.com/other", ED25519, LOG.public).vkey
    own = Verifier("w", COSIGNATURE, LOG.public).vkey
    end = THREE + "quorum a\n"
    assert usable(end) == usable(f"log {LOG.vkey}\n" + end) == "ok"
    assert usable(f"log {other}\nlog {LOG.vkey}\n" + end) == "ok"
    assert usable(f"log {other}\n" + end) == usable(f"log {renamed}\n" + end) == "R-62.3"
    assert usable(end, [W[3].public]) == "ok"
    assert usable(end, [W[2].public]) == usable(f"witness w {own}\n" + end) == "R-62.5"
    assert usable(end, demanded=3) == "ok"
    assert usable(end, demanded=4) == "R-62.6"


Items = st.sampled_from(
    ["log", "witness", "group", "quorum", "none", "all", "any", "1", "2", "a", "b", "#", "\xff",
     LOG.vkey, V[0], V[1], V[0][:-1], "", "x" * 70_000]
)  # fmt: skip
Lines = st.lists(Items, max_size=5).map(" ".join)


Texts = st.lists(Lines, max_size=8).map(lambda lines: "".join(line + "\n" for line in lines))


@given(Texts.map(str.encode) | st.binary(max_size=200))
def test_any_bytes_make_a_policy_or_are_malformed(data: bytes) -> None:
    with suppress(MalformedInput):
        parse_policy(data).quorum_time({W[0].public: 1}, 1)
