r"""What clients and server say to each other in CBOR: requests and answers of 70-http, both ways.

Each message is a frozen dataclass with `encode()` and `decode(data)`; what stands inside others has
`to_value()` and `parse(value)`. Decoding takes exactly the shapes of `specs/keyroll.cddl`. It does
not look into blocks, entries or checkpoints: those have parsers of their own.

>>> request = SubmitRequest((Submission(b"a block"),))
>>> SubmitRequest.decode(request.encode()) == request
True
>>> SubmitRequest.decode(b"\x80")
Traceback (most recent call last):
    ...
ledger.errors.MalformedInput: R-10.4: submit-request is not an array of 1 to 64

A request for somebody in particular goes inside a signed one: `ledger.format.login`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import cbor2

from ledger.errors import MalformedInput
from ledger.format.bodies import (
    HASH_BYTES,
    MAX_DELEGATION_BYTES,
    MAX_MEMBERS,
    MAX_SEQ,
    MAX_TIME,
)
from ledger.format.cbor import Value, array, blob, bstr, decode, encode, items, text, uint
from ledger.format.entry import MAX_ENTRY_BYTES
from ledger.format.identity import Opening
from ledger.format.note import MAX_NOTE_BYTES
from ledger.format.statement import MAX_REQUEST_BYTES as MAX_LEAVE_BYTES
from ledger.format.statement import MAX_STATEMENT_BYTES
from ledger.value import value

MAX_REQUEST_BYTES = 1_048_576
"""R-70.2."""

MAX_ANSWER_BYTES = 4 * 1_048_576
"""What a client reads of any answer: more than the server ever gives."""

MAX_SUBMISSIONS = 64
MAX_CHAIN_BLOCKS = 256
MAX_CHAIN_BYTES = 1_048_576
"""Entries of a chain in one answer: as many as fit, and at least one."""

BLOCKS_PATH = "/v1/blocks"
LABELS_PATH = "/v1/labels"
BOXES_PATH = "/v1/boxes"
STATEMENTS_PATH = "/v1/statements"
AUDIT_PATH = "/v1/audit"
LEAVES_PATH = "/v1/leaves"
GRANTS_PATH = "/v1/grants"

MAX_STATEMENTS = 256
MAX_STATEMENTS_BYTES = 1_048_576
"""Statements in one answer: as many as fit, and at least one."""

REFUSALS = frozenset(
    {"malformed", "signature", "rule", "stale-head", "stale-anchor", "unavailable"}
)
"""Why a block was refused. `unavailable` is the one that says nothing about the block."""

_MAX_INDEX = 2**63 - 1
_MAX_BOXES = 16_384
MAX_BOX_BYTES = 4_096
_MAX_DETAIL_BYTES = 1_024
_MAX_TEXT_BYTES = 1_024
_ADMITTED = 0
_REFUSED = 1


@value
class Submission:
    """A block's bytes, and what comes along with it: boxes, and an opening or a statement.

    Neither the opening's identifier nor the statement is looked into.
    """

    block: bytes
    boxes: tuple[bytes, ...] = ()
    opening: Opening | None = None
    statement: bytes | None = None

    @classmethod
    def parse(cls, value: Value) -> Submission:
        f = array(value, 3, "submission")
        boxes = items(f[1], 0, _MAX_BOXES, "boxes")
        return cls(
            blob(f[0], MAX_REQUEST_BYTES, "block"),
            tuple(blob(box, MAX_BOX_BYTES, "box") for box in boxes),
            _opening(f[2]) if type(f[2]) is list else None,
            None if f[2] is None or type(f[2]) is list else _statement(f[2]),
        )

    def to_value(self) -> Value:
        private = self.opening.to_value() if self.opening else self.statement
        return [self.block, list(self.boxes), private]


@dataclass(frozen=True, slots=True)
class SubmitRequest:
    """POST /v1/blocks."""

    submissions: tuple[Submission, ...]

    @classmethod
    def decode(cls, data: bytes) -> SubmitRequest:
        fields = items(decode(data, MAX_REQUEST_BYTES), 1, MAX_SUBMISSIONS, "submit-request")
        return cls(tuple(Submission.parse(value) for value in fields))

    def encode(self) -> bytes:
        return encode([submission.to_value() for submission in self.submissions])


@value
class Admitted:
    """The block is leaf `index` since `time` (ms); the proof is for the answer's checkpoint."""

    index: int
    time: int
    proof: tuple[bytes, ...]

    def to_value(self) -> Value:
        return [_ADMITTED, self.index, self.time, list(self.proof)]


