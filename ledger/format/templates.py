"""The commonest messages, read in one step: their grammar as regular expressions over bytes.

A payload has one spelling (R-10.2) and so has the envelope around it (R-40.1). So what a message of
one type may look like is a regular language, but for the lengths and counts that stand before what
they count; these are compared afterwards. What matches is what the strict decoders of `cose` and
`cbor` would have read, at a fifth of their cost. Where nothing matches, they decide, and say what
is wrong: a template refuses nothing.

>>> read_block(b"no block") is None
True

`read_block` knows user.create, user.reset, device.add, device.revoke, group.create and
group.update, which are nearly all; `read_statement` knows all statements.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TypeAlias

from ledger.format.bodies import (
    MAX_DEVICES,
    MAX_MEMBERS,
    BlockType,
    Body,
    Delegation,
    DeviceAdd,
    DeviceKeys,
    DeviceRevoke,
    GroupCreate,
    GroupUpdate,
    UserCreate,
    UserReset,
)
from ledger.format.cose import Envelope, bstr_head
from ledger.format.keys import check_encryption_key

Groups: TypeAlias = Sequence[bytes]

# Integers in their shortest spelling: below 2^32, 2^53 and 2^63.
_SHORT = rb"[\x00-\x17]|\x18[\x18-\xff]|\x19(?!\x00)..|\x1a(?!\x00\x00)...."
_U32 = rb"(" + _SHORT + rb")"
_U53 = rb"(" + _SHORT + rb"|\x1b(?!\x00{4})\x00[\x00-\x1f].{6})"
_U63 = rb"(" + _SHORT + rb"|\x1b(?!\x00{4})[\x00-\x7f].{7})"
_FLAG = rb"([\x00\x01])"

_HASH = rb"\x58\x20(.{32})"
_HEAD = rb"(\x58.|\x59..|\x5a....)"
_COUNT = rb"([\x80-\x97]|\x98.|\x99..)"
_HASHES = _COUNT + rb"((?:\x58\x20.{32})*)"
_DEVICE = rb"\x83" + _HASH * 2 + rb"([\x00-\x02])"
_PUT = rb"\x83" + _HASH + _U32 + rb"([\x00-\x02])"
_PUTS = _COUNT + rb"((?:\x83\x58\x20.{32}(?:" + _SHORT + rb")[\x00-\x02])*)"
_SIGNER = rb"\x83\x58\x26\xa2\x01\x27\x04\x58\x20(.{32})\xa0\x58\x40(.{64})"


def _envelope(payload: bytes, signatures: int) -> bytes:
    """A COSE_Sign of up to so many signatures: length, payload, count, kids and signatures."""
    several = b""
    for _ in range(signatures):
        several = rb"(?:" + _SIGNER + several + rb")?"
    return rb"\xd8\x62\x84\x40\xa0" + _HEAD + rb"(" + payload + rb")([\x81-\x84])" + several


_DELEGATION = _envelope(rb"\x86" + _HASH + _FLAG + _HASH * 2 + _U32 + _U53, 1)
_USER = rb"\x84" + _HEAD + rb"(" + _DELEGATION + rb")" + _DEVICE + _HASH * 2
_ADD = rb"\x83" + _HASH + _DEVICE + _HASH
_REVOKE = rb"\x84" + _HASH + _HASHES + _HASH * 2
_GROUP = rb"\x84" + _HASH * 4
_TERMS = rb"\x8d" + _HASH * 2 + _U32 + _HASH + rb"\x82" + _U63 + _HASH * 5
_TERMS += rb"([\x00-\x03])" + _HASHES + _PUTS + _HASH

_ONE_PUT = re.compile(_PUT, re.DOTALL)
_STATEMENT = re.compile(_envelope(_TERMS, 1), re.DOTALL)


class _Unfit(Exception):
    """A length or a count is not that of what follows."""


BlockFields: TypeAlias = tuple[Envelope, int, bytes, int, bytes, int, bytes, Body]
"""Envelope, type, label, seq, prev, the anchor's size and root, body."""


def read_block(raw: bytes) -> BlockFields | None:
    """The block that `raw` spells, if a template fits.

    Raises `MalformedInput` (R-15.2) if nothing but an encryption key is wrong with it.
    """
    at = _TYPE_AT.get(raw[5]) if len(raw) > _HEAD_BYTES else None
    template = _BLOCKS.get(raw[at]) if at else None
    match = template[0].fullmatch(raw) if template else None
    if not at or not template or not match:
        return None
    head, payload, label, seq, prev, size, root, *body = match.groups()
    try:
        envelope = _read_envelope(head, payload, body[-9:])
        found = template[1](body[:-9])
    except _Unfit:
        return None
    return envelope, raw[at], label, _uint(seq), prev, _uint(size), root, found


_HEAD_BYTES = 16
_TYPE_AT = {0x58: 9, 0x59: 10}
"""Where a block's type stands, by the first byte of its payload's length."""


def _read_envelope(head: bytes, payload: bytes, rest: Groups) -> Envelope:
    """`rest` is the count, then kids and signatures in turn, None where there are no more."""
    found = tuple(filter(None, rest[1:]))
    signers = found[::2]
    fits = head == bstr_head(len(payload)) and 2 * (rest[0][0] - 0x80) == len(found)
    if not fits or len(set(signers)) < len(signers):
        raise _Unfit
    return Envelope(payload, signers, found[1::2])


