"""A witness's table: each row beside its nearest that is cosigned (R-62.10 to R-62.13)."""

from __future__ import annotations

import contextlib
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from tests.verifier.builder import public
from tests.verifier.witnessing import Submitting, leaves, line
from verifier.errors import Malformed
from verifier.keyfile import Cosigner
from verifier.merkle import EMPTY_ROOT
from verifier.note import NoteKey, open_note
from verifier.witness import (
    BACKWARDS,
    MAX_REQUEST,
    Elsewhere,
    Record,
    Refused,
    decide,
    parse_request,
    receive,
)

NOW = 1_800_000_000
LOG = Submitting()
OTHER = Submitting("log.example/two", key=SigningKey(b"o" * 32))
RENEWED = Submitting(LOG.origin, key=SigningKey(b"r" * 32))
FORK = Submitting(leaves=leaves("forked"))
LOGS = [LOG.public, OTHER.public, RENEWED.public]
WITNESS = Cosigner("witness.example/1", SigningKey(b"w" * 32))


def judge(
    body: bytes, last: Record | None = None, latest: int | None = None, now: int = NOW
) -> Record:
    if latest is None:
        latest = last.time if last else 0
    return decide(receive(body, LOGS), last, latest, now)


def at(size: int, log: Submitting = LOG, time: int = NOW) -> Record:
    """The record after a first submission of this size."""
    return judge(log.request(0, size), now=time)


def refused(body: bytes, status: int, last: Record | None = None, **more: int) -> Refused:
    with pytest.raises(Refused) as caught:
        judge(body, last, **more)
    assert caught.value.status == status, caught.value.why
    return caught.value


@pytest.mark.parametrize("size", [0, 1, 2, 8, 63, 100])
def test_a_first_checkpoint(size: int) -> None:
    record = judge(LOG.request(0, size))
    assert record[:4] == (LOG.origin, size, LOG.root(size), NOW)
    text, signers = open_note(record.note(WITNESS).encode(), [LOG.public, WITNESS.public])
    assert text == LOG.text(size)
    assert [(signer.key, signer.time) for signer in signers] == [
        (LOG.public, None),
        (WITNESS.public, NOW),
    ]


@pytest.mark.parametrize(("old", "size"), [(1, 2), (2, 3), (3, 8), (8, 9), (9, 9), (40, 100)])
def test_a_later_checkpoint(old: int, size: int) -> None:
    record = judge(LOG.request(old, size), at(old), now=NOW + 10)
    assert record[:4] == (LOG.origin, size, LOG.root(size), NOW + 10)


PROOF = b64encode(b"p" * 32).decode() + "\n"
FORMS = [
    ("no old size", b"old 5\n", b""),
    ("spelled otherwise", b"old 5\n", b"old 05\n"),
    ("with a sign", b"old 5\n", b"old +5\n"),
    ("with two spaces", b"old 5\n", b"old  5\n"),
    ("with a space behind", b"old 5\n", b"old 5 \n"),
    ("with digits of another script", b"old 5\n", "old \u0665\n".encode()),
    ("in hexadecimal", b"old 5\n", b"old 0x5\n"),
    ("in upper case", b"old 5\n", b"OLD 5\n"),
    ("with CR", b"old 5\n", b"old 5\r\n"),
    ("with a tab", b"old 5\n", b"old\t5\n"),
    ("of 2^63", b"old 5\n", b"old 9223372036854775808\n"),
    ("of 5,000 digits", b"old 5\n", b"old " + b"1" * 5000 + b"\n"),
    ("twice", b"old 5\n", b"old 5\nold 5\n"),
    ("an empty line before", b"old 5\n", b"\nold 5\n"),
    ("two empty lines", b"\n\nlog", b"\n\n\nlog"),
    ("no empty line", b"\n\nlog", b"\nlog"),
    ("a hash of 31 bytes", b"\n\nlog", b"\n" + b64encode(bytes(31)) + b"\n\nlog"),
    ("a hash of 33 bytes", b"\n\nlog", b"\n" + b64encode(bytes(33)) + b"\n\nlog"),
    ("a hash unpadded", b"\n\nlog", b"\n" + PROOF.encode()[:-2] + b"\n\nlog"),
    ("a hash of stray bits", b"\n\nlog", b"\n" + PROOF.encode().replace(b"A=", b"B=") + b"\nlog"),
    ("a hash and a space", b"\n\nlog", b"\n" + PROOF.encode()[:-1] + b" \n\nlog"),
    ("a size with a zero before", b"\n8\n", b"\n08\n"),
    ("no root", b64encode(LOG.root(8)), b""),
    ("a root in hexadecimal", b64encode(LOG.root(8)), LOG.root(8).hex().encode()),
    ("no signature", line(LOG.origin, LOG.key, LOG.text(8)).encode(), b""),
    ("a byte at the end", b"=\n\n\xe2\x80\x94", b"=\n\n\xe2\x80\x94\x00"),
    ("a signature with a hyphen", b"\xe2\x80\x94", b"-"),
]


