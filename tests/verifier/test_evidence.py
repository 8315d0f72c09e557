"""Evidence is judged by what it holds, whoever wrote it: no change of a file makes another lie.

The vectors of kind `evidence` show each rule of 80-evidence; here are what no table can list.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import cbor2
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.format import entry
from ledger.format.block import LOG_LABEL
from ledger.format.evidence import (
    Body,
    BrokenRule,
    Evidence,
    Fork,
    Leaf,
    ShownChain,
    WrongAnchor,
    WrongChain,
    WrongDirectory,
    WrongEntry,
    WrongTime,
)
from ledger.tree.merkle import leaf_hash
from tests.support.accuser import Accuser
from tests.support.actors import signing_key
from tests.vectors.cases.evidence_trees import honest
from tests.vectors.cases.statement_shape import Town
from tests.vectors.world import World
from verifier.commands import commands
from verifier.evidence import NOTHING, PROVEN, UNDECIDED, Verdict, judge
from verifier.evidence.parse import MAX_EVIDENCE, NAMES
from verifier.policy import Policy, parse_policy

VECTORS = Path(__file__).parents[2] / "specs" / "vectors" / "evidence"


@cache
def cases() -> dict[str, tuple[bytes, str | None, str]]:
    """By name: the file, the judge's policy, and what it comes to."""
    found = {}
    for path in sorted(VECTORS.glob("*.json")):
        case = json.loads(path.read_text())
        outcome = case.get("output", {}).get("verdict", NOTHING)
        given = case["input"]
        found[path.stem] = bytes.fromhex(given["evidence"]), given["witnesses"], outcome
    return found


def told(name: str, data: bytes) -> Verdict:
    """A changed file, judged as the one of that name."""
    witnesses = cases()[name][1]
    return judge(data, None, policy(witnesses) if witnesses else None)


@cache
def policy(text: str) -> Policy:
    return parse_policy(text.encode())


def meaning(verdict: Verdict) -> tuple[Any, ...]:
    return verdict.outcome, verdict.kind, verdict.rule, verdict.sentence, verdict.log


PROVING = [name for name, (_, _, outcome) in cases().items() if outcome == PROVEN]


def test_every_kind_is_proven_by_some_file() -> None:
    kinds = {told(name, cases()[name][0]).kind for name in PROVING}
    assert kinds == set(NAMES) - {"replayable"}


# No change makes another lie.


def places(value: Any, path: tuple[int, ...] = ()) -> Iterator[tuple[int, ...]]:
    """Every place in a decoded file."""
    yield path
    if isinstance(value, list):
        for at, item in enumerate(value):
            yield from places(item, (*path, at))


def put(value: Any, path: tuple[int, ...], change: Any) -> Any:
    """The value with what stands at a place changed."""
    if not path:
        return change(value)
    changed = list(value)
    changed[path[0]] = put(changed[path[0]], path[1:], change)
    return changed


def changes(value: Any) -> list[Any]:
    """What may stand there instead of a value: near ones, and of other types."""
    if isinstance(value, bytes):
        flipped = [value[:at] + bytes([value[at] ^ 1]) + value[at + 1 :] for at in spots(value)]
        return [*flipped, value + b"\x00", value[:-1], bytes(len(value)), None, 0]
    if isinstance(value, int):
        return [value + 1, max(0, value - 1), 0, 2**63 - 1, 2**63, None, b""]
    if isinstance(value, list):
        return [[], value[1:], value[:-1], value[::-1], [*value, *value[-1:]], None]
    return [0, b"", [], [0, b"", []]]


