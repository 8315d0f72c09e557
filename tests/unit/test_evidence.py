"""The bytes of evidence: one spelling a value, and nothing but `MalformedInput` for the rest."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import MalformedInput
from ledger.format.evidence import (
    BODIES,
    MAX_EVIDENCE_BYTES,
    Evidence,
    Fork,
    Kind,
    Leaf,
    Replayable,
    WrongEntry,
    WrongStatement,
)

VECTORS = Path(__file__).parents[2] / "specs" / "vectors" / "evidence"


@cache
def files() -> dict[str, bytes]:
    """Every file of the corpus that has the shape of evidence, by its name."""
    cases = [json.loads(path.read_text()) for path in sorted(VECTORS.glob("*.json"))]
    shaped = [case for case in cases if case.get("rule") != "R-80.1"]
    return {case["name"]: bytes.fromhex(case["input"]["evidence"]) for case in shaped}


def test_every_kind_has_files() -> None:
    assert {Evidence.decode(data).kind for data in files().values()} == set(Kind)
    assert BODIES.keys() == set(Kind)


@pytest.mark.parametrize("name", files())
def test_what_is_read_is_written_again(name: str) -> None:
    data = files()[name]
    assert Evidence.decode(data).encode() == data


@pytest.mark.parametrize("name", ["empty", "trailing", "cut", "version", "kind-9", "other-kind"])
def test_what_is_no_evidence(name: str) -> None:
    case = json.loads((VECTORS / f"file-{name}.json").read_text())
    with pytest.raises(MalformedInput):
        Evidence.decode(bytes.fromhex(case["input"]["evidence"]))


def test_a_version_that_nobody_knows() -> None:
    """R-80.1."""
    value = cbor2.loads(files()["fork"])
    with pytest.raises(MalformedInput, match=r"R-80\.1"):
        Evidence.decode(cbor2.dumps([2, *value[1:]]))


def test_the_longest_file() -> None:
    """R-80.1, R-10.1: one of the cap is written and read, one byte more is not."""
    leaf = Leaf(3, b"entry", ())

    def long(more: int) -> Evidence:
        statement = bytes(MAX_EVIDENCE_BYTES - 100 + more)
        return Evidence(b"first", WrongStatement(b"note", leaf, (SHOWN,), (statement,)))

    over = len(_bytes_of(long(0))) - MAX_EVIDENCE_BYTES
    data = long(-over).encode()
    assert len(data) == MAX_EVIDENCE_BYTES
    assert Evidence.decode(data) == long(-over)
    with pytest.raises(MalformedInput, match=r"R-80\.1"):
        long(1 - over).encode()
    with pytest.raises(MalformedInput, match=r"R-10\.1"):
        Evidence.decode(_bytes_of(long(1 - over)))


SHOWN = next(
    body.chains[0]
    for body in (Evidence.decode(data).body for data in files().values())
    if isinstance(body, WrongStatement)
)


def _bytes_of(found: Evidence) -> bytes:
    return cbor2.dumps([1, int(found.kind), found.first, found.body.to_value()])


def test_kinds_of_one_shape_are_told_apart() -> None:
    leaf = Leaf(1, b"", ())
    one, other = Evidence(b"", WrongEntry(b"", leaf)), Evidence(b"", Replayable(b"", leaf))
    assert one != other
    assert one.encode() != other.encode()
    assert Evidence.decode(other.encode()) == other


WRONG: dict[str, Callable[[Any], Any]] = {
    "a root of 31 bytes": lambda v: [*v[:2], bytes(31), v[3]],
    "a root that is null": lambda v: [*v[:2], None, v[3]],
    "a proof of 65 hashes": lambda v: [*v[:3], [bytes(32)] * 65],
    "a note that is text": lambda v: ["note", *v[1:]],
    "a note beyond its cap": lambda v: [bytes(131_073), *v[1:]],
    "a field less": lambda v: v[:3],
    "a field more": lambda v: [*v, None],
    "no array": lambda v: v[0],
}


@pytest.mark.parametrize("name", WRONG)
def test_a_fork_of_the_wrong_shape(name: str) -> None:
    value = cbor2.loads(Evidence(b"first", Fork(b"a", b"b", bytes(32))).encode())
    with pytest.raises(MalformedInput, match=r"R-10\.4"):
        Evidence.decode(cbor2.dumps([*value[:3], WRONG[name](value[3])]))


anything: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.integers(0, 2**64 - 1) | st.binary(max_size=40) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=5),
    max_leaves=12,
)


def places(value: Any, path: tuple[int, ...] = ()) -> list[tuple[int, ...]]:
    below = enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for at, item in below for place in places(item, (*path, at)))]


def put(value: Any, path: tuple[int, ...], new: Any) -> Any:
    if not path:
        return new
    changed = list(value)
    changed[path[0]] = put(changed[path[0]], path[1:], new)
    return changed


@settings(max_examples=600)
@given(st.sampled_from(sorted(files())), st.data())
def test_any_value_anywhere(name: str, data: st.DataObject) -> None:
    """A value of the same spelling, or `MalformedInput`, and nothing else."""
    value = cbor2.loads(files()[name])
    path = data.draw(st.sampled_from(places(value)))
    spelled = cbor2.dumps(put(value, path, data.draw(anything)))
    try:
        found = Evidence.decode(spelled)
    except MalformedInput:
        return
    assert found.encode() == spelled


@settings(max_examples=300)
@given(st.sampled_from(sorted(files())), st.data())
def test_any_bytes(name: str, data: st.DataObject) -> None:
    whole = files()[name]
    at = data.draw(st.integers(0, len(whole) - 1))
    changed = whole[:at] + data.draw(st.binary(max_size=5)) + whole[at + 1 :]
    try:
        assert Evidence.decode(changed).encode() == changed
    except MalformedInput:
        return
