"""Recovery codes, on paper and at the real server (R-96.1, R-96.2)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.client.replay.session import Log
from ledger.client.user.account import FileVault, MemoryVault
from ledger.client.user.recovery import RecoveryCode, add_code, recover
from ledger.client.user.user import User
from ledger.errors import MalformedInput, TransportError, UsageError
from ledger.format.bodies import DeviceKind
from ledger.rules.users import LoudEvent
from tests.client.conftest import Live
from tests.client.people import People
from tests.client.test_cli import enrol, keyroll, succeed
from tests.client.test_documents import documents, read_by
from tests.client.test_light_session import light

ADA, BOB = "ada@example.org", "bob@example.org"
CODE = RecoveryCode(bytes(range(18)))


@given(st.binary(min_size=18, max_size=18))
def test_words_and_back(secret: bytes) -> None:
    code = RecoveryCode(secret)
    assert [len(word) for word in code.words.split("-")] == [5] * 10
    for text in (
        code.words,
        code.words.upper(),
        code.words.replace("-", " - \n"),
        f" {code.words}\n",
    ):
        assert RecoveryCode.parse(text) == code
    assert repr(secret) not in repr(code)


def test_the_words_of_the_paper() -> None:
    """127.0.0.1 and 63.84.220.193, as in Wilkerson's "A Proposal for Proquints"."""
    secret = bytes([127, 0, 0, 1, 63, 84, 220, 193]) + bytes(10)
    assert RecoveryCode(secret).words.startswith("lusab-babad-gutih-tugad-babab")


SLIPS: dict[str, Callable[[list[str]], list[str]]] = {
    "one word less": lambda words: words[:-1],
    "one word more": lambda words: [*words, words[0]],
    "two words swapped": lambda words: [words[1], words[0], *words[2:]],
    "another letter": lambda words: [
        words[0][:-1] + ("b" if words[0][-1] != "b" else "d"),
        *words[1:],
    ],
    "a vowel for a consonant": lambda words: ["a" + words[0][1:], *words[1:]],
    "a letter that is none": lambda words: ["c" + words[0][1:], *words[1:]],
    "a letter less": lambda words: [words[0][1:], *words[1:]],
    "a letter more": lambda words: [words[0] + "b", *words[1:]],
    "nothing": lambda words: [],
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip(slip: str) -> None:
    assert RecoveryCode.parse(CODE.words) == CODE
    with pytest.raises(MalformedInput, match=r"R-96\.1"):
        RecoveryCode.parse("-".join(SLIPS[slip](CODE.words.split("-"))))


@given(st.text(max_size=80))
def test_hostile_text(text: str) -> None:
    with pytest.raises(MalformedInput, match=r"R-96\.1"):
        RecoveryCode.parse(text)


def test_its_device_is_of_one_log() -> None:
    """R-96.2."""
    device, other = CODE.device(b"a" * 32), CODE.device(b"b" * 32)
    assert device == CODE.device(b"a" * 32)
    assert device.kind == DeviceKind.RECOVERY
    assert len({device.signing.public, device.encryption.public, other.signing.public}) == 3


# --- at a log


async def test_a_way_back_in(live: Live, people: People) -> None:
    ada, bob = people.ada, people.bob
    async with documents(live, bob) as his:
        code = await add_code(ada)
        await bob.log.sync()
        sealed = await his.encrypt(b"from before", [ADA])
        (found,) = await his.light.lookup(ADA)
        assert found.pin
        assert found.pin.quiet  # a recovery device is seen, and is not loud
        secret = code.device(live.log_id)
        assert secret not in ada.account.devices

        async with Log.connect(live.url, live.log_id) as log:
            again = await recover(log, live.token(ADA), code, MemoryVault())
            assert secret not in again.account.devices
            assert again.devices[0].kind == DeviceKind.ORDINARY
            came = again.devices[0].signing.public
            assert await read_by(live, again, sealed) == b"from before"
            (found,) = await his.light.lookup(ADA)
            assert found.pin
            assert [one.kind for one in found.pin.events] == [LoudEvent.ADDED_BY_RECOVERY]
    async with light(live, ada.account) as own:
        pin = (await own.refresh()).pin
        assert pin
        assert [alarm.device.signing for alarm in pin.alarms] == [came]


async def test_a_code_that_was_revoked(live: Live, people: People) -> None:
    ada = people.ada
    code = await add_code(ada)
    await ada.revoke_devices(code.device(live.log_id).signing.public)
    async with Log.connect(live.url, live.log_id) as log:
        with pytest.raises(UsageError, match="no live recovery device"):
            await recover(log, live.token(ADA), code, MemoryVault())


async def test_another_persons_code(live: Live, people: People) -> None:
    code = await add_code(people.ada)
    async with Log.connect(live.url, live.log_id) as log:
        with pytest.raises(UsageError, match="no live recovery device"):
            await recover(log, live.token(BOB), code, MemoryVault())


async def test_a_crash_on_the_way(
    live: Live, people: People, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is lost; done again, there is one new device and not two."""
    code = await add_code(people.ada)
    vault = FileVault(tmp_path / "account")
    async with Log.connect(live.url, live.log_id) as log:
        submit = log.submit

        async def lost(submission: object) -> None:
            await submit(submission)  # type: ignore[arg-type]
            raise TransportError("the answer was lost")

        monkeypatch.setattr(log, "submit", lost)
        with pytest.raises(TransportError):
            await recover(log, live.token(ADA), code, vault)
        monkeypatch.undo()
        again = await recover(log, live.token(ADA), code, vault)
        assert len(again.state.devices) == 3  # the first, the code's, the new one
        assert len(User(log, vault).devices) == 1


async def test_on_the_command_line(live: Live, tmp_path: Path) -> None:
    where = ("--url", live.url, "--log-id", live.log_id.hex())
    old, new = tmp_path / "old", tmp_path / "new"
    await succeed("register", "-", *where, home=old, given=await enrol(live, ADA))
    made = await succeed("recovery", "code", "--json", home=old)
    words, token = tmp_path / "words", await enrol(live, ADA)
    words.write_text(made.facts["words"].replace("-", " ") + "\n")
    done = await succeed("recover", "-", str(words), *where, home=new, given=token)
    assert "goes on with this device" in done.out
    listed = await succeed("devices", "list", "--json", home=new)
    assert len(listed.facts["devices"]) == 3
    assert made.facts["words"] not in (old / "account").read_bytes().hex()
    words.write_text("not these\n")
    wrong = await keyroll("recover", "-", str(words), *where, home=tmp_path / "x", given=token)
    assert (wrong.code, "R-96.1" in wrong.err) == (1, True)
