"""Proofs in the directory: each label's one answer, and every other answer refused (R-30.8 on)."""

from __future__ import annotations

import doctest
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import MalformedInput
from ledger.tree import directory_proof
from ledger.tree.directory import EMPTY, LABEL_BITS, leaf, node
from ledger.tree.directory_proof import (
    Nothing,
    Other,
    Own,
    Proof,
    prove,
    verify_absent,
    verify_present,
)
from tests.support.actors import seed
from tests.unit.test_directory import COMMON, Store, batches, diverging, filled, labels

ROUNDS = settings(max_examples=100, deadline=None)
VALUE = seed("value")


def proof_of(store: Store, label: bytes) -> Proof:
    path = store.directory.path(label, store.records.__getitem__)
    return prove(label, path, store.values.__getitem__)


def check(store: Store, label: bytes) -> Proof:
    """The label's proof verifies for what it holds, and for nothing else."""
    proof, root = proof_of(store, label), store.directory.root
    if label in store.values:
        assert isinstance(proof.end, Own)
        verify_present(label, store.values[label], proof, root)
        refused(lambda: verify_present(label, seed("another value"), proof, root))
        refused(lambda: verify_absent(label, proof, root))
    else:
        verify_absent(label, proof, root)
        refused(lambda: verify_present(label, VALUE, proof, root))
        refused(lambda: verify_present(label, VALUE, replace(proof, end=Own()), root))
    return proof


def refused(verify: Callable[[], None], rule: str = "R-30") -> None:
    with pytest.raises(MalformedInput) as error:
        verify()
    assert error.value.rule.startswith(rule), error.value


@ROUNDS
@given(batches, st.lists(labels, max_size=5))
def test_any_label_in_any_directory(split: list[dict[bytes, bytes]], asked: list[bytes]) -> None:
    store = filled([{EMPTY: VALUE}, *split])  # a log's own label is always there
    for label in [*store.values, *asked]:
        check(store, label)


@pytest.mark.parametrize("depth", range(LABEL_BITS))
def test_absent_beside_each_depth(depth: int) -> None:
    """One that parts from the others at each depth, present and absent."""
    near = diverging(LABEL_BITS - 1, seed("near"))
    store = filled([{COMMON: VALUE, near: VALUE}])
    absent = diverging(depth, seed("absent"))
    if absent not in store.values:
        proof = check(store, absent)
        assert isinstance(proof.end, Nothing)
        assert proof.depth == depth + 1
    store.commit({absent: VALUE})
    check(store, absent)
    check(store, COMMON)


def sample() -> Store:
    """Two that share 20 bits, and 60 others."""
    others = {seed("other", n): seed("held", n) for n in range(60)}
    return filled([{COMMON: VALUE, diverging(20, seed("twin")): VALUE, **others}])


def ends(store: Store) -> dict[type, bytes]:
    """A label for each kind of end, at a depth that leaves bits of the mask to spare."""
    found: dict[type, bytes] = {Own: COMMON}
    for label in (*(diverging(d, seed("x")) for d in range(19)), *map(seed, range(40))):
        proof = proof_of(store, label)
        if proof.depth % 8 not in (0, 7):
            found.setdefault(type(proof.end), label)
    return found


STORE = sample()
LABELS = ends(STORE)


def verify(label: bytes, proof: Proof) -> None:
    if label == COMMON:
        verify_present(label, VALUE, proof, STORE.directory.root)
    else:
        verify_absent(label, proof, STORE.directory.root)


def test_there_is_a_sample_of_each_end() -> None:
    assert LABELS.keys() == {Own, Other, Nothing}


@pytest.mark.parametrize("kind", [Own, Other, Nothing])
def test_each_bit_of_a_proof_counts(kind: type) -> None:
    label = LABELS[kind]
    proof = proof_of(STORE, label)
    verify(label, proof)
    for at, sibling in enumerate(proof.siblings):
        for bit in range(0, 256, 37):
            bent = (int.from_bytes(sibling) ^ 1 << bit).to_bytes(32)
            siblings = (*proof.siblings[:at], bent, *proof.siblings[at + 1 :])
            refused(partial(verify, label, replace(proof, siblings=siblings)), "R-30.11")
    for bit in range(8 * len(proof.mask)):
        mask = (int.from_bytes(proof.mask) ^ 1 << bit).to_bytes(len(proof.mask))
        refused(partial(verify, label, replace(proof, mask=mask)))


