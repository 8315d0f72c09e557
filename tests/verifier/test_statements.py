"""A mandated auditor: statements over HTTP, from the real server and from ones that misbehave."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import cbor2
import pytest
from click.testing import CliRunner
from nacl.signing import SigningKey

from ledger import keyfile
from ledger.errors import RuleViolation
from ledger.format.statement import Role
from ledger.log.clock import wall_ms
from ledger.log.commit import sign_head
from ledger.log.planner import plan
from ledger.rules.membership import Kind
from ledger.server.config import StatementsConfig
from ledger.server.home import Home
from ledger.store.port import PrivateItem
from tests.http.world import CONFIG, Http, served
from tests.support.actors import LogActor, Written
from tests.support.actors import User as RealUser
from tests.support.groups import Group as RealGroup
from tests.verifier.builder import BuiltLog, User, protected, public
from tests.verifier.group_builder import ADMIN, MEMBER, Group
from tests.verifier.test_audit import kind_of, silent, undecided
from tests.verifier.test_fetch import send, serving
from verifier import audit as module
from verifier.commands import commands
from verifier.errors import Undecided
from verifier.evidence import PROVEN, judge
from verifier.job import Job
from verifier.report import UNDECIDED, VERIFIED, Outcome, show
from verifier.state import State
from verifier.statements import read_seed

AUDITOR = SigningKey(b"auditor".ljust(32))
OTHER = SigningKey(b"another".ljust(32))


def key_file(folder: Path, key: SigningKey = AUDITOR) -> Path:
    """As the ledger writes one."""
    path = folder / f"{public(key).hex()[:8]}.key"
    if not path.exists():
        keyfile.create(path, bytes(key))
    return path


# A log built by hand, and a server that is told how to misbehave.


@dataclass
class Place:
    """Alice's team: `first` is the size before it, each later batch holds a block of it."""

    folder: Path
    log: BuiltLog = field(default_factory=lambda: BuiltLog("statements"))
    withheld: set[int] = field(default_factory=set)
    wrong: dict[int, bytes] = field(default_factory=dict)
    answers: int = 256  # leaves in one answer
    reply: Callable[[bytes], bytes] = staticmethod(lambda body: body)  # noqa: RUF009
    asked: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.alice, self.bob = User(self.log), User(self.log)
        self.log.batch(self.alice.create(), self.bob.create())
        self.team = Group(self.log)
        self.log.batch(self.team.create(self.alice, {self.bob.label: [0, MEMBER]}))
        self.created = len(self.log.entries) - 2

    def rotate(self, times: int = 1) -> None:
        for _ in range(times):
            self.log.batch(self.team.update(self.alice, rotates=True))

    def audit(
        self, key: Path | None = None, *, state: str = "state", processes: int = 1
    ) -> Outcome:
        files = self.folder / "files"
        shutil.rmtree(files, ignore_errors=True)
        self.log.write(files)

        def answer(one: BaseHTTPRequestHandler) -> None:
            if one.command == "POST":
                self.give(one)
                return
            file = files / one.path.lstrip("/")
            send(one, file.read_bytes()) if file.is_file() else send(one, b"", 404)

        with serving(answer) as (url, _):
            place = self.folder / state
            job = Job(url, self.log.log_id, place, processes, crosscheck=False, key_file=key)
            return job.run(self.log.time, None, silent)

    def give(self, one: BaseHTTPRequestHandler) -> None:
        """R-72.1, R-72.5, spelt by cbor2 and PyNaCl."""
        request, login = cbor2.loads(one.rfile.read(int(one.headers["Content-Length"])))
        start = self.admitted(request, login, one)
        if start is None:
            send(one, b"{}", 403)
            return
        self.asked.append(start)
        end = min(start + self.answers, len(self.log.entries))
        statements = self.log.statements | self.wrong
        given = [
            [index, statements[index]]
            for index in range(start, end)
            if index in statements and index not in self.withheld
        ]
        send(one, self.reply(cbor2.dumps([end, given])))

    def admitted(self, request: bytes, login: bytes, one: BaseHTTPRequestHandler) -> int | None:
        assert (one.path, one.headers["Content-Type"]) == ("/v1/audit", "application/cbor")
        _, _, payload, ((head, _, signature),) = cbor2.loads(login).value
        now, path, digest = cbor2.loads(payload)
        assert (path, digest) == ("/v1/audit", sha256(request).digest())
        assert abs(now - time.time() * 1_000) < 300_000
        if head != protected(public(AUDITOR)):
            return None
        aad = b"keyroll/v1/login" + self.log.log_id
        message = cbor2.dumps(["Signature", b"", head, aad, payload])
        AUDITOR.verify_key.verify(message, signature)
        (start,) = cbor2.loads(request)
        return int(start)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return key_file(tmp_path)


