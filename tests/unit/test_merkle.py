"""The RFC 6962 tree against its recursive definition, and its proofs against the RFC's own walk."""

from __future__ import annotations

import doctest
from collections.abc import Callable, Sequence
from functools import cache
from hashlib import sha256
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import MalformedInput
from ledger.tree import merkle
from ledger.tree.merkle import (
    EMPTY_ROOT,
    MAX_SIZE,
    Frontier,
    Node,
    consistency_proof,
    consistency_ranges,
    inclusion_proof,
    inclusion_ranges,
    leaf_hash,
    node_hash,
    perfect_nodes,
    root_of,
    verify_consistency,
    verify_inclusion,
)
from tests.support.ct import CT_LEAVES, CT_ROOTS

ENTRIES = [b"entry %d" % number for number in range(140)]
LEAVES = [leaf_hash(entry) for entry in ENTRIES]

sizes = st.integers(0, len(ENTRIES))


# RFC 6962 §2.1 and RFC 9162 §2.1.3.1, §2.1.4.1, as they define it: recursively, over the entries.


def split(n: int) -> int:
    k = 1
    while 2 * k < n:
        k *= 2
    return k


@cache
def mth(start: int, stop: int) -> bytes:
    n = stop - start
    if n == 0:
        return sha256(b"").digest()
    if n == 1:
        return sha256(b"\x00" + ENTRIES[start]).digest()
    k = start + split(n)
    return sha256(b"\x01" + mth(start, k) + mth(k, stop)).digest()


def path(m: int, start: int, stop: int) -> list[bytes]:
    if stop - start == 1:
        return []
    k = start + split(stop - start)
    if m < k:
        return [*path(m, start, k), mth(k, stop)]
    return [*path(m, k, stop), mth(start, k)]


def subproof(m: int, start: int, stop: int, known: bool) -> list[bytes]:
    if m == stop:
        return [] if known else [mth(start, stop)]
    k = start + split(stop - start)
    if m <= k:
        return [*subproof(m, start, k, known), mth(k, stop)]
    return [*subproof(m, k, stop, False), mth(start, k)]


def read(node: Node) -> bytes:
    return mth(node.index << node.level, (node.index + 1) << node.level)


# RFC 9162 §2.1.3.2 and §2.1.4.2: the verifier that walks bits, where ours walks ranges.


def rfc_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    if index >= size:
        return False
    fn, sn, r = index, size - 1, leaf
    for p in proof:
        if sn == 0:
            return False
        if fn % 2 or fn == sn:
            r = node_hash(p, r)
            while fn and not fn % 2:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node_hash(r, p)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and r == root


def rfc_consistency(
    old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes
) -> bool:
    if not 0 < old < new or not proof:
        return False
    nodes = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    fn, sn = old - 1, new - 1
    while fn % 2:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = nodes[0]
    for c in nodes[1:]:
        if sn == 0:
            return False
        if fn % 2 or fn == sn:
            fr, sr = node_hash(c, fr), node_hash(c, sr)
            while fn and not fn % 2:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node_hash(sr, c)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and fr == old_root and sr == new_root


def accepts(verify: Callable[..., None], rule: str, *arguments: object) -> bool:
    """Whether `verify` takes it; whatever it refuses, it refuses with `rule`."""
    try:
        verify(*arguments)
    except MalformedInput as refusal:
        if refusal.rule != rule:
            raise
        return False
    return True


def included(*arguments: object) -> bool:
    return accepts(verify_inclusion, "R-20.3", *arguments)


def consistent(*arguments: object) -> bool:
    return accepts(verify_consistency, "R-20.4", *arguments)


def flipped(data: bytes, bit: int = 0) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def mutations(proof: Sequence[bytes]) -> list[list[bytes]]:
    """Every proof that is one small change away."""
    proof = list(proof)
    changed = [[*proof, bytes(32)], [bytes(32), *proof], [*proof, EMPTY_ROOT]]
    for at, node in enumerate(proof):
        before, after = proof[:at], proof[at + 1 :]
        changed.append([*before, *after])
        changed.append([*before, node, node, *after])
        changed += [[*before, flipped(node, bit), *after] for bit in (0, 255)]
        changed += [[*before, bad, *after] for bad in (b"", node[:31], node + b"\x00")]
        if after:
            changed.append([*before, after[0], node, *after[1:]])
    return changed


