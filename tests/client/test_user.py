"""People who write to a real server: registering, devices, resets, and all that goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from ledger.app import keys
from ledger.app.enrolment import Register, enrol
from ledger.app.keys import Role
from ledger.app.policy import rotate_enrolment
from ledger.client.replay.replica import Replica
from ledger.client.replay.session import Log
from ledger.client.transport import HttpTransport
from ledger.client.user.account import Account, DeviceSecret, FileVault, MemoryVault
from ledger.client.user.user import User
from ledger.errors import (
    LogMisbehaved,
    MalformedInput,
    Refused,
    RuleViolation,
    TransportError,
    UsageError,
)
from ledger.format import wire
from ledger.format.block import LOG_LABEL
from ledger.format.bodies import DAY_MS, MAX_TIME, DeviceKind
from ledger.tree.merkle import leaf_hash, root_of
from ledger.tree.tiles import Bundle
from tests.client.conftest import Live


def assert_equal_to_store(log: Log, live: Live) -> None:
    """The replica is what the server's store holds."""
    replica = log.replica
    with live.served.service.store.reader() as reader:
        assert reader.head == replica.head
        assert reader.note == replica.note
        entries = reader.entries(0, reader.head.size)
        assert [replica.entry(index) for index in range(len(entries))] == entries
        for label in replica.labels():
            assert reader.chain(label) == replica.chain(label)
    assert replica.head.root == root_of(list(map(leaf_hash, entries)))
    replica.check()


async def test_a_life(live: Live, log: Log) -> None:
    ada = await User.register(log, live.token("ada@example.org"))
    first = ada.account.devices[0]
    assert [device.signing for device in ada.state.devices] == [first.signing.public]
    phone = await ada.add_device()
    kit = await ada.add_device(kind=DeviceKind.RECOVERY)
    assert [device.kind for device in ada.state.devices] == [0, 0, 1]
    before = await ada.user_key()
    await ada.revoke_devices(phone.signing.public, first.signing.public)
    assert ada.devices == [kit]
    assert (await ada.user_key()).public == ada.state.user_key != before.public
    await ada.close()
    assert ada.state.closed
    again = await User.reset(log, live.token("ada@example.org", reset_of=0), live.authority)
    assert (again.label, again.state.epoch) == (ada.label, 1)
    assert_equal_to_store(log, live)


async def test_one_replica_for_many(live: Live, log: Log) -> None:
    names = [f"{number}@example.org" for number in range(20)]
    people = await asyncio.gather(*(User.register(log, live.token(name)) for name in names))
    await asyncio.gather(*(person.add_device() for person in people))
    assert all(len(person.state.devices) == 2 for person in people)
    assert len({person.label for person in people}) == 20
    assert_equal_to_store(log, live)


@asynccontextmanager
async def elsewhere(live: Live) -> AsyncIterator[Log]:
    """Another client with its own replica."""
    async with Log.connect(live.url, live.log_id) as log:
        await log.sync()
        yield log


async def test_two_devices_at_once(live: Live, log: Log) -> None:
    """Both write on one head: one wins, the other builds again."""
    ada = await User.register(log, live.token("ada@example.org"))
    phone = await ada.add_device()
    async with elsewhere(live) as other:
        vault = MemoryVault()
        vault.save(Account(live.log_id, ada.identity, devices=(phone,)))
        twin = User(other, vault)
        await asyncio.gather(ada.add_device(), twin.add_device())
        await log.sync()
        assert len(ada.state.devices) == 4
        await asyncio.gather(
            ada.revoke_devices(ada.state.devices[2].signing),
            twin.revoke_devices(ada.state.devices[3].signing),
        )
        await asyncio.gather(log.sync(), other.sync())
        assert ada.state == twin.state
        assert ada.state.generation == 2
        assert (await ada.user_key()) == (await twin.user_key())
        assert_equal_to_store(log, live)


