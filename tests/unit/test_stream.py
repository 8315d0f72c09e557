"""Sealed streams: what was sealed comes back, and nothing else does.

R-90.1, R-90.2, R-90.3, R-90.4, R-90.5, R-90.6.
"""

from __future__ import annotations

import math
import os
import tracemalloc
from collections.abc import Callable, Iterable
from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl import bindings as sodium

from ledger.errors import BadSignature, MalformedInput
from ledger.format.keys import SigningKey
from ledger.format.sealed import MAGIC, PREAMBLE_BYTES, TRAILER_BYTES, Preamble, Trailer
from ledger.seal.padding import padded_length
from ledger.seal.stream import MIN_SEALED_BYTES, PIECE, Ending, Sealer, Session, Unsealer

LOG, RESOURCE, AUTHOR = b"L" * 32, b"R" * 32, b"A" * 32
SESSION = Session(b"S" * 32, b"secret" + bytes(26))
KEY = SigningKey(b"a device of the author's" + bytes(8))
OVERHEAD = 17
START = len(MAGIC) + PREAMBLE_BYTES + 24
LAST = TRAILER_BYTES + OVERHEAD

EDGES = [0, 1, 2, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 16 * PIECE, 16 * PIECE + 1, 33 * PIECE]


def preamble(padded: bool = False) -> Preamble:
    return SESSION.preamble(LOG, resource=RESOURCE, author=AUTHOR, padded=padded)


def seal(data: bytes, padded: bool = False, step: int = 1 << 30) -> bytes:
    sealer = Sealer(SESSION, preamble(padded), KEY)
    parts = [sealer.start()]
    for at in range(0, len(data), step):
        parts += sealer.update(data[at : at + step])
    return b"".join([*parts, *sealer.finish()])


def unseal(
    sealed: bytes, session: Session = SESSION, log_id: bytes = LOG, step: int = 1 << 30
) -> tuple[bytes, Ending]:
    unsealer = Unsealer(session, log_id)
    parts: list[bytes] = []
    for at in range(0, len(sealed), step):
        parts += unsealer.update(sealed[at : at + step])
    ending = unsealer.finish()
    return b"".join([*parts, *ending.rest]), ending


class Forger:
    """Whoever has the session's secret, and writes messages as they like."""

    def __init__(self, head: Preamble | None = None) -> None:
        self.preamble = head or preamble()
        self.state = sodium.crypto_secretstream_xchacha20poly1305_state()
        key = SESSION.key(self.preamble.resource)
        stream = sodium.crypto_secretstream_xchacha20poly1305_init_push(self.state, key)
        self.bound: bytes | None = MAGIC + self.preamble.encode()
        self.written = self.bound + stream

    def push(self, data: bytes, tag: int = 0) -> Forger:
        bound, self.bound = self.bound, None
        push = sodium.crypto_secretstream_xchacha20poly1305_push
        self.written += push(self.state, data, bound, tag)
        return self

    def end(self, length: int, *, tag: int = 3, signer: SigningKey = KEY) -> bytes:
        trailer = Trailer(self.preamble, length, sha256(self.written).digest())
        return self.push(trailer.sign(signer), tag).written


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("length", EDGES)
def test_what_was_sealed_comes_back(length: int, padded: bool) -> None:
    data = os.urandom(length)
    opened, ending = unseal(seal(data, padded))
    assert opened == data
    assert (ending.author, ending.signer, ending.trailer.length) == (AUTHOR, KEY.public, length)


@given(st.binary(max_size=300), st.integers(1, 50), st.booleans(), st.integers(0, 200))
def test_in_steps_of_any_size(data: bytes, step: int, padded: bool, zeros: int) -> None:
    data += bytes(zeros)
    sealed = seal(data, padded, step)
    assert len(sealed) == START + LAST + OVERHEAD + (
        padded_length(len(data)) if padded else len(data)
    )
    assert unseal(sealed, step=step)[0] == data


