"""Further devices, and beginning again, through the door for applications: without a replay."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from ledger.client.replay.session import Log
from ledger.client.sdk import Keyroll, Status
from ledger.client.user.account import Account, DeviceSecret, MemoryVault
from ledger.client.user.handover import Offer, Request
from ledger.client.user.recovery import RecoveryCode
from ledger.client.user.user import User
from ledger.errors import (
    DeviceGone,
    LogMisbehaved,
    NotAccepted,
    RuleViolation,
    StaleHead,
    TransportError,
    UsageError,
)
from ledger.format import wire
from ledger.format.wire import ChainAnswer
from ledger.rules.state import UserState
from tests.client.conftest import Live
from tests.client.test_sdk import ADA, BOB, at, person


async def carried(old: Keyroll, new: Keyroll) -> Offer:
    """Request and offer, on their way between two machines."""
    request = Request.parse(new.request().export())
    return Offer.parse((await old.offer(request)).export())


async def as_replayed(live: Live, me: Keyroll) -> UserState:
    """How the person stands for who replays the whole log, and so for themselves."""
    async with Log.connect(live.url, live.log_id) as log:
        await log.sync()
        state = log.replica.user(me.user.label)
    assert state is not None
    assert state == me.user.state
    return state


async def test_a_device_joins(live: Live, tmp_path: Path) -> None:
    async with person(live, tmp_path, ADA) as ada, person(live, tmp_path, BOB) as bob:
        before = await bob.encrypt(b"before", users=[ADA])
        async with at(live, tmp_path / "phone") as phone:
            await phone.join(await carried(ada, phone))
            assert phone.status is Status.READY
            assert len((await as_replayed(live, phone)).devices) == 2
            sealed = await phone.encrypt(b"from the phone", users=[BOB])  # no alarm in the way
            assert (await bob.decrypt(sealed, author=ADA)).data == b"from the phone"
            assert (await ada.decrypt(sealed)).data == b"from the phone"
            assert (await phone.decrypt(before)).data == b"before"
            assert ada.alarms == phone.alarms == ()
            old = ada.user.devices[0].signing.public
            assert await phone.revoke_device(old) == []
            with pytest.raises(DeviceGone):
                await ada.refresh()


async def test_an_answer_is_lost_while_joining(live: Live, tmp_path: Path) -> None:
    """Before the block arrived, and after it was admitted; then all the same by another process."""
    async with person(live, tmp_path, ADA) as ada:
        async with at(live, tmp_path / "phone") as phone:
            offer = await carried(ada, phone)
            honest = phone._log._transport.submit
            for arrives in (False, True):

                async def submit(request: bytes, *, arrives: bool = arrives) -> bytes:
                    if arrives:
                        await honest(request)
                    raise TransportError("the line broke")

                phone._log._transport.submit = submit  # type: ignore[method-assign]
                with pytest.raises(TransportError):
                    await phone.join(offer)
        async with at(live, tmp_path / "phone") as again:
            await again.join(offer)
            assert again.status is Status.READY
            assert len((await as_replayed(live, again)).devices) == 2
            assert again.user.account.pending is None


async def test_a_late_offer_and_another(live: Live, tmp_path: Path) -> None:
    async with person(live, tmp_path, ADA) as ada, at(live, tmp_path / "phone") as phone:
        late = await carried(ada, phone)
        await ada.user.add_device()
        with pytest.raises(StaleHead):
            await phone.join(late)
        assert phone.status is Status.NEEDS_REGISTRATION
        await phone.join(await carried(ada, phone))
        assert len((await as_replayed(live, phone)).devices) == 3


async def test_an_offer_for_another_device(live: Live, tmp_path: Path) -> None:
    async with person(live, tmp_path, ADA) as ada, at(live, tmp_path / "phone") as phone:
        offer = await ada.offer(Request(live.log_id, DeviceSecret.generate().keys))
        with pytest.raises(UsageError, match="no request"):
            await phone.join(offer)
        phone.request()
        with pytest.raises(RuleViolation, match=r"R-50\.2"):
            await phone.join(offer)


async def test_nobody_is_vouched_for_whom_one_does_not_know(live: Live, tmp_path: Path) -> None:
    """A device that came into the chain and is an alarm: who joins would take it for granted."""
    async with person(live, tmp_path, ADA) as ada, at(live, tmp_path / "phone") as phone:
        vault = MemoryVault()
        stolen = ada.user.account
        vault.save(Account(stolen.log_id, stolen.identity, (await ada.user.add_device(),)))
        await add_by_a_thief(live, ada, vault)
        with pytest.raises(NotAccepted) as caught:
            await carried(ada, phone)
        assert len(ada.alarms) == 1
        (alarm,) = ada.alarms
        ada.accept(caught.value)
        await ada.revoke_device(alarm.device.signing)
        await phone.join(await carried(ada, phone))
        await phone.encrypt(b"x")


async def add_by_a_thief(live: Live, ada: Keyroll, vault: MemoryVault) -> None:
    """A device that a device added which is not at Ada's place any more."""
    async with Log.connect(live.url, live.log_id) as log:
        await log.sync()
        thief = User(log, vault)
        first = await thief.add_device()
        vault.save(Account(log.log_id, thief.identity, (first,)))
        await User(log, vault).add_device()


Answers = Callable[[bytes, int], Coroutine[Any, Any, bytes]]


