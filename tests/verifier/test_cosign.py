"""Auditors that cosign: what they sign, what they never sign, and where it goes (R-63.1)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from nacl.signing import SigningKey

from tests.verifier.builder import BuiltLog, User, signed_note
from tests.verifier.test_fetch import send, serving
from verifier import fetch
from verifier.cosign import BACKWARDS
from verifier.errors import Undecided
from verifier.job import Job
from verifier.keyfile import Cosigner
from verifier.note import NoteKey, Signer, open_note
from verifier.policy import Policy, parse_policy
from verifier.report import MISBEHAVIOUR, UNDECIDED, VERIFIED, Outcome
from verifier.state import State

AUDITOR = Cosigner("auditor.example/1", SigningKey(b"a" * 32))
WITNESS = Cosigner("witness.example/1", SigningKey(b"w" * 32))
TAKEN, MOVED, FORBIDDEN = 204, 409, 403


def grown(batches: int, seed: str = "log", demands: list[int] | None = None) -> BuiltLog:
    log = BuiltLog(seed, demands=demands or [0, 0, 604_800_000])
    for _ in range(batches):
        log.batch(User(log).create())
    return log


@dataclass
class Place:
    """A log's files, a server that asks for cosignatures, and the auditor's state."""

    log: BuiltLog
    root: Path
    candidate: bytes | None = None
    answer: int = TAKEN
    posted: list[bytes] = field(default_factory=list)
    witnesses: Policy | None = None

    @property
    def key(self) -> NoteKey:
        return NoteKey(self.log.origin, bytes(self.log.log_key.verify_key))

    def publish(self) -> None:
        """As a log does, which keeps the tiles of every size that it published (R-20.7)."""
        for size in self.log.bounds:
            self.log.write(self.root / "files", size)

    def audit(self, url: str = "", now: int | None = None, **changes: object) -> Outcome:
        job = Job(
            url or str(self.root / "files"),
            self.log.log_id,
            self.root / "state",
            1,
            crosscheck=False,
            witnesses=self.witnesses,
            cosigner=AUDITOR,
        )
        job = replace(job, **changes)  # type: ignore[arg-type]
        return job.run(self.log.time if now is None else now, None, lambda done, total: None)

    def cosigned(self, note: bytes) -> tuple[int, int]:
        """The size and time of a note that the log and the auditor signed."""
        text, signers = open_note(note, [self.key, AUDITOR.public])
        assert [signer.key for signer in signers] == [self.key, AUDITOR.public]
        assert signers[1].time
        return int(text.split("\n")[1]), signers[1].time

    def serve(self, one: BaseHTTPRequestHandler) -> None:
        if one.command == "POST":
            assert one.path == "/v1/cosignatures"
            assert one.headers["Content-Type"] == "text/plain; charset=utf-8"
            self.posted.append(one.rfile.read(int(one.headers["Content-Length"])))
            send(one, b"", self.answer)
        elif one.path == "/v1/candidate":
            send(one, self.candidate or b"", 200 if self.candidate else 404)
        else:
            file = self.root / "files" / one.path[1:]
            send(one, file.read_bytes() if file.is_file() else b"", 200 if file.is_file() else 404)

    @contextmanager
    def serving(self) -> Iterator[str]:
        with serving(self.serve) as (url, _):
            yield url


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A log of eight batches, published."""
    found = Place(grown(7), tmp_path)
    found.publish()
    return found


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "PAUSE", 0.005)


