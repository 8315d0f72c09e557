"""What goes to the recovery service and back: a value or MalformedInput, nothing else."""

from __future__ import annotations

import doctest
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import MalformedInput
from ledger.format import recovery as wire
from ledger.format.recovery import Event, Held, Method, Slot, Watched, What
from tests.support.mangled import changed, values

A, B = b"a" * 32, b"b" * 32
SLOT = Slot(A, "ada@example.org", B, Method.PASSPHRASE)
KINDS: list[Any] = [
    wire.RecordRequest(A, SLOT, Held(B, 7, b"record")),
    wire.ReleaseRequest(A, SLOT),
    wire.CodeRequest(A, "01234567"),
    wire.CodeAnswer(7),
    wire.SecretRequest(A),
    wire.ClaimAnswer((b"x" * wire.MAX_RECORD_BYTES, b"")),
    wire.EventsRequest((A, B)),
    wire.EventsAnswer((None, Watched(Method.MAIL, 7, (Event(What.GIVEN, 8, A),)))),
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: type(kind).__name__)
def test_round_trip(kind: Any) -> None:
    assert type(kind).decode(kind.encode()) == kind
    data = kind.encode()
    for end in range(len(data)):
        with pytest.raises(MalformedInput):
            type(kind).decode(data[:end])
    with pytest.raises(MalformedInput):
        type(kind).decode(data + b"\x00")


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


@pytest.mark.parametrize(
    "address",
    [
        *("", "ada", "@", "ada@", "@example.org", "a b@example.org", "ada@example.org\n"),
        *("ada@exa mple.org", "a@b@c", "ada@example.org,bob@example.org", "<ada@example.org>"),
        *("ada\r\nBcc: eve@example.org", "ada@ex\u00e4mple.org", "\u0430da@example.org"),
        "a" * 65 + "@example.org",
    ],
)
def test_what_no_mail_goes_to(address: str) -> None:
    """R-96.6."""
    Slot(A, "ada.b+c@example.org", B, Method.MAIL).check()
    with pytest.raises(MalformedInput, match=r"R-96\.6"):
        Slot(A, address, B, Method.MAIL).check()


@pytest.mark.parametrize(
    "code", ["", "1234567", "123456789", "1234567a", "１２３４５６７８", "1234567\n"]
)
def test_what_is_no_code(code: str) -> None:
    """R-96.5."""
    with pytest.raises(MalformedInput, match=r"R-96\.5"):
        wire.check_code(code)


@pytest.mark.parametrize(
    "kind",
    [
        wire.RecordRequest(A, SLOT, Held(B, wire.MAX_DELAY + 1, b"")),
        wire.RecordRequest(A, SLOT, Held(B, 0, b"x" * (wire.MAX_RECORD_BYTES + 1))),
        wire.ClaimAnswer(()),
        wire.ClaimAnswer((b"",) * (wire.MAX_RECORDS + 1)),
        wire.EventsRequest(()),
        wire.EventsRequest((A,) * (wire.MAX_KEEPERS + 1)),
    ],
    ids=str,
)
def test_too_much(kind: Any) -> None:
    with pytest.raises(MalformedInput, match=r"R-10"):
        type(kind).decode(kind.encode())


def test_secrets_stay_out_of_repr() -> None:
    shown = repr(wire.RecordRequest(A, SLOT, Held(b"k" * 32, 7, b"locked")))
    assert "kkkk" not in shown
    assert "locked" not in shown
    secret = b"s" * 32
    shown = repr([wire.CodeRequest(secret, "01234567"), wire.SecretRequest(secret)])
    shown += repr([wire.ClaimAnswer((secret,)), wire.EventsRequest((secret,))])
    assert "ssss" not in shown
    assert "01234567" not in shown


def test_the_example() -> None:
    assert doctest.testmod(wire).failed == 0