@dataclass(frozen=True, slots=True)
class ChainHead:
    """What to build on: the chain's length, its newest block's hash and leaf index."""

    length: int
    hash: bytes
    index: int

    @classmethod
    def parse(cls, value: Value) -> ChainHead:
        f = array(value, 3, "head")
        length = uint(f[0], "chain length", MAX_SEQ + 1)
        return cls(length, bstr(f[1], HASH_BYTES, "head"), uint(f[2], "index", _MAX_INDEX))

    def to_value(self) -> Value:
        return [self.length, self.hash, self.index]


@dataclass(frozen=True, slots=True)
class Refused:
    """The block was refused. `rule` is empty for `unavailable`; `head` comes with `stale-head`."""

    kind: str
    rule: str
    detail: str
    head: ChainHead | None = None

    def to_value(self) -> Value:
        head = self.head.to_value() if self.head else None
        return [_REFUSED, self.kind, self.rule, _cut(self.detail), head]


Verdict: TypeAlias = Admitted | Refused


def _parse_verdict(value: Value) -> Verdict:
    fields = items(value, 4, 5, "verdict")
    if uint(fields[0], "verdict", _REFUSED) == _REFUSED:
        return _parse_refusal(fields)
    f = array(value, 4, "admission")
    return Admitted(
        uint(f[1], "index", _MAX_INDEX), uint(f[2], "time", MAX_TIME), proof_hashes(f[3])
    )


def _parse_refusal(fields: list[Value]) -> Refused:
    f = array(fields, 5, "refusal")
    kind = text(f[1], 32, "kind")
    if kind not in REFUSALS:
        raise MalformedInput("R-10.4", "this kind of refusal is unknown")
    rule, detail = text(f[2], 16, "rule"), text(f[3], _MAX_DETAIL_BYTES, "detail")
    return Refused(kind, rule, detail, None if f[4] is None else ChainHead.parse(f[4]))


@dataclass(frozen=True, slots=True)
class SubmitAnswer:
    """A verdict for each submission, in their order, under one checkpoint (a signed note)."""

    checkpoint: bytes
    verdicts: tuple[Verdict, ...]

    @classmethod
    def decode(cls, data: bytes) -> SubmitAnswer:
        f = array(decode(data, MAX_ANSWER_BYTES), 2, "submit-answer")
        verdicts = items(f[1], 1, MAX_SUBMISSIONS, "verdicts")
        return cls(_note(f[0]), tuple(map(_parse_verdict, verdicts)))

    def encode(self) -> bytes:
        # Types as the fields say; the strict encoder would check them all once more.
        return cbor2.dumps([self.checkpoint, [verdict.to_value() for verdict in self.verdicts]])


@dataclass(frozen=True, slots=True)
class ChainBlock:
    """One block of a chain: its leaf index, its entry, the entry's inclusion proof."""

    index: int
    entry: bytes
    proof: tuple[bytes, ...]

    @classmethod
    def parse(cls, value: Value) -> ChainBlock:
        f = array(value, 3, "block of a chain")
        index = uint(f[0], "index", _MAX_INDEX)
        return cls(index, blob(f[1], MAX_ENTRY_BYTES, "entry"), proof_hashes(f[2]))

    def to_value(self) -> Value:
        return [self.index, self.entry, list(self.proof)]


