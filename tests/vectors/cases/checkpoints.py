"""Checkpoints: their three lines, and who signed them (R-60.7 to R-60.9)."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256

from ledger.format.note import Signer, cosign
from tests.support.actors import signing_key
from tests.vectors.case import Case, bad, ok
from tests.vectors.cases.notes import (
    COSIGNED,
    KEY,
    LOG,
    NAME,
    ROOT,
    TEXT,
    TIME,
    UNKNOWN,
    signed,
)

EMPTY = b64encode(sha256(b"").digest()).decode()
VKEY = LOG.verifier.vkey


def cases() -> Iterator[Case]:
    yield right("16", "A checkpoint of 16 leaves.", text(16))
    yield right("empty", "The checkpoint of the empty tree.", text(0, EMPTY))
    yield right("largest", "The largest size.", text(2**63 - 1))
    shows = "The log's signature is the last of three."
    third = signed(TEXT, UNKNOWN) + COSIGNED + LOG.sign(TEXT).line.encode()
    yield ok("checkpoint", "last-of-three", shows, note=third.hex(), vkey=VKEY)
    yield from sizes()
    yield from roots()
    yield from lines()
    yield from signers()


def text(size: int | str, root: str = ROOT) -> bytes:
    """A checkpoint's text, with any spelling of its size and root."""
    return f"{NAME}\n{size}\n{root}\n".encode()


def right(name: str, shows: str, text: bytes) -> Case:
    """A text that the log signed, and that is a checkpoint."""
    return ok("checkpoint", name, shows, note=signed(text, LOG).hex(), vkey=VKEY)


def wrong(name: str, rule: str, nearest: str, shows: str, note: bytes) -> Case:
    """A note that is no checkpoint of the log's."""
    return bad("checkpoint", name, rule, nearest, shows, note=note.hex(), vkey=VKEY)


def sizes() -> Iterator[Case]:
    for name, nearest, shows, size in (
        ("padded", "16", "A leading zero.", "016"),
        ("plus", "16", "A plus sign.", "+16"),
        ("minus", "16", "A negative size.", "-16"),
        ("underscore", "16", "An underscore between digits.", "1_6"),
        ("space", "16", "A space before.", " 16"),
        ("hex", "16", "Hexadecimal.", "0x10"),
        ("digits", "16", "Digits of another script.", "\u0661\u0666"),
        ("none", "16", "No size.", ""),
        ("2-63", "largest", "2^63.", str(2**63)),
        ("long", "largest", "A number of forty digits.", "1" * 40),
    ):
        yield wrong(f"size-{name}", "R-60.8", nearest, shows, signed(text(size), LOG))
    note = signed(text("00", EMPTY), LOG)
    yield wrong("size-00", "R-60.8", "empty", "Zero in two digits.", note)


def roots() -> Iterator[Case]:
    for name, shows, root in (
        ("31", "A root of 31 bytes.", b64encode(bytes(31)).decode()),
        ("33", "A root of 33 bytes.", b64encode(bytes(33)).decode()),
        ("no-padding", "A root without padding.", ROOT.rstrip("=")),
        ("hex", "A root in hexadecimal.", bytes(32).hex()),
        ("empty", "No root.", ""),
    ):
        yield wrong(f"root-{name}", "R-60.8", "16", shows, signed(text(16, root), LOG))
    zero = signed(text(0, b64encode(bytes(32)).decode()), LOG)
    yield wrong("empty-zero-root", "R-60.8", "empty", "The empty tree's root is not zero.", zero)


def lines() -> Iterator[Case]:
    two = TEXT[: TEXT.rindex(ROOT.encode())]
    for name, shows, changed in (
        ("extension", "An extension line.", TEXT + b"more\n"),
        ("two-lines", "No root line.", two),
        ("no-origin", "An empty first line.", TEXT.removeprefix(NAME.encode())),
        ("origin-space", "A space in the origin.", TEXT.replace(b"/log", b" log", 1)),
        ("origin-plus", "A plus in the origin.", TEXT.replace(b"/log", b"+log", 1)),
    ):
        yield wrong(name, "R-60.7", "16", shows, signed(changed, LOG))


def signers() -> Iterator[Case]:
    other = TEXT.replace(NAME.encode(), b"example.com/other")
    impostor = Signer(NAME, signing_key("impostor"))
    cosigned = TEXT + b"\n" + cosign(TEXT, NAME, KEY, TIME).line.encode()
    for name, rule, shows, note in (
        ("other-origin", "R-60.9", "The log's key signs for another origin.", signed(other, LOG)),
        ("impostor", "R-60.4", "Another key of the origin's name.", signed(TEXT, impostor)),
        ("cosignature-only", "R-60.4", "The log's key, as a witness.", cosigned),
    ):
        yield wrong(name, rule, "16", shows, note)
