"""Statements, leaves and grants as bytes: a value or a refusal, whatever is in them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.signing import SigningKey

from tests.verifier.builder import envelope, public
from tests.verifier.group_builder import digest
from verifier.errors import BadSignature, Invalid, Malformed
from verifier.groups import Membership, Statement, open_grant, open_leave, open_statement
from verifier.keys import run_check

KEY = SigningKey(b"k" * 32)
LOG_ID = b"log id".ljust(32)
TERMS: list[Any] = [
    *(b"s" * 32, b"g" * 32, 1, b"p" * 32, [7, b"a" * 32], b"u" * 32, b"k" * 32, b"e" * 32),
    *(b"b" * 32, 2, [b"1" * 32], [[b"2" * 32, 0, 1], [b"3" * 32, 4, 0]], b"m" * 32),
]


def opened(data: bytes) -> Statement:
    statement, checks = open_statement(data, sha256(b"\x08" + data).digest(), LOG_ID)
    for check in checks:
        run_check(check)
    return statement


def stated(terms: Any, context: bytes = b"keyroll/v1/statement") -> bytes:
    return envelope(cbor2.dumps(terms), [KEY], context, LOG_ID)


def test_a_statement_opens() -> None:
    found = opened(stated(TERMS))
    assert found[:4] == tuple(TERMS[:4])
    assert (found.anchor_size, found.anchor_root) == tuple(TERMS[4])
    assert (found.action, found.removed, found.put) == (
        2,
        (b"1" * 32,),
        ((b"2" * 32, 0, 1), (b"3" * 32, 4, 0)),
    )
    assert (found.membership, found.kid) == (b"m" * 32, public(KEY))


def test_long_statements_open() -> None:
    labels = [at.to_bytes(32, "big") for at in range(8_192)]
    terms = [
        *TERMS[:10],
        labels[:4_096],
        [[label, 2**32 - 1, 2] for label in labels[4_096:]],
        b"m" * 32,
    ]
    data = stated(terms)
    assert len(data) > 65_536  # the payload's length takes four bytes
    assert len(opened(data).put) == 4_096


def test_no_byte_of_a_statement_can_change() -> None:
    data = stated(TERMS)
    for at in range(len(data)):
        with pytest.raises(Invalid):
            opened(data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :])
        with pytest.raises(Malformed):
            opened(data[:at])
    with pytest.raises(Malformed):
        opened(data + b"\x00")
    with pytest.raises(Malformed, match=r"R-56\.1"):
        opened(data + bytes(524_289))
    with pytest.raises(BadSignature):
        opened(stated(TERMS, b"keyroll/v1/block"))


ANYTHING = (
    st.integers(0, 2**64 - 1)
    | st.binary(max_size=40)
    | st.sampled_from([None, True, [], "", -1, 1.5, bytes(32), b"1" * 32, b"2" * 32, [b"1" * 32]])
)


@settings(deadline=None)
@given(st.data())
def test_mutated_statements_are_judged(data: st.DataObject) -> None:
    """A field replaced by anything, and signed again: a statement or a refusal, nothing else."""
    terms: Any = cbor2.loads(cbor2.dumps(TERMS))
    place = terms
    while True:
        at = data.draw(st.integers(0, len(place) - 1))
        if not isinstance(place[at], list) or data.draw(st.booleans()):
            place[at] = data.draw(ANYTHING)
            break
        place = place[at]
    with contextlib.suppress(Malformed):
        found = opened(stated(terms))
        again = [*found[:4], [*found[4:6]], *found[6:11]]
        changes = list(found.removed), [list(one) for one in found.put]
        assert [*again, *changes, found.membership] == terms


@given(st.binary(max_size=300))
def test_any_bytes_are_judged(data: bytes) -> None:
    for judge in (opened, lambda one: open_leave(one, LOG_ID), lambda one: open_grant(one, LOG_ID)):
        with pytest.raises(Malformed):
            judge(data)


@given(
    st.dictionaries(st.binary(min_size=32, max_size=32), st.tuples(*[st.integers(0, 2**32)] * 3))
)
def test_memberships_are_stored_and_come_back(entries: dict[bytes, Any]) -> None:
    held = Membership(1, entries)
    assert Membership.restore(held.content()) == held
    assert held.digest() == digest(1, {label: list(entry) for label, entry in entries.items()})


STAY = [b"g" * 32, b"u" * 32, 0, 9]
WISHES = [
    (open_leave, b"keyroll/v1/leave", STAY),
    (open_grant, b"keyroll/v1/grant", [*STAY, b"s" * 32, 77]),
]


@pytest.mark.parametrize(("judge", "context", "fields"), WISHES)
def test_wishes_open(judge: Callable[..., Any], context: bytes, fields: list[Any]) -> None:
    wish, checks = judge(stated(fields, context), LOG_ID)
    run_check(*checks)
    assert list(wish) == [*fields, public(KEY)]
    _, checks = judge(stated(fields, b"keyroll/v1/login"), LOG_ID)
    with pytest.raises(BadSignature, match=r"R-56\.12"):
        run_check(*checks)
    for wrong in (fields[:-1], [*fields, 1], [*fields[:2], 2**32, *fields[3:]]):
        with pytest.raises(Malformed, match=r"R-10\.4"):
            judge(stated(wrong, context), LOG_ID)
    twice = envelope(cbor2.dumps(fields), [KEY, SigningKey(b"2" * 32)], context, LOG_ID)
    for wrong_bytes in (twice, stated(fields, context) + bytes(1_025)):
        with pytest.raises(Malformed, match=r"R-56\.12"):
            judge(wrong_bytes, LOG_ID)