def test_the_module_example_holds() -> None:
    assert doctest.testmod(merkle).attempted > 0
    assert doctest.testmod(merkle).failed == 0


class TestHashing:
    """R-20.1: what leaves, nodes and whole trees hash to."""

    @pytest.mark.parametrize("size", range(9))
    def test_published_roots(self, size: int) -> None:
        leaves = [leaf_hash(bytes.fromhex(entry)) for entry in CT_LEAVES[:size]]
        assert root_of(leaves).hex() == CT_ROOTS[size]
        assert Frontier().append(leaves).root().hex() == CT_ROOTS[size]

    def test_leaf_and_node_hashes_never_meet(self) -> None:
        assert leaf_hash(LEAVES[0] + LEAVES[1]) != node_hash(LEAVES[0], LEAVES[1])

    def test_root_at_every_size(self) -> None:
        for size in range(len(ENTRIES) + 1):
            assert root_of(LEAVES[:size]) == mth(0, size)

    @pytest.mark.parametrize("bad", [b"", bytes(31), bytes(33)])
    def test_a_leaf_hash_of_another_length_is_refused(self, bad: bytes) -> None:
        for append in (root_of, Frontier().extend, Frontier().append):
            with pytest.raises(MalformedInput, match=r"R-20\.1"):
                append([LEAVES[0], bad])


class TestFrontier:
    """Appending, R-20.2, and what an append leaves at hand."""

    @given(sizes, sizes)
    def test_appending_gives_the_tree_of_all_leaves(self, a: int, b: int) -> None:
        old, new = sorted((a, b))
        frontier = Frontier().append(LEAVES[:old]).append(LEAVES[old:new])
        assert frontier == Frontier.load(new, read)
        assert frontier.root() == mth(0, new)

    def test_one_leaf_at_a_time(self) -> None:
        frontier = Frontier()
        for size, leaf in enumerate(LEAVES, 1):
            frontier = frontier.append([leaf])
            assert (frontier.size, frontier.root()) == (size, mth(0, size))

    def test_appending_nothing_changes_nothing(self) -> None:
        frontier = Frontier().append(LEAVES[:11])
        assert frontier.append([]) == frontier

    @given(sizes, sizes)
    def test_rows_hold_each_new_perfect_subtree_once(self, a: int, b: int) -> None:
        old, new = sorted((a, b))
        extension = Frontier.load(old, read).extend(LEAVES[old:new])
        assert extension.before.size == old
        for level in range(9):
            row = extension.rows[level] if level < len(extension.rows) else []
            expected = [read(Node(level, n)) for n in range(old >> level, new >> level)]
            assert list(row) == expected

    @settings(max_examples=50, deadline=None)
    @given(st.data(), st.integers(0, len(ENTRIES) - 1))
    def test_an_extension_proves_its_new_leaves_by_itself(
        self, data: st.DataObject, old: int
    ) -> None:
        new = data.draw(st.integers(old + 1, len(ENTRIES)))
        extension = Frontier.load(old, read).extend(LEAVES[old:new])
        for index in range(old, new):
            assert inclusion_proof(index, new, extension.read) == path(index, 0, new)

    def test_an_extension_proves_consistency_where_the_old_edge_is_at_hand(self) -> None:
        extension = Frontier.load(64, read).extend(LEAVES[64:100])
        assert consistency_proof(64, 100, extension.read) == subproof(64, 0, 100, True)

    def test_an_extension_refuses_a_node_it_never_saw(self) -> None:
        extension = Frontier.load(6, read).extend(LEAVES[6:9])
        assert extension.read(Node(2, 0)) == read(Node(2, 0))
        assert extension.read(Node(1, 2)) == read(Node(1, 2))
        for unknown in [Node(0, 5), Node(1, 0), Node(0, 9), Node(4, 0), Node(70, 0), Node(2, -1)]:
            with pytest.raises(MalformedInput, match=r"R-20\.1"):
                extension.read(unknown)

    def test_only_one_root_per_set_bit(self) -> None:
        Frontier(5, (LEAVES[0], LEAVES[1]))
        for size, roots in [(5, LEAVES[:1]), (5, LEAVES[:3]), (0, LEAVES[:1]), (5, [b"", b""])]:
            with pytest.raises(MalformedInput, match=r"R-20\.1"):
                Frontier(size, tuple(roots))

    def test_sizes_stay_below_2_63(self) -> None:
        full = Frontier(MAX_SIZE, tuple(LEAVES[:63]))
        assert full.append([]) == full
        with pytest.raises(MalformedInput, match=r"R-20\.2"):
            full.append(LEAVES[:1])
        for size in (-1, MAX_SIZE + 1):
            with pytest.raises(MalformedInput, match=r"R-20\.2"):
                Frontier(size, ())
            with pytest.raises(MalformedInput, match=r"R-20\.2"):
                Frontier.load(size, read)

    def test_the_last_possible_leaf_can_be_appended(self) -> None:
        almost = Frontier(MAX_SIZE - 1, tuple(LEAVES[:62]))
        extension = almost.extend(LEAVES[100:101])
        proof = inclusion_proof(MAX_SIZE - 1, MAX_SIZE, extension.read)
        assert len(proof) == 62
        verify_inclusion(LEAVES[100], MAX_SIZE - 1, MAX_SIZE, proof, extension.after.root())


