"""Proofs of presence and absence in the directory (R-30.8 to R-30.11)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import cbor2

from ledger.format.proof import to_value
from ledger.tree.directory import EMPTY, Directory, leaf, node
from ledger.tree.directory_proof import Nothing, Other, Own, Proof, prove
from tests.support.actors import seed
from tests.vectors.case import Case, Json, bad, ok

KIND = "directory-proof"
COMMON = seed("directory proofs")
OWN = "present"
Given = dict[str, Json]


def diverging(depth: int) -> bytes:
    """A label that agrees with `COMMON` on `depth` bits exactly."""
    return (int.from_bytes(COMMON) ^ 1 << 255 - depth).to_bytes(32)


def filled(labels: Mapping[bytes, bytes]) -> tuple[Directory, dict[int, bytes]]:
    directory, nothing = Directory(), dict[int, bytes]()
    update = directory.plan(labels.items(), nothing.__getitem__)
    directory.apply(update)
    return directory, update.writes


VALUES = {seed("other", n): seed("held", n) for n in range(60)}
VALUES |= {COMMON: seed("value"), diverging(20): seed("twin")}
DIRECTORY, RECORDS = filled(VALUES)
ROOT = DIRECTORY.root


def proof_of(label: bytes) -> Proof:
    path = DIRECTORY.path(label, RECORDS.__getitem__)
    return prove(label, path, VALUES.__getitem__)


def given_of(label: bytes, proof: Proof, root: bytes = ROOT, **fields: Json) -> Given:
    value = VALUES.get(label)
    told: Given = {
        "label": label.hex(),
        "value": value and value.hex(),
        "root": root.hex(),
        "proof": cbor2.dumps(to_value(proof)).hex(),
    }
    return {**told, **fields}


def samples() -> dict[str, bytes]:
    """A label for each end, at a depth that leaves bits of the mask to spare."""
    found = {OWN: COMMON}
    names = {Own: OWN, Other: "absent-other", Nothing: "absent-nothing"}
    for label in (*map(diverging, range(19)), *map(seed, range(40))):
        proof = proof_of(label)
        if proof.depth % 8 not in (0, 7):
            found.setdefault(names[type(proof.end)], label)
    return found


SAMPLES = samples()
SHOWS = {
    OWN: "A label that is there.",
    "absent-other": "A label where another label's leaf stands.",
    "absent-nothing": "A label where nothing stands, beside a node.",
}


def cases() -> Iterator[Case]:
    for name, label in SAMPLES.items():
        yield ok(KIND, name, SHOWS[name], given_of(label, proof_of(label)))
        yield from _shapes(name, label)
        yield from _values(name, label)
    yield from _deep()
    yield from _single()
    yield from _made_up()


Change = Callable[[Proof], Proof]
_SHAPES: dict[str, tuple[str, str, Change]] = {
    "longer": ("R-30.8", "A sibling too many.", lambda p: _given(p, (*p.siblings, seed("s")))),
    "shorter": ("R-30.8", "A sibling too few.", lambda p: _given(p, p.siblings[:-1])),
    "zeros": ("R-30.8", "A sibling of zeros.", lambda p: _given(p, (EMPTY, *p.siblings[1:]))),
    "reversed": ("R-30.11", "The siblings upside down.", lambda p: _given(p, p.siblings[::-1])),
    "first-changed": (
        "R-30.11",
        "The first sibling is another.",
        lambda p: _given(p, (seed("s"), *p.siblings[1:])),
    ),
    "mask-longer": ("R-30.8", "A byte of mask too many.", lambda p: _masked(p, p.mask + b"\0")),
    "mask-spare": (
        "R-30.8",
        "A bit of the mask beyond the path.",
        lambda p: _masked(p, p.mask[:-1] + bytes([p.mask[-1] | 1])),
    ),
}


def _given(proof: Proof, siblings: tuple[bytes, ...]) -> Proof:
    return replace(proof, siblings=siblings)


def _masked(proof: Proof, mask: bytes) -> Proof:
    return replace(proof, mask=mask)


def _shapes(name: str, label: bytes) -> Iterator[Case]:
    right = proof_of(label)
    for what, (rule, shows, change) in _SHAPES.items():
        yield bad(KIND, f"{name}-{what}", rule, name, shows, given_of(label, change(right)))


def _values(name: str, label: bytes) -> Iterator[Case]:
    """The same proof read for something else."""
    right = given_of(label, proof_of(label))
    shows = "Read for the contrary."
    value = None if right["value"] else seed("value").hex()
    yield bad(KIND, f"{name}-contrary", "R-30.11", name, shows, {**right, "value": value})
    shows = "Under another root."
    yield bad(KIND, f"{name}-root", "R-30.11", name, shows, {**right, "root": seed("r").hex()})
    fields: Any = to_value(proof_of(label))
    for what, at, wrong in (
        ("depth-257", 0, 257),
        ("depth-text", 0, "6"),
        ("mask-33", 1, bytes(33)),
        ("sibling-31", 2, [bytes(31)]),
        ("end-3", 3, [3]),
        ("end-null", 3, None),
        ("end-short", 3, [2, bytes(32)]),
        ("end-value-31", 3, [1, bytes(32), bytes(31)]),
    ):
        data = cbor2.dumps([*fields[:at], wrong, *fields[at + 1 :]]).hex()
        shows = "A field that is not of its shape."
        yield bad(KIND, f"{name}-{what}", "R-10.4", name, shows, {**right, "proof": data})
    if name == OWN:
        shows = "Another value."
        changed = {**right, "value": seed("another").hex()}
        yield bad(KIND, f"{name}-other-value", "R-30.11", name, shows, changed)


def _deep() -> Iterator[Case]:
    """Two labels that differ in their last bit only: the path has 256 nodes."""
    twin = diverging(255)
    directory, records = filled({COMMON: seed("value"), twin: seed("twin")})
    for name, label in (("deepest", COMMON), ("deepest-nothing", diverging(254))):
        proof = prove(label, directory.path(label, records.__getitem__))
        given = given_of(label, proof, directory.root)
        yield ok(KIND, name, "Two labels that differ in their last bit only.", given)
    proof = prove(COMMON, directory.path(COMMON, records.__getitem__))
    given = given_of(COMMON, proof, directory.root)
    swapped = {**given, "label": twin.hex()}
    shows = "The label that differs in the last bit."
    yield bad(KIND, "deepest-twin", "R-30.11", "deepest", shows, swapped)


def _single() -> Iterator[Case]:
    """A directory of one label: its leaf is the root."""
    root = leaf(COMMON, seed("value"))
    present = Proof(0, b"", (), Own())
    yield ok(KIND, "single", "The only label.", given_of(COMMON, present, root))
    absent = Proof(0, b"", (), Other(COMMON, seed("value")))
    other = seed("absent")
    yield ok(KIND, "single-absent", "Beside the only label.", given_of(other, absent, root))
    itself = given_of(COMMON, absent, root, value=None)
    shows = "The label's own leaf, as if it were another's."
    yield bad(KIND, "single-itself", "R-30.10", "single-absent", shows, itself)
    nothing = Proof(0, b"", (), Nothing(EMPTY, EMPTY))
    shows = "Nothing at all, where the root is zeros."
    given = given_of(other, nothing, EMPTY)
    yield bad(KIND, "empty", "R-30.9", "single-absent", shows, given, covers=("R-30.8",))


def _made_up() -> Iterator[Case]:
    """Roots that no set of labels has, with proofs that lead to them."""
    own, zero = leaf(COMMON, seed("value")), f"{COMMON[0]:08b}"[0] == "0"
    root = node(own, EMPTY) if zero else node(EMPTY, own)
    shows = "A node of one leaf and nothing."
    lonely = given_of(COMMON, Proof(1, b"\0", (), Own()), root)
    yield bad(KIND, "lonely-leaf", "R-30.9", "single", shows, lonely)
    other = bytes([COMMON[0] ^ 0x80]) + COMMON[1:]
    hollow = node(EMPTY, EMPTY)
    root = node(hollow, EMPTY) if not zero else node(EMPTY, hollow)
    given = given_of(other, Proof(1, b"\x80", (), Nothing(EMPTY, EMPTY)), root)
    given["label"] = (COMMON if zero else other).hex()
    given["value"] = None
    shows = "Nothing beside a node of two empties."
    yield bad(KIND, "hollow", "R-30.9", "absent-nothing", shows, given)
    yield from _astray()


def _astray() -> Iterator[Case]:
    """A leaf that a lying log put where its label does not lead."""
    label = SAMPLES["absent-other"]
    proof = proof_of(label)
    assert isinstance(proof.end, Other)
    far = bytes([label[0] ^ 0x80]) + label[1:]
    given, computed = list(proof.siblings), leaf(far, proof.end.value)
    for depth in range(proof.depth - 1, -1, -1):
        stands = proof.mask[depth // 8] & 0x80 >> depth % 8
        sibling = given.pop() if stands else EMPTY
        turns = int.from_bytes(label) >> 255 - depth & 1
        computed = node(sibling, computed) if turns else node(computed, sibling)
    astray = replace(proof, end=Other(far, proof.end.value))
    shows = "The leaf of a label that does not lead there, under a root made so."
    right = given_of(label, astray, computed)
    yield bad(KIND, "absent-other-astray", "R-30.10", "absent-other", shows, right)
