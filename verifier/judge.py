"""Single judgements, each a pure function of bytes: what test vectors and evidence are made of.

Each returns what the input yields, or raises `Invalid` with its `verdict` and `rule`.

    tree_root, directory_root = judge_log(entries)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

from verifier.blocks import Block, open_block, open_entry
from verifier.cbor import Value, decode
from verifier.directory import Directory, fold
from verifier.errors import BrokenRule, Malformed
from verifier.merkle import check_consistency, check_inclusion, leaf_hash, prefix_root, tile_levels
from verifier.note import Checkpoint, Note, open_checkpoint, open_note, parse_note, parse_vkey
from verifier.replay import Replay
from verifier.vrf import verify, verify_label

MAX_CBOR = 1 << 20
TILE_PATH = re.compile(
    r"tile/(?P<level>entries|0|[1-9]|[1-5][0-9]|6[0-3])/(?P<number>(?:x[0-9]{3}/)*[0-9]{3})"
    r"(?:\.p/(?P<width>[1-9][0-9]{0,2}))?"
)


def judge_cbor(data: bytes, cap: int = MAX_CBOR) -> Value:
    """Specs 10."""
    return decode(data, cap)


def judge_block(data: bytes, log_id: bytes | None) -> Block:
    """Shape, keys and signatures of a block (specs 10, 15, 40); not its place in a log."""
    return open_block(data, log_id)


def judge_log(entries: Sequence[bytes], log_id: bytes | None = None) -> tuple[bytes, bytes]:
    """Roots of the tree and of the directory of a whole log, every rule of specs 40 and 50 checked.

    Without a log id the first block's hash is taken.
    """
    leaves = [leaf_hash(entry) for entry in entries]
    levels = tile_levels(leaves)
    directory = Directory({})
    replay: Replay | None = None
    for index, data in enumerate(entries):
        entry = open_entry(data)
        if entry.kind == 0:
            block = open_block(entry.content, log_id)
            log_id = log_id or block.hash
            replay = replay or Replay(log_id, {}, {}, directory)
            replay.block(entry.time, leaves[index], block)
        elif replay is None:
            raise BrokenRule("R-42.4", "entry 0 is not log.create", 0)
        else:
            replay.close(entry.time, entry.content, prefix_root(levels, index + 1))
    if replay is None:
        raise BrokenRule("R-42.4", "an empty log")
    replay.finish()
    return prefix_root(levels, len(leaves)), directory.root()


def judge_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """R-20.3. `leaf` is the leaf hash."""
    check_inclusion(leaf, index, size, proof, root)


def judge_consistency(
    old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """R-20.4."""
    check_consistency(old, new, old_root, new_root, proof)


def judge_note(data: bytes, vkey: str | None = None) -> Note:
    """Specs 60: the form of a signed note, and with a verifier key its signature."""
    if vkey is not None:
        open_note(data, parse_vkey(vkey))
    return parse_note(data)


def judge_checkpoint(data: bytes, vkey: str) -> Checkpoint:
    """Specs 60: a checkpoint signed by the key whose name is its origin."""
    return open_checkpoint(data, parse_vkey(vkey))


def judge_directory(leaves: Iterable[tuple[bytes, bytes]]) -> bytes:
    """R-30.1 to R-30.3: the root over (label, value) pairs, in any order, no label twice."""
    from verifier.directory import leaf

    items = sorted(leaves)
    if any(len(part) != 32 for item in items for part in item):
        raise Malformed("R-30.1", "labels and values are 32 bytes")
    if any(before[0] == after[0] for before, after in pairwise(items)):
        raise Malformed("R-30.3", "a label twice")
    return fold([(label, leaf(label, held)) for label, held in items], 0).hash


def judge_tile_path(path: str) -> tuple[str, int, int]:
    """R-20.5: level (or `entries`), number and width of a tile, 256 if full."""
    found = TILE_PATH.fullmatch(path)
    if found is None:
        raise Malformed("R-20.5", f"{path!r} is not the path of a tile")
    groups = found["number"].replace("x", "").split("/")
    width = int(found["width"] or 256)
    if width > 255 and found["width"] or (len(groups) > 1 and groups[0] == "000"):
        raise Malformed("R-20.5", f"{path!r} is not the one spelling of a tile's path")
    number = int("".join(groups))
    if number >= 2**63:
        raise Malformed("R-20.2", "a tile beyond the largest tree")
    return found["level"], number, width


def judge_vrf(public: bytes, alpha: bytes, proof: bytes) -> bytes:
    """R-36.1 to R-36.4: the label. `vrf.verify` gives the whole of beta."""
    return verify_label(public, alpha, proof)


__all__ = [
    "judge_block",
    "judge_cbor",
    "judge_checkpoint",
    "judge_consistency",
    "judge_directory",
    "judge_inclusion",
    "judge_log",
    "judge_note",
    "judge_tile_path",
    "judge_vrf",
    "verify",
]
