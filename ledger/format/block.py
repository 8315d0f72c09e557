"""A block: what a person's devices sign, as bytes and as values (40-blocks).

    payload = [version, type, label, seq, prev, anchor, body]      CBOR
    block   = COSE_Sign(payload)                                   ledger.format.cose

`parse` checks all that the bytes alone decide, except signatures and the points of Ed25519 keys:
these cost as much as everything else together, so `checks` names them for whoever has a processor
to spare, and `verify` does them here and now.

>>> block = parse(raw)                          # doctest: +SKIP
>>> block.type, block.label.hex()[:8], block.seq  # doctest: +SKIP
(<BlockType.DEVICE_ADD: 3>, '6f2c01b7', 1)
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from ledger.errors import BadSignature, MalformedInput
from ledger.format import cose, keys
from ledger.format.bodies import (
    HASH_BYTES,
    MAX_SEQ,
    ZERO_HASH,
    BlockType,
    Body,
    LogCreate,
    LogPolicy,
    UserCreate,
    parse_body,
)
from ledger.format.cbor import Value, array, bstr, decode, encode, uint
from ledger.format.templates import BlockFields, read_block
from ledger.value import value

VERSION = 1
MAX_BLOCK_BYTES = 16_384
MAX_TREE_SIZE = 2**63 - 1
LABEL_BYTES = 32
LOG_LABEL = bytes(LABEL_BYTES)
NO_LOG_ID = bytes(HASH_BYTES)
"""Stands for the log id where log.create is signed: its hash is the log id."""

_CREATES = frozenset({BlockType.LOG_CREATE, BlockType.USER_CREATE, BlockType.GROUP_CREATE})
_OF_LOG = frozenset({BlockType.LOG_CREATE, BlockType.LOG_POLICY})


@value
class Anchor:
    """Size and root hash of the newest checkpoint that a block's author had verified."""

    size: int
    root: bytes


@value
class Block:
    """A well-formed block; its signatures are unchecked. `hash` is SHA-256 of `raw`."""

    raw: bytes
    hash: bytes
    envelope: cose.Envelope
    type: int
    label: bytes
    seq: int
    prev: bytes
    anchor: Anchor
    body: Body


@value
class Checks:
    """What costs time: signatures as (kid, signature, message), and keys that R-15.1 asks of.

    `inner` are signatures inside or beside the block, each behind the rule that asks for it.
    """

    signatures: tuple[tuple[bytes, bytes, bytes], ...]
    inner: tuple[tuple[str, bytes, bytes, bytes], ...]
    entering: tuple[bytes, ...]


def parse(raw: bytes, max_bytes: int = MAX_BLOCK_BYTES) -> Block:
    """The block that `raw` spells, or `MalformedInput`: R-10, R-15.2, R-40.1 to R-40.3, R-41."""
    if len(raw) > max_bytes:
        raise MalformedInput(
            "R-41.1", f"the block has {len(raw)} bytes, at most {max_bytes} allowed"
        )
    found = read_block(raw)
    block = _parse_any(raw, max_bytes) if found is None else _of_fields(raw, found)
    _check_header(block)
    return block


def _of_fields(raw: bytes, fields: BlockFields) -> Block:
    envelope, kind, label, seq, prev, size, root, body = fields
    digest = sha256(raw).digest()
    return Block(raw, digest, envelope, kind, label, seq, prev, Anchor(size, root), body)


def _parse_any(raw: bytes, max_bytes: int) -> Block:
    """What no template fits: other types, and what is malformed."""
    envelope = cose.parse(raw, max_bytes)
    f = array(decode(envelope.payload, max_bytes), 7, "payload")
    if uint(f[0], "version") != VERSION:
        raise MalformedInput("R-41.2", "this version is unknown")
    kind = uint(f[1], "type")
    place = array(f[5], 2, "anchor")
    return Block(
        raw,
        sha256(raw).digest(),
        envelope,
        kind,
        bstr(f[2], LABEL_BYTES, "label"),
        uint(f[3], "seq", MAX_SEQ),
        bstr(f[4], HASH_BYTES, "prev"),
        Anchor(
            uint(place[0], "anchor size", MAX_TREE_SIZE), bstr(place[1], HASH_BYTES, "anchor root")
        ),
        parse_body(kind, f[6]),
    )


def _check_header(block: Block) -> None:
    if (block.label == LOG_LABEL) != (block.type in _OF_LOG):
        raise MalformedInput("R-41.3", "the zero label belongs to log.* blocks, and only to them")
    if (block.seq == 0) != (block.type in _CREATES):
        raise MalformedInput("R-41.3", "seq 0 belongs to creates, and only to them")
    if (block.prev == ZERO_HASH) != (block.seq == 0):
        raise MalformedInput("R-41.4", "prev is zero exactly where seq is 0")


def checks(block: Block, log_id: bytes) -> Checks:
    """The signatures (R-40.4, R-52.5) and the log's keys (R-15.1) that `block` rests on."""
    first = block.type == BlockType.LOG_CREATE
    aad = cose.aad(cose.BLOCK, NO_LOG_ID if first else log_id)
    signatures = cose.signed_messages(block.envelope, aad)
    inner: tuple[tuple[str, bytes, bytes, bytes], ...] = ()
    if isinstance(block.body, UserCreate):
        envelope = block.body.delegation.envelope
        inner = inner_signatures("R-52.5", envelope, cose.DELEGATION, log_id)
    return Checks(tuple(signatures), inner, _entering(block.body))


def inner_signatures(
    rule: str, envelope: cose.Envelope, context: str, log_id: bytes
) -> tuple[tuple[str, bytes, bytes, bytes], ...]:
    """The signatures of an envelope, for `Checks.inner`."""
    found = cose.signed_messages(envelope, cose.aad(context, log_id))
    return tuple((rule, *signature) for signature in found)


def _entering(body: Body) -> tuple[bytes, ...]:
    """R-15.1: devices and groups sign with the key that they bring, which says enough of it."""
    if isinstance(body, LogCreate):
        return (body.app_root, body.enrolment, body.log_key, body.vrf_key, body.authority)
    if isinstance(body, LogPolicy):
        return (body.app_root, body.enrolment)
    return ()


def perform(checks: Checks) -> None:
    """Do the checks. Raises `MalformedInput` (R-15.1) or `BadSignature` (R-40.4, R-52.5)."""
    for key in checks.entering:
        keys.check_signing_key(key)
    for kid, signature, message in checks.signatures:
        cose.check_signature(kid, signature, message)
    for rule, kid, signature, message in checks.inner:
        if not keys.verifies(kid, message, signature):
            raise BadSignature(rule, f"the signature by {kid.hex()} does not verify")


def verify(block: Block, log_id: bytes) -> None:
    """Check everything about `block` that needs no state: `checks`, performed."""
    perform(checks(block, log_id))


def write(
    kind: BlockType,
    label: bytes,
    seq: int,
    prev: bytes,
    anchor: Anchor,
    body: Body,
    *,
    signers: Sequence[cose.Signer],
    log_id: bytes,
) -> bytes:
    """A signed block, as `parse` reads it. The signers stand in the order of R-50.2."""
    place: Value = [anchor.size, anchor.root]
    fields: list[Value] = [VERSION, int(kind), label, seq, prev, place, body.to_value()]
    context_id = NO_LOG_ID if kind == BlockType.LOG_CREATE else log_id
    return cose.sign(encode(fields), signers, cose.BLOCK, context_id)
