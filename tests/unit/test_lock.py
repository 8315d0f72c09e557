"""Secrets at rest (R-94.1, R-94.2, R-94.3, R-94.4)."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.client.user.account import Account, FileVault
from ledger.errors import MalformedInput, StoreError, UsageError, WrongSecret
from ledger.seal.lock import MAGIC, Cost, Lock, is_locked

CHEAP = Cost(2, 64)
SECRET = Lock.by_secret(b"s" * 32)
COST_AT = len(MAGIC) + 1 + 1 + 1 + 17 + 1
"""Magic, array, version, how, salt, the head of a byte string."""


@pytest.fixture(scope="module")
def passphrase() -> Lock:
    return Lock.by_passphrase("correct horse", CHEAP)


@pytest.fixture(scope="module")
def locked(passphrase: Lock) -> bytes:
    return passphrase.seal(b"an account")


def test_a_passphrase(passphrase: Lock, locked: bytes) -> None:
    assert is_locked(locked)
    assert b"account" not in locked
    assert passphrase.open(locked) == b"an account"
    assert Lock.by_passphrase("correct horse").open(locked) == b"an account"


@pytest.mark.parametrize("other", ["correct horsE", "correct horse ", "x"])
def test_another_passphrase(other: str, locked: bytes) -> None:
    with pytest.raises(WrongSecret):
        Lock.by_passphrase(other, CHEAP).open(locked)


def test_one_passphrase_in_two_spellings() -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    sealed = Lock.by_passphrase(composed, CHEAP).seal(b"x")
    assert Lock.by_passphrase(decomposed, CHEAP).open(sealed) == b"x"


@pytest.mark.parametrize("wrong", [b"", b"s" * 31, b"s" * 33])
def test_what_is_no_secret(wrong: bytes) -> None:
    with pytest.raises(UsageError):
        Lock.by_secret(wrong)
    with pytest.raises(UsageError):
        Lock.by_passphrase("")


@given(st.binary(max_size=100))
def test_a_secret(data: bytes) -> None:
    locked = SECRET.seal(data)
    assert SECRET.open(locked) == data
    assert SECRET.seal(data) != locked
    with pytest.raises(WrongSecret):
        Lock.by_secret(b"t" * 32).open(locked)


def test_one_kind_of_secret_for_the_other(passphrase: Lock, locked: bytes) -> None:
    with pytest.raises(WrongSecret):
        SECRET.open(locked)
    with pytest.raises(WrongSecret):
        passphrase.open(SECRET.seal(b"x"))


@given(st.integers(0, 75), st.integers(0, 7))
def test_altered_anywhere(at: int, bit: int) -> None:
    locked = bytearray(SECRET.seal(b"x"))
    locked[at % len(locked)] ^= 1 << bit
    with pytest.raises((MalformedInput, WrongSecret)):
        SECRET.open(bytes(locked))


@given(st.binary(max_size=200))
def test_hostile_bytes(data: bytes) -> None:
    for locked in (data, MAGIC + data):
        with pytest.raises((MalformedInput, WrongSecret)):
            SECRET.open(locked)


@pytest.mark.parametrize(
    ("cost", "usual"),
    [((2, 64), True), ((1, 64), False), ((2, 63), False), ((17, 64), False), ((2, 1_025), False)],
)
def test_the_cost_is_bounded(
    passphrase: Lock, locked: bytes, cost: tuple[int, int], usual: bool
) -> None:
    """R-94.2: refused before any of it is spent."""
    passes, mib = cost
    told = locked[:COST_AT] + bytes([passes]) + mib.to_bytes(2) + locked[COST_AT + 3 :]
    if usual:
        assert passphrase.open(told) == b"an account"
    else:
        with pytest.raises(MalformedInput, match=r"R-94\.2"):
            passphrase.open(told)


def test_a_secret_has_no_cost() -> None:
    locked = SECRET.seal(b"x")
    told = locked[:COST_AT] + bytes([2, 0, 64]) + locked[COST_AT + 3 :]
    with pytest.raises(MalformedInput, match=r"R-94\.2"):
        SECRET.open(told)


def test_another_version() -> None:
    locked = SECRET.seal(b"x")
    with pytest.raises(MalformedInput, match=r"R-94\.1"):
        SECRET.open(locked[: len(MAGIC) + 1] + b"\x02" + locked[len(MAGIC) + 2 :])


def test_secrets_stay_out_of_repr() -> None:
    lock = Lock.by_secret(b"secret!!" * 4)
    lock.seal(b"x")
    assert "secret!!" not in repr(lock)


# --- a vault


def test_a_locked_vault(tmp_path: Path) -> None:
    path, account = tmp_path / "account", Account(os.urandom(32))
    FileVault(path, SECRET).save(account)
    assert FileVault(path).is_locked
    assert account.log_id not in path.read_bytes()
    assert FileVault(path, SECRET).load() == account
    FileVault(path, SECRET).save(replace(account, log_id=bytes(32)))
    assert FileVault(path, Lock.by_secret(b"s" * 32)).load() == Account(bytes(32))
    with pytest.raises(WrongSecret):
        FileVault(path, Lock.by_secret(b"t" * 32)).load()


def test_a_file_that_is_not_what_was_expected(tmp_path: Path) -> None:
    """R-94.4: somebody may have put another file there."""
    plain, locked = tmp_path / "plain", tmp_path / "locked"
    FileVault(plain).save(Account(bytes(32)))
    FileVault(locked, SECRET).save(Account(bytes(32)))
    assert not FileVault(plain).is_locked
    with pytest.raises(UsageError, match=r"is not locked \(R-94\.4\)"):
        FileVault(plain, SECRET).load()
    with pytest.raises(UsageError, match=r"is locked \(R-94\.4\)"):
        FileVault(locked).load()


def test_a_damaged_head_is_told(tmp_path: Path) -> None:
    path = tmp_path / "account"
    path.write_bytes(MAGIC + b"\xff" * 100)
    with pytest.raises(StoreError, match="damaged"):
        FileVault(path, SECRET).load()
