"""Two readers of evidence, the verifier's and the ledger's, take the same shapes."""

from __future__ import annotations

from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import MalformedInput
from ledger.format.evidence import Evidence
from tests.unit.test_evidence import anything, files, places, put
from verifier import cbor
from verifier.cbor import Either, Many, Shape
from verifier.errors import Malformed
from verifier.evidence.parse import parse

SHAPES_ALONE = ("R-30.8", "R-30.9", "R-42.1")
"""What only the verifier asks of a file before it judges it."""


@settings(max_examples=800)
@given(st.sampled_from(sorted(files())), st.data())
def test_both_take_the_same(name: str, data: st.DataObject) -> None:
    value = cbor2.loads(files()[name])
    path = data.draw(st.sampled_from(places(value)))
    spelled = cbor2.dumps(put(value, path, data.draw(anything)))
    refusal = refused(spelled)
    if refusal is None:
        assert Evidence.decode(spelled).encode() == spelled
    elif not any(rule in refusal.why for rule in SHAPES_ALONE):
        with pytest.raises(MalformedInput):
            Evidence.decode(spelled)


def refused(data: bytes) -> Malformed | None:
    try:
        parse(data)
    except Malformed as error:
        return error
    return None


@pytest.mark.parametrize("name", files())
def test_both_read_the_corpus(name: str) -> None:
    found, own = parse(files()[name]), Evidence.decode(files()[name])
    assert (found.kind, found.first) == (own.kind, own.first)


LEAF: Shape = (range(10), bytes, Many(32, range(3)))
SHAPE: Shape = (Either((None, LEAF)), 4, Many((range(1, 2), bytes), range(1, 4)))


@pytest.mark.parametrize(
    "value",
    [
        [None, b"four", [[1, b""]]],
        [[9, b"any", [bytes(32), bytes(32)]], b"four", [[1, b"a"], [1, b"b"], [1, b"c"]]],
    ],
)
def test_a_shape_is_read(value: Any) -> None:
    data = cbor2.dumps(value)
    assert cbor.read(data, len(data), SHAPE) == cbor.decode(data, len(data)) == value
    assert cbor.fits(value, SHAPE)


@pytest.mark.parametrize(
    "value",
    [
        [None, b"four", []],
        [None, b"four", [[1, b""]] * 4],
        [None, b"four", [[0, b""]]],
        [None, b"fou", [[1, b""]]],
        [[10, b"", []], b"four", [[1, b""]]],
        [[9, b"", [bytes(31)]], b"four", [[1, b""]]],
        [False, b"four", [[1, b""]]],
        [None, "four", [[1, b""]]],
        [None, b"four"],
        [None, b"four", [[True, b""]]],
    ],
)
def test_a_misfit_is_refused(value: Any) -> None:
    """R-10.4."""
    with pytest.raises(Malformed, match=r"R-10\.4"):
        cbor.read(cbor2.dumps(value), 1_000, SHAPE)
    assert not cbor.fits(value, SHAPE)


def test_spellings_and_ends() -> None:
    """R-10.1, R-10.2."""
    data = cbor2.dumps([None, b"four", [[1, b""]]])
    for wrong, rule in {
        data + b"\x00": "R-10.2",
        data[:-1]: "R-10.2",
        data.replace(b"\x44four", b"\x58\x04four"): "R-10.2",
        data.replace(b"\x44four", b"\x5f\x44four\xff"): "R-10.2",
    }.items():
        with pytest.raises(Malformed, match=rule):
            cbor.read(wrong, 1_000, SHAPE)
    with pytest.raises(Malformed, match=r"R-10\.1"):
        cbor.read(data, len(data) - 1, SHAPE)


@settings(max_examples=300)
@given(anything)
def test_reading_along_a_shape_is_decoding_and_fitting(value: Any) -> None:
    data = cbor2.dumps(value)
    whole: Shape = Either((None, range(2**64), bytes, Many(bytes, range(6)), (range(9), bytes)))
    try:
        assert cbor.read(data, 1_000, whole) == value
        assert cbor.fits(value, whole)
    except Malformed:
        assert not cbor.fits(value, whole)