async def test_writes_of_one_user_wait_for_one_another(live: Live, log: Log) -> None:
    ada = await User.register(log, live.token("ada@example.org"))
    await asyncio.gather(*(ada.add_device() for _ in range(3)))
    assert len(ada.state.devices) == 4
    with pytest.raises(RuleViolation, match=r"R-53\.4"):
        await ada.add_device()
    assert ada.account.pending is None


# --- user keys


async def test_user_keys_back_to_the_last_reset(live: Live, log: Log) -> None:
    """Whoever holds the newest opens the ones before, from boxes (R-55.4)."""
    ada = await User.register(log, live.token("ada@example.org"))
    secrets = [await ada.user_key()]
    for _ in range(3):
        device = await ada.add_device()
        await ada.revoke_devices(device.signing.public)
        secrets.append(await ada.user_key())
    phone = await ada.add_device()
    vault = MemoryVault()
    vault.save(Account(live.log_id, ada.identity, devices=(phone,)))
    twin = User(log, vault)
    assert await twin.user_key() == secrets[3]
    assert await twin.user_key(0) == secrets[0]
    assert [await twin.user_key(number) for number in range(4)] == secrets
    with pytest.raises(UsageError, match="generation 4"):
        await twin.user_key(4)
    reset = await User.reset(log, live.token("ada@example.org", reset_of=0), live.authority)
    assert (await reset.user_key()).public == reset.state.user_key
    with pytest.raises(UsageError, match="before a reset"):
        await reset.user_key(3)
    # What was held stays readable on the device that held it.
    assert await ada.user_key(3) == secrets[3]


async def test_a_device_that_missed_a_rotation(live: Live, log: Log) -> None:
    ada = await User.register(log, live.token("ada@example.org"))
    phone, laptop = await ada.add_device(), await ada.add_device()
    vault = MemoryVault()
    vault.save(Account(live.log_id, ada.identity, devices=(phone,)))
    twin = User(log, vault)
    await ada.revoke_devices(laptop.signing.public)
    await twin.revoke_devices(ada.account.devices[0].signing.public)
    assert twin.state.generation == 2
    assert ada.devices == [phone]  # its keys are here too


Ask = Callable[[bytes], Awaitable[bytes]]


class Meddling:
    """A real transport, some of whose questions are put to somebody else."""

    def __init__(self, inner: HttpTransport) -> None:
        self.inner = inner
        self.submit_to: Ask = inner.submit
        self.label_from: Ask = inner.label
        self.box_from: Ask = inner.box
        self.statements_from: Ask = inner.statements

    async def checkpoint(self) -> bytes:
        return await self.inner.checkpoint()

    async def bundle(self, bundle: Bundle) -> bytes:
        return await self.inner.bundle(bundle)

    async def consistency(self, old: int, new: int) -> bytes:
        return await self.inner.consistency(old, new)

    async def inclusion(self, index: int, size: int) -> bytes:
        return await self.inner.inclusion(index, size)

    async def covered(self) -> bytes:
        return await self.inner.covered()

    async def chain(self, label: bytes, start: int) -> bytes:
        return await self.inner.chain(label, start)

    async def submit(self, request: bytes) -> bytes:
        return await self.submit_to(request)

    async def label(self, request: bytes) -> bytes:
        return await self.label_from(request)

    async def box(self, request: bytes) -> bytes:
        return await self.box_from(request)

    async def group_boxes(self, request: bytes) -> bytes:
        return await self.inner.group_boxes(request)

    async def statements(self, request: bytes) -> bytes:
        return await self.statements_from(request)

    async def leave(self, request: bytes) -> None:
        await self.inner.leave(request)

    async def grant(self, request: bytes) -> None:
        await self.inner.grant(request)


@asynccontextmanager
async def meddled(live: Live) -> AsyncIterator[tuple[Log, Meddling]]:
    with Replica.open(":memory:", live.log_id) as replica:
        async with HttpTransport(live.url) as inner:
            transport = Meddling(inner)
            log = Log(replica, transport, clock=live.shift.now)
            await log.sync()
            yield log, transport


