"""Audits of whole logs: what is verified, what is misbehaviour, and what decides nothing."""

from __future__ import annotations

import copy
import json
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import cbor2
import pytest
from nacl.signing import SigningKey

from tests.verifier.builder import BuiltLog, Draft, User, mth, path_of, signed_note
from tests.verifier.test_fetch import send, serving
from verifier import audit as module
from verifier import crosscheck
from verifier.accusing import Accuser
from verifier.directory import Directory
from verifier.errors import Undecided
from verifier.evidence import PROVEN, judge
from verifier.evidence import UNDECIDED as UNKNOWN
from verifier.fetch import Served, open_source
from verifier.job import Job
from verifier.keyfile import Cosigner
from verifier.note import Checkpoint
from verifier.policy import parse_policy
from verifier.replay import Replay
from verifier.report import MISBEHAVIOUR, UNDECIDED, VERIFIED, Outcome, show
from verifier.signed import Contradiction, SignedTree
from verifier.tiles import Bundle


@dataclass
class Place:
    """A log, where its files are served from, and where its auditor keeps its state."""

    log: BuiltLog
    files: Path
    state: Path

    def audit(self, *, url: str | None = None, now: int | None = None, **job: object) -> Outcome:
        made = Job(url or str(self.files), self.log.log_id, self.state, 1, crosscheck=True)
        made = replace(made, **job)  # type: ignore[arg-type]
        return made.run(self.log.time if now is None else now, None, silent)

    def publish(self, size: int | None = None) -> None:
        shutil.rmtree(self.files, ignore_errors=True)
        self.log.write(self.files, size)

    def change(self, path: str, edit: Callable[[bytes], bytes]) -> None:
        file = self.files / path
        file.write_bytes(edit(file.read_bytes()))

    def verified(self) -> Outcome:
        outcome = self.audit()
        assert (outcome.code, outcome.reason) == (VERIFIED, None)
        assert outcome.report is not None
        assert outcome.report.root == mth(self.log.leaves[: outcome.report.size])
        return outcome


def grow(log: BuiltLog, batches: int, each: int = 3) -> None:
    for _ in range(batches):
        log.batch(*(User(log).create() for _ in range(each)))


