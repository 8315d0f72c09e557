"""Statements, leaves and grants: a value or MalformedInput, nothing else (R-56.1, R-56.12)."""

from __future__ import annotations

import doctest
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import BadSignature, MalformedInput
from ledger.format import cose, statement
from ledger.format.block import Anchor
from ledger.format.statement import (
    MAX_REQUEST_BYTES,
    MAX_STATEMENT_BYTES,
    Grant,
    Leave,
    Put,
    Statement,
    Stay,
    Terms,
    commitment,
    sign_grant,
    sign_leave,
    sign_statement,
    verify,
)
from tests.support.actors import seed, signing_key

LOG_ID = seed("log id")
KEY = signing_key("statement")
STAY = Stay(seed("group"), seed("user"), 1, 77)
ROUNDS = settings(max_examples=150, deadline=None)

hashes = st.binary(min_size=32, max_size=32)
labels = st.lists(hashes, max_size=6, unique=True)
puts = st.builds(Put, hashes, st.integers(0, 2**32 - 1), st.integers(0, 2))


@st.composite
def terms(draw: st.DrawFn) -> Terms:
    put = sorted(
        draw(st.lists(puts, max_size=6, unique_by=lambda p: p.label)), key=lambda p: p.label
    )
    removed = sorted(set(draw(labels)) - {p.label for p in put})
    return Terms(
        *(draw(hashes), draw(hashes), draw(st.integers(0, 2**32 - 1)), draw(hashes)),
        Anchor(draw(st.integers(0, 2**63 - 1)), draw(hashes)),
        *(draw(hashes), draw(hashes), draw(hashes), draw(hashes)),
        *(draw(st.integers(0, 3)), tuple(removed), tuple(put), draw(hashes)),
    )


@pytest.fixture(scope="module")
def sample() -> Terms:
    return Terms(
        seed("salt"),
        seed("group"),
        4,
        seed("prev"),
        Anchor(70, seed("root")),
        seed("author"),
        seed("signing"),
        seed("encryption"),
        seed("box root"),
        2,
        (b"a" * 32,),
        (Put(b"b" * 32, 0, 1), Put(b"c" * 32, 3, 0)),
        seed("membership"),
    )


def enveloped(value: Any, *, context: str = cose.STATEMENT) -> bytes:
    return cose.sign(cbor2.dumps(value), [KEY], context, LOG_ID)


def malformed(raw: bytes, rule: str, parse: Callable[[bytes], Any] = Statement.parse) -> None:
    with pytest.raises(MalformedInput) as refused:
        parse(raw)
    assert refused.value.rule == rule


@ROUNDS
@given(terms())
def test_a_statement_survives(stated: Terms) -> None:
    raw = sign_statement(KEY, LOG_ID, stated)
    found = Statement.parse(raw)
    assert found.terms == stated
    assert found.signer == KEY.public
    assert found.commitment == commitment(raw)
    verify(found.envelope, cose.STATEMENT, LOG_ID)
    for context, log_id in (
        (cose.BLOCK, LOG_ID),
        (cose.LEAVE, LOG_ID),
        (cose.STATEMENT, bytes(32)),
    ):
        with pytest.raises(BadSignature, match=r"R-56\.4"):
            verify(found.envelope, context, log_id)


def test_labels_ascend_and_stand_once(sample: Terms) -> None:
    """R-56.1."""
    low, high = sample.put
    Statement.parse(sign_statement(KEY, LOG_ID, sample))
    gone = (b"a" * 32, b"d" * 32)
    Statement.parse(sign_statement(KEY, LOG_ID, replace(sample, removed=gone)))
    for wrong in (
        replace(sample, put=(high, low)),
        replace(sample, put=(low, low)),
        replace(sample, put=(low, replace(low, role=0))),
        replace(sample, removed=gone[::-1]),
        replace(sample, removed=(gone[0], gone[0])),
        replace(sample, removed=(low.label,)),
    ):
        malformed(sign_statement(KEY, LOG_ID, wrong), "R-56.1")


def test_exactly_one_signature(sample: Terms) -> None:
    payload = cbor2.dumps(sample.to_value())
    two = cose.sign(payload, [KEY, signing_key("other")], cose.STATEMENT, LOG_ID)
    malformed(two, "R-56.1")


@pytest.mark.parametrize("field", range(13))
def test_each_field_is_of_its_type(sample: Terms, field: int) -> None:
    """R-10.4: each kind of value that a field does not take, one at a time."""
    value: Any = sample.to_value()
    wrongs: list[Any] = [None, True, 2**64 - 1, b"", b"x" * 31, b"x" * 33, "text", [0], [[]]]
    if field not in (10, 11):  # nobody removed, nobody put
        wrongs.append([])
    for wrong in wrongs:
        malformed(enveloped([*value[:field], wrong, *value[field + 1 :]]), "R-10.4")
    malformed(enveloped(value[:field] + value[field + 1 :]), "R-10.4")


