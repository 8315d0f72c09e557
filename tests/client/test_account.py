"""An account on disk: all of it or nothing, and for its owner only."""

from __future__ import annotations

import asyncio
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.client.doubts import Mark
from ledger.client.user import account as accounts
from ledger.client.user.account import Account, DeviceSecret, Edit, FileVault, Identity
from ledger.errors import MalformedInput, StoreError, UsageError
from ledger.format.bodies import DeviceKind
from ledger.format.identity import Opening
from ledger.format.keys import EncryptionKey, SigningKey
from ledger.format.wire import Submission
from ledger.seal.lock import Lock

seeds = st.binary(min_size=32, max_size=32)
devices = st.builds(
    DeviceSecret, seeds.map(SigningKey), seeds.map(EncryptionKey), st.integers(0, 1)
)
openings = st.builds(Opening, seeds, st.text("abc@ü€", min_size=1, max_size=20))
identities = st.builds(Identity, seeds, openings, st.binary(min_size=80, max_size=80))
boxes = st.lists(st.binary(max_size=80), max_size=3).map(tuple)
submissions = st.builds(
    Submission, st.binary(max_size=100), boxes, st.none() | openings
) | st.builds(Submission, st.binary(max_size=100), boxes, statement=st.binary(max_size=100))
all_accounts = st.builds(
    Account,
    seeds,
    st.none() | identities,
    st.lists(devices, max_size=3).map(tuple),
    st.lists(seeds.map(EncryptionKey), max_size=3).map(tuple),
    st.none() | submissions,
    st.lists(seeds.map(EncryptionKey), max_size=3).map(tuple),
    st.lists(seeds.map(SigningKey), max_size=3).map(tuple),
    st.none() | st.builds(Mark, st.binary(min_size=16, max_size=16), st.integers(0, 2**63), seeds),
)
LOCK = Lock.by_secret(bytes(32))


@given(all_accounts)
def test_round_trip(account: Account) -> None:
    again = Account.decode(account.encode())
    assert again == account
    assert again.encode() == account.encode()
    assert [d.signing.seed for d in again.devices] == [d.signing.seed for d in account.devices]
    assert [k.secret for k in again.user_keys] == [k.secret for k in account.user_keys]
    assert [k.secret for k in again.group_keys] == [k.secret for k in account.group_keys]
    assert [k.seed for k in again.group_signers] == [k.seed for k in account.group_signers]


@given(all_accounts, st.data())
def test_any_other_bytes_are_malformed(account: Account, data: st.DataObject) -> None:
    raw = account.encode()
    at = data.draw(st.integers(0, len(raw) - 1))
    flipped = raw[:at] + bytes([raw[at] ^ (1 << data.draw(st.integers(0, 7)))]) + raw[at + 1 :]
    for changed in (raw[:at], raw + b"\0", flipped):
        try:
            found = Account.decode(changed)
        except MalformedInput:
            continue
        assert found.encode() == changed


@pytest.fixture
def account() -> Account:
    device = DeviceSecret.generate(DeviceKind.RECOVERY)
    identity = Identity(bytes(32), Opening(bytes(32), "ada"), bytes(80))
    return Account(bytes(32), identity, devices=(device,))


def test_secrets_stay_out_of_repr(account: Account) -> None:
    key = accounts.new_encryption_key()
    account = replace(account, user_keys=(key,), pending=Submission(b"block"))
    shown = repr(account)
    assert repr(key.secret) not in shown
    assert repr(account.devices[0].signing.seed) not in shown
    assert repr(account.devices[0].encryption.secret) not in shown


def test_with_keys(account: Account) -> None:
    device, key = DeviceSecret.generate(), accounts.new_encryption_key()
    more = account.with_keys((*account.devices, device), (key,))
    assert more.devices == (*account.devices, device)
    assert more.with_keys((device,), (key,)) == more
    assert more.user_key(key.public) == key
    assert account.user_key(key.public) is None


def test_with_the_keys_of_groups(account: Account) -> None:
    key, signer = accounts.new_encryption_key(), DeviceSecret.generate().signing
    more = account.with_keys(group_keys=(key,), group_signers=(signer,))
    assert more.with_keys(group_keys=(key,), group_signers=(signer,)) == more
    assert (more.group_key(key.public), more.group_signer(signer.public)) == (key, signer)
    assert (more.group_key(None), more.group_signer(key.public)) == (None, None)
    assert more.user_keys == ()
    shown = repr(more)
    assert repr(key.secret) not in shown
    assert repr(signer.seed) not in shown


def test_a_vault(account: Account, tmp_path: Path) -> None:
    vault = FileVault(tmp_path / "account")
    assert vault.load() is None
    for label in (b"a" * 32, b"b" * 32):
        vault.save(replace(account, log_id=label))
        assert FileVault(tmp_path / "account").load() == replace(account, log_id=label)
    assert [path.name for path in tmp_path.iterdir()] == ["account"]
    assert stat.S_IMODE((tmp_path / "account").stat().st_mode) == 0o600


def test_what_one_changes_the_other_sees(account: Account, tmp_path: Path) -> None:
    """And neither loses what the other added, whatever it had read before."""
    vaults = [FileVault(tmp_path / "account", LOCK) for _ in range(2)]
    vaults[0].save(account)
    assert vaults[1].load() == account
    added = [DeviceSecret.generate() for _ in range(6)]

    def adding(device: DeviceSecret) -> Edit:
        return lambda held: (held or account).with_keys(devices=[device])

    for number, device in enumerate(added):
        vaults[number % 2].change(adding(device))
    for vault in vaults:
        found = vault.load()
        assert found
        assert found.devices == (*account.devices, *added)
    before = (tmp_path / "account").stat()
    vaults[0].change(lambda held: held or account)
    assert (tmp_path / "account").stat() == before


async def test_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vaults = [FileVault(tmp_path / "account") for _ in range(2)]
    inside = 0

    async def work(vault: FileVault) -> None:
        nonlocal inside
        async with vault.turn():
            inside += 1
            assert inside == 1
            await asyncio.sleep(0.01)
            inside -= 1

    await asyncio.gather(*(work(vault) for vault in vaults * 3))
    monkeypatch.setattr(accounts, "_LONGEST_WAIT", 0.05)
    async with vaults[0].turn():
        with pytest.raises(UsageError, match="another process"):
            await work(vaults[1])
    await work(vaults[1])
    with pytest.raises(StoreError):
        await work(FileVault(tmp_path / "nowhere" / "account"))
    with pytest.raises(StoreError):
        FileVault(tmp_path / "nowhere" / "account").change(lambda held: held or Account(bytes(32)))


def test_a_failed_save_changes_nothing(
    account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = FileVault(tmp_path / "account")
    vault.save(account)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space"):
        vault.save(replace(account, log_id=b"b" * 32))
    monkeypatch.undo()
    assert vault.load() == account
    vault.save(replace(account, log_id=b"b" * 32))
    assert vault.load() == replace(account, log_id=b"b" * 32)


def test_a_damaged_file(account: Account, tmp_path: Path) -> None:
    path = tmp_path / "account"
    FileVault(path).save(account)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(StoreError, match="damaged"):
        FileVault(path).load()
    with pytest.raises(StoreError):
        FileVault(tmp_path).load()
    with pytest.raises(StoreError):
        FileVault(tmp_path / "nowhere" / "account").save(account)