Change = Callable[[Proof], Proof]

SHAPES: dict[str, tuple[Change, str]] = {
    "a sibling more": (lambda p: replace(p, siblings=(*p.siblings, seed("s"))), "R-30.8"),
    "a sibling less": (lambda p: replace(p, siblings=p.siblings[:-1]), "R-30.8"),
    "an empty sibling": (lambda p: replace(p, siblings=(EMPTY, *p.siblings[1:])), "R-30.8"),
    "reversed": (lambda p: replace(p, siblings=p.siblings[::-1]), "R-30.11"),
    "a byte of mask more": (lambda p: replace(p, mask=p.mask + b"\0"), "R-30.8"),
    "a byte of mask less": (lambda p: replace(p, mask=p.mask[:-1]), "R-30.8"),
    "a bit beyond the path": (lambda p: replace(p, mask=p.mask[:-1] + _or1(p.mask)), "R-30.8"),
    "deeper": (lambda p: replace(p, depth=p.depth + 1), "R-30"),
    "less deep": (lambda p: replace(p, depth=p.depth - 1), "R-30.8"),
    "beyond all depths": (lambda p: Proof(257, b"\xff" * 33, (seed("s"),) * 257, p.end), "R-30"),
    "no path": (lambda p: Proof(0, b"", (), p.end), "R-30"),
}


def _or1(mask: bytes) -> bytes:
    return bytes([mask[-1] | 1])


@pytest.mark.parametrize("kind", [Own, Other, Nothing])
@pytest.mark.parametrize(("change", "rule"), SHAPES.values(), ids=SHAPES)
def test_impossible_shapes(kind: type, change: Change, rule: str) -> None:
    label = LABELS[kind]
    proof = proof_of(STORE, label)
    assert change(proof) != proof
    refused(lambda: verify(label, change(proof)), rule)


def test_a_node_of_a_leaf_and_nothing_never_exists() -> None:
    """R-30.9, even where the root was made that way."""
    own, high = leaf(COMMON, VALUE), bool(COMMON[0] & 0x80)
    root = node(EMPTY, own) if high else node(own, EMPTY)
    refused(lambda: verify_present(COMMON, VALUE, Proof(1, b"\0", (), Own()), root), "R-30.9")
    absent = bytes([COMMON[0] ^ 0x80]) + COMMON[1:]
    both = Proof(1, b"\x80", (), Nothing(EMPTY, EMPTY))
    root = node(EMPTY, node(EMPTY, EMPTY)) if high else node(node(EMPTY, EMPTY), EMPTY)
    refused(lambda: verify_absent(absent, both, root), "R-30.9")


def test_absence_by_another_leaf_is_for_its_own_prefix_only() -> None:
    """R-30.10: a leaf that a lying log put where its label does not lead proves nothing."""
    label = LABELS[Other]
    proof = proof_of(STORE, label)
    assert isinstance(proof.end, Other)
    far = bytes([label[0] ^ 0x80]) + label[1:]
    elsewhere = replace(proof, end=Other(far, proof.end.value))
    bits = [bool(proof.mask[d // 8] & 0x80 >> d % 8) for d in range(proof.depth)]
    given, computed = list(proof.siblings), leaf(far, proof.end.value)
    for depth in range(proof.depth - 1, -1, -1):
        sibling = given.pop() if bits[depth] else EMPTY
        right = int.from_bytes(label) >> LABEL_BITS - 1 - depth & 1
        computed = node(sibling, computed) if right else node(computed, sibling)
    refused(lambda: verify_absent(label, elsewhere, computed), "R-30.10")
    itself = replace(proof, end=Other(label, proof.end.value))
    refused(lambda: verify_absent(label, itself, STORE.directory.root), "R-30.10")


def test_proofs_are_small() -> None:
    """Growth with log(n): some log2(n) + 1 siblings."""
    for count in (16, 256, 4_096):
        store = filled([{seed("many", n): VALUE for n in range(count)}])
        sizes = [
            len(proof_of(store, seed("many", n)).siblings) for n in range(0, count, count // 16)
        ]
        assert sum(sizes) / 16 < count.bit_length() + 2


def test_doctests() -> None:
    assert doctest.testmod(directory_proof).failed == 0
