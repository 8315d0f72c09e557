"""Signed notes and checkpoints, each rule beside its nearest failing case."""

from __future__ import annotations

import base64
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from tests.verifier.builder import public, signed_note
from verifier.errors import BadSignature, Invalid, Malformed
from verifier.merkle import EMPTY_ROOT
from verifier.note import (
    COSIGNATURE,
    NoteKey,
    open_checkpoint,
    open_note,
    parse_checkpoint,
    parse_note,
    parse_vkey,
)

KEY = SigningKey(b"k" * 32)
NAME = "log.example/one"
LOG = NoteKey(NAME, public(KEY))
ROOT = base64.b64encode(b"r" * 32).decode()
TEXT = f"{NAME}\n42\n{ROOT}\n"
NOTE = signed_note(TEXT, NAME, KEY)
LINE = NOTE.decode().split("\n\n")[1]


def test_a_checkpoint() -> None:
    assert open_checkpoint(NOTE, LOG) == (NAME, 42, b"r" * 32)
    assert open_note(NOTE, [LOG]) == (TEXT, [(LOG, None)])


def test_the_published_vkey() -> None:
    vkey = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
    key = parse_vkey(vkey)
    assert (key.name, key.type, key.id().hex()) == ("example.com/foo", 1, "530d903a")
    for wrong in (vkey[:-4], vkey.replace("530d", "530e"), vkey.replace("530d903a", "530D903A")):
        with pytest.raises(Malformed, match=r"R-60\.5"):
            parse_vkey(wrong)


@pytest.mark.parametrize(
    ("rule", "note"),
    [
        ("R-60.1", TEXT + "\n" + LINE * 65),
        ("R-60.1", TEXT + "\n"),
        ("R-60.1", "x" * 131_072 + NOTE.decode()),
        ("R-60.2", TEXT + LINE),
        ("R-60.2", NOTE.decode()[:-1]),
        ("R-60.2", NOTE.decode() + "x"),
        ("R-60.2", NOTE.decode().replace("—", "-")),
        ("R-60.2", NOTE.decode().replace("— ", "—  ")),
        ("R-60.2", NOTE.decode().replace("\n42", "\r\n42")),
        ("R-60.2", NOTE.decode().replace("\n42", "\x00\n42")),
        ("R-60.2", TEXT + "\n— a+b c2lnbmF0dXJl\n"),
        ("R-60.2", TEXT + "\n— a\u2003b c2lnbmF0dXJl\n"),
        ("R-60.2", TEXT + "\n— a c2lnbmF0dXJl=\n"),
        ("R-60.2", TEXT + "\n— a c2lnbmF0dXJlZR==\n"),
        ("R-60.2", TEXT + "\n— a AAAAAA==\n"),
    ],
)
def test_notes_that_are_malformed(rule: str, note: str) -> None:
    with pytest.raises(Malformed) as caught:
        open_note(note.encode(), [LOG])
    assert caught.value.rule == rule


@pytest.mark.parametrize(
    ("rule", "note", "keys"),
    [
        ("R-60.3", NOTE.replace(b"42", b"43"), [LOG]),
        ("R-60.3", NOTE + LINE.encode(), [LOG]),
        ("R-60.4", NOTE, []),
        ("R-60.4", NOTE, [NoteKey("other.example", LOG.key)]),
        ("R-60.4", NOTE, [NoteKey(NAME, public(SigningKey(b"o" * 32)))]),
        ("R-60.4", NOTE, [NoteKey(NAME, LOG.key, COSIGNATURE)]),
    ],
)
def test_signatures_that_do_not_count(rule: str, note: bytes, keys: list[NoteKey]) -> None:
    with pytest.raises(BadSignature) as caught:
        open_note(note, keys)
    assert caught.value.rule == rule


def test_unknown_signatures_are_ignored() -> None:
    others = b"".join(
        signed_note(TEXT, f"w{number}.example", SigningKey(b"%032d" % number)).split(b"\n\n")[1]
        for number in range(63)
    )
    assert open_checkpoint(NOTE + others, LOG).size == 42
    assert len(parse_note(NOTE + others).signatures) == 64


def cosigned(time: int, *, over: int | None = None) -> bytes:
    key = NoteKey("w.example", public(KEY), COSIGNATURE)
    message = f"cosignature/v1\ntime {time if over is None else over}\n{TEXT}".encode()
    blob = key.id() + time.to_bytes(8, "big") + KEY.sign(message).signature
    return NOTE + f"— w.example {base64.b64encode(blob).decode()}\n".encode()


def test_cosignatures() -> None:
    witness = NoteKey("w.example", public(KEY), COSIGNATURE)
    assert open_note(cosigned(1_800_000_000), [LOG, witness])[1] == [
        (LOG, None),
        (witness, 1_800_000_000),
    ]
    assert open_note(cosigned(2**63 - 1), [witness])[1][0].time == 2**63 - 1
    for rule, note in (("R-60.6", cosigned(2**63)), ("R-60.3", cosigned(2, over=1))):
        with pytest.raises(BadSignature) as caught:
            open_note(note, [witness])
        assert caught.value.rule == rule


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ("R-60.7", f"{NAME}\n42\n{ROOT}\nextension\n"),
        ("R-60.7", f"{NAME}\n42\n"),
        ("R-60.7", f"{NAME}\n42\n{ROOT}"),
        ("R-60.7", f"\n42\n{ROOT}\n"),
        ("R-60.7", f"a b\n42\n{ROOT}\n"),
        *(
            ("R-60.8", f"{NAME}\n{size}\n{ROOT}\n")
            for size in ("", "042", "+42", " 42", "4_2", "-1")
        ),
        *(("R-60.8", f"{NAME}\n{size}\n{ROOT}\n") for size in ("٤٢", "0x2a", str(2**63), "9" * 40)),
        ("R-60.8", f"{NAME}\n42\n{ROOT[:-1]}\n"),
        ("R-60.8", f"{NAME}\n42\n{base64.b64encode(b'r' * 31).decode()}\n"),
        ("R-60.8", f"{NAME}\n0\n{ROOT}\n"),
    ],
)
def test_checkpoints_that_are_malformed(rule: str, text: str) -> None:
    with pytest.raises(Malformed) as caught:
        parse_checkpoint(text)
    assert caught.value.rule == rule


def test_sizes_at_their_bounds() -> None:
    assert parse_checkpoint(f"{NAME}\n{2**63 - 1}\n{ROOT}\n").size == 2**63 - 1
    empty = base64.b64encode(EMPTY_ROOT).decode()
    assert parse_checkpoint(f"{NAME}\n0\n{empty}\n").root == EMPTY_ROOT


def test_a_checkpoint_of_another_origin() -> None:
    note = signed_note(TEXT.replace("one", "two"), NAME, KEY)
    with pytest.raises(BadSignature, match=r"R-60\.9"):
        open_checkpoint(note, LOG)


@given(st.binary(max_size=200) | st.integers(0, len(NOTE) - 1).map(lambda at: NOTE[:at]))
def test_any_bytes_are_judged(data: bytes) -> None:
    with contextlib.suppress(Invalid):
        assert open_checkpoint(data, LOG) is None  # none of these is signed


@given(st.integers(0, len(NOTE) - 1), st.integers(1, 255))
def test_no_changed_byte_passes(at: int, flip: int) -> None:
    wrong = bytearray(NOTE)
    wrong[at] ^= flip
    with pytest.raises(Invalid):
        open_checkpoint(bytes(wrong), LOG)
