"""Requests and answers as bytes: a value or MalformedInput, nothing else."""

from __future__ import annotations

import doctest
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import BadSignature, MalformedInput, RuleViolation
from ledger.format import cose, wire
from ledger.format.cbor import encode
from ledger.format.group_boxes import GroupBoxesAnswer, GroupBoxesRequest
from ledger.format.identity import Opening
from ledger.format.login import LOGIN_WINDOW_MS, Authenticated, Login, authenticate
from ledger.format.wire import (
    BOXES_PATH,
    LABELS_PATH,
    Admitted,
    AuditAnswer,
    AuditRequest,
    BoxAnswer,
    BoxRequest,
    ChainAnswer,
    ChainBlock,
    ChainHead,
    LabelAnswer,
    LabelRequest,
    Refused,
    StatementAnswer,
    StatementRequest,
    Submission,
    SubmitAnswer,
    SubmitRequest,
    decode_proof,
    encode_proof,
)
from tests.support.actors import NOW, seed, signing_key

KEY = signing_key("wire")
LOG_ID = seed("log id")
HASHES = (seed("one"), seed("two"))
OPENING = Opening(seed("nonce"), "ada@example.org")
REQUEST = BoxRequest(seed("user"), seed("holder"), seed("label"), 7, 3).encode()


@dataclass(frozen=True)
class Message:
    """Bytes of a message, and how they are read and written again."""

    data: bytes
    again: Callable[[bytes], bytes]


def authenticated_again(data: bytes) -> bytes:
    found = Authenticated.decode(data)
    envelope = found.login.envelope
    pairs = list(zip(envelope.signers, envelope.signatures, strict=True))
    payload = encode([found.login.time, found.login.path, found.login.digest])
    assert payload == envelope.payload
    return encode([found.request, cose.build(payload, pairs)])


CREATE = Submission(b"a block", (b"a box", b"another"), OPENING)
REFUSALS = tuple(Refused(kind, "R-1.1", "why") for kind in sorted(wire.REFUSALS))
MESSAGES = {
    "submit-request": Message(
        SubmitRequest((CREATE, Submission(b"a block"))).encode(),
        lambda data: SubmitRequest.decode(data).encode(),
    ),
    "submit-answer": Message(
        SubmitAnswer(
            b"a note",
            (Admitted(3, NOW, HASHES), *REFUSALS, Refused("rule", "", "", ChainHead(2, LOG_ID, 1))),
        ).encode(),
        lambda data: SubmitAnswer.decode(data).encode(),
    ),
    "chain-answer": Message(
        ChainAnswer(b"a note", 9, (ChainBlock(3, b"an entry", HASHES),)).encode(),
        lambda data: ChainAnswer.decode(data).encode(),
    ),
    "proof": Message(encode_proof(HASHES), lambda data: encode_proof(decode_proof(data))),
    "label-request": Message(
        LabelRequest(b"a delegation", OPENING).encode(),
        lambda data: LabelRequest.decode(data).encode(),
    ),
    "label-answer": Message(
        LabelAnswer(seed("label"), bytes(80), 3).encode(),
        lambda data: LabelAnswer.decode(data).encode(),
    ),
    "box-request": Message(REQUEST, lambda data: BoxRequest.decode(data).encode()),
    "group-boxes-request": Message(
        GroupBoxesRequest(LOG_ID, LOG_ID).encode(),
        lambda data: GroupBoxesRequest.decode(data).encode(),
    ),
    "group-boxes-answer": Message(
        GroupBoxesAnswer(((LOG_ID, b"a box"),)).encode(),
        lambda data: GroupBoxesAnswer.decode(data).encode(),
    ),
    "box-answer": Message(
        BoxAnswer(2, b"a box", HASHES).encode(), lambda data: BoxAnswer.decode(data).encode()
    ),
    "statement-request": Message(
        StatementRequest(seed("user"), seed("through"), seed("group"), 5).encode(),
        lambda data: StatementRequest.decode(data).encode(),
    ),
    "statement-answer": Message(
        StatementAnswer(7, (b"one", b"two"), (b"a leave",)).encode(),
        lambda data: StatementAnswer.decode(data).encode(),
    ),
    "audit-request": Message(
        AuditRequest(256).encode(), lambda data: AuditRequest.decode(data).encode()
    ),
    "audit-answer": Message(
        AuditAnswer(512, ((300, b"one"),)).encode(),
        lambda data: AuditAnswer.decode(data).encode(),
    ),
    "authenticated": Message(
        authenticate(REQUEST, BOXES_PATH, KEY, LOG_ID, NOW), authenticated_again
    ),
}
EACH = pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES)
ROUNDS = settings(max_examples=60, deadline=None)


