"""Identifiers, openings and identity tokens: a value or MalformedInput, nothing else."""

from __future__ import annotations

import doctest
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import MalformedInput
from ledger.format import identity
from ledger.format.bodies import Purpose
from ledger.format.identity import TOKEN_PREFIX, IdentityToken, Opening, check_identifier
from tests.support.actors import LogActor, seed, signing_key

LOG = LogActor.make().after
OPENING = Opening(seed("nonce"), "ada@example.org")
EPHEMERAL = signing_key("ephemeral")
DELEGATION = LOG.delegate(Purpose.CREATE, OPENING.commitment, EPHEMERAL.public)
TOKEN = IdentityToken(LOG.log_id, OPENING, DELEGATION, EPHEMERAL, seed("token secret"))
TEXT = TOKEN.export()
VALUE = cbor2.loads(urlsafe_b64decode(TEXT.removeprefix(TOKEN_PREFIX)))

ROUNDS = settings(max_examples=150, deadline=None)


def as_text(value: Any) -> str:
    return TOKEN_PREFIX + urlsafe_b64encode(cbor2.dumps(value)).decode()


def value_or_malformed(text: str) -> None:
    """The invariant. Whatever is read is written the same way again."""
    try:
        found = IdentityToken.parse(text)
    except MalformedInput:
        return
    assert found.export() == text.strip()
    assert found.delegation.commitment == found.opening.commitment
    assert found.delegation.ephemeral == found.ephemeral.public
    assert found.delegation.log_id == found.log_id


def test_round_trip() -> None:
    assert IdentityToken.parse(TEXT) == TOKEN
    assert IdentityToken.parse(f" {TEXT}\n") == TOKEN
    assert as_text(VALUE) == TEXT


def test_secrets_stay_out_of_repr() -> None:
    shown = repr(TOKEN)
    assert EPHEMERAL.seed.hex() not in shown
    assert repr(EPHEMERAL.seed) not in shown
    assert repr(OPENING.nonce) not in shown
    assert repr(TOKEN.secret) not in shown


def test_every_truncation() -> None:
    for end in range(len(TEXT)):
        with pytest.raises(MalformedInput):
            IdentityToken.parse(TEXT[:end])


def test_every_changed_character() -> None:
    for place in range(len(TEXT)):
        for other in "A_~ \u00e9":
            if TEXT[place] != other:
                value_or_malformed(TEXT[:place] + other + TEXT[place + 1 :])


def test_every_flipped_bit() -> None:
    data = cbor2.dumps(VALUE)
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        value_or_malformed(TOKEN_PREFIX + urlsafe_b64encode(flipped).decode())


values = st.one_of(
    st.integers(-1, 3),
    st.binary(max_size=40),
    st.binary(min_size=32, max_size=32),
    st.text(max_size=10),
    st.none(),
    st.floats(),
    st.lists(st.binary(max_size=2), max_size=2),
)


@ROUNDS
@given(st.integers(0, len(VALUE) - 1), values)
def test_any_field(place: int, value: Any) -> None:
    value_or_malformed(as_text([*VALUE[:place], value, *VALUE[place + 1 :]]))


@ROUNDS
@given(st.text(max_size=40), st.booleans())
def test_any_text(text: str, with_prefix: bool) -> None:
    value_or_malformed(TOKEN_PREFIX * with_prefix + text)


@ROUNDS
@given(st.text(max_size=300) | st.text(st.characters(max_codepoint=0xFF), max_size=20))
def test_any_identifier(identifier: str) -> None:
    """R-36.5, written out."""
    data = identifier.encode("utf-8", "surrogatepass")
    codes = [ord(character) for character in identifier]
    control = any(code < 0x20 or 0x7F <= code <= 0x9F for code in codes)
    surrogate = any(0xD800 <= code <= 0xDFFF for code in codes)
    if 1 <= len(data) <= 254 and not control and not surrogate:
        assert check_identifier(identifier) == identifier
        commitment = sha256(b"\x06" + seed("nonce") + data).digest()
        assert Opening(seed("nonce"), identifier).commitment == commitment
        return
    with pytest.raises(MalformedInput, match=r"R-36\.5"):
        check_identifier(identifier)


@ROUNDS
@given(st.lists(values, max_size=3))
def test_any_opening(value: list[Any]) -> None:
    try:
        found = Opening.parse(value)
    except MalformedInput:
        return
    assert found.to_value() == value


def test_example() -> None:
    assert doctest.testmod(identity).failed == 0
