"""Blocks, delegations and entries: bytes in, fields out (specs/40-blocks, keyroll.cddl).

Everything here depends on the bytes and the log id alone, so it runs in any order and in any
process. What a block may do at its place in the log is for `rules`.

    block = open_block(data, log_id)        # or Malformed, BadSignature
    block.label, block.seq, block.body

`body` is the tuple of the body's fields in the order of the CDDL, nested arrays flattened; a
delegation stands in it as a `Delegation`'s plain tuple.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any, NamedTuple

from verifier.cbor import STRINGS, Field, Shape, compile_shape, decode, fits, flatten
from verifier.envelope import BLOCK, DELEGATION, open_envelope, signature_checks
from verifier.errors import Malformed
from verifier.keys import Check, require_x25519, run_check

ZERO = bytes(32)
MAX_ENTRY = 65_535
MAX_BLOCK = 16_384
MAX_DELEGATION = 1_024
TIME = range(2**53)
SIZE = range(2**63)

(
    LOG_CREATE,
    LOG_POLICY,
    USER_CREATE,
    DEVICE_ADD,
    DEVICE_REVOKE,
    USER_RESET,
    USER_CLOSE,
    GROUP_CREATE,
    GROUP_UPDATE,
    GROUP_CLOSE,
) = range(10)
CREATES = frozenset({LOG_CREATE, USER_CREATE, GROUP_CREATE})
LOG_TYPES = frozenset({LOG_CREATE, LOG_POLICY})
GROUP_TYPES = frozenset({GROUP_CREATE, GROUP_UPDATE, GROUP_CLOSE})

LIMITS: Shape = (
    range(1024, 16385),
    range(1, 65),
    range(1, 4_097),
    range(1, 65_536),
    range(16, 65_536),
)
DEMANDS: Shape = (range(33), range(33), range(1_000, 604_800_001))
DEVICE_KINDS = range(3)
DEVICE: Shape = (32, 32, DEVICE_KINDS)
ENROLMENT: Shape = (bytes, DEVICE, 32, 32)
GROUP_KEYS: Shape = (32, 32, 32, 32)
BODIES: dict[int, Shape] = {
    LOG_CREATE: (str, 32, 32, 32, 32, 32, 32, LIMITS, range(1_000, 86_400_001), DEMANDS),
    LOG_POLICY: (32, 32, LIMITS),
    USER_CREATE: ENROLMENT,
    DEVICE_ADD: (32, DEVICE, 32),
    DEVICE_REVOKE: (32, STRINGS, 32, 32),
    USER_RESET: ENROLMENT,
    USER_CLOSE: (32,),
    GROUP_CREATE: GROUP_KEYS,
    GROUP_UPDATE: GROUP_KEYS,
    GROUP_CLOSE: (32,),
}
# Where in the flat body the keys stand that are asked of: Ed25519, X25519.
# Signing keys of devices and groups sign the block that brings them: judges those.
ENTERING: dict[int, tuple[tuple[int, ...], tuple[int, ...]]] = {
    LOG_CREATE: ((2, 3, 4, 5, 6), ()),
    LOG_POLICY: ((0, 1), ()),
    USER_CREATE: ((), (2, 4)),
    DEVICE_ADD: ((), (2,)),
    DEVICE_REVOKE: ((), (2,)),
    USER_RESET: ((), (2, 4)),
    USER_CLOSE: ((), ()),
    GROUP_CREATE: ((), (2,)),
    GROUP_UPDATE: ((), (2,)),
    GROUP_CLOSE: ((), ()),
}
DELEGATION_SHAPE: Shape = (32, range(2), 32, 32, range(2**32), TIME)


def _payload(kind: int) -> Shape:
    return (range(1, 2), range(kind, kind + 1), 32, range(2**32), 32, (SIZE, 32), BODIES[kind])


Reader = Callable[[bytes], tuple[Field, ...] | None]
# The log's own two types are rare, and log.create holds text: they are read item by item.
READERS: dict[int, Reader] = {
    kind: compile_shape(_payload(kind)) for kind in BODIES if kind not in LOG_TYPES
}
READ_DELEGATION = compile_shape(DELEGATION_SHAPE)
READ_ENTRY = compile_shape((range(2), TIME, bytes))


class Block(NamedTuple):
    """A well-formed block whose signatures verify. `kind` is its type, `size` its bytes."""

    kind: int
    label: bytes
    seq: int
    prev: bytes
    anchor_size: int
    anchor_root: bytes
    body: tuple[Any, ...]
    kids: tuple[bytes, ...]
    hash: bytes
    size: int


class Delegation(NamedTuple):
    """What the enrolment key says of an ephemeral key. `kid` signed it; R-52.1 says who may."""

    log_id: bytes
    purpose: int
    commitment: bytes
    ephemeral: bytes
    epoch: int
    expiry: int
    kid: bytes


def open_block(data: bytes, log_id: bytes | None) -> Block:
    """The block in `data`. The log id may be None only for log.create, which precedes it."""
    fields, checks = parse_block(data, log_id)
    for check in checks:
        run_check(check)
    return Block._make(fields)


def parse_block(data: bytes, log_id: bytes | None) -> tuple[tuple[Any, ...], list[Check]]:
    """The block's fields before its Ed25519 keys and signatures were checked, and those checks."""
    if len(data) > MAX_BLOCK:
        raise Malformed("R-41.1", f"a block of {len(data)} bytes")
    envelope = open_envelope(data)
    kind, fields = _read_payload(envelope.payload)
    frame, body = fields[:5], list(fields[5:])
    _check_frame(kind, *frame[:3])
    if kind == LOG_CREATE:
        log_id = ZERO
    elif log_id is None:
        raise Malformed("R-42.4", "without a log id only log.create can be judged")
    checks = _key_checks(kind, body)
    checks += signature_checks(envelope, BLOCK, log_id, "R-40.4")
    if kind in (USER_CREATE, USER_RESET):
        delegation, more = parse_delegation(body[0], log_id)
        body[0] = tuple(delegation)
        checks += more
    rest = (tuple(body), envelope.kids, sha256(data).digest(), len(data))
    return (kind, *frame, *rest), checks


