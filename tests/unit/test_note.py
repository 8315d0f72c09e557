"""Signed notes against fixed examples, and every line that only looks like a signature."""

from __future__ import annotations

import doctest
from base64 import b64encode
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import BadSignature, MalformedInput, UsageError
from ledger.format import note as module
from ledger.format.keys import SigningKey
from ledger.format.note import (
    COSIGNATURE,
    ED25519,
    MAX_SIGNATURES,
    Note,
    NoteSignature,
    Signer,
    Verified,
    Verifier,
    check_name,
    cosign,
    decode_base64,
    encode_base64,
    open_note,
    parse_note,
    parse_signatures,
    parse_vkey,
    sign_note,
)

PUBLISHED_VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"

KEY = SigningKey(bytes(range(32)))
SIGNER = Signer("keyroll.example/log", KEY)
LOG = SIGNER.verifier
WITNESS_KEY = SigningKey(bytes(range(32, 64)))
WITNESS = Verifier("witness.example/w1", COSIGNATURE, WITNESS_KEY.public)
TEXT = b"keyroll.example/log\n2\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"
TIME = 1_679_315_147

# Computed once, and checked with another implementation of Ed25519.
VKEY = "keyroll.example/log+b8032e5f+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4"
WITNESS_VKEY = "witness.example/w1+20324abe+BCmsuuFBvMrwsi4alNNNC8c2HlJtC/4SyJeUvJMilm3X"
LINE = (
    "\u2014 keyroll.example/log "
    "uAMuX4fX2EjMCSNEBw1+WZy7AOJC+EBUdCzlL1wIv3wrjQeD4taR38LFHbE83R4vIHa8CI9CMazrbdJv"
    "UJP0PkJpHwc=\n"
)
WITNESS_LINE = (
    "\u2014 witness.example/w1 "
    "IDJKvgAAAABkGFDLISo4ZNC+CNzCjdcYLyM/OaSEUSJsT3FS2YAByW/8gpJpAJIS/mRpzFj++SxtM0t8"
    "Om6xCJGztsYXKrmHHOWQDw==\n"
)
DATA = TEXT + b"\n" + (LINE + WITNESS_LINE).encode()


def malformed(data: bytes, rule: str = "R-60.2") -> None:
    with pytest.raises(MalformedInput) as refusal:
        parse_note(data)
    assert refusal.value.rule == rule


def unsigned(data: bytes, rule: str, *verifiers: Verifier) -> None:
    with pytest.raises(BadSignature) as refusal:
        open_note(data, verifiers or [LOG])
    assert refusal.value.rule == rule


def under(text: bytes, *lines: str) -> bytes:
    return text + b"\n" + "".join(lines).encode()


def line(name: str, blob: bytes) -> str:
    return f"\u2014 {name} {b64encode(blob).decode()}\n"


def test_a_fixed_note() -> None:
    cosignature = cosign(TEXT, WITNESS.name, WITNESS_KEY, TIME)
    assert Note(TEXT, (SIGNER.sign(TEXT), cosignature)).encode() == DATA
    assert sign_note(TEXT, [SIGNER]) == under(TEXT, LINE)
    assert cosignature.line == WITNESS_LINE
    assert (LOG.vkey, WITNESS.vkey) == (VKEY, WITNESS_VKEY)
    note, verified = open_note(DATA, [parse_vkey(WITNESS_VKEY), parse_vkey(VKEY)])
    assert note.text == TEXT
    assert verified == [Verified(LOG, None), Verified(WITNESS, TIME)]


def test_key_ids_follow_their_definition() -> None:
    material = b"keyroll.example/log\n\x01" + KEY.public
    assert LOG.key_id == sha256(material).digest()[:4]
    material = b"witness.example/w1\n\x04" + WITNESS_KEY.public
    assert WITNESS.key_id == sha256(material).digest()[:4]
    assert Verifier(LOG.name, COSIGNATURE, KEY.public).key_id != LOG.key_id


def test_every_truncation_is_refused() -> None:
    for end in range(len(DATA)):
        if DATA[:end] != under(TEXT, LINE):
            with pytest.raises(MalformedInput):
                parse_note(DATA[:end])
    assert len(parse_note(under(TEXT, LINE)).signatures) == 1


def test_every_flipped_bit_fails_or_changes_no_meaning() -> None:
    for bit in range(len(DATA) * 8):
        flipped = bytearray(DATA)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            note, verified = open_note(bytes(flipped), [LOG, WITNESS])
        except (MalformedInput, BadSignature):
            continue
        # What is left is a signature line turned into that of an unknown key.
        assert note.text == TEXT
        assert len(verified) == 1