@pytest.mark.parametrize(("what", "before", "after"), FORMS, ids=[form[0] for form in FORMS])
def test_400_of_a_form_that_is_not_the_one(what: str, before: bytes, after: bytes) -> None:
    """R-62.10."""
    right = LOG.request(5, 8)
    assert judge(right, at(5)).size == 8
    assert before in right, what
    body = right.replace(before, after, 1)
    assert body != right
    refused(body, 400, at(5))


def test_400_of_too_much() -> None:
    """R-62.10: 63 hashes, 64 signatures and 150,000 bytes are taken; no more."""
    record = at(5)
    many = [bytes([number]) * 32 for number in range(64)]
    refused(LOG.request(5, 8, proof=many[:63]), 422, record)  # read, and wrong
    refused(LOG.request(5, 8, proof=many), 400, record)
    others = [line(f"x{n}", SigningKey(bytes([n]) * 32), LOG.text(8)) for n in range(64)]
    own = line(LOG.origin, LOG.key, LOG.text(8))
    for count, status in ((63, 200), (64, 400)):
        lines = [*others[:40], own, *others[40:count]]
        body = LOG.request(5, 8, note=f"{LOG.text(8)}\n{''.join(lines)}")
        if status == 200:
            assert judge(body, record).signatures == own
        else:
            refused(body, status, record)
    long = LOG.request(5, 8, note=LOG.note(8, more="x" * 130_000 + "\n"))
    assert judge(long, record).size == 8
    refused(LOG.request(5, 8, note=LOG.note(8, more="x" * 131_072 + "\n")), 400, record)
    assert len(long) < MAX_REQUEST
    refused(long.ljust(MAX_REQUEST + 1, b"\n"), 400, record)


def test_lines_that_follow_a_checkpoint_are_signed_with_the_rest() -> None:
    """R-62.10: extension lines, which this log never writes and others do."""
    record = at(5)
    body = LOG.request(5, 8, note=LOG.note(8, more="more\nand more\n"))
    found = judge(body, record)
    assert found.text == LOG.text(8, more="more\nand more\n")
    assert open_note(found.note(WITNESS).encode(), [WITNESS.public])[0] == found.text
    refused(LOG.request(5, 8, note=LOG.note(8, more="more\n\nand more\n")), 400, record)
    signed_without = f"{LOG.text(8, more='more')}\n\n{line(LOG.origin, LOG.key, LOG.text(8))}"
    refused(LOG.request(5, 8, note=signed_without), 403, record)


def test_404_of_an_unknown_origin() -> None:
    stranger = Submitting("log.example/three")
    refused(stranger.request(0, 8), 404)
    refused(Submitting("log.example/one/").request(0, 8), 404)
    assert judge(OTHER.request(0, 8)).origin == OTHER.origin


def test_403_without_a_signature_that_counts() -> None:
    text = LOG.text(8)
    own = line(LOG.origin, LOG.key, text)
    renewed = line(LOG.origin, RENEWED.key, text)
    wrong = line(LOG.origin, LOG.key, LOG.text(9))
    unknown = line(LOG.origin, SigningKey(b"u" * 32), text)
    others = line(OTHER.origin, OTHER.key, text)
    for lines in (own, unknown + own, renewed, own + renewed):
        assert judge(LOG.request(0, 8, note=f"{text}\n{lines}")).size == 8
    for lines in (unknown, wrong, others, own + wrong, own + own, renewed + wrong):
        refused(LOG.request(0, 8, note=f"{text}\n{lines}"), 403)
    cosigned = WITNESS.cosign(text, NOW).line
    refused(LOG.request(0, 8, note=f"{text}\n{cosigned}"), 403)


def test_400_of_an_old_size_that_is_larger() -> None:
    assert judge(LOG.request(8, 8), at(8)).size == 8
    refused(LOG.request(9, 8), 400, at(8))
    refused(LOG.request(9, 8), 400, at(9))


def test_422_of_an_empty_tree_with_another_root() -> None:
    assert judge(LOG.request(0, 0)).root == EMPTY_ROOT
    refused(LOG.request(0, 0, note=LOG.note(0, root=bytes(32))), 422)
    refused(LOG.request(0, 0, note=LOG.note(0, root=bytes(32))), 422, at(0))
    refused(LOG.request(0, 0, note=LOG.note(0, root=bytes(32))), 409, at(5))


def test_409_of_another_size_than_the_last() -> None:
    """The answer's body is that size: R-62.11."""
    for last, old, size in (
        (None, 5, 8),
        (at(5), 4, 8),
        (at(5), 6, 8),
        (at(5), 0, 8),
        (at(8), 5, 5),
    ):
        found = refused(LOG.request(old, size), 409, last)
        assert isinstance(found, Elsewhere)
        assert found.size == (last.size if last else 0)
    assert judge(LOG.request(5, 8), at(5)).size == 8