def altered(honest: Answers, change: Callable[[ChainAnswer], ChainAnswer]) -> Answers:
    async def chain(label: bytes, start: int) -> bytes:
        return change(ChainAnswer.decode(await honest(label, start))).encode()

    return chain


def other_entry(answer: ChainAnswer) -> ChainAnswer:
    first = answer.blocks[0]
    entry = first.entry[:-1] + bytes([first.entry[-1] ^ 1])
    block = wire.ChainBlock(first.index, entry, first.proof)
    return ChainAnswer(answer.checkpoint, answer.length, (block, *answer.blocks[1:]))


def other_place(answer: ChainAnswer) -> ChainAnswer:
    first = answer.blocks[0]
    block = wire.ChainBlock(first.index ^ 1, first.entry, first.proof)
    return ChainAnswer(answer.checkpoint, answer.length, (block, *answer.blocks[1:]))


def other_order(answer: ChainAnswer) -> ChainAnswer:
    return ChainAnswer(answer.checkpoint, answer.length, answer.blocks[::-1])


@pytest.mark.parametrize("change", [other_entry, other_place, other_order])
async def test_a_chain_that_the_log_does_not_prove(
    live: Live, tmp_path: Path, change: Callable[[ChainAnswer], ChainAnswer]
) -> None:
    async with person(live, tmp_path, ADA) as ada, at(live, tmp_path / "phone") as phone:
        await ada.user.add_device()
        offer = await carried(ada, phone)
        honest = phone._server.chain
        chain = altered(honest, change)
        phone._log._transport.chain = chain  # type: ignore[method-assign, assignment]
        with pytest.raises(LogMisbehaved):
            await phone.join(offer)
        assert len((await as_replayed(live, ada)).devices) == 2
        phone._log._transport.chain = honest  # type: ignore[method-assign]
        await phone.join(offer)


async def test_a_chain_in_several_answers(
    live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "MAX_CHAIN_BYTES", 1)  # one block in each
    async with person(live, tmp_path, ADA) as ada, at(live, tmp_path / "phone") as phone:
        for _ in range(2):
            await ada.user.add_device()
        await phone.join(await carried(ada, phone))
        assert len((await as_replayed(live, phone)).devices) == 4


# --- beginning again


async def test_a_reset_on_a_new_machine(live: Live, tmp_path: Path) -> None:
    async with person(live, tmp_path, BOB) as bob:
        async with person(live, tmp_path, ADA) as ada:
            await bob.encrypt(b"before", users=[ADA])
            old = await as_replayed(live, ada)
        token = live.token(ADA, reset_of=0)
        async with at(live, tmp_path / "new") as new:
            await new.reset(token, live.authority)
            assert new.status is Status.READY
            await new.reset(token, live.authority)  # as after a crash: nothing happens
            state = await as_replayed(live, new)
            assert (state.epoch, len(state.devices)) == (1, 1)
            assert old.devices[0].signing != state.devices[0].signing
            with pytest.raises(NotAccepted, match=ADA) as caught:
                await bob.encrypt(b"after", users=[ADA])
            bob.accept(caught.value)
            sealed = await bob.encrypt(b"after", users=[ADA])
            assert (await new.decrypt(sealed)).data == b"after"
            await new.encrypt(b"x", users=[BOB])


async def test_a_reset_where_the_last_device_was(live: Live, tmp_path: Path) -> None:
    """After one closed the account, in the very place where it was closed."""
    async with person(live, tmp_path, ADA) as ada:
        await ada.encrypt(b"x")
        await ada.user.close()
        with pytest.raises(DeviceGone):
            await ada.refresh()
        await ada.reset(live.token(ADA, reset_of=0), live.authority)
        assert ada.status is Status.READY
        assert (await as_replayed(live, ada)).epoch == 1
        sealed = await ada.encrypt(b"y")
        assert (await ada.decrypt(sealed)).data == b"y"


async def test_a_code_where_the_device_was_revoked(live: Live, tmp_path: Path) -> None:
    """The way back in leads into the very place that is out, too."""
    async with person(live, tmp_path, ADA) as ada, at(live, tmp_path / "phone") as phone:
        code = await ada.recovery_code()
        sealed = await ada.encrypt(b"x")
        await phone.join(await carried(ada, phone))
        await phone.revoke_device(ada.user.devices[0].signing.public)
        with pytest.raises(DeviceGone):
            await ada.decrypt(sealed)
        with pytest.raises(UsageError, match="no live recovery device"):
            await ada.recover(live.token(ADA), RecoveryCode.generate())
        assert ada.status.name == "GONE"
        await ada.recover(live.token(ADA), code)
        assert ada.status is Status.READY
        assert (await ada.decrypt(sealed)).data == b"x"
        assert len((await as_replayed(live, ada)).devices) == 3
        assert not ada.doubts


async def test_a_reset_that_was_for_another_epoch(live: Live, tmp_path: Path) -> None:
    async with person(live, tmp_path, ADA) as ada:
        await ada.reset(live.token(ADA, reset_of=0), live.authority)
    async with at(live, tmp_path / "new") as new:
        with pytest.raises(RuleViolation, match=r"R-52\.4"):
            await new.reset(live.token(ADA, reset_of=0), live.authority)
        assert new.status is Status.NEEDS_REGISTRATION
        await new.reset(live.token(ADA, reset_of=1), live.authority)
        assert (await as_replayed(live, new)).epoch == 2