@given(st.binary(max_size=200), st.sampled_from([b"", TEXT, TEXT + b"\n", DATA]))
def test_any_bytes_are_a_note_or_malformed(data: bytes, before: bytes) -> None:
    try:
        note = parse_note(before + data)
    except MalformedInput:
        return
    assert note.encode() == before + data


pieces = st.sampled_from(
    [
        *("\n", "\n\n", "\u2014 ", "\u2014", "- ", " ", "+", "=", "==", "\t", "\r\n", "\x7f"),
        *("name", "text\n", "QUJDREU=", "QUJDRA==", "QUJDREV=", "AAAA", "\u2028", "\x00"),
        *("\u00a0", "\u00e9", LINE, WITNESS_LINE, DATA.decode()),
    ]
)  # fmt: skip


@given(st.lists(pieces, max_size=12).map("".join))
def test_any_structure_is_a_note_or_malformed(spelling: str) -> None:
    try:
        note = parse_note(spelling.encode())
    except MalformedInput:
        return
    assert note.encode() == spelling.encode()
    with pytest.raises(BadSignature):
        open_note(note.encode(), [Verifier("unknown", ED25519, KEY.public)])


lines = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)


@given(st.lists(lines, min_size=1).map("\n".join), st.integers(1, 3))
def test_round_trip(text: str, count: int) -> None:
    data = (text + "\n").encode()
    signers = [Signer(f"log{number}", SigningKey(bytes([number] * 32))) for number in range(count)]
    signed = sign_note(data, signers)
    note, verified = open_note(signed, [signer.verifier for signer in signers])
    assert note.text == data
    assert [each.verifier.name for each in verified] == [signer.name for signer in signers]


def test_the_last_empty_line_parts_text_and_signatures() -> None:
    for text in (b"\n", b"\n\n", b"a\n\n", b"a\n\nb\n", TEXT + b"\n" + LINE.encode()):
        assert open_note(sign_note(text, [SIGNER]), [LOG])[0].text == text
    malformed(TEXT + LINE.encode())
    malformed(b"\n" + LINE.encode())
    malformed(LINE.encode())
    malformed(under(TEXT, LINE)[:-1])
    malformed(under(TEXT, LINE, "\n"), "R-60.1")
    malformed(under(TEXT, LINE, "\n", WITNESS_LINE)[:-1])
    malformed(under(TEXT), "R-60.1")


def test_texts_that_can_not_be_signed() -> None:
    assert sign_note(b"text\n", [SIGNER])
    for text in (
        b"",
        b"text",
        b"a\n\nb",
        b"a\rb\n",
        b"a\tb\n",
        b"\x00\n",
        b"\xff\n",
        b"\xed\xa0\x80\n",
    ):
        with pytest.raises(MalformedInput, match=r"R-60\.2"):
            sign_note(text, [SIGNER])


@pytest.mark.parametrize("control", [number for number in range(32) if number != 10])
def test_control_characters_are_refused(control: int) -> None:
    character = bytes([control])
    malformed(b"a" + character + b"\n" + DATA)
    malformed(DATA[:-1] + character + b"\n")
    malformed(DATA + character)


def test_what_is_not_a_control_character_of_ascii_passes() -> None:
    for text in ("\x7f\n", "\u0085\n", "\u2028\n", "\u00a0\n"):
        assert open_note(sign_note(text.encode(), [SIGNER]), [LOG])[0].text == text.encode()


def test_not_utf_8() -> None:
    malformed(b"\xff\n" + DATA)
    malformed(b"\xed\xa0\x80\n" + DATA)
    malformed(under(TEXT, LINE) + b"\xe2\x80\x94 \xff AAAAAAA=\n")


BLOB = LOG.key_id + KEY.sign(TEXT)
SPELLED = b64encode(BLOB).decode()


NAME = LOG.name