def verified(outcome: Outcome) -> Any:
    assert (outcome.code, outcome.reason) == (VERIFIED, None)
    assert outcome.report is not None
    return outcome.report


def test_statements_are_counted_and_their_signatures_too(place: Place, key: Path) -> None:
    place.rotate(2)
    plain = verified(place.audit(state="plain"))
    assert (plain.statements, place.asked) == (None, [])
    full = verified(place.audit(key))
    assert (full.statements, place.asked) == (3, [0])
    assert full.signatures == plain.signatures + 3
    assert full.blocks == plain.blocks == {0: 1, 2: 2, 7: 1, 8: 2}
    again = verified(place.audit(key))
    assert (again.statements, again.resumed_from) == (0, len(place.log.entries))


def test_memberships_are_there_at_the_next_audit(place: Place, key: Path) -> None:
    verified(place.audit(key))
    place.log.batch(place.team.update(place.alice, {place.bob.label: [0, ADMIN]}))
    verified(place.audit(key))
    place.log.batch(place.team.update(place.bob, removed=[place.alice.label], rotates=True))
    assert verified(place.audit(key)).statements == 1
    place.log.batch(place.team.update(place.alice, rotates=True))
    assert kind_of(place.audit(key)) == ("rule-broken", "R-56.5", True)


@pytest.mark.parametrize("answers", [1, 7, 256])
def test_many_tiles_resumed_in_the_middle(
    answers: int, place: Place, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "COMMIT_EVERY", 100)
    place.answers = answers
    groups = [Group(place.log) for _ in range(280)]
    place.log.batch(*(group.create(place.alice) for group in groups))
    for start in range(0, 280, 70):
        part = groups[start : start + 70]
        place.log.batch(*(group.update(place.alice, rotates=True) for group in part))
    commit = State.commit

    def stop(state: State, size: int, when: int, leaves: bytes) -> None:
        commit(state, size, when, leaves)
        if size > 400:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(State, "commit", stop)
        undecided(place.audit(key, processes=2), "interrupted")
    report = verified(place.audit(key, processes=2))
    assert 400 < report.resumed_from < report.size == len(place.log.entries) > 512
    assert 0 < report.statements < 280
    assert report.statements == report.blocks[8]


def test_a_withheld_statement_decides_nothing(place: Place, key: Path) -> None:
    place.rotate()
    place.withheld = {place.created + 2}
    undecided(place.audit(key), f"the statement of leaf {place.created + 2} is withheld")
    place.withheld = set()
    assert verified(place.audit(key)).statements == 2


def test_a_withheld_statement_hides_no_misbehaviour_before_it(place: Place, key: Path) -> None:
    place.log.batch(place.team.update(place.bob, rotates=True))
    place.rotate()
    place.withheld = {len(place.log.entries) - 2}
    assert kind_of(place.audit(key)) == ("rule-broken", "R-56.5", True)


def test_an_ordinary_member_and_the_server_together(place: Place, key: Path) -> None:
    """The group's own signature holds: only who reads statements sees that bob is no admin."""
    place.log.batch(place.team.update(place.bob, {b"m" * 32: [0, MEMBER]}))
    index = len(place.log.entries) - 2
    verified(place.audit(state="plain"))
    outcome = place.audit(key)
    assert kind_of(outcome) == ("rule-broken", "R-56.5", True)
    assert f"entry {index}" in str(outcome.reason)
    assert outcome.evidence is not None
    verdict = judge(outcome.evidence.read_bytes(), place.log.log_id)
    assert (verdict.outcome, verdict.kind, verdict.rule) == (PROVEN, "statement", "R-56.5")
    *_, told = cbor2.loads(outcome.evidence.read_bytes())[3]
    assert told == [place.log.statements[leaf] for leaf in (place.created, index)]


def test_a_forged_signature_of_a_statement(place: Place, key: Path) -> None:
    place.log.batch(place.team.update(place.alice, rotates=True, context=b"keyroll/v1/block"))
    assert kind_of(place.audit(key)) == ("rule-broken", "R-56.4", True)


def test_a_statement_of_no_form_that_a_block_commits_to(place: Place, key: Path) -> None:
    place.log.batch(place.team.update(place.alice, rotates=True, statement=b"nothing"))
    assert kind_of(place.audit(key)) == ("rule-broken", "R-40.1", True)


def test_what_no_block_commits_to_proves_nothing_to_others(place: Place, key: Path) -> None:
    place.rotate()
    for wrong in (b"", b"nothing", place.log.statements[place.created]):
        place.wrong = {place.created + 2: wrong}
        kind = ("served-data-contradicts-checkpoint", "R-56.2", False)
        assert kind_of(place.audit(key)) == kind
    place.wrong = {0: b"of no group", place.created + 1: b"of no block"}
    verified(place.audit(key))


