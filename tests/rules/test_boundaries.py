"""Ledger and verifier draw every boundary at the same place.

Of everything that passes, each field in turn is set to each boundary there is, inside what is
wrapped in byte strings too, and each array is one longer and one shorter. The signatures are then
wrong, so each side says by its verdict whether it took the shape: "malformed", or something later.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cbor2
import pytest

from ledger.errors import MalformedInput
from ledger.format.bodies import DeviceKind
from ledger.format.statement import Statement, commitment
from ledger.rules.state import Device, UserState, parse_state
from tests.support.variants import put
from tests.vectors import by_ledger, by_verifier
from verifier.errors import Malformed
from verifier.groups import open_statement
from verifier.states import parse_user

VECTORS = Path(__file__).parents[2] / "specs" / "vectors"

NUMBERS = sorted(
    {number + by for number in (0, 2, 64, 2**8, 2**16, 2**32, 2**53, 2**63) for by in (-1, 0, 1)}
    | {3, 32, 33, 2**64 - 1}
)
OTHERS: list[Any] = [None, True, "", "x" * 129, [], b"", bytes(31), bytes(32), bytes(33)]
BOUNDARIES = [number for number in NUMBERS if number >= 0] + OTHERS


def bent(value: Any) -> Iterator[Any]:
    """`value` with one place of it at a boundary."""
    yield from BOUNDARIES
    if isinstance(value, cbor2.CBORTag):
        yield from (cbor2.CBORTag(value.tag, other) for other in bent(value.value))
    elif isinstance(value, list | tuple):  # inside a tag, cbor2 reads arrays as tuples
        listed = [*value]
        yield from ([*listed, *listed[-1:]], listed[:-1])
        for place, part in enumerate(listed):
            yield from (put(listed, (place,), other) for other in bent(part))
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from ({**value, key: other} for other in bent(part))
    elif isinstance(value, bytes) and (inside := unwrapped(value)) is not None:
        yield from map(cbor2.dumps, bent(inside))


def unwrapped(data: bytes) -> Any:
    """What is spelled in a byte string, if it is an array, a map or signed."""
    try:
        value = cbor2.loads(data)
    except (cbor2.CBORError, ValueError, TypeError, OverflowError):
        return None
    inside = isinstance(value, list | Mapping | cbor2.CBORTag) and cbor2.dumps(value) == data
    return value if inside else None


def passing(kind: str, name: str) -> dict[str, Any]:
    case = json.loads((VECTORS / kind / f"{name}.json").read_text("utf-8"))
    assert case["verdict"] == "ok"
    found: dict[str, Any] = case["input"]
    return found


def parts(kind: str, name: str, field: str) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Each bent value, and the input of the case with it."""
    given = passing(kind, name)
    for other in bent(unwrapped(bytes.fromhex(given[field]))):
        yield other, given | {field: cbor2.dumps(other).hex()}


BLOCKS = (
    *("create", "add", "payload-device-kind-2", "revoke", "reset", "close"),
    *("group-create", "group-update", "group-rotate", "group-close"),
    *("log-create", "policy"),
)

JUDGED = [
    *(("block", name, "bytes") for name in BLOCKS),
    ("leave", "member", "leave"),
    ("grant", "expiry-later", "grant"),
    ("directory-proof", "present", "proof"),
    ("directory-proof", "absent-other", "proof"),
    ("receipt", "seventh", "receipt"),
]


@pytest.mark.parametrize(("kind", "name", "field"), JUDGED)
def test_what_vectors_hold(kind: str, name: str, field: str) -> None:
    count = 0
    for other, given in parts(kind, name, field):
        ledger, verifier = by_ledger.judge(kind, given), by_verifier.judge(kind, given)
        assert stage(ledger.verdict) == stage(verifier.verdict), (other, ledger, verifier)
        count += 1
    assert count > 200


def stage(verdict: str) -> str:
    """How far it came. A key that is none is refused as one, or as nobody's signature."""
    return "after its shape" if verdict in ("rule", "signature") else verdict


@pytest.mark.parametrize("name", ["audited", "nobody"])
def test_lookups(name: str) -> None:
    """Here either side may name another of the rules that are broken."""
    count = 0
    for other, given in parts("lookup", name, "lookup"):
        ledger, verifier = by_ledger.judge("lookup", given), by_verifier.judge("lookup", given)
        taken = ledger.verdict == "ok", verifier.verdict == "ok"
        assert taken[0] == taken[1], (other, ledger, verifier)
        count += 1
    assert count > 2_000


KEY = b"k" * 32
DEVICES = tuple(Device(KEY, bytes(32), kind, KEY, 7) for kind in DeviceKind)
OPEN = UserState(KEY, 7, 8, KEY, 0, 0, KEY, 7, DEVICES, KEY, 1, 1)
CLOSED = replace(OPEN, user_key=None, devices=())


@pytest.mark.parametrize("state", [OPEN, CLOSED])
def test_states(state: UserState) -> None:
    taken = Counter[bool]()
    for other in bent(unwrapped(state.encode())):
        data = cbor2.dumps(other)
        ours = takes(parse_state, data, MalformedInput)
        # The verifier reads states of users only.
        of_user = isinstance(other, list) and other[:1] == [1]
        assert takes(parse_user, data, Malformed) == (ours and of_user), other
        taken[ours] += 1
    assert min(taken.values()) > 50


def test_statements() -> None:
    given = passing("group", "add")
    log_id = bytes.fromhex(given["log_id"])
    taken = Counter[bool]()
    for _, statement in given["statements"]:
        for other in bent(unwrapped(bytes.fromhex(statement))):
            data = cbor2.dumps(other)
            ours = takes(Statement.parse, data, MalformedInput)
            opened = partial(open_statement, commitment=commitment(data), log_id=log_id)
            assert takes(opened, data, Malformed) == ours, other
            taken[ours] += 1
    assert min(taken.values()) > 50


def takes(parse: Callable[[bytes], object], data: bytes, refusal: type[Exception]) -> bool:
    try:
        parse(data)
    except refusal:
        return False
    return True
