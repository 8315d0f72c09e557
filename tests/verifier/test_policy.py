"""Policies: fuzzed by structure, and their quorums against the definition, word for word.

What each rule refuses, beside its nearest that passes, is in `specs/vectors/policy`.
"""

from __future__ import annotations

import contextlib
from base64 import b64encode
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from tests.verifier.builder import public
from verifier.errors import BrokenRule, Malformed
from verifier.note import COSIGNATURE, ED25519, NoteKey, Signer
from verifier.policy import Cosigner, Group, KnownLog, Policy, cosigned, parse_policy

NOW = 1_800_000_000_000
KEYS = [NoteKey(f"w{n}", public(SigningKey(bytes([n]) * 32)), COSIGNATURE) for n in range(6)]
LOGS = [NoteKey(f"log{n}", public(SigningKey(bytes([n]) * 31 + b"l")), ED25519) for n in range(3)]


def vkey(key: NoteKey) -> bytes:
    material = b64encode(bytes([key.type]) + key.key).decode()
    return f"{key.name}+{key.id().hex()}+{material}".encode()


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Any policy of up to six witnesses, and groups of what stands above them."""
    logs = tuple(KnownLog(key, None) for key in LOGS[: draw(st.integers(0, 3))])
    keys = KEYS[: draw(st.integers(1, 6))]
    witnesses = tuple(Cosigner(b"W%d" % n, key, b"url") for n, key in enumerate(keys))
    free = [witness.name for witness in witnesses]
    groups = []
    for number in range(draw(st.integers(0, 3))):
        members = draw(st.permutations(free))[: draw(st.integers(1, 4))]
        if members:
            threshold = draw(st.integers(1, len(members)))
            groups.append(Group(b"G%d" % number, threshold, tuple(members)))
            free = [name for name in free if name not in members] + [groups[-1].name]
    names = [*(one.name for one in witnesses), *(one.name for one in groups), None]
    return Policy(logs, witnesses, tuple(groups), draw(st.sampled_from(names)))


def spell(policy: Policy) -> bytes:
    lines = [b" ".join([b"log", vkey(known.key), known.url or b""]) for known in policy.logs]
    lines += [b" ".join([b"witness", w.name, vkey(w.key), w.url or b""]) for w in policy.witnesses]
    lines += [
        b"group %b %d %b" % (g.name, g.threshold, b" ".join(g.members)) for g in policy.groups
    ]
    lines += [b"quorum " + (policy.quorum or b"none")]
    return b"".join(line + b"\n" for line in lines)


@given(policies())
def test_a_policy_is_what_its_file_says(policy: Policy) -> None:
    assert parse_policy(spell(policy)) == policy


WORDS = st.sampled_from(
    [
        *(b"log", b"witness", b"group", b"quorum", b"none", b"all", b"any"),
        *(b"0", b"1", b"2", b"9" * 30),
        *(b"W0", b"W1", b"W2", b"G0", b"#", b"", b"\t", b"\xff", vkey(KEYS[0]), vkey(KEYS[1])),
        *(vkey(LOGS[0]), vkey(LOGS[0])[:-1], b"a+b+c"),
    ]
)  # fmt: skip
LINES = st.lists(WORDS, max_size=6).map(b" ".join)


@given(st.lists(LINES, max_size=8), policies())
def test_anything_is_a_policy_or_malformed(lines: list[bytes], policy: Policy) -> None:
    own = spell(policy).split(b"\n")[:-1]
    for mixed in (own + lines, lines + own, lines):
        check(b"".join(line + b"\n" for line in mixed))


@given(st.binary(max_size=300))
def test_any_octets_are_a_policy_or_malformed(data: bytes) -> None:
    check(data)


def check(data: bytes) -> None:
    with contextlib.suppress(Malformed):
        policy = parse_policy(data)
        assert parse_policy(spell(policy)) == policy


def is_met(policy: Policy, name: bytes | None, keys: set[bytes]) -> bool:
    """R-62.4, as it is written there."""
    if name is None:
        return True
    for witness in policy.witnesses:
        if witness.name == name:
            return witness.key.key in keys
    (group,) = (group for group in policy.groups if group.name == name)
    return sum(is_met(policy, member, keys) for member in group.members) >= group.threshold


TIMES = st.dictionaries(st.sampled_from([key.key for key in KEYS]), st.integers(1, 8))


@given(policies(), st.sets(st.sampled_from([key.key for key in KEYS])))
def test_quorums(policy: Policy, keys: set[bytes]) -> None:
    assert policy.met(keys) == is_met(policy, policy.quorum, keys)


@given(policies(), TIMES, st.integers(0, 4))
def test_quorum_times(policy: Policy, times: Mapping[bytes, int], demanded: int) -> None:
    """R-62.8: every time is tried."""

    def enough(time: int) -> bool:
        keys = {key for key, at in times.items() if at >= time} & {key.key for key in policy.keys}
        return len(keys) >= demanded and is_met(policy, policy.quorum, keys)

    if policy.quorum is None and not demanded:
        assert policy.quorum_time(times, demanded) is None
    elif any(map(enough, range(1, 9))):
        assert policy.quorum_time(times, demanded) == max(filter(enough, range(1, 9)))
    else:
        with pytest.raises(BrokenRule, match=r"R-62\.8"):
            policy.quorum_time(times, demanded)


def test_only_cosignatures_by_keys_of_the_policy_count() -> None:
    """R-62.7: of a signer everything must be the policy's, and its time within five minutes."""
    policy = parse_policy(b"witness W0 %b\nquorum W0\n" % vkey(KEYS[0]))
    key, latest = KEYS[0], NOW // 1000 + 300
    assert cosigned(policy, [Signer(key, latest)], NOW) == {key.key: latest}
    for signer in (
        Signer(key, latest + 1),
        Signer(key, 0),
        Signer(key, None),
        Signer(KEYS[1], latest),
        Signer(key._replace(name="other"), latest),
        Signer(key._replace(type=ED25519), None),
    ):
        assert cosigned(policy, [signer], NOW) == {}
