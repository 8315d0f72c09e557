"""A chain as a directory root shows it: what it holds, and the blocks that led there (specs/65).

    part = parse(value)                          # [length, accumulator, digest, proof, links]
    check_held(part, label, root)                # R-65.5: the root says so
    check_bound(part)                            # R-65.7: these are the blocks that it speaks of
    check_places(part, size)                     # R-65.7: and they can stand where it says
    own = replay(log_part, ZERO, log_id, time)   # R-65.8: every signature and rule
    steps = replay(part, label, log_id, time, own)
    check_digest(part, steps)                    # R-65.9: they lead to the state that it says

Pure. Who fails the first two may have been handed other bytes than the log gave out. Once both have
passed, the root binds all of the part: what fails then is the log's own signed word.

`replay` raises what the rules raise, with the leaf index; the anchors' roots and ages (R-44.2,
R-44.3) it can't judge, for it sees no tree.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, NamedTuple

from verifier import prefix
from verifier.blocks import SIZE, ZERO, Block, open_block, open_entry
from verifier.cbor import Many, Shape, encode, fits
from verifier.directory import accumulate, value
from verifier.errors import BrokenRule, Invalid, Malformed
from verifier.merkle import EMPTY_ROOT, leaf_hash
from verifier.rules import apply, check_link, create_log
from verifier.states import Chain, LogState, Place, State

MAX_LINKS = 65_536
LINKS: Shape = Many((SIZE, bytes), range(MAX_LINKS + 1))


class Link(NamedTuple):
    """One block of a chain: its leaf index and its entry."""

    leaf_index: int
    entry: bytes


class Part(NamedTuple):
    """What a root says of a chain, and its blocks. Of an absent one all is zero.

    `proof` is decoded CBOR of the right shape, unread.
    """

    length: int
    accumulator: bytes
    digest: bytes
    proof: Any
    links: list[Link]


class Step(NamedTuple):
    """One block where it stands, its chain's state before it, and the chain after it."""

    leaf_index: int
    time: int
    block: Block
    before: State | None
    chain: Chain


def parse(fields: Any) -> Part:
    """The part that a decoded CBOR value is (R-10.4, R-65.1)."""
    if not isinstance(fields, list) or len(fields) != 5:
        raise Malformed("R-10.4", "a chain is an array of five")
    length, accumulator, digest, proof, links = fields
    if not fits([length, accumulator, digest, links], (range(2**32 + 1), 32, 32, LINKS)):
        raise Malformed("R-10.4", "not the fields of a chain")
    if not length and (links or accumulator != ZERO or digest != ZERO):
        raise Malformed("R-65.1", "an absent chain with something in it")
    prefix.require_shape(proof)
    return Part(length, accumulator, digest, proof, [Link(*link) for link in links])


def check_held(part: Part, label: bytes, root: bytes) -> None:
    """R-65.5: the directory with this root holds it for `label`, or nothing if it has no blocks."""
    held = value(part.length, part.accumulator, part.digest) if part.length else None
    prefix.check(prefix.read(part.proof), label, held, root)


def check_bound(part: Part) -> None:
    """R-65.7: the links lead to the accumulator, so they are those that the directory holds."""
    accumulator = ZERO
    for index, entry in part.links:
        accumulator = accumulate(accumulator, index, leaf_hash(entry))
    if accumulator != part.accumulator:
        raise Malformed("R-65.7", "the links are not those of the accumulator")


def check_places(part: Part, size: int) -> None:
    """R-65.7: as many links as the chain is long, at ascending leaves before the last of `size`."""
    if len(part.links) != part.length:
        raise Malformed("R-65.7", f"{len(part.links)} links in a chain of {part.length}")
    before = -1
    for index, _ in part.links:
        if not before < index < size - 1:
            raise Malformed("R-65.7", f"leaf {index} after {before} in a tree of {size}")
        before = index


def replay(
    part: Part, label: bytes, log_id: bytes, latest: int, own: Sequence[Step] = ()
) -> list[Step]:
    """R-65.8: what each block did; none of them is of a time after `latest`, the root's own.

    `own` are the steps of the log's chain; for that chain itself, none.
    """
    steps: list[Step] = []
    chain, time = None, 0
    for link in part.links:
        log = _log_before(steps if label == ZERO else own, link.leaf_index)
        step = follow(chain, label, link, log_id, log)
        if not time <= step.time <= latest:
            raise BrokenRule("R-42.3", "time runs backwards", link.leaf_index)
        chain, time = step.chain, step.time
        steps.append(step)
    return steps


def follow(
    chain: Chain | None, label: bytes, link: Link, log_id: bytes, log: LogState | None
) -> Step:
    """The step that a link adds to the chain of `label`. `log`: the log's own state before it."""
    try:
        return _follow(chain, label, link, log_id, log)
    except Invalid as error:
        error.index = link.leaf_index
        raise


def check_digest(part: Part, steps: Sequence[Step]) -> None:
    """R-65.9: the blocks lead to the state that the directory holds."""
    digest = sha256(encode(tuple(steps[-1].chain.state))).digest() if steps else ZERO
    if digest != part.digest:
        raise Malformed("R-65.9", "the blocks lead to another state than the directory holds")


def _log_before(own: Sequence[Step], index: int) -> LogState | None:
    """The log's state before leaf `index`, None before its first block."""
    count = bisect_left(own, index, key=lambda step: step.leaf_index)
    state = own[count - 1].chain.state if count else None
    assert state is None or isinstance(state, LogState)
    return state


def _follow(
    chain: Chain | None, label: bytes, link: Link, log_id: bytes, log: LogState | None
) -> Step:
    kind, time, content = open_entry(link.entry)
    if kind != 0:
        raise BrokenRule("R-30.7", "a directory root is in no chain")
    block = open_block(content, log_id)
    if block.label != label:
        raise BrokenRule("R-43.1", "a block of another chain")
    state: State
    if log is None:
        state = _found(block, link.leaf_index, time, log_id)
    else:
        state = _admit(chain, block, Place(link.leaf_index, time, log_id, log))
    length, accumulator, before = chain or (0, ZERO, None)
    accumulator = accumulate(accumulator, link.leaf_index, leaf_hash(link.entry))
    return Step(link.leaf_index, time, block, before, Chain(length + 1, accumulator, state))


def _found(block: Block, index: int, time: int, log_id: bytes) -> LogState:
    """R-42.4: the log's first block is the one that the log id names."""
    state = create_log(block, index, time)
    if block.hash != log_id or (block.anchor_size, block.anchor_root) != (0, EMPTY_ROOT):
        raise BrokenRule("R-42.4", "not the log's first block, or not anchored in the empty tree")
    return state


def _admit(chain: Chain | None, block: Block, place: Place) -> State:
    check_link(chain, block, place.log)
    if not 1 <= block.anchor_size <= place.leaf_index:
        raise BrokenRule("R-44.1", f"an anchor of size {block.anchor_size}")
    if chain is not None and block.anchor_size <= chain.state.leaf_index:
        raise BrokenRule("R-44.4", "the anchor does not hold the chain's previous block")
    return apply(chain, block, place)
