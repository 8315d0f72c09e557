"""The state on disk: whole batches or nothing, and damage that is noticed."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from verifier import state as module
from verifier.errors import Undecided
from verifier.state import State

LOG_ID = b"i" * 32
FILE = "audit.sqlite"


def test_what_is_committed_is_there_again(tmp_path: Path) -> None:
    with State.open(tmp_path, LOG_ID) as state:
        assert (state.size, state.time, state.accepted, state.verdict) == (0, 0, None, None)
        state.chains[b"label"] = b"row"
        state.regions["00ff"] = b"slot"
        state.regions["00ff3"] = b"deeper"
        state.bounds[7] = b"bound"
        state.tiles[0] = b"tile"
        state.accept(b"checkpoint")
        state.commit(9, 77, b"l" * 32)
        state.chains[b"label"] = b"newer"
        assert state.chains.get(b"label") == b"newer"
    with State.open(tmp_path, LOG_ID) as state:
        assert (state.size, state.time, state.accepted) == (9, 77, b"checkpoint")
        assert state.leaves == b"l" * 32
        assert state.chains.get(b"label") == b"row"  # what came later was not committed
        assert state.chains.get(b"other") is None
        assert list(state.slots()) == [("00ff", b"slot")]
        assert list(state.tiles.items()) == [(0, b"tile")]
        assert state.bounds.get(7) == b"bound"
        state.convict(b"/evidence")
    with State.open(tmp_path, LOG_ID) as state:
        assert state.verdict == b"/evidence"


def test_an_accepted_checkpoint_survives_without_a_commit(tmp_path: Path) -> None:
    with State.open(tmp_path, LOG_ID) as state:
        state.chains[b"label"] = b"row"
        state.accept(b"checkpoint")
    with State.open(tmp_path, LOG_ID) as state:
        assert state.accepted == b"checkpoint"
        assert state.chains.get(b"label") is None


def test_rows_leave_the_memory_and_not_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(module.KEPT, "chain", 10)
    with State.open(tmp_path, LOG_ID) as state:
        for number in range(100):
            state.chains[b"%d" % number] = b"row %d" % number
        state.commit(1, 1)
        assert len(state.chains._rows) == 10
        assert all(state.chains.get(b"%d" % number) == b"row %d" % number for number in range(100))


def test_one_log_and_one_process_at_a_time(tmp_path: Path) -> None:
    with (
        State.open(tmp_path, LOG_ID) as state,
        pytest.raises(Undecided, match="locked"),
        State.open(tmp_path, LOG_ID),
    ):
        pass
    with State.open(tmp_path, b"o" * 32), State.open(tmp_path / "other", LOG_ID):
        pass  # so far it is nobody's
    with State.open(tmp_path, LOG_ID) as state:
        state.accept(b"checkpoint")
    with pytest.raises(Undecided, match="another log"), State.open(tmp_path, b"o" * 32):
        pass


@pytest.mark.parametrize("table", ["chain", "region", "bound", "tile", "meta"])
def test_a_flipped_bit_is_noticed(table: str, tmp_path: Path) -> None:
    with State.open(tmp_path, LOG_ID) as state:
        state.chains[b"k"] = state.regions["0000"] = state.bounds[1] = state.tiles[1] = b"row"
        state.accept(b"checkpoint")
        state.commit(9, 77)
    with sqlite3.connect(tmp_path / FILE) as db:
        for key, row in db.execute(f"SELECT key, row FROM {table}").fetchall():
            flipped = bytes([row[0] ^ 1]) + row[1:]
            db.execute(f"UPDATE {table} SET row = ? WHERE key = ?", (flipped, key))
    db.close()

    def read() -> None:
        with State.open(tmp_path, LOG_ID) as state:
            state.chains.get(b"k")
            list(state.slots())
            state.bounds.get(1)
            list(state.tiles.items())

    with pytest.raises(Undecided, match="damaged"):
        read()


def test_a_row_under_another_key_is_noticed(tmp_path: Path) -> None:
    with State.open(tmp_path, LOG_ID) as state:
        state.chains[b"one"] = b"row"
        state.commit(9, 77)
    with sqlite3.connect(tmp_path / FILE) as db:
        db.execute("UPDATE chain SET key = ?", (b"other",))
    db.close()
    with State.open(tmp_path, LOG_ID) as state, pytest.raises(Undecided, match="damaged"):
        state.chains.get(b"other")


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"no database" * 1_000)
    with pytest.raises(Undecided, match="cannot be used"), State.open(tmp_path, LOG_ID):
        pass
    with pytest.raises(Undecided, match="cannot be used"), State.open(tmp_path / FILE, LOG_ID):
        pass


def test_a_commit_that_fails_leaves_the_state_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with State.open(tmp_path, LOG_ID) as state:
        state.chains[b"label"] = b"row"
        state.commit(1, 1)
        state.chains[b"label"] = b"newer"

        def fail() -> None:
            raise sqlite3.OperationalError("database or disk is full")

        with monkeypatch.context() as patch:
            patch.setattr(state.tiles, "flush", fail)
            with pytest.raises(Undecided, match="disk is full"):
                state.commit(2, 2)
        assert state.size == 1
        state.commit(2, 2)
    with State.open(tmp_path, LOG_ID) as state:
        assert (state.size, state.chains.get(b"label")) == (2, b"newer")
