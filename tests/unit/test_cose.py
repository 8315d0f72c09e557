"""The envelope against cbor2's own COSE_Sign, and every other spelling, key, log and context."""

from __future__ import annotations

import doctest

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import BadSignature, MalformedInput, UsageError
from ledger.format import cose, keys
from ledger.format.cose import Envelope, aad, build, parse, sign, signed_messages, verify
from ledger.format.keys import SigningKey

CAP = 70_000
LOG_ID = bytes(range(32))
BLOCK_AAD = aad(cose.BLOCK, LOG_ID)
KEYS = [SigningKey(bytes([number]) * 32) for number in range(5)]
PAYLOAD = b"\x83\x01\x02\x03" + b"x" * 40
CONTEXTS = [
    cose.BLOCK,
    cose.DELEGATION,
    cose.LOGIN,
    cose.STATEMENT,
    cose.LEAVE,
    cose.GRANT,
    cose.HEADER,
]

LENGTHS = [0, 1, 22, 23, 24, 25, 254, 255, 256, 257, 65_535, 65_536, 65_600]


def protected(kid: bytes) -> bytes:
    return cbor2.dumps({1: -8, 4: kid})


def by_cbor2(payload: bytes, signatures: list[tuple[bytes, bytes]]) -> bytes:
    """The envelope as a general encoder writes it."""
    items = [[protected(kid), {}, signature] for kid, signature in signatures]
    return cbor2.dumps(cbor2.CBORTag(98, [b"", {}, payload, items]))


def signed(*numbers: int, payload: bytes = PAYLOAD) -> bytes:
    return sign(payload, [KEYS[number] for number in numbers], cose.BLOCK, LOG_ID)


def malformed(data: bytes, rule: str = "R-40.1") -> None:
    with pytest.raises(MalformedInput) as refusal:
        parse(data, CAP)
    assert refusal.value.rule == rule


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("signers", [1, 4])
def test_envelopes_are_what_a_general_encoder_writes(length: int, signers: int) -> None:
    payload = bytes(length)
    data = signed(*range(signers), payload=payload)
    envelope = parse(data, CAP)
    assert envelope.payload == payload
    assert envelope.signers == tuple(key.public for key in KEYS[:signers])
    pairs = list(zip(envelope.signers, envelope.signatures, strict=True))
    assert data == by_cbor2(payload, pairs) == build(payload, pairs)
    verify(envelope, BLOCK_AAD)


@pytest.mark.parametrize("length", LENGTHS)
def test_what_is_signed_is_the_sig_structure(length: int) -> None:
    kid = KEYS[0].public
    for external in (b"", bytes(23), bytes(24), BLOCK_AAD, bytes(length)):
        structure = ["Signature", b"", protected(kid), external, bytes(length)]
        assert cose.to_be_signed(bytes(length), kid, external) == cbor2.dumps(structure)


@given(st.binary(max_size=300), st.lists(st.integers(0, 4), min_size=1, max_size=4, unique=True))
def test_round_trip(payload: bytes, numbers: list[int]) -> None:
    envelope = parse(signed(*numbers, payload=payload), CAP)
    assert envelope.payload == payload
    assert [KEYS[number].public for number in numbers] == list(envelope.signers)
    verify(envelope, BLOCK_AAD)


def test_size_comes_first() -> None:
    data = signed(0)
    assert parse(data, len(data)).payload == PAYLOAD
    with pytest.raises(MalformedInput, match=r"R-10\.1"):
        parse(data, len(data) - 1)
    with pytest.raises(MalformedInput, match=r"R-10\.1"):
        parse(b"\x00" * 10, 9)


@pytest.mark.parametrize("length", [0, 23, 24, 255, 256])
def test_every_truncation_and_any_tail_is_refused(length: int) -> None:
    data = signed(0, 1, payload=bytes(length))
    for end in range(len(data)):
        with pytest.raises(MalformedInput):
            parse(data[:end], CAP)
    for tail in (b"\x00", data, data[-108:]):
        malformed(data + tail)


def test_every_flipped_bit_fails() -> None:
    data = signed(0, 1)
    verify(parse(data, CAP), BLOCK_AAD)
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises((MalformedInput, BadSignature)):
            verify(parse(bytes(flipped), CAP), BLOCK_AAD)


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_are_an_envelope_or_malformed(data: bytes, with_head: bool) -> None:
    data = bytes.fromhex("d8628440a0") * with_head + data
    try:
        envelope = parse(data, CAP)
    except MalformedInput:
        return
    pairs = list(zip(envelope.signers, envelope.signatures, strict=True))
    assert build(envelope.payload, pairs) == data


