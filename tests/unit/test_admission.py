"""What the server asks beyond the rules of the log: R-71.4 (openings), R-71.5 (boxes)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from ledger.errors import RuleViolation
from ledger.format.identity import Opening
from ledger.log.admission import Submission, check_boxes, check_private
from ledger.log.planner import Admission
from tests.support.actors import LogActor, User, seed
from tests.support.memory import MemoryLog

FOUNDING = LogActor.make()
LOG = MemoryLog(FOUNDING.raw)
CREATED = User.create(FOUNDING.after, "ada@example.org", LOG.anchor, label=seed("label"))
CREATE = CREATED.submission
ADD = CREATED.after.add(LOG.anchor).submission
OPENING = CREATED.after.opening


def refusal(submission: Submission) -> str:
    with pytest.raises(RuleViolation) as refused:
        check_private(submission)
    return refused.value.rule


def test_an_opening_comes_with_a_create_and_fits_it() -> None:
    check_private(CREATE)
    check_private(ADD)
    assert refusal(replace(CREATE, opening=None)) == "R-71.4"
    assert refusal(replace(ADD, opening=OPENING)) == "R-71.4"
    other_name = Opening(OPENING.nonce, "bob@example.org")
    assert refusal(replace(CREATE, opening=other_name)) == "R-71.4"
    other_nonce = Opening(seed("other"), OPENING.identifier)
    assert refusal(replace(CREATE, opening=other_nonce)) == "R-71.4"


Change = Callable[[tuple[bytes, ...]], tuple[bytes, ...]]


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda boxes: boxes[:-1], "R-55.3"),
        (lambda boxes: (*boxes, boxes[0]), "R-55.3"),
        (lambda boxes: boxes[::-1], "R-55.3"),
        (lambda boxes: (boxes[0], *boxes[:-1]), "R-55.3"),
        (lambda boxes: (), "R-55.3"),
        (lambda boxes: (boxes[0][:-1], *boxes[1:]), "R-55.2"),
        (lambda boxes: (boxes[0] + b"\0", *boxes[1:]), "R-55.2"),
    ],
    ids=["missing", "extra", "reversed", "twice", "none", "short", "long"],
)
def test_boxes_are_those_of_the_block(change: Change, rule: str) -> None:
    log = MemoryLog(FOUNDING.raw)
    user = CREATED.after
    log.admit([CREATED.raw])
    for _ in range(2):
        added = user.add(log.anchor)
        log.admit([added.raw])
        user = added.after
    revoked = user.revoke(log.anchor, 1)
    result = log.admit([revoked.raw]).results[0]
    assert isinstance(result, Admission)
    asked = result.outcome.recipients, result.outcome.box_root
    check_boxes(revoked.boxes, *asked)
    with pytest.raises(RuleViolation) as refused:
        check_boxes(change(revoked.boxes), *asked)
    assert refused.value.rule == rule


def test_a_block_without_recipients_brings_no_boxes() -> None:
    log = MemoryLog(FOUNDING.raw)
    log.admit([CREATED.raw])
    closed = CREATED.after.close(log.anchor)
    result = log.admit([closed.raw]).results[0]
    assert isinstance(result, Admission)
    assert result.outcome.box_root is None
    check_boxes((), result.outcome.recipients, None)
    with pytest.raises(RuleViolation, match=r"R-55\.3"):
        check_boxes((bytes(80),), result.outcome.recipients, None)
