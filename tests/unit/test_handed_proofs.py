"""tlog-proofs and receipts: one spelling each, judged alike by both sides, whatever the bytes."""

from __future__ import annotations

import doctest
from collections.abc import Callable

import cbor2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ledger.errors import BadSignature, MalformedInput
from ledger.format import receipt as receipt_module
from ledger.format import tlog_proof as proof_module
from ledger.format.checkpoint import Checkpoint, sign_checkpoint
from ledger.format.keys import SigningKey
from ledger.format.note import ED25519, Verifier
from ledger.format.receipt import Receipt, open_receipt, sign
from ledger.format.tlog_proof import TlogProof, open_proof
from ledger.tree.merkle import Frontier, inclusion_proof, leaf_hash
from verifier import proofs as others
from verifier.errors import Invalid
from verifier.note import NoteKey

KEY = SigningKey(bytes(range(32)))
LOG = Verifier("keyroll.example/log", ED25519, KEY.public)
THEIRS = NoteKey(LOG.name, KEY.public)
ENTRIES = [b"entry %d" % number for number in range(21)]
TREE = Frontier().extend([leaf_hash(entry) for entry in ENTRIES])
ROOT = TREE.after.root()
NOTE = sign_checkpoint(Checkpoint(LOG.name, 21, ROOT), KEY)
PATHS = [tuple(inclusion_proof(index, 21, TREE.read)) for index in range(21)]
PROOF = TlogProof(9, PATHS[9], NOTE, b"beside").encode()
RECEIPT = sign(9, 21, PATHS[9], ROOT, KEY)

hashes = st.binary(min_size=32, max_size=32)
indices = st.integers(0, 2**63 - 1)


@pytest.mark.parametrize("module", [proof_module, receipt_module])
def test_examples(module: object) -> None:
    done = doctest.testmod(module)  # type: ignore[arg-type]
    assert done.attempted > 0
    assert done.failed == 0


@pytest.mark.parametrize("index", range(21))
def test_every_leaf_and_no_other(index: int) -> None:
    proof = TlogProof(index, PATHS[index], NOTE).encode()
    receipt = sign(index, 21, PATHS[index], ROOT, KEY)
    for other, entry in enumerate(ENTRIES):
        if other == index:
            assert open_proof(proof, entry, LOG).index == index
            assert open_receipt(receipt, entry, KEY.public).hashes == PATHS[index]
            continue
        with pytest.raises(MalformedInput, match=r"R-20\.3"):
            open_proof(proof, entry, LOG)
        with pytest.raises(BadSignature, match=r"R-68\.5"):
            open_receipt(receipt, entry, KEY.public)


@given(indices, st.lists(hashes, max_size=63), st.binary(max_size=40))
def test_tlog_proofs_read_as_written(index: int, path: list[bytes], extra: bytes) -> None:
    proof = TlogProof(index, tuple(path), NOTE, extra)
    assert proof_module.parse(proof.encode()) == proof


@given(hashes, indices, indices, st.lists(hashes, min_size=1, max_size=63))
def test_receipts_read_as_written(kid: bytes, index: int, size: int, path: list[bytes]) -> None:
    receipt = Receipt(kid, index, size, tuple(path), bytes(64))
    assert receipt_module.parse(receipt.encode()) == receipt


@pytest.mark.parametrize(
    "proof",
    [
        TlogProof(-1, (), NOTE),
        TlogProof(2**63, (), NOTE),
        TlogProof(0, (b"short",), NOTE),
        TlogProof(0, (bytes(32),) * 64, NOTE),
        TlogProof(0, (), NOTE, bytes(200_000)),
        Receipt(bytes(31), 0, 2, (bytes(32),), bytes(64)),
        Receipt(bytes(32), 0, 2, (bytes(32),), bytes(63)),
        Receipt(bytes(32), 0, 1, (), bytes(64)),
        Receipt(bytes(32), 0, 2**63, (bytes(32),), bytes(64)),
    ],
)
def test_what_could_not_be_read_is_not_written(proof: TlogProof | Receipt) -> None:
    with pytest.raises(MalformedInput):
        proof.encode()


@st.composite
def bent_lines(draw: st.DrawFn) -> bytes:
    """PROOF with lines dropped, doubled, exchanged or rewritten."""
    lines = PROOF.split(b"\n")
    for _ in range(draw(st.integers(1, 3))):
        at, other = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
        line = lines[at]
        lines[at : at + 1] = draw(
            st.sampled_from(
                [[], [line, line], [lines[other]], [line + b"\r"], [line[:-1]], [b" " + line]]
            )
            | st.binary(max_size=50).map(lambda data: [data])
            | st.integers(0, 25).map(lambda number: [b"index %d" % number])
        )
        lines = lines or [b""]
    return b"\n".join(lines)


@st.composite
def bent_bytes(draw: st.DrawFn, whole: bytes) -> bytes:
    """`whole` with a few bytes changed, put in or taken out."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        taken = draw(st.integers(0, 3))
        data[at : at + taken] = draw(st.binary(max_size=3))
    return bytes(data)


@st.composite
def resigned(draw: st.DrawFn) -> bytes:
    """A receipt of its form around any inclusion proof, whose signature holds if it can."""
    numbers = st.integers(-1, 40) | st.sampled_from([2**63 - 1, 2**63, True, None])
    path = draw(st.permutations(PATHS[9])) if draw(st.booleans()) else list(PATHS[9])
    path += draw(st.lists(st.binary(max_size=33), max_size=2))
    proof = cbor2.dumps([draw(numbers), draw(numbers), path][: draw(st.integers(2, 3))])
    right = cbor2.dumps([21, 9, list(PATHS[9])])
    return RECEIPT.replace(cbor2.dumps(right), cbor2.dumps(proof))


@given(bent_lines() | bent_bytes(PROOF))
@example(PROOF)
def test_both_sides_judge_bent_tlog_proofs_alike(data: bytes) -> None:
    ours = judged(lambda: open_proof(data, ENTRIES[9], LOG))
    assert ours == judged(lambda: others.open_tlog_proof(data, ENTRIES[9], THEIRS))
    assert ours != "ok" or proof_module.parse(data).index == 9


@given(bent_bytes(RECEIPT) | resigned())
@example(RECEIPT)
def test_both_sides_judge_bent_receipts_alike(data: bytes) -> None:
    ours = judged(lambda: open_receipt(data, ENTRIES[9], KEY.public))
    assert ours == judged(lambda: others.open_receipt(data, ENTRIES[9], THEIRS))


def judged(judge: Callable[[], object]) -> str:
    """The verdict. Anything else that is raised fails the test."""
    try:
        judge()
    except Invalid as error:
        return error.verdict
    except MalformedInput:
        return "malformed"
    except BadSignature:
        return "signature"
    return "ok"