@pytest.mark.parametrize("length", [0, 100, 3 * PIECE, 40 * PIECE + 5])
def test_zeros_of_ones_own_are_no_padding(length: int) -> None:
    data = b"x" + bytes(length)
    assert unseal(seal(data, padded=True))[0] == data
    assert unseal(seal(data + b"y", padded=True))[0] == data + b"y"


def test_lengths_are_the_ones_of_the_spec() -> None:
    assert len(seal(b"")) == MIN_SEALED_BYTES
    assert len(preamble().encode()) == PREAMBLE_BYTES
    assert len(Trailer(preamble(), 2**63, bytes(32)).sign(KEY)) == TRAILER_BYTES


@given(st.integers(2, 2**50))
def test_padme_is_the_papers(length: int) -> None:
    exponent = length.bit_length() - 1
    kept = math.floor(math.log2(exponent)) + 1
    mask = (1 << (exponent - kept)) - 1
    assert padded_length(length) == (length + mask) & ~mask
    assert length <= padded_length(length) <= length * 1.12 + 1


# --- what others made of it


def three_pieces() -> bytes:
    return seal(os.urandom(2 * PIECE + 100))


def refused(sealed: bytes, rules: Iterable[str]) -> None:
    with pytest.raises((MalformedInput, BadSignature)) as caught:
        unseal(sealed)
    assert caught.value.rule in rules


@pytest.mark.parametrize(
    "cut",
    [1, LAST - 1, LAST, LAST + 1, LAST + 100 + OVERHEAD, LAST + 100 + OVERHEAD + PIECE + OVERHEAD],
)
def test_cut_off(cut: int) -> None:
    refused(three_pieces()[:-cut], ("R-90.2", "R-90.3"))


@pytest.mark.parametrize("left", [0, 7, START - 1, START, START + OVERHEAD, MIN_SEALED_BYTES - 1])
def test_cut_to_its_beginning(left: int) -> None:
    refused(three_pieces()[:left], ("R-90.2", "R-90.3"))


def test_reordered() -> None:
    sealed, size = three_pieces(), PIECE + OVERHEAD
    first, second = sealed[START : START + size], sealed[START + size : START + 2 * size]
    refused(sealed[:START] + second + first + sealed[START + 2 * size :], ["R-90.2"])


def test_a_piece_left_out_or_twice() -> None:
    sealed, size = three_pieces(), PIECE + OVERHEAD
    refused(sealed[: START + size] + sealed[START + 2 * size :], ["R-90.2"])
    refused(sealed[: START + size] + sealed[START:], ["R-90.2"])


def test_concatenated() -> None:
    sealed = three_pieces()
    refused(sealed + sealed, ["R-90.2"])
    refused(sealed + b"\0", ["R-90.2"])
    other = three_pieces()
    refused(sealed[:-LAST] + other[-LAST:], ["R-90.2"])


@given(st.integers(0, MIN_SEALED_BYTES + 4), st.integers(0, 7))
def test_altered_anywhere(at: int, bit: int) -> None:
    sealed = bytearray(seal(b"hello"))
    sealed[at] ^= 1 << bit
    with pytest.raises((MalformedInput, BadSignature)):
        unseal(bytes(sealed))


@given(st.binary(max_size=2_000))
def test_hostile_bytes(data: bytes) -> None:
    for sealed in (data, MAGIC + data, seal(b"")[:START] + data):
        with pytest.raises((MalformedInput, BadSignature)):
            unseal(sealed)


# --- another session, log, resource


@pytest.mark.parametrize(
    "session",
    [replace(SESSION, id=b"T" * 32), replace(SESSION, secret=b"other" + bytes(27))],
    ids=["id", "secret"],
)
def test_another_session(session: Session) -> None:
    with pytest.raises(MalformedInput, match=r"R-90\.1"):
        unseal(seal(b"hello"), session)


def test_another_log() -> None:
    with pytest.raises(MalformedInput, match=r"R-90\.1"):
        unseal(seal(b"hello"), log_id=b"M" * 32)


def test_another_version() -> None:
    encoded = preamble().encode()
    with pytest.raises(MalformedInput, match=r"R-90\.1"):
        Preamble.decode(encoded[:1] + b"\x02" + encoded[2:])


