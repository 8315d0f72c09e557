"""The actors write what the rules admit, with boxes that open and the same bytes every time."""

from __future__ import annotations

import doctest
from collections.abc import Callable

import pytest

from ledger.errors import StaleHead
from ledger.format import block, checkpoint, note
from ledger.format.bodies import DeviceKind, Limits
from ledger.log.admission import check_boxes, check_private
from ledger.log.planner import Admission
from ledger.rules.users import LoudEvent
from ledger.seal.boxes import open_box
from tests.support import actors, memory
from tests.support.actors import NOW, Device, LogActor, User, Written, signing_key
from tests.support.memory import MemoryLog


def admitted(log: MemoryLog, written: Written[User]) -> Admission:
    """Admit the block; its boxes are those that its recipients expect, and they open."""
    block.verify(written.block, log.log_id)
    result = log.admit([written.raw]).results[0]
    assert isinstance(result, Admission)
    check_private(written.submission)
    check_boxes(written.boxes, result.outcome.recipients, result.outcome.box_root)
    devices = {device.encryption.public: device.encryption for device in written.after.devices}
    user_key = written.after.user_key
    for recipient, box in zip(result.outcome.recipients, written.boxes, strict=True):
        if recipient != user_key.public:
            assert open_box(box, devices[recipient], user_key.public) == user_key
    return result


@pytest.fixture
def log() -> tuple[MemoryLog, LogActor]:
    founding = LogActor.make()
    return MemoryLog(founding.raw), founding.after


def test_a_life(log: tuple[MemoryLog, LogActor]) -> None:
    memory_log, actor = log
    assert memory_log.log_id == actor.log_id
    written = User.create(actor, "ada@example.org", memory_log.anchor)
    assert written.opening is not None
    assert written.after.label == actor.label("ada@example.org")
    result = admitted(memory_log, written)
    kit = written.after.device(kind=DeviceKind.RECOVERY)
    steps: list[Callable[[User], Written[User]]] = [
        lambda user: user.add(memory_log.anchor, kit),
        lambda user: user.add(memory_log.anchor, author=1),
        lambda user: user.revoke(memory_log.anchor, 0, author=2),
        lambda user: user.reset(actor, memory_log.anchor),
        lambda user: user.close(memory_log.anchor),
        lambda user: user.reset(actor, memory_log.anchor),
    ]
    for step in steps:
        written = step(written.after)
        result = admitted(memory_log, written)
    assert result.outcome.events == (LoudEvent.RESET,)
    assert (written.after.epoch, written.after.seq) == (2, 7)
    assert len(memory_log.blocks_of(written.after.label)) == 7


@pytest.mark.parametrize("kind", DeviceKind)
def test_what_a_recovery_device_does_is_loud(
    log: tuple[MemoryLog, LogActor], kind: DeviceKind
) -> None:
    """50-rules, events 2 and 3: whichever of the kinds it is, but not an ordinary one."""
    memory_log, actor = log
    ada = User.create(actor, "ada@example.org", memory_log.anchor)
    admitted(memory_log, ada)
    kit = ada.after.add(memory_log.anchor, ada.after.device(kind=kind))
    assert admitted(memory_log, kit).outcome.events == ()
    by_kit = kit.after.add(memory_log.anchor, author=1)
    loud = kind != DeviceKind.ORDINARY
    added = admitted(memory_log, by_kit).outcome.events
    assert added == ((LoudEvent.ADDED_BY_RECOVERY,) if loud else ())
    revoked = admitted(memory_log, by_kit.after.revoke(memory_log.anchor, 1)).outcome.events
    assert revoked == ((LoudEvent.RECOVERY_REVOKED,) if loud else ())


def test_the_old_user_key_is_sealed_to_the_new(log: tuple[MemoryLog, LogActor]) -> None:
    memory_log, actor = log
    before = User.create(actor, "ada@example.org", memory_log.anchor).after
    after = before.add(memory_log.anchor).after.revoke(memory_log.anchor, 1)
    old = before.user_key
    assert open_box(after.boxes[-1], after.after.user_key, old.public) == old


def test_a_policy(log: tuple[MemoryLog, LogActor]) -> None:
    memory_log, actor = log
    enrolment, limits = signing_key("another enrolment"), Limits(max_devices=2)
    policy = actor.policy(memory_log.anchor, enrolment=enrolment, limits=limits)
    block.verify(policy.block, actor.log_id)
    memory_log.admit([policy.raw])
    created = User.create(policy.after, "ada@example.org", memory_log.anchor)
    admitted(memory_log, created)
    stale = User.create(actor, "bob@example.org", memory_log.anchor)
    assert not isinstance(memory_log.offer(stale.raw), Admission)


def test_two_blocks_on_one_head(log: tuple[MemoryLog, LogActor]) -> None:
    memory_log, actor = log
    ada = User.create(actor, "ada@example.org", memory_log.anchor, label=b"a" * 32)
    memory_log.admit([ada.raw])
    one = ada.after.add(memory_log.anchor, Device.make("one"))
    two = ada.after.add(memory_log.anchor, Device.make("two"))
    memory_log.admit([one.raw])
    with pytest.raises(StaleHead):
        memory_log.admit([two.raw])


def test_the_note_is_the_logs(log: tuple[MemoryLog, LogActor]) -> None:
    memory_log, actor = log
    verifier = note.Verifier(actor.origin, note.ED25519, actor.log_key.public)
    opened = checkpoint.open_checkpoint(actor.note(memory_log.head), verifier)
    assert (opened.size, opened.root) == (memory_log.head.size, memory_log.head.root)


def test_every_run_is_the_same() -> None:
    anchor = MemoryLog(LogActor.make().raw, NOW).anchor
    one, two = (User.create(LogActor.make().after, "ada", anchor) for _ in range(2))
    assert one.raw == two.raw
    assert one.boxes == two.boxes


@pytest.mark.parametrize("module", [actors, memory])
def test_examples(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]