def silent(done: int, total: int) -> None:
    """No progress is shown."""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A log of 30 entries, published."""
    log = BuiltLog()
    grow(log, 7)
    found = Place(log, tmp_path / "files", tmp_path / "state")
    found.publish()
    return found


@pytest.fixture(scope="module")
def long_log() -> BuiltLog:
    """1,300 entries: five full tiles and a partial one."""
    log = BuiltLog("long")
    alice = User(log)
    log.batch(alice.create())
    for number in range(8):
        log.batch(*(User(log).create() for _ in range(160)))
        log.batch(alice.add() if number % 2 else alice.revoke(*alice.devices[1:])) if number else 0
    return log


def flip(at: int) -> Callable[[bytes], bytes]:
    return lambda data: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def kind_of(outcome: Outcome) -> tuple[str, str, bool]:
    assert outcome.code == MISBEHAVIOUR, outcome
    assert outcome.misbehaviour is not None
    error = outcome.misbehaviour
    if error.transferable:
        require_evidence(outcome)
    return error.kind, error.rule, error.transferable


def require_evidence(outcome: Outcome) -> None:
    """A file that proves it by itself, or, of a directory root, says what to replay."""
    assert outcome.evidence is not None
    assert outcome.misbehaviour is not None
    assert outcome.evidence.suffix == ".evidence", outcome.evidence
    rule = outcome.misbehaviour.rule
    verdict = judge(outcome.evidence.read_bytes(), outcome.log_id)
    wanted = (UNKNOWN, "R-80.11") if rule == "R-42.5" else (PROVEN, rule)
    assert (verdict.outcome, verdict.rule) == wanted, verdict


def exhibit(outcome: Outcome, name: str) -> bytes:
    assert outcome.evidence is not None
    return (outcome.evidence / name).read_bytes()


def undecided(outcome: Outcome, why: str) -> None:
    assert outcome.code == UNDECIDED
    assert outcome.evidence is None
    assert why in str(outcome.reason)


def test_a_log_is_verified_and_the_next_audit_goes_on_from_there(place: Place) -> None:
    first = place.verified().report
    assert first is not None
    assert (first.resumed_from, first.size, first.batches) == (0, 30, 8)
    assert (first.blocks, first.signatures) == ({0: 1, 2: 21}, 2 + 3 * 21)
    again = place.verified().report
    assert again is not None
    assert (again.resumed_from, again.blocks, again.signatures) == (30, {}, 0)
    grow(place.log, 2)
    place.publish()
    grown = place.verified().report
    assert grown is not None
    assert (grown.resumed_from, grown.size, grown.blocks) == (30, 38, {2: 6})


@pytest.mark.parametrize("step", [1, 2, 3])
def test_a_log_that_grows_over_tiles(step: int, tmp_path: Path, long_log: BuiltLog) -> None:
    place = Place(long_log, tmp_path / "files", tmp_path / "state")
    sizes = [*list(long_log.bounds)[::step], len(long_log.entries)]
    for size in sizes:
        long_log.write(place.files, size)
        place.verified()


def test_batches_that_end_with_tiles(tmp_path: Path) -> None:
    log = BuiltLog("round")
    log.batch(*(User(log).create() for _ in range(253)))
    place = Place(log, tmp_path / "files", tmp_path / "state")
    for _ in range(2):
        assert len(log.entries) % 256 == 0
        place.publish()
        place.verified()
        place.verified()
        log.batch(*(User(log).create() for _ in range(255)))


def test_processes_and_one_alone_report_the_same(
    tmp_path: Path, long_log: BuiltLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 1)
    monkeypatch.setattr(module, "COMMIT_EVERY", 300)
    reports = []
    for processes in (1, 2):
        place = Place(long_log, tmp_path / "files", tmp_path / f"state-{processes}")
        long_log.write(place.files)
        reports.append(place.audit(processes=processes).report)
    assert reports[0] == reports[1]
    assert reports[0] is not None
    assert reports[0].size == len(long_log.entries)


def test_over_http(place: Place) -> None:
    def answer(one) -> None:  # type: ignore[no-untyped-def]
        file = place.files / one.path.lstrip("/")
        send(one, file.read_bytes()) if file.is_file() else send(one, b"", 404)

    with serving(answer) as (url, asked):
        assert place.audit(url=url).code == VERIFIED
        assert "/checkpoint" in asked
        grow(place.log, 1)
        place.publish()
        assert place.audit(url=url + "/").code == VERIFIED


# What the log has signed and must not have.


def test_a_broken_rule_is_proven_by_the_signed_root(place: Place) -> None:
    place.log.batch(User(place.log).create(), root=sha256(b"a lie").digest())
    place.publish()
    outcome = place.audit()
    assert kind_of(outcome) == ("rule-broken", "R-42.5", True)
    assert "entry 31" in str(outcome.reason)
    assert outcome.evidence is not None
    report = json.loads(outcome.evidence.with_suffix(".json").read_text())
    assert report["log_id"] == place.log.log_id.hex()
    assert report["log_key"] == bytes(place.log.log_key.verify_key).hex()
    assert (report["rule"], report["transferable"]) == ("R-42.5", True)
    assert report["file"] == outcome.evidence.name
    assert report["sha256"] == sha256(outcome.evidence.read_bytes()).hexdigest()
    assert report["evidence"]["kind"] == "replayable"
    assert stat.S_IMODE(outcome.evidence.parent.stat().st_mode) == 0o700


def test_what_was_proven_stays_proven(place: Place) -> None:
    place.log.batch(root=sha256(b"a lie").digest())
    place.publish()
    proven = place.audit()
    place.publish(30)
    later = place.audit()
    assert (later.code, later.evidence) == (MISBEHAVIOUR, proven.evidence)


def forged(log: BuiltLog) -> Draft:
    honest = User(log).create()
    return replace(honest, data=honest.data[:-1] + bytes([honest.data[-1] ^ 1]))


@pytest.mark.parametrize(
    ("rule", "misbehave"),
    [
        ("R-40.4", lambda log: log.batch(forged(log))),
        ("R-42.1", lambda log: (log.append(cbor2.dumps([2, log.time, bytes(32)])), log.close())),
        ("R-42.1", lambda log: (log.append(b""), log.close())),
        ("R-10.4", lambda log: (log.append(cbor2.dumps([0, log.time])), log.close())),
        ("R-42.2", lambda log: log.admit(User(log).create())),
        ("R-42.3", lambda log: log.batch(after=-1)),
        (
            "R-43.2",
            lambda log: log.batch(User(log, b"n" * 32).create(kind=5, seq=1, prev=b"p" * 32)),
        ),
        ("R-44.2", lambda log: log.batch(User(log).create(anchor=[30, bytes(32)]))),
    ],
)
def test_misbehaviour_of_each_kind(
    rule: str, misbehave: Callable[[BuiltLog], object], place: Place
) -> None:
    place.verified()
    misbehave(place.log)
    place.publish()
    assert kind_of(place.audit()) == ("rule-broken", rule, True)


def test_a_violation_far_behind_the_start(tmp_path: Path, long_log: BuiltLog) -> None:
    log = copy.deepcopy(long_log)
    entries = log.entries
    entries[700] = entries[700][:-1] + bytes([entries[700][-1] ^ 1])
    log.leaves[700] = sha256(b"\x00" + entries[700]).digest()
    place = Place(log, tmp_path / "files", tmp_path / "state")
    place.publish()
    outcome = place.audit()
    assert kind_of(outcome) == ("rule-broken", "R-40.4", True)
    assert "entry 700" in str(outcome.reason)


@pytest.mark.parametrize("resumed", [True, False])
def test_evidence_out_of_many_tiles(resumed: bool, tmp_path: Path, long_log: BuiltLog) -> None:
    """The chains that it takes are read again from the first tile on."""
    log = copy.deepcopy(long_log)
    place = Place(log, tmp_path / "files", tmp_path / "state")
    if resumed:
        place.publish()
        place.verified()
    log.batch(*(User(log).create() for _ in range(300)))
    stranger = User(log, max(log.chains, key=lambda label: log.chains[label].length))
    stranger.devices = [stranger.device()]
    log.batch(User(log).create(), stranger.add())
    log.batch(*(User(log).create() for _ in range(300)))
    place.publish()
    outcome = place.audit()
    assert kind_of(outcome) == ("rule-broken", "R-53.3", True)
    assert outcome.evidence is not None
    assert outcome.evidence.name.startswith("rule-")


def test_who_goes_silent_has_been_caught_all_the_same(place: Place) -> None:
    """Nothing can be shown to others then: what was seen is kept."""

    class Silent(Served):
        def bundle(self, number: int, width: int, *, fresh: bool = False) -> Bundle:
            raise Undecided("gone")

    with open_source(str(place.files)) as source:
        accuser = Accuser(Silent(source), place.log.log_id, Directory({}))
        notes = place.log.checkpoint(26), place.log.checkpoint()
        assert accuser.of_fork(Contradiction(*notes, bytes(32), [])) is None
        tree = SignedTree(notes[1], Checkpoint("log", 30, bytes(32)), [bytes(32)])
        replay = Replay(place.log.log_id, {}, {}, Directory({}))
        assert accuser.of_leaf(tree, replay, 3) is None
        assert accuser.of_statement(tree, replay, bytes(32), 3, lambda _: b"") is None
        assert accuser.of_time(tree, notes[1], tree.checkpoint, None) is None


def test_a_time_ahead_of_a_quorum(place: Place) -> None:
    """R-62.9, R-80.9: the file is proven to whoever trusts these witnesses too."""
    one, two = (Cosigner(f"{name}.example", SigningKey(name.encode() * 32)) for name in "AB")
    lines = f"witness A {one.public.vkey}\nwitness B {two.public.vkey}\ngroup Q all A B\nquorum Q\n"
    witnesses = parse_policy(lines.encode())
    early = (place.log.time - 300_000) // 1_000 - 1
    place.publish()
    note = place.log.checkpoint()
    text = note.decode().partition("\n\n")[0] + "\n"
    cosigned = note + b"".join(who.cosign(text, early).line.encode() for who in (one, two))
    place.change("checkpoint", lambda _: cosigned)
    outcome = place.audit(witnesses=witnesses)
    assert outcome.misbehaviour is not None
    assert (outcome.misbehaviour.kind, outcome.misbehaviour.rule) == ("time-ahead", "R-62.9")
    assert outcome.evidence is not None
    data = outcome.evidence.read_bytes()
    verdict = judge(data, place.log.log_id, witnesses)
    assert (verdict.outcome, verdict.kind, verdict.rule) == (PROVEN, "time", "R-62.9")
    assert judge(data).outcome == UNKNOWN


def test_a_tree_of_one_entry(place: Place) -> None:
    """Its checkpoint shows nothing to others (R-80.2): what was seen is kept."""
    place.publish(1)
    outcome = place.audit()
    assert outcome.misbehaviour is not None
    assert (outcome.misbehaviour.kind, outcome.misbehaviour.rule) == ("rule-broken", "R-42.2")
    assert exhibit(outcome, "checkpoint") == place.log.checkpoint(1)
    report = json.loads(exhibit(outcome, "observations.json"))
    assert report["convinces"] == "who has the log"


@pytest.mark.parametrize("size", [30, 34, 38])
def test_a_fork(size: int, place: Place) -> None:
    """Two histories from entry 26 on, of the same keys: the second is not believed."""
    place.publish(26)
    place.verified()
    other = copy.deepcopy(place.log)
    del other.entries[26:], other.leaves[26:]
    other.keys.count += 1_000
    grow(other, 3)
    place.publish()
    place.verified()
    forked = replace(place, log=other)
    forked.publish(size)
    outcome = forked.audit(now=10**13)
    assert kind_of(outcome) == ("fork", "R-61.2", True)
    assert outcome.evidence is not None
    notes = cbor2.loads(outcome.evidence.read_bytes())[3][:2]
    assert set(notes) == {place.log.checkpoint(), other.checkpoint(size)}


def test_a_fork_that_rewrites_full_tiles(tmp_path: Path, long_log: BuiltLog) -> None:
    place = Place(long_log, tmp_path / "files", tmp_path / "state")
    size = list(long_log.bounds)[9]
    place.publish(size)
    place.verified()
    other = copy.deepcopy(long_log)
    other.entries[3] = cbor2.dumps([0, 0, b"another history"])
    other.leaves[3] = sha256(b"\x00" + other.entries[3]).digest()
    replace(place, log=other).publish()
    assert kind_of(place.audit()) == ("fork", "R-61.2", True)


def test_a_shorter_tree_of_another_history_is_a_fork(place: Place) -> None:
    place.verified()
    other = copy.deepcopy(place.log)
    other.leaves[20] = bytes(32)
    checkpoint = other.checkpoint(26)
    (place.files / "checkpoint").write_bytes(checkpoint)
    assert kind_of(place.audit()) == ("fork", "R-61.2", True)


def test_a_rollback_is_reported_and_convinces_nobody_else(place: Place) -> None:
    place.verified()
    place.publish(26)
    outcome = place.audit()
    assert kind_of(outcome) == ("rollback", "R-61.2", False)
    place.publish()
    place.verified()  # a cache could have been the cause


def test_a_checkpoint_from_a_cache_is_asked_for_again(place: Place) -> None:
    place.verified()
    old = place.log.checkpoint(26)

    def answer(one) -> None:  # type: ignore[no-untyped-def]
        file = place.files / one.path.lstrip("/")
        is_cached = one.path == "/checkpoint" and one.headers["Cache-Control"] != "no-cache"
        send(one, old if is_cached else file.read_bytes())

    with serving(answer) as (url, _):
        assert place.audit(url=url).code == VERIFIED


def test_a_conflict_with_an_accepted_checkpoint_that_was_not_replayed_to_its_end(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(module.Audit, "_replay_all", interrupt)
        undecided(place.audit(), "interrupted")
    other = copy.deepcopy(place.log)
    del other.entries[-8:], other.leaves[-8:]
    other.keys.count += 1_000
    grow(other, 3)
    replace(place, log=other).publish()
    assert kind_of(place.audit()) == ("fork", "R-61.2", True)


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


# What is served and was not signed.


def test_an_entry_altered_in_the_database(tmp_path: Path, long_log: BuiltLog) -> None:
    place = Place(long_log, tmp_path / "files", tmp_path / "state")
    place.publish()
    place.change(path_of("entries", 2, 256), flip(5_000))
    outcome = place.audit()
    assert kind_of(outcome) == ("served-data-contradicts-checkpoint", "R-20.1", False)
    index = 512 + position(long_log, 512, 5_000)
    assert f"entry {index} is not the one that was signed" in str(outcome.reason)
    assert exhibit(outcome, "tile-entries-002") == (place.files / "tile/entries/002").read_bytes()
    place.publish()
    place.verified()


def position(log: BuiltLog, start: int, offset: int) -> int:
    """Which entry of a bundle holds the byte at this offset."""
    for number, entry in enumerate(log.entries[start:]):
        offset -= 2 + len(entry)
        if offset < 0:
            return number
    raise AssertionError("beyond the log")


@pytest.mark.parametrize("level", [0, 1])
def test_a_hash_tile_that_does_not_rebuild_the_root(
    level: int, tmp_path: Path, long_log: BuiltLog
) -> None:
    place = Place(long_log, tmp_path / "files", tmp_path / "state")
    place.publish()
    full, rest = divmod(len(long_log.entries), 256)
    path = path_of(0, full, rest) if level == 0 else path_of(1, 0, full)
    place.change(path, flip(40))
    kind = ("served-data-contradicts-checkpoint", "R-20.1", False)
    assert kind_of(place.audit()) == kind
    place.publish()
    place.verified()
    place.change(path, flip(40))
    if level == 0:
        assert kind_of(place.audit()) == kind
    else:
        place.verified()  # it has the roots of full tiles of its own


def test_a_bundle_garbled_once_is_asked_for_again(place: Place) -> None:
    garbled = iter([True])

    def answer(one) -> None:  # type: ignore[no-untyped-def]
        data = (place.files / one.path.lstrip("/")).read_bytes()
        is_second = "entries" in one.path and one.headers["Cache-Control"] != "no-cache"
        if is_second and place.asked > 1 and next(garbled, False):  # type: ignore[attr-defined]
            data = flip(900)(data)
        place.asked = getattr(place, "asked", 0) + is_second  # type: ignore[attr-defined]
        send(one, data)

    place.asked = 1  # type: ignore[attr-defined]  # the first is read for the log's key
    with serving(answer) as (url, asked):
        assert place.audit(url=url).code == VERIFIED
        assert sum("entries" in path for path in asked) == 3


# What decides nothing.


@pytest.mark.parametrize(
    ("path", "edit", "why"),
    [
        ("checkpoint", lambda data: b"", "cannot be read"),
        ("checkpoint", lambda data: data + b"x", "cannot be read"),
        ("checkpoint", flip(-20), "not one of this log's"),
        ("tile/entries/000.p/30", lambda data: data[:-1], "cut short"),
        ("tile/entries/000.p/30", lambda data: data + b"\x00\x01x", "31 entries, not 30"),
        ("tile/0/000.p/30", lambda data: data[:-1], "959 bytes, not 960"),
    ],
)
def test_garbled_answers(path: str, edit: Callable[[bytes], bytes], why: str, place: Place) -> None:
    place.change(path, edit)
    undecided(place.audit(), why)
    place.publish()
    place.verified()
    grow(place.log, 1)
    place.publish()
    grown = path.replace("30", "34")
    place.change(grown, edit)
    assert place.audit().code == UNDECIDED


@pytest.mark.parametrize("path", ["checkpoint", "tile/entries/000.p/30", "tile/0/000.p/30"])
def test_missing_files(path: str, place: Place) -> None:
    (place.files / path).unlink()
    assert place.audit().code == UNDECIDED


def test_a_checkpoint_by_another_key(place: Place) -> None:
    text = place.log.checkpoint().decode().split("\n\n")[0] + "\n"
    note = signed_note(text, place.log.origin, SigningKey(b"o" * 32))
    (place.files / "checkpoint").write_bytes(note)
    undecided(place.audit(), "R-60.4")


def test_misbehaviour_is_reported_even_if_its_evidence_cannot_be_kept(place: Place) -> None:
    place.log.batch(root=sha256(b"a lie").digest())
    place.publish()
    place.state.mkdir()
    (place.state / "evidence").write_bytes(b"no directory")
    outcome = place.audit()
    assert outcome.code == MISBEHAVIOUR
    assert outcome.misbehaviour is not None
    assert outcome.misbehaviour.rule == "R-42.5"
    assert "could not be saved" in str(outcome.reason)
    assert outcome.evidence is None


def test_an_altered_entry_is_reported_even_if_its_hash_tile_is_withheld(
    tmp_path: Path, long_log: BuiltLog
) -> None:
    place = Place(long_log, tmp_path / "files", tmp_path / "state")
    place.publish()
    place.change(path_of("entries", 2, 256), flip(5_000))
    (place.files / path_of(0, 2, 256)).unlink()
    assert kind_of(place.audit())[0] == "served-data-contradicts-checkpoint"
    assert "entry bundle 2" in str(place.audit().reason)


def test_nobody_there(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("verifier.fetch.PAUSE", 0.001)
    undecided(place.audit(url="http://127.0.0.1:9/"), "could not be fetched")
    undecided(place.audit(url=str(place.files / "none")), "nor a directory")


def test_an_empty_tree(place: Place) -> None:
    (place.files / "checkpoint").write_bytes(place.log.checkpoint(0))
    undecided(place.audit(), "another log")
    place.publish()
    place.verified()
    (place.files / "checkpoint").write_bytes(place.log.checkpoint(0))
    assert kind_of(place.audit()) == ("rollback", "R-61.2", False)


def test_another_log(place: Place, tmp_path: Path) -> None:
    undecided(place.audit(log_id=b"another".ljust(32)), "another log")
    other = BuiltLog("other")
    other.write(tmp_path / "other")
    undecided(place.audit(url=str(tmp_path / "other")), "another log")
    place.verified()
    undecided(place.audit(url=str(tmp_path / "other")), "not one of this log's")
    undecided(place.audit(log_id=other.log_id), "state directory is that of another log")


def test_a_stale_checkpoint(place: Place) -> None:
    limit = place.log.demands[2]
    for late, code in ((limit, VERIFIED), (limit + 1, UNDECIDED), (-300_001, UNDECIDED)):
        assert place.audit(now=place.log.time + late).code == code
    assert place.audit(now=place.log.time - 300_000).code == VERIFIED
    outcome = place.audit(now=place.log.time + limit + 1)
    assert "stale" in str(outcome.reason)
    assert outcome.report is not None  # all the rest was verified, and says so


def test_a_stricter_age_of_ones_own(place: Place) -> None:
    job = Job(str(place.files), place.log.log_id, place.state, 1, crosscheck=True)
    assert job.run(place.log.time + 5_000, 5_000, silent).code == VERIFIED
    assert job.run(place.log.time + 5_001, 5_000, silent).code == UNDECIDED


def test_without_merkletools_the_report_says_so(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crosscheck, "AVAILABLE", False)
    outcome = place.audit()
    assert outcome.code == VERIFIED
    assert outcome.report is not None
    assert not outcome.report.crosschecked
    assert outcome.fields()["crosscheck"] is None


def test_an_implementation_that_differs_decides_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not crosscheck.AVAILABLE:
        pytest.skip("the extra crosscheck is not installed")
    monkeypatch.setattr(crosscheck, "_node", sha256)
    undecided(place.audit(), "merkletools")


def test_damage_to_the_state_is_no_accusation(tmp_path: Path, long_log: BuiltLog) -> None:
    place = Place(long_log, tmp_path / "files", tmp_path / "state")
    bounds = list(long_log.bounds)
    place.publish(bounds[9])
    place.verified()
    place.publish()
    file = place.state / "audit.sqlite"
    whole = file.read_bytes()
    for at in range(4_096, len(whole), len(whole) // 10):
        file.write_bytes(flip(at)(whole))
        assert place.audit().code in (VERIFIED, UNDECIDED)
        for extra in ("-wal", "-shm"):
            file.with_name(file.name + extra).unlink(missing_ok=True)


def test_reports_are_shown(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    show(place.audit())
    assert "verified" in capsys.readouterr().out
    place.log.batch(root=sha256(b"a lie").digest())
    place.publish()
    outcome = place.audit()
    show(outcome)
    shown = capsys.readouterr().out
    for word in ("misbehaviour", "R-42.5", "whoever replays", "evidence"):
        assert word in shown
    assert json.loads(json.dumps(outcome.fields()))["rule"] == "R-42.5"