@given(st.data(), st.lists(st.integers(0, 4), min_size=1, max_size=4, unique=True))
def test_what_parses_has_one_spelling(data: st.DataObject, numbers: list[int]) -> None:
    spelled = signed(*numbers)
    start = data.draw(st.integers(0, len(spelled)))
    end = data.draw(st.integers(start, min(len(spelled), start + 120)))
    changed = spelled[:start] + data.draw(st.binary(max_size=120)) + spelled[end:]
    try:
        envelope = parse(changed, CAP)
    except MalformedInput:
        return
    pairs = list(zip(envelope.signers, envelope.signatures, strict=True))
    assert build(envelope.payload, pairs) == changed == by_cbor2(envelope.payload, pairs)


def test_payload_heads() -> None:
    tail = signed(0, payload=b"")[6:]
    assert parse(bytes.fromhex("d8628440a0") + b"\x40" + tail, CAP).payload == b""
    wrong = [
        *("5800", "590000", "5a00000000", "5b0000000000000000", "5f40ff", "5fff"),
        *("00", "20", "3f", "60", "80", "a0", "c040", "f6", "f7", "d82440"),
        *("5817" + "00" * 23, "5900ff" + "00" * 255, "5a0000ffff" + "00" * 65_535),
        *("5affffffff", "5b" + "ff" * 8, "5bffffffffffffff00"),
    ]
    for spelling in wrong:
        malformed(bytes.fromhex("d8628440a0" + spelling) + tail)


ITEM = signed(0)[-108:]
KID = KEYS[0].public.hex()
SIGNATURE = ITEM[-64:].hex()
BEFORE = signed(0)[:-109].hex()


@pytest.mark.parametrize(
    "spelling",
    [
        # the outside: no tag, another tag, a longer tag, another array, an indefinite one
        BEFORE[4:] + "81" + ITEM.hex(),
        "d2" + BEFORE[4:] + "81" + ITEM.hex(),
        "d861" + BEFORE[4:] + "81" + ITEM.hex(),
        "d90062" + BEFORE[4:] + "81" + ITEM.hex(),
        "d862d862" + BEFORE[4:] + "81" + ITEM.hex(),
        "d86285" + BEFORE[6:] + "81" + ITEM.hex(),
        "d8629804" + BEFORE[6:] + "81" + ITEM.hex(),
        "d8629f" + BEFORE[6:] + "81" + ITEM.hex() + "ff",
        # the body's headers: an encoded empty map, not null, something unprotected
        "d8628441a0a0" + BEFORE[10:] + "81" + ITEM.hex(),
        "d86284f6a0" + BEFORE[10:] + "81" + ITEM.hex(),
        "d8628440f6" + BEFORE[10:] + "81" + ITEM.hex(),
        "d8628440a10126" + BEFORE[10:] + "81" + ITEM.hex(),
        "d8628440bfff" + BEFORE[10:] + "81" + ITEM.hex(),
        # the signature's headers: order, algorithm, labels, lengths, an unprotected header
        *(
            BEFORE + "81" + item
            for item in (
                "835826a204" + "5820" + KID + "0127" + "a05840" + SIGNATURE,
                "835826a2012604" + "5820" + KID + "a05840" + SIGNATURE,
                "835826a2012705" + "5820" + KID + "a05840" + SIGNATURE,
                "835826a2022704" + "5820" + KID + "a05840" + SIGNATURE,
                "835827a201380704" + "5820" + KID + "a05840" + SIGNATURE,
                "83590026a2012704" + "5820" + KID + "a05840" + SIGNATURE,
                "835825a2012704" + "581f" + KID[2:] + "a05840" + SIGNATURE,
                "835827a2012704" + "5821" + KID + "00a05840" + SIGNATURE,
                "835826a2012704" + "5820" + KID + "a10126" + "5840" + SIGNATURE,
                "835826a2012704" + "5820" + KID + "f6" + "5840" + SIGNATURE,
                "835826a2012704" + "5820" + KID + "a0" + "583f" + SIGNATURE[2:],
                "835826a2012704" + "5820" + KID + "a0" + "5841" + SIGNATURE + "00",
                "835826a2012704" + "5820" + KID + "a0" + "590040" + SIGNATURE,
                "845826a2012704" + "5820" + KID + "a05840" + SIGNATURE,
                "9f5826a2012704" + "5820" + KID + "a05840" + SIGNATURE + "ff",
                "43a10127" + "a1045820" + KID + "5840" + SIGNATURE,
            )
        ),
    ],
)
def test_other_spellings_are_refused(spelling: str) -> None:
    assert parse(bytes.fromhex(BEFORE + "81") + ITEM, CAP).signatures == (ITEM[-64:],)
    malformed(bytes.fromhex(spelling))


def test_number_of_signatures() -> None:
    items = [signed(number)[-108:] for number in range(5)]
    before = signed(0)[:-109]
    for number in (1, 2, 3, 4):
        data = before + bytes([0x80 + number]) + b"".join(items[:number])
        assert len(parse(data, CAP).signers) == number
    malformed(before + b"\x80", "R-40.2")
    malformed(before + b"\x85" + b"".join(items), "R-40.2")
    malformed(before + b"\x98\x01" + items[0], "R-40.2")
    malformed(before + b"\x9f" + items[0] + b"\xff", "R-40.2")
    malformed(before + b"\xf6", "R-40.2")
    malformed(before + b"\x82" + items[0])
    malformed(before + b"\x81" + items[0] + items[1])
    malformed(before)


