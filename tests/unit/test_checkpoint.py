"""Checkpoints: one spelling of three lines, and only under the log's own signature."""

from __future__ import annotations

import doctest
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import BadSignature, MalformedInput, UsageError
from ledger.format import checkpoint as module
from ledger.format.checkpoint import (
    EMPTY_ROOT,
    MAX_SIZE,
    Checkpoint,
    open_checkpoint,
    parse,
    sign_checkpoint,
)
from ledger.format.keys import SigningKey
from ledger.format.note import (
    COSIGNATURE,
    ED25519,
    Note,
    NoteSignature,
    Signer,
    Verifier,
    cosign,
    sign_note,
)

ORIGIN = "keyroll.example/log"
ROOT = bytes(range(32))
BASE64 = b64encode(ROOT).decode()
HEAD = Checkpoint(ORIGIN, 20_852_163, ROOT)
TEXT = f"{ORIGIN}\n20852163\n{BASE64}\n".encode()

KEY = SigningKey(bytes(range(32)))
LOG = Verifier(ORIGIN, ED25519, KEY.public)
WITNESS_KEYS = [SigningKey(bytes([number]) * 32) for number in range(3)]

origins = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Z"], exclude_characters="+"), min_size=1
)
heads = st.one_of(
    st.builds(Checkpoint, origins, st.integers(1, MAX_SIZE), st.binary(min_size=32, max_size=32)),
    st.builds(Checkpoint, origins, st.just(0), st.just(EMPTY_ROOT)),
)


def malformed(text: str | bytes, rule: str) -> None:
    with pytest.raises(MalformedInput) as refusal:
        parse(text if isinstance(text, bytes) else text.encode())
    assert refusal.value.rule == rule


def test_a_fixed_text() -> None:
    assert HEAD.encode() == TEXT
    assert parse(TEXT) == HEAD


@given(heads)
def test_round_trip(head: Checkpoint) -> None:
    text = head.encode()
    assert parse(text) == head
    log = Verifier(head.origin, ED25519, KEY.public)
    assert open_checkpoint(sign_checkpoint(head, KEY), log) == head


def test_the_empty_tree() -> None:
    empty = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
    assert parse(f"{ORIGIN}\n0\n{empty}\n".encode()) == Checkpoint(ORIGIN, 0, EMPTY_ROOT)
    malformed(f"{ORIGIN}\n0\n{BASE64}\n", "R-60.8")
    assert parse(f"{ORIGIN}\n1\n{empty}\n".encode()).size == 1


def test_three_lines() -> None:
    rest = f"\n1\n{BASE64}\n"
    assert parse(f"{ORIGIN}{rest}".encode()).size == 1
    wrong = [
        *("", "\n", "\n\n\n", f"{ORIGIN}\n", f"{ORIGIN}\n1\n", f"{ORIGIN}{rest[:-1]}"),
        *(f"{ORIGIN}{rest}\n", f"\n{ORIGIN}{rest}", f"{ORIGIN}\n{rest}", f"{ORIGIN}\r{rest}"),
        *(f"{ORIGIN}{rest}extension\n", f"{ORIGIN}{rest}extension", f"{ORIGIN}{rest}\nextension\n"),
        *(f"{name}{rest}" for name in ("", " ", "a b", "a+b", "a\u00a0b", "a\x00", "a\x85\u0085")),
    ]
    for text in wrong:
        malformed(text, "R-60.7")
    malformed(b"\xff" + rest.encode(), "R-60.7")


@pytest.mark.parametrize("size", [1, 9, 10, 2**32, 2**63 - 1])
def test_sizes(size: int) -> None:
    assert parse(f"{ORIGIN}\n{size}\n{BASE64}\n".encode()).size == size


@pytest.mark.parametrize(
    "size",
    [
        *("", "00", "01", "+1", "-1", "-0", "1_000", " 1", "1 ", "1.0", "1e3", "0x1"),
        *("1\r", "1\x00", "\u0661", "\uff11", "\u00b2", "\u0967"),
        *(str(2**63), "9" * 19, "1" + "0" * 19, "1" * 5_000),
    ],
)
def test_other_sizes_are_refused(size: str) -> None:
    malformed(f"{ORIGIN}\n{size}\n{BASE64}\n", "R-60.8")


@pytest.mark.parametrize(
    "root",
    [
        *("", BASE64[:-1], BASE64 + "=", BASE64[:-2] + "9=", " " + BASE64, BASE64 + " "),
        *(b64encode(bytes(length)).decode() for length in (0, 31, 33, 64)),
        *(ROOT.hex(), "-" + BASE64[1:], "_" + BASE64[1:], BASE64[:20] + "=" + BASE64[20:]),
    ],
)
def test_other_roots_are_refused(root: str) -> None:
    malformed(f"{ORIGIN}\n1\n{root}\n", "R-60.8")


