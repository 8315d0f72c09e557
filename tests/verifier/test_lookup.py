"""Saved lookups, judged offline: what the corpus leaves to say, and the command."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.variants import variants
from verifier import shown
from verifier.blocks import DEVICE_KINDS, ZERO
from verifier.commands.verify_lookup import KINDS
from verifier.errors import BrokenRule, Invalid, Malformed, Misbehaviour, Undecided
from verifier.lookup import Found, judge_lookup, parse
from verifier.note import COSIGNATURE, NoteKey
from verifier.policy import parse_policy
from verifier.shown import Part
from verifier.states import LogState
from verifier.vectors import verdict

ROOT = Path(__file__).parents[2]
VECTORS = ROOT / "specs" / "vectors" / "lookup"
ROUNDS = settings(max_examples=200, deadline=None)


@cache
def vector(name: str) -> dict[str, Any]:
    """The input of a case."""
    found: dict[str, Any] = json.loads((VECTORS / f"{name}.json").read_text("utf-8"))["input"]
    return found


def judged(name: str, **changes: Any) -> Found:
    fields = vector(name) | changes
    about = bytes.fromhex(fields["lookup"]), bytes.fromhex(fields["log_id"]), fields["identifier"]
    files = fields["auditors"], fields.get("witnesses")
    policies = [data and parse_policy(bytes.fromhex(data)) for data in files]
    return judge_lookup(*about, fields["now"], *policies)


# --- whose fault it is

# What the log signed, and no other: the rest of the corpus anybody could have written.
SIGNED = (
    *("one-leaf", "last-block", "links-more", "links-less", "leaf-last", "leaf-beyond"),
    *("block-signature", "block-author", "block-log", "block-label", "block-prev", "anchor-early"),
    *("anchor-late", "time-back", "time-after", "policy-before", "policy-signature"),
    *("digest-older", "digest-ghost", "log-digest-older", "log-links-less"),
    *("state-longer", "state-keyless", "state-of-log"),
)
ANYBODYS = (
    *("another-log", "first-null", "checkpoint-unsigned", "inclusion-cut", "last-time", "ahead"),
    *("vrf-of-another", "label-of-another", "proof-sibling", "held-digest", "erased", "hidden"),
    *("opening-nonce", "commitment-of-another", "links-other", "links-withheld"),
    *("anchor-fork", "anchored-cut", "state-ghost", "state-older", "cosigned-by-one"),
)


@pytest.mark.parametrize("name", SIGNED)
def test_what_the_log_signed(name: str) -> None:
    with pytest.raises(Misbehaviour) as caught:
        judged(name)
    assert caught.value.transferable
    assert isinstance(caught.value.__cause__, Invalid)


@pytest.mark.parametrize("name", ANYBODYS)
def test_what_anybody_could_have_written(name: str) -> None:
    """Whoever hands on a file must not be able to frame the log with it."""
    with pytest.raises(Invalid):
        judged(name)


@cache
def honest() -> list[Any]:
    saved: list[Any] = cbor2.loads(bytes.fromhex(vector("replay")["lookup"]))
    return [*saved[:3], cbor2.loads(saved[3])]


def framed(change: Any) -> str:
    """An honest lookup of a replayed chain, changed by whoever hands it on."""
    saved = cbor2.loads(cbor2.dumps(honest()))
    change(saved[3])
    return cbor2.dumps([*saved[:3], cbor2.dumps(saved[3])]).hex()


@pytest.mark.parametrize("chain", ["log", "answer"])
@pytest.mark.parametrize("what", ["dropped", "bent", "moved", "turned", "doubled", "timed"])
def test_links_are_no_accusation(chain: str, what: str) -> None:
    """Links that somebody changed on the way are not what the directory binds."""

    def change(bundle: list[Any]) -> None:
        links = (bundle[7] if chain == "log" else bundle[8][0][3])[4]
        last = links[-1]
        entry = last[1]
        match what:
            case "dropped":
                links.pop()
            case "bent":
                last[1] = entry[:-1] + bytes([entry[-1] ^ 1])
            case "moved":
                last[0] -= 1
            case "turned":
                links.reverse()
            case "doubled":
                links.append(last)
            case "timed":
                kind, time, body = cbor2.loads(entry)
                last[1] = cbor2.dumps([kind, time - 1, body])

    with pytest.raises(Malformed):
        judged("replay", lookup=framed(change))


# --- auditors, age


def test_an_audited_answer_rests_on_auditors() -> None:
    fields = vector("audited")
    lines = bytes.fromhex(fields["auditors"]).splitlines(keepends=True)
    nobody = b"".join([*lines[:-1], b"quorum none\n"])
    for auditors in (None, nobody.hex()):
        with pytest.raises(Undecided, match="name yours"):
            judged("audited", auditors=auditors)
    assert judged("audited").covered == fields["now"] // 1000


def test_cosignatures_of_the_future_do_not_count() -> None:
    found = judged("replay-covered")
    assert found.covered == found.head.time // 1000
    assert judged("replay-covered", now=found.head.time - 300_000).covered == found.covered
    fields = vector("audited-nobody")
    with pytest.raises(Invalid, match=r"R-61\.3"):
        judged("audited-nobody", now=fields["now"] - 300_001)


def test_witnesses_are_demanded_by_who_names_them() -> None:
    """Those who cosign here may be the judge's witnesses as well as its auditors, but not both."""
    them = vector("replay-covered")["auditors"]
    found = judged("replay-covered", auditors=None, witnesses=them)
    assert (found.witnessed, found.covered) == (found.head.time // 1000, None)
    with pytest.raises(BrokenRule, match=r"R-62\.8"):
        judged("replay", witnesses=them)
    with pytest.raises(Undecided, match=r"R-62\.5"):
        judged("replay-covered", witnesses=them)


@pytest.mark.parametrize("line", ["log {0} ", "witness spare {1}"])
def test_auditors_that_are_of_no_use(line: str) -> None:
    """They name another log (R-62.3), or the log itself is one of them (R-62.5)."""
    fields = vector("audited")
    log = found_key()
    other = NoteKey("other.example/log", log.key)
    cosigner = NoteKey(log.name, log.key, COSIGNATURE)
    lines = line.format(other.vkey, cosigner.vkey).strip().encode() + b"\n"
    data = lines + bytes.fromhex(fields["auditors"])
    with pytest.raises(Undecided, match="can't be used"):
        judged("audited", auditors=data.hex())


def found_key() -> NoteKey:
    """The log's key in the corpus."""
    fields = vector("audited")
    log_id, data = bytes.fromhex(fields["log_id"]), bytes.fromhex(fields["lookup"])
    bundle = parse(data, log_id, fields["identifier"])
    state = shown.follow(None, ZERO, shown.Link(0, bundle.first), log_id, None).chain.state
    assert isinstance(state, LogState)
    return NoteKey(state.origin, state.log_key)


# --- chains


def part(name: str) -> tuple[Part, bytes]:
    """The answered chain of a case, and the root of its directory."""
    fields = vector(name)
    log_id, data = bytes.fromhex(fields["log_id"]), bytes.fromhex(fields["lookup"])
    bundle = parse(data, log_id, fields["identifier"])
    directory: bytes = cbor2.loads(bundle.last)[2]
    return bundle.answer.chain, directory


def test_a_chain_is_shown_or_it_is_not() -> None:
    found, root = part("replay")
    label = judged("replay").label
    shown.check_held(found, label, root)
    with pytest.raises(Malformed, match=r"R-30"):
        shown.check_held(found, ZERO, root)
    absent, root = part("nobody")
    shown.check_held(absent, judged("nobody").label, root)
    with pytest.raises(Malformed, match=r"R-30"):
        shown.check_held(absent, label, root)


def test_without_the_logs_own_chain_nothing_is_replayed() -> None:
    found, _ = part("replay")
    log_id = bytes.fromhex(vector("replay")["log_id"])
    with pytest.raises(Invalid, match=r"R-42\.4") as caught:
        shown.replay(found, judged("replay").label, log_id, 2**53, [])
    assert caught.value.index == found.links[0].leaf_index


# --- any input

NAMES = ("replay", "nobody", "reset", "audited", "audited-nobody")


@ROUNDS
@given(st.data())
def test_what_is_verified_is_the_truth(data: st.DataObject) -> None:
    """Whatever is changed is refused, or changes nothing of what is found; nothing else raises."""
    name = data.draw(st.sampled_from(NAMES))
    saved = cbor2.loads(bytes.fromhex(vector(name)["lookup"]))
    bundle = data.draw(variants(cbor2.loads(saved[3])))
    lookup = cbor2.dumps([*saved[:3], cbor2.dumps(bundle)]).hex()
    try:
        found = judged(name, lookup=lookup)
    except Invalid:
        return  # never misbehaviour: the log signed none of this
    truth = judged(name)
    assert found._replace(part=truth.part) == truth


@ROUNDS
@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    fields = vector("replay") | {"lookup": data.hex()}
    assert verdict("lookup", fields)[0] == "malformed"


# --- the command


def run(name: str, *more: object, **changes: Any) -> tuple[int, str]:
    """Exit code and output; the file is that of a case."""
    fields = vector(name) | changes
    options = ["--log-id", fields["log_id"], "--identifier", fields["identifier"]]
    command = [sys.executable, "-m", "verifier.cli", "verify-lookup", *options, *map(str, more)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, check=False, timeout=60, text=True
    )
    return done.returncode, done.stdout + done.stderr


def saved(tmp_path: Path, name: str) -> Path:
    path = tmp_path / f"{name}.lookup"
    path.write_bytes(bytes.fromhex(vector(name)["lookup"]))
    return path


def test_verified(tmp_path: Path) -> None:
    as_of = ("--as-of", vector("reset")["now"] + 3 * 86_400_000)
    code, told = run("reset", saved(tmp_path, "reset"), *as_of)
    assert code == 0, told
    for words in ("verified", "3 days old", "reset", "the log said so", "ordinary device"):
        assert words in told
    code, told = run("reset", saved(tmp_path, "reset"), *as_of, "--json")
    facts = json.loads(told)
    assert (code, facts["outcome"], facts["exit_code"]) == (0, "verified", 0)
    assert (facts["mode"], facts["found"], facts["length"], facts["epoch"]) == (
        "replay",
        True,
        4,
        1,
    )
    (device,) = facts["devices"]
    last = facts["events"][-1]
    assert (device["leaf"], device["time"]) == (last["leaf"], last["time"])
    assert [one["event"] for one in facts["events"]] == ["all other devices revoked", "reset"]
    assert facts["age_ms"] == 3 * 86_400_000
    code, told = run("nobody", saved(tmp_path, "nobody"), *as_of)
    assert (code, "nobody was registered" in told) == (0, True)


def test_audited(tmp_path: Path) -> None:
    path, auditors = saved(tmp_path, "audited"), tmp_path / "auditors"
    auditors.write_bytes(bytes.fromhex(vector("audited")["auditors"]))
    as_of = ("--as-of", vector("audited")["now"])
    code, told = run("audited", path, *as_of)
    assert (code, "undecided" in told, "name yours" in told) == (2, True, True)
    code, told = run("audited", path, *as_of, "--auditors", auditors)
    assert (code, "your auditors replayed" in told, "since leaf 2" in told) == (0, True, True)
    covered = saved(tmp_path, "replay-covered")
    code, told = run("audited", covered, *as_of, "--witnesses", auditors)
    assert (code, "your witnesses saw one tree" in told) == (0, True)
    code, told = run("audited", path, *as_of, "--auditors", path)
    assert (code, "is not a policy" in told) == (2, True)


@pytest.mark.parametrize(("kind", "named"), list(enumerate(KINDS)))
def test_each_kind_of_device_has_its_name(tmp_path: Path, kind: int, named: str) -> None:
    name = f"state-kind-{kind}"
    auditors = tmp_path / "auditors"
    auditors.write_bytes(bytes.fromhex(vector(name)["auditors"]))
    options = (saved(tmp_path, name), "--as-of", vector(name)["now"], "--auditors", auditors)
    code, told = run(name, *options)
    assert code == 0, told
    assert f"{named} device" in told
    code, told = run(name, *options, "--json")
    assert code == 0, told
    assert json.loads(told)["devices"][-1]["kind"] == named


def test_there_is_a_name_for_each_kind_of_device() -> None:
    assert len(KINDS) == len(DEVICE_KINDS)


def test_refused(tmp_path: Path) -> None:
    as_of = ("--as-of", vector("replay")["now"])
    code, told = run("digest-ghost", saved(tmp_path, "digest-ghost"), *as_of)
    assert (code, "the log's: it signed this" in told) == (1, True)
    code, told = run("digest-ghost", tmp_path / "digest-ghost.lookup", *as_of, "--json")
    facts = json.loads(told)
    assert (code, facts["outcome"], facts["rule"]) == (1, "refused", "R-65.9")
    assert facts["signed_by_the_log"] is True
    code, told = run("hidden", saved(tmp_path, "hidden"), *as_of)
    assert (code, "anybody's" in told) == (1, True)
    code, told = run("replay", saved(tmp_path, "replay"), *as_of, "--json", identifier="bob")
    facts = json.loads(told)
    assert (code, facts["rule"], facts["signed_by_the_log"]) == (1, "R-65.10", False)
    code, told = run("replay", tmp_path / "replay.lookup", "--as-of", 0)
    assert (code, "anybody's" in told, "R-61.3" in told) == (1, False, True)
    empty = tmp_path / "empty"
    empty.write_bytes(b"")
    assert run("replay", empty, *as_of)[0] == 1


def test_undecided(tmp_path: Path) -> None:
    code, told = run("replay", tmp_path / "missing", "--json")
    assert (code, "cannot be read" in json.loads(told)["reason"]) == (2, True)
    assert run("replay", tmp_path)[0] == 2
    assert run("replay", saved(tmp_path, "replay"), log_id="12")[0] == 2
