"""What the server asks of a block beyond the rules that everyone checks: R-55.3, R-71.4.

Auditors can't check these: boxes and openings are private. Whoever is wronged by a bad one notices
(R-55.4, R-36.6).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ledger.errors import RuleViolation
from ledger.format.block import Block
from ledger.format.bodies import BlockType, UserCreate
from ledger.format.identity import Opening
from ledger.rules.context import Outcome
from ledger.seal.boxes import BOX_BYTES, box_root
from ledger.store.port import PrivateItem


@dataclass(frozen=True, slots=True)
class Submission:
    """A block, and what comes along: boxes in their order, the opening for a user.create."""

    block: Block
    boxes: tuple[bytes, ...] = ()
    opening: Opening | None = None

    def private(self, outcome: Outcome) -> PrivateItem:
        """What of it goes to the private store: each box behind its recipient's public key."""
        pairs = zip(outcome.recipients, self.boxes, strict=True)
        opening = (self.opening.nonce, self.opening.identifier) if self.opening else None
        boxes = tuple(recipient + box for recipient, box in pairs)
        return PrivateItem(self.block.hash, self.block.label, boxes, opening)


def check_opening(submission: Submission) -> None:
    """R-71.4, but for the VRF: an opening where there must be one, fitting the commitment."""
    block, opening = submission.block, submission.opening
    if (block.type == BlockType.USER_CREATE) != (opening is not None):
        raise RuleViolation("R-71.4", "an opening comes with user.create, and only with it")
    if opening is None or not isinstance(block.body, UserCreate):
        return
    if opening.commitment != block.body.delegation.commitment:
        raise RuleViolation("R-71.4", "the opening does not fit the delegation's commitment")


def check_boxes(boxes: Sequence[bytes], outcome: Outcome) -> None:
    """R-55.3: as many boxes as recipients, of the right size, that give the block's box root."""
    if len(boxes) != len(outcome.recipients):
        detail = f"{len(boxes)} boxes for {len(outcome.recipients)} recipients"
        raise RuleViolation("R-55.3", detail)
    if any(len(box) != BOX_BYTES for box in boxes):
        raise RuleViolation("R-55.2", f"a box of another size than {BOX_BYTES} bytes")
    if outcome.box_root is not None and box_root(outcome.recipients, boxes) != outcome.box_root:
        raise RuleViolation("R-55.3", "the boxes do not give the block's box root")