def test_kids_are_distinct() -> None:
    item, other = signed(0)[-108:], signed(1)[-108:]
    before = signed(0)[:-109]
    assert len(parse(before + b"\x82" + item + other, CAP).signers) == 2
    malformed(before + b"\x82" + item + item, "R-40.3")
    malformed(before + b"\x83" + item + other + item, "R-40.3")
    malformed(before + b"\x82" + item + item[:-64] + bytes(64), "R-40.3")


def test_build_keeps_the_same_rules() -> None:
    pairs = [(key.public, bytes(64)) for key in KEYS]
    assert parse(build(b"", pairs[:4]), CAP).signers == tuple(kid for kid, _ in pairs[:4])
    for wrong, rule in [
        ([], "R-40.2"),
        (pairs, "R-40.2"),
        ([pairs[0], pairs[0]], "R-40.3"),
        ([(bytes(31), bytes(64))], "R-40.1"),
        ([(bytes(32), bytes(65))], "R-40.1"),
    ]:
        with pytest.raises(MalformedInput) as refusal:
            build(b"", wrong)
        assert refusal.value.rule == rule


def bad(envelope: Envelope, external: bytes = BLOCK_AAD) -> None:
    with pytest.raises(BadSignature, match=r"R-40\.4"):
        verify(envelope, external)


def test_a_signature_holds_for_one_context_and_one_log() -> None:
    for context in CONTEXTS:
        envelope = parse(sign(PAYLOAD, KEYS[:2], context, LOG_ID), CAP)
        for other in CONTEXTS:
            if other == context:
                verify(envelope, aad(other, LOG_ID))
            else:
                bad(envelope, aad(other, LOG_ID))
        bad(envelope, aad(context, bytes(32)))
        bad(envelope, aad(context, LOG_ID[:31] + b"\x00"))
        bad(envelope, b"")


def test_contexts_are_distinct_and_ascii() -> None:
    assert len(set(CONTEXTS)) == len(CONTEXTS)
    assert aad(cose.BLOCK, LOG_ID) == b"keyroll/v1/block" + LOG_ID
    for log_id in (b"", LOG_ID[:31], LOG_ID + b"\x00"):
        with pytest.raises(UsageError):
            aad(cose.BLOCK, log_id)


def test_signatures_swapped_borrowed_or_forged() -> None:
    envelope = parse(signed(0, 1), CAP)
    verify(envelope, BLOCK_AAD)
    first, second = envelope.signatures
    other = parse(signed(0, 1, payload=b"other"), CAP)
    bad(Envelope(PAYLOAD, envelope.signers, (second, first)))
    bad(Envelope(PAYLOAD, envelope.signers[::-1], (first, second)))
    bad(Envelope(b"other", envelope.signers, envelope.signatures))
    bad(Envelope(PAYLOAD, envelope.signers, (other.signatures[0], second)))
    bad(Envelope(PAYLOAD, envelope.signers, (first, other.signatures[1])))
    bad(Envelope(PAYLOAD, (envelope.signers[0], KEYS[2].public), envelope.signatures))
    bad(Envelope(PAYLOAD, envelope.signers, (first, bytes(64))))
    bad(Envelope(PAYLOAD, envelope.signers, (first, second[:63])))


def test_signatures_do_not_cover_one_another() -> None:
    # Why the rules compare the kids with the payload and the state: this is well-formed and signed.
    both = parse(signed(0, 1), CAP)
    verify(Envelope(PAYLOAD, both.signers[1:], both.signatures[1:]), BLOCK_AAD)
    verify(Envelope(PAYLOAD, both.signers[::-1], both.signatures[::-1]), BLOCK_AAD)


def test_signed_messages_can_be_checked_one_by_one() -> None:
    envelope = parse(signed(0, 1, 2), CAP)
    triples = signed_messages(envelope, BLOCK_AAD)
    assert [kid for kid, _, _ in triples] == list(envelope.signers)
    assert [signature for _, signature, _ in triples] == list(envelope.signatures)
    for kid, signature, message in triples:
        assert message == cose.to_be_signed(PAYLOAD, kid, BLOCK_AAD)
        cose.check_signature(kid, signature, message)
        with pytest.raises(BadSignature, match=r"R-40\.4"):
            cose.check_signature(kid, signature, message + b"\x00")


def test_what_a_log_key_signs_is_never_a_note() -> None:
    message = cose.to_be_signed(PAYLOAD, KEYS[0].public, BLOCK_AAD)
    with pytest.raises(UnicodeDecodeError):
        message[:1].decode()
    assert not keys.verifies(KEYS[0].public, PAYLOAD, parse(signed(0), CAP).signatures[0])


def test_docstring() -> None:
    assert doctest.testmod(cose).failed == 0