class TestInclusion:
    """R-20.3."""

    def test_every_leaf_of_every_size(self) -> None:
        for size in range(1, 131):
            root = mth(0, size)
            for index in range(size):
                proof = inclusion_proof(index, size, read)
                assert proof == path(index, 0, size)
                verify_inclusion(LEAVES[index], index, size, proof, root)

    def test_no_other_index_takes_the_proof(self) -> None:
        for size in range(1, 18):
            for index in range(size):
                proof, root = path(index, 0, size), mth(0, size)
                for other in range(-1, 20):
                    assert included(LEAVES[index], other, size, proof, root) == (other == index)

    def test_another_size_is_refused_wherever_the_rfc_walk_does(self) -> None:
        # Sizes that give a leaf the same path share its proof: a checkpoint binds size and root.
        for size in range(1, 18):
            for index in range(size):
                for other in range(20):
                    claim = (LEAVES[index], index, other, path(index, 0, size), mth(0, size))
                    assert included(*claim) == rfc_inclusion(*claim)
        assert included(LEAVES[0], 0, 7, path(0, 0, 8), mth(0, 8))
        assert not included(LEAVES[0], 0, 9, path(0, 0, 8), mth(0, 8))
        assert not included(LEAVES[6], 6, 7, path(6, 0, 8), mth(0, 8))

    def test_mutated_proofs_are_refused(self) -> None:
        for size in (*range(1, 20), 31, 32, 33, 100):
            root = mth(0, size)
            for index in range(size):
                for proof in mutations(path(index, 0, size)):
                    assert not included(LEAVES[index], index, size, proof, root)

    def test_another_leaf_or_root_is_refused(self) -> None:
        proof, root = path(5, 0, 13), mth(0, 13)
        assert included(LEAVES[5], 5, 13, proof, root)
        assert not included(LEAVES[6], 5, 13, proof, root)
        assert not included(flipped(LEAVES[5]), 5, 13, proof, root)
        assert not included(LEAVES[5], 5, 13, proof, flipped(root))
        assert not included(LEAVES[5], 5, 13, proof, mth(0, 12))

    @pytest.mark.parametrize("bad", [b"", bytes(31), bytes(33), bytes(64)])
    def test_hashes_are_32_bytes(self, bad: bytes) -> None:
        assert not included(bad, 0, 1, [], bad)
        assert not included(LEAVES[0], 0, 1, [], bad)
        assert not included(bad, 0, 2, [LEAVES[1]], node_hash(bad, LEAVES[1]))
        assert not included(LEAVES[0], 0, 2, [bad], node_hash(LEAVES[0], bad))

    def test_a_node_does_not_pass_for_a_leaf_one_level_up(self) -> None:
        # Without the length check, the parent of leaves 0 and 1 would prove itself at index 0.
        parent = mth(0, 2)
        proof = path(0, 0, 4)[1:]
        assert node_hash(parent, proof[0]) == mth(0, 4)
        assert not included(parent, 0, 4, proof, mth(0, 4))

    def test_concatenated_hashes_do_not_pass_for_two(self) -> None:
        # 01 ‖ left ‖ right reads the same wherever the border between left and right lies.
        left, right = LEAVES[0], LEAVES[1]
        assert node_hash(left + right[:1], right[1:]) == mth(0, 2)
        assert not included(left + right[:1], 0, 2, [right[1:]], mth(0, 2))

    @pytest.mark.parametrize(
        ("index", "size"),
        [(0, 0), (1, 1), (5, 5), (6, 5), (-1, 5), (0, -1), (0, MAX_SIZE + 1), (MAX_SIZE, MAX_SIZE)],
    )
    def test_index_and_size_out_of_bounds(self, index: int, size: int) -> None:
        assert not included(LEAVES[0], index, size, [], LEAVES[0])
        with pytest.raises(MalformedInput, match=r"R-20\.3"):
            inclusion_proof(index, size, read)

    @given(st.integers(1, MAX_SIZE), st.data())
    def test_the_plan_covers_every_other_leaf_once(self, size: int, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, size - 1))
        ranges = inclusion_ranges(index, size)
        covered = sorted([*ranges, range(index, index + 1)], key=lambda leaves: leaves.start)
        assert covered[0].start == 0
        assert covered[-1].stop == size
        assert all(a.stop == b.start for a, b in pairwise(covered))
        assert len(ranges) <= 63

    @given(st.integers(0, 70), st.integers(0, 70), st.integers(0, 8), st.data())
    def test_agrees_with_the_rfc_walk(
        self, index: int, size: int, length: int, data: st.DataObject
    ) -> None:
        honest = path(index, 0, size) if index < size else []
        proof = data.draw(st.sampled_from([honest, LEAVES[:length]]))
        claim = (LEAVES[index], index, size, proof)
        folded = mth(0, size)
        assert included(*claim, folded) == rfc_inclusion(*claim, folded)
        assert included(*claim, LEAVES[3]) == rfc_inclusion(*claim, LEAVES[3])