@pytest.mark.parametrize(
    "head",
    [
        *(Checkpoint(origin, 1, ROOT) for origin in ("", "a b", "a\nb", "a\x00", "a+b")),
        *(Checkpoint(ORIGIN, size, ROOT) for size in (-1, 0, 2**63)),
        *(Checkpoint(ORIGIN, 1, root) for root in (b"", ROOT[:31], ROOT + b"\x00")),
    ],
)
def test_nothing_else_is_signed(head: Checkpoint) -> None:
    assert sign_checkpoint(HEAD, KEY)
    with pytest.raises(MalformedInput):
        sign_checkpoint(head, KEY)


def test_every_truncation_and_flipped_bit_is_refused_or_another_checkpoint() -> None:
    for end in range(len(TEXT)):
        with pytest.raises(MalformedInput):
            parse(TEXT[:end])
    for bit in range(len(TEXT) * 8):
        flipped = bytearray(TEXT)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            head = parse(bytes(flipped))
        except MalformedInput:
            continue
        assert head != HEAD
        assert head.encode() == bytes(flipped)


def test_every_flipped_bit_of_a_signed_checkpoint_fails() -> None:
    signed = sign_checkpoint(HEAD, KEY)
    assert open_checkpoint(signed, LOG) == HEAD
    for bit in range(len(signed) * 8):
        flipped = bytearray(signed)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises((MalformedInput, BadSignature)):
            open_checkpoint(bytes(flipped), LOG)


@given(st.binary(max_size=100))
def test_any_bytes_are_a_checkpoint_or_malformed(text: bytes) -> None:
    try:
        head = parse(text)
    except MalformedInput:
        return
    assert head.encode() == text


fields = st.sampled_from(
    [ORIGIN, "0", "1", "20852163", "01", "+1", BASE64, "", " ", "a+b", "\u0661", BASE64[:-1], "\n"]
)


@given(st.lists(fields, max_size=5), st.sampled_from(["\n", "\r\n", " "]))
def test_any_lines_are_a_checkpoint_or_malformed(parts: list[str], end: str) -> None:
    text = "".join(part + end for part in parts).encode()
    try:
        head = parse(text)
    except MalformedInput:
        return
    assert head.encode() == text


def test_the_logs_signature_may_stand_anywhere() -> None:
    own = Signer(ORIGIN, KEY).sign(TEXT)
    others = [
        cosign(TEXT, f"witness.example/{number}", key, 1_700_000_000)
        for number, key in enumerate(WITNESS_KEYS)
    ]
    for place in range(len(others) + 1):
        note = Note(TEXT, (*others[:place], own, *others[place:]))
        assert open_checkpoint(note.encode(), LOG) == HEAD
    with pytest.raises(BadSignature, match=r"R-60\.4"):
        open_checkpoint(Note(TEXT, tuple(others)).encode(), LOG)


def test_only_the_logs_own_key_counts() -> None:
    signed = sign_checkpoint(HEAD, KEY)
    assert open_checkpoint(signed, LOG) == HEAD
    with pytest.raises(BadSignature, match=r"R-60\.4"):
        open_checkpoint(sign_checkpoint(HEAD, WITNESS_KEYS[0]), LOG)
    with pytest.raises(BadSignature, match=r"R-60\.3"):
        open_checkpoint(signed.replace(b"20852163", b"20852164"), LOG)
    forged = NoteSignature(ORIGIN, LOG.key_id, WITNESS_KEYS[0].sign(TEXT))
    with pytest.raises(BadSignature, match=r"R-60\.3"):
        open_checkpoint(Note(TEXT, (forged,)).encode(), LOG)


def test_the_origin_is_the_name_of_the_key() -> None:
    other = Checkpoint("other.example/log", HEAD.size, ROOT)
    signed = sign_note(other.encode(), [Signer(ORIGIN, KEY)])
    with pytest.raises(BadSignature, match=r"R-60\.9"):
        open_checkpoint(signed, LOG)
    assert open_checkpoint(sign_note(TEXT, [Signer(ORIGIN, KEY)]), LOG) == HEAD


def test_extension_lines_are_refused_even_when_signed() -> None:
    signed = sign_note(TEXT + b"extension\n", [Signer(ORIGIN, KEY)])
    with pytest.raises(MalformedInput, match=r"R-60\.7"):
        open_checkpoint(signed, LOG)


def test_a_cosigner_is_no_log() -> None:
    cosigned = Note(TEXT, (cosign(TEXT, ORIGIN, KEY, 1_700_000_000),)).encode()
    with pytest.raises(BadSignature, match=r"R-60\.4"):
        open_checkpoint(cosigned, LOG)
    with pytest.raises(UsageError):
        open_checkpoint(cosigned, Verifier(ORIGIN, COSIGNATURE, KEY.public))


def test_docstring() -> None:
    assert doctest.testmod(module).failed == 0