def test_a_state_goes_on_as_it_was_begun(place: Place, key: Path) -> None:
    verified(place.audit())
    place.rotate()
    undecided(place.audit(key), "begun without statements and cannot go on with statements")
    verified(place.audit())
    verified(place.audit(key, state="other"))
    undecided(place.audit(state="other"), "give another directory with --state")


def test_memberships_and_statements_are_for_their_owner_only(place: Place, key: Path) -> None:
    place.log.batch(place.team.update(place.bob, rotates=True))
    outcome = place.audit(key)
    assert outcome.evidence is not None
    for private in (place.folder / "state" / "audit.sqlite", outcome.evidence):
        assert private.stat().st_mode & 0o077 == 0


def test_a_membership_that_the_state_lost_is_no_accusation(place: Place, key: Path) -> None:
    verified(place.audit(key))
    with sqlite3.connect(place.folder / "state" / "audit.sqlite") as db:
        db.execute("DELETE FROM membership")
    db.close()
    place.rotate()
    undecided(place.audit(key), "the local state is damaged")


def test_a_key_that_the_server_does_not_know(place: Place, tmp_path: Path, key: Path) -> None:
    outcome = place.audit(key_file(tmp_path, OTHER))
    undecided(outcome, f"the server does not know {public(OTHER).hex()}")
    verified(place.audit(key))  # nothing was begun with it
    verified(place.audit(state="plain"))


REPLIES: list[tuple[Callable[[bytes], bytes], str]] = [
    (lambda body: body + b"\x00", "bytes follow"),
    (lambda body: body[:-1], "ends inside"),
    (lambda body: cbor2.dumps([0, []]), "withheld"),
    (lambda body: cbor2.dumps([2**63 - 1, []]), "withheld"),
    (lambda body: cbor2.dumps([4, None]), "not an answer with statements"),
    (lambda body: cbor2.dumps([4, [[1]]]), "not an answer with statements"),
    (lambda body: cbor2.dumps([4, [[1, b""]] * 257]), "not an answer with statements"),
    (lambda body: cbor2.dumps([2**63, []]), "not an answer with statements"),
    (lambda body: bytes(1_200_000), "larger than"),
    (lambda body: b"", "ends where"),
]


@pytest.mark.parametrize(("reply", "why"), REPLIES)
def test_garbled_answers(
    reply: Callable[[bytes], bytes], why: str, place: Place, key: Path
) -> None:
    place.reply = reply
    undecided(place.audit(key), why)


def test_a_directory_has_no_statements(place: Place, tmp_path: Path, key: Path) -> None:
    files = place.log.write(tmp_path / "copy")
    job = Job(str(files), place.log.log_id, tmp_path / "state", 1, crosscheck=False, key_file=key)
    undecided(job.run(place.log.time, None, silent), "a local directory has no statements")
    verified(replace(job, key_file=None).run(place.log.time, None, silent))
    arguments = ["audit", str(files), "--log-id", place.log.log_id.hex(), "--json"]
    arguments += ["--state", str(tmp_path / "other"), "--statements", str(key)]
    done = CliRunner().invoke(commands, arguments, standalone_mode=False)
    assert done.return_value == UNDECIDED
    assert "has no statements" in json.loads(done.output)["reason"]