@dataclass(frozen=True, slots=True)
class ChainAnswer:
    """A run of a chain's blocks under one checkpoint. `length` is the whole chain's."""

    checkpoint: bytes
    length: int
    blocks: tuple[ChainBlock, ...]

    @classmethod
    def decode(cls, data: bytes) -> ChainAnswer:
        f = array(decode(data, MAX_ANSWER_BYTES), 3, "chain-answer")
        found = items(f[2], 0, MAX_CHAIN_BLOCKS, "blocks")
        length = uint(f[1], "chain length", MAX_SEQ + 1)
        return cls(_note(f[0]), length, tuple(map(ChainBlock.parse, found)))

    def encode(self) -> bytes:
        return encode([self.checkpoint, self.length, [block.to_value() for block in self.blocks]])


def encode_proof(proof: Sequence[bytes]) -> bytes:
    """The answer of /v1/proofs: hashes of 32 bytes."""
    return encode(list(proof))


def decode_proof(data: bytes) -> tuple[bytes, ...]:
    """The hashes that `encode_proof` wrote, at most 64."""
    return proof_hashes(decode(data, MAX_ANSWER_BYTES))


@dataclass(frozen=True, slots=True)
class LabelRequest:
    """POST /v1/labels: the label of an identifier that its delegation commits to (R-72.2)."""

    delegation: bytes
    opening: Opening

    @classmethod
    def decode(cls, data: bytes) -> LabelRequest:
        f = array(decode(data, MAX_REQUEST_BYTES), 3, "label-request")
        opening = Opening.parse([f[1], f[2]])
        return cls(blob(f[0], MAX_DELEGATION_BYTES, "delegation"), opening)

    def encode(self) -> bytes:
        return encode([self.delegation, self.opening.nonce, self.opening.identifier])


@dataclass(frozen=True, slots=True)
class LabelAnswer:
    """A label, the VRF proof (80 bytes) that it is the identifier's, how long its chain is."""

    label: bytes
    proof: bytes
    length: int

    @classmethod
    def decode(cls, data: bytes) -> LabelAnswer:
        f = array(decode(data, MAX_ANSWER_BYTES), 3, "label-answer")
        label, proof = bstr(f[0], HASH_BYTES, "label"), bstr(f[1], 80, "VRF proof")
        return cls(label, proof, uint(f[2], "length"))

    def encode(self) -> bytes:
        return encode([self.label, self.proof, self.length])


@dataclass(frozen=True, slots=True)
class BoxRequest:
    """POST /v1/boxes: `user` asks for the box at `position` of the block of `label` at `index`.

    `holder` has the key that the box is sealed to: the user, or a group that the user is in.
    """

    user: bytes
    holder: bytes
    label: bytes
    index: int
    position: int

    @classmethod
    def decode(cls, data: bytes) -> BoxRequest:
        f = array(decode(data, MAX_REQUEST_BYTES), 5, "box-request")
        user, holder, label = (bstr(field, HASH_BYTES, "label") for field in f[:3])
        index = uint(f[3], "index", _MAX_INDEX)
        return cls(user, holder, label, index, uint(f[4], "position", _MAX_BOXES))

    def encode(self) -> bytes:
        return encode([self.user, self.holder, self.label, self.index, self.position])


@dataclass(frozen=True, slots=True)
class BoxAnswer:
    """A box, the `count` of boxes of its block, and the proof of its place (R-55.4)."""

    count: int
    box: bytes
    proof: tuple[bytes, ...]

    @classmethod
    def decode(cls, data: bytes) -> BoxAnswer:
        f = array(decode(data, MAX_ANSWER_BYTES), 3, "box-answer")
        count = uint(f[0], "count", _MAX_BOXES)
        return cls(count, blob(f[1], MAX_BOX_BYTES, "box"), proof_hashes(f[2]))

    def encode(self) -> bytes:
        return encode([self.count, self.box, list(self.proof)])