def _add(groups: Groups) -> DeviceAdd:
    author, *device, root = groups
    return DeviceAdd(author, _device(device), root)


def _revoke(groups: Groups) -> DeviceRevoke:
    author, count, revoked, user_key, root = groups
    leaving = _hashes(count, revoked)
    if not 1 <= len(leaving) <= MAX_DEVICES:
        raise _Unfit
    return DeviceRevoke(author, leaving, check_encryption_key(user_key), root)


def _create(groups: Groups) -> UserCreate:
    *delegated, signing, encryption, kind, user_key, root = groups
    delegation, device = _delegation(delegated), _device((signing, encryption, kind))
    return UserCreate(delegation, device, check_encryption_key(user_key), root)


def _delegation(groups: Groups) -> Delegation:
    head, raw, inner, payload, log_id, purpose, commitment, ephemeral, epoch, expiry, *rest = groups
    envelope = _read_envelope(inner, payload, rest)
    if head != bstr_head(len(raw)):
        raise _Unfit
    times = _uint(epoch), _uint(expiry)
    return Delegation(raw, envelope, log_id, purpose[0], commitment, ephemeral, *times)


def _reset(groups: Groups) -> UserReset:
    made = _create(groups)
    return UserReset(made.delegation, made.device, made.user_key, made.box_root)


def _group_create(groups: Groups) -> GroupCreate:
    commitment, signing, encryption, root = groups
    return GroupCreate(commitment, signing, check_encryption_key(encryption), root)


def _group_update(groups: Groups) -> GroupUpdate:
    commitment, signing, encryption, root = groups
    return GroupUpdate(commitment, signing, check_encryption_key(encryption), root)


def _device(groups: Groups) -> DeviceKeys:
    signing, encryption, kind = groups
    return DeviceKeys(signing, check_encryption_key(encryption), kind[0])


def _hashes(count: bytes, spelled: bytes) -> tuple[bytes, ...]:
    """Byte strings of 32."""
    found = tuple([spelled[at : at + 32] for at in range(2, len(spelled), 34)])
    if count != _array_head(len(found)):
        raise _Unfit
    return found


def _uint(spelled: bytes) -> int:
    return spelled[0] if len(spelled) == 1 else int.from_bytes(spelled[1:])


def _array_head(length: int) -> bytes:
    if length < 24:
        return bytes((0x80 + length,))
    return bytes((0x98, length)) if length < 0x100 else b"\x99" + length.to_bytes(2)


def _template(kind: BlockType, body: bytes) -> re.Pattern[bytes]:
    place = _HASH + _U32 + _HASH + rb"\x82" + _U63 + _HASH
    payload = rb"\x87\x01" + re.escape(bytes((kind,))) + place + body
    return re.compile(_envelope(payload, 4), re.DOTALL)


_BLOCKS: dict[int, tuple[re.Pattern[bytes], Callable[[Groups], Body]]] = {
    kind: (_template(kind, body), read)
    for kind, body, read in (
        (BlockType.USER_CREATE, _USER, _create),
        (BlockType.USER_RESET, _USER, _reset),
        (BlockType.DEVICE_ADD, _ADD, _add),
        (BlockType.DEVICE_REVOKE, _REVOKE, _revoke),
        (BlockType.GROUP_CREATE, _GROUP, _group_create),
        (BlockType.GROUP_UPDATE, _GROUP, _group_update),
    )
}


Place: TypeAlias = tuple[bytes, bytes, int, bytes]
"""Salt, group, seq, prev."""

Said: TypeAlias = tuple[bytes, bytes, bytes, bytes, int, tuple[bytes, ...]]
"""Author, signing key, encryption key, box root, action, removed labels."""

Puts: TypeAlias = tuple[tuple[bytes, int, int], ...]
"""Label, epoch and role of each that is put."""

StatementFields: TypeAlias = tuple[Envelope, Place, tuple[int, bytes], Said, Puts, bytes]
"""Envelope; then the payload: place, anchor, what is said, what is put, the membership's hash."""


def read_statement(raw: bytes) -> StatementFields | None:
    """The statement that `raw` spells, if the template fits. Labels may stand in any order."""
    match = _STATEMENT.fullmatch(raw)
    if not match:
        return None
    head, payload, salt, group, seq, prev, size, *hashes = match.groups()
    *five, action, gone, removed, come, put, membership, count, kid, signature = hashes
    try:
        envelope = _read_envelope(head, payload, (count, kid, signature))
        leaving, entries = _hashes(gone, removed), _puts(come, put)
    except _Unfit:
        return None
    anchor_root, author, signing, encryption, box_root = five
    place, anchor = (salt, group, _uint(seq), prev), (_uint(size), anchor_root)
    said = author, signing, encryption, box_root, action[0], leaving
    return envelope, place, anchor, said, entries, membership


def _puts(count: bytes, spelled: bytes) -> Puts:
    found = _ONE_PUT.findall(spelled)
    if count != _array_head(len(found)) or len(found) > MAX_MEMBERS:
        raise _Unfit
    return tuple([(label, _uint(epoch), role[0]) for label, epoch, role in found])