class TestConsistency:
    """R-20.4."""

    def test_every_pair_of_sizes(self) -> None:
        for new in range(1, 67):
            for old in range(1, new + 1):
                proof = consistency_proof(old, new, read)
                assert proof == subproof(old, 0, new, True)
                verify_consistency(old, new, proof, mth(0, old), mth(0, new))

    def test_wrong_sizes_are_refused_as_the_rfc_walk_does(self) -> None:
        for new in range(2, 14):
            for old in range(1, new):
                proof = subproof(old, 0, new, True)
                for a in range(1, 16):
                    for b in range(a + 1, 17):
                        claim = (a, b, proof, mth(0, old), mth(0, new))
                        assert consistent(*claim) == rfc_consistency(*claim)

    def test_old_and_new_swapped(self) -> None:
        for new in range(2, 20):
            for old in range(1, new):
                proof = subproof(old, 0, new, True)
                assert not consistent(new, old, proof, mth(0, new), mth(0, old))
                assert not consistent(old, new, proof, mth(0, new), mth(0, old))

    def test_mutated_proofs_are_refused(self) -> None:
        for new in (*range(1, 20), 33, 64, 100):
            for old in range(1, new + 1):
                for proof in mutations(subproof(old, 0, new, True)):
                    assert not consistent(old, new, proof, mth(0, old), mth(0, new))

    def test_a_fork_is_refused(self) -> None:
        forked = Frontier().append([*LEAVES[:6], leaf_hash(b"another"), *LEAVES[7:13]])
        for old in range(1, 13):
            proof = subproof(old, 0, 13, True)
            assert consistent(old, 13, proof, mth(0, old), mth(0, 13))
            assert not consistent(old, 13, proof, mth(0, old), forked.root())

    def test_another_old_or_new_root_is_refused(self) -> None:
        for new in range(2, 40):
            for old in range(1, new):
                proof = subproof(old, 0, new, True)
                assert not consistent(old, new, proof, flipped(mth(0, old)), mth(0, new))
                assert not consistent(old, new, proof, mth(0, old), flipped(mth(0, new)))
                assert not consistent(old, new, proof, mth(0, new), mth(0, new))

    def test_equal_sizes_take_the_empty_proof_and_equal_roots(self) -> None:
        for size in range(1, 20):
            root = mth(0, size)
            assert consistent(size, size, [], root, root)
            assert not consistent(size, size, [], root, flipped(root))
            assert not consistent(size, size, [root], root, root)

    def test_from_the_empty_tree(self) -> None:
        assert consistent(0, 0, [], EMPTY_ROOT, EMPTY_ROOT)
        assert consistent(0, 9, [], EMPTY_ROOT, mth(0, 9))
        assert consistency_proof(0, 9, read) == []
        assert not consistent(0, 9, [mth(0, 9)], EMPTY_ROOT, mth(0, 9))
        assert not consistent(0, 9, [], mth(0, 9), mth(0, 9))
        assert not consistent(0, 0, [], EMPTY_ROOT, mth(0, 9))
        assert not consistent(0, 0, [], mth(0, 9), mth(0, 9))
        assert not consistent(0, 0, [EMPTY_ROOT], EMPTY_ROOT, EMPTY_ROOT)

    @pytest.mark.parametrize("bad", [b"", bytes(31), bytes(33)])
    def test_hashes_are_32_bytes(self, bad: bytes) -> None:
        assert not consistent(0, 9, [], EMPTY_ROOT, bad)
        assert not consistent(3, 3, [], bad, bad)
        assert not consistent(4, 8, [bad], mth(0, 4), node_hash(mth(0, 4), bad))
        assert not consistent(4, 8, [mth(4, 8)], bad, node_hash(bad, mth(4, 8)))

    @pytest.mark.parametrize(("old", "new"), [(-1, 5), (6, 5), (1, 0), (0, MAX_SIZE + 1), (-2, -1)])
    def test_sizes_out_of_bounds(self, old: int, new: int) -> None:
        assert not consistent(old, new, [], EMPTY_ROOT, EMPTY_ROOT)
        with pytest.raises(MalformedInput, match=r"R-20\.4"):
            consistency_proof(old, new, read)

    @given(st.integers(1, MAX_SIZE), st.data())
    def test_the_plan_covers_the_new_tree_once(self, new: int, data: st.DataObject) -> None:
        old = data.draw(st.integers(1, new))
        ranges = consistency_ranges(old, new)
        known = [] if ranges and ranges[0].stop == old else [range(old)]
        covered = sorted([*known, *ranges], key=lambda leaves: leaves.start)
        assert covered[0].start == 0
        assert covered[-1].stop == new
        assert all(a.stop == b.start for a, b in pairwise(covered))
        assert any(leaves.stop == old for leaves in covered)
        assert len(ranges) <= 64

    @given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 8), st.data())
    def test_agrees_with_the_rfc_walk(
        self, old: int, new: int, length: int, data: st.DataObject
    ) -> None:
        honest = subproof(old, 0, new, True) if old <= new else []
        proof = data.draw(st.sampled_from([honest, LEAVES[:length]]))
        claim = (old, new, proof, mth(0, old), mth(0, new))
        assert consistent(*claim) == (rfc_consistency(*claim) or (old == new and not proof))


@given(st.integers(0, MAX_SIZE))
def test_perfect_nodes_tile_a_tree(size: int) -> None:
    nodes = perfect_nodes(range(size))
    assert len(nodes) == size.bit_count()
    at = 0
    for node in nodes:
        assert node.index << node.level == at
        at += 1 << node.level
    assert at == size
