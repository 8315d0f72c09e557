"""What an auditor makes of a log that breaks a rule: a file that proves it, naming the same rule.

The logs are those of the corpus that are refused, each signed as it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ledger.errors import MalformedInput
from ledger.format import block as blocks
from ledger.format import entry as entries_
from ledger.format.bodies import LogCreate
from ledger.format.checkpoint import Checkpoint, sign_checkpoint
from tests.support.actors import signing_key
from verifier.blocks import GROUP_TYPES, MAX_ENTRY, open_block, open_entry
from verifier.directory import Directory
from verifier.errors import Invalid
from verifier.evidence import NOTHING, PROVEN, UNDECIDED, judge
from verifier.evidence.making import Maker, Root
from verifier.groups import open_statement
from verifier.keys import run_check
from verifier.merkle import WIDTH, leaf_hash, prefix_root, tile_levels, tree_root
from verifier.proving import ProvenTree
from verifier.replay import Replay

VECTORS = Path(__file__).parents[2] / "specs" / "vectors"


class Scene(NamedTuple):
    """A signed log, who replayed it, and what that one met."""

    maker: Maker
    replay: Replay
    log_id: bytes
    lie: Invalid | None
    size: int
    label: bytes
    statements: Mapping[int, bytes]


@cache
def logs(kind: str) -> dict[str, Any]:
    """The inputs of the corpus with the rule that is broken, by name."""
    found = {}
    for path in sorted((VECTORS / kind).glob("*.json")):
        case = json.loads(path.read_text())
        if case["input"]["log_id"]:
            found[path.stem] = (case["input"], case.get("rule", ""))
    return found


def signed(entries: list[bytes]) -> bytes | None:
    """A checkpoint by the key that the log's first block names, if that is one of ours."""
    try:
        body = blocks.parse(entries_.parse(entries[0]).body).body
    except MalformedInput:
        return None
    key = isinstance(body, LogCreate) and signing_key(body.origin, "log key")
    if not key or not isinstance(body, LogCreate) or key.public != body.log_key:
        return None
    root = tree_root([leaf_hash(data) for data in entries])
    return sign_checkpoint(Checkpoint(body.origin, len(entries), root), key)


def scene(given: Any) -> Scene | None:
    """The log of a vector, replayed as far as it goes."""
    entries = [bytes.fromhex(data) for data in given["entries"]]
    said = {index: bytes.fromhex(data) for index, data in given.get("statements", ())}
    log_id = bytes.fromhex(given["log_id"])
    note = signed(entries)
    if note is None:
        return None
    directory = Directory({})
    replay = Replay(log_id, {}, {}, directory)
    told: dict[int, bytes] = {}
    lie, label = replayed(replay, entries, said, told)
    leaves = [leaf_hash(data) for data in entries]
    tiles = [leaves[at : at + WIDTH] for at in range(0, len(leaves), WIDTH)]
    tree = ProvenTree([tree_root(tile) for tile in tiles], len(leaves), tiles.__getitem__)
    root = Root(replay.batch_start - 1, directory)
    maker = Maker(log_id, note, tree, lambda at: entries[at * WIDTH : (at + 1) * WIDTH], root)
    mine = {at: data for at, data in told.items() if open_block_at(entries, at) == label}
    return Scene(maker, replay, log_id, lie, len(entries), label, mine)


def open_block_at(entries: list[bytes], index: int) -> bytes:
    return blocks.parse(entries_.parse(entries[index]).body).label


def replayed(
    replay: Replay, entries: list[bytes], said: Mapping[int, bytes], told: dict[int, bytes]
) -> tuple[Invalid | None, bytes]:
    """As an auditor does it: a statement that is wrong waits for the end of its batch."""
    levels = tile_levels([leaf_hash(data) for data in entries])
    lie, label = None, b""
    for index, data in enumerate(entries):
        try:
            entry = open_entry(data)
            if entry.kind == 0:
                block = open_block(entry.content, replay.log_id)
                before, _ = replay.block(entry.time, leaf_hash(data), block)
            else:
                replay.close(entry.time, entry.content, prefix_root(levels, index + 1))
                if lie is not None:
                    return lie, label
                continue
        except Invalid as error:
            error.index = index
            return error, label
        if block.kind in GROUP_TYPES and said and lie is None:
            told[index] = said[index]
            try:
                statement, checks = open_statement(said[index], block.body[0], replay.log_id)
                for check in checks:
                    run_check(check)
                replay.statement(block, before, statement)
            except Invalid as error:
                lie, label = error, block.label
    try:
        replay.finish()
    except Invalid as error:
        return error, label
    return lie, label


def is_founded(given: Any) -> bool:
    """Whether there is an honest first block: else nobody could be accused."""
    met = scene({**given, "entries": given["entries"][:1]})
    return met is not None and met.replay.log is not None


REFUSED = [
    name
    for name, (given, rule) in logs("log").items()
    if rule
    and len(given["entries"]) > 1
    and max(map(len, given["entries"])) <= 2 * MAX_ENTRY
    and is_founded(given)
]
"""All but an entry that is too long for any tile to serve."""

BY_REPLAY = {"R-42.5"}
"""What can't be shown by one leaf or chain: who replays sees it."""


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_log_ends_in_evidence(name: str) -> None:
    given, rule = logs("log")[name]
    met = scene(given)
    assert met is not None
    assert met.lie is not None
    assert met.lie.index is not None
    data = met.maker.about(met.lie.index)
    if rule in BY_REPLAY:
        assert data is None
        verdict = judge(met.maker.replayable(met.lie.index), met.log_id)
        assert (verdict.outcome, verdict.rule) == (UNDECIDED, "R-80.11")
        return
    assert data is not None, rule
    verdict = judge(data, met.log_id)
    assert (verdict.outcome, verdict.rule) == (PROVEN, met.lie.rule)


SAID = [name for name, (_, rule) in logs("group").items() if rule.startswith("R-")]


@pytest.mark.parametrize("name", SAID)
def test_a_refused_statement_ends_in_evidence(name: str) -> None:
    given, rule = logs("group")[name]
    met = scene(given)
    assert met is not None
    assert met.lie is not None
    data = met.maker.about_statement(met.label, met.statements)
    if rule == "R-56.2":
        assert data is None  # it was only served
        return
    assert data is not None, rule
    verdict = judge(data, met.log_id)
    assert (verdict.outcome, verdict.rule) == (PROVEN, met.lie.rule)


HONEST = [name for name, (_, rule) in logs("log").items() if not rule]


@pytest.mark.parametrize("name", HONEST[::6])
def test_of_an_honest_log_there_is_no_evidence(name: str) -> None:
    met = scene(logs("log")[name][0])
    assert met is not None
    assert met.lie is None
    for index in range(1, met.size):
        assert met.maker.about(index) is None
    assert judge(met.maker.replayable(met.size - 1)).outcome != NOTHING
