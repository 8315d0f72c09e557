"""What the server asks of a block beyond the rules that everyone checks: R-55.3, R-56.10, R-71.4.

Auditors can't check these: boxes, openings and statements are private. Whoever is wronged by a bad
one notices (R-55.4, R-36.6, and whoever reads a group's statements).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from ledger.errors import RuleViolation
from ledger.format import block as blocks
from ledger.format import cose, wire
from ledger.format.block import Block, Checks
from ledger.format.bodies import BlockType, UserCreate
from ledger.format.identity import Opening, check_identifier
from ledger.format.statement import Role, Statement
from ledger.log.commit import Commit
from ledger.log.planner import Admission, Ahead, Batch, View
from ledger.rules import membership
from ledger.rules.context import Context, Outcome
from ledger.rules.membership import Before, Kind, Membership
from ledger.rules.state import Chain, GroupState
from ledger.seal.boxes import BOX_BYTES, box_root
from ledger.store.port import PrivateItem
from ledger.value import value

GROUPS = frozenset({BlockType.GROUP_CREATE, BlockType.GROUP_UPDATE, BlockType.GROUP_CLOSE})


@value
class Submission:
    """A block, and what comes along: boxes in their order; the opening for a user.create, the
    statement for a group's block.
    """

    block: Block
    boxes: tuple[bytes, ...] = ()
    opening: Opening | None = None
    statement: Statement | None = None

    @classmethod
    def parse(cls, raw: wire.Submission) -> Submission:
        """What was handed in, if all of it is well-formed and goes together."""
        if raw.opening:
            check_identifier(raw.opening.identifier)
        statement = None if raw.statement is None else Statement.parse(raw.statement)
        parsed = cls(blocks.parse(raw.block), raw.boxes, raw.opening, statement)
        check_private(parsed)
        return parsed

    def checks(self, log_id: bytes) -> Checks:
        """What costs time and needs no state: the block's checks, and the statement's signature."""
        found = blocks.checks(self.block, log_id)
        if self.statement is None:
            return found
        signature = blocks.inner_signatures(
            "R-56.4", self.statement.envelope, cose.STATEMENT, log_id
        )
        return replace(found, inner=(*found.inner, *signature))


def check_private(submission: Submission) -> None:
    """R-71.4 and R-71.6, as far as no state is needed: what must come along, and nothing else."""
    block, opening = submission.block, submission.opening
    if (block.type == BlockType.USER_CREATE) != (opening is not None):
        raise RuleViolation("R-71.4", "an opening comes with user.create, and only with it")
    if (block.type in GROUPS) != (submission.statement is not None):
        raise RuleViolation("R-71.6", "a statement comes with a group's block, and only with it")
    if opening is None or not isinstance(block.body, UserCreate):
        return
    if opening.commitment != block.body.delegation.commitment:
        raise RuleViolation("R-71.4", "the opening does not fit the delegation's commitment")


ReadStored = Callable[[int, bytes], bytes | None]
"""A membership, encoded, by leaf and hash of the block that led to it."""


class VettedBatch:
    """A batch in the making of submissions. `items` is what is to be kept beside the log."""

    def __init__(
        self,
        view: View,
        now: int,
        stored: ReadStored,
        inherited: Mapping[bytes, Membership] | None = None,
    ) -> None:
        self.items: list[PrivateItem] = []
        self._view = view
        self._batch = Batch(view, now)
        self._stored = stored
        self._inherited = inherited or {}
        self._made: dict[bytes, Membership] = {}

    def next(self, commit: Commit, now: int) -> VettedBatch:
        """The batch after this one, which gave `commit`: begun before that is published."""
        return VettedBatch(Ahead(self._view, commit), now, self._stored, self._made)

    def follow(self, view: View) -> None:
        """Go on with `view`: the batch before is published there."""
        self._batch.follow(view)
        self._view = view

    def admit(self, submission: Submission) -> Admission | RuleViolation:
        """Take in a block, if the rules admit it and what comes along fits."""
        return self._batch.admit(submission.block, partial(self._vet, submission))

    def close(self) -> Commit:
        """What all of it does."""
        return self._batch.close()

    def _vet(self, submission: Submission, at: Context, outcome: Outcome) -> None:
        block, opening, statement = at.block, submission.opening, submission.statement
        recipients, stated = outcome.recipients, None
        if statement is not None:
            after, recipients = self._judge(at, statement)
            stated = statement.raw, after.encode()
            self._made[block.hash] = after
        check_boxes(submission.boxes, recipients, outcome.box_root)
        boxes = tuple(map(bytes.__add__, recipients, submission.boxes))
        opened = (opening.nonce, opening.identifier) if opening else None
        self.items.append(PrivateItem(at.index, block.hash, block.label, boxes, opened, stated))

    def _judge(self, at: Context, statement: Statement) -> tuple[Membership, tuple[bytes, ...]]:
        """R-56.10: the membership after a group's block, and the recipients of its boxes.

        The statement's signature is among the submission's `checks`.
        """
        chains = self._batch.chain
        before = self._before(chains(at.block.label))
        after = membership.judge(at, statement, before, chains(statement.terms.author))
        for put in statement.terms.put:
            if membership.live_key(put, chains) is None:
                raise RuleViolation("R-56.10", f"{put.label.hex()} is not live: sync and rebuild")
            if put.role == Role.GROUP and not self._is_flat(chains(put.label)):
                raise RuleViolation("R-56.10", f"{put.label.hex()} is no flat group")
        return after, membership.recipients(at.block, statement.terms, before, after, chains)

    def _before(self, chain: Chain | None) -> Before:
        if chain is None or not isinstance(chain.state, GroupState):
            return Before()
        known = self._membership(chain)
        if known is None:
            raise RuleViolation("R-71.6", "this server has lost the group's statements")
        return Before(chain.state, known)

    def _is_flat(self, chain: Chain | None) -> bool:
        known = self._membership(chain) if chain else None
        return known is not None and known.kind == Kind.FLAT

    def _membership(self, chain: Chain) -> Membership | None:
        state = chain.state
        if made := self._made.get(state.head) or self._inherited.get(state.head):
            return made
        stored = self._stored(state.index, state.head)
        return None if stored is None else Membership.decode(stored)


def check_boxes(
    boxes: Sequence[bytes], recipients: Sequence[bytes], expected: bytes | None
) -> None:
    """R-55.3: as many boxes as recipients, of the right size, that give the block's box root."""
    if len(boxes) != len(recipients):
        detail = f"{len(boxes)} boxes for {len(recipients)} recipients"
        raise RuleViolation("R-55.3", detail)
    if any(len(box) != BOX_BYTES for box in boxes):
        raise RuleViolation("R-55.2", f"a box of another size than {BOX_BYTES} bytes")
    if expected is not None and box_root(recipients, boxes) != expected:
        raise RuleViolation("R-55.3", "the boxes do not give the block's box root")
