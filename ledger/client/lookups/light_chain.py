"""Chains as a light client checks them: block by block, from what is held on. Pure.

>>> check_present(place, label, part)                            # doctest: +SKIP
>>> steps = replay(place, label, part, pin.chain)
>>> check_state(steps[-1].chain, part)                           # what the blocks lead to

What fails raises `MalformedInput` (R-65.5, R-65.7 to R-65.9); its sentence says which rule of the
blocks' own was broken. Who is to blame, `ledger.client.lookups.light` says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from ledger.client import history
from ledger.client.history import Step
from ledger.errors import MalformedInput, RuleViolation
from ledger.format import block as blocks
from ledger.format.block import LOG_LABEL, Block
from ledger.format.bodies import ZERO_HASH, LogCreate
from ledger.format.lookup import ChainPart, Link
from ledger.rules.state import Chain, LogState, accumulate, chain_value
from ledger.tree.directory_proof import verify_present
from ledger.tree.merkle import EMPTY_ROOT, leaf_hash, verify_consistency


@dataclass(frozen=True, slots=True)
class Place:
    """What chains are judged in: the log's own `states`, and the tree of `size` under `root`, whose
    last entry has this `time` (ms) and this `directory` root.
    """

    log_id: bytes
    size: int
    root: bytes
    time: int
    directory: bytes
    states: tuple[LogState, ...] = ()


@contextmanager
def citing(rule: str) -> Iterator[None]:
    """Name what fails inside as a breach of `rule`."""
    try:
        yield
    except (MalformedInput, RuleViolation) as error:
        raise MalformedInput(rule, str(error)) from error


def check_present(place: Place, label: bytes, part: ChainPart) -> None:
    """R-65.5: the directory holds what `part` says, before anybody looks at its blocks."""
    with citing("R-65.5"):
        value = chain_value(part.length, part.accumulator, part.digest)
        verify_present(label, value, part.proof, place.directory)


def replay_log(place: Place, part: ChainPart, held: Sequence[Chain]) -> list[Step]:
    """The blocks of the log's own chain that `part` brings, after those `held`."""
    check_present(place, LOG_LABEL, part)
    steps = replay(place, LOG_LABEL, part, held[-1] if held else None, held)
    newest = steps[-1].chain if steps else held[-1]  # who holds none is given the first
    check_state(newest, part)
    return steps


def replay(
    place: Place, label: bytes, part: ChainPart, start: Chain | None, log: Sequence[Chain] = ()
) -> list[Step]:
    """The blocks that follow `start` (all of them if it is None), each one checked.

    For the log's own chain, `log` is what of it is held: it grows with every block.
    """
    _check_links(place, part, start)
    return follow(place, label, part.links, start, log)


def follow(
    place: Place,
    label: bytes,
    links: Iterable[Link],
    start: Chain | None = None,
    log: Sequence[Chain] = (),
) -> list[Step]:
    """The same, without what says how many blocks there are (R-65.8)."""
    states = [one.state for one in log if isinstance(one.state, LogState)]
    steps: list[Step] = []
    chain, time = start, 0
    with citing("R-65.8"):
        for link in links:
            seen = states if label == LOG_LABEL else place.states
            step = history.step(seen, place.log_id, chain, link.index, link.entry)
            _check_step(step, label, chain, place.log_id)
            if not time <= step.time <= place.time:
                raise RuleViolation("R-42.3", "time goes back")
            chain, time = step.chain, step.time
            if isinstance(chain.state, LogState):
                states.append(chain.state)
            steps.append(step)
    return steps


def check_state(chain: Chain, part: ChainPart) -> None:
    """R-65.9: the state that was computed is the one that the directory holds."""
    if chain.digest != part.digest:
        raise MalformedInput("R-65.9", "the blocks do not lead to the state that the log shows")


def _check_links(place: Place, part: ChainPart, start: Chain | None) -> None:
    """R-65.7: as many links as are missing, in their order, that lead to the accumulator."""
    length, index, accumulator = 0, -1, ZERO_HASH
    if start:
        length, index, accumulator = start.length, start.state.index, start.accumulator
    if part.length < length:
        raise MalformedInput("R-65.7", f"a chain of {length} blocks has {part.length} now")
    if len(part.links) != part.length - length:
        raise MalformedInput("R-65.7", f"{len(part.links)} links after {length} of {part.length}")
    for link in part.links:
        if not index < link.index < place.size - 1:
            detail = f"leaf {link.index} after {index} in a tree of {place.size}"
            raise MalformedInput("R-65.7", detail)
        index = link.index
        accumulator = accumulate(accumulator, index, leaf_hash(link.entry))
    if accumulator != part.accumulator:
        raise MalformedInput("R-65.7", "the links lead to another accumulator")


def _check_step(step: Step, label: bytes, chain: Chain | None, log_id: bytes) -> None:
    """What the rules of a chain leave to others: label, anchor, signatures."""
    if step.block.label != label:
        raise RuleViolation("R-43.1", "a block of another chain")
    _check_place(step, chain, log_id)
    blocks.verify(step.block, log_id)


def _check_place(step: Step, chain: Chain | None, log_id: bytes) -> None:
    """R-42.4 for the log's first block, R-44.1 and R-44.4 for all others."""
    anchor = step.block.anchor
    if isinstance(step.block.body, LogCreate):
        check_first(step.block, step.index, log_id)
    elif not 1 <= anchor.size <= step.index:
        raise RuleViolation("R-44.1", f"an anchor of size {anchor.size} at leaf {step.index}")
    elif chain and anchor.size <= chain.state.index:
        raise RuleViolation("R-44.4", "the anchor does not hold the block before")


def check_first(block: Block, index: int, log_id: bytes) -> None:
    """R-42.4: the log's first block is the one that the log id names, at leaf 0."""
    anchor = block.anchor
    if block.hash != log_id or index:
        raise RuleViolation("R-42.4", "the first block is not this log's")
    if anchor.size or anchor.root != EMPTY_ROOT:
        raise RuleViolation("R-42.4", "the first block is anchored in the empty tree")


def check_not_hidden(leaves: Iterable[int], size: int) -> None:
    """R-65.7: no new block stands in the tree of `size`, which showed the chain without it.

    That tree's directory did not follow from its entries (R-42.5).
    """
    for leaf in leaves:
        if leaf < size:
            detail = f"the block at leaf {leaf} was hidden in the tree of {size}, which was shown"
            raise MalformedInput("R-65.7", detail)


def check_anchor(place: Place, steps: Sequence[Step], proof: Sequence[bytes]) -> None:
    """R-65.8: the newest anchor, that of the last step, lies in the tree (R-44.2)."""
    anchor = steps[-1].block.anchor
    with citing("R-65.8"):
        verify_consistency(anchor.size, place.size, proof, anchor.root, place.root)
