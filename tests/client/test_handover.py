"""A device on another machine: request, offer, acceptance, and everything that may be wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.client.replay.session import Log
from ledger.client.user.account import Account, DeviceSecret, FileVault, Identity, MemoryVault
from ledger.client.user.compose import Place, half_add
from ledger.client.user.handover import MAX_TEXT, Offer, Request, accept, ask
from ledger.client.user.user import User
from ledger.errors import (
    KeyrollError,
    MalformedInput,
    RuleViolation,
    StaleHead,
    TransportError,
    UsageError,
)
from ledger.format.bodies import DeviceKind
from ledger.format.identity import Opening
from tests.client.conftest import Live
from tests.support.actors import Device


async def test_a_device_joins(live: Live, log: Log, tmp_path: Path) -> None:
    ada = await User.register(log, live.token("ada@example.org"))
    vault = FileVault(tmp_path / "account")
    async with Log.connect(live.url, live.log_id) as other:
        request = Request.parse(ask(other.log_id, vault, DeviceKind.RECOVERY).export() + "\n")
        offer = Offer.parse((await ada.offer(request)).export())
        twin = await User.join(other, offer, vault)
        assert twin.identifier == "ada@example.org"
        assert [device.kind for device in twin.state.devices] == [0, 1]
        assert await twin.user_key() == await ada.user_key()
        await User.join(other, offer, vault)  # again, as after a crash: nothing happens
        await log.sync()
        assert ada.state == twin.state
        await twin.revoke_devices(ada.account.devices[0].signing.public)


async def test_a_crash_while_joining(live: Live, log: Log) -> None:
    ada = await User.register(log, live.token("ada@example.org"))
    vault = MemoryVault()
    offer = await ada.offer(ask(log.log_id, vault))
    honest = log._transport.submit
    for sent in (False, True):

        async def submit(request: bytes, *, sent: bool = sent) -> bytes:
            if sent:
                await honest(request)
            raise TransportError("the line broke")

        log._transport.submit = submit  # type: ignore[method-assign]
        with pytest.raises(TransportError):
            await User.join(log, offer, vault)
    log._transport.submit = honest  # type: ignore[method-assign]
    twin = await User.join(log, offer, vault)
    assert len(twin.state.devices) == 2
    assert twin.account.pending is None


async def test_a_late_offer_and_another(live: Live, log: Log) -> None:
    ada = await User.register(log, live.token("ada@example.org"))
    vault = MemoryVault()
    request = ask(log.log_id, vault)
    offer = await ada.offer(request)
    await ada.add_device()
    with pytest.raises(StaleHead):
        await User.join(log, offer, vault)
    twin = await User.join(log, await ada.offer(request), vault)
    assert len(twin.state.devices) == 3


def test_asking_twice_is_asking_once() -> None:
    vault = MemoryVault()
    first = ask(bytes(32), vault)
    assert ask(bytes(32), vault) == first
    other = ask(bytes(32), vault, DeviceKind.RECOVERY)
    assert (other.device.kind, other.device.signing != first.device.signing) == (1, True)
    with pytest.raises(UsageError):
        ask(b"\1" * 32, vault)
    vault.save(Account(bytes(32), Identity(bytes(32), Opening(bytes(32), "ada"), bytes(80))))
    with pytest.raises(UsageError):
        ask(bytes(32), vault)


async def test_no_request_was_made(live: Live, log: Log) -> None:
    ada = await User.register(log, live.token("ada@example.org"))
    offer = await ada.offer(Request(log.log_id, DeviceSecret.generate().keys))
    with pytest.raises(UsageError, match="no request"):
        await User.join(log, offer, MemoryVault())
    vault = MemoryVault()
    ask(log.log_id, vault)
    with pytest.raises(RuleViolation, match=r"R-50\.2"):
        await User.join(log, offer, vault)
    with pytest.raises(UsageError, match="another log"):
        await ada.offer(Request(bytes(32), DeviceSecret.generate().keys))


def _identified(offer: Offer, **changes: Any) -> Offer:
    return replace(offer, identity=replace(offer.identity, **changes))


Forge = Callable[[Offer, "Offer"], Offer]
FORGERIES: list[tuple[str, Forge]] = [
    ("another log", lambda offer, other: replace(offer, log_id=bytes(32))),
    ("another person", lambda offer, other: replace(offer, identity=other.identity)),
    (
        "another identifier",
        lambda offer, other: _identified(offer, opening=other.identity.opening),
    ),
    ("another label", lambda offer, other: _identified(offer, label=other.identity.label)),
    ("another proof", lambda offer, other: _identified(offer, proof=other.identity.proof)),
    ("no proof", lambda offer, other: _identified(offer, proof=bytes(80))),
    ("another offer's box", lambda offer, other: replace(offer, box=other.box)),
    ("no box", lambda offer, other: replace(offer, box=bytes(80))),
    ("another device's offer", lambda offer, other: replace(offer, block=other.block)),
    ("a cut block", lambda offer, other: replace(offer, block=offer.block[:-1])),
    (
        "a broken signature",
        lambda offer, other: replace(offer, block=offer.block[:-1] + bytes([offer.block[-1] ^ 1])),
    ),
]


@pytest.mark.parametrize(("name", "forge"), FORGERIES, ids=[name for name, _ in FORGERIES])
async def test_a_forged_offer(live: Live, log: Log, name: str, forge: Forge) -> None:
    ada = await User.register(log, live.token("ada@example.org"))
    eve = await User.register(log, live.token("eve@example.org"))
    device = DeviceSecret.generate()
    offer = await ada.offer(Request(log.log_id, device.keys))
    other = await eve.offer(Request(log.log_id, DeviceSecret.generate().keys))
    now = log.clock()
    with pytest.raises(KeyrollError):
        accept(forge(offer, other), device, log.replica, now)
    assert accept(offer, device, log.replica, now).submission.boxes == (offer.box,)


async def test_an_offer_by_a_device_that_is_not_live(live: Live, log: Log) -> None:
    ada = await User.register(log, live.token("ada@example.org"))
    phone = await ada.add_device()
    await ada.revoke_devices(phone.signing.public)
    device = DeviceSecret.generate()
    place = Place.after(log.replica, ada.label)
    half, box = half_add(place, phone, device.keys, await ada.user_key())
    with pytest.raises(RuleViolation, match=r"R-53\.3"):
        accept(Offer(log.log_id, ada.identity, half, box), device, log.replica, log.clock())


async def test_an_offer_with_another_user_key(live: Live, log: Log) -> None:
    """The box must open to the key that the chain names (R-55.4)."""
    ada = await User.register(log, live.token("ada@example.org"))
    device, author = DeviceSecret.generate(), ada.account.devices[0]
    place = Place.after(log.replica, ada.label)
    half, box = half_add(place, author, device.keys, device.encryption)
    with pytest.raises(MalformedInput, match=r"R-55\.4"):
        accept(Offer(log.log_id, ada.identity, half, box), device, log.replica, log.clock())


# --- text


def test_the_fingerprint_tells_requests_apart() -> None:
    one, two = (Request(bytes(32), DeviceSecret.generate().keys) for _ in range(2))
    assert one.fingerprint == Request.parse(one.export()).fingerprint != two.fingerprint
    assert len(one.fingerprint) == 24


@given(st.data())
def test_no_other_text_is_a_request(data: st.DataObject) -> None:
    text = Request(bytes(32), Device.make("phone").keys).export()
    at = data.draw(st.integers(0, len(text) - 1))
    character = data.draw(st.characters(exclude_characters=text[at]))
    for changed in (text[:at], text[:at] + character + text[at + 1 :], text + character):
        try:
            found = Request.parse(changed)
        except MalformedInput:
            continue
        assert found.export() == changed.strip()


@pytest.mark.parametrize(
    "text",
    ["", "keyroll-request-1.", "keyroll-offer-1.gQE=", "keyroll-request-1.____", "é" * 10],
)
def test_what_is_no_message(text: str) -> None:
    for kind in (Request, Offer):
        with pytest.raises(MalformedInput):
            kind.parse(text)


def test_a_message_is_bounded() -> None:
    for kind, prefix in ((Request, "keyroll-request-1."), (Offer, "keyroll-offer-1.")):
        with pytest.raises(MalformedInput):
            kind.parse(prefix + "A" * (MAX_TEXT * 8))
