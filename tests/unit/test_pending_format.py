"""What waits for people to come, as bytes and in halves: a value or MalformedInput, no more."""

from __future__ import annotations

import doctest
from hashlib import sha256
from itertools import permutations
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import MalformedInput
from ledger.format import pending
from ledger.format.identity import Opening
from ledger.format.pending import (
    AskRequest,
    HalvesRequest,
    LeaveRequest,
    TakeAnswer,
    Waiting,
    WaitingAnswer,
    WaitingRequest,
)
from ledger.seal import halves
from ledger.seal.halves import halves_of, joined
from ledger.seal.stream import Session
from tests.support.mangled import changed, values

A, B, C = (letter * 32 for letter in (b"a", b"b", b"c"))
FAY = "fay@example.org"
KINDS: list[Any] = [
    LeaveRequest(A, B, C, ((A, b"h" * 32), (B, b"h" * 32))),
    WaitingRequest(A),
    WaitingAnswer(()),
    WaitingAnswer((Waiting(A, B, C, A), Waiting(A, B, A, C))),
    HalvesRequest(A, B, C, ((FAY, C), (FAY, B))),
    AskRequest(A, B, Opening(C, FAY), (C, A), (b"block", b"another")),
    TakeAnswer(()),
    TakeAnswer(((A, B), (A, C))),
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: type(kind).__name__)
def test_round_trip(kind: Any) -> None:
    data = kind.encode()
    assert type(kind).decode(data) == kind
    for bad in (*(data[:end] for end in range(len(data))), data + b"\0"):
        with pytest.raises(MalformedInput):
            type(kind).decode(bad)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: type(kind).__name__)
@settings(max_examples=120, deadline=None)
@given(data=st.data(), new=values)
def test_changed(kind: Any, data: st.DataObject, new: Any) -> None:
    def pick(below: int) -> int:
        return data.draw(st.integers(0, below - 1))

    spelt = cbor2.dumps(changed(cbor2.loads(kind.encode()), pick, new))
    try:
        found = type(kind).decode(spelt)
    except MalformedInput:
        return
    assert found.encode() == spelt


def labels(count: int) -> list[bytes]:
    return [bytes([number]) * 32 for number in range(count)]


def left(count: int) -> LeaveRequest:
    return LeaveRequest(A, B, C, tuple((label, A) for label in labels(count)))


def mailed(count: int) -> HalvesRequest:
    return HalvesRequest(A, B, C, ((FAY, C),) * count)


def asked(count: int) -> AskRequest:
    return AskRequest(A, B, Opening(C, FAY), (C,) * count, (b"block",))


def shown(count: int) -> AskRequest:
    return AskRequest(A, B, Opening(C, FAY), (C,), (b"block",) * count)


def told(count: int) -> WaitingAnswer:
    return WaitingAnswer((Waiting(A, B, C, A),) * count)


def taken(count: int) -> TakeAnswer:
    return TakeAnswer(((A, B),) * count)


@pytest.mark.parametrize(
    ("make", "least", "most"),
    [
        (left, 1, pending.MAX_LEFT),
        (mailed, 1, pending.MAX_HALVES),
        (asked, 1, pending.MAX_WAITING),
        (shown, 1, pending.MAX_LINEAGE),
        (told, 0, pending.MAX_WAITING),
        (taken, 0, pending.MAX_WAITING),
    ],
)
def test_how_many(make: Any, least: int, most: int) -> None:
    for count in (least, most):
        assert type(make(count)).decode(make(count).encode()) == make(count)
    for count in (most + 1, *([least - 1] if least else [])):
        with pytest.raises(MalformedInput, match=r"R-10"):
            type(make(count)).decode(make(count).encode())


def test_a_label_stands_once() -> None:
    """R-98.2."""
    with pytest.raises(MalformedInput, match=r"R-98\.2"):
        LeaveRequest.decode(LeaveRequest(A, B, C, ((A, B), (A, C))).encode())


@pytest.mark.parametrize("name", ["fay", "fay@example.org\n", "fay@example.org,eve@example.org"])
def test_where_no_mail_goes(name: str) -> None:
    """R-96.6."""
    asking = AskRequest(A, B, Opening(C, name), (C,), (b"block",))
    for request in (HalvesRequest(A, B, C, ((name, C),)), asking):
        with pytest.raises(MalformedInput, match=r"R-96\.6|R-36\.5"):
            type(request).decode(request.encode())


def test_secrets_stay_out_of_repr() -> None:
    half = b"h" * 32
    kinds = [LeaveRequest(A, B, C, ((A, half),)), WaitingAnswer((Waiting(A, B, C, half),))]
    assert "hhhh" not in repr(
        [*kinds, HalvesRequest(A, B, C, ((FAY, half),)), TakeAnswer(((A, half),))]
    )


# --- the halves themselves


SESSION = Session(b"s" * 32, b"secret" + bytes(26))


def test_two_halves() -> None:
    """R-98.1: the same whenever they are made, and others for another label, or session."""
    one, other = halves_of(SESSION, A)
    assert one == sha256(b"\x13" + SESSION.secret + SESSION.id + A).digest()
    assert bytes(x ^ y for x, y in zip(one, other, strict=True)) == SESSION.secret
    assert halves_of(SESSION, A) == (one, other)
    for elsewhere in (halves_of(SESSION, B), halves_of(Session(C, SESSION.secret), A)):
        assert not {one, other} & set(elsewhere)


def test_only_what_fits_counts() -> None:
    """R-98.7: wrong halves beside the right ones do no harm; without one of them, nothing opens."""
    one, other = halves_of(SESSION, A)
    said = (SESSION.id, SESSION.commitment)
    for order in permutations([one, B, C]):
        assert joined(*said, order, [C, other, A]) == SESSION
    assert joined(*said, [one], [A, one]) is None
    assert joined(*said, [other, A], [other]) is None
    assert joined(*said, [], [other]) is None
    assert joined(*said, [one], []) is None
    assert joined(A, SESSION.commitment, [one], [other]) is None
    assert joined(SESSION.id, C, [one], [other]) is None
    anothers = halves_of(SESSION, B)
    assert joined(*said, [one], [anothers[1]]) is None


def test_the_examples() -> None:
    assert doctest.testmod(pending).failed == 0
    assert doctest.testmod(halves).failed == 0
