"""Signed notes and vkeys (R-60.1 to R-60.6)."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256

from ledger.format.note import COSIGNATURE, Signer, Verifier, cosign
from tests.support.actors import NOW, seed, signing_key
from tests.vectors.case import Case, bad, ok
from tests.vectors.crooked import CrookedKey

NAME = "example.com/log"
KEY = signing_key(NAME, "note")
LOG = Signer(NAME, KEY)
WITNESS_KEY = signing_key("witness")
WITNESS = Verifier("witness.example/w1", COSIGNATURE, WITNESS_KEY.public)
ROOT = b64encode(seed("root")).decode()
TEXT = f"{NAME}\n16\n{ROOT}\n".encode()
TIME = NOW // 1000


def line(name: str, blob: bytes) -> bytes:
    return f"\u2014 {name} {b64encode(blob).decode()}\n".encode()


def signed(text: bytes, *signers: Signer) -> bytes:
    """A note as a signer writes it who looks at nothing."""
    return text + b"\n" + b"".join(signer.sign(text).line.encode() for signer in signers)


UNKNOWN = Signer("unknown.example", signing_key("unknown"))
COSIGNED = cosign(TEXT, WITNESS.name, WITNESS_KEY, TIME).line.encode()


def cases() -> Iterator[Case]:
    yield from notes()
    yield from spellings()
    yield from known_keys()
    yield from vkeys()


def note_ok(name: str, shows: str, note: bytes, *more: Verifier) -> Case:
    vkeys = [LOG.verifier.vkey, *(verifier.vkey for verifier in more)]
    return ok("note", name, shows, note=note.hex(), vkeys=vkeys)


def note_bad(name: str, rule: str, nearest: str, shows: str, note: bytes, *more: Verifier) -> Case:
    vkeys = [LOG.verifier.vkey, *(verifier.vkey for verifier in more)]
    return bad("note", name, rule, nearest, shows, note=note.hex(), vkeys=vkeys)


def notes() -> Iterator[Case]:
    yield note_ok("signed", "A note with the log's signature.", signed(TEXT, LOG))
    yield note_ok("text", "A note of any text.", signed("Grüße\n\nan alle\n".encode(), LOG))
    shows = "An unknown key's signature before it, and one after."
    both = signed(TEXT, UNKNOWN, LOG, Signer("a", signing_key("another")))
    yield note_ok("unknown-too", shows, both)
    shows = "The log's signature and a witness's."
    yield note_ok("cosigned", shows, signed(TEXT, LOG) + COSIGNED, WITNESS)
    shows = "A cosignature whose key is not known."
    yield note_ok("cosigner-unknown", shows, signed(TEXT, LOG) + COSIGNED)
    garbage = b"".join(line(f"g{number}", bytes([number] * 5)) for number in range(64))
    lines = garbage.splitlines(keepends=True)
    most = signed(TEXT, LOG) + b"".join(lines[:63])
    yield note_ok("64-lines", "64 signature lines.", most)
    shows = "65 signature lines."
    yield note_bad("65-lines", "R-60.1", "64-lines", shows, signed(TEXT, LOG) + garbage)
    shows = "No signature line."
    yield note_bad("no-lines", "R-60.1", "signed", shows, TEXT + b"\n")
    shows = "An empty line follows the signatures: it is the last one, and none stand behind it."
    note = signed(TEXT, LOG) + b"\n"
    yield note_bad("empty-line-after", "R-60.1", "signed", shows, note)
    for name, size in (("longest", 131_072), ("too-long", 131_073)):
        text = b"x" * (size - len(signed(b"\n", LOG))) + b"\n"
        note = signed(text, LOG)
        assert len(note) == size
        shows = f"A note of {size:,} bytes."
        if name == "longest":
            yield note_ok(name, shows, note)
        else:
            yield note_bad(name, "R-60.1", "longest", shows, note)


def spellings() -> Iterator[Case]:
    right = signed(TEXT, LOG)
    at = len(TEXT) + 1
    name, last = NAME.encode(), right[at:]
    blob = last.rpartition(b" ")[2].rstrip()
    dash = "\u2014 ".encode()

    def relined(new: bytes) -> bytes:
        return right[:at] + new

    def other(new_name: bytes) -> bytes:
        return right + dash + new_name + b" " + blob + b"\n"

    for title, shows, note in (
        ("no-empty-line", "No empty line.", TEXT + last),
        ("not-utf-8", "A text that is not UTF-8.", signed(b"\xff\n", LOG)),
        ("control", "A control character in the text.", signed(b"a\tb\n", LOG)),
        ("carriage-return", "Lines that end as on Windows.", right.replace(b"\n", b"\r\n")),
        ("nul", "NUL in the text.", signed(b"a\0b\n", LOG)),
        ("no-newline", "The last newline is missing.", right[:-1]),
        ("trailing", "A byte follows.", right + b"x"),
        ("hyphen", "A hyphen for the dash.", relined(last.replace(dash, b"- "))),
        ("no-dash", "No dash.", relined(last.removeprefix(dash))),
        ("two-spaces", "Two spaces.", relined(last.replace(b" " + blob, b"  " + blob))),
        ("no-base64", "Not base64.", relined(last.replace(blob, b"~" + blob[1:]))),
        ("no-padding", "Without padding.", right + _padded(dash, b"AAAAAAA")),
        ("url-alphabet", "Another base64 alphabet.", right + _padded(dash, b"AAAAAA-_")),
        ("stray-bits", "Stray bits in the last character.", right + _padded(dash, b"AAAAAAB=")),
        ("four-bytes", "A key id without signature.", right + _padded(dash, b"AAAAAA==")),
        ("name-plus", "A plus in a name.", other(b"a+b")),
        ("name-space", "U+2003, a space, in a name.", other("a\u2003b".encode())),
        ("name-empty", "No name.", other(b"")),
        ("name-not-utf-8", "A name that is not UTF-8.", other(b"\xff")),
    ):
        assert note != right
        yield note_bad(title, "R-60.2", "signed", shows, note)
    assert name in last


def _padded(dash: bytes, spelling: bytes) -> bytes:
    return dash + b"other " + spelling + b"\n"


def known_keys() -> Iterator[Case]:
    right, mine = signed(TEXT, LOG), LOG.sign(TEXT)

    def instead(blob: bytes) -> bytes:
        return TEXT + b"\n" + line(NAME, mine.key_id + blob)

    again = right + line(NAME, mine.key_id + bytes(64))
    cut = signed(TEXT + b"\nmore\n", LOG).replace(b"\nmore\n", b"", 1)
    impostor = signing_key("impostor")
    for name, shows, note in (
        ("other-text", "The text was changed.", right.replace(b"\n16\n", b"\n17\n")),
        ("text-cut", "The text was cut at an empty line.", cut),
        ("zeros", "A signature of zeros.", instead(bytes(64))),
        ("short", "A signature of 63 bytes.", instead(mine.blob[:-1])),
        ("long", "A signature of 65 bytes.", instead(mine.blob + b"\0")),
        ("key-id-copied", "Name and key id are the log's.", instead(impostor.sign(TEXT))),
        ("twice", "The same key signs twice.", right + mine.line.encode()),
        ("one-of-two", "The same key signs twice, the second time wrongly.", again),
    ):
        yield note_bad(name, "R-60.3", "signed", shows, note)
    for name, shows, signer in (
        ("by-unknown", "Only an unknown key signed.", UNKNOWN),
        ("same-name", "A key of the same name signed.", Signer(NAME, impostor)),
        ("other-name", "The key signed under another name.", Signer("other", KEY)),
    ):
        yield note_bad(name, "R-60.4", "signed", shows, signed(TEXT, signer))
    yield from cosignatures(right)


def cosignatures(right: bytes) -> Iterator[Case]:
    def cosigned(time: int, signature: bytes) -> bytes:
        return right + line(WITNESS.name, WITNESS.key_id + time.to_bytes(8) + signature)

    late = 2**63
    message = b"cosignature/v1\ntime %d\n%b" % (late, TEXT)
    beyond = cosigned(late, WITNESS_KEY.sign(message))
    for name, rule, shows, note in (
        ("zeros", "R-60.3", "A known witness's are zeros.", cosigned(TIME, bytes(64))),
        ("untimed", "R-60.3", "Over the text alone.", cosigned(TIME, WITNESS_KEY.sign(TEXT))),
        ("2-63", "R-60.6", "Of the time 2^63.", beyond),
    ):
        yield note_bad(f"cosigned-{name}", rule, "cosigned", shows, note, WITNESS)


def vkeys() -> Iterator[Case]:
    published = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
    yield ok("vkey", "published", "The example of the C2SP specification.", vkey=published)
    yield ok("vkey", "cosignature", "A witness's key.", vkey=WITNESS.vkey)
    name, key_id, key = published.split("+")
    material = CrookedKey.mixed().public
    for title, rule, shows, vkey in (
        ("other-id", "R-60.5", "Another key's id.", f"{name}+530d903b+{key}"),
        ("upper-case", "R-60.5", "An id in upper case.", f"{name}+{key_id.upper()}+{key}"),
        ("two-parts", "R-60.5", "Two parts.", f"{name}+{key_id}"),
        ("no-name", "R-60.5", "No name.", spelled("", 1, KEY.public)),
        ("space", "R-60.5", "A space in the name.", spelled("a b", 1, KEY.public)),
        ("type-2", "R-60.5", "An unknown type.", spelled(name, 2, KEY.public)),
        ("type-6", "R-60.5", "The type of ML-DSA-44.", spelled(name, 6, KEY.public)),
        ("31-bytes", "R-15.1", "A key of 31 bytes.", spelled(name, 1, KEY.public[:31])),
        ("33-bytes", "R-15.1", "A key of 33 bytes.", spelled(name, 1, KEY.public + b"\0")),
        ("no-padding", "R-60.5", "Base64 cut short.", published[:-1]),
        ("newline", "R-60.5", "A newline behind.", published + "\n"),
        ("no-key", "R-60.5", "An empty key.", f"{name}+{key_id}+"),
        ("identity", "R-15.1", "The identity for a key.", spelled(name, 1, b"\1" + bytes(31))),
        ("mixed-order", "R-15.1", "A key of mixed order.", spelled(name, 1, material)),
    ):
        assert vkey != published
        yield bad("vkey", title, rule, "published", shows, vkey=vkey, covers=("R-60.5",))


def spelled(name: str, kind: int, key: bytes) -> str:
    """The vkey of any name, type and key, with its right id."""
    material = bytes([kind]) + key
    key_id = sha256(name.encode() + b"\n" + material).digest()[:4].hex()
    return f"{name}+{key_id}+{b64encode(material).decode()}"