@pytest.mark.parametrize(
    "told",
    [
        replace(preamble(), resource=b"X" * 32),
        replace(preamble(), author=b"X" * 32),
        preamble(padded=True),
    ],
    ids=["resource", "author", "padded"],
)
def test_another_preamble_before_the_same_stream(told: Preamble) -> None:
    """R-90.2: the first piece is bound to what stands before it."""
    sealed = seal(b"hello")
    refused(MAGIC + told.encode() + sealed[len(MAGIC) + PREAMBLE_BYTES :], ["R-90.2"])


# --- whoever has the secret, and still can't


def test_a_forger_who_keeps_to_the_form_is_read() -> None:
    assert unseal(Forger().push(b"hello").end(5))[0] == b"hello"


def test_a_reader_swaps_the_text() -> None:
    """R-90.4: the author's trailer is of other bytes."""
    sealed = seal(b"hello")
    trailer = unseal(sealed)[1].trailer.sign(KEY)
    forged = Forger().push(b"jello").push(trailer, 3).written
    refused(forged, ["R-90.4"])


def test_a_reader_signs_for_another_resource() -> None:
    """R-90.3: a trailer of the author's, taken from another stream."""
    forger = Forger().push(b"hello")
    other = replace(preamble(), resource=b"Q" * 32)
    trailer = Trailer(other, 5, sha256(forger.written).digest()).sign(KEY)
    refused(forger.push(trailer, 3).written, ["R-90.3"])


def test_a_signature_that_fails() -> None:
    forger = Forger().push(b"hello")
    trailer = Trailer(preamble(), 5, sha256(forger.written).digest()).sign(KEY)
    refused(forger.push(trailer[:-1] + bytes([trailer[-1] ^ 1]), 3).written, ["R-90.6"])


FORMS: dict[str, tuple[Callable[[], bytes], str]] = {
    "piece with the final tag": (lambda: Forger().push(b"hello", 3).end(5), "R-90.3"),
    "trailer with the message tag": (lambda: Forger().push(b"hello").end(5, tag=0), "R-90.3"),
    "short piece before the last": (
        lambda: Forger().push(b"x" * (PIECE - 1)).push(b"y").end(PIECE),
        "R-90.2",
    ),
    "empty piece after a whole one": (
        lambda: Forger().push(b"x" * PIECE).push(b"").end(PIECE),
        "R-90.2",
    ),
    "no piece": (lambda: Forger().end(0), "R-90.3"),
    "length one more": (lambda: Forger().push(b"hello").end(6), "R-90.5"),
    "length one less": (lambda: Forger().push(b"hello").end(4), "R-90.5"),
    "padding that is not zero": (
        lambda: Forger(preamble(padded=True)).push(b"123456789x").end(9),
        "R-90.5",
    ),
    "padding missing": (lambda: Forger(preamble(padded=True)).push(b"123456789").end(9), "R-90.5"),
    "padding too long": (
        lambda: Forger(preamble(padded=True)).push(b"123456789" + bytes(2)).end(9),
        "R-90.5",
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_only_one_form(form: str) -> None:
    forged, rule = FORMS[form]
    refused(forged(), [rule])


@pytest.mark.parametrize("padded", [False, True])
def test_memory_does_not_grow_with_the_stream(padded: bool) -> None:
    sealer, unsealer = Sealer(SESSION, preamble(padded), KEY), Unsealer(SESSION, LOG)
    length = 0
    tracemalloc.start()
    for part in unsealer.update(sealer.start()):
        length += len(part)
    # Zeros with something else at the very end: in a padded stream they all wait for it.
    for chunk in [*63 * [bytes(1 << 20)], bytes((1 << 20) - 1), b"1"]:
        for sealed in sealer.update(chunk):
            length += sum(map(len, unsealer.update(sealed)))
    for sealed in sealer.finish():
        length += sum(map(len, unsealer.update(sealed)))
    length += sum(map(len, unsealer.finish().rest))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert length == 64 << 20
    assert peak < 16 << 20