def test_409_comes_before_what_the_proof_says() -> None:
    """A wrong proof from the wrong size says nothing of the log."""
    refused(LOG.request(4, 8, proof=[bytes(32)]), 409, at(5))
    refused(FORK.request(4, 8), 409, at(5))


def test_422_of_a_proof_from_nothing() -> None:
    refused(LOG.request(0, 8, proof=[bytes(32)]), 422)
    refused(LOG.request(0, 0, proof=[EMPTY_ROOT]), 422)
    assert judge(LOG.request(0, 8)).size == 8


def test_422_of_another_root_for_the_same_size() -> None:
    """The note is kept for others to see: with the one cosigned before, it convicts the log."""
    found = refused(FORK.request(8, 8), 422, at(8))
    assert found.fork == FORK.note(8)
    found = refused(FORK.request(8, 8, proof=[bytes(32)]), 422, at(8))
    assert found.fork
    assert judge(LOG.request(8, 8), at(8)).size == 8


def test_422_of_a_proof_that_fails() -> None:
    proof = parse_request(LOG.request(5, 8)).proof
    assert judge(LOG.request(5, 8, proof=proof), at(5)).size == 8
    for wrong in (proof[:-1], [*proof, bytes(32)], [], proof[::-1], [bytes(32), *proof[1:]]):
        refused(LOG.request(5, 8, proof=wrong), 422, at(5))
    refused(FORK.request(5, 8), 422, at(5))
    refused(LOG.request(8, 8, proof=[LOG.root(8)]), 422, at(8))


def test_the_clock_never_runs_backwards() -> None:
    """R-62.13: neither for this origin nor between two."""
    last = at(5)
    assert judge(LOG.request(5, 8), last, now=NOW - BACKWARDS).time == NOW
    found = refused(LOG.request(5, 8), 503, last, now=NOW - BACKWARDS - 1)
    assert "61 s" in found.why
    assert judge(OTHER.request(0, 8), latest=NOW, now=NOW - 1).time == NOW
    refused(OTHER.request(0, 8), 503, latest=NOW, now=NOW - BACKWARDS - 1)
    assert judge(LOG.request(5, 5), last, now=NOW + 1).time == NOW + 1


def test_what_is_refused_is_refused_whatever_the_clock_says() -> None:
    refused(FORK.request(5, 5), 422, at(5), now=0)
    refused(LOG.request(4, 8), 409, at(5), now=0)


LINES = st.sampled_from(
    [
        *(b"old 0", b"old 5", b"old 05", b"old", b"", PROOF.strip().encode(), b"\xff", b"8"),
        *LOG.note(8).encode().split(b"\n"),
        *OTHER.note(5).encode().split(b"\n"),
        WITNESS.cosign(LOG.text(8), NOW).line.strip().encode(),
    ]
)


@given(st.lists(LINES, max_size=12), st.integers(0, 12), st.booleans())
def test_anything_is_judged_or_refused(lines: list[bytes], at_line: int, honest: bool) -> None:
    if honest:
        own = LOG.request(5, 8).split(b"\n")
        lines = own[:at_line] + lines[:2] + own[at_line:]
    body = b"\n".join(lines)
    with contextlib.suppress(Refused):
        record = judge(body, at(5))
        assert (record.size, record.root) in ((5, LOG.root(5)), (8, LOG.root(8)))
    with contextlib.suppress(Malformed):
        parse_request(body)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_request_or_malformed(body: bytes) -> None:
    with contextlib.suppress(Malformed):
        parse_request(body)
    with contextlib.suppress(Malformed):
        parse_request(b"old 0\n\n" + body)


@given(st.data())
def test_whatever_is_submitted_sizes_grow_and_roots_stay(data: st.DataObject) -> None:
    """R-62.12, over any order of honest and forked requests."""
    last: Record | None = None
    roots: dict[int, bytes] = {}
    for _ in range(data.draw(st.integers(1, 12))):
        log = data.draw(st.sampled_from([LOG, FORK]))
        known = st.just(last.size if last else 0)
        old = data.draw(st.one_of(known, known, st.integers(0, 12)))
        size = data.draw(st.integers(0, 12))
        with contextlib.suppress(Refused):
            record = judge(log.request(old, size), last)
            assert record.size >= (last.size if last else 0)
            assert roots.setdefault(record.size, record.root) == record.root
            last = record


def test_a_key_of_the_log_is_not_the_witness() -> None:
    """A note that only another of the origin's names signed stays unknown."""
    namesake = NoteKey(WITNESS.name, public(LOG.key))
    with pytest.raises(Refused) as caught:
        receive(LOG.request(0, 8), [namesake])
    assert caught.value.status == 404
