"""What a witness keeps: durable before it is signed, and never believed if it is damaged."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from nacl.signing import SigningKey

from tests.verifier.witnessing import Submitting, leaves
from verifier.errors import Undecided
from verifier.keyfile import Cosigner
from verifier.note import open_note
from verifier.witness import BACKWARDS, Record
from verifier.witness_server import Witness
from verifier.witness_store import Store

NOW = 1_800_000_000
LOG = Submitting()
OTHER = Submitting("log.example/two", key=SigningKey(b"o" * 32))
FORK = Submitting(leaves=leaves("forked"))
COSIGNER = Cosigner("witness.example/1", SigningKey(b"w" * 32))
VKEY = COSIGNER.public.vkey


class Watch:
    """A clock that says what it is told."""

    now = NOW

    def __call__(self) -> int:
        return self.now


@contextmanager
def open_witness(place: Path, *, new: bool = False) -> Iterator[tuple[Witness, Watch]]:
    watch = Watch()
    with Store.open(place / "state", VKEY, new=new) as store:
        yield Witness([LOG.public, OTHER.public], COSIGNER, store, watch), watch


class Failing:
    """A connection of which one statement fails, once."""

    def __init__(self, db: sqlite3.Connection, statement: str) -> None:
        self._db = db
        self._statement = statement

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        if self._statement and statement.startswith(self._statement):
            self._statement = ""
            raise sqlite3.OperationalError("database or disk is full")
        return self._db.execute(statement, *values)

    @property
    def in_transaction(self) -> bool:
        return self._db.in_transaction


@pytest.mark.parametrize("statement", ["BEGIN", "SELECT", "INSERT", "COMMIT"])
def test_nothing_is_signed_that_could_not_be_put(
    statement: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_witness(tmp_path, new=True) as (witness, _):
        assert witness.add_checkpoint(LOG.request(0, 5)).status == 200
        signed: list[int] = []

        def cosigned(record: Record, cosigner: Cosigner) -> str:
            signed.append(record.size)
            return cosigner.cosign(record.text, record.time).line

        monkeypatch.setattr(Record, "cosigned", cosigned)
        whole = witness.store._db
        witness.store._db = Failing(whole, statement)  # type: ignore[assignment]
        answer = witness.add_checkpoint(LOG.request(5, 8))
        assert (answer.status, signed) == (503, [])
        assert "disk is full" in answer.body
        witness.store._db = Failing(whole, "SELECT")  # type: ignore[assignment]
        assert witness.checkpoint(sha256(LOG.origin.encode()).hexdigest()).status == 503
        witness.store._db = whole
        last = witness.store.last(LOG.origin)
        assert last
        assert last.size == 5
        assert witness.add_checkpoint(LOG.request(5, 8)).status == 200
        assert signed == [8]


def test_a_clock_that_lies(tmp_path: Path) -> None:
    """R-62.13, over restarts and for all origins together."""
    with open_witness(tmp_path, new=True) as (witness, watch):
        assert cosigned_at(witness, LOG.request(0, 5), LOG, 5) == NOW
        watch.now = NOW - BACKWARDS
        assert cosigned_at(witness, OTHER.request(0, 5), OTHER, 5) == NOW
    with open_witness(tmp_path) as (witness, watch):
        watch.now = NOW - BACKWARDS - 1
        for body in (LOG.request(5, 8), OTHER.request(5, 8)):
            assert witness.add_checkpoint(body).status == 503
        watch.now = NOW + 1
        assert cosigned_at(witness, LOG.request(5, 8), LOG, 8) == NOW + 1
        assert witness.checkpoint("00" * 32).status == 404


def cosigned_at(witness: Witness, body: bytes, log: Submitting, size: int) -> int | None:
    answer = witness.add_checkpoint(body)
    assert answer.status == 200, answer
    _, (signer,) = open_note(f"{log.text(size)}\n{answer.body}".encode(), [COSIGNER.public])
    return signer.time


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE cosigned SET time = time - 1",
        "UPDATE cosigned SET text = replace(text, '5', '4')",
        "UPDATE cosigned SET text = x'ff'",
        "UPDATE cosigned SET signatures = ''",
        "UPDATE cosigned SET sum = sum + 1",
        "UPDATE cosigned SET origin = 'log.example/two'",
    ],
)
def test_damage_is_nobodys_fork(damage: str, tmp_path: Path) -> None:
    with open_witness(tmp_path, new=True) as (witness, _):
        assert witness.add_checkpoint(LOG.request(0, 5)).status == 200
    with sqlite3.connect(tmp_path / "state") as db:
        db.execute(damage)
    db.close()
    log = OTHER if "two" in damage else LOG
    with open_witness(tmp_path) as (witness, _):
        for body in (log.request(5, 8), log.request(0, 5)):
            answer = witness.add_checkpoint(body)
            assert (answer.status, answer.told.get("fork")) == (503, None)
            assert "damaged" in answer.body


def test_who_waits_too_long_is_told_to_come_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("verifier.witness_store.PATIENCE", 0.05)
    with open_witness(tmp_path, new=True) as (witness, _):
        other = sqlite3.connect(tmp_path / "state", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        assert witness.add_checkpoint(LOG.request(0, 5)).status == 503
        other.execute("ROLLBACK")
        other.close()
        assert witness.add_checkpoint(LOG.request(0, 5)).status == 200


def test_only_its_owner_reads_the_state(tmp_path: Path) -> None:
    with open_witness(tmp_path, new=True) as (witness, _):
        witness.add_checkpoint(LOG.request(0, 5))
        files = list(tmp_path.iterdir())
        assert {file.stat().st_mode & 0o077 for file in files} == {0}


def test_states_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(Undecided, match="no state"), open_witness(tmp_path):
        pass
    for content in (b"", b"x" * 5000):
        (tmp_path / "state").write_bytes(content)
        with pytest.raises(Undecided, match="state"), open_witness(tmp_path):
            pass