def spots(data: bytes) -> list[int]:
    return sorted({0, len(data) // 3, len(data) // 2, len(data) - 1}) if data else []


def same_but_for_the_time(data: bytes, changed: bytes) -> bool:
    """Entry 0 of both is the same block. Its time is bound by what names it, where that counts."""
    return entry.parse(data).body == entry.parse(changed).body


@pytest.mark.parametrize("name", PROVING)
def test_no_change_of_a_field_proves_something_else(name: str) -> None:
    data = cases()[name][0]
    value = cbor2.loads(data)
    first = meaning(told(name, data))[:4]
    for path in places(value):
        before = value
        for step in path:
            before = before[step]
        for after in changes(before):
            if after == before and type(after) is type(before):
                continue
            verdict = told(name, cbor2.dumps(put(value, path, lambda _, new=after: new)))
            if verdict.outcome == PROVEN:
                assert path == (2,), (path, verdict)
                assert same_but_for_the_time(before, after)
                assert meaning(verdict)[:4] == first


@settings(max_examples=400)
@given(st.sampled_from(sorted(cases())), st.data())
def test_any_bytes_come_to_a_verdict(name: str, data: st.DataObject) -> None:
    whole = cases()[name][0]
    if not whole:
        return
    at = data.draw(st.integers(0, len(whole) - 1))
    cut = data.draw(st.sampled_from([0, 1, 5, 40]))
    patch = data.draw(st.binary(max_size=6))
    changed = whole[:at] + patch + whole[at + cut :]
    verdict = told(name, changed)
    assert verdict.outcome in (PROVEN, NOTHING, UNDECIDED)
    if verdict.outcome == PROVEN and changed != whole:
        assert verdict.sentence == told(name, whole).sentence


@settings(max_examples=200)
@given(st.sampled_from(PROVING), st.sampled_from(PROVING), st.data())
def test_parts_of_two_files_are_no_third(name: str, other: str, data: st.DataObject) -> None:
    """Any part of one file in the place of any of another."""
    value, given_ = cbor2.loads(cases()[name][0]), cbor2.loads(cases()[other][0])
    path = data.draw(st.sampled_from(sorted(places(value))))
    part = given_
    for step in data.draw(st.sampled_from(sorted(places(given_)))):
        part = part[step]
    verdict = told(name, cbor2.dumps(put(value, path, lambda _: part)))
    if verdict.outcome == PROVEN:
        proven = [told(one, cases()[one][0]) for one in (name, other)]
        assert verdict.sentence in [one.sentence for one in proven]


# An honest log can't be framed by what it signed.


def test_an_honest_log_is_never_proven_wrong() -> None:
    """Every leaf, label, root and pair of leaves of an honest log is accused in every way."""
    world = honest()
    accuser = Accuser(world.actor, world.log.entries)
    verdicts = [judge(found.encode()) for found in accusations(accuser, world)]
    assert len(verdicts) > 300
    assert {one.outcome for one in verdicts} == {NOTHING, UNDECIDED}
    assert all(one.rule in ("R-80.9", "R-80.11") for one in verdicts if one.outcome != NOTHING)


def accusations(accuser: Accuser, world: World) -> Iterator[Evidence]:
    roots = range(1, accuser.size, 2)
    blocks = range(2, accuser.size, 2)
    labels = {LOG_LABEL, bytes([1] * 32), *(user.label for user in world.users)}
    for size in range(2, accuser.size + 1):
        yield accuser.fork(accuser.note(size), size)
    for index in range(accuser.size):
        yield accuser.wrong_entry(index)
        yield accuser.replayable(index)
        yield accuser.wrong_time(index)
        if index:
            yield accuser.broken_rule(index, chained=index % 2 == 0)
    for index in blocks:
        yield accuser.broken_rule(index, chained=False)
        yield accuser.wrong_anchor(index)
        yield accuser.wrong_anchor(index, root=True)
        yield accuser.wrong_anchor(index, end=True)
    for root, label in product(roots, labels):
        yield accuser.wrong_chain(root, *[label] * (label != LOG_LABEL))
        for other in (None, *range(accuser.size)):
            yield accuser.wrong_directory(root, label, other)
    for index, later in product(range(accuser.size), repeat=2):
        yield accuser.wrong_time(index, later)


def test_honest_statements_are_never_proven_wrong() -> None:
    town = Town.make()
    world = town.world
    team = world.admit(town.add())
    world.admit(town.ada.revoke(world.anchor, 1))
    world.admit(team.close(world.anchor, world.users[-1]))
    accuser = Accuser(world.actor, world.log.entries)
    statements = [data for _, data in world.statements]
    told_ = 0
    for root in range(11, accuser.size, 2):
        for count in range(1, 4):
            for authors in ([town.ada.label], [], [town.bob.label]):
                found = accuser.wrong_statement(root, team.label, authors, statements[:count])
                assert judge(found.encode()).outcome == NOTHING
                told_ += 1
    assert told_ > 20


@cache
def upright() -> Accuser:
    """An honest log with a group in it."""
    town = Town.make()
    world = town.world
    team = world.admit(town.add())
    world.admit_policy(world.actor.policy(world.anchor, enrolment=signing_key("enrolment 2")))
    world.admit(town.ada.revoke(world.anchor, 1), world.now + 1_000)
    world.admit(team.close(world.anchor, world.users[-1]))
    return Accuser(world.actor, world.log.entries)


class Parts:
    """True parts of an honest log, in any order."""

    def __init__(self, data: st.DataObject) -> None:
        self.log = upright()
        self.draw = data.draw
        self.size = 2 * self.number(1, self.log.size // 2)

    def number(self, least: int, most: int) -> int:
        return self.draw(st.integers(least, most))

    def leaf(self) -> Leaf:
        return self.log.leaf(self.number(0, self.size - 1), self.size)

    def root(self) -> int:
        return 2 * self.number(1, self.size // 2) - 1

    def label(self) -> bytes:
        return self.draw(st.sampled_from(sorted(self.log.told(self.log.size - 1))))

    def chains(self, at: int) -> tuple[ShownChain, ...]:
        count = self.number(0, 3)
        mixed = [self.log.shown(self.label(), self.root()) for _ in range(count)]
        true = self.log.chains(at, *(self.label() for _ in range(count)))
        return self.draw(st.sampled_from([true, true[:2], tuple(mixed)]))

    def rule(self) -> BrokenRule:
        before, index = self.root(), self.number(1, self.size - 1)
        start = self.draw(st.sampled_from([0, before + 1, before]))
        entries = tuple(self.log.entries[start : index + 1]) or (self.log.entries[index],)
        shown = self.draw(st.sampled_from([None, self.log.leaf(before, before + 1)]))
        proof = self.log.consistency(index + 1, self.size)
        return BrokenRule(self.note, shown, self.chains(before), entries, proof)

    @property
    def note(self) -> bytes:
        return self.log.note(self.size)

    def directory(self) -> WrongDirectory:
        at, label, links = self.root(), self.label(), self.log.told(self.root()).get(self.label())
        leaves = [(link.index, leaf_hash(link.entry)) for link in links.links] if links else []
        shown = self.log.shown(label, at, linked=False)
        other = self.draw(st.sampled_from([None, self.leaf()]))
        return WrongDirectory(self.note, self.log.leaf(at, self.size), shown, tuple(leaves), other)

    def body(self) -> Body:
        log, note, old = self.log, self.note, 2 * self.number(1, self.size // 2)
        proof = log.consistency(old, self.size)
        root = log.leaf(self.root(), self.size)
        end = self.draw(st.sampled_from([None, self.leaf()]))
        bodies: list[Callable[[], Body]] = [
            lambda: Fork(log.note(2 * self.number(1, 5)), note, log.root(old), proof),
            lambda: WrongEntry(note, self.leaf()),
            self.rule,
            lambda: WrongChain(note, root, self.chains(root.index) or log.chains(1)),
            self.directory,
            lambda: WrongAnchor(note, self.leaf(), end=end),
            lambda: WrongAnchor(note, self.leaf(), log.root(old), proof, end),
            lambda: WrongTime(note, self.leaf(), end),
        ]
        return self.draw(st.sampled_from(bodies))()


@settings(max_examples=500)
@given(st.data())
def test_no_true_parts_make_a_lie(data: st.DataObject) -> None:
    parts = Parts(data)
    verdict = judge(parts.log.file(parts.body()).encode())
    assert verdict.outcome == NOTHING or verdict.rule == "R-80.9", verdict


def test_evidence_about_one_log_is_none_about_another() -> None:
    """Not even about one whose log key is the same: its blocks are signed for another id."""
    world = honest()
    lie = Accuser(world.actor, [*world.log.entries, *world.batch()])
    twin = replace(world.actor, app_root=signing_key("another app root"))
    found = lie.wrong_time(2, 4)
    assert judge(found.encode(), twin.log_id).outcome == NOTHING
    data, _, _ = cases()["fork"]
    assert judge(data).outcome == PROVEN
    assert judge(data, bytes(32)).rule == "R-80.1"


# What is too large for a vector.


def crowded(count: int) -> Evidence:
    """A batch of so many blocks, the last of which is accused."""
    world = honest()
    data = entry.block(world.now, b"any")
    root = entry.directory_root(world.now, bytes(32))
    end = world.log.head.size
    accuser = Accuser(world.actor, [*world.log.entries, *[data] * count, root])
    return accuser.broken_rule(end + count - 1, chained=False)


def test_a_batch_may_hold_4096_blocks() -> None:
    """R-80.5, R-42.2."""
    found = crowded(4_097)
    verdict = judge(found.encode())
    assert (verdict.outcome, verdict.rule) == (PROVEN, "R-42.2")
    body = crowded(4_096).body
    assert isinstance(body, BrokenRule)
    assert judge(Evidence(found.first, body).encode()).outcome == NOTHING
    more = replace(body, entries=(*body.entries, *body.entries[:2]))
    assert judge(cbor2.dumps([1, 2, found.first, more.to_value()])).rule == "R-80.1"


def test_the_cap_comes_first() -> None:
    """R-80.1."""
    assert judge(b"\x84\x01\x00" + bytes(MAX_EVIDENCE)).sentence.startswith(str(MAX_EVIDENCE + 3))


def test_a_file_of_many_small_things_is_refused_at_the_first() -> None:
    """R-80.1: 16 MiB of empty arrays are not read, let alone kept."""
    many = b"\x84\x01\x03\x40\x83\x40\x83\x00\x40\x80\x9a\x00\xff\xff\x00" + b"\x80" * 0xFFFF00
    assert judge(many).rule == "R-80.1"


# The command.


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(commands, ["check-evidence", *arguments], standalone_mode=False)
    return int(result.return_value), result.output


def file_of(name: str, path: Path) -> str:
    (path / name).write_bytes(cases()[name][0])
    return str(path / name)


def test_a_proven_file_in_plain_words(tmp_path: Path) -> None:
    code, output = run(file_of("fork", tmp_path))
    assert code == 0
    for word in ("PROVEN", "R-61.2", "example.com/log", "another history", "log id"):
        assert word in output


def test_a_file_that_proves_nothing(tmp_path: Path) -> None:
    code, output = run(file_of("fork-cached", tmp_path))
    assert code == 1
    assert "proves nothing" in output
    assert "R-80.3" in output


@pytest.mark.parametrize("name", ["replayable", "ahead"])
def test_what_can_not_be_said(name: str, tmp_path: Path) -> None:
    code, output = run(file_of(name, tmp_path))
    assert code == 2
    assert "can't be judged by itself" in output


def test_times_by_a_policy(tmp_path: Path) -> None:
    """R-80.9, R-62.9."""
    (tmp_path / "policy").write_text(cases()["ahead"][1] or "")
    code, output = run(file_of("ahead", tmp_path), "--witnesses", str(tmp_path / "policy"))
    assert (code, "R-62.9" in output) == (0, True)


def test_answers_for_machines(tmp_path: Path) -> None:
    code, output = run(file_of("chain-rule", tmp_path), "--json")
    answer = json.loads(output)
    assert code == answer["exit_code"] == 0
    assert (answer["verdict"], answer["kind"], answer["rule"]) == ("proven", "chain", "R-53.3")
    assert run(file_of("chain-rule", tmp_path), "--log-id", answer["log_id"])[0] == 0
    assert run(file_of("chain-rule", tmp_path), "--log-id", "00" * 32)[0] == 1


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    code, output = run(str(tmp_path / "none"), "--json")
    assert (code, json.loads(output)["verdict"]) == (2, UNDECIDED)
