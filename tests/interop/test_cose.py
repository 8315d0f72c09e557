"""COSE libraries of others verify our blocks and receipts, and refuse what we refuse."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ledger.format import cose, entry
from ledger.format.block import NO_LOG_ID
from ledger.format.note import parse_vkey
from tests.http.test_tree import all_entries, get, grow
from tests.http.world import Http
from tests.interop.lying import flip
from tests.interop.peers import HERE, run
from tests.vectors import generate
from tests.vectors.case import Case

SCRIPT = HERE / "python" / "verify.py"
Message = tuple[bytes, bytes]

SMALL_ORDER = {
    *(f"group-create-identity{more}" for more in ("", "-negative", "-plus-p")),
    *(f"group-create-order-{order}" for order in (2, 4, 8)),
    "group-rotate-order-8",
    *(f"key-identity{more}" for more in ("", "-negative", "-plus-p")),
    *(f"key-order-{order}" for order in (2, 4, 8)),
    "reset-small-order",
}
"""Keys that OpenSSL takes and libsodium does not (R-15.3, adr/0011)."""


def corpus(kind: str) -> list[Case]:
    """The published vectors of a kind."""
    found = generate.existing()
    return [Case.decode(kind, data) for path, data in found.items() if path.startswith(f"{kind}/")]


async def python_says(python: Path, what: str, given: Sequence[Any]) -> Any:
    done = await run(python / "python", SCRIPT, what, given=json.dumps(given).encode())
    return done.check().json


async def verdicts(
    python: Path, node: list[str], messages: Sequence[Message]
) -> list[list[list[bool]]]:
    """What pycose, cwt and @auth0/cose say of each message: a verdict for each signature."""
    given = [{"message": data.hex(), "aad": aad.hex()} for data, aad in messages]
    of_python = await python_says(python, "blocks", given)
    of_node = (await run(*node, given=json.dumps(given).encode())).check().json
    return [
        [one["pycose"], one["cwt"], other] for one, other in zip(of_python, of_node, strict=True)
    ]


def aad(log_id: bytes | None) -> bytes:
    return cose.aad(cose.BLOCK, log_id or NO_LOG_ID)


async def blocks_of(log: Http) -> list[Message]:
    """The blocks of a served log, each with what it was signed for."""
    size = (await grow(log, 20))[-1].size
    found = [entry.parse(data) for data in await all_entries(log, size)]
    raws = [one.body for one in found if one.kind == entry.BLOCK]
    return [(raw, aad(log.actor.log_id if at else None)) for at, raw in enumerate(raws)]


async def test_blocks_of_a_served_log(python: Path, node: list[str], log: Http) -> None:
    messages = await blocks_of(log)
    assert len(messages) == 21
    for found in await verdicts(python, node, messages):
        assert found == [[True, True]] * 3


async def test_changed_blocks_are_refused(python: Path, node: list[str], log: Http) -> None:
    """A flipped bit of the payload, and the right block for another log or another context."""
    raw, external = (await blocks_of(log))[-1]
    other_log, other_context = aad(bytes(31) + b"\1"), cose.aad(cose.LOGIN, log.actor.log_id)
    assert len(external) == len(other_log)
    # Behind the heads of envelope and payload: within `prev`, which is all zero.
    bent = flip(raw.index(bytes(32)) + 7)(raw)
    changed = [(bent, external), (raw, other_log), (raw, other_context), (raw, b"")]
    for found in await verdicts(python, node, changed):
        assert found == [[False, False]] * 3


async def test_blocks_of_the_corpus(python: Path, node: list[str]) -> None:
    """Of every type; and where a signature is all that is wrong, all say so."""
    cases = [case for case in corpus("block") if case.verdict == "ok" or case.rule == "R-40.4"]
    ids = [case.input["log_id"] for case in cases]
    raws = [bytes.fromhex(str(case.input["bytes"])) for case in cases]
    messages = [
        (raw, aad(bytes.fromhex(str(log_id)) if log_id else None))
        for raw, log_id in zip(raws, ids, strict=True)
    ]
    refused, differing = 0, set()
    for case, found in zip(cases, await verdicts(python, node, messages), strict=True):
        refused += case.verdict != "ok"
        if {all(one) for one in found} != {case.verdict == "ok"}:
            differing.add(case.name)
    assert refused - len(differing) >= 5
    assert len(cases) - refused >= 10
    assert differing == SMALL_ORDER


async def test_receipts_of_a_served_log(python: Path, log: Http) -> None:
    """scitt-cose verifies RFC 9942, with the key it is given and not by kid."""
    size = (await grow(log, 20))[-1].size
    entries, key = await all_entries(log, size), log.actor.log_key.public.hex()
    receipts = [(await get(log, f"/v1/receipts/{index}")).hex() for index in range(size)]
    right = [
        {"receipt": receipt, "entry": data.hex(), "key": key}
        for receipt, data in zip(receipts, entries, strict=True)
    ]
    assert await python_says(python, "receipts", right) == [True] * size
    other = log.actor.app_root.public.hex()
    signature = flip(len(bytes.fromhex(receipts[2])) - 20)(bytes.fromhex(receipts[2])).hex()
    wrong = [
        {**right[2], "entry": entries[3].hex()},
        {**right[2], "key": other},
        {**right[2], "receipt": receipts[3]},
        {**right[2], "receipt": signature},
    ]
    assert await python_says(python, "receipts", wrong) == [False] * len(wrong)


async def test_receipts_of_the_corpus(python: Path) -> None:
    rules = ("", "R-20.3", "R-68.4", "R-68.5")
    cases = [case for case in corpus("receipt") if case.rule in rules]
    given = [
        {
            "receipt": case.input["receipt"],
            "entry": case.input["entry"],
            "key": parse_vkey(str(case.input["vkey"])).public.hex(),
        }
        for case in cases
    ]
    found = await python_says(python, "receipts", given)
    assert {case.rule for case in cases} == set(rules)
    differing = {
        case.name for case, said in zip(cases, found, strict=True) if said != (case.verdict == "ok")
    }
    assert differing == {"our-signature"}  # the kid is not looked at