@pytest.mark.parametrize(
    "wrong",
    [
        *(f"- {NAME} {SPELLED}\n", f"\u2013 {NAME} {SPELLED}\n", f"{NAME} {SPELLED}\n"),
        *(f"\u2014{NAME} {SPELLED}\n", f"\u2014  {NAME} {SPELLED}\n", "x\n"),
        *(f" \u2014 {NAME} {SPELLED}\n", f"\u2014\u00a0{NAME} {SPELLED}\n"),
        *(f"\u2014 {NAME}  {SPELLED}\n", f"\u2014 {NAME} {SPELLED} \n"),
        *(f"\u2014 {NAME} {SPELLED} {SPELLED}\n", f"\u2014 {NAME}\n", f"\u2014 {SPELLED}\n"),
        *(f"\u2014  {SPELLED}\n", "\u2014 \n", "\u2014 a \n", "\u2014\n"),
        # names with a plus or a space of any kind
        *(f"\u2014 {name} {SPELLED}\n" for name in ("a+b", "a\u00a0b", "a\u2003b", "a\u0085")),
        *(f"\u2014 {name} {SPELLED}\n" for name in ("\u2028a", "\u3000", "+", "a\u2029")),
        # no signature after the key id, or not even that
        *(line(NAME, BLOB[:length]) for length in range(5)),
    ],
)
def test_lines_that_only_look_like_signatures(wrong: str) -> None:
    right = f"\u2014 {LOG.name} {SPELLED}\n"
    assert open_note(under(TEXT, right), [LOG])[1] == [Verified(LOG, None)]
    assert len(parse_note(under(TEXT, line(LOG.name, BLOB[:5]))).signatures) == 1
    malformed(under(TEXT, wrong))
    malformed(under(TEXT, right, wrong))
    malformed(under(TEXT, wrong, right))


@pytest.mark.parametrize(
    ("spelling", "data"),
    [("", b""), ("AA==", b"\x00"), ("AAA=", b"\x00\x00"), ("+/+/", b"\xfb\xff\xbf")],
)
def test_base64(spelling: str, data: bytes) -> None:
    assert decode_base64(spelling, "R-60.2") == data
    assert encode_base64(data) == spelling


@pytest.mark.parametrize(
    "spelling",
    [
        *("AA", "AAA", "A", "A===", "AA=", "AA===", "AA==AA==", "AB==", "AAB=", "=", "===="),
        *("-_-_", "AA ==", " AA==", "AA==\n", "AA\n==", "AAAA=", "AAAA====", "AA=A", "A*A="),
        *("AA==\x00", "AA==#", "\ud800AA==", "\uff21A==", "\u0391A=="),
    ],
)  # fmt: skip
def test_other_base64_is_refused(spelling: str) -> None:
    with pytest.raises(MalformedInput, match=r"R-60\.2"):
        decode_base64(spelling, "R-60.2")


@given(st.text(max_size=12) | st.text("AB+/=", max_size=12))
def test_base64_has_one_spelling(spelling: str) -> None:
    try:
        data = decode_base64(spelling, "R-60.2")
    except MalformedInput:
        return
    assert b64encode(data).decode() == spelling


def test_names() -> None:
    for name in ("a", "example.com/log", "\u00e9", "\u2014", "a:b", "a=b", "\u200b"):
        assert check_name(name, "R-60.2") == name
    spaces = " \t\n\r\x0b\x0c\x1c\x1f\u0085\u00a0\u1680\u2003\u2028\u2029\u202f\u205f\u3000"
    for name in ("", "+", "a+b", "\x00", "a\x1b", "\ud800", *(f"a{space}b" for space in spaces)):
        with pytest.raises(MalformedInput, match=r"R-60\.2"):
            check_name(name, "R-60.2")


def test_bounds() -> None:
    one = SIGNER.sign(TEXT)
    foreign = NoteSignature("unknown", b"abcd", b"x" * 5_000)
    for number in (1, 16):
        note = Note(TEXT, (one, *[foreign] * (number - 1)))
        assert open_note(note.encode(), [LOG])[1] == [Verified(LOG, None)]
    short = NoteSignature("unknown", b"abcd", b"x").line
    assert len(parse_note(under(TEXT, LINE, *[short] * (MAX_SIGNATURES - 1))).signatures) == 64
    malformed(under(TEXT, LINE, *[short] * MAX_SIGNATURES), "R-60.1")
    filler = b"x" * (131_072 - len(under(b"\n", LINE)))
    assert len(parse_note(under(filler + b"\n", LINE)).text) == len(filler) + 1
    malformed(under(filler + b"x\n", LINE), "R-60.1")


def test_signature_lines_alone() -> None:
    cosignature = cosign(TEXT, WITNESS.name, WITNESS_KEY, TIME)
    assert parse_signatures(WITNESS_LINE.encode()) == (cosignature,)
    assert len(parse_signatures((LINE + WITNESS_LINE).encode())) == 2
    for wrong in ("\n", WITNESS_LINE[:-1], "\n" + LINE, LINE + "\n", "\u2014\n"):
        with pytest.raises(MalformedInput, match=r"R-60\.2"):
            parse_signatures(wrong.encode())
    with pytest.raises(MalformedInput, match=r"R-60\.2"):
        parse_signatures(b"\xff\n")