def test_of_a_directory_it_cosigns_the_newest_into_a_file(place: Place) -> None:
    outcome = place.audit()
    assert (outcome.code, outcome.reason) == (VERIFIED, None)
    file = place.root / "state" / "cosigned.note"
    assert outcome.cosigned == (16, place.log.time // 1000, str(file))
    assert place.cosigned(file.read_bytes()) == (16, place.log.time // 1000)
    place.log.batch(User(place.log).create())
    place.publish()
    assert place.audit().code == VERIFIED
    assert place.cosigned(file.read_bytes()) == (18, place.log.time // 1000)


def test_a_log_without_candidate_gets_none(place: Place) -> None:
    with place.serving() as url:
        outcome = place.audit(url)
    assert outcome.code == VERIFIED
    assert place.posted == []
    assert place.cosigned((place.root / "state" / "cosigned.note").read_bytes())[0] == 16


def test_it_cosigns_the_candidate_and_hands_it_in(place: Place) -> None:
    place.candidate = place.log.checkpoint(12)
    with place.serving() as url:
        outcome = place.audit(url)
        assert (outcome.code, outcome.report and outcome.report.size) == (VERIFIED, 12)
        assert outcome.cosigned == (12, place.log.time // 1000, "/v1/cosignatures")
        place.candidate = place.log.checkpoint(16)
        assert place.audit(url, now=place.log.time + 5_000).code == VERIFIED
    assert [place.cosigned(note)[0] for note in place.posted] == [12, 16]
    assert not (place.root / "state" / "cosigned.note").exists()


def test_it_signs_a_candidate_again_and_never_backwards_in_time(place: Place) -> None:
    """The log may have lost the first: the same tree, at a time that does not go back."""
    place.candidate = place.log.checkpoint(12)
    now = place.log.time
    with place.serving() as url:
        for later in (0, 7_000, 3_000, 7_000 - BACKWARDS * 1_000):
            assert place.audit(url, now=now + later).code == VERIFIED
        outcome = place.audit(url, now=now + 6_000 - BACKWARDS * 1_000)
    times = [place.cosigned(note)[1] - now // 1000 for note in place.posted]
    assert times == [0, 7, 7, 7]
    assert outcome.code == UNDECIDED
    assert "clock" in str(outcome.reason)


def test_a_candidate_older_than_what_was_audited(place: Place) -> None:
    """It is cosigned if it is of the same tree, for every entry under it was replayed."""
    assert place.audit(cosigner=None).code == VERIFIED
    place.candidate = place.log.checkpoint(12)
    with place.serving() as url:
        outcome = place.audit(url)
    assert outcome.cosigned == (12, place.log.time // 1000, "/v1/cosignatures")
    assert outcome.report
    assert (outcome.report.size, outcome.report.root) == (12, place.log.bounds[12][1])


def test_never_a_smaller_size_than_before(place: Place) -> None:
    place.candidate = place.log.checkpoint(14)
    with place.serving() as url:
        assert place.audit(url).cosigned
        place.candidate = place.log.checkpoint(12)
        outcome = place.audit(url)
        assert (outcome.code, outcome.cosigned) == (VERIFIED, None)
        place.candidate = place.log.checkpoint(14)
        assert place.audit(url).cosigned
    assert [place.cosigned(note)[0] for note in place.posted] == [14, 14]


@pytest.mark.parametrize("size", [12, 14, 16])
def test_never_two_roots_of_one_size(size: int, place: Place) -> None:
    """A fork at the size cosigned, below it and above it: misbehaviour, and nothing signed."""
    place.candidate = place.log.checkpoint(14)
    other = grown(7, "other")
    with place.serving() as url:
        assert place.audit(url).cosigned
        text = other.checkpoint(size).decode().split("\n\n")[0] + "\n"
        place.candidate = signed_note(text, place.log.origin, place.log.log_key)
        outcome = place.audit(url)
    assert (outcome.code, outcome.cosigned) == (MISBEHAVIOUR, None)
    assert len(place.posted) == 1


def test_nothing_is_signed_that_breaks_a_rule(place: Place) -> None:
    place.log.batch(User(place.log).create(), root=b"a lie".ljust(32))
    place.publish()
    for candidate in (None, place.log.checkpoint()):
        place.candidate = candidate
        with place.serving() as url:
            outcome = place.audit(url)
        assert (outcome.code, outcome.cosigned) == (MISBEHAVIOUR, None)
    assert place.posted == []
    assert not (place.root / "state" / "cosigned.note").exists()


def test_nothing_is_signed_that_is_stale(place: Place) -> None:
    outcome = place.audit(now=place.log.time + 604_800_001)
    assert (outcome.code, outcome.cosigned) == (UNDECIDED, None)
    assert "R-61.3" in str(outcome.reason)


def test_nothing_is_signed_without_the_quorum(tmp_path: Path) -> None:
    """R-62.8: the candidate's own cosignatures count, and the log's demand (R-62.6)."""
    place = Place(grown(7, demands=[1, 0, 604_800_000]), tmp_path)
    place.publish()
    plain = place.log.checkpoint(12)
    text = plain.decode().split("\n\n")[0] + "\n"
    cosigned = plain + WITNESS.cosign(text, place.log.time // 1000).line.encode()
    policy = parse_policy(f"witness W {WITNESS.public.vkey}\nquorum W\n".encode())
    for candidate, witnesses, rule in (
        (plain, policy, "R-62.8"),
        (cosigned, None, "R-62.6"),
        (cosigned, policy, None),
    ):
        place.candidate, place.witnesses = candidate, witnesses
        with place.serving() as url:
            outcome = place.audit(url)
        assert (outcome.code == VERIFIED) == (rule is None), outcome.reason
        assert (outcome.cosigned is not None) == (rule is None)
        assert rule is None or rule in str(outcome.reason)
        if outcome.cosigned:
            assert outcome.report
            assert outcome.report.quorum_time == place.log.time // 1000
    assert len(place.posted) == 1


@pytest.mark.parametrize(
    ("answer", "hint"), [(MOVED, "another checkpoint"), (FORBIDDEN, AUDITOR.public.vkey)]
)
def test_a_log_that_does_not_take_it(answer: int, hint: str, place: Place) -> None:
    place.candidate, place.answer = place.log.checkpoint(12), answer
    with place.serving() as url:
        outcome = place.audit(url)
        assert (outcome.code, outcome.cosigned) == (UNDECIDED, None)
        assert hint in str(outcome.reason)
        place.answer = TAKEN
        assert place.audit(url).code == VERIFIED


def test_what_is_signed_is_durable_before(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """R-63.1: the record is written, and read by another, before there is a signature."""
    events: list[str] = []

    def kept(state: State, record: bytes, plain: object = State.cosign) -> None:
        assert callable(plain)
        plain(state, record)
        events.append(f"kept {int.from_bytes(record[:8], 'big')}")

    def signed(self: Cosigner, text: str, at: int, plain: object = Cosigner.cosign) -> object:
        assert callable(plain)
        events.append(f"signed {text.split()[1]}")
        return plain(self, text, at)

    monkeypatch.setattr(State, "cosign", kept)
    monkeypatch.setattr(Cosigner, "cosign", signed)
    place.audit()
    assert events == ["kept 16", "signed 16"]


def test_nothing_is_signed_that_could_not_be_kept(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(state: State, record: bytes) -> None:
        raise Undecided("the local state cannot be used: disk full")

    with monkeypatch.context() as patch:
        patch.setattr(State, "cosign", fail)
        outcome = place.audit()
    assert (outcome.code, outcome.cosigned) == (UNDECIDED, None)
    assert not (place.root / "state" / "cosigned.note").exists()
    assert place.audit().cosigned


def test_a_candidate_that_is_none(place: Place) -> None:
    """Bytes of others decide nothing, and are no rollback either."""
    for candidate in (b"nonsense", signed_note("x\n2\n\n", "x", SigningKey(b"x" * 32))):
        place.candidate = candidate
        with place.serving() as url:
            outcome = place.audit(url)
        assert (outcome.code, outcome.cosigned) == (UNDECIDED, None)


def test_its_key_is_its_own(place: Place) -> None:
    """R-63.1, R-62.5: neither the log's nor a witness's."""
    itself = Cosigner("auditor.example/1", place.log.log_key)
    outcome = place.audit(cosigner=itself)
    assert (outcome.code, "R-63.1" in str(outcome.reason)) == (UNDECIDED, True)
    place.witnesses = parse_policy(f"witness W {AUDITOR.public.vkey}\nquorum none\n".encode())
    outcome = place.audit()
    assert (outcome.code, "R-62.5" in str(outcome.reason)) == (UNDECIDED, True)


def test_rounds_go_on_from_memory(place: Place) -> None:
    """Rounds with new entries, an undecided one among them, and misbehaviour at the end."""
    job = Job(
        str(place.root / "files"),
        place.log.log_id,
        place.root / "state",
        1,
        False,
        cosigner=AUDITOR,
    )
    rounds = job.rounds(lambda: place.log.time, None, lambda done, total: None)
    seen = []
    for number in range(6):
        outcome = next(rounds)
        seen.append((outcome.code, outcome.report and outcome.report.resumed_from))
        if number < 3:
            place.log.batch(*(User(place.log).create() for _ in range(200)))
            place.publish()
        if number == 3:
            (place.root / "files" / "checkpoint").rename(place.root / "files" / "away")
        if number == 4:
            (place.root / "files" / "away").rename(place.root / "files" / "checkpoint")
    assert seen == [(0, 0), (0, 16), (0, 217), (0, 418), (2, None), (0, 619)]
    place.log.batch(User(place.log).create(), root=b"a lie".ljust(32))
    place.publish()
    assert next(rounds).code == MISBEHAVIOUR
    assert list(rounds) == []
    (outcome,) = job.rounds(time.time_ns, None, lambda done, total: None)
    assert outcome.code == MISBEHAVIOUR


def test_signers(place: Place) -> None:
    """Of the candidate's other signatures none is handed on: the log has them."""
    text = place.log.checkpoint(12).decode().split("\n\n")[0] + "\n"
    place.candidate = place.log.checkpoint(12) + WITNESS.cosign(text, 5).line.encode()
    with place.serving() as url:
        assert place.audit(url).code == VERIFIED
    (note,) = place.posted
    found = open_note(note, [place.key, WITNESS.public, AUDITOR.public])[1]
    assert found == [Signer(place.key, None), Signer(AUDITOR.public, place.log.time // 1000)]