BoxLie = Callable[[wire.BoxAnswer], wire.BoxAnswer]
BOX_LIES: list[BoxLie] = [
    lambda a: wire.BoxAnswer(a.count + 1, a.box, a.proof),
    lambda a: wire.BoxAnswer(a.count - 1, a.box, a.proof),
    lambda a: wire.BoxAnswer(a.count, bytes(80), a.proof),
    lambda a: wire.BoxAnswer(a.count, a.box[:-1], a.proof),
    lambda a: wire.BoxAnswer(a.count, a.box, a.proof[:-1]),
    lambda a: wire.BoxAnswer(a.count, a.box, a.proof[::-1]),
]


@pytest.mark.parametrize("lie", BOX_LIES)
async def test_a_wrong_box_is_not_opened(live: Live, lie: BoxLie) -> None:
    async with meddled(live) as (log, transport):
        ada = await User.register(log, live.token("ada@example.org"))
        phone, laptop = await ada.add_device(), await ada.add_device()
        await ada.revoke_devices(laptop.signing.public)
        vault = MemoryVault()
        vault.save(Account(live.log_id, ada.identity, devices=(phone,)))
        twin, honest = User(log, vault), transport.box_from

        async def box(request: bytes) -> bytes:
            return lie(wire.BoxAnswer.decode(await honest(request))).encode()

        transport.box_from = box
        with pytest.raises(MalformedInput):
            await twin.user_key()
        assert twin.account.user_keys == ()
        transport.box_from = honest
        assert (await twin.user_key()).public == twin.state.user_key


async def test_boxes_are_for_their_recipient(live: Live, log: Log) -> None:
    ada = await User.register(log, live.token("ada@example.org"))
    eve = await User.register(log, live.token("eve@example.org"))
    own, other = ada.account.devices[0].signing, eve.account.devices[0].signing
    asked = wire.BoxRequest(ada.label, ada.label, ada.label, ada.state.index, 0)
    assert (await log.box(asked, own)).count == 1
    for user in (ada, eve):
        with pytest.raises(Refused, match="403"):
            await log.box(replace(asked, user=user.label), other)


# --- who may


async def test_tokens(live: Live, log: Log) -> None:
    token = live.token("ada@example.org")
    with pytest.raises(UsageError, match="not for a reset"):
        await User.reset(log, token, live.authority)
    with pytest.raises(UsageError, match="not for a create"):
        await User.register(log, live.token("ada@example.org", reset_of=0))
    with pytest.raises(Refused, match="403"):
        await User.register(log, live.token("ada@example.org", expiry=1))
    ada = await User.register(log, token)
    with pytest.raises(RuleViolation, match=r"R-43\.2"):
        await User.register(log, token)
    with pytest.raises(RuleViolation, match=r"R-52\.4"):
        await User.reset(log, live.token("ada@example.org", reset_of=1), live.authority)
    assert ada.state.epoch == 0


async def test_a_new_enrolment_key(live: Live, log: Log) -> None:
    """A log.policy goes through the same door, and what it ends has ended."""
    old, new = live.token("ada@example.org"), DeviceSecret.generate().signing
    root, chain = keys.load(live.app, Role.ROOT), log.replica.chain(LOG_LABEL)
    assert chain
    log_key, anchor = live.home.log_key(), log.replica.anchor
    raw = rotate_enrolment(chain, anchor, log.log_id, new, root, log_key)
    await log.submit(wire.Submission(raw))
    assert log.replica.log.enrolment == new.public
    with pytest.raises(Refused, match="403"):
        await User.register(log, old)
    with Register.open(":memory:") as register:
        token = enrol("ada@example.org", log.log_id, new, bytes(32), register, expiry=MAX_TIME)
    ada = await User.register(log, token)
    assert_equal_to_store(log, live)
    assert [step.index for step in log.replica.history(ada.label)] == [ada.state.index]