def test_bounds_of_signature_lines_alone() -> None:
    assert parse_signatures(line("name", bytes(98_292)).encode())[0].name == "name"
    for wrong in ("", LINE * 65, line("name", bytes(98_299))):
        with pytest.raises(MalformedInput, match=r"R-60\.1"):
            parse_signatures(wrong.encode())


def test_unknown_keys_are_ignored() -> None:
    garbage = [
        line("unknown", LOG.key_id + bytes(64)),  # the id of a known key
        line(LOG.name, b"abcd" + bytes(64)),  # the name of a known key
        line(LOG.name, WITNESS.key_id + bytes(72)),  # name and id, but of two known keys
        line("unknown", b"abcd" + b"x"),
    ]
    for before in range(len(garbage) + 1):
        lines = [*garbage[:before], LINE, *garbage[before:]]
        _, verified = open_note(under(TEXT, *lines), [LOG, WITNESS])
        assert verified == [Verified(LOG, None)]
    unsigned(under(TEXT, *garbage), "R-60.4", LOG, WITNESS)


def test_nobody_known_has_signed() -> None:
    open_note(DATA, [LOG])
    open_note(DATA, [WITNESS])
    unsigned(DATA, "R-60.4", Verifier(LOG.name, ED25519, WITNESS_KEY.public))
    unsigned(DATA, "R-60.4", Verifier("another", ED25519, KEY.public))
    unsigned(DATA, "R-60.4", Verifier(LOG.name, COSIGNATURE, KEY.public))
    with pytest.raises(BadSignature, match=r"R-60\.4"):
        open_note(DATA, [])


def test_one_bad_signature_of_a_known_key_spoils_the_note() -> None:
    other = SIGNER.sign(b"other\n").line
    unsigned(under(TEXT, other), "R-60.3")
    unsigned(under(TEXT, WITNESS_LINE, other), "R-60.3", LOG, WITNESS)
    unsigned(
        under(TEXT, LINE, line(WITNESS.name, WITNESS.key_id + bytes(72))), "R-60.3", LOG, WITNESS
    )
    open_note(under(TEXT, LINE, line(WITNESS.name, WITNESS.key_id + bytes(72))), [LOG])
    for length in (1, 63, 65, 128):
        blob = (KEY.sign(TEXT) * 2)[:length]
        unsigned(under(TEXT, line(LOG.name, LOG.key_id + blob)), "R-60.3")
    unsigned(under(TEXT + b"more\n", LINE), "R-60.3")
    unsigned(under(TEXT[:-2] + b"\n", LINE), "R-60.3")


def test_a_known_key_signs_once() -> None:
    unsigned(under(TEXT, LINE, LINE), "R-60.3")
    later = cosign(TEXT, WITNESS.name, WITNESS_KEY, TIME + 1).line
    unsigned(under(TEXT, LINE, WITNESS_LINE, later), "R-60.3", LOG, WITNESS)
    assert len(open_note(under(TEXT, LINE, WITNESS_LINE, later), [LOG])[1]) == 1


def test_keys_that_can_not_be_told_apart() -> None:
    assert len(open_note(DATA, [LOG, WITNESS, parse_vkey(VKEY)])[1]) == 2
    twin = Verifier(LOG.name, ED25519, WITNESS_KEY.public)
    object.__setattr__(twin, "key_id", LOG.key_id)  # as a collision of 32 bits would
    with pytest.raises(UsageError):
        open_note(DATA, [LOG, twin])


def test_cosignatures() -> None:
    for time in (0, 1, TIME, 2**63 - 1):
        cosignature = cosign(TEXT, WITNESS.name, WITNESS_KEY, time)
        message = b"cosignature/v1\ntime " + str(time).encode() + b"\n" + TEXT
        assert cosignature.blob == time.to_bytes(8) + WITNESS_KEY.sign(message)
        assert WITNESS.verify(TEXT, cosignature.blob) == Verified(WITNESS, time)
    for time in (-1, 2**63):
        with pytest.raises(MalformedInput, match=r"R-60\.6"):
            cosign(TEXT, WITNESS.name, WITNESS_KEY, time)


