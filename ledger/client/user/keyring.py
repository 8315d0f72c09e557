"""User keys, and the boxes that hand them over (R-55.4). Pure.

Each block that brings a user key begins a generation. A device's box with it came in that block, or
in the device.add that brought the device. The key before it is in a box sealed to the key itself,
so whoever holds the newest can open one after the other, back to the last reset.

>>> step = handover(steps, device.encryption.public)             # doctest: +SKIP
>>> opened = open_handed(step, answer, device.encryption, step.chain.state.user_key)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ledger.client.history import Step
from ledger.errors import MalformedInput, UsageError
from ledger.format.bodies import DeviceRevoke, UserCreate
from ledger.format.keys import EncryptionKey
from ledger.format.wire import BoxAnswer
from ledger.seal.boxes import open_box, verify_box


@dataclass(frozen=True, slots=True)
class Generation:
    """A user key: its number, its public half, and the block that brought it."""

    number: int
    public: bytes
    step: Step

    @property
    def hands_on(self) -> bool:
        """Whether its block hands on the key before it. A create or a reset has none."""
        return isinstance(self.step.block.body, DeviceRevoke)


def generations(steps: Iterable[Step]) -> list[Generation]:
    """The user keys of a chain, in their order: the number of each is its place."""
    found: list[Generation] = []
    for step in steps:
        body = step.block.body
        if isinstance(body, UserCreate | DeviceRevoke):  # a UserReset is a UserCreate too
            found.append(Generation(len(found), body.user_key, step))
    return found


def handover(steps: Sequence[Step], recipient: bytes) -> Step:
    """The newest block of a chain with a box for the public key `recipient`."""
    for step in reversed(steps):
        if recipient in step.outcome.recipients:
            return step
    raise UsageError("no block of this chain has a box for this key")


def open_handed(
    step: Step, answer: BoxAnswer, key: EncryptionKey, expected: bytes
) -> EncryptionKey:
    """The secret in the box for `key` that came with `step`, its public half being `expected`.

    Raises `MalformedInput` (R-20.3, R-55.2, R-55.4).
    """
    recipients = step.outcome.recipients
    check_place(step, answer, recipients, recipients.index(key.public))
    return open_box(answer.box, key, expected)


def check_place(step: Step, answer: BoxAnswer, recipients: Sequence[bytes], position: int) -> None:
    """Check that the box came with `step` for the recipient at `position` (R-55.4)."""
    count, root = len(recipients), step.outcome.box_root
    if answer.count != count or root is None:
        detail = f"the box is of {answer.count}, not of {count}, as the chain has it"
        raise MalformedInput("R-55.4", detail)
    verify_box(recipients[position], answer.box, position, count, answer.proof, root)