def test_a_server_without_statements_and_one_that_is_busy(
    place: Place, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("verifier.fetch.time.sleep", slept.append)
    for status, why in ((404, "the server knows no v1/audit"), (401, "clock"), (400, "status 400")):
        monkeypatch.setattr(Place, "give", lambda _, one, status=status: send(one, b"", status))
        undecided(place.audit(key), why)
    assert slept == []
    monkeypatch.setattr(Place, "give", lambda _, one: send(one, b"", 429, Retry_After=7))
    undecided(place.audit(key), "status 429")
    assert slept == [7.0] * 3


# Key files.


def test_key_files(tmp_path: Path) -> None:
    path = key_file(tmp_path)
    assert read_seed(path) == bytes(AUDITOR)
    line = path.read_bytes()
    body = base64.urlsafe_b64encode(bytes(AUDITOR))
    for wrong in (
        b"",
        b"keyroll-key-2." + body,
        line.strip() + b"=",
        line * 2,
        b" " + line,
        b"keyroll-key-1." + base64.urlsafe_b64encode(bytes(31)),
        b"keyroll-key-1." + body.rstrip(b"="),
        b"keyroll-key-1.\xff" + body,
        bytes(AUDITOR),
    ):
        path.write_bytes(wrong)
        with pytest.raises(Undecided, match="not a key file"):
            read_seed(path)
    path.write_bytes(line.strip())
    assert read_seed(path) == bytes(AUDITOR)
    for mode in (0o640, 0o604, 0o601):
        path.chmod(mode)
        with pytest.raises(Undecided, match="others can read"):
            read_seed(path)
    with pytest.raises(Undecided, match="cannot be read"):
        read_seed(tmp_path / "none")


def test_no_key_no_audit(place: Place, key: Path) -> None:
    key.chmod(0o644)
    outcome = place.audit(key)
    undecided(outcome, "chmod 600")
    assert bytes(AUDITOR).hex() not in str(outcome)


def test_the_report_counts_statements(
    place: Place, key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = place.audit(key)
    assert outcome.fields()["statements"] == 1
    show(outcome)
    assert "statements of groups │ 1" in capsys.readouterr().out
    plain = place.audit(state="plain")
    assert plain.fields()["statements"] is None
    show(plain)
    assert "not asked for" in capsys.readouterr().out


# The real server.


async def ward(log: Http) -> tuple[RealUser, RealUser, RealGroup, RealGroup]:
    """A flat group of Ada and Bob, and a compound one of Ada and that."""
    people = [await log.user(name) for name in ("ada", "bob")]
    await log.admit(*people)
    ada, bob = (written.after for written in people)
    team = RealGroup.create("team", await log.anchor(), ada, {ada: Role.ADMIN, bob: Role.MEMBER})
    await log.admit(team)
    roles: dict[RealUser | RealGroup, Role] = {ada: Role.ADMIN, team.after: Role.GROUP}
    house = RealGroup.create("house", await log.anchor(), ada, roles, kind=Kind.COMPOUND)
    await log.admit(house)
    return ada, bob, team.after, house.after


@dataclass
class Served:
    """The real server, which knows the auditor's key, and where to audit it from."""

    log: Http
    folder: Path

    async def audit(self, key: Path | None, state: str) -> Outcome:
        place = self.folder / state
        job = Job(self.log.url, self.log.actor.log_id, place, 1, crosscheck=False, key_file=key)
        return await asyncio.to_thread(job.run, wall_ms(), None, silent)


@asynccontextmanager
async def live(folder: Path) -> AsyncIterator[Served]:
    auditors = StatementsConfig((public(AUDITOR).hex(),))
    async with served(folder / "log", replace(CONFIG, statements=auditors)) as running:
        yield Served(running.http, folder)


async def test_the_real_server(tmp_path: Path, key: Path) -> None:
    async with live(tmp_path) as server:
        log = server.log
        ada, bob, team, house = await ward(log)
        assert verified(await server.audit(key, "full")).statements == 2
        for _ in range(3):
            update = team.update(await log.anchor(), ada, rotate=[ada, bob])
            await log.admit(update)
            team = update.after
        await log.admit(house.close(await log.anchor(), ada))
        report = verified(await server.audit(key, "full"))
        assert (report.statements, report.blocks) == (4, {8: 3, 9: 1})
        assert verified(await server.audit(key, "anew")).statements == 6
        assert verified(await server.audit(None, "plain")).blocks == {0: 1, 2: 2, 7: 2, 8: 3, 9: 1}
        stranger = await server.audit(key_file(tmp_path, OTHER), "stranger")
        assert stranger.code == UNDECIDED
        assert "403" in str(stranger.reason)


def slip_in(home: Home, log: LogActor, written: Written[Any]) -> None:
    """Planned, signed and published by the operator, who does not ask what R-56.10 asks."""
    assert written.statement is not None
    with home.stores() as (store, private):
        with store.view() as view:
            planned = plan(view, [written.block], wall_ms())
        assert not isinstance(planned.results[0], RuleViolation)
        head = planned.commit.after
        told = written.statement, written.after.membership.encode()
        block = written.block
        index = planned.commit.before.size
        private.put([PrivateItem(index, block.hash, block.label, written.boxes, None, told)])
        store.perform(planned.commit, sign_head(log.origin, head, log.log_key))


async def test_an_operator_who_lets_a_member_act_as_an_admin(tmp_path: Path, key: Path) -> None:
    async with live(tmp_path) as server:
        _, bob, team, _ = await ward(server.log)
        carl = (await server.log.user("carl")).after
        anchor = await server.log.anchor()
        verified(await server.audit(key, "full"))
    forged = team.update(anchor, bob, {carl: Role.MEMBER})
    slip_in(Home(tmp_path / "log"), server.log.actor, forged)
    async with live(tmp_path) as server:
        outcome = await server.audit(key, "full")
        assert kind_of(outcome) == ("rule-broken", "R-56.5", True)
        assert outcome.evidence is not None
        *_, told = cbor2.loads(outcome.evidence.read_bytes())[3]
        assert told[-1] == forged.statement
        assert verified(await server.audit(None, "plain")).blocks[8] == 1
