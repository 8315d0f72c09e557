"""Whom a log's application let in, as far as blocks tell it by themselves (R-98.9).

>>> enrolment = vouched(asked, signer)                           # doctest: +SKIP

The service knows nothing of any log. But a log's application signs whom it lets in, that person's
first device signs with the key to whom it was said, and each later device with one before it; so
the blocks that brought in a device lead from the application's enrolment key to it. Whether it is
live still only the log tells.
"""

from __future__ import annotations

from collections.abc import Sequence

from ledger.errors import RuleViolation
from ledger.format import block as blocks
from ledger.format.block import Block
from ledger.format.bodies import DeviceAdd, Purpose, UserCreate, UserReset
from ledger.format.pending import AskRequest


def vouched(asked: AskRequest, signer: bytes) -> bytes:
    """The enrolment key of the application that let in the person who asks by the key `signer`.

    Raises `RuleViolation` (R-98.9; R-40.4 and R-52.5 for signatures) and `MalformedInput`.
    """
    first, *rest = map(blocks.parse, asked.lineage)
    enrolment, device = _entered(first, asked)
    for block in rest:
        device = _added(block, first.label, device)
    if device != signer:
        raise RuleViolation("R-98.9", "what asks is not the device that was let in last")
    for block in (first, *rest):
        blocks.verify(block, asked.log_id)
    return enrolment


def _entered(block: Block, asked: AskRequest) -> tuple[bytes, bytes]:
    """The enrolment key that let a person in, and their first device."""
    body = block.body
    if not isinstance(body, UserCreate):
        raise RuleViolation("R-98.9", "the first block is to be one that let somebody in")
    delegation, device = body.delegation, body.device.signing
    is_reset = isinstance(body, UserReset)
    purpose = Purpose.RESET if is_reset else Purpose.CREATE
    if (delegation.log_id, delegation.purpose) != (asked.log_id, purpose):
        raise RuleViolation("R-98.9", "the delegation is for another log, or for another purpose")
    if delegation.commitment != asked.opening.commitment:
        raise RuleViolation("R-98.9", "the delegation is for somebody else")
    _check_signers(block, (delegation.ephemeral, device), is_reset)
    if len(delegation.envelope.signers) != 1:
        raise RuleViolation("R-98.9", "a delegation has one signature")
    return delegation.envelope.signers[0], device


def _added(block: Block, label: bytes, author: bytes) -> bytes:
    """The device that another one brought in."""
    body = block.body
    if not isinstance(body, DeviceAdd) or (block.label, body.author) != (label, author):
        raise RuleViolation("R-98.9", "a block does not go on from the device before it")
    _check_signers(block, (author, body.device.signing))
    return body.device.signing


def _check_signers(block: Block, named: Sequence[bytes], is_reset: bool = False) -> None:
    """R-50.2. Of a reset, the recovery authority between them is whom the service can't know."""
    signers = block.envelope.signers
    found = (signers[0], *signers[2:]) if is_reset else signers
    if tuple(found) != tuple(named):
        raise RuleViolation("R-98.9", "a block is not signed by whom it names")