@pytest.mark.parametrize(("field", "highest"), [(2, 2**32 - 1), (9, 3)])
def test_numbers_have_their_range(sample: Terms, field: int, highest: int) -> None:
    value: Any = sample.to_value()
    value[field] = highest
    Statement.parse(enveloped(value))
    value[field] = highest + 1
    malformed(enveloped(value), "R-10.4")


def test_entries_have_their_range(sample: Terms) -> None:
    value: Any = sample.to_value()
    for entry, ok in (
        ([b"x" * 32, 2**32 - 1, 2], True),
        ([b"x" * 32, 2**32, 2], False),
        ([b"x" * 32, 0, 3], False),
        ([b"x" * 31, 0, 0], False),
        ([b"x" * 32, 0], False),
        ([b"x" * 32, 0, 0, 0], False),
    ):
        raw = enveloped([*value[:11], [entry], value[12]])
        if ok:
            Statement.parse(raw)
        else:
            malformed(raw, "R-10.4")


def test_caps() -> None:
    """R-10.1: the size is looked at first."""
    malformed(bytes(MAX_STATEMENT_BYTES + 1), "R-10.1")
    malformed(bytes(MAX_STATEMENT_BYTES), "R-40.1")
    for parse in (Leave.parse, Grant.parse):
        malformed(bytes(MAX_REQUEST_BYTES + 1), "R-10.1", parse)
        malformed(bytes(MAX_REQUEST_BYTES), "R-40.1", parse)


def test_as_many_members_as_a_log_allows(sample: Terms) -> None:
    many = tuple(Put(n.to_bytes(32), 2**32 - 1, 1) for n in range(1, 4_098))
    raw = sign_statement(KEY, LOG_ID, replace(sample, removed=(), put=many[:4_096]))
    assert len(Statement.parse(raw).terms.put) == 4_096
    malformed(sign_statement(KEY, LOG_ID, replace(sample, removed=(), put=many)), "R-10.4")


def test_leaves_and_grants_survive() -> None:
    leave = Leave.parse(sign_leave(KEY, LOG_ID, STAY))
    assert leave.stay == STAY
    verify(leave.envelope, cose.LEAVE, LOG_ID)
    grant = Grant.parse(sign_grant(KEY, LOG_ID, STAY, seed("sender"), 99))
    assert (grant.stay, grant.sender, grant.expiry) == (STAY, seed("sender"), 99)
    verify(grant.envelope, cose.GRANT, LOG_ID)
    malformed(leave.raw, "R-10.4", Grant.parse)
    malformed(grant.raw, "R-10.4", Leave.parse)


def value_or_malformed(raw: bytes) -> None:
    """The invariant. What is read is written the same way again."""
    for kind in (Statement, Leave, Grant):
        try:
            found: Any = kind.parse(raw)
        except MalformedInput:
            continue
        pairs = list(zip(found.envelope.signers, found.envelope.signatures, strict=True))
        if kind is Statement:
            value = found.terms.to_value()
        else:
            more = [found.sender, found.expiry] if kind is Grant else []
            value = [*found.stay.to_values(), *more]
        assert cose.build(cbor2.dumps(value), pairs) == raw


def test_truncated_at_each_byte(sample: Terms) -> None:
    raws = (
        sign_statement(KEY, LOG_ID, sample),
        sign_leave(KEY, LOG_ID, STAY),
        sign_grant(KEY, LOG_ID, STAY, seed("sender"), 99),
    )
    for raw, kind in zip(raws, (Statement, Leave, Grant), strict=True):
        for size in range(len(raw)):
            with pytest.raises(MalformedInput):
                kind.parse(raw[:size])  # type: ignore[attr-defined]
        with pytest.raises(MalformedInput):
            kind.parse(raw + b"\0")  # type: ignore[attr-defined]


def test_each_bit_flipped(sample: Terms) -> None:
    raw = sign_leave(KEY, LOG_ID, STAY)
    stated = sign_statement(KEY, LOG_ID, sample)
    for data in (raw, stated):
        for bit in range(0, 8 * len(data), 3 if data is stated else 1):
            at, mask = divmod(bit, 8)
            value_or_malformed(data[:at] + bytes([data[at] ^ 1 << mask]) + data[at + 1 :])


values = st.recursive(
    st.integers(0, 2**64 - 1) | st.binary(max_size=40) | st.text(max_size=5) | st.none() | hashes,
    lambda inner: st.lists(inner, max_size=14),
    max_leaves=40,
)


@ROUNDS
@given(st.data())
def test_one_field_of_any_value(sample: Terms, data: st.DataObject) -> None:
    """By structure: each field in turn becomes anything at all."""
    for value in (sample.to_value(), STAY.to_values(), [*STAY.to_values(), seed("s"), 9]):
        assert isinstance(value, list)
        at = data.draw(st.integers(0, len(value) - 1))
        changed = [*value[:at], data.draw(values), *value[at + 1 :]]
        value_or_malformed(enveloped(changed))


def test_doctests() -> None:
    assert doctest.testmod(statement).failed == 0