async def test_a_reset_needs_the_authority(live: Live, log: Log) -> None:
    await User.register(log, live.token("ada@example.org"))
    token = live.token("ada@example.org", reset_of=0)
    forged = DeviceSecret.generate().signing
    with pytest.raises(RuleViolation, match=r"R-50\.2"):
        await User.reset(log, token, forged)


async def test_a_label_that_is_not_the_identifiers(live: Live) -> None:
    async with meddled(live) as (log, transport):
        honest, answers = transport.label_from, list[wire.LabelAnswer]()

        async def label(request: bytes) -> bytes:
            answers.append(wire.LabelAnswer.decode(await honest(request)))
            return answers[0].encode()

        transport.label_from = label
        await User.register(log, live.token("ada@example.org"))
        with pytest.raises(LogMisbehaved, match=r"R-36\.3"):
            await User.register(log, live.token("bob@example.org"))

        async def other(request: bytes) -> bytes:
            return replace(answers[1], label=bytes(31) + b"\1").encode()

        answers[0] = answers[1]
        transport.label_from = other
        with pytest.raises(LogMisbehaved):
            await User.register(log, live.token("eve@example.org"))


async def test_a_revoked_device_learns_it(live: Live, log: Log) -> None:
    ada = await User.register(log, live.token("ada@example.org"))
    phone = await ada.add_device()
    vault = MemoryVault()
    vault.save(Account(live.log_id, ada.identity, devices=(phone,)))
    twin = User(log, vault)
    await ada.revoke_devices(phone.signing.public)
    with pytest.raises(UsageError, match="no device that is here is live"):
        await twin.add_device()
    with pytest.raises(UsageError, match="no device that is here is live"):
        await twin.user_key()
    with pytest.raises(UsageError):
        await ada.revoke_devices(ada.account.devices[0].signing.public)


async def test_another_log(live: Live, log: Log) -> None:
    ada = await User.register(log, live.token("ada@example.org"))
    vault = MemoryVault()
    vault.save(Account(bytes(32), ada.identity, devices=ada.account.devices))
    with pytest.raises(UsageError, match="another log"):
        User(log, vault)
    with pytest.raises(UsageError, match="nobody"):
        User(log, MemoryVault())


# --- crashes and lost answers


class Crash(Exception):
    """The process ends here."""


@pytest.mark.parametrize("sent", [False, True], ids=["before", "after"])
async def test_a_crash_while_registering(live: Live, tmp_path: Path, sent: bool) -> None:
    token, path = live.token("ada@example.org"), tmp_path / "account"
    async with meddled(live) as (log, transport):
        _crash(transport, sent=sent)
        with pytest.raises(Crash):
            await User.register(log, token, FileVault(path))
    kept = FileVault(path).load()
    assert kept
    assert kept.pending
    async with elsewhere(live) as log:
        ada = await User.register(log, token, FileVault(path))
        assert [device.keys for device in ada.devices] == [kept.devices[0].keys]
        assert ada.account.pending is None
        assert (await ada.user_key()).public == kept.user_keys[0].public
        assert len(log.replica.history(ada.label)) == 1


def _crash(transport: Meddling, *, sent: bool) -> None:
    honest = transport.submit_to

    async def submit(request: bytes) -> bytes:
        if sent:
            await honest(request)
        raise Crash

    transport.submit_to = submit