def test_cosignatures_that_fail() -> None:
    blob = cosign(TEXT, WITNESS.name, WITNESS_KEY, TIME).blob
    assert WITNESS.verify(TEXT, blob).time == TIME
    plain = WITNESS_KEY.sign(TEXT)
    for wrong in (
        *(blob[:-1], blob + b"\x00", blob[8:], b"", blob[:8]),
        (TIME + 1).to_bytes(8) + blob[8:],
        TIME.to_bytes(8) + plain,
        plain,
        cosign(TEXT + b"extension\n", WITNESS.name, WITNESS_KEY, TIME).blob,
        cosign(TEXT, WITNESS.name, KEY, TIME).blob,
    ):
        with pytest.raises(BadSignature, match=r"R-60\.3"):
            WITNESS.verify(TEXT, wrong)
    beyond = 2**63
    message = b"cosignature/v1\ntime " + str(beyond).encode() + b"\n" + TEXT
    with pytest.raises(BadSignature, match=r"R-60\.6"):
        WITNESS.verify(TEXT, beyond.to_bytes(8) + WITNESS_KEY.sign(message))


def test_types_do_not_mix() -> None:
    plain = Verifier(WITNESS.name, ED25519, WITNESS_KEY.public)
    with pytest.raises(BadSignature):
        plain.verify(TEXT, cosign(TEXT, WITNESS.name, WITNESS_KEY, TIME).blob)
    with pytest.raises(BadSignature):
        WITNESS.verify(TEXT, TIME.to_bytes(8) + WITNESS_KEY.sign(TEXT))


@pytest.mark.parametrize("vkey", [PUBLISHED_VKEY, VKEY, WITNESS_VKEY])
def test_vkeys(vkey: str) -> None:
    verifier = parse_vkey(vkey)
    assert verifier.vkey == vkey
    assert vkey.split("+")[:2] == [verifier.name, verifier.key_id.hex()]


def test_a_vkey_whose_base64_holds_a_plus() -> None:
    verifiers = (
        Verifier("log", ED25519, SigningKey(bytes([seed]) * 32).public) for seed in range(99)
    )
    verifier = next(each for each in verifiers if each.vkey.count("+") > 2)
    assert parse_vkey(verifier.vkey) == verifier


def vkey_of(name: str, kind: int, public: bytes) -> str:
    """A vkey with the right id, whatever is in it."""
    material = bytes([kind]) + public
    key_id = sha256(name.encode() + b"\n" + material).digest()[:4]
    return f"{name}+{key_id.hex()}+{b64encode(material).decode()}"


ID, BASE64 = VKEY.split("+", 2)[1:]


@pytest.mark.parametrize(
    "vkey",
    [
        *("", "+", "++", "a", "a+b", f"{NAME}+{ID}", f"{NAME}+{ID}+", f"{ID}+{BASE64}"),
        *(f"+{ID}+{BASE64}", f"other+{ID}+{BASE64}", f"a b+{ID}+{BASE64}"),
        *(f"{VKEY}\n", f" {VKEY}", f"{VKEY}+", f"{VKEY}="),
        *(f"{NAME}+{wrong}+{BASE64}" for wrong in (ID.upper(), f"0{ID}", "", ID[:-1], "00000000")),
        *(f"{NAME}+{ID}+{wrong}" for wrong in (BASE64[:-1], BASE64[:-4], "AQ==", "=")),
        *(vkey_of("log", kind, KEY.public) for kind in (0, 2, 3, 5, 6, 0xFA, 0xFF)),
        *(vkey_of(name, ED25519, KEY.public) for name in ("", "a b", "a\u00a0b", "a\nb", "a\x00")),
        *(f"\ud800+{ID}+{BASE64}", f"{NAME}+{ID}+\ud800", f"{NAME}+\ud800+{BASE64}"),
    ],
)
def test_other_vkeys_are_refused(vkey: str) -> None:
    assert parse_vkey(vkey_of("log", ED25519, KEY.public)).public == KEY.public
    assert parse_vkey(vkey_of("log", COSIGNATURE, KEY.public)).kind == COSIGNATURE
    with pytest.raises(MalformedInput) as refusal:
        parse_vkey(vkey)
    assert refusal.value.rule in ("R-60.5", "R-15.1")


@pytest.mark.parametrize("public", [b"", KEY.public[:31], KEY.public + b"\x00", bytes(32)])
def test_vkeys_hold_usable_keys(public: bytes) -> None:
    with pytest.raises(MalformedInput, match=r"R-15\.1"):
        parse_vkey(vkey_of("log", ED25519, public))


@given(st.text(max_size=60) | st.lists(st.sampled_from([*VKEY, "+", ID, BASE64])).map("".join))
def test_any_text_is_a_vkey_or_malformed(vkey: str) -> None:
    try:
        verifier = parse_vkey(vkey)
    except MalformedInput:
        return
    assert verifier.vkey == vkey


def test_docstring() -> None:
    assert doctest.testmod(module).failed == 0
