"""Single judgements, each a pure function of bytes: what test vectors and evidence are made of.

Each returns what the input yields, or raises `Invalid` with its `verdict` and `rule`.

    tree_root, directory_root = judge_log(entries)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple, TypeVar

from verifier.blocks import GROUP_TYPES, Block, open_block, open_entry
from verifier.cbor import Value, decode
from verifier.directory import Directory, fold
from verifier.directory import leaf as directory_leaf
from verifier.errors import BrokenRule, Malformed
from verifier.groups import (
    open_statement,
)
from verifier.keys import Check, run_check
from verifier.merkle import (
    check_consistency,
    check_inclusion,
    leaf_hash,
    prefix_root,
    tile_levels,
)
from verifier.note import Checkpoint, Signer, open_checkpoint, open_note, parse_vkey
from verifier.policy import check_apart, check_enough, check_log, cosigned, parse_policy
from verifier.replay import Replay
from verifier.rules import events
from verifier.tiles import Bundle, parse_path, split_hashes
from verifier.vrf import verify_label


def judge_cbor(data: bytes, cap: int) -> Value:
    """Specs 10."""
    return decode(data, cap)


def judge_block(data: bytes, log_id: bytes | None) -> Block:
    """Shape, keys and signatures of a block (specs 10, 15, 40); not its place in a log."""
    return open_block(data, log_id)


class LogJudgement(NamedTuple):
    """The roots of a log, the loud events of each block in its last batch, its last state, and the
    memberships there, encoded."""

    tree_root: bytes
    directory_root: bytes
    events: list[list[int]]
    replay: Replay
    memberships: Mapping[bytes, bytes]


def replay_log(
    entries: Sequence[bytes],
    log_id: bytes | None = None,
    statements: Mapping[int, bytes] | None = None,
) -> LogJudgement:
    """A whole log replayed, every rule of specs 40 and 50 checked.

    Without a log id the first block's hash is taken. With the statements of all group blocks, by
    leaf index, those of specs 56 too.
    """
    leaves = [leaf_hash(entry) for entry in entries]
    levels = tile_levels(leaves)
    replay: Replay | None = None
    held: dict[bytes, bytes] = {}
    loud: list[list[int]] = []
    batch: list[list[int]] = []
    for index, data in enumerate(entries):
        entry = open_entry(data)
        if entry.kind == 0:
            block = open_block(entry.content, log_id)
            log_id = log_id or block.hash
            replay = replay or Replay(log_id, {}, {}, Directory({}), held)
            before, after = replay.block(entry.time, leaves[index], block)
            batch.append(events(before, after))
            if statements is not None and block.kind in GROUP_TYPES:
                found = open_statement(statements[index], block.body[0], replay.log_id)
                replay.statement(block, before, _checked(*found))
        elif replay is None:
            raise BrokenRule("R-42.4", "entry 0 is not log.create", 0)
        else:
            replay.close(entry.time, entry.content, prefix_root(levels, index + 1))
            loud, batch = batch, []
    if replay is None:
        raise BrokenRule("R-42.4", "an empty log")
    replay.finish()
    return LogJudgement(
        prefix_root(levels, len(leaves)), replay.directory_root(), loud, replay, held
    )


Checked = TypeVar("Checked")


def _checked(found: Checked, checks: Iterable[Check]) -> Checked:
    """What was found, once its checks have passed."""
    for check in checks:
        run_check(check)
    return found


def judge_log(entries: Sequence[bytes], log_id: bytes | None = None) -> tuple[bytes, bytes]:
    """The roots of tree and directory of a whole log."""
    return replay_log(entries, log_id)[:2]


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


def judge_note(data: bytes, vkeys: Sequence[str]) -> tuple[str, list[Signer]]:
    """The text of a signed note, and who of the known keys signed it (R-60.1 to R-60.6)."""
    return open_note(data, [parse_vkey(vkey) for vkey in vkeys])


def judge_checkpoint(data: bytes, vkey: str) -> Checkpoint:
    """A checkpoint signed by the key whose name is its origin (R-60.7 to R-60.9)."""
    return open_checkpoint(data, parse_vkey(vkey))


def judge_directory(pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    """R-30.1 to R-30.3: the root over (label, value) pairs, in any order, no label twice."""
    items = sorted(pairs)
    if any(len(part) != 32 for item in items for part in item):
        raise Malformed("R-30.1", "labels and values are 32 bytes")
    if any(before[0] == after[0] for before, after in pairwise(items)):
        raise Malformed("R-30.3", "a label twice")
    return fold([(label, directory_leaf(label, held)) for label, held in items], 0).hash


def judge_tile_path(path: str) -> tuple[str, int, int]:
    """R-20.5: level (or `entries`), number and width of a tile, 256 if full."""
    return parse_path(path)


def judge_tile(data: bytes, width: int) -> list[bytes]:
    """R-20.6: the hashes of a tile."""
    return split_hashes(data, width)


def judge_bundle(data: bytes, width: int) -> list[bytes]:
    """R-20.6: the entries of a bundle."""
    entries = Bundle("bundle", data, width, width).entries()
    if not all(entries):
        raise Malformed("R-20.6", "an empty entry")
    return entries


def judge_policy(
    data: bytes,
    log: str,
    others: Sequence[bytes],
    times: Mapping[bytes, int],
    demanded: int,
    now: int,
) -> int | None:
    """R-62.1 to R-62.8: the quorum time of a checkpoint of `log` (a vkey), in seconds.

    It was cosigned at these times (s, by public key). `others` are the keys of the other policy of
    the same holder, `now` is in ms.
    """
    policy, key = parse_policy(data), parse_vkey(log)
    check_log(policy, key)
    check_apart(policy, others, key.key)
    check_enough(policy, demanded)
    signers = [Signer(key, times.get(key.key)) for key in policy.keys]
    return policy.quorum_time(cosigned(policy, signers, now), demanded)


def judge_vrf(public: bytes, alpha: bytes, proof: bytes) -> bytes:
    """R-36.1 to R-36.4: the label. `vrf.verify` gives the whole of beta."""
    return verify_label(public, alpha, proof)