def value_or_malformed(message: Message, data: bytes) -> None:
    """The invariant. Whatever is read is written the same way again."""
    try:
        again = message.again(data)
    except MalformedInput:
        return
    assert again == data


@EACH
def test_round_trips(message: Message) -> None:
    assert message.again(message.data) == message.data


@EACH
def test_every_truncation(message: Message) -> None:
    for end in range(len(message.data)):
        with pytest.raises(MalformedInput):
            message.again(message.data[:end])


@EACH
def test_every_flipped_bit(message: Message) -> None:
    for bit in range(len(message.data) * 8):
        flipped = bytearray(message.data)
        flipped[bit // 8] ^= 1 << bit % 8
        value_or_malformed(message, bytes(flipped))


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 2**64),
    st.binary(max_size=40),
    st.binary(min_size=32, max_size=32),
    st.text(max_size=6),
    st.sampled_from((0, 1, 2, 2**32, 2**53, 2**63, "rule", "unavailable", b"")),
)
trees = st.recursive(scalars, lambda inner: st.lists(inner, max_size=5), max_leaves=10)


def places(value: Any, path: tuple[int, ...] = ()) -> list[tuple[int, ...]]:
    inner = enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for number, one in inner for place in places(one, (*path, number)))]


def put(value: Any, path: tuple[int, ...], to: Any) -> Any:
    if not path:
        return to
    return [put(one, path[1:], to) if at == path[0] else one for at, one in enumerate(value)]


@EACH
@ROUNDS
@given(data=st.data())
def test_any_structure(message: Message, data: st.DataObject) -> None:
    value = cbor2.loads(message.data)
    path = data.draw(st.sampled_from(places(value)))
    value_or_malformed(message, cbor2.dumps(put(value, path, data.draw(trees))))


@EACH
@ROUNDS
@given(data=st.binary(max_size=80))
def test_any_bytes(message: Message, data: bytes) -> None:
    value_or_malformed(message, data)
    value_or_malformed(message, message.data[: len(message.data) // 2] + data)


def login(now: int = NOW, path: str = BOXES_PATH, request: bytes = REQUEST) -> Login:
    return Authenticated.decode(authenticate(request, path, KEY, LOG_ID, now)).login


def test_a_login_is_for_one_request_at_one_time() -> None:
    """R-72.1: each condition at its boundary, and just beyond."""
    for late in (0, LOGIN_WINDOW_MS, -LOGIN_WINDOW_MS):
        assert login().check(REQUEST, BOXES_PATH, LOG_ID, NOW + late) == KEY.public
    for late in (LOGIN_WINDOW_MS + 1, -LOGIN_WINDOW_MS - 1):
        with pytest.raises(RuleViolation, match=r"R-72\.1.*s old"):
            login().check(REQUEST, BOXES_PATH, LOG_ID, NOW + late)
    for request, path in ((REQUEST + b"\x00", BOXES_PATH), (REQUEST, LABELS_PATH)):
        with pytest.raises(RuleViolation, match=r"R-72\.1.*another"):
            login().check(request, path, LOG_ID, NOW)
    with pytest.raises(BadSignature, match=r"R-72\.1"):
        login().check(REQUEST, BOXES_PATH, seed("another log"), NOW)


def test_a_login_has_one_signature_in_its_own_context() -> None:
    payload = login().envelope.payload
    two = cose.sign(payload, [KEY, signing_key("second")], cose.LOGIN, LOG_ID)
    with pytest.raises(RuleViolation, match=r"R-72\.1.*one signature"):
        Login.parse(two).check(REQUEST, BOXES_PATH, LOG_ID, NOW)
    other = cose.sign(payload, [KEY], cose.BLOCK, LOG_ID)
    with pytest.raises(BadSignature, match=r"R-72\.1"):
        Login.parse(other).check(REQUEST, BOXES_PATH, LOG_ID, NOW)


def test_example() -> None:
    assert doctest.testmod(wire).failed == 0
