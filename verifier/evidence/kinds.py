"""Lies that a tree shows by itself: forks, entries, directory roots, anchors and times.

Each judge returns what is proven (or not to be decided), or raises `Invalid`: the file proves
nothing.
"""

from __future__ import annotations

from itertools import pairwise

from verifier.blocks import LOG_CREATE, ZERO, Block, Entry, open_block, open_entry, parse_block
from verifier.directory import accumulate
from verifier.errors import Invalid, Malformed
from verifier.evidence.ground import UNDECIDED, Finding, Log, Tree, proven, required
from verifier.evidence.parse import Anchored, Fork, Leaf, Listed, OneLeaf, Times
from verifier.merkle import check_consistency, leaf_hash
from verifier.note import open_note
from verifier.policy import MAX_AHEAD, check_log, cosigned
from verifier.replay import MAX_ANCHOR_AGE
from verifier.shown import check_held

ANY_TIME = 2**63 * 1_000


def fork(body: Fork, log: Log) -> Finding:
    """R-80.3."""
    older, newer = log.tree(body.older).checkpoint, log.tree(body.newer).checkpoint
    with required("R-80.3"):
        check_consistency(older.size, newer.size, body.root, newer.root, body.consistency)
    if body.root == older.root:
        raise Malformed("R-80.3", "the one checkpoint continues the other, as it should")
    return proven(
        "R-61.2",
        f"it signed a tree of size {newer.size} whose first {older.size} leaves are not the "
        f"tree of size {older.size} that it signed too",
    )


def entry(body: OneLeaf, log: Log) -> Finding:
    """R-80.4."""
    tree, leaf = log.tree(body.note), body.leaf
    tree.require(leaf)
    try:
        kind, _, content = open_entry(leaf.entry)
        if kind == 0:
            open_block(content, log.id)
    except Invalid as error:
        return proven(error.rule, f"its leaf {leaf.at} is none that may stand: {error.why}")
    if kind == 0 and leaf.at == tree.checkpoint.size - 1:
        what = "with a block, and not with a directory root"
        return proven("R-42.2", f"its tree of size {tree.checkpoint.size} ends {what}")
    raise Malformed("R-80.4", f"nothing is wrong with leaf {leaf.at} by itself")


def directory(body: Listed, log: Log) -> Finding:
    """R-80.7."""
    tree, at, chain = log.tree(body.note), body.leaf.at, body.chain
    root = tree.directory(body.leaf).content
    with required("R-80.7"):
        check_held(chain.part, chain.label, root)
    _require_opened(body)
    what = f"the directory root at leaf {at} shows for {_name(chain.label)}"
    if _is_impossible(body):
        if body.other is not None:
            raise Malformed("R-80.7", "the list is a lie by itself, and yet a leaf is given")
        told = f"{chain.part.length} blocks by leaves that don't ascend, or aren't so many before"
        return proven("R-42.5", f"{what} {told} it")
    if body.other is None:
        raise Malformed("R-80.7", "no leaf is given that the list hides or misstates")
    return _compared(body, tree, body.other, what)


def _require_opened(body: Listed) -> None:
    """The list is what the accumulator holds (R-30.5); no links stand beside it."""
    accumulator = ZERO
    for index, hash_ in body.leaves:
        accumulator = accumulate(accumulator, index, hash_)
    if body.chain.part.links or accumulator != body.chain.part.accumulator:
        raise Malformed("R-80.7", "the list does not open the accumulator")


def _is_impossible(body: Listed) -> bool:
    """Whether a list is a lie whatever stands at its leaves."""
    places = [-1, *(index for index, _ in body.leaves), body.leaf.at]
    ascend = all(before < after for before, after in pairwise(places))
    return len(body.leaves) != body.chain.part.length or not ascend


def _compared(body: Listed, tree: Tree, other: Leaf, what: str) -> Finding:
    tree.require(other)
    held, own = dict(body.leaves).get(other.at), _belongs(other, body.chain.label)
    if held is None and own and other.at < body.leaf.at:
        return proven("R-42.5", f"{what} all blocks but the one at leaf {other.at}: it hides it")
    if held is not None and (held != leaf_hash(other.entry) or not own):
        there = "a block that is not the one there" if own else "what is no block of this chain"
        return proven("R-42.5", f"{what} at leaf {other.at} {there}")
    raise Malformed("R-80.7", f"leaf {other.at} is as the directory says")


