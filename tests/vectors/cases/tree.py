"""The tree and its proofs (R-20.1 to R-20.4), the directory over given values (R-30)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256

from ledger.tree.merkle import (
    EMPTY_ROOT,
    Extension,
    Frontier,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root_of,
)
from tests.support.actors import seed
from tests.support.ct import CT_LEAVES, CT_ROOTS
from tests.vectors.case import Case, Json, bad, ok

LEAVES = [leaf_hash(b"leaf %d" % number) for number in range(13)]


def cases() -> Iterator[Case]:
    for size, root in enumerate(CT_ROOTS):
        shows = f"The root over {size} entries of certificate transparency's own tests."
        given: Sequence[Json] = CT_LEAVES[:size]
        yield ok("tree", f"ct-{size}", shows, output={"root": root}, entries=given)
    yield from inclusions()
    yield from consistencies()
    yield from directories()


def grown(size: int) -> Extension:
    return Frontier().extend(LEAVES[:size])


def hexes(hashes: Sequence[bytes]) -> list[str]:
    return [one.hex() for one in hashes]


def inclusions() -> Iterator[Case]:
    for index, size in ((0, 1), (0, 2), (1, 2), (2, 3), (6, 7), (0, 13), (7, 13), (12, 13)):
        proof = inclusion_proof(index, size, grown(size).read)
        yield ok("inclusion", f"{index}-of-{size}", f"Leaf {index} of {size}.", _at(index, size))
        yield from _wrong_lengths(index, size, proof)
    right = _at(7, 13)
    proof = inclusion_proof(7, 13, grown(13).read)
    other = bytes([1] * 32).hex()
    changes: list[tuple[str, str, dict[str, Json]]] = [
        ("other-leaf", "Another leaf hash.", {"leaf": LEAVES[6].hex()}),
        ("other-root", "Another root.", {"root": other}),
        ("index-behind", "The index before.", {"index": 6}),
        ("index-ahead", "The index after.", {"index": 8}),
        ("other-shape", "A size for which the path has another shape.", {"size": 8}),
        ("first-changed", "The first hash is another.", {"proof": [other, *hexes(proof[1:])]}),
        ("last-changed", "The last hash is another.", {"proof": [*hexes(proof[:-1]), other]}),
        ("reversed", "The hashes in reverse order.", {"proof": hexes(proof[::-1])}),
        ("short-hash", "A hash of 31 bytes.", {"proof": [other[2:], *hexes(proof[1:])]}),
        ("index-is-size", "The index is the size.", {"index": 13}),
        ("size-0", "A leaf of an empty tree.", {"index": 0, "size": 0, "proof": []}),
    ]
    for name, shows, change in changes:
        given = {**right, **change}
        yield bad("inclusion", f"7-of-13-{name}", "R-20.3", "7-of-13", shows, given)
    shows = "The first leaf of the largest tree that is a power of two."
    yield ok("inclusion", "size-2-62", shows, _first_of(62))
    shows = "A right proof, in a tree of 2^63 leaves."
    given, covers = _first_of(63), ("R-20.2",)
    yield bad("inclusion", "size-2-63", "R-20.3", "size-2-62", shows, given, covers=covers)
    yield from _misread_hashes()
    for name, tag in (("leaf-as-node", b"\x01"), ("leaf-untagged", b"")):
        leaf = sha256(tag + b"leaf 7").hexdigest()
        shows = "The entry is hashed with the node's tag, or none."
        given = {**right, "leaf": leaf}
        covers = ("R-20.1",)
        yield bad("inclusion", name, "R-20.3", "7-of-13", shows, given, covers=covers)


def _misread_hashes() -> Iterator[Case]:
    """Hashes of other lengths, with the root that they give to whoever does not count bytes."""
    for size in (31, 33):
        sibling = seed("sibling")[:31].ljust(size, b"\x01")
        root = sha256(b"\x01" + LEAVES[0] + sibling).hexdigest()
        given = {**_at(0, 2), "proof": [sibling.hex()], "root": root}
        shows = f"A hash of {size} bytes, that gives this root."
        yield bad("inclusion", f"0-of-2-hash-{size}", "R-20.3", "0-of-2", shows, given)
        roots = {"old_root": LEAVES[0].hex(), "new_root": root}
        given = {"old": 1, "new": 2, "proof": [sibling.hex()], **roots}
        yield bad("consistency", f"1-to-2-hash-{size}", "R-20.4", "1-to-2", shows, given)


def _at(index: int, size: int) -> dict[str, Json]:
    tree = grown(size)
    proof = hexes(inclusion_proof(index, size, tree.read))
    root = tree.after.root().hex()
    return {"leaf": LEAVES[index].hex(), "index": index, "size": size, "proof": proof, "root": root}


def _first_of(height: int) -> dict[str, Json]:
    """Leaf 0 in a tree of 2^height leaves, by its path alone."""
    root, proof = LEAVES[0], [seed("sibling", level) for level in range(height)]
    for sibling in proof:
        root = node_hash(root, sibling)
    place: dict[str, Json] = {"leaf": LEAVES[0].hex(), "index": 0, "size": 2**height}
    return {**place, "proof": hexes(proof), "root": root.hex()}


def _wrong_lengths(index: int, size: int, proof: list[bytes]) -> Iterator[Case]:
    nearest = f"{index}-of-{size}"
    right = _at(index, size)
    longer = {**right, "proof": [*hexes(proof), bytes(32).hex()]}
    shows = "One hash too many."
    yield bad("inclusion", f"{nearest}-longer", "R-20.3", nearest, shows, longer)
    if proof:
        shorter = {**right, "proof": hexes(proof[:-1])}
        shows = "One hash too few."
        yield bad("inclusion", f"{nearest}-shorter", "R-20.3", nearest, shows, shorter)


def _between(old: int, new: int) -> dict[str, Json]:
    proof = hexes(consistency_proof(old, new, grown(new).read)) if old else []
    old_root, new_root = root_of(LEAVES[:old]).hex(), root_of(LEAVES[:new]).hex()
    return {"old": old, "new": new, "old_root": old_root, "new_root": new_root, "proof": proof}


def consistencies() -> Iterator[Case]:
    other = bytes([1] * 32).hex()
    for old, new in ((1, 2), (2, 3), (4, 7), (6, 7), (4, 8), (6, 13), (8, 13), (12, 13)):
        nearest, right = f"{old}-to-{new}", _between(old, new)
        yield ok("consistency", nearest, f"From {old} leaves to {new}.", right)
        proof = right["proof"]
        assert isinstance(proof, list)
        wrong: list[tuple[str, str, dict[str, Json]]] = [
            ("longer", "One hash too many.", {"proof": [*proof, other]}),
            ("shorter", "One hash too few.", {"proof": proof[:-1]}),
            ("other-old-root", "Another old root.", {"old_root": other}),
            ("other-new-root", "Another new root.", {"new_root": other}),
        ]
        for name, shows, change in wrong:
            given = {**right, **change}
            yield bad("consistency", f"{nearest}-{name}", "R-20.4", nearest, shows, given)
    yield from _forged_consistency()
    yield from _trivial()


def _forged_consistency() -> Iterator[Case]:
    right = _between(6, 7)
    proof = right["proof"]
    assert isinstance(proof, list)
    reverse = {**right, "proof": proof[::-1]}
    shows = "The hashes in reverse order."
    yield bad("consistency", "6-to-7-reversed", "R-20.4", "6-to-7", shows, reverse)
    backward = {**right, "old": 7, "new": 6}
    shows = "A tree that shrinks."
    yield bad("consistency", "7-to-6", "R-20.4", "6-to-7", shows, backward)
    forked = root_of([*LEAVES[:5], leaf_hash(b"other"), LEAVES[6]]).hex()
    given = {**right, "new_root": forked}
    shows = "A new tree in which leaf 5 is another."
    yield bad("consistency", "6-to-7-fork", "R-20.4", "6-to-7", shows, given)
    yield ok("consistency", "to-2-62", "A tree that doubles.", _doubled(62))
    shows = "A tree that doubles to 2^63 leaves, with a right proof."
    given, covers = _doubled(63), ("R-20.2",)
    yield bad("consistency", "to-2-63", "R-20.4", "to-2-62", shows, given, covers=covers)


def _doubled(height: int) -> dict[str, Json]:
    """From half of 2^height leaves to all of them, by their roots alone."""
    half, other = seed("half"), seed("other half")
    roots = {"old_root": half.hex(), "new_root": node_hash(half, other).hex()}
    return {"old": 2 ** (height - 1), "new": 2**height, "proof": [other.hex()], **roots}


def _trivial() -> Iterator[Case]:
    same, nothing = _between(7, 7), _between(0, 7)
    other = bytes([1] * 32).hex()
    yield ok("consistency", "same", "The same tree: an empty proof and equal roots.", same)
    yield ok("consistency", "from-0", "Every tree continues the empty one.", nothing)
    yield ok("consistency", "0-to-0", "The empty tree and itself.", _between(0, 0))
    wrong: list[tuple[str, str, str, dict[str, Json]]] = [
        ("same-other-root", "same", "One size, two roots.", {**same, "new_root": other}),
        ("same-with-proof", "same", "A hash where none belongs.", {**same, "proof": [other]}),
        (
            "from-0-with-proof",
            "from-0",
            "A hash where none belongs.",
            {**nothing, "proof": [other]},
        ),
        (
            "from-0-other-root",
            "from-0",
            "Not the root of the empty tree.",
            {**nothing, "old_root": bytes(32).hex()},
        ),
        (
            "0-to-0-other-root",
            "0-to-0",
            "Two roots of the empty tree.",
            {**_between(0, 0), "new_root": bytes(32).hex()},
        ),
    ]
    assert wrong[3][3]["old_root"] != EMPTY_ROOT.hex()
    for name, nearest, shows, given in wrong:
        yield bad("consistency", name, "R-20.4", nearest, shows, given)


def directories() -> Iterator[Case]:
    """What a set of labels and values gives; mistakes are shown in whole logs, `log/root-…`."""
    zero, one = bytes(32), bytes(31) + b"\x01"
    top = b"\x80" + bytes(31)
    many = [seed("label", number) for number in range(40)]
    ground = [bytes([0xC3] * 25) + seed("ground", number)[:7] for number in range(9)]
    sets: list[tuple[str, str, list[bytes]]] = [
        ("empty", "No label: 32 zero bytes.", []),
        ("one", "One label: its leaf, at whatever depth.", [zero]),
        ("first-bit", "Two labels that differ in the first bit.", [zero, top]),
        ("last-bit", "Two labels that differ in the last bit: 255 nodes with an empty child.",
         [zero, one]),
        ("three", "Two that share 255 bits, and one that shares none.", [zero, one, top]),
        ("many", "Forty labels.", many),
        ("ground", "Nine labels that share 200 bits, among others.", [*ground, *many[:5]]),
    ]  # fmt: skip
    for name, shows, labels in sets:
        pairs: Json = [[label.hex(), seed("value", label.hex()).hex()] for label in labels]
        covers = ("R-30.1", "R-30.2", "R-30.3")
        yield ok("directory", name, shows, covers=covers, pairs=pairs)
