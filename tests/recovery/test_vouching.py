"""Whom an application let in, by their blocks alone (R-98.9)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ledger.errors import MalformedInput, RuleViolation
from ledger.format.block import Anchor
from ledger.format.bodies import DeviceKind, Purpose
from ledger.format.identity import Opening
from ledger.format.pending import AskRequest
from ledger.recovery.vouching import vouched
from tests.attacks.tokens import Token
from tests.support.actors import Device, LogActor, User, signing_key
from tests.vectors.draft import envelope, pairs_of, payload_of

ACTOR = LogActor.make().after
ANCHOR = Anchor(1, bytes(32))
CREATED = User.create(ACTOR, "fay@example.org", ANCHOR)
FAY = CREATED.after
PHONE = FAY.add(ANCHOR)
REVOKED = PHONE.after.add(ANCHOR).after
LAPTOP = PHONE.after.add(ANCHOR, author=1)
ENROLMENT = ACTOR.enrolment.public


def asked(
    *lineage: bytes, opening: Opening = FAY.opening, log_id: bytes = ACTOR.log_id
) -> AskRequest:
    return AskRequest(bytes(32), log_id, opening, (b"s" * 32,), lineage)


def public(user: User, place: int) -> bytes:
    return user.devices[place].signing.public


def test_the_first_device_and_later_ones() -> None:
    assert vouched(asked(CREATED.raw), public(FAY, 0)) == ENROLMENT
    assert vouched(asked(CREATED.raw, PHONE.raw), public(PHONE.after, 1)) == ENROLMENT
    whole = asked(CREATED.raw, PHONE.raw, LAPTOP.raw)
    assert vouched(whole, public(LAPTOP.after, 2)) == ENROLMENT


def test_after_a_reset() -> None:
    token = Token.of(ACTOR, "fay@example.org", purpose=Purpose.RESET, nonce=FAY.opening.nonce)
    new = Device.make("new")
    raw = token.reset(FAY, new, ANCHOR).raw
    assert vouched(asked(raw), new.signing.public) == ENROLMENT
    created = Token.of(ACTOR, "fay@example.org", nonce=FAY.opening.nonce)
    with pytest.raises(RuleViolation, match=r"R-98\.9"):  # a delegation to register does not reset
        vouched(asked(created.reset(FAY, new, ANCHOR).raw), new.signing.public)


def test_another_application() -> None:
    """Whoever has another key can let anybody in, and finds nothing that was left with this one."""
    other = replace(ACTOR, enrolment=signing_key("another"))
    raw = User.create(other, "fay@example.org", ANCHOR).raw
    assert vouched(asked(raw), public(FAY, 0)) == other.enrolment.public != ENROLMENT


EVE = User.create(ACTOR, "eve@example.org", ANCHOR)
EVES = EVE.after.add(ANCHOR)
ELSEWHERE = LogActor.make("another.example").after
RECOVERY = FAY.add(ANCHOR, FAY.device(kind=DeviceKind.RECOVERY))


@pytest.mark.parametrize(
    ("request_", "signer"),
    [
        (asked(CREATED.raw), public(EVE.after, 0)),
        (asked(CREATED.raw, PHONE.raw), public(FAY, 0)),
        (asked(CREATED.raw), public(PHONE.after, 1)),
        (asked(EVE.raw), public(EVE.after, 0)),
        (asked(CREATED.raw, EVES.raw), public(EVES.after, 1)),
        (asked(CREATED.raw, LAPTOP.raw), public(LAPTOP.after, 2)),
        (asked(PHONE.raw), public(PHONE.after, 1)),
        (asked(CREATED.raw, CREATED.raw), public(FAY, 0)),
        (asked(PHONE.raw, CREATED.raw), public(FAY, 0)),
        (asked(CREATED.raw, opening=Opening(bytes(32), "fay@example.org")), public(FAY, 0)),
        (asked(CREATED.raw, log_id=ELSEWHERE.log_id), public(FAY, 0)),
    ],
    ids=[
        *("another's device", "an older device", "a device that is not shown", "another person"),
        *("another's chain", "a gap", "no first block", "two first blocks", "the wrong order"),
        *("another opening", "another log"),
    ],
)
def test_who_was_not_let_in(request_: AskRequest, signer: bytes) -> None:
    with pytest.raises(RuleViolation, match=r"R-98\.9"):
        vouched(request_, signer)


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("raw", [CREATED.raw, PHONE.raw], ids=["create", "add"])
def test_a_signature_that_does_not_hold(raw: bytes, place: int) -> None:
    pairs = list(pairs_of(raw))
    kid, signature = pairs[place]
    pairs[place] = (kid, bytes([signature[0] ^ 1]) + signature[1:])
    forged = envelope(payload_of(raw), pairs)
    lineage = (forged,) if raw == CREATED.raw else (CREATED.raw, forged)
    after = FAY if raw == CREATED.raw else PHONE.after
    with pytest.raises(RuleViolation, match=r"R-40\.4"):
        vouched(asked(*lineage), public(after, len(lineage) - 1))


def test_signatures_by_others() -> None:
    """R-50.2: stripped, swapped, and by whom the block does not name."""
    for raw in (CREATED.raw, PHONE.raw):
        pairs = pairs_of(raw)
        for wrong in (pairs[:1], pairs[::-1], [*pairs, *pairs_of(EVE.raw)[:1]]):
            forged = envelope(payload_of(raw), wrong)
            lineage = (forged,) if raw == CREATED.raw else (CREATED.raw, forged)
            after = FAY if raw == CREATED.raw else PHONE.after
            with pytest.raises(RuleViolation, match=r"R-98\.9"):
                vouched(asked(*lineage), public(after, len(lineage) - 1))


def test_no_blocks() -> None:
    with pytest.raises(MalformedInput):
        vouched(asked(b"block"), public(FAY, 0))
    assert vouched(asked(CREATED.raw, RECOVERY.raw), public(RECOVERY.after, 1)) == ENROLMENT