@dataclass(frozen=True, slots=True)
class StatementRequest:
    """POST /v1/statements: `user` asks for what was stated about `group` from seq `start` on.

    `through` is the group that makes it the user's business: the same, or one that holds it.
    """

    user: bytes
    through: bytes
    group: bytes
    start: int

    @classmethod
    def decode(cls, data: bytes) -> StatementRequest:
        f = array(decode(data, MAX_REQUEST_BYTES), 4, "statement-request")
        user, through, group = (bstr(field, HASH_BYTES, "label") for field in f[:3])
        return cls(user, through, group, uint(f[3], "seq", MAX_SEQ + 1))

    def encode(self) -> bytes:
        return encode([self.user, self.through, self.group, self.start])


@dataclass(frozen=True, slots=True)
class StatementAnswer:
    """A run of a group's statements, and the leaves that count. `total` is the chain's length."""

    total: int
    statements: tuple[bytes, ...]
    leaves: tuple[bytes, ...]

    @classmethod
    def decode(cls, data: bytes) -> StatementAnswer:
        f = array(decode(data, MAX_ANSWER_BYTES), 3, "statement-answer")
        statements = items(f[1], 0, MAX_STATEMENTS, "statements")
        leaves = items(f[2], 0, MAX_MEMBERS, "leaves")
        return cls(
            uint(f[0], "chain length", MAX_SEQ + 1),
            tuple(_statement(one) for one in statements),
            tuple(blob(one, MAX_LEAVE_BYTES, "leave") for one in leaves),
        )

    def encode(self) -> bytes:
        return encode([self.total, list(self.statements), list(self.leaves)])


@dataclass(frozen=True, slots=True)
class AuditRequest:
    """POST /v1/audit: an auditor asks for the statements of all groups from leaf `start` on."""

    start: int

    @classmethod
    def decode(cls, data: bytes) -> AuditRequest:
        f = array(decode(data, MAX_REQUEST_BYTES), 1, "audit-request")
        return cls(uint(f[0], "index", _MAX_INDEX))

    def encode(self) -> bytes:
        return encode([self.start])


@dataclass(frozen=True, slots=True)
class AuditAnswer:
    """The statements, with their blocks' leaf indices, of all group blocks below leaf `end`."""

    end: int
    statements: tuple[tuple[int, bytes], ...]

    @classmethod
    def decode(cls, data: bytes) -> AuditAnswer:
        f = array(decode(data, MAX_ANSWER_BYTES), 2, "audit-answer")
        pairs = (array(one, 2, "pair") for one in items(f[1], 0, MAX_STATEMENTS, "statements"))
        found = tuple((uint(i, "index", _MAX_INDEX), _statement(one)) for i, one in pairs)
        return cls(uint(f[0], "index", _MAX_INDEX), found)

    def encode(self) -> bytes:
        return encode([self.end, [[index, one] for index, one in self.statements]])


def _opening(value: Value) -> Opening:
    """Without R-36.5: a bad identifier is that submission's fault, not the request's."""
    f = array(value, 2, "opening")
    return Opening(bstr(f[0], HASH_BYTES, "nonce"), text(f[1], _MAX_TEXT_BYTES, "identifier"))


def _statement(value: Value) -> bytes:
    return blob(value, MAX_STATEMENT_BYTES, "statement")


def _note(value: Value) -> bytes:
    return blob(value, MAX_NOTE_BYTES, "checkpoint")


def proof_hashes(value: Value) -> tuple[bytes, ...]:
    """The hashes of a proof in the tree, at most 64."""
    return tuple(bstr(hash_, HASH_BYTES, "hash") for hash_ in items(value, 0, 64, "proof"))


def _cut(detail: str) -> str:
    return detail.encode("utf-8", "replace")[:_MAX_DETAIL_BYTES].decode("utf-8", "ignore")