def _belongs(leaf: Leaf, label: bytes) -> bool:
    """Whether it is a block of the label. What can't be read is nobody's."""
    try:
        kind, _, content = open_entry(leaf.entry)
        return kind == 0 and Block._make(parse_block(content, ZERO)[0]).label == label
    except Invalid:
        return False


def anchor(body: Anchored, log: Log) -> Finding:
    """R-80.8."""
    tree = log.tree(body.note)
    time, block = _anchored(tree, body.leaf)
    size, root, index = block.anchor_size, block.anchor_root, body.leaf.at
    what = f"the block at leaf {index} is anchored in a tree of size {size}"
    if not 1 <= size <= index:
        _require_nothing(body.root, body.consistency, body.end)
        return proven("R-44.1", f"{what}, which there was none of before it")
    if body.root is not None:
        _require_nothing(body.end)
        newest = tree.checkpoint
        with required("R-80.8"):
            check_consistency(size, newest.size, body.root, newest.root, body.consistency)
        if body.root == root:
            raise Malformed("R-80.8", "the anchor is the tree that stands there")
        return proven("R-44.2", f"{what} with another root: its author was shown another log")
    _require_nothing(body.consistency)
    if body.end is None or body.end.at != size - 1:
        raise Malformed("R-80.8", "nothing is given that the anchor contradicts")
    return _ended(tree.entry(body.end), time, what)


def _anchored(tree: Tree, leaf: Leaf) -> tuple[int, Block]:
    """The time of a leaf, and its block, which has an anchor."""
    kind, time, content = tree.entry(leaf)
    if kind != 0:
        raise Malformed("R-80.8", f"leaf {leaf.at} has no anchor")
    with required("R-80.2"):
        block = Block._make(parse_block(content, ZERO)[0])
    if block.kind == LOG_CREATE:
        raise Malformed("R-80.8", "log.create is anchored in the empty tree")
    return time, block


def _ended(end: Entry, time: int, what: str) -> Finding:
    if end.kind == 0:
        return proven("R-44.2", f"{what}, and no batch ends there")
    if time - end.time > MAX_ANCHOR_AGE:
        return proven("R-44.3", f"{what}, which was more than a day old")
    raise Malformed("R-80.8", "the anchor ends with a directory root of the last 24 hours")


def _require_nothing(*given: object) -> None:
    if any(given):
        raise Malformed("R-80.8", "more is given than this contradiction takes")


def time(body: Times, log: Log) -> Finding:
    """R-80.9."""
    tree, leaf, later = log.tree(body.note), body.leaf, body.later
    when = tree.entry(leaf).time
    if later is None:
        return _ahead(body, when, log)
    if leaf.at < later.at and when > tree.entry(later).time:
        return proven("R-42.3", f"time runs backwards from leaf {leaf.at} to {later.at}")
    raise Malformed("R-80.9", "the leaf behind the other is not of an earlier time")


def _ahead(body: Times, when: int, log: Log) -> Finding:
    """Whether a quorum says that it was earlier when it saw the leaf already."""
    policy = log.policy
    if policy is None or policy.quorum is None:
        why = "whether a time is ahead is judged by your own policy, with a quorum of witnesses"
        return Finding(UNDECIDED, "R-80.9", f"{why}: give it with --witnesses")
    try:
        check_log(policy, log.key)
    except Invalid as error:
        return Finding(UNDECIDED, "R-80.9", error.why)
    with required("R-80.2"):
        _, signers = open_note(body.note, [log.key, *policy.keys])
    times = cosigned(policy, signers, ANY_TIME)
    early = {key for key, seconds in times.items() if seconds * 1_000 + MAX_AHEAD < when}
    if not policy.met(early):
        raise Malformed("R-80.9", f"{len(early)} cosigned well before its time, and are no quorum")
    return proven(
        "R-62.9", f"leaf {body.leaf.at} is of a time more than 5 minutes ahead of a quorum's"
    )


def replayable(body: OneLeaf, log: Log) -> Finding:
    """R-80.11."""
    tree, at = log.tree(body.note), body.leaf.at
    with required("R-80.11"):
        tree.directory(body.leaf)
    why = f"replay the log: does the directory root at leaf {at} follow from the entries before it?"
    return Finding(UNDECIDED, "R-80.11", why)


def _name(label: bytes) -> str:
    return "the log itself" if label == ZERO else f"label {label.hex()[:16]}…"
