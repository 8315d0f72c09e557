"""Ledger and verifier judge the same saved lookups, right and wrong, alike.

Where several rules break at once, each side may name the one it meets first: then both refuse.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import cbor2
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.variants import variants
from tests.vectors import by_ledger, by_verifier

VECTORS = Path(__file__).parents[2] / "specs" / "vectors" / "lookup"
NAMES = ("replay", "nobody", "reset", "audited", "audited-nobody", "digest-ghost", "state-longer")


@cache
def vector(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((VECTORS / f"{name}.json").read_text("utf-8"))["input"]
    return found


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_changed_lookups(data: st.DataObject) -> None:
    """Changed in the file, or in the bundle inside."""
    case = vector(data.draw(st.sampled_from(NAMES)))
    saved = cbor2.loads(bytes.fromhex(case["lookup"]))
    if data.draw(st.integers(0, 9)):
        bundle = data.draw(variants(cbor2.loads(saved[3])))
        saved = [*saved[:3], cbor2.dumps(bundle)]
    else:
        saved = data.draw(variants(saved))
    changed = case | {"lookup": cbor2.dumps(saved).hex()}
    ledger, verifier = by_ledger.judge("lookup", changed), by_verifier.judge("lookup", changed)
    assert (ledger.verdict == "ok") == (verifier.verdict == "ok"), (ledger, verifier)
    assert ledger.output == verifier.output