@pytest.mark.parametrize("sent", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("act", ["add", "revoke", "close", "reset"])
async def test_a_crash_while_writing(live: Live, tmp_path: Path, act: str, sent: bool) -> None:
    """No key is lost, nothing is done twice."""
    path = tmp_path / "account"
    async with meddled(live) as (log, transport):
        ada = await User.register(log, live.token("ada@example.org"), FileVault(path))
        phone = await ada.add_device()
        honest = transport.submit_to
        _crash(transport, sent=sent)
        with pytest.raises(Crash):
            await _act(ada, act, live, phone)
        transport.submit_to = honest
        again = User(log, FileVault(path))
        assert again.account.pending
        assert await again.resume() is True
        assert again.account.pending is None
        if act != "add":
            await _act(again, act, live, phone)  # done already: nothing happens
        assert len(log.replica.history(ada.label)) == 3
        if act != "close":
            assert (await again.user_key()).public == again.state.user_key
        assert await again.resume() is False


async def _act(ada: User, act: str, live: Live, phone: DeviceSecret) -> None:
    if act == "add":
        await ada.add_device()
    elif act == "revoke":
        await ada.revoke_devices(phone.signing.public)
    elif act == "close":
        await ada.close()
    else:
        token = live.token("ada@example.org", reset_of=0)
        await User.reset(ada.log, token, live.authority, ada.writer._vault)


async def test_a_pending_block_whose_place_was_taken(live: Live, tmp_path: Path) -> None:
    path = tmp_path / "account"
    async with meddled(live) as (log, transport):
        ada = await User.register(log, live.token("ada@example.org"), FileVault(path))
        honest = transport.submit_to
        _crash(transport, sent=False)
        with pytest.raises(Crash):
            await ada.add_device()
        transport.submit_to = honest
        vault = MemoryVault()
        vault.save(Account(live.log_id, ada.identity, ada.account.devices[:1]))
        await User(log, vault).add_device()
        again = User(log, FileVault(path))
        assert await again.resume() is False
        await again.add_device()
        assert len(again.state.devices) == 3


async def test_a_lost_answer_is_asked_for_again(live: Live) -> None:
    """The transport repeats; the same block gives its first index (R-71.3)."""
    async with meddled(live) as (log, transport):
        honest, asked = transport.inner._ask_once, list[str]()

        async def ask(path: str, limit: int, body: bytes | None) -> bytes:
            answer = await honest(path, limit, body)
            asked.append(path)
            if path == wire.BLOCKS_PATH and asked.count(path) == 1:
                raise TransportError("the line broke")
            return answer

        transport.inner._ask_once = ask  # type: ignore[method-assign]
        ada = await User.register(log, live.token("ada@example.org"))
        assert asked.count(wire.BLOCKS_PATH) == 2
        assert len(log.replica.history(ada.label)) == 1


async def test_a_transport_error_leaves_the_block_pending(live: Live) -> None:
    async with meddled(live) as (log, transport):
        honest = transport.submit_to

        async def submit(request: bytes) -> bytes:
            await honest(request)
            raise TransportError("the line broke")

        ada = await User.register(log, live.token("ada@example.org"))
        transport.submit_to = submit
        with pytest.raises(TransportError):
            await ada.add_device()
        assert ada.account.pending
        transport.submit_to = honest
        await ada.add_device()  # settles the first one before
        assert len(ada.state.devices) == 3


async def test_unavailable_says_nothing_about_the_block(live: Live) -> None:
    async with meddled(live) as (log, transport):
        honest, refused = transport.submit_to, list[wire.Refused]()

        async def submit(request: bytes) -> bytes:
            if refused:
                return await honest(request)
            refused.append(wire.Refused("unavailable", "", "the disk is full"))
            note = await transport.checkpoint()
            return wire.SubmitAnswer(note, tuple(refused)).encode()

        transport.submit_to = submit
        ada = await User.register(log, live.token("ada@example.org"))
        assert len(ada.state.devices) == 1


async def test_a_replica_of_yesterday(live: Live) -> None:
    """Its anchor is refused (R-44.3); the write is built again after a sync."""
    async with meddled(live) as (log, _):
        ada = await User.register(log, live.token("ada@example.org"))
        service = live.served.service
        live.shift.by = 25 * 3_600_000
        assert live.shift.by > DAY_MS
        async with asyncio.timeout(10):
            while service.health()[2] > 60_000:  # noqa: ASYNC110 - until the next heartbeat
                await asyncio.sleep(0.05)
        await ada.add_device()
        assert len(ada.state.devices) == 2
