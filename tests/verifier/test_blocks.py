"""Blocks, delegations and entries: every byte counts, and the rules that need no log."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl import bindings
from nacl.signing import SigningKey

from tests.verifier.builder import ZERO, BuiltLog, Draft, User, envelope, public
from verifier.blocks import (
    DEVICE_ADD,
    LOG_CREATE,
    READERS,
    Delegation,
    _read_slowly,
    open_block,
    open_entry,
    parse_delegation,
)
from verifier.envelope import open_envelope
from verifier.errors import Invalid, Malformed
from verifier.keys import LOW_ORDER, P, require_ed25519, require_x25519, run_check

LOG = BuiltLog()
USER = User(LOG)
ORDER_2 = (2**255 - 20).to_bytes(32, "little")


def drafts() -> dict[str, bytes]:
    create = USER.create()
    LOG.batch(create)
    add, other = USER.add(), USER.add()
    found = {
        "create": create.data,
        "add": add.data,
        "other": other.data,
        "revoke": USER.revoke(USER.devices[1], USER.devices[2]).data,
        "reset": USER.reset().data,
        "policy": LOG.policy(limits=[1_024, 1, 1, 1, 16]).data,
        "first": cbor2.loads(LOG.entries[0])[2],
    }
    found["close"] = USER.close().data
    return found


BLOCKS = drafts()


def refuse(data: bytes, rule: str, log_id: bytes | None = None) -> None:
    with pytest.raises(Invalid) as caught:
        open_block(data, LOG.log_id if log_id is None else log_id)
    assert caught.value.rule == rule, caught.value


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_open(name: str) -> None:
    block = open_block(BLOCKS[name], LOG.log_id)
    payload = cbor2.loads(cbor2.loads(BLOCKS[name]).value[2])
    assert [1, block.kind, block.label, block.seq, block.prev] == payload[:5]
    assert [block.anchor_size, block.anchor_root] == payload[5]
    assert block.hash == sha256(BLOCKS[name]).digest()
    assert block.size == len(BLOCKS[name])
    assert len(block.kids) == {"create": 2, "revoke": 1, "reset": 3, "close": 1}.get(name, 2)


def test_only_the_first_block_opens_without_a_log_id() -> None:
    assert open_block(BLOCKS["first"], None).kind == LOG_CREATE
    with pytest.raises(Malformed, match=r"R-42\.4"):
        open_block(BLOCKS["add"], None)


@pytest.mark.parametrize("name", ["create", "revoke", "first"])
def test_no_byte_can_change(name: str) -> None:
    data = BLOCKS[name]
    for at in range(len(data)):
        wrong = data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :]
        with pytest.raises(Invalid):
            open_block(wrong, LOG.log_id)
        with pytest.raises(Malformed):
            open_block(data[:at], LOG.log_id)
    refuse(data + b"\x00", "R-40.1")


@settings(deadline=None)
@given(st.sampled_from(sorted(BLOCKS)), st.data())
def test_mutated_structures_are_judged(name: str, data: st.DataObject) -> None:
    """A field replaced by anything, and signed again: a block or a refusal, nothing else."""
    payload: Any = cbor2.loads(cbor2.loads(BLOCKS[name]).value[2])
    place = payload
    while isinstance(place, list):
        at = data.draw(st.integers(0, len(place) - 1))
        if not isinstance(place[at], list) or data.draw(st.booleans()):
            place[at] = data.draw(
                st.integers(0, 2**64 - 1)
                | st.binary(max_size=40)
                | st.sampled_from([None, True, [], "", bytes(32), b"x" * 32, [b"y" * 32]])
            )
            break
        place = place[at]
    encoded = cbor2.dumps(payload)
    signed = envelope(encoded, [USER_KEY], b"keyroll/v1/block", LOG.log_id)
    with contextlib.suppress(Invalid):
        assert open_block(signed, LOG.log_id).kids == (public(USER_KEY),)
    reader = READERS.get(encoded[2])
    if reader is not None:
        found = reader(encoded)
        assert (found and (encoded[2], found)) == slowly(encoded)


USER_KEY = SigningKey(b"u" * 32)


def slowly(payload: bytes) -> Any:
    try:
        return _read_slowly(payload)
    except Malformed:
        return None


def resigned(change: Callable[[list[Any]], None], name: str = "add") -> bytes:
    payload: list[Any] = cbor2.loads(cbor2.loads(BLOCKS[name]).value[2])
    change(payload)
    return envelope(cbor2.dumps(payload), [USER_KEY], b"keyroll/v1/block", LOG.log_id)


def put(*path: int, to: Any) -> Callable[[list[Any]], None]:
    def change(payload: list[Any]) -> None:
        for at in path[:-1]:
            payload = payload[at]
        payload[path[-1]] = to

    return change


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("R-41.2", put(0, to=2)),
        ("R-41.2", put(0, to=0)),
        ("R-41.2", put(1, to=10)),
        ("R-10.4", put(0, to=True)),
        ("R-10.4", put(1, to=4)),
        ("R-10.4", put(2, to=bytes(31))),
        ("R-41.3", put(2, to=ZERO)),
        ("R-10.4", put(3, to=2**32)),
        ("R-41.3", put(3, to=0)),
        ("R-41.4", put(4, to=ZERO)),
        ("R-10.4", put(5, 0, to=2**63)),
        ("R-10.4", put(5, to=[1])),
        ("R-10.4", put(6, to=[])),
        ("R-10.4", put(6, 1, 2, to=3)),
        ("R-10.4", put(6, 2, to=bytes(33))),
        ("R-15.2", put(6, 1, 1, to=P.to_bytes(32, "little"))),
    ],
)
def test_payloads(rule: str, change: Callable[[list[Any]], None]) -> None:
    refuse(resigned(change), rule)


def test_only_the_logs_own_keys_need_be_of_prime_order() -> None:
    """R-15.1; R-15.3 judges those that sign the block that brings them."""
    mixed = bindings.crypto_core_ed25519_add(public(USER_KEY), ORDER_2)
    for key in (ORDER_2, mixed):
        refuse(resigned(put(6, 0, to=key), "policy"), "R-15.1")
        refuse(resigned(put(6, 1, to=key), "policy"), "R-15.1")
        refuse(resigned(put(6, 5, to=key), "first"), "R-15.1")
        assert open_block(resigned(put(6, 1, 0, to=key)), LOG.log_id).body[1] == key
    close = BLOCKS["close"]
    refuse(close.replace(open_envelope(close).kids[0], ORDER_2), "R-40.4")


def test_the_same_payload_unchanged_opens() -> None:
    assert open_block(resigned(lambda payload: None), LOG.log_id).kind == DEVICE_ADD


def test_frames_of_creates() -> None:
    refuse(resigned(put(3, to=1), "create"), "R-41.3")
    refuse(resigned(put(4, to=b"p" * 32), "create"), "R-41.4")
    refuse(resigned(put(2, to=b"l" * 32), "policy"), "R-41.3")
    refuse(resigned(put(3, to=0), "policy"), "R-41.3")


def test_revoked_lists() -> None:
    keys = [sha256(b"%d" % number).digest() for number in range(65)]
    for count, is_open in ((0, False), (1, True), (64, True), (65, False)):
        data = resigned(put(6, 1, to=keys[:count]), "revoke")
        if is_open:
            assert open_block(data, LOG.log_id).body[1] == tuple(keys[:count])
        else:
            refuse(data, "R-10.4")


def test_numbers_in_longer_spellings_are_refused() -> None:
    payload = cbor2.loads(BLOCKS["close"]).value[2]
    seq = payload.index(b"\x58\x20" + USER.label) + 34
    wrong = payload[:seq] + b"\x18" + payload[seq:]
    refuse(envelope(wrong, [USER_KEY], b"keyroll/v1/block", LOG.log_id), "R-10.2")


def test_sizes() -> None:
    refuse(BLOCKS["add"] + bytes(16_385 - len(BLOCKS["add"])), "R-41.1")
    refuse(BLOCKS["add"] + bytes(16_384 - len(BLOCKS["add"])), "R-40.1")


def test_signers() -> None:
    payload = cbor2.loads(BLOCKS["close"]).value[2]
    keys = [SigningKey(b"%032d" % number) for number in range(5)]

    def signed(*signers: SigningKey, context: bytes = b"keyroll/v1/block") -> bytes:
        return envelope(payload, signers, context, LOG.log_id)

    assert len(open_block(signed(*keys[:4]), LOG.log_id).kids) == 4
    refuse(signed(*keys), "R-40.2")
    refuse(signed(), "R-40.2")
    refuse(signed(keys[0], keys[0]), "R-40.3")
    refuse(signed(keys[0], context=b"keyroll/v1/login"), "R-40.4")
    refuse(signed(keys[0]), "R-40.4", log_id=b"other log".ljust(32))
    refuse(signed(keys[0])[:-64] + signed(keys[1])[-64:], "R-40.4")
    tagged = signed(keys[0]).replace(b"\xd8\x62", b"\xd8\x61", 1)
    refuse(tagged, "R-40.1")
    refuse(signed(keys[0]).replace(b"\xa0\x58\x40", b"\xa1\x58\x40"), "R-40.1")
    refuse(b"\xd8\x62\x84\x40\xa0\x59\x00" + payload[:1], "R-40.1")
    long = b"\xd8\x62\x84\x40\xa0\x59\x00" + bytes([len(payload)]) + payload
    refuse(long + signed(keys[0])[7 + len(payload) :], "R-40.1")


def test_the_to_be_signed_is_that_of_cose() -> None:
    """RFC 9052 §4.4, spelt by cbor2."""
    opened = open_envelope(BLOCKS["close"])
    protected = cbor2.dumps({1: -8, 4: opened.kids[0]})
    aad = b"keyroll/v1/block" + LOG.log_id
    message = cbor2.dumps(["Signature", b"", protected, aad, opened.payload])
    bindings.crypto_sign_open(opened.signed[0][1] + message, opened.kids[0])


def opened_delegation(data: bytes, log_id: bytes) -> Delegation:
    delegation, checks = parse_delegation(data, log_id)
    for check in checks:
        run_check(check)
    return delegation


def test_delegations() -> None:
    ephemeral = SigningKey(b"e" * 32)
    good = LOG.delegation(ephemeral, b"c" * 32, expiry=9)
    opened = opened_delegation(good, LOG.log_id)
    assert (opened.ephemeral, opened.commitment) == (public(ephemeral), b"c" * 32)
    assert (opened.log_id, opened.purpose, opened.epoch, opened.expiry) == (LOG.log_id, 0, 0, 9)
    assert opened.kid == public(LOG.enrolment)
    cases = {
        "R-52.1": LOG.delegation(ephemeral, b"c" * 32, signers=[LOG.enrolment, LOG.app_root]),
        "R-52.5": LOG.delegation(ephemeral, b"c" * 32, context=b"keyroll/v1/block"),
        "R-10.4": LOG.delegation(ephemeral, b"c" * 32, purpose=2),
        "R-10.1": good + bytes(1_025 - len(good)),
        "R-40.1": good + b"\x00",
    }
    for rule, wrong in cases.items():
        with pytest.raises(Invalid) as caught:
            opened_delegation(wrong, LOG.log_id)
        assert caught.value.rule == rule
    with pytest.raises(Invalid, match=r"R-52\.5"):
        opened_delegation(good, b"other log".ljust(32))


def test_a_delegation_must_verify_inside_its_block() -> None:
    forged = LOG.delegation(SigningKey(b"e" * 32), b"c" * 32, context=b"keyroll/v1/login")
    draft: Draft = User(LOG).create(delegation=forged)
    refuse(draft.data, "R-52.5")


def test_entries() -> None:
    block, root = cbor2.dumps([0, 7, b"block"]), cbor2.dumps([1, 2**53 - 1, bytes(32)])
    assert open_entry(block) == (0, 7, b"block")
    assert open_entry(root) == (1, 2**53 - 1, bytes(32))
    assert open_entry(cbor2.dumps([0, 7, bytes(65_500)])).kind == 0
    cases = [
        ("R-42.1", cbor2.dumps([2, 7, bytes(32)])),
        ("R-42.1", cbor2.dumps([0, 7, bytes(65_530)])),
        ("R-42.1", b""),
        ("R-10.4", cbor2.dumps([1, 7, bytes(31)])),
        ("R-10.4", cbor2.dumps([1, 2**53, bytes(32)])),
        ("R-10.4", cbor2.dumps([1, 7])),
        ("R-10.4", cbor2.dumps([True, 7, bytes(32)])),
        ("R-10.4", cbor2.dumps([0, 7, "text"])),
        ("R-10.2", root + b"\x00"),
        ("R-10.2", root[:-1]),
        ("R-10.2", b"\x83\x01\x18\x07" + root[11:]),
    ]
    for rule, wrong in cases:
        with pytest.raises(Malformed) as caught:
            open_entry(wrong)
        assert caught.value.rule == rule, wrong.hex()


@given(st.binary(max_size=80))
def test_any_entry_and_block_is_judged(data: bytes) -> None:
    for judge in (open_entry, lambda one: open_block(one, LOG.log_id)):
        with contextlib.suppress(Malformed):
            assert judge(data)[0] in (0, 1)


def test_ed25519_keys() -> None:
    good = public(SigningKey(b"k" * 32))
    require_ed25519(good)
    mixed = bindings.crypto_core_ed25519_add(good, ORDER_2)
    off_curve = (2).to_bytes(32, "little")
    for wrong in (mixed, ORDER_2, (1).to_bytes(32, "little"), off_curve, good[:31], good + b"\x00"):
        with pytest.raises(Malformed, match=r"R-15\.1"):
            require_ed25519(wrong)


def test_x25519_keys() -> None:
    require_x25519((9).to_bytes(32, "little"))
    require_x25519((P - 2).to_bytes(32, "little"))
    for u in (*LOW_ORDER, P, P + 9, 2**255 - 1, 2**255 + 9):
        with pytest.raises(Malformed, match=r"R-15\.2"):
            require_x25519(u.to_bytes(32, "little"))


def test_low_order_points_are_those_that_libsodium_multiplies_to_zero() -> None:
    for u in LOW_ORDER:
        with pytest.raises(RuntimeError):
            bindings.crypto_scalarmult(b"s" * 32, u.to_bytes(32, "little"))
    assert len(LOW_ORDER) == 5