def parse_delegation(data: bytes, log_id: bytes) -> tuple[Delegation, list[Check]]:
    """A delegation of the right form, and the check of its signature (R-52.5)."""
    if len(data) > MAX_DELEGATION:
        raise Malformed("R-10.1", f"a delegation of {len(data)} bytes")
    envelope = open_envelope(data)
    if len(envelope.kids) != 1:
        raise Malformed("R-52.1", "a delegation has exactly one signature")
    fields: Any = READ_DELEGATION(envelope.payload)
    if fields is None:
        value = decode(envelope.payload, MAX_DELEGATION)
        if not fits(value, DELEGATION_SHAPE):
            raise Malformed("R-10.4", "not the payload of a delegation")
        fields = flatten(value, DELEGATION_SHAPE)
    checks = signature_checks(envelope, DELEGATION, log_id, "R-52.5")
    return Delegation._make([*fields, envelope.kids[0]]), checks


def _read_payload(payload: bytes) -> tuple[int, tuple[Any, ...]]:
    """The type; label, seq, prev, anchor size, anchor root and the body's fields."""
    kind = payload[2] if len(payload) > 2 else -1
    reader = READERS.get(kind)
    fields = reader(payload) if reader else None
    return (kind, fields) if fields else _read_slowly(payload)


def _read_slowly(payload: bytes) -> tuple[int, tuple[Any, ...]]:
    """The same item by item: for the log's own types, and to name what is wrong."""
    value = decode(payload, MAX_BLOCK)
    if not isinstance(value, list) or len(value) != 7:
        raise Malformed("R-10.4", "a payload is an array of seven")
    version, kind = value[:2]
    if type(version) is not int or type(kind) is not int:
        raise Malformed("R-10.4", "version and type are numbers")
    if version != 1 or kind not in BODIES:
        raise Malformed("R-41.2", f"version {version} and type {kind} are not known")
    if not fits(value, _payload(kind)):
        raise Malformed("R-10.4", f"not the payload of a block of type {kind}")
    return kind, flatten(value, _payload(kind))


def _check_frame(kind: int, label: bytes, seq: int, prev: bytes) -> None:
    if (label == ZERO) != (kind in LOG_TYPES):
        raise Malformed("R-41.3", "the label is zero for the log's own types, and only there")
    if (seq == 0) != (kind in CREATES):
        raise Malformed("R-41.3", "seq is 0 for creates, and only there")
    if (prev == ZERO) != (seq == 0):
        raise Malformed("R-41.4", "prev is zero for seq 0, and only there")


def _key_checks(kind: int, body: list[Any]) -> list[Check]:
    """X25519 here and now, Ed25519 as checks, which take nearly as long as a signature each."""
    ed25519, x25519 = ENTERING[kind]
    for at in x25519:
        require_x25519(body[at])
    return [("R-15.1", body[at], None) for at in ed25519]


class Entry(NamedTuple):
    """An entry's fields: `content` is a block's bytes (kind 0) or a directory root (kind 1)."""

    kind: int
    time: int
    content: bytes


def open_entry(data: bytes) -> Entry:
    """R-42.1: `[kind, time, body]`, of exactly this shape."""
    if not 1 <= len(data) <= MAX_ENTRY:
        raise Malformed("R-42.1", f"an entry of {len(data)} bytes")
    fields: Any = READ_ENTRY(data)
    if fields is None or (fields[0] == 1 and len(fields[2]) != 32):
        value = decode(data, MAX_ENTRY)
        kind = value[0] if isinstance(value, list) and value else None
        rule = "R-42.1" if type(kind) is int and kind > 1 else "R-10.4"
        raise Malformed(rule, "not an entry of kind 0 or 1")
    return Entry._make(fields)
